package module_test

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	"golang.org/x/crypto/bcrypt"

	_ "github.com/sallyport-gateway/sallyport/cmd/standard"
	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/module"
)

// gateway is a Caddy in this process; there is one per process, so these tests
// do not run in parallel.
type gateway struct {
	t    testing.TB
	port int
	dir  string
	app  *echo
	// audit is the file the trail is written to.
	audit string
	// admin is where Caddy's admin endpoint listens; "" is nowhere.
	admin string
	// protocols are those of all servers; "" is h1 h2 h2c.
	protocols string
}

// testClock is a time that only tests move.
type testClock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock(t testing.TB) *testClock {
	c := &testClock{now: time.Now()}
	module.SetClock(c.Now)
	t.Cleanup(func() { module.SetClock(nil) })
	return c
}

func (c *testClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *testClock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// nextPort is where freePort looks next; another process begins elsewhere.
var nextPort = 10000 + os.Getpid()%20000

// freePort is below 32768: above, an outgoing connection may take the port
// before Caddy listens on it.
func freePort(t testing.TB) int {
	t.Helper()
	for range 2000 {
		nextPort++
		if nextPort >= 32000 {
			nextPort = 10000
		}
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(nextPort)))
		if err != nil {
			continue
		}
		l.Close()
		return nextPort
	}
	t.Fatal("no free port below 32768")
	return 0
}

var hashes sync.Map

func hashOf(t testing.TB, password string) string {
	t.Helper()
	if h, ok := hashes.Load(password); ok {
		return h.(string)
	}
	b, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	hashes.Store(password, string(b))
	return string(b)
}

// start runs a gateway. global are lines of the identity block, site those of
// the site block; {APP} in it is the upstream.
func start(t testing.TB, global, site string) *gateway {
	t.Helper()
	g := &gateway{t: t, port: freePort(t), dir: scratch(t), app: newEcho(t)}
	g.audit = filepath.Join(g.dir, "audit.jsonl")
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Errorf("stopping caddy: %v", err)
		}
	})
	if err := g.load(global, site); err != nil {
		t.Fatal(err)
	}
	return g
}

// scratch is a folder that is removed as far as it can be: a request that was
// under way when the gateway stopped may still write its audit entry.
func scratch(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sallyport-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// people are two local accounts.
func people(t testing.TB) string {
	return fmt.Sprintf("provider corp local {\nuser alice %s {\nemail alice@example.test\ngroups admins staff\ndisplay_name \"Alice Liddell\"\n}\nuser bob %s {\ngroups staff\n}\n}\n",
		hashOf(t, "alicepw"), hashOf(t, "bobpw"))
}

func (g *gateway) caddyfile(global, site string) string {
	if !strings.Contains(global, "store ") {
		global += "\nstore memory"
	}
	if !strings.Contains(global, "audit ") {
		global += "\naudit file " + g.audit
	}
	head := fmt.Sprintf("{\nadmin %s\npersist_config off\nauto_https off\nstorage file_system %s\ngrace_period 5s\nservers {\nprotocols %s\n%s}\nidentity {\n%s\n}\n}\n", cmp.Or(g.admin, "off"), g.dir, cmp.Or(g.protocols, "h1 h2 h2c"), trusted(global), untrusted(global))
	if !strings.Contains(site, "http://") {
		site = fmt.Sprintf("http://127.0.0.1:%d, http://localhost:%d {\nbind 127.0.0.1\n%s\n}", g.port, g.port, site)
	}
	return strings.ReplaceAll(strings.ReplaceAll(head+site, "{APP}", g.app.addr), "{PORT}", strconv.Itoa(g.port))
}

// trusted takes the lines for `servers` out of the global lines.
func trusted(global string) string {
	var lines strings.Builder
	for l := range strings.Lines(global) {
		if ofServers(l) {
			lines.WriteString(strings.TrimSpace(l) + "\n")
		}
	}
	return lines.String()
}

func untrusted(global string) string {
	var lines strings.Builder
	for l := range strings.Lines(global) {
		if !ofServers(l) {
			lines.WriteString(l)
		}
	}
	return lines.String()
}

func ofServers(line string) bool {
	return strings.HasPrefix(line, "trusted_proxies") || strings.HasPrefix(line, "expected_underscore_headers") || strings.HasPrefix(line, "max_header_size")
}

func (g *gateway) load(global, site string) error {
	g.t.Helper()
	cfg, warn, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(g.caddyfile(global, site)), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return err
	}
	_ = warn
	if err := caddy.Load(cfg, true); err != nil {
		return err
	}
	g.settle()
	return nil
}

// settle waits until the listener of a replaced config is gone: for a moment
// after a reload the kernel still hands connections to it, and they are dropped.
func (g *gateway) settle() {
	for good, tries := 0, 0; good < 3 && tries < 20; tries++ {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", g.port))
		if err != nil {
			return // this config listens elsewhere
		}
		_ = c.SetDeadline(time.Now().Add(100 * time.Millisecond))
		_, _ = io.WriteString(c, "GET / HTTP/9.9\r\nHost: settle.invalid\r\nConnection: close\r\n\r\n") // refused by net/http itself
		if n, _ := c.Read(make([]byte, 1)); n == 1 {
			good++
		} else {
			good = 0
		}
		c.Close()
	}
}

func (g *gateway) url(path string) string { return fmt.Sprintf("http://127.0.0.1:%d%s", g.port, path) }

// events are the audit entries so far; it waits for n of a kind.
func (g *gateway) events(kind string, n int) []map[string]any {
	g.t.Helper()
	var got []map[string]any
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		got = nil
		b, _ := os.ReadFile(g.audit)
		for l := range strings.Lines(string(b)) {
			var e map[string]any
			if json.Unmarshal([]byte(l), &e) == nil && (kind == "" && e["kind"] != "checkpoint" || e["kind"] == kind) {
				got = append(got, e)
			}
		}
		if len(got) >= n {
			return got
		}
		time.Sleep(10 * time.Millisecond)
	}
	g.t.Fatalf("waited for %d audit events of kind %q, got %v", n, kind, got)
	return nil
}

// signIn walks a browser through the password form.
func (g *gateway) signIn(b *browser.Browser, path, name, password string) *browser.Page {
	g.t.Helper()
	p := g.open(b, g.url(path))
	if p.Status != http.StatusOK || !p.Has("password") {
		g.t.Fatalf("expected the sign-in page, got %d at %s:\n%s\nhops %v", p.Status, p.URL, p.Text(), b.Hops)
	}
	p, err := p.Fill("username", name, "password", password)
	if err != nil {
		g.t.Fatal(err)
	}
	return p
}

// open types an address. Like a browser it asks once more when a connection is
// closed before an answer, as Caddy does at a reload.
func (g *gateway) open(b *browser.Browser, url string) *browser.Page {
	g.t.Helper()
	p, err := b.Open(url)
	if err != nil {
		b.Close()
		p, err = b.Open(url)
	}
	if err != nil {
		g.t.Fatal(err)
	}
	return p
}

// signedIn is a browser that signed in and landed at path.
func (g *gateway) signedIn(path, name, password string) *browser.Browser {
	g.t.Helper()
	b := browser.New()
	g.t.Cleanup(b.Close)
	p := g.signIn(b, path, name, password)
	if p.Status != http.StatusOK || p.Path() != path {
		g.t.Fatalf("sign-in of %s landed at %s with %d:\n%s\nhops %v", name, p.URL, p.Status, p.Text(), b.Hops)
	}
	return b
}

func (g *gateway) send(b *browser.Browser, r browser.Request) *browser.Page {
	g.t.Helper()
	p, err := b.Send(r)
	if err != nil {
		g.t.Fatal(err)
	}
	return p
}

// echo is an application that answers with the raw head of the request, as it
// came off the wire.
type echo struct {
	addr string
	mu   sync.Mutex
	seen []string
	// answer may replace the answer.
	answer func(head string) string
}

func newEcho(t testing.TB) *echo {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &echo{addr: l.Addr().String()}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go e.serve(c)
		}
	}()
	return e
}

func (e *echo) serve(c net.Conn) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	r := bufio.NewReader(c)
	var head strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		if line == "\r\n" {
			break
		}
		head.WriteString(line)
	}
	text := head.String()
	rest := readBody(r, text)
	e.mu.Lock()
	e.seen = append(e.seen, text+rest)
	answer := e.answer
	e.mu.Unlock()
	if answer != nil {
		if a := answer(text); a != "" {
			_, _ = io.WriteString(c, a)
			return
		}
	}
	body := text + "\r\n" + rest
	fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body)
}

// readBody returns the body's bytes, of a chunked one with its trailer section.
func readBody(r *bufio.Reader, head string) string {
	for l := range strings.Lines(head) {
		name, value, _ := strings.Cut(strings.TrimSpace(l), ":")
		switch {
		case strings.EqualFold(name, "Content-Length"):
			n, _ := strconv.Atoi(strings.TrimSpace(value))
			b := make([]byte, n)
			_, _ = io.ReadFull(r, b)
			return string(b)
		case strings.EqualFold(name, "Transfer-Encoding"):
			var b strings.Builder
			for last := false; ; {
				line, err := r.ReadString('\n')
				if err != nil {
					return b.String()
				}
				b.WriteString(line)
				if strings.TrimSpace(line) == "0" {
					last = true
				}
				if last && line == "\r\n" {
					return b.String()
				}
			}
		}
	}
	return ""
}

func (e *echo) requests() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.seen...)
}

func (e *echo) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen = nil
}

func (e *echo) set(f func(string) string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answer = f
}

// header returns the values of a header in a raw head, by exact wire case.
func header(head, name string) []string {
	var out []string
	for l := range strings.Lines(head) {
		if n, v, ok := strings.Cut(strings.TrimRight(l, "\r\n"), ":"); ok && n == name {
			out = append(out, strings.TrimSpace(v))
		}
	}
	return out
}
