package module_test

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/adapters/factor/webauthn/webauthntest"
	"github.com/sallyport-gateway/sallyport/examples/browser"
)

const keyFlow = "factor webauthn\nfactor totp\nflow staff {\nlogin idp\nmfa webauthn totp\n}\n"

var keyOptions = regexp.MustCompile(`data-options="([^"]*)"`)

// local is an address on a host that can have keys.
func (g *gateway) local(path string) string {
	return fmt.Sprintf("http://localhost:%d%s", g.port, path)
}

// wants are what a page asks the browser for.
func wants(t testing.TB, p *browser.Page) json.RawMessage {
	t.Helper()
	m := keyOptions.FindStringSubmatch(p.Body)
	if m == nil {
		t.Fatalf("want a page that asks for a key, got %d at %s\n%s", p.Status, p.URL, p.Text())
	}
	return json.RawMessage(html.UnescapeString(m[1]))
}

// originOf is where the browser is.
func originOf(t testing.TB, p *browser.Page) string {
	t.Helper()
	u, err := url.Parse(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Scheme + "://" + u.Host
}

// holds reports whether the browser holds a session cookie of that host.
func (g *gateway) holds(b *browser.Browser) bool {
	return slices.ContainsFunc(b.Jar.Cookies(g.local("/")), func(c *http.Cookie) bool { return c.Name == fmt.Sprintf("sallyport-%d", g.port) })
}

type bentKey = func(*webauthntest.Answer)

// makes sets up a key on a page that asks for one.
func makes(t *testing.T, p *browser.Page, a *webauthntest.Authenticator, name string, bends ...bentKey) *browser.Page {
	t.Helper()
	made, err := a.Create(wants(t, p), originOf(t, p), bends...)
	if err != nil {
		t.Fatal(err)
	}
	return fill(t, p, "name", name, "credential", made)
}

// uses answers a page with a key.
func uses(t *testing.T, p *browser.Page, a *webauthntest.Authenticator, bends ...bentKey) *browser.Page {
	t.Helper()
	used, err := a.Get(wants(t, p), originOf(t, p), bends...)
	if err != nil {
		t.Fatal(err)
	}
	return fill(t, p, "credential", used)
}

func TestAKeyAsSecondFactor(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	site := strings.Replace(factorSite, `auth.factor_age["totp"]`, `auth.factor_age["webauthn"]`, 1)
	g := start(t, asked(t, "idp", op)+keyFlow, site)
	mfaUser(op, "pwd", "mfa")
	p := g.open(newBrowser(t), g.local("/a"))
	p = fill(t, p, "factor", "webauthn")
	a := new(webauthntest.Authenticator)
	if q := makes(t, p, a, "", func(b *webauthntest.Answer) { b.Origin = g.url("") }); q.Status != http.StatusUnauthorized || !q.Has("That key was not accepted") {
		t.Fatalf("a key of another origin: %d\n%s", q.Status, q.Text())
	} else {
		p = q
	}
	landed(t, makes(t, p, a, "my key"), "/a", "idp:u-alice")
	if e := g.events("factor_added", 1); e[0]["factor"] != "webauthn" || e[0]["user"] != "idp:u-alice" {
		t.Fatalf("the trail says %v", e)
	}

	clock.Advance(time.Minute)
	mfaUser(op)
	b := newBrowser(t)
	p = g.open(b, g.local("/a?q=1"))
	p = uses(t, p, a, func(b *webauthntest.Answer) { b.Signed = func(s []byte) []byte { s[9] ^= 1; return s } })
	if p.Status != http.StatusUnauthorized || !p.Has("That key was not accepted") || g.holds(b) {
		t.Fatalf("a wrong signature: %d\n%s", p.Status, p.Text())
	}
	landed(t, uses(t, p, a), "/a?q=1", "idp:u-alice")
	want(t, g.open(b, g.local("/strong/x")), http.StatusOK)

	clock.Advance(time.Minute)
	p = uses(t, g.open(newBrowser(t), g.local("/a")), a, func(b *webauthntest.Answer) { b.Count = 1 })
	if p.Status != http.StatusForbidden || !p.Has("it counted backwards") {
		t.Fatalf("a counter that goes back: %d\n%s", p.Status, p.Text())
	}
	if e := g.lastDenied("login_denied", 1); e["reason"] != "key_cloned" || e["user"] != "idp:u-alice" {
		t.Fatalf("the trail says %v", e)
	}
}

// An answer belongs to its run: neither another browser of the same person nor
// the page of before can use it (I09, I28).
func TestI28AnAnswerOfAKeyBelongsToItsRun(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	g := start(t, asked(t, "idp", op)+strings.Replace(keyFlow, "mfa webauthn totp", "mfa webauthn", 1), factorSite)
	mfaUser(op, "pwd", "mfa")
	a := &webauthntest.Authenticator{Syncs: true, Verifies: true}
	landed(t, makes(t, g.open(newBrowser(t), g.local("/a")), a, ""), "/a", "idp:u-alice")
	clock.Advance(time.Minute)
	mfaUser(op)
	one, other := g.open(newBrowser(t), g.local("/a")), g.open(newBrowser(t), g.local("/a"))
	used, err := a.Get(wants(t, one), g.local(""))
	if err != nil {
		t.Fatal(err)
	}
	if p := fill(t, other, "credential", used); p.Status != http.StatusUnauthorized {
		t.Fatalf("the answer to another run: %d at %s", p.Status, p.URL)
	}
	landed(t, fill(t, one, "credential", used), "/a", "idp:u-alice")
}

// Without a domain there are no keys: the page says so, and the other factors work.
func TestAKeyIsOfNoUseOnAnAddress(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	g := start(t, asked(t, "idp", op)+keyFlow, factorSite)
	mfaUser(op, "pwd", "mfa")
	a := new(webauthntest.Authenticator)
	landed(t, makes(t, fill(t, g.open(newBrowser(t), g.local("/a")), "factor", "webauthn"), a, ""), "/a", "idp:u-alice")
	clock.Advance(time.Minute)
	p := g.open(newBrowser(t), g.url("/a"))
	if p.Status != http.StatusOK || !p.Has("belong to another address") || p.Has("data-options") {
		t.Fatalf("%d\n%s", p.Status, p.Text())
	}
}
