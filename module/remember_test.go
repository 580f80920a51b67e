package module_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/examples/browser"
)

var rememberFlow = strings.Replace(factorFlow, "mfa totp recovery", "mfa totp recovery {\nremember 30d\n}", 1)

// trusting signs a browser in with a code and has it trusted.
func (g *gateway) trusting(t *testing.T, clock *testClock, secret string) *browser.Browser {
	t.Helper()
	b := newBrowser(t)
	clock.Advance(time.Minute)
	landed(t, fill(t, g.open(b, g.url("/a")), "code", code(t, secret, clock), "remember", "1"), "/a", "idp:u-alice")
	return b
}

// again is the next visit of a browser whose session is over.
func (g *gateway) again(t *testing.T, b *browser.Browser) *browser.Page {
	t.Helper()
	u, err := url.Parse(g.url("/"))
	if err != nil {
		t.Fatal(err)
	}
	b.Jar.Set(u, []*http.Cookie{{Name: fmt.Sprintf("sallyport-%d", g.port), Path: "/", MaxAge: -1}})
	return g.open(b, g.url("/a"))
}

func asksForCode(t *testing.T, what string, p *browser.Page) {
	t.Helper()
	if p.Status != http.StatusOK || !p.Has("one-time-code") {
		t.Fatalf("%s: want to be asked for a code, got %d at %s\n%s", what, p.Status, p.URL, p.Text())
	}
}

func trustCookie(t *testing.T, g *gateway, b *browser.Browser) *http.Cookie {
	t.Helper()
	for _, c := range b.Jar.Cookies(g.url("/")) {
		if strings.HasSuffix(c.Name, ".trust") {
			return c
		}
	}
	return nil
}

func TestI24ATrustedBrowserIsNotAsked(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	g := start(t, asked(t, "idp", op)+rememberFlow, factorSite)
	secret, _, _ := g.enrolled(t, op, clock, newBrowser(t))
	b := g.trusting(t, clock, secret)
	if e := g.events("device_trusted", 1); e[0]["user"] != "idp:u-alice" || e[0]["factor"] != "totp" {
		t.Fatalf("the trail says %v", e)
	}
	want(t, g.open(b, g.url("/strong/x")), http.StatusOK)
	c := trustCookie(t, g, b)
	if c == nil || len(c.Name)+len(c.Value) > 80 {
		t.Fatalf("the cookie of the trusted browser: %v", c)
	}

	clock.Advance(29 * 24 * time.Hour)
	landed(t, g.again(t, b), "/a", "idp:u-alice")
	want(t, g.open(b, g.url("/strong/x")), http.StatusForbidden) // trust in a browser is no factor (I03)
	asksForCode(t, "another browser", g.open(newBrowser(t), g.url("/a")))
	clock.Advance(24 * time.Hour)
	asksForCode(t, "after 30 days", g.again(t, b))
}

// The record is the person's: what a browser holds is worth nothing to anybody else,
// and nothing without the record.
func TestI24TrustIsForOnePerson(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	g := start(t, asked(t, "idp", op)+rememberFlow, factorSite)
	secret, _, _ := g.enrolled(t, op, clock, newBrowser(t))
	b := g.trusting(t, clock, secret)

	op.SetUser(map[string]any{"sub": "u-bob", "preferred_username": "bob", "amr": []string{"pwd", "mfa"}})
	p := g.again(t, b)
	m := manualKey.FindStringSubmatch(p.Body)
	if m == nil {
		t.Fatalf("want the page that sets up an app, got %d\n%s", p.Status, p.Text())
	}
	bobs := strings.ReplaceAll(m[1], " ", "")
	landed(t, fill(t, fill(t, p, "code", code(t, bobs, clock))), "/a", "idp:u-bob")
	asksForCode(t, "bob in alice's browser", g.again(t, b))

	mfaUser(op)
	landed(t, g.again(t, b), "/a", "idp:u-alice")
	forged := newBrowser(t)
	c := trustCookie(t, g, b)
	u, err := url.Parse(g.url("/"))
	if err != nil {
		t.Fatal(err)
	}
	forged.Jar.Set(u, []*http.Cookie{{Name: c.Name, Value: strings.Repeat("A", len(c.Value)), Path: "/"}})
	asksForCode(t, "a made-up id", g.open(forged, g.url("/a")))
}

// A password that was changed ends trust, where the provider can tell.
func TestI24AChangedPasswordEndsTrust(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	lines := func(password string) string {
		return asked(t, "idp", op) + "provider corp local {\nrealm idp\nuser u-alice " + hashOf(t, password) + "\n}\n" +
			strings.Replace(rememberFlow, "login idp", "login idp corp", 1)
	}
	g := start(t, lines("first"), factorSite)
	mfaUser(op, "pwd", "mfa")
	b := newBrowser(t)
	p := fill(t, g.open(b, g.url("/a")), "provider", "idp")
	m := manualKey.FindStringSubmatch(p.Body)
	if m == nil {
		t.Fatalf("want the page that sets up an app, got %d\n%s", p.Status, p.Text())
	}
	secret := strings.ReplaceAll(m[1], " ", "")
	fill(t, fill(t, p, "code", code(t, secret, clock)))
	mfaUser(op)
	signIn := func(b *browser.Browser, password string) *browser.Page {
		t.Helper()
		return fill(t, fill(t, g.open(b, g.url("/a")), "provider", "corp"), "username", "u-alice", "password", password)
	}
	clock.Advance(time.Minute)
	b = newBrowser(t)
	if p := fill(t, signIn(b, "first"), "code", code(t, secret, clock), "remember", "1"); p.Path() != "/a" {
		t.Fatalf("landed at %s\n%s", p.URL, p.Text())
	}
	g.again(t, b)
	if p := signIn(b, "first"); p.Path() != "/a" {
		t.Fatalf("a trusted browser was asked: %s\n%s", p.URL, p.Text())
	}
	if err := g.load(lines("second"), factorSite); err != nil {
		t.Fatal(err)
	}
	g.again(t, b)
	asksForCode(t, "with a new password", signIn(b, "second"))
}
