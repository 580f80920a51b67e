//go:build real

package quickstart_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
	"github.com/sallyport-gateway/sallyport/examples/quickstart"
)

func start(t *testing.T) (g *parts.GatewayProcess, op *parts.OIDCProvider) {
	t.Helper()
	port := parts.Port(t)
	op = parts.OIDC(t, "company", "http://"+parts.Addr(port)+"/.identity/callback/company")
	g = parts.GatewayAt(t, port, string(quickstart.Caddyfile), "APP="+parts.Echo(t),
		"ISSUER="+op.Issuer, "CLIENT_ID="+op.Client, "CLIENT_SECRET="+op.Secret)
	return g, op
}

func TestQuickstartHasAtMostTwelveLines(t *testing.T) {
	t.Parallel()
	n := 0
	for line := range strings.Lines(string(quickstart.Caddyfile)) {
		// Closing braces say nothing; the line of the admin corner is an extra.
		if l := strings.TrimSpace(line); l != "" && l != "}" && !strings.HasPrefix(l, "require ") {
			n++
		}
	}
	if n > 12 {
		t.Errorf("%d lines, want 12 at most", n)
	}
}

func TestQuickstartWalk(t *testing.T) {
	t.Parallel()
	g, op := start(t)
	alice := parts.Browser(t)
	wanted := g.URL + "/reports?month=3&x=%2F%26"
	p := alice.Open(wanted).Want(http.StatusOK, "username").Fill("username", "alice", "password", "alicepw").
		Want(http.StatusOK, "Sm_user: alice", "GET /reports?month=3&amp;x=%2F%26")
	if p.URL != wanted {
		t.Errorf("landed at %s, want %s", p.URL, wanted)
	}
	alice.Open(g.URL+"/admin/").Want(http.StatusOK, "GET /admin/")
	cookiesArrive(t, g, alice)
	for _, name := range []string{"SM_USER", "SM-USER", "Sm.User"} {
		alice.Send(browser.Request{URL: g.URL + "/", Header: http.Header{name: {"mallory"}}}).
			Want(http.StatusOK, "Sm_user: alice").Without("mallory")
	}

	bob := parts.Browser(t)
	bob.Open(g.URL+"/admin").Want(http.StatusOK, "username").Fill("username", "bob", "password", "bobpw").
		Want(http.StatusForbidden, "Administrators only.").Without("GET /admin")
	denied := bob.Send(browser.Request{URL: g.URL + "/admin/x", Script: true, Header: http.Header{"Accept": {"application/json"}}})
	denied.Want(http.StatusForbidden)
	var answer struct{ Error, Reason, ID string }
	if err := json.Unmarshal([]byte(denied.Body), &answer); err != nil || answer.Error != "not_allowed" || answer.ID == "" {
		t.Errorf("denied: %v %s", err, denied.Body)
	} else {
		g.AwaitLog(t, answer.ID) // the trail knows the id on the page
	}

	// B14: RP-initiated logout, then the provider asks again.
	old := alice.Jar.Clone()
	out := alice.Open(g.URL + "/").Click("/.identity/logout")
	if strings.HasPrefix(out.URL, op.Issuer) { // the provider asks whether it was meant
		out = submit(t, alice, out)
	}
	out.Want(http.StatusOK)
	if !strings.HasPrefix(out.URL, g.URL+"/.identity/") || !strings.Contains(strings.ToLower(out.Text()), "signed out") {
		t.Errorf("logout ended at %s: %s", out.URL, out.Text())
	}
	thief := parts.Browser(t)
	thief.Jar = old
	thief.Fetch(g.URL+"/").Want(http.StatusUnauthorized, "login_required")
	if again := alice.Open(g.URL + "/"); !strings.HasPrefix(again.URL, op.Issuer+"/sign-in/") {
		t.Errorf("after logout %s came without a password: %s", again.URL, again.Text())
	}
}

// cookiesArrive: the application gets its own cookies byte for byte and none of ours (B03).
func cookiesArrive(t *testing.T, g *parts.GatewayProcess, b *parts.TestBrowser) {
	t.Helper()
	var ours []string
	for _, c := range b.Jar.Cookies(g.URL + "/") {
		if !strings.Contains(c.Name, "_company") { // the provider's: cookies know no ports
			ours = append(ours, c.Name+"="+c.Value)
		}
	}
	if len(ours) == 0 {
		t.Fatal("signed in without a cookie")
	}
	lines := []string{"a=1; ", "; b=\"x y\"; c=="}
	p := b.Send(browser.Request{URL: g.URL + "/", Header: http.Header{"Cookie": {lines[0] + strings.Join(ours, "; ") + lines[1]}}})
	p.Want(http.StatusOK, "Cookie: a=1; b=&#34;x y&#34;; c==\n", "Sm_user: alice")
	for _, pair := range ours {
		_, value, _ := strings.Cut(pair, "=")
		p.Without(value)
	}
}

// submit presses the button of the provider's own logout page.
func submit(t *testing.T, b *parts.TestBrowser, p *parts.TestPage) *parts.TestPage {
	t.Helper()
	for _, f := range p.Forms() {
		if _, ok := f.Fields["xsrf"]; ok {
			f.Fields.Set("logout", "yes")
			next, err := f.Submit()
			if err != nil {
				t.Fatal(err)
			}
			return b.Page(next)
		}
	}
	t.Fatalf("no logout form on %s:\n%s", p.URL, p.Body)
	return nil
}

func TestB03SmallCookiesWith300Groups(t *testing.T) {
	t.Parallel()
	g, _ := start(t)
	b := parts.Browser(t)
	b.Open(g.URL+"/").Want(http.StatusOK).Fill("username", "carol", "password", "carolpw").Want(http.StatusOK, "Sm_user: carol")
	size := 0
	for _, c := range b.Jar.Cookies(g.URL + "/") {
		if !strings.Contains(c.Name, "_company") {
			size += len(c.Name) + len(c.Value) + len("=; ")
		}
	}
	if size == 0 || size >= 300 {
		t.Errorf("the gateway's cookies have %d bytes, want 1 to 299", size)
	}
}

func TestB18RestartKillAndReloadLogNobodyOut(t *testing.T) {
	t.Parallel()
	g, _ := start(t)
	b := parts.Browser(t)
	b.Open(g.URL+"/").Want(http.StatusOK).Fill("username", "alice", "password", "alicepw").Want(http.StatusOK, "Sm_user: alice")
	underWay := parts.Browser(t)
	signIn := underWay.Open(g.URL+"/later").Want(http.StatusOK, "username")
	for _, event := range []struct {
		name string
		do   func()
	}{
		{"reload", func() {
			if err := g.Reload(string(quickstart.Caddyfile)); err != nil {
				t.Fatal(err)
			}
		}},
		{"a refused reload", func() {
			if err := g.Reload(strings.Replace(string(quickstart.Caddyfile), "headers siteminder", "headers sitminder", 1)); err == nil {
				t.Fatal("a config with a typo was loaded")
			}
		}},
		{"restart", g.Restart},
		{"kill -9", func() { g.Kill9(); g.Start() }},
	} {
		event.do()
		b.Open(g.URL+"/after").Want(http.StatusOK, "GET /after", "Sm_user: alice")
		t.Logf("%s: still signed in", event.name)
	}
	// A login that was under way all the time ends as if nothing had happened.
	signIn.Fill("username", "bob", "password", "bobpw").Want(http.StatusOK, "GET /later", "Sm_user: bob")
}
