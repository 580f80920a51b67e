package module_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestI07UserInfoTellsWhatTheRouteShows(t *testing.T) {
	op := newOP(t)
	flow := func(name string) string { return "flow " + name + " {\nlogin corp\n}\n" }
	g := start(t, asked(t, "corp", op, "scopes openid profile email offline_access")+flow("default")+flow("staff"),
		"protect /staff/* staff {\nheader X-Salary {user.salary}\n}\nprotect {\nheader X-Dept \"dept {user.department}\"\nheader X-Cost {user.claims.org.cost}\nheader X-Age {auth.age}\nremote_user {user.key}\n}\nreverse_proxy {APP}")
	op.SetUser(map[string]any{
		"sub": "u-1", "preferred_username": "alice", "name": "Alice Liddell", "email": "alice@example.com", "email_verified": true,
		"department": "R&D", "salary": 4711, "phone_number": "555", "org": map[string]any{"cost": []string{"a", "b"}},
	})
	ask := func(cookie string, h ...string) (map[string]any, int) {
		t.Helper()
		p := g.raw(http.MethodGet, "/.identity/userinfo", "", append([]string{"Cookie", cookie}, h...)...)
		if p.Header.Get("Cache-Control") != "no-store" || p.Header.Get("Content-Type") != "application/json" || p.Header.Get("X-Content-Type-Options") != "nosniff" ||
			p.Header.Get("Cross-Origin-Resource-Policy") != "same-origin" || p.Header.Get("Access-Control-Allow-Origin") != "" || len(p.Header["Set-Cookie"]) != 0 {
			t.Errorf("answer: %v", p.Header)
		}
		var m map[string]any
		if err := json.Unmarshal([]byte(p.Body), &m); err != nil {
			t.Fatalf("%d: %v: %s", p.Status, err, p.Body)
		}
		if strings.Contains(p.Body, "ey") && strings.Contains(p.Body, "token") {
			t.Errorf("a token: %s", p.Body)
		}
		return m, p.Status
	}
	b := newBrowser(t)
	landed(t, g.open(b, g.url("/a")), "/a", "")
	c := ticketOf(t, g, b)
	cookie := c.Name + "=" + c.Value

	m, status := ask(cookie)
	if got := slices.Sorted(maps.Keys(m)); status != http.StatusOK || !slices.Equal(got, []string{"claims.org.cost", "department", "display_name", "email", "groups", "key", "name", "provider"}) {
		t.Errorf("%d, told: %q", status, got)
	}
	if m["name"] != "alice" || m["display_name"] != "Alice Liddell" || m["email"] != "alice@example.com" || m["department"] != "R&D" || m["provider"] != "corp" || m["key"] != "corp:u-1" {
		t.Errorf("told: %v", m)
	}
	if groups, ok := m["groups"].([]any); !ok || len(groups) != 0 {
		t.Errorf("groups are no list: %v", m["groups"])
	}
	// The route is that of the page that asks; its flow was not finished, so it is told nothing (I01).
	if m, status = ask(cookie, "Referer", g.url("/staff/x")); status != http.StatusUnauthorized || m["error"] != "login_required" || m["name"] != nil {
		t.Errorf("a page of another flow: %d %v", status, m)
	}
	want(t, g.open(b, g.url("/staff/x")), http.StatusOK)
	c = ticketOf(t, g, b)
	if m, status = ask(c.Name+"="+c.Value, "Referer", g.url("/staff/x")); status != http.StatusOK || m["salary"] != 4711.0 || m["department"] != nil {
		t.Errorf("a page of staff: %d %v", status, m)
	}
	if m, status = ask(c.Name+"="+c.Value, "Referer", "https://evil.example/staff/x"); status != http.StatusOK || m["salary"] != nil {
		t.Errorf("another site's Referer chose the route: %d %v", status, m)
	}
	for name, cookie := range map[string]string{"nobody": "", "made up": c.Name + "=" + strings.Repeat("A", 43)} {
		if m, status = ask(cookie); status != http.StatusUnauthorized || m["error"] != "login_required" || m["name"] != nil {
			t.Errorf("%s: %d %v", name, status, m)
		}
	}
	if p := g.raw(http.MethodPost, "/.identity/userinfo", "x", "Cookie", cookie); p.Status != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", p.Status)
	}
}

// What a provider said and took back meanwhile is not told any more (O11).
func TestO11UserInfoTellsWhatTheProviderSaysNow(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	g := start(t, offline(t, op), groupsSite)
	cookie := g.aliceAt(newBrowser(t))
	clock.Advance(life)
	op.SetUser(member("new"))
	if p := g.get("/.identity/userinfo", cookie); p.Status != http.StatusOK || !strings.Contains(p.Body, `"groups":["new"]`) {
		t.Errorf("%d %s", p.Status, p.Body)
	}
	clock.Advance(life)
	op.RevokeAll()
	if p := g.get("/.identity/userinfo", cookie); p.Status != http.StatusUnauthorized || strings.Contains(p.Body, "alice") {
		t.Errorf("%d %s", p.Status, p.Body)
	}
}
