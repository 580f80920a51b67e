package module_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/fcgi"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// ourHeaders are what the attacked sites inject.
const ourHeaders = "headers siteminder\nheaders remote_user\nheader X-Remote-User {user.name}\nheader X-Dept {user.department}\n"

// loadText loads the same Caddyfile with some of its text changed.
func (g *gateway) loadText(global, site string, change func(string) string) error {
	g.t.Helper()
	cfg, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(change(g.caddyfile(global, site))), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return err
	}
	return caddy.Load(cfg, true)
}

// foldName reads a header name as CGI, WSGI, PHP and their like do.
func foldName(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, s)
}

func oursFolded(f string) bool {
	switch f {
	case "smuser", "remote_user", "remote_name", "remote_email", "remote_groups", "x_remote_user", "x_dept":
		return true
	}
	return strings.HasPrefix(f, "sm_")
}

// identityOf is everything in a request's text that an application could take
// for a header of ours, folded; what changes with each request has no value.
func identityOf(text string) map[string][]string {
	out := map[string][]string{}
	for l := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimRight(l, "\r\n"), ":")
		f := foldName(name)
		if !ok || !oursFolded(f) {
			continue
		}
		value = strings.TrimSpace(value)
		if (f == "sm_transactionid" || f == "sm_timetoexpire") && !strings.Contains(value, "evil") {
			value = "*"
		}
		out[f] = append(out[f], value)
	}
	return out
}

// forgery is one request of testdata/headers.txt.
type forgery struct {
	name    string
	lines   []string
	body    string
	chunked bool
	status  int
}

func forgeries(t testing.TB) []forgery {
	t.Helper()
	b, err := os.ReadFile("testdata/headers.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []forgery
	for line := range strings.SplitSeq(string(b), "\n") {
		if name, ok := strings.CutPrefix(line, "== "); ok {
			name, status, _ := strings.Cut(name, " | ")
			n, _ := strconv.Atoi(status)
			all = append(all, forgery{name: name, status: n})
			continue
		}
		if len(all) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		f := &all[len(all)-1]
		raw, err := strconv.Unquote(`"` + strings.NewReplacer(`"`, `\"`, `\0`, `\x00`).Replace(line) + `"`)
		if err != nil {
			t.Fatalf("%s: %q: %v", f.name, line, err)
		}
		switch {
		case line == "--":
			f.chunked = true
		case f.chunked && line != "":
			f.body += raw + "\r\n"
		case line != "":
			f.lines = append(f.lines, raw)
		}
	}
	for i := range all {
		if all[i].chunked {
			all[i].body += "\r\n"
		}
	}
	if len(all) < 100 {
		t.Fatalf("only %d forgeries", len(all))
	}
	return all
}

// situation is a way for a request to reach the application, or not to.
type situation struct {
	name, method, host, path string
	signedIn, upgrade        bool
	more                     []string
	// shown: the application learns who is there.
	shown bool
	// closed: the application must not see the request at all.
	closed bool
}

// wire writes the request; extra lines come where a client's own would.
func (s situation) wire(g *gateway, cookie string, f forgery) string {
	method := s.method
	if method == "" {
		method = http.MethodGet
		if f.chunked {
			method = http.MethodPost
		}
	}
	host := s.host
	if host == "" {
		host = "127.0.0.1"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s:%d\r\n", method, s.path, host, g.port)
	for _, l := range s.more {
		b.WriteString(l + "\r\n")
	}
	if s.signedIn {
		b.WriteString("Cookie: app=1; " + cookie + "; other=2\r\n")
	}
	if s.upgrade {
		b.WriteString("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
	}
	for _, l := range f.lines {
		b.WriteString(l + "\r\n")
	}
	return b.String() + "\r\n" + f.body
}

// sendRaw writes bytes and returns the status of the answer.
func (g *gateway) sendRaw(text string) int {
	g.t.Helper()
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", g.port))
	if err != nil {
		g.t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		g.t.Fatal(err)
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		g.t.Fatalf("no answer: %v to\n%s", err, text)
	}
	var n int
	_, _ = fmt.Sscanf(line, "HTTP/1.1 %d", &n)
	return n
}

// since returns what the application saw behind the n-th request.
func (e *echo) since(n int) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.seen[n:])
}

func (e *echo) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.seen)
}

const attackedSites = `http://127.0.0.1:{PORT} {
bind 127.0.0.1
protect {
` + ourHeaders + `public /public/*
optional /optional/*
}
reverse_proxy {UP}
}
http://part.localhost:{PORT} {
bind 127.0.0.1
protect /app/* {
` + ourHeaders + `}
reverse_proxy {UP}
}
http://off.localhost:{PORT} {
bind 127.0.0.1
protect off
reverse_proxy {UP}
}
http://err.localhost:{PORT} {
bind 127.0.0.1
protect {
public *
}
error /boom 503
reverse_proxy {UP}
handle_errors {
protect off
reverse_proxy {UP}
}
}
`

func situations() []situation {
	return []situation{
		{name: "public", path: "/public/x"},
		{name: "public though signed in", path: "/public/x", signedIn: true},
		{name: "optional, nobody", path: "/optional/x"},
		{name: "optional, signed in", path: "/optional/x", signedIn: true, shown: true},
		{name: "signed in", path: "/a", signedIn: true, shown: true},
		{name: "nobody", path: "/a", closed: true},
		{name: "WebSocket", path: "/a", signedIn: true, upgrade: true, shown: true},
		{name: "WebSocket, nobody", path: "/a", upgrade: true, closed: true},
		{name: "public WebSocket", path: "/public/ws", upgrade: true},
		{name: "beside the matcher", host: "part.localhost", path: "/b"},
		{name: "protect off", host: "off.localhost", path: "/b"},
		{name: "preflight", method: http.MethodOptions, path: "/a", more: []string{"Origin: https://other.example", "Access-Control-Request-Method: POST"}, closed: true},
		{name: "public preflight", method: http.MethodOptions, path: "/public/x", more: []string{"Origin: https://other.example", "Access-Control-Request-Method: POST"}},
		{name: "HEAD", method: http.MethodHead, path: "/a", signedIn: true, shown: true},
		{name: "error path", host: "err.localhost", path: "/boom"},
		{name: "error path of Caddy's own refusal", method: strings.Repeat("X", 40), host: "err.localhost", path: "/b"},
	}
}

// attack replays all forgeries in the situations. seen is how many requests the
// application got, got what it got since.
func (g *gateway) attack(cookie string, ss []situation, seen func() int, got func(int) []string) {
	g.t.Helper()
	t := g.t.(*testing.T)
	all := forgeries(t)
	for _, s := range ss {
		t.Run(s.name, func(t *testing.T) {
			mark := seen()
			g.sendRaw(s.wire(g, cookie, forgery{}))
			ref := got(mark)
			if s.closed != (len(ref) == 0) {
				t.Fatalf("an honest request: the application saw %q", ref)
			}
			want := map[string][]string{}
			if !s.closed {
				want = identityOf(ref[0])
			}
			if s.shown != slices.Contains(want["sm_user"], "alice") || s.shown != slices.Contains(want["x_remote_user"], "alice") || len(want["x_dept"]) > 0 || !s.shown && len(want) > 0 {
				t.Fatalf("an honest request shows %v", want)
			}
			for _, f := range all {
				mark := seen()
				status := g.sendRaw(s.wire(g, cookie, f))
				if f.status != 0 && status != f.status {
					t.Errorf("%s: want %d, got %d", f.name, f.status, status)
				}
				if status >= 500 && !s.closed {
					t.Errorf("%s: %d", f.name, status)
				}
				reqs := got(mark)
				if f.status != 0 || s.closed {
					if len(reqs) > 0 {
						t.Errorf("%s: the application saw\n%s", f.name, reqs[0])
					}
					continue
				}
				for _, r := range reqs {
					if id := identityOf(r); !maps.EqualFunc(id, want, slices.Equal[[]string]) {
						t.Errorf("%s: the application reads %v, want %v in\n%s", f.name, id, want, r)
					}
					if strings.Contains(r, "sallyport-") {
						t.Errorf("%s: our cookie reached the application:\n%s", f.name, r)
					}
				}
			}
		})
	}
}

func only(ss []situation, names ...string) []situation {
	return slices.DeleteFunc(slices.Clone(ss), func(s situation) bool { return !slices.Contains(names, s.name) })
}

func (g *gateway) aliceCookie() string {
	c := ticketOf(g.t, g, g.signedIn("/a", "alice", "alicepw"))
	return c.Name + "=" + c.Value
}

func upgrading(head string) string {
	if strings.Contains(head, "Upgrade: websocket") {
		return "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
	}
	return ""
}

// TestB11NoForgedIdentity is also P1 (aliases, on every route), P2 (underscores
// and dots), P3 (Connection), P4 (trailers) and P5 (malformed lines).
func TestB11NoForgedIdentityAtARawApplication(t *testing.T) {
	g := start(t, people(t), plainSite)
	g.app.set(upgrading)
	sites := strings.ReplaceAll(attackedSites, "{UP}", g.app.addr)
	if err := g.load(people(t), sites); err != nil {
		t.Fatal(err)
	}
	cookie := g.aliceCookie()
	g.attack(cookie, situations(), g.app.count, g.app.since)
}

func TestP2UnderscoresThatTheOperatorLetsIn(t *testing.T) {
	g := start(t, people(t), plainSite)
	sites := strings.ReplaceAll(attackedSites, "{UP}", g.app.addr)
	err := g.loadText(people(t), sites, func(s string) string {
		return strings.Replace(s, "protocols h1", "expected_underscore_headers X_* SM_* Remote_*\nexpected_dot_headers X.* SM.* Remote.*\nprotocols h1", 1)
	})
	if err != nil {
		t.Fatal(err)
	}
	cookie := g.aliceCookie()
	// Caddy really lets them in now.
	mark := g.app.count()
	g.sendRaw(fmt.Sprintf("GET /public/x HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nX_Mine: 1\r\nRemote.Mine: 2\r\n\r\n", g.port))
	if r := g.app.since(mark); len(r) != 1 || !strings.Contains(r[0], "X_mine: 1") || !strings.Contains(r[0], "Remote.mine: 2") {
		t.Fatalf("not let in: %q", r)
	}
	g.attack(cookie, only(situations(), "public", "signed in", "protect off", "beside the matcher"), g.app.count, g.app.since)
}

// notes is what an application of a test has seen, in the form of lines.
type notes struct {
	mu   sync.Mutex
	seen []string
}

func (n *notes) add(s string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.seen = append(n.seen, s)
}

func (n *notes) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.seen)
}

func (n *notes) since(i int) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.seen[i:])
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// A CGI program sees all spellings of a header as one variable.
func TestB11NoForgedIdentityAtACGIProgram(t *testing.T) {
	g := start(t, people(t), plainSite)
	l, n := listen(t), new(notes)
	program := &cgi.Handler{Path: "/bin/sh", Args: []string{"-c", `printf 'Content-Type: text/plain\r\n\r\n'; env`}, Stderr: io.Discard}
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body) // CGI wants a length; servers in front of it read the body first
			r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(b)), int64(len(b)), nil
			rec := httptest.NewRecorder()
			program.ServeHTTP(rec, r)
			var lines strings.Builder
			for line := range strings.Lines(rec.Body.String()) {
				if name, value, ok := strings.Cut(line, "="); ok {
					lines.WriteString(strings.TrimPrefix(name, "HTTP_") + ": " + value)
				}
			}
			n.add(lines.String())
			w.WriteHeader(rec.Code)
		}))
	}()
	if err := g.load(people(t), strings.ReplaceAll(attackedSites, "{UP}", l.Addr().String())); err != nil {
		t.Fatal(err)
	}
	g.attack(g.aliceCookie(), only(situations(), "public", "signed in"), n.count, n.since)
}

// TestB03RemoteUserOfFastCGI: REMOTE_USER and the folded headers of a FastCGI
// responder are ours alone, and empty where nobody is shown.
func TestB03RemoteUserOfFastCGI(t *testing.T) {
	g := start(t, people(t), plainSite)
	l, n := listen(t), new(notes)
	go func() {
		_ = fcgi.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var b strings.Builder
			for k, v := range r.Header {
				b.WriteString(k + ": " + strings.Join(v, ", ") + "\n")
			}
			fmt.Fprintf(&b, "CGI VARIABLE: [%s]\n", fcgi.ProcessEnv(r)["REMOTE_USER"])
			n.add(b.String())
			_, _ = io.WriteString(w, "ok")
		}))
	}()
	up := l.Addr().String() + " {\ntransport fastcgi {\nroot /srv\n}\n}"
	if err := g.load(people(t), strings.ReplaceAll(attackedSites, "{UP}", up)); err != nil {
		t.Fatal(err)
	}
	cookie := g.aliceCookie()
	g.attack(cookie, only(situations(), "public", "public though signed in", "optional, signed in", "signed in", "protect off", "beside the matcher"), n.count, n.since)
	for path, want := range map[string]string{"/public/x": "[]", "/optional/x": "[alice]", "/a": "[alice]"} {
		mark := n.count()
		g.raw(http.MethodGet, path, "", "Cookie", cookie, "Remote-User", "evil", "REMOTE-USER", "evil", "Authorization", "Basic ZXZpbDpldmls")
		if got := n.since(mark); len(got) != 1 || !strings.Contains(got[0], "CGI VARIABLE: "+want+"\n") {
			t.Errorf("%s: want REMOTE_USER %s, got %q", path, want, got)
		}
	}
	mark := n.count()
	g.raw(http.MethodGet, "/optional/x", "")
	if got := n.since(mark); len(got) != 1 || !strings.Contains(got[0], "CGI VARIABLE: []\n") {
		t.Errorf("nobody: %q", got)
	}
}

// HTTP/2 in clear text, with prior knowledge.
func TestB11NoForgedIdentityOverHTTP2(t *testing.T) {
	g := start(t, people(t), plainSite)
	if err := g.load(people(t), strings.ReplaceAll(attackedSites, "{UP}", g.app.addr)); err != nil {
		t.Fatal(err)
	}
	cookie := g.aliceCookie()
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	defer tr.CloseIdleConnections()
	send := func(path string, signedIn bool, h http.Header, trailer http.Header) []string {
		mark := g.app.count()
		var body io.Reader
		method := http.MethodGet
		if trailer != nil {
			method, body = http.MethodPost, io.MultiReader(strings.NewReader("body"))
		}
		req, err := http.NewRequest(method, g.url(path), body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header, req.Trailer = h, trailer
		if signedIn {
			req.Header["Cookie"] = []string{cookie}
		}
		res, err := tr.RoundTrip(req)
		if err != nil {
			t.Errorf("%v: %v", h, err)
			return nil
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.ProtoMajor != 2 {
			t.Fatalf("spoke %s", res.Proto)
		}
		return g.app.since(mark)
	}
	var heads []http.Header
	for _, f := range forgeries(t) {
		h := http.Header{}
		for _, l := range f.lines {
			name, value, _ := strings.Cut(l, ":")
			switch strings.ToLower(name) {
			case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer", "cookie": // not in HTTP/2
				continue
			}
			h[name] = append(h[name], strings.TrimSpace(value))
		}
		if f.status == 0 && len(h) > 0 && !strings.ContainsAny(strings.Join(f.lines, ""), "\r\n\t\x00") && f.lines[0][0] != ' ' && !strings.HasPrefix(f.name, "fold") {
			heads = append(heads, h)
		}
	}
	if len(heads) < 60 {
		t.Fatalf("only %d forgeries", len(heads))
	}
	for _, path := range []string{"/public/x", "/optional/x", "/a"} {
		for _, signedIn := range []bool{false, true} {
			ref := send(path, signedIn, http.Header{}, nil)
			if len(ref) == 0 {
				if path == "/a" && !signedIn {
					continue
				}
				t.Fatalf("%s: nothing arrived", path)
			}
			want := identityOf(ref[0])
			if shown := slices.Equal(want["sm_user"], []string{"alice"}); shown != (signedIn && path != "/public/x") {
				t.Fatalf("%s, signed in %v: %v", path, signedIn, want)
			}
			check := func(what any, reqs []string) {
				for _, r := range reqs {
					if id := identityOf(r); !maps.EqualFunc(id, want, slices.Equal[[]string]) {
						t.Errorf("%s %v: the application reads %v, want %v in\n%s", path, what, id, want, r)
					}
				}
			}
			for _, h := range heads {
				check(h, send(path, signedIn, h.Clone(), nil))
			}
			for _, name := range []string{"X-Remote-User", "Sm_user", "Remote-User", "X_Remote_User"} {
				check("trailer "+name, send(path, signedIn, http.Header{}, http.Header{name: {"evil"}}))
			}
		}
	}
}

// The application's cookies arrive byte for byte, ours never, and it cannot set ours (I12).
func TestB03CookiesOfTheApplication(t *testing.T) {
	g := start(t, people(t), "protect {\nheaders siteminder\npublic /public/*\noptional /optional/*\n}\nreverse_proxy {APP}")
	cookie := g.aliceCookie()
	name, _, _ := strings.Cut(cookie, "=")
	for _, path := range []string{"/a", "/public/x", "/optional/x"} {
		for sent, want := range map[string]string{
			cookie:                                                      "",
			"a=1; " + cookie + "; b=\"two; words\"":                     "a=1; b=\"two; words\"",
			"JSESSIONID=abc==;   x=%20 y; " + cookie:                    "JSESSIONID=abc==;   x=%20 y",
			cookie + "; ;;a=\xe9\xff; A=2":                              " ;;a=\xe9\xff; A=2",
			"sallyportal=1; xsallyport=2; " + cookie:                    "sallyportal=1; xsallyport=2",
			cookie + "; " + name + "=x; __Host-sallyport=1; a=b":        "a=b",
			cookie + "; " + strings.ToUpper(name) + "=x; a=b":           "a=b",
			cookie + "; " + name + ".p0123=x; " + name + ".device=y; a": "a",
		} {
			mark := g.app.count()
			g.raw(http.MethodGet, path, "", "Cookie", sent)
			reqs := g.app.since(mark)
			if len(reqs) != 1 {
				t.Fatalf("%s %q: the application saw %q", path, sent, reqs)
			}
			got := strings.Join(header(reqs[0], "Cookie"), "|")
			if got != strings.TrimSpace(want) {
				t.Errorf("%s %q: the application got %q, want %q", path, sent, got, want)
			}
		}
	}
	g.app.set(func(string) string {
		return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: " + name + "=evil; Path=/\r\nSet-Cookie: app=1; Path=/; weird\r\nSet-Cookie: " + strings.ToUpper(name) + ".p0123=evil\r\n" +
			"Set-Cookie: =" + name + "=evil\r\nSet-Cookie: __Host-sallyport=evil; Secure\r\nSet-Cookie:  " + name + " =evil\r\nset-cookie: APP2=\"x y\"\r\nConnection: close\r\n\r\nok"
	})
	for _, path := range []string{"/a", "/public/x", "/optional/x"} {
		p := g.raw(http.MethodGet, path, "", "Cookie", cookie)
		if got, want := p.Header["Set-Cookie"], []string{"app=1; Path=/; weird", `APP2="x y"`}; !slices.Equal(got, want) {
			t.Errorf("%s: the browser got %q, want %q", path, got, want)
		}
	}
	// What it sends ahead of its answer (RFC 8297) is an answer's, too.
	g.app.set(func(string) string {
		return "HTTP/1.1 103 Early Hints\r\nSet-Cookie: " + name + "=evil; Path=/\r\nSet-Cookie: app=1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
	})
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", g.port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintf(c, "GET /a HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nCookie: %s\r\nConnection: close\r\n\r\n", g.port, cookie)
	answer, err := io.ReadAll(c)
	if text := string(answer); err != nil || !strings.HasPrefix(text, "HTTP/1.1 103 ") || !strings.Contains(text, "Set-Cookie: app=1\r\n") || strings.Contains(text, "evil") {
		t.Errorf("hints: %q, %v", text, err)
	}
}

// An application never sees the text of a placeholder (caddy-notes: they are
// literal where nobody answers for them).
func TestB03PlaceholdersAreNeverLiteral(t *testing.T) {
	proxy := "reverse_proxy {UP} {\nheader_up X-User {http.auth.user.id}\nheader_up X-Mail \"<{http.auth.user.email}>\"\nheader_up X-None {http.auth.user.nothing}\n}\n"
	site := `http://127.0.0.1:{PORT} {
bind 127.0.0.1
protect {
public /public/*
optional /optional/*
}
` + proxy + `}
http://part.localhost:{PORT} {
bind 127.0.0.1
protect /app/*
` + proxy + `}
http://off.localhost:{PORT} {
bind 127.0.0.1
protect off
` + proxy + `}`
	g := start(t, people(t), strings.ReplaceAll(site, "{UP}", "{APP}"))
	cookie := g.aliceCookie()
	for _, c := range []struct{ host, path, cookie, user, mail string }{
		{"127.0.0.1", "/a", cookie, "alice", "<alice@example.test>"},
		{"127.0.0.1", "/optional/x", cookie, "alice", "<alice@example.test>"},
		{"127.0.0.1", "/optional/x", "", "", "<>"},
		{"127.0.0.1", "/public/x", "", "", "<>"},
		{"127.0.0.1", "/public/x", cookie, "", "<>"},
		{"part.localhost", "/b", "", "", "<>"},
		{"off.localhost", "/b", cookie, "", "<>"},
	} {
		mark := g.app.count()
		g.raw(http.MethodGet, c.path, "", "Host", fmt.Sprintf("%s:%d", c.host, g.port), "Cookie", c.cookie, "X-User", "evil", "X-None", "evil")
		reqs := g.app.since(mark)
		if len(reqs) != 1 {
			t.Fatalf("%+v: the application saw %q", c, reqs)
		}
		for name, want := range map[string]string{"X-User": c.user, "X-Mail": c.mail, "X-None": ""} {
			if got := header(reqs[0], name); !slices.Equal(got, []string{want}) {
				t.Errorf("%s%s: %s is %q, want %q", c.host, c.path, name, got, want)
			}
		}
		if strings.Contains(reqs[0], "{") {
			t.Errorf("%s%s: a literal placeholder:\n%s", c.host, c.path, reqs[0])
		}
	}
}

// Nested protects strip and capture once, and the inner one does not delete
// what the outer one injected.
func TestI18CaptureStripDecideInject(t *testing.T) {
	nested := "protect {\n" + ourHeaders + "public /public/*\n}\nhandle /inner/* {\nprotect {\n" + ourHeaders + "}\nreverse_proxy {APP}\n}\nhandle /public/* {\nprotect off\nreverse_proxy {APP}\n}\nhandle {\nreverse_proxy {APP}\n}"
	g := start(t, people(t), nested)
	cookie := g.aliceCookie()
	forged := []string{"X-Remote-User", "evil", "SM-USER", "evil", "x-dept", "evil"}
	check := func(path, cookie string, shown bool) {
		t.Helper()
		mark := g.app.count()
		g.raw(http.MethodGet, path, "", append([]string{"Cookie", cookie}, forged...)...)
		reqs := g.app.since(mark)
		if len(reqs) != 1 {
			t.Fatalf("%s: the application saw %q", path, reqs)
		}
		id := identityOf(reqs[0])
		want := 0
		if shown {
			want = 1
		}
		if len(id["x_remote_user"]) != want || len(id["sm_user"]) != want || len(id["x_dept"]) != 0 || strings.Contains(reqs[0], "evil") {
			t.Errorf("%s: %v", path, id)
		}
		if strings.Contains(reqs[0], "sallyport-") {
			t.Errorf("%s: our cookie reached the application", path)
		}
	}
	check("/inner/x", cookie, true)
	check("/a", cookie, true)
	check("/public/x", cookie, false)
	check("/public/x", "", false)
	want(t, g.raw(http.MethodGet, "/inner/x", "", forged...), http.StatusUnauthorized)
	// Base alone outside, the gate inside.
	if err := g.load(people(t), "protect off\nhandle /inner/* {\nprotect {\n"+ourHeaders+"}\nreverse_proxy {APP}\n}\nhandle_path /cut/* {\nprotect {\n"+ourHeaders+"}\nreverse_proxy {APP}\n}\nhandle {\nreverse_proxy {APP}\n}"); err != nil {
		t.Fatal(err)
	}
	check("/inner/x", cookie, true)
	check("/cut/x", cookie, true)
	check("/other", cookie, false)
	want(t, g.raw(http.MethodGet, "/inner/x", "", forged...), http.StatusUnauthorized)
	want(t, g.raw(http.MethodGet, "/cut/x", "", forged...), http.StatusUnauthorized)
}

func TestB8CachingOfAuthenticatedPages(t *testing.T) {
	g := start(t, people(t), "protect {\nheaders siteminder\npublic /public/*\noptional /optional/*\n}\nreverse_proxy {APP}")
	cookie := g.aliceCookie()
	for _, c := range []struct{ answer, private string }{
		{"Cache-Control: public, max-age=60", "private, max-age=60"},
		{"Cache-Control: s-maxage=600, max-age=60, must-revalidate", "private, max-age=60, must-revalidate"},
		{"Cache-Control: PUBLIC", "private"},
		{"Cache-Control: max-age=60", "private|max-age=60"},
		{"Cache-Control: no-store", "no-store"},
		{"Cache-Control: private, max-age=1", "private, max-age=1"},
		{"Cache-Control: max-age=5\r\nCache-Control: public", "private, max-age=5"},
		{"Expires: Thu, 01 Jan 2099 00:00:00 GMT", "private"},
		{"Cache-Control: private\r\nCDN-Cache-Control: public, max-age=600\r\nSurrogate-Control: max-age=600", "private"},
	} {
		g.app.set(func(string) string {
			return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + c.answer + "\r\nVary: Accept\r\nConnection: close\r\n\r\nok"
		})
		for _, path := range []string{"/a", "/optional/x"} {
			p := g.raw(http.MethodGet, path, "", "Cookie", cookie)
			if got := strings.Join(p.Header["Cache-Control"], "|"); got != c.private {
				t.Errorf("%s %q: Cache-Control %q, want %q", path, c.answer, got, c.private)
			}
			for _, h := range []string{"CDN-Cache-Control", "Surrogate-Control"} {
				if v := p.Header.Get(h); v != "" {
					t.Errorf("%s %q: %s %q passed", path, c.answer, h, v)
				}
			}
			if vary := strings.Join(p.Header["Vary"], ","); (path == "/optional/x") != strings.Contains(vary, "Cookie") || !strings.Contains(vary, "Accept") {
				t.Errorf("%s: Vary %q", path, vary)
			}
		}
		// Nobody on an optional route: cacheable, but only for those without a cookie.
		p := g.raw(http.MethodGet, "/optional/x", "")
		if !slices.Contains(p.Header["Vary"], "Cookie") {
			t.Errorf("optional, nobody: Vary %q", p.Header["Vary"])
		}
		// A public route is the application's own business.
		p = g.raw(http.MethodGet, "/public/x", "", "Cookie", cookie)
		for l := range strings.SplitSeq(c.answer, "\r\n") {
			name, value, _ := strings.Cut(l, ": ")
			if !slices.Contains(p.Header[http.CanonicalHeaderKey(name)], value) {
				t.Errorf("public: %s changed to %q", l, p.Header[http.CanonicalHeaderKey(name)])
			}
		}
	}
}
