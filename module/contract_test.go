package module_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// TestLoginLeadsBackIntoHandlePath: the address to come back to is what the
// browser asked for, not what handle_path left of it.
func TestLoginLeadsBackIntoHandlePath(t *testing.T) {
	g := start(t, people(t), "protect off\nhandle_path /app/* {\nprotect\nreverse_proxy {APP}\n}")
	b := newBrowser(t)
	p := g.signIn(b, "/app/deep?x=1", "alice", "alicepw")
	if p.Status != http.StatusOK || p.Path() != "/app/deep?x=1" {
		t.Errorf("want 200 at /app/deep?x=1, got %d at %s; hops %v", p.Status, p.URL, b.Hops)
	}
	f := g.raw(http.MethodGet, "/app/deep?x=1", "", "Accept", "text/html", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe")
	if want := `"/.identity/login?return_to=%2Fapp%2Fdeep%3Fx%3D1"`; f.Status != http.StatusUnauthorized || !f.Has(want) {
		t.Errorf("in a frame: %d, want a link to %s:\n%s", f.Status, want, f.Body)
	}
}

// TestDenialAsJSON: whatever the reason of a 403, the error is not_allowed.
func TestDenialAsJSON(t *testing.T) {
	g := start(t, people(t), "protect {\nrequire /err `user.nosuch == 1`\nrequire /no `false`\nheader X-Long {user.email} {\nmax 3\n}\n}\nreverse_proxy {APP}")
	b := newBrowser(t)
	g.signIn(b, "/err", "alice", "alicepw")
	c := ticketOf(t, g, b)
	for path, reason := range map[string]string{"/err": "condition_error", "/no": "not_allowed", "/long": "header_too_long"} {
		p := g.raw(http.MethodGet, path, "", "Cookie", c.Name+"="+c.Value)
		var m map[string]any
		if err := json.Unmarshal([]byte(p.Body), &m); err != nil || p.Status != http.StatusForbidden {
			t.Fatalf("%s: %d %v: %s", path, p.Status, err, p.Body)
		}
		if m["error"] != "not_allowed" || m["reason"] != reason || m["id"] == "" {
			t.Errorf("%s: want not_allowed because of %s with an id, got %v", path, reason, m)
		}
	}
	p := g.raw(http.MethodPost, "/.identity/logout", "", "Origin", "https://evil.example")
	var m map[string]any
	if err := json.Unmarshal([]byte(p.Body), &m); err != nil || p.Status != http.StatusForbidden || m["error"] != "not_allowed" || m["reason"] != "cross_site" {
		t.Errorf("cross-site logout: %d %v", p.Status, m)
	}
}

// TestB17SessionTellsTheTimeOfTheRoute: an application counts down to the moment
// at which its own route asks anew.
func TestB17SessionTellsTheTimeOfTheRoute(t *testing.T) {
	clock := newClock(t)
	g := start(t, people(t)+"session {\nidle 30m\nlifetime 12h\n}", "protect /short/* {\nsession {\nidle 10m\nlifetime 25m\n}\n}\nprotect\nreverse_proxy {APP}")
	b := g.signedIn("/short/a", "alice", "alicepw")
	c := ticketOf(t, g, b)
	cookie := c.Name + "=" + c.Value
	ask := func(h ...string) map[string]any {
		t.Helper()
		p := g.raw(http.MethodGet, "/.identity/session", "", append([]string{"Cookie", cookie}, h...)...)
		var m map[string]any
		if err := json.Unmarshal([]byte(p.Body), &m); err != nil {
			t.Fatalf("%d %v: %s", p.Status, err, p.Body)
		}
		return m
	}
	short := []string{"Referer", g.url("/short/a")}
	for _, step := range []struct {
		name        string
		pass        time.Duration
		visit       string
		here, there float64 // seconds left on /short/ and on /
	}{
		{"after the login", 0, "", 600, 1800},
		{"idle", 4 * time.Minute, "", 360, 1560},
		{"active elsewhere", 4 * time.Minute, "/b", 120, 1800},
		{"active here", 0, "/short/a", 600, 1800},
		{"its lifetime bounds", 9 * time.Minute, "/short/a", 480, 1800},
		{"over here only", 8 * time.Minute, "", 0, 1320},
	} {
		clock.Advance(step.pass)
		if step.visit != "" {
			want(t, g.get(step.visit, cookie), http.StatusOK)
		}
		if here, there := ask(short...), ask(); here["seconds_left"] != step.here || there["seconds_left"] != step.there || here["signed_in"] != true {
			t.Errorf("%s: want %v and %v seconds, got %v and %v", step.name, step.here, step.there, here, there)
		}
	}
	cookie = ""
	if m := ask(short...); m["signed_in"] != false || m["login_url"] != "/.identity/login?return_to=%2Fshort%2Fa" {
		t.Errorf("nobody: %v", m)
	}
	if m := ask("Referer", "https://evil.example/short/a"); m["login_url"] != "/.identity/login?return_to=%2F" {
		t.Errorf("a page of another site: %v", m)
	}
}

// TestI13TicketIsGoodForOneDomain: `domain` shares a session among its hosts, and
// with no other and on no other port.
func TestI13TicketIsGoodForOneDomain(t *testing.T) {
	g := start(t, people(t)+"session {\ndomain corp.localhost\n}", "respond ok")
	other := freePort(t)
	sites := fmt.Sprintf("http://a.corp.localhost:{PORT}, http://b.corp.localhost:{PORT}, http://corp.localhost:{PORT}, http://evilcorp.localhost:{PORT}, http://127.0.0.1:{PORT}, http://a.corp.localhost:%d {\nbind 127.0.0.1\nprotect\nreverse_proxy {APP}\n}", other)
	if err := g.load(people(t)+"session {\ndomain corp.localhost\n}", sites); err != nil {
		t.Fatal(err)
	}
	host := func(name string) string { return fmt.Sprintf("%s:%d", name, g.port) }
	a := host("a.corp.localhost")
	p := g.raw(http.MethodGet, "/a", "", "Host", a, "Accept", "text/html")
	want(t, p, http.StatusSeeOther)
	flow, pending := p.Header.Get("Location"), p.Header.Get("Set-Cookie")
	pending, _, _ = strings.Cut(pending, ";")
	var page map[string]any
	p = g.raw(http.MethodGet, flow, "", "Host", a, "Cookie", pending)
	if err := json.Unmarshal([]byte(p.Body), &page); err != nil {
		t.Fatalf("%v: %s", err, p.Body)
	}
	body, _ := json.Marshal(map[string]any{"username": "alice", "password": "alicepw", "token": page["token"], "step": page["step"], "serial": page["serial"]})
	p = g.raw(http.MethodPost, flow, string(body), "Host", a, "Cookie", pending, "Origin", "http://"+a, "Content-Type", "application/json")
	want(t, p, http.StatusSeeOther)
	name, value := fmt.Sprintf("sallyport-%d", g.port), ""
	for _, c := range (&http.Response{Header: p.Header}).Cookies() {
		if c.Name == name && c.Domain == "corp.localhost" {
			value = c.Value
		}
	}
	if value == "" {
		t.Fatalf("no cookie for the domain: %q", p.Header["Set-Cookie"])
	}
	for name, status := range map[string]int{
		"a.corp.localhost": http.StatusOK, "b.corp.localhost": http.StatusOK, "B.Corp.Localhost": http.StatusOK, "corp.localhost": http.StatusOK,
		"evilcorp.localhost": http.StatusUnauthorized, "127.0.0.1": http.StatusUnauthorized,
	} {
		p := g.raw(http.MethodGet, "/a", "", "Host", host(name), "Cookie", fmt.Sprintf("sallyport-%d=%s", g.port, value))
		if p.Status != status {
			t.Errorf("%s: want %d, got %d", name, status, p.Status)
		}
	}
	g.port = other
	if p := g.raw(http.MethodGet, "/a", "", "Host", host("a.corp.localhost"), "Cookie", fmt.Sprintf("sallyport-%d=%s", other, value)); p.Status != http.StatusUnauthorized {
		t.Errorf("another port: want 401, got %d", p.Status)
	}
}

// TestI19JSONIsAsStrictAsTheCaddyfile: in a `require` written by hand `/x/*` means `/x`, too.
func TestI19JSONIsAsStrictAsTheCaddyfile(t *testing.T) {
	g := start(t, people(t), "respond ok")
	cfg, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(g.caddyfile(people(t), "protect {\nrequire /admin/* `false`\npublic /open/*\n}\nreverse_proxy {APP}")), nil)
	if err != nil {
		t.Fatal(err)
	}
	byHand := strings.Replace(string(cfg), `["/admin/*","/admin"]`, `["/admin/*"]`, 1)
	if byHand == string(cfg) {
		t.Fatalf("nothing to write by hand in %s", cfg)
	}
	if err := caddy.Load([]byte(byHand), true); err != nil {
		t.Fatal(err)
	}
	g.settle()
	b := g.signedIn("/a", "alice", "alicepw")
	for path, status := range map[string]int{"/admin": http.StatusForbidden, "/admin/x": http.StatusForbidden, "/administer": http.StatusOK} {
		if p := g.open(b, g.url(path)); p.Status != status {
			t.Errorf("%s: want %d, got %d", path, status, p.Status)
		}
	}
}
