package examples_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
)

// walk is the gateway of one example, run from its very Caddyfile in this
// process, with a provider and an application that shows what arrived. There is
// one Caddy per process, so walks are not parallel.
type walk struct {
	t   *testing.T
	URL string
	op  *oidctest.OP
}

// start runs folder/Caddyfile; env are further NAME=value pairs for it.
func start(t *testing.T, folder string, env ...string) *walk {
	t.Helper()
	file := filepath.Join(folder, "Caddyfile")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return run(t, file, text, env...)
}

// run runs a Caddyfile, named in errors.
func run(t *testing.T, file string, text []byte, env ...string) *walk {
	t.Helper()
	w := &walk{t: t, URL: "http://" + parts.Addr(parts.Port(t)), op: oidctest.New(t)}
	w.op.SetUser(maps.Clone(mara))
	// Not t.TempDir: a request that was under way may still write its entry.
	dir, err := os.MkdirTemp("", "sallyport-example-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for _, kv := range append([]string{
		"SITE=" + w.URL, "APP=" + rawEcho(t), "ISSUER=" + w.op.Issuer, "CLIENT_ID=" + w.op.ClientID,
		"CLIENT_SECRET=" + w.op.ClientSecret, "XDG_DATA_HOME=" + dir, "XDG_CONFIG_HOME=" + dir,
	}, env...) {
		name, value, _ := strings.Cut(kv, "=")
		t.Setenv(name, value)
	}
	raw, _, err := caddyconfig.GetAdapter("caddyfile").Adapt(text, map[string]any{"filename": file})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Errorf("stopping caddy: %v", err)
		}
	})
	if err := caddy.Load(w.onLoopback(raw, dir), true); err != nil {
		t.Fatal(err)
	}
	return w
}

// onLoopback changes what a test must: where it listens, keeps things and logs.
func (w *walk) onLoopback(raw []byte, dir string) []byte {
	w.t.Helper()
	var config map[string]any
	if err := json.Unmarshal(raw, &config); err != nil {
		w.t.Fatal(err)
	}
	servers := config["apps"].(map[string]any)["http"].(map[string]any)["servers"].(map[string]any)
	for _, server := range servers {
		server.(map[string]any)["listen"] = []string{strings.TrimPrefix(w.URL, "http://")}
	}
	config["admin"] = map[string]any{"disabled": true, "config": map[string]any{"persist": false}}
	config["storage"] = map[string]any{"module": "file_system", "root": filepath.Join(dir, "storage")}
	logs, _ := config["logging"].(map[string]any)
	if logs == nil {
		logs = map[string]any{"logs": map[string]any{}}
		config["logging"] = logs
	}
	logs["logs"].(map[string]any)["default"] = map[string]any{
		"writer": map[string]any{"output": "file", "filename": filepath.Join(dir, "log")},
	}
	out, err := json.Marshal(config)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// mara is who signs in: a person as an old directory knows them.
var mara = map[string]any{
	"sub": "u-4711", "preferred_username": "mkunz", "name": "Mara Künz",
	"email": "mara@example.com", "email_verified": true, "groups": []string{"payroll", "staff"},
	"employee_number": "00427", "dn": "uid=mkunz,ou=People,o=example",
}

// as makes whoever signs in next somebody with other claims.
func (w *walk) as(change map[string]any) {
	user := maps.Clone(mara)
	maps.Copy(user, change)
	w.op.SetUser(user)
}

// sees wants the application to get exactly these headers of the family, in
// their wire case; "*" is any one value but the empty one.
func (w *walk) sees(p *parts.TestPage, family func(name string) bool, want map[string]string) {
	w.t.Helper()
	p.Want(http.StatusOK)
	got := map[string]string{}
	for line := range strings.Lines(p.Body) {
		name, value, found := strings.Cut(strings.TrimRight(line, "\r\n"), ": ")
		if !found || !family(strings.ToUpper(strings.ReplaceAll(name, "-", "_"))) {
			continue
		}
		if _, twice := got[name]; twice {
			w.t.Errorf("%s: %s came twice", p.URL, name)
		}
		if got[name] = value; want[name] == "*" && value != "" {
			got[name] = "*"
		}
	}
	if !maps.Equal(got, want) {
		w.t.Errorf("%s: the application got\n  %v, want\n  %v", p.URL, got, want)
	}
}

// forged sends every name in several spellings, listed in Connection too, and
// wants no trace of the lie.
func (w *walk) forged(b *parts.TestBrowser, path string, names ...string) {
	w.t.Helper()
	for _, n := range names {
		for _, spelling := range []string{n, strings.ToLower(n), strings.ReplaceAll(n, "_", "-"), strings.ReplaceAll(n, "-", "_")} {
			b.Send(browser.Request{URL: w.URL + path, Header: http.Header{spelling: {"mallory"}, "Connection": {spelling}}}).
				Want(http.StatusOK, "GET "+path).Without("mallory")
		}
	}
}

// endsAt opens the old system's logout address as a person who types it, and
// wants the session to be dead for whoever kept its cookies.
func (w *walk) endsAt(b *parts.TestBrowser, path string) *parts.TestPage {
	w.t.Helper()
	thief := parts.Browser(w.t)
	thief.Jar = b.Jar.Clone()
	thief.Fetch(w.URL + "/").Want(http.StatusOK)
	p := b.Open(w.URL + path)
	thief.Fetch(w.URL+"/").Want(http.StatusUnauthorized, "login_required")
	return p
}

// rawEcho is an application whose pages are the request as it stood on the
// wire: net/http would write header names in its own way.
func rawEcho(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go echo(c)
		}
	}()
	return l.Addr().String()
}

func echo(c net.Conn) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	var head []string
	for in := bufio.NewReader(c); ; {
		line, err := in.ReadString('\n')
		if err != nil || len(head) > 200 {
			return
		}
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			break
		}
		head = append(head, line)
	}
	body := strings.Join(slices.Concat([]string{strings.TrimSuffix(head[0], " HTTP/1.1")}, head[1:]), "\n")
	_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body)
}
