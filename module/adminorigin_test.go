package module_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// A page of somebody else that the operator's browser opened reaches nothing of the admin
// endpoint: not by its origin, not by a name that leads to it, not by another spelling
// of an address (I4).
func TestI4ForeignPagesReachNothingOfTheAdminEndpoint(t *testing.T) {
	g := withAdmin(t, people(t), plainSite)
	b := g.signedIn("/a", "alice", "alicepw")
	id, _ := g.events("login", 1)[0]["session"].(string)
	send := func(method, path, body string, more ...string) (int, string) {
		t.Helper()
		req, err := http.NewRequest(method, "http://"+g.admin+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(more); i += 2 {
			if more[i] == "Host" {
				req.Host = more[i+1]
				continue
			}
			req.Header[more[i]] = []string{more[i+1]}
		}
		res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		if strings.Contains(res.Header.Get("Access-Control-Allow-Origin"), "evil") {
			t.Errorf("%s %s allows a foreign origin", method, path)
		}
		return res.StatusCode, string(text)
	}
	calls := []struct{ method, path, body string }{
		{http.MethodGet, "/identity/sessions", ""},
		{http.MethodDelete, "/identity/sessions/" + id, ""},
		{http.MethodDelete, "/identity/users/" + key64("corp:alice") + "/sessions", ""},
		{http.MethodPost, "/identity/explain", `{"url":"` + g.url("/a") + `"}`},
		{http.MethodPost, "/load", `{}`},
	}
	for _, c := range calls {
		for name, more := range map[string][]string{
			"another origin":         {"Origin", "http://evil.example"},
			"an origin like ours":    {"Origin", "http://" + g.admin + ".evil.example"},
			"no origin":              {"Origin", "null"},
			"a fetch without cors":   {"Sec-Fetch-Mode", "no-cors"},
			"a fetch of nobody":      {"Sec-Fetch-Mode", "cors"},
			"a name that leads here": {"Host", "evil.example"},
			"a form":                 {"Content-Type", "text/plain", "Origin", "https://evil.example"},
		} {
			if status, text := send(c.method, c.path, c.body, more...); status < 400 || strings.Contains(text, "sessions") || strings.Contains(text, "decision") {
				t.Errorf("%s of %s %s: %d %s", name, c.method, c.path, status, text)
			}
		}
	}
	if g.count("admin") != 0 {
		t.Errorf("a foreign page was answered: %v", g.events("admin", 1))
	}
	for _, path := range []string{"//identity/sessions", "/identity/../identity/explain/", "/identity/explain/x", "/IDENTITY/sessions", "/identity%2fsessions"} {
		if status, text := send(http.MethodGet, path, ""); status == http.StatusOK && strings.Contains(text, "corp:alice") {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	if status, text := send(http.MethodPost, "/identity/explain", calls[3].body); status != http.StatusOK || !strings.Contains(text, `"decision":"login_needed"`) {
		t.Errorf("the operator: %d %s", status, text)
	}
	want(t, g.open(b, g.url("/a")), http.StatusOK)
}

// Whatever is refused is in the trail under the id that the person reads, with who it
// was (where that was looked at before), why, and the line that decided (I8).
func TestI8EveryRefusalIsInTheTrail(t *testing.T) {
	g := start(t, people(t), "protect {\nheader X-Long {user.groups} {\nmax 20\n}\n"+
		"require /no `\"nobody\" in user.groups` \"Not you.\"\nrequire /odd `user.nothing == \"x\"`\n}\nreverse_proxy {APP}")
	c := ticketOf(t, g, g.signedIn("/x", "alice", "alicepw"))
	cookie := c.Name + "=" + c.Value
	for i, tc := range []struct {
		path, reason string
		more         []string
		ruled        bool
	}{
		{"/no", "not_allowed", nil, true},
		{"/odd", "condition_error", nil, true},
		{"/a//b", "bad_path", nil, false},
		{"/x", "cross_site", []string{"Upgrade", "websocket", "Connection", "Upgrade", "Origin", "http://evil.example"}, false},
	} {
		p := g.get(tc.path, cookie, append([]string{"Accept", "application/json"}, tc.more...)...)
		e := g.events("denied", i+1)[i]
		rule, _ := e["rule"].(string)
		if e["reason"] != tc.reason || e["id"] == "" || !strings.Contains(p.Body, e["id"].(string)) || strings.HasPrefix(rule, "Caddyfile:") != tc.ruled ||
			tc.path != "/a//b" && e["user"] != "corp:alice" || e["path"] != tc.path || e["ip"] == "" || e["time"] == "" {
			t.Errorf("%s: %d %s\n%v", tc.path, p.Status, p.Body, e)
		}
	}
	if n := g.count("denied"); n != 4 {
		t.Errorf("%d events", n)
	}
}
