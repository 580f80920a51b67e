package module_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"
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
