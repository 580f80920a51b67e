package module_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/module"
)

// portalNode serves the same sites over the same store, with nothing else in common.
// ask sends it one request as a host of the town.
func (g *gateway) portalNode(t *testing.T, global, sites string) (app *module.App, ask func(host, path, cookie string, navigate bool) *http.Response) {
	t.Helper()
	id, apps := g.another(global, sites)
	var srv http.Handler
	for _, s := range apps.Servers {
		srv = s
	}
	node := httptest.NewServer(srv)
	t.Cleanup(node.Close)
	return id, func(host, path, cookie string, navigate bool) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, node.URL+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = strings.TrimPrefix(g.on(host, ""), "http://")
		r.Header.Set("Cookie", cookie)
		if navigate {
			r.Header.Set("Accept", "text/html")
			r.Header.Set("Sec-Fetch-Mode", "navigate")
		}
		res, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res
	}
}

// TestI13PortalOverTwoNodes: the portal on one node, the application on another. A
// code is used up for both, and what the session proves on one, or its end there,
// replaces or ends its tickets on the other.
func TestI13PortalOverTwoNodes(t *testing.T) {
	op := newOP(t)
	global := asked(t, "corp", op, "scopes openid profile") + portalLine + "store file {DIR}/shared.db"
	sites := strings.Replace(townSites, "require /admin", "session {\nlifetime 10m\n}\nrequire /admin", 1)
	clock := newClock(t)
	g := start(t, people(t), "respond ok")
	global = strings.ReplaceAll(global, "{DIR}", g.dir)
	if err := g.load(global, sites); err != nil {
		t.Fatal(err)
	}
	other, ask := g.portalNode(t, global, sites)
	all := func(b *browser.Browser, host string) string {
		var out []string
		for _, c := range b.Jar.Cookies(g.on(host, "/.identity/handover")) {
			out = append(out, c.Name+"="+c.Value)
		}
		return strings.Join(out, "; ")
	}
	ticket := func(res *http.Response) string {
		for _, c := range res.Cookies() {
			if c.Name == fmt.Sprintf("sallyport-%d", g.port) && c.MaxAge >= 0 {
				return c.Name + "=" + c.Value
			}
		}
		return ""
	}

	b := newBrowser(t)
	code := g.toCode(b, g.on("two", "/x"))
	cookies, path := all(b, "two"), strings.TrimPrefix(code, g.on("two", ""))
	res := ask("two", path, cookies, true)
	two := ticket(res)
	if two == "" || res.Header.Get("Location") != g.on("two", "/x") {
		t.Fatalf("the other node: %d %v", res.StatusCode, res.Header)
	}
	if p := g.send(b, browser.Request{URL: code}); g.granted(p) {
		t.Error("the code worked once more, on the first node")
	}
	if res := ask("two", path, cookies, true); ticket(res) != "" {
		t.Error("the code worked once more, on the second node")
	}
	if res := ask("two", "/y", two, false); res.StatusCode != http.StatusOK {
		t.Fatalf("%d", res.StatusCode)
	}
	id := g.idOn(b, "auth")

	// The session proves more on the first node.
	g.open(b, g.on("one", "/"))
	clock.Advance(11 * time.Minute)
	p := g.open(b, g.on("one", "/"))
	if p.Status != http.StatusOK {
		t.Fatalf("%d at %s", p.Status, p.URL)
	}
	if res := ask("two", "/y", two, false); res.StatusCode != http.StatusOK {
		t.Fatalf("before the word came: %d", res.StatusCode)
	}
	other.ChangedElsewhere(id)
	if res := ask("two", "/y", two, false); res.StatusCode != http.StatusUnauthorized || res.Header.Get("Retry-After") == "" {
		t.Errorf("the old ticket on the other node: %d", res.StatusCode)
	}
	if res := ask("two", "/y", two, true); res.StatusCode != http.StatusSeeOther || !strings.HasPrefix(res.Header.Get("Location"), g.on("auth", "/.identity/login?hop=")) {
		t.Errorf("a page with it: %d %s", res.StatusCode, res.Header.Get("Location"))
	}
	// A new one, then the end of the session on the first node.
	code = g.toCode(b, g.on("two", "/x"))
	two = ticket(ask("two", strings.TrimPrefix(code, g.on("two", "")), all(b, "two"), true))
	if res := ask("two", "/y", two, false); res.StatusCode != http.StatusOK {
		t.Fatalf("%d", res.StatusCode)
	}
	g.open(b, g.on("one", "/.identity/logout"))
	other.ChangedElsewhere(id)
	if res := ask("two", "/y", two, false); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("signed out on the first node, and the second says %d", res.StatusCode)
	}
}
