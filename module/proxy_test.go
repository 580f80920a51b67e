package module_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// claims of proxies that anybody can write.
var forwarded = [][]string{
	{"X-Forwarded-Proto", "https"},
	{"X-Forwarded-Host", "evil.example"},
	{"X-Forwarded-For", "10.9.8.7"},
	{"X-Forwarded-Proto", "https", "X-Forwarded-Host", "evil.example", "X-Forwarded-For", "10.9.8.7", "X-Forwarded-Port", "443", "X-Forwarded-Prefix", "/evil"},
	{"Forwarded", "for=10.9.8.7;host=evil.example;proto=https"},
	{"X-Original-URL", "/public/x"},
	{"X-Original-Url", "/admin/x", "X-Rewrite-URL", "/public/x"},
	{"X-Forwarded-Uri", "/public/x", "X-Forwarded-Method", "OPTIONS"},
	{"X-Real-IP", "10.9.8.7", "True-Client-IP", "10.9.8.7", "CF-Connecting-IP", "10.9.8.7", "X-Client-IP", "10.9.8.7"},
	{"X-Forwarded-Scheme", "https", "X-Url-Scheme", "https", "Front-End-Https", "on", "X-Forwarded-Ssl", "on"},
	{"X-Host", "evil.example", "X-Forwarded-Server", "evil.example", "X-HTTP-Host-Override", "evil.example"},
}

// TestB12 is also P7: only what trusted_proxies says counts.
func TestB12ForwardedHeadersOfStrangersChangeNothing(t *testing.T) {
	op := newOP(t)
	global := asked(t, "corp", op) + "policy inside `request.ip.startsWith(\"10.\")`\npolicy tls `request.host == \"evil.example\"`\n"
	g := start(t, global, "protect {\nheader X-User {user.name}\npublic /public/*\nrequire /inside/* inside\nrequire /tls/* tls\n}\nreverse_proxy {APP}")
	b := newBrowser(t)
	landed(t, g.open(b, g.url("/a")), "/a", "")
	cookie := g.cookies(b)
	denied := 0
	for _, h := range forwarded {
		// The way into the login: redirect URI, cookie name and flags.
		p := g.raw(http.MethodGet, "/a", "", append([]string{"Accept", "text/html"}, h...)...)
		want(t, p, http.StatusSeeOther)
		to, err := url.Parse(p.Header.Get("Location"))
		if err != nil || to.Query().Get("redirect_uri") != g.url("/.identity/callback/corp") {
			t.Errorf("%v: redirect to %q", h, p.Header.Get("Location"))
		}
		for _, c := range p.Header["Set-Cookie"] {
			if !strings.HasPrefix(c, fmt.Sprintf("sallyport-%d.p", g.port)) || strings.Contains(c, "Secure") || strings.Contains(c, "Domain") {
				t.Errorf("%v: cookie %s", h, c)
			}
		}
		// Policy and audit.
		for _, path := range []string{"/inside/x", "/tls/x"} {
			want(t, g.raw(http.MethodGet, path, "", append([]string{"Cookie", cookie}, h...)...), http.StatusForbidden)
			denied++
			if e := g.events("denied", denied)[denied-1]; e["ip"] != "127.0.0.1" || e["path"] != path || e["host"] != fmt.Sprintf("127.0.0.1:%d", g.port) {
				t.Errorf("%v: event %v", h, e)
			}
		}
		// A session stays a session, and nobody becomes somebody.
		want(t, g.raw(http.MethodGet, "/a", "", append([]string{"Cookie", cookie}, h...)...), http.StatusOK)
		mark := g.app.count()
		want(t, g.raw(http.MethodGet, "/a", "", h...), http.StatusUnauthorized)
		if g.app.count() != mark {
			t.Errorf("%v: a stranger reached the application", h)
		}
		// Logout leads to our own pages only.
		p = g.raw(http.MethodGet, "/.identity/logout", "", append([]string{"Accept", "text/html"}, h...)...)
		if strings.Contains(p.Body, "evil.example") {
			t.Errorf("%v: the page names a foreign host", h)
		}
	}
}

func TestB12TrustedProxiesAreBelieved(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "corp", op)+"policy inside `request.ip.startsWith(\"10.\") && request.host == \"app.example.test\"`\ntrusted_proxies static 127.0.0.0/8\n",
		"protect {\nheader X-User {user.name}\nrequire /outside/* `request.ip.startsWith(\"192.\")`\n}\nreverse_proxy {APP}")
	h := []string{"X-Forwarded-Proto", "https", "X-Forwarded-Host", "app.example.test", "X-Forwarded-For", "10.9.8.7"}
	p := g.raw(http.MethodGet, "/a", "", append([]string{"Accept", "text/html"}, h...)...)
	want(t, p, http.StatusSeeOther)
	to, _ := url.Parse(p.Header.Get("Location"))
	if got := to.Query().Get("redirect_uri"); got != "https://app.example.test/.identity/callback/corp" {
		t.Errorf("redirect_uri %q", got)
	}
	for _, c := range p.Header["Set-Cookie"] {
		if !strings.HasPrefix(c, "__Host-sallyport.p") || !strings.Contains(c, "Secure") {
			t.Errorf("cookie %s", c)
		}
	}
	// The whole login behind TLS that ends in front of us.
	pending, _, _ := strings.Cut(p.Header.Get("Set-Cookie"), ";")
	back := g.answer(to)
	p = g.raw(http.MethodGet, back.RequestURI(), "", append([]string{"Accept", "text/html", "Cookie", pending}, h...)...)
	if p.Status != http.StatusSeeOther || p.Header.Get("Location") != "https://app.example.test/a" {
		t.Fatalf("landed with %d at %q\n%s", p.Status, p.Header.Get("Location"), p.Text())
	}
	cookie := ""
	for _, c := range p.Header["Set-Cookie"] {
		if strings.HasPrefix(c, "__Host-sallyport=") {
			cookie, _, _ = strings.Cut(c, ";")
			for _, flag := range []string{"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} {
				if !strings.Contains(c, flag) {
					t.Errorf("%s lacks %s", c, flag)
				}
			}
		}
	}
	if e := g.events("login", 1)[0]; e["ip"] != "10.9.8.7" || e["host"] != "app.example.test" {
		t.Errorf("login event %v", e)
	}
	want(t, g.raw(http.MethodGet, "/a", "", append([]string{"Cookie", cookie}, h...)...), http.StatusOK)
	want(t, g.raw(http.MethodGet, "/outside/x", "", append([]string{"Cookie", cookie}, h...)...), http.StatusForbidden)
	// The ticket is good for that origin only, not for the bare one.
	want(t, g.raw(http.MethodGet, "/a", "", "Cookie", cookie), http.StatusUnauthorized)
	// What is no host or scheme is not believed.
	for _, bad := range [][]string{
		{"X-Forwarded-Proto", "javascript"}, {"X-Forwarded-Host", "a.example.test, evil.example"}, {"X-Forwarded-Host", "evil.example/x"}, {"X-Forwarded-Host", "user@evil.example"},
	} {
		p := g.raw(http.MethodGet, "/a", "", append([]string{"Accept", "text/html"}, bad...)...)
		to, _ := url.Parse(p.Header.Get("Location"))
		if u, err := url.Parse(to.Query().Get("redirect_uri")); err != nil || strings.Contains(u.Host, "evil") || u.Scheme != "http" {
			t.Errorf("%v: redirect_uri %q", bad, to.Query().Get("redirect_uri"))
		}
	}
}

func TestB12TheURLOptionOverrulesEverything(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "corp", op), "protect {\nurl https://payroll.example.com\n}\nreverse_proxy {APP}")
	for _, h := range append(forwarded, []string{"Host", "127.0.0.1"}) {
		p := g.raw(http.MethodGet, "/a", "", append([]string{"Accept", "text/html"}, h...)...)
		want(t, p, http.StatusSeeOther)
		to, _ := url.Parse(p.Header.Get("Location"))
		if got := to.Query().Get("redirect_uri"); got != "https://payroll.example.com/.identity/callback/corp" {
			t.Errorf("%v: redirect_uri %q", h, got)
		}
		for _, c := range p.Header["Set-Cookie"] {
			if !strings.HasPrefix(c, "__Host-sallyport.p") || !strings.Contains(c, "Secure") {
				t.Errorf("%v: cookie %s", h, c)
			}
		}
	}
}

func TestP9HostTricks(t *testing.T) {
	g := start(t, people(t)+adminPolicy, "http://127.0.0.1:{PORT}, http://localhost:{PORT} {\nbind 127.0.0.1\nprotect {\nheaders siteminder\nrequire /admin/* admins\n}\nreverse_proxy {APP}\n}")
	bob := g.cookieOf("bob")
	p, port := "127.0.0.1", fmt.Sprint(g.port)
	for _, c := range []struct {
		host string
		same bool // as the origin that bob signed in at
	}{
		{p + ":" + port, true},
		{p + ".:" + port, true},
		{p, false},
		{p + ":80", false},
		{p + ":0" + port, false},
		{"localhost:" + port, false},
		{"LOCALHOST:" + port, false},
		{"localhost.:" + port, false},
		{"evil.example", false},
		{"evil.example:" + port, false},
		{"localhost.evil.example", false},
		{p + ":" + port + "@evil.example", false},
		{p + ":" + port + ",evil.example", false},
		{"evil.example#" + p, false},
		{"", false},
	} {
		mark := g.app.count()
		send := func(path string) int {
			return g.sendRaw(fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nAccept: text/html\r\nCookie: %s\r\n\r\n", path, c.host, bob))
		}
		if s := send("/admin/x"); s == http.StatusOK && g.app.count() != mark {
			t.Errorf("%q: bob got /admin/x", c.host)
		}
		s := send("/a")
		if got := g.app.count() != mark; got && !c.same || c.same && s != http.StatusOK && s != http.StatusBadRequest {
			t.Errorf("%q: %d, reached the application %v", c.host, s, got)
		}
	}
	// A ticket is as good under the other spellings of its host.
	name := fmt.Sprintf("sallyport-%d", g.port)
	b := browser.New()
	defer b.Close()
	at := fmt.Sprintf("http://localhost:%d/a", g.port)
	page := g.open(b, at)
	f, err := page.FormWith("username")
	if err != nil {
		t.Fatal(err)
	}
	g.submitOnly(b, f, "bob", "bobpw")
	cookie := ""
	for _, c := range b.Jar.Cookies(at) {
		if c.Name == name {
			cookie = c.Name + "=" + c.Value
		}
	}
	for _, host := range []string{"localhost:" + port, "LocalHost:" + port, "LOCALHOST.:" + port} {
		req := "GET %s HTTP/1.1\r\nHost: " + host + "\r\nCookie: " + cookie + "\r\n\r\n"
		mark := g.app.count()
		g.sendRaw(fmt.Sprintf(req, "/a"))
		if reached := g.app.count() - mark; reached != 1 && !strings.Contains(host, ".:") { // Caddy may know no site of that name
			t.Errorf("%s: bob's ticket is worth nothing", host)
		}
		mark = g.app.count()
		g.sendRaw(fmt.Sprintf(req, "/admin/x"))
		if g.app.count() != mark {
			t.Errorf("%s: bob got /admin/x", host)
		}
	}
	// Absolute-form targets (RFC 9112 §3.2.2): their host counts, not the Host line.
	for target, want := range map[string][]int{
		fmt.Sprintf("http://127.0.0.1:%d/a", g.port):                {200},
		fmt.Sprintf("http://127.0.0.1:%d/admin/x", g.port):          {403},
		fmt.Sprintf("HTTP://127.0.0.1:%d/admin/x", g.port):          {403},
		fmt.Sprintf("http://127.0.0.1:%d//admin/x", g.port):         {400},
		fmt.Sprintf("http://127.0.0.1:%d/x/../admin/x", g.port):     {400},
		fmt.Sprintf("http://127.0.0.1:%d/x/%%2e%%2e/admin", g.port): {400},
		fmt.Sprintf("http://127.0.0.1:%d/;/admin/x", g.port):        {400},
		fmt.Sprintf("http://127.0.0.1:%d/x\\..\\admin", g.port):     {400},
		fmt.Sprintf("http://127.0.0.1:%d", g.port):                  {200},
		fmt.Sprintf("https://127.0.0.1:%d/admin/x", g.port):         {403},
		fmt.Sprintf("http://u:p@127.0.0.1:%d/admin/x", g.port):      {400, 403},
		"http://evil.example/a":                                     {200}, // Caddy's empty answer: no site
		"ftp://evil.example/admin/x":                                {200, 400},
	} {
		mark := g.app.count()
		s := g.sendRaw(fmt.Sprintf("GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nCookie: %s\r\n\r\n", target, g.port, bob))
		if !slices.Contains(want, s) || g.app.count() != mark && !(s == 200 && strings.Contains(target, "127.0.0.1")) {
			t.Errorf("%s: want %v, got %d, reached the application %v", target, want, s, g.app.count() != mark)
		}
	}
}

func TestP10MethodsDoNotSkipRules(t *testing.T) {
	g := start(t, people(t)+adminPolicy, "protect {\nheaders siteminder\nrequire /admin/* admins\nrequire /read/* `request.method == \"GET\"`\n}\nreverse_proxy {APP}")
	bob := g.cookieOf("bob")
	send := func(method, path, cookie string, more ...string) int {
		req := method + " " + path + " HTTP/1.1\r\nHost: 127.0.0.1:" + fmt.Sprint(g.port) + "\r\n"
		if cookie != "" {
			req += "Cookie: " + cookie + "\r\n"
		}
		for _, m := range more {
			req += m + "\r\n"
		}
		return g.sendRaw(req + "\r\n")
	}
	mark := g.app.count()
	for _, m := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "LOCK", "PURGE", "get", "Get", "FOO", "GET-X", "M-SEARCH"} {
		for _, more := range [][]string{nil, {"X-HTTP-Method-Override: GET"}, {"X-Method-Override: OPTIONS", "X-HTTP-Method: HEAD"}, {"Accept: text/html", "Sec-Fetch-Mode: navigate"}} {
			if s := send(m, "/admin/x", bob, more...); s != http.StatusForbidden {
				t.Errorf("%s %v of bob: want 403, got %d", m, more, s)
			}
			if s := send(m, "/a", "", more...); s != http.StatusUnauthorized && s != http.StatusSeeOther {
				t.Errorf("%s %v of a stranger: got %d", m, more, s)
			}
			if m != "GET" {
				if s := send(m, "/read/x", bob, more...); s != http.StatusForbidden {
					t.Errorf("%s %v where only GET may: got %d", m, more, s)
				}
			}
		}
	}
	for _, path := range []string{"/admin/x", "/a", "/read/x"} { // a tunnel is nobody's
		if s := send("CONNECT", path, bob); s != http.StatusBadRequest {
			t.Errorf("CONNECT %s: want 400, got %d", path, s)
		}
	}
	if n := g.app.count(); n != mark {
		t.Errorf("%d requests reached the application", n-mark)
	}
	if s := send("GET", "/read/x", bob, "X-HTTP-Method-Override: DELETE"); s != http.StatusOK {
		t.Errorf("GET that wants to be DELETE: %d", s)
	}
	if s := send("GET", "/read/x?_method=DELETE", bob); s != http.StatusOK {
		t.Errorf("GET with _method: %d", s)
	}
}

func TestP11NoProbeIsLetIn(t *testing.T) {
	g := start(t, people(t), plainSite)
	mark := g.app.count()
	for _, ua := range []string{"", "GoogleHC/1.0", "kube-probe/1.29", "ELB-HealthChecker/2.0", "Prometheus/2.0", "Consul Health Check", "curl/8", "Amazon-Route53-Health-Check-Service", "Googlebot/2.1", "sallyport", "Go-http-client/1.1"} {
		for _, path := range []string{"/", "/ping", "/health", "/healthz", "/ready", "/metrics", "/status", "/robots.txt", "/favicon.ico", "/.well-known/security.txt", "/.well-known/acme-challenge/x", "/oauth2/ping", "/.identity", "/.identity/x"} {
			p := g.raw(http.MethodGet, path, "", "User-Agent", ua)
			if p.Status != http.StatusUnauthorized && p.Status != http.StatusNotFound {
				t.Errorf("%q at %s: %d", ua, path, p.Status)
			}
		}
	}
	if n := g.app.count(); n != mark {
		t.Errorf("%d requests reached the application", n-mark)
	}
}

func TestP12WebSocket(t *testing.T) {
	var mu sync.Mutex
	var heads []http.Header
	up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		heads = append(heads, r.Header.Clone())
		mu.Unlock()
		c, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		for {
			kind, b, err := c.ReadMessage()
			if err != nil {
				return
			}
			if c.WriteMessage(kind, b) != nil {
				return
			}
		}
	}))
	defer app.Close()
	g := start(t, people(t), "protect {\nheaders siteminder\nheaders remote_user\npublic /public/*\noptional /optional/*\n}\nreverse_proxy "+strings.TrimPrefix(app.URL, "http://"))
	login := newBrowser(t)
	f, err := g.open(login, g.url("/.identity/login?return_to=/.identity/session")).FormWith("username")
	if err != nil {
		t.Fatal(err)
	}
	want(t, g.submitOnly(login, f, "alice", "alicepw"), http.StatusSeeOther)
	cookie := g.cookies(login)
	dial := func(path string, pairs ...string) (*websocket.Conn, int) {
		h := http.Header{}
		for i := 0; i+1 < len(pairs); i += 2 {
			h.Add(pairs[i], pairs[i+1])
		}
		c, res, err := websocket.DefaultDialer.Dial(strings.Replace(g.url(path), "http", "ws", 1), h)
		if err != nil && res == nil {
			t.Fatal(err)
		}
		if len(res.Header["Set-Cookie"]) > 0 {
			t.Errorf("%s: an upgrade set a cookie", path)
		}
		if c != nil {
			t.Cleanup(func() { c.Close() })
		}
		return c, res.StatusCode
	}
	seen := func() int { mu.Lock(); defer mu.Unlock(); return len(heads) }
	for _, c := range []struct {
		path   string
		status int
		h      []string
	}{
		{"/ws", 401, nil},
		{"/ws", 401, []string{"Origin", g.url("")}},
		{"/ws", 401, []string{"Cookie", fmt.Sprintf("sallyport-%d=%s", g.port, strings.Repeat("A", 43))}},
		{"/ws", 403, []string{"Cookie", cookie, "Origin", "https://evil.example"}},
		{"/ws", 403, []string{"Cookie", cookie, "Origin", "null"}},
		{"/ws", 403, []string{"Cookie", cookie, "Origin", "http://127.0.0.1"}},
		{"/ws", 403, []string{"Cookie", cookie, "Origin", strings.Replace(g.url(""), "http:", "https:", 1)}},
		{"/ws", 403, []string{"Cookie", cookie, "Origin", fmt.Sprintf("http://127.0.0.1:%d.evil.example", g.port)}},
		{"/optional/ws", 403, []string{"Cookie", cookie, "Origin", "https://evil.example"}},
	} {
		if _, s := dial(c.path, c.h...); s != c.status {
			t.Errorf("%s %v: want %d, got %d", c.path, c.h, c.status, s)
		}
	}
	if seen() != 0 {
		t.Fatalf("refused upgrades reached the application: %v", heads)
	}
	// Public, with a foreign origin: the application's own business, and nobody is shown.
	if _, s := dial("/public/ws", "Cookie", cookie, "Origin", "https://evil.example", "Remote-User", "evil"); s != http.StatusSwitchingProtocols {
		t.Errorf("public: %d", s)
	} else if mu.Lock(); len(heads[0]["Remote-User"])+len(heads[0]["Cookie"]) != 0 {
		t.Errorf("public: %v", heads[0])
		mu.Unlock()
	} else {
		mu.Unlock()
	}
	// Signed in, also when the identity headers are named in Connection (P3).
	for _, h := range [][]string{{"Origin", g.url("")}, nil, {"Remote-User", "evil", "SM-USER", "evil"}} {
		n := seen()
		c, s := dial("/ws", append([]string{"Cookie", cookie}, h...)...)
		if c == nil {
			t.Fatalf("%v: %d", h, s)
		}
		if err := c.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		if _, b, err := c.ReadMessage(); err != nil || string(b) != "hello" {
			t.Errorf("echo: %q, %v", b, err)
		}
		mu.Lock()
		if got := heads[n]["Remote-User"]; !slices.Equal(got, []string{"alice"}) || len(heads[n]["Sm-User"]) != 0 {
			t.Errorf("%v: the application saw %v", h, heads[n])
		}
		mu.Unlock()
	}
	// B16: it ends with the session.
	c, _ := dial("/ws", "Cookie", cookie)
	open, _ := dial("/public/ws", "Cookie", cookie)
	begin := time.Now()
	p, err := login.Send(browser.Request{Method: http.MethodPost, URL: g.url("/.identity/logout"), From: f.Page})
	if err != nil {
		t.Fatal(err)
	}
	want(t, p, http.StatusOK)
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, _, err := c.ReadMessage(); err == nil {
		t.Error("a message after logout")
	}
	if d := time.Since(begin); d > 2*time.Second {
		t.Errorf("the WebSocket ended %s after the session", d)
	}
	if err := open.WriteMessage(websocket.TextMessage, []byte("x")); err != nil {
		t.Errorf("a public WebSocket ended with a session: %v", err)
	}
	if _, s := dial("/ws", "Cookie", cookie); s != http.StatusUnauthorized {
		t.Errorf("after logout: %d", s)
	}
}

// TestP14 is also B22 and B23: what a provider says about a person is data.
func TestP14HostileAttributeValues(t *testing.T) {
	t.Setenv("SALLYPORT_TEST_ENV", "leaked-from-the-environment")
	op := newOP(t)
	names := []string{"dept", "placeholder", "groups", "number", "big", "yes", "list", "nested", "missing", "nothing", "nul", "blank", "unicode", "folded", "percent", "one_group"}
	site := "protect {\nheader X-Key {user.key}\n"
	for _, n := range names {
		site += "header X-" + n + " {user." + n + "}\n"
	}
	site += "header X-Mixed \"<{user.dept}>\"\n}\nreverse_proxy {APP} {\nheader_up X-Up-Dept {http.auth.user.dept}\nheader_up X-Up-Placeholder {http.auth.user.placeholder}\nheader_up X-Up-Groups {http.auth.user.groups}\n}"
	g := start(t, asked(t, "corp", op), site)
	op.SetUser(map[string]any{
		"sub": "u-1", "preferred_username": "mallory",
		"dept":        "sales\r\nX-Evil: 1\r\n\r\nGET /smuggled HTTP/1.1",
		"placeholder": "{env.SALLYPORT_TEST_ENV}{http.request.header.X-Probe}{file./etc/passwd}",
		"groups":      []any{"a,b", "c", "d\ne", "", "{env.HOME}"},
		"number":      1234567890123, "big": 1e21, "yes": true, "list": []any{1, "x", false, nil}, "nested": map[string]any{"a": []any{"b\n"}},
		"nothing": nil, "nul": "a\x00b", "blank": "  admin  ", "unicode": "Grüße 李", "folded": "a\r\n X-Evil: 2", "percent": "100% a%2Cb", "one_group": []any{"a%2Cb"},
	})
	b := newBrowser(t)
	landed(t, g.open(b, g.url("/a")), "/a", "corp:u-1")
	mark := g.app.count()
	g.raw(http.MethodGet, "/a", "", "Cookie", g.cookies(b), "X-Probe", "probed")
	reqs := g.app.since(mark)
	if len(reqs) != 1 {
		t.Fatalf("the application saw %q", reqs)
	}
	head := reqs[0]
	if strings.Contains(head, "\nX-Evil") || strings.Contains(head, "\nGET /smuggled") || strings.Contains(head, "leaked-from") || strings.Contains(head, "root:") || strings.Count(head, "probed") != 1 {
		t.Errorf("a value became something else:\n%s", head)
	}
	for n, want := range map[string][]string{
		"X-dept":        {"sales%0D%0AX-Evil: 1%0D%0A%0D%0AGET /smuggled HTTP/1.1"},
		"X-placeholder": {"{env.SALLYPORT_TEST_ENV}{http.request.header.X-Probe}{file./etc/passwd}"},
		"X-groups":      {"a%2Cb,c,d%0Ae,{env.HOME}"},
		"X-number":      {"1234567890123"}, "X-big": {"1000000000000000000000"}, "X-yes": {"true"}, "X-list": {"1,x,false"},
		"X-nested": {`{"a":["b\n"]}`}, "X-missing": nil, "X-nothing": nil, "X-nul": {"a%00b"}, "X-blank": {"%20%20admin%20%20"},
		"X-unicode": {"Gr%C3%BC%C3%9Fe %E6%9D%8E"}, "X-folded": {"a%0D%0A X-Evil: 2"}, "X-percent": {"100% a%2Cb"}, "X-one_group": {"a%252Cb"},
		"X-Mixed":          {"<sales%0D%0AX-Evil: 1%0D%0A%0D%0AGET /smuggled HTTP/1.1>"},
		"X-Up-Placeholder": {"{env.SALLYPORT_TEST_ENV}{http.request.header.X-Probe}{file./etc/passwd}"},
	} {
		// header_up makes Caddy write every name in its canonical case.
		if got := header(head, http.CanonicalHeaderKey(n)); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", n, got, want)
		}
	}
	if got := header(head, "X-Up-Groups"); len(got) != 1 || strings.Count(got[0], ",") != 3 {
		t.Errorf("header_up reads other groups: %q", got)
	}
}

func TestP14TooLongAValueIsRefused(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "corp", op), "protect {\nheader X-Groups {user.groups}\n}\nreverse_proxy {APP}")
	groups := make([]any, 1000)
	for i := range groups {
		groups[i] = fmt.Sprintf("group-%04d", i)
	}
	op.SetUser(map[string]any{"sub": "u-1", "preferred_username": "alice", "groups": groups})
	p := g.open(newBrowser(t), g.url("/a"))
	want(t, p, http.StatusForbidden)
	e := g.events("denied", 1)[0]
	if e["reason"] != "header_too_long" || !p.Has(e["id"].(string)) || !strings.Contains(fmt.Sprint(e["detail"]), "X-Groups") || e["user"] != "corp:u-1" {
		t.Errorf("event %v, page\n%s", e, p.Text())
	}
	if n := g.app.count(); n != 0 {
		t.Errorf("%d requests reached the application", n)
	}
	// B03: the browser carries little for it all the same.
	total := 0
	for _, c := range p.Browser.Jar.Cookies(g.url("/")) {
		total += len(c.Name) + len(c.Value) + 3
	}
	if total >= 300 {
		t.Errorf("cookies of %d bytes", total)
	}
}

// logged is a gateway whose whole log, at level debug, is in a file, and each
// site's access log in another.
func logged(t *testing.T, global, site string) (g *gateway, read func() string) {
	t.Helper()
	g = start(t, global, "respond ok") // for its folder
	all, access := filepath.Join(g.dir, "all.log"), filepath.Join(g.dir, "access.log")
	if !strings.Contains(global, "store ") {
		global += "store memory\n"
	}
	global += "audit file " + g.audit + "\naudit log\n}\nlog {\noutput file " + all + "\nformat json\nlevel DEBUG"
	if !strings.Contains(site, "http://") {
		site = "log {\noutput file " + access + "\nformat json\n}\n" + site
	}
	if err := g.load(global, site); err != nil {
		t.Fatal(err)
	}
	return g, func() string {
		t.Helper()
		text := ""
		for _, f := range []string{all, access, g.audit} {
			b, err := os.ReadFile(f)
			if err != nil && f == all {
				t.Fatal(err)
			}
			text += string(b)
		}
		return text
	}
}

func TestP15NoSecretsInLogsAndNoForgedLines(t *testing.T) {
	op := newOP(t)
	g, read := logged(t, people(t)+asked(t, "op", op)+adminPolicy, "protect {\nheaders siteminder\nrequire /admin/* admins\n}\nreverse_proxy {APP}")
	secrets := map[string]string{}
	keep := func(what, value string) {
		if len(value) >= 6 {
			secrets[value] = what
		}
	}
	for _, p := range []string{"alicepw", "a-wrong-password", "mallory\npassword", oidctest.Secret, url.QueryEscape(oidctest.Secret)} {
		keep("password", p)
	}
	keep("hash", hashOf(t, "alicepw"))
	keep("hash", hashOf(t, "bobpw"))
	cookies := func(p *browser.Page) {
		for _, l := range p.Header["Set-Cookie"] {
			pair, _, _ := strings.Cut(l, ";")
			name, value, _ := strings.Cut(pair, "=")
			if !strings.Contains(name, ".recent") {
				keep("cookie "+name, value)
			}
		}
	}
	// Local: chooser, wrong answers, hostile names, the right one, logout.
	b := newBrowser(t)
	p := g.open(b, g.url("/.identity/login?provider=corp&return_to=/a"))
	f, err := p.FormWith("username")
	if err != nil {
		t.Fatalf("%v\n%s", err, p.Text())
	}
	keep("form token", f.Fields.Get("token"))
	for _, name := range []string{"alice", "eve\n{\"level\":\"forged\"}\n", "eve\x1b[31m\r\nforged", "alice\x00"} {
		cookies(g.submitOnly(b, f, name, "a-wrong-password"))
	}
	if f, err = g.open(b, g.url("/.identity/login?provider=corp&return_to=/a")).FormWith("username"); err != nil {
		t.Fatal(err)
	}
	p = g.submitOnly(b, f, "alice", "alicepw")
	cookies(p)
	want(t, p, http.StatusSeeOther)
	local := g.cookies(b)
	for _, h := range [][]string{nil, {"User-Agent", "x\"}\t{\"level\":\"forged\"}"}, {"X-Forwarded-For", "1.2.3.4\t{\"level\":\"forged\"}"}, {"Referer", "http://x/?code=1\t{\"level\":\"forged\"}"}} {
		g.raw(http.MethodGet, "/a", "", append([]string{"Cookie", local}, h...)...)
		g.raw(http.MethodGet, "/a/%2e%2e/%22%7D", "", append([]string{"Cookie", local}, h...)...)
	}
	g.raw(http.MethodGet, "/.identity/nothing%0a%7B%22level%22:%22forged%22%7D", "", "Cookie", local)
	g.raw(http.MethodGet, "/.identity/callback/nobody?code=a-foreign-code&state=a-foreign-state", "", "Cookie", local)
	keep("code", "a-foreign-code")
	keep("state", "a-foreign-state")
	// OIDC: redirect, callback, replay, errors that the provider words, logout.
	op.SetUser(map[string]any{"sub": "u-1", "preferred_username": "eve\n{\"level\":\"forged\"}", "name": "x\r\nforged"})
	o := newBrowser(t)
	o.Header.Set("Accept", "text/html")
	start := g.send(o, browser.Request{URL: g.url("/.identity/login?provider=op&return_to=/a")})
	cookies(start)
	to, err := url.Parse(start.Header.Get("Location"))
	if err != nil || to.Query().Get("state") == "" {
		t.Fatalf("no way to the provider: %d %q", start.Status, start.Header.Get("Location"))
	}
	back := g.answer(to)
	for _, k := range []string{"state", "nonce", "code_challenge"} {
		keep(k, to.Query().Get(k))
	}
	keep("code", back.Query().Get("code"))
	g.raw(http.MethodGet, "/.identity/callback/op?"+url.Values{"state": {to.Query().Get("state")}, "error": {"access_denied"}, "error_description": {"x\n{\"level\":\"forged\"}"}}.Encode(), "", "Cookie", local)
	cookies(g.send(o, browser.Request{URL: back.String()}))
	ticket := g.cookies(o)
	cookies(g.send(o, browser.Request{URL: back.String()}))
	for _, r := range op.TokenRequests() {
		keep("code", r.Get("code"))
		keep("verifier", r.Get("code_verifier"))
	}
	g.raw(http.MethodGet, "/a", "", "Cookie", ticket)
	g.raw(http.MethodGet, "/admin/x", "", "Cookie", ticket)
	out := g.leave(o)
	if u, err := url.Parse(out.Header.Get("Location")); err == nil {
		keep("ID token", u.Query().Get("id_token_hint"))
		keep("logout state", u.Query().Get("state"))
	}
	g.raw(http.MethodPost, "/.identity/backchannel-logout/op", "logout_token=a-forged-logout-token", "Content-Type", "application/x-www-form-urlencoded")
	keep("logout token", "a-forged-logout-token")
	g.raw(http.MethodGet, framed("op", "iss", op.Issuer, "sid", "a-session-id-at-the-provider"), "", frame...)
	keep("sid", "a-session-id-at-the-provider")
	g.raw(http.MethodGet, "/.identity/logout?state=a-state-of-a-logout", "", "Accept", "text/html")
	keep("logout state", "a-state-of-a-logout")
	g.leave(b)
	if key, err := os.ReadFile(filepath.Join(g.dir, "sallyport/keys/cluster")); err != nil {
		t.Errorf("the cluster key is not where it was: %v", err)
	} else {
		keep("cluster key", strings.TrimSpace(string(key)))
	}
	g.events("logout", 2)

	text := read()
	if len(secrets) < 15 || strings.Count(text, "\n") < 40 {
		t.Fatalf("only %d secrets and %d lines", len(secrets), strings.Count(text, "\n"))
	}
	for s, what := range secrets {
		for _, form := range []string{s, url.QueryEscape(s)} {
			if i := strings.Index(text, form); i >= 0 {
				line := text[strings.LastIndexByte(text[:i], '\n')+1:]
				line, _, _ = strings.Cut(line, "\n")
				t.Errorf("%s %q is in the log: %s", what, form, line)
				break
			}
		}
	}
	for l := range strings.Lines(text) {
		var m map[string]any
		if err := json.Unmarshal([]byte(l), &m); err != nil {
			t.Errorf("no line of ours: %q", l)
		}
		if m["level"] == "forged" || strings.ContainsAny(strings.TrimSuffix(l, "\n"), "\r\x1b\x00") {
			t.Errorf("a forged line: %q", l)
		}
	}
	for _, wanted := range []string{`"msg":"login begun"`, `"msg":"callback"`} {
		if !strings.Contains(text, wanted) {
			t.Errorf("nothing stands in for the hidden access lines: no %s", wanted)
		}
	}
}

// A proxy that a request reaches without base is named at the start.
func TestI18ProxiesThatBypassBaseAreNamed(t *testing.T) {
	site := `http://good.localhost:{PORT} {
bind 127.0.0.1
protect {
headers siteminder
}
handle /x/* {
reverse_proxy 127.0.0.1:9001
}
handle {
reverse_proxy 127.0.0.1:9002
}
handle_errors {
protect off
reverse_proxy 127.0.0.1:9003
}
}
http://off.localhost:{PORT} {
bind 127.0.0.1
protect off
handle_path /y/* {
protect {
headers siteminder
}
reverse_proxy 127.0.0.1:9004
}
reverse_proxy 127.0.0.1:9005
}
http://open.localhost:{PORT} {
bind 127.0.0.1
reverse_proxy 127.0.0.1:9011 127.0.0.1:9012
}
http://inner.localhost:{PORT} {
bind 127.0.0.1
handle /in/* {
protect
reverse_proxy 127.0.0.1:9006
}
handle {
reverse_proxy 127.0.0.1:9013
}
}
http://order.localhost:{PORT} {
bind 127.0.0.1
route {
reverse_proxy /first/* 127.0.0.1:9014
protect
reverse_proxy 127.0.0.1:9007
}
}
http://errors.localhost:{PORT} {
bind 127.0.0.1
protect
reverse_proxy 127.0.0.1:9008
handle_errors {
reverse_proxy 127.0.0.1:9015
}
}
http://group.localhost:{PORT} {
bind 127.0.0.1
handle /in/* {
header X-A 1
}
handle {
protect
}
reverse_proxy 127.0.0.1:9018
}
http://lost.localhost:{PORT} {
bind 127.0.0.1
handle_path /cut/* {
invoke inner
}
respond "front page"
}
http://found.localhost:{PORT} {
bind 127.0.0.1
@office client_ip 10.0.0.0/8
handle /in/* {
protect
respond "in"
}
handle @office {
protect
respond "office"
}
}
http://php.localhost:{PORT} {
bind 127.0.0.1
php_fastcgi 127.0.0.1:9016
}
http://invoked.localhost:{PORT} {
bind 127.0.0.1
invoke shared
}
`
	g, read := logged(t, people(t), "http://first.localhost:{PORT} {\nbind 127.0.0.1\nrespond ok\n}")
	err := g.loadText(people(t)+"store memory\naudit file "+g.audit+"\n}\nlog {\noutput file "+filepath.Join(g.dir, "all.log")+"\nformat json\nlevel DEBUG", site, func(s string) string {
		// Named routes stand in front of the sites.
		i := strings.Index(s, "http://good")
		return s[:i] + "&(shared) {\nreverse_proxy 127.0.0.1:9017\n}\n&(inner) {\nprotect\nrespond inner\n}\n" + s[i:]
	})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for l := range strings.Lines(read()) {
		var m map[string]any
		if json.Unmarshal([]byte(l), &m) == nil && strings.Contains(fmt.Sprint(m["msg"]), "without protect") {
			if m["level"] != "warn" {
				t.Errorf("level %v", m["level"])
			}
			found[fmt.Sprint(m["upstream"])] = fmt.Sprint(m["site"])
		}
	}
	unreached := map[string]bool{}
	for l := range strings.Lines(read()) {
		var m map[string]any
		if json.Unmarshal([]byte(l), &m) == nil && strings.Contains(fmt.Sprint(m["msg"]), "nobody can sign in here") && m["level"] == "warn" {
			unreached[fmt.Sprint(m["site"])] = strings.HasPrefix(fmt.Sprint(m["protect"]), "Caddyfile:")
		}
	}
	if !maps.Equal(unreached, map[string]bool{"inner.localhost": true, "lost.localhost": true}) {
		t.Errorf("sites whose login pages are not reached: %v", unreached)
	}
	want := map[string]string{
		"127.0.0.1:9011, 127.0.0.1:9012": "open.localhost", "127.0.0.1:9013": "inner.localhost", "127.0.0.1:9014": "order.localhost",
		"127.0.0.1:9015": "errors.localhost", "127.0.0.1:9016": "php.localhost", "127.0.0.1:9017": "invoked.localhost",
		"127.0.0.1:9018": "group.localhost", // of a group only one route runs
	}
	for u, s := range want {
		if found[u] != s {
			t.Errorf("%s of %s is not named; named are %v", u, s, found)
		}
	}
	for u, s := range found {
		if want[u] == "" {
			t.Errorf("%s of %s is named, but base covers it", u, s)
		}
	}
}
