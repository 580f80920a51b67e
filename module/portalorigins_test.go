package module_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// TestB1PortalFollowsNoForeignAddress: whatever is asked for at the portal, the
// answer leads to the portal itself, to an application's own login, or nowhere.
func TestB1PortalFollowsNoForeignAddress(t *testing.T) {
	g := newTown(t, "")
	b := newBrowser(t)
	g.at(g.open(b, g.on("one", "/")), "one", "/")
	auth := g.on("auth", "")
	base := landing{auth, "/.identity/login", ""}
	cookie := fmt.Sprintf("sallyport-%d=%s", g.port, g.ticketOn(b, "auth"))
	refused := 0
	for _, a := range addresses(t, strings.TrimPrefix(auth, "http://")) {
		for _, name := range []string{"return_to", "target_link_uri"} {
			q := url.Values{name: {a.text}}
			if name == "target_link_uri" {
				q.Set("iss", g.op.Issuer)
			}
			p := g.raw(http.MethodGet, "/.identity/login?"+q.Encode(), "", "Host", strings.TrimPrefix(auth, "http://"), "Cookie", cookie, "Accept", "text/html")
			if p.Status == http.StatusBadRequest && a.home == "" && p.Header.Get("Location") == "" && len(p.Header["Set-Cookie"]) == 0 {
				refused++
				continue
			}
			if why := a.judge(base, p.Header.Get("Location")); p.Status != http.StatusSeeOther || why != "" {
				t.Errorf("%s %q: %s: %d %q", name, a.text, why, p.Status, p.Header.Get("Location"))
			}
		}
	}
	if refused < 100 {
		t.Errorf("only %d refused", refused)
	}
}

// TestB1PortalLeadsToApplicationsOnly: an address of an application is followed to
// its login, in one spelling; its path is as safe as anywhere.
func TestB1PortalLeadsToApplicationsOnly(t *testing.T) {
	g := newTown(t, "")
	one := g.on("one", "")
	host := strings.TrimPrefix(g.on("auth", ""), "http://")
	ask := func(to string, more ...string) *browser.Page {
		return g.raw(http.MethodGet, "/.identity/login?"+url.Values{"return_to": {to}}.Encode()+strings.Join(more, ""), "", "Host", host, "Accept", "text/html")
	}
	for to, path := range map[string]string{one: "/", one + "/": "/", one + "/a?x=1": "/a?x=1", one + "?x=1": "/?x=1", one + "#f": "/", one + "/a#f": "/a"} {
		p := ask(to, "&provider=corp&x=1")
		want := one + "/.identity/login?" + url.Values{"provider": {"corp"}, "return_to": {path}}.Encode()
		if p.Status != http.StatusSeeOther || p.Header.Get("Location") != want {
			t.Errorf("%q: %d %q, want %q", to, p.Status, p.Header.Get("Location"), want)
		}
	}
	port := fmt.Sprintf(":%d", g.port)
	for _, to := range []string{
		"http://one.localhost", "http://one.localhost:1", "https://one.localhost" + port, "http://ONE.localhost" + port, "http://one.localhost." + port, "HTTP://one.localhost" + port,
		"http://one.localhost" + port + "@evil.example", "http://x@one.localhost" + port, "http://one.localhost" + port + ".evil.example/", "http://evil.example/" + one, "http://one.localhost" + port + "\\@evil.example",
		"http:one.localhost" + port, "http:/one.localhost" + port, "http:///one.localhost" + port, "http://one.localhost:0" + port[1:], "http://three.localhost" + port, "http://sub.one.localhost" + port, "//one.localhost" + port + "/x",
		"javascript:alert(1)", "http://one.localhost" + port + "\tx", " " + one, one + "%2f@evil.example", "http://127.0.0.1" + port, "http://[::1]" + port, "ws://one.localhost" + port,
	} {
		p := ask(to)
		l := p.Header.Get("Location")
		if p.Status == http.StatusSeeOther && (strings.HasPrefix(l, "http://auth.localhost"+port+"/") || strings.HasPrefix(l, g.op.Issuer+"/authorize")) {
			if u, _ := url.Parse(to); strings.HasPrefix(to, "/") || u == nil {
				continue // as a path of the portal's own: nowhere else
			}
		}
		if p.Status != http.StatusBadRequest || l != "" {
			t.Errorf("%q: want a refusal, got %d %q", to, p.Status, l)
		}
	}
	// A hostile path behind a good origin ends at its front page.
	for _, a := range addresses(t, host) {
		p := ask(one + a.text)
		l, _ := url.Parse(p.Header.Get("Location"))
		if p.Status == http.StatusBadRequest {
			continue
		}
		if l == nil || l.Scheme+"://"+l.Host != one || l.Path != "/.identity/login" {
			t.Errorf("%q: %d %q", one+a.text, p.Status, p.Header.Get("Location"))
		}
	}
}

// TestB1NoHandoverLeadsAway: the same addresses by way of an application, the portal
// and back: who signs in lands on the application.
func TestB1NoHandoverLeadsAway(t *testing.T) {
	g := newTown(t, "")
	b := newBrowser(t)
	g.at(g.open(b, g.on("two", "/")), "two", "/")
	base := landing{g.on("one", ""), "/.identity/login", ""}
	for _, a := range addresses(t, strings.TrimPrefix(base.host, "http://")) {
		address := g.on("one", "/.identity/login?"+url.Values{"return_to": {a.text}}.Encode())
		if p := g.send(b, browser.Request{URL: address}); p.Has("long_address") || p.Status != http.StatusSeeOther {
			t.Errorf("%q: %d at %s", a.text, p.Status, p.URL)
			continue
		}
		p := g.send(b, browser.Request{URL: g.toCode(b, address)})
		if why := a.judge(base, p.Header.Get("Location")); p.Status != http.StatusSeeOther || why != "" {
			t.Errorf("%q: %s: %d %q", a.text, why, p.Status, p.Header.Get("Location"))
		}
	}
}

// TestS14HopsOfStrangers: what the portal is told is the gateway's own word; bent,
// made for another portal, or of a host that gets no sessions, it leads nowhere.
func TestS14HopsOfStrangers(t *testing.T) {
	clock := newClock(t)
	g := newTown(t, "")
	b := newBrowser(t)
	g.at(g.open(b, g.on("two", "/")), "two", "/")
	hop := g.send(newBrowser(t), browser.Request{URL: g.on("one", "/x")}).Header.Get("Location")
	if !strings.HasPrefix(hop, g.on("auth", "/.identity/login?hop=")) {
		t.Fatal(hop)
	}
	for _, bent := range []string{hop + "A", hop[:len(hop)-1], hop[:len(hop)-8] + "AAAAAAAA", g.on("auth", "/.identity/login?hop=AAAA"), hop + "&hop=x"} {
		p := g.send(b, browser.Request{URL: bent})
		if strings.Contains(p.Header.Get("Location"), "code=") {
			t.Errorf("%s: %d %s", bent, p.Status, p.Header.Get("Location"))
		}
	}
	// The victim follows a stranger's hop: what comes of it is for the stranger's
	// browser, and the victim carries it to the application, not to the stranger.
	p := g.send(b, browser.Request{URL: hop})
	if p.Status != http.StatusSeeOther || !strings.HasPrefix(p.Header.Get("Location"), g.on("one", "/.identity/handover?")) {
		t.Fatalf("%d %s", p.Status, p.Header.Get("Location"))
	}
	if p := g.send(b, browser.Request{URL: p.Header.Get("Location")}); g.granted(p) {
		t.Error("a login that another browser began")
	}
	// Old, it begins anew at the application and is no error.
	clock.Advance(11 * time.Minute)
	q := g.open(b, hop)
	g.at(q, "one", "/x")
	// Its host is taken from the config.
	if err := g.load(asked(t, "corp", g.op, "scopes openid profile")+portalLine, strings.ReplaceAll(townSites, "http://one.", "http://uno.")); err != nil {
		t.Fatal(err)
	}
	if p := g.send(b, browser.Request{URL: hop}); p.Status != http.StatusForbidden || !p.Has("not set up for signing in") {
		t.Errorf("%d %s", p.Status, p.Header.Get("Location"))
	}
}

// TestPortalOriginsByConfig: which addresses get sessions.
func TestPortalOriginsByConfig(t *testing.T) {
	const any = "http://auth.localhost:{PORT} {\nbind 127.0.0.1\nprotect off\n}\nhttp://*.localhost:{PORT} {\nbind 127.0.0.1\nprotect {\nheader X-Key {user.key}\n}\nreverse_proxy {APP}\n}\nhttp://:{PORT} {\nbind 127.0.0.1\nprotect\nreverse_proxy {APP}\n}\n"
	op := newOP(t)
	global := func(more string) string {
		return asked(t, "corp", op, "scopes openid profile") + "portal http://auth.localhost:{PORT} {\norigins http://four.localhost:{PORT}\n}\n" + more
	}
	g, read := logged(t, global(""), any)
	g.at(g.open(newBrowser(t), g.on("four", "/x")), "four", "/x")
	p := g.open(newBrowser(t), g.on("five", "/x"))
	if p.Status != http.StatusForbidden || !p.Has("not set up for signing in") || len(p.Browser.Jar.Cookies(g.on("five", "/"))) != 0 {
		t.Errorf("an address that is not written down: %d at %s", p.Status, p.URL)
	}
	if p := g.send(newBrowser(t), browser.Request{URL: g.on("auth", "/.identity/login?return_to="+url.QueryEscape(g.on("five", "/x")))}); p.Status != http.StatusBadRequest {
		t.Errorf("%d", p.Status)
	}
	// By another port in Host the same server is another address: perhaps somebody else's.
	if p := g.raw(http.MethodGet, "/x", "", "Host", "four.localhost:1", "Accept", "text/html"); p.Status != http.StatusForbidden {
		t.Errorf("another port: %d", p.Status)
	}
	if text := read(); strings.Contains(text, "exact hosts only") || strings.Contains(text, "answers for the portal") {
		t.Errorf("warned though the addresses are written down:\n%s", text)
	}
	_, read = logged(t, asked(t, "corp", op, "scopes openid profile")+portalLine, any)
	if text := read(); strings.Count(text, "exact hosts only") != 2 {
		t.Errorf("want warnings about the wildcard and the site for any host:\n%s", text)
	}
	_, read = logged(t, asked(t, "corp", op, "scopes openid profile")+"portal http://nowhere.localhost:{PORT}\n", strings.Replace(townSites, "auth", "elsewhere", 1))
	if text := read(); !strings.Contains(text, "no site of this config answers for the portal") {
		t.Errorf("no warning:\n%s", text)
	}
}

// TestPortalBehindTLS: behind a balancer, by its headers or by `url`, the addresses
// are those of browsers; a stranger's headers change nothing (B12).
func TestPortalBehindTLS(t *testing.T) {
	op := newOP(t)
	global := asked(t, "corp", op, "scopes openid profile") + "portal https://auth.example.com\n"
	sites := "http://auth.example.com:{PORT} {\nbind 127.0.0.1\nprotect off\n}\nhttp://app.example.org:{PORT} {\nbind 127.0.0.1\nprotect\nreverse_proxy {APP}\n}\nhttp://wiki.internal:{PORT} {\nbind 127.0.0.1\nprotect {\nurl https://wiki.example.net\n}\nreverse_proxy {APP}\n}\n"
	g := start(t, global+"trusted_proxies static 127.0.0.1/32\n", sites)
	to := func(want string, headers ...string) {
		t.Helper()
		p := g.raw(http.MethodGet, "/x", "", append([]string{"Accept", "text/html"}, headers...)...)
		l := p.Header.Get("Location")
		if want == "" && strings.Contains(l, "auth.example.com") || want != "" && !strings.HasPrefix(l, want) {
			t.Errorf("%v: %d %q", headers, p.Status, l)
		}
		for _, c := range p.Header["Set-Cookie"] {
			if want != "" && !strings.HasPrefix(c, "__Host-sallyport.p") {
				t.Errorf("cookie %s", c)
			}
		}
	}
	to("https://auth.example.com/.identity/login?hop=", "Host", "app.example.org", "X-Forwarded-Proto", "https")
	to("https://auth.example.com/.identity/login?hop=", "Host", "wiki.internal")
	to("", "Host", "app.example.org:9", "X-Forwarded-Proto", "https")
	to("", "Host", "app.example.org")
	if err := g.load(global, sites); err != nil {
		t.Fatal(err)
	}
	to("", "Host", "app.example.org", "X-Forwarded-Proto", "https")
	to("https://auth.example.com/.identity/login?hop=", "Host", "wiki.internal")
}

// TestPortalConfigInJSON: what the Caddyfile refuses, JSON does not get either.
func TestPortalConfigInJSON(t *testing.T) {
	g := start(t, people(t), "respond ok")
	cfg, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(g.caddyfile(people(t)+portalLine, townSites)), nil)
	if err != nil {
		t.Fatal(err)
	}
	good := fmt.Sprintf(`"portal":{"url":"http://auth.localhost:%d"}`, g.port)
	if !strings.Contains(string(cfg), good) {
		t.Fatal(string(cfg))
	}
	for bad, why := range map[string]string{
		`"portal":{"url":""}`:                                                                "not an address",
		`"portal":{"url":"http://auth.example.com"}`:                                         "http is for loopback only",
		`"portal":{"url":"https://auth.example.com/x"}`:                                      "without a path",
		`"portal":{"url":"https://auth.example.com","origins":["https://a.example.com/x"]}`:  "origins:",
		`"portal":{"url":"https://auth.example.com","origins":["https://auth.example.com"]}`: "the portal itself",
		`"portal":{"url":"https://auth.example.com"},"session":{"domain":"example.com"}`:     "contradict",
	} {
		err := caddy.Load([]byte(strings.Replace(string(cfg), good, bad, 1)), true)
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, want %q", bad, err, why)
		}
	}
}

// TestP15NoCodeInLogs: neither the code nor what leads to it is in a log, and no
// page is shown at an address that has it.
func TestP15NoCodeInLogs(t *testing.T) {
	op := newOP(t)
	dir := t.TempDir()
	sites := townSites
	for _, h := range []string{"auth", "one", "two"} {
		head := "http://" + h + ".localhost:{PORT} {\n"
		sites = strings.Replace(sites, head, head+"log {\noutput file "+filepath.Join(dir, h+".log")+"\nformat json\n}\n", 1)
	}
	g, read := logged(t, asked(t, "corp", op, "scopes openid profile")+portalLine, sites)
	b := newBrowser(t)
	g.open(b, g.on("one", "/open/x")) // asks once more, should the config of before have taken the connection
	code := g.toCode(b, g.on("one", "/secret-path"))
	for range 2 {
		if p := g.send(b, browser.Request{URL: code}); p.Status != http.StatusSeeOther || p.Body != "" {
			t.Errorf("%d %s", p.Status, p.Body)
		}
	}
	g.at(g.open(b, g.on("two", "/b")), "two", "/b")
	p := g.send(b, browser.Request{URL: g.on("one", "/.identity/logout")})
	leave, _ := url.Parse(p.Header.Get("Location"))
	g.open(b, leave.String())
	text := read()
	lines := 0
	for _, h := range []string{"auth", "one", "two"} {
		l, err := os.ReadFile(filepath.Join(dir, h+".log"))
		if err != nil && h != "auth" {
			t.Fatal(err)
		}
		lines += strings.Count(string(l), "\n")
		text += string(l)
	}
	u, _ := url.Parse(code)
	for name, secret := range map[string]string{"code": u.Query().Get("code"), "go": leave.Query().Get("go"), "any code": "code=", "any hop": "hop=", "any go": "logout?go=", "ticket": g.ticketOn(b, "two")} {
		if secret == "" || strings.Contains(text, secret) {
			t.Errorf("%s %q is in a log", name, secret)
		}
	}
	for _, want := range []string{`"msg":"session handed over"`, `"msg":"handover"`, `"msg":"login for an application"`, `"msg":"logout of an application"`} {
		if !strings.Contains(text, want) {
			t.Errorf("nothing stands in for the hidden lines: no %s", want)
		}
	}
	if lines == 0 {
		t.Error("no access log at all")
	}
}
