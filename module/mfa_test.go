package module_test

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/flows"
)

// factorFlow asks for a second factor behind a login at op.
const factorFlow = "factor totp\nfactor recovery\nflow staff {\nlogin idp\nmfa totp recovery\n}\n"

const factorSite = "protect staff {\nheader X-Key {user.key}\nheader X-User {user.name}\nrequire /strong/* `\"mfa\" in auth.amr && auth.factor_age[\"totp\"] < duration(\"1h\")`\n}\nreverse_proxy {APP}"

// mfaUser is alice as the OP tells of her; with a second factor of the OP's own.
func mfaUser(op *oidctest.OP, amr ...string) {
	claims := map[string]any{"sub": "u-alice", "preferred_username": "alice", "name": "Alice Liddell"}
	if len(amr) > 0 {
		claims["amr"] = amr
	}
	op.SetUser(claims)
}

var manualKey = regexp.MustCompile(`<code>([A-Z2-7 ]{32,})</code>`)

// enrolled walks a browser through the enrolment and returns the secret and the recovery codes.
func (g *gateway) enrolled(t *testing.T, op *oidctest.OP, clock *testClock, b *browser.Browser) (secret string, codes []string, p *browser.Page) {
	t.Helper()
	mfaUser(op, "pwd", "mfa")
	p = g.open(b, g.url("/a"))
	m := manualKey.FindStringSubmatch(p.Body)
	if p.Status != http.StatusOK || m == nil || !p.Has(`class="qr"`) {
		t.Fatalf("want the page that sets up an app, got %d at %s\n%s", p.Status, p.URL, p.Text())
	}
	secret = strings.ReplaceAll(m[1], " ", "")
	p = fill(t, p, "code", code(t, secret, clock))
	for _, m := range regexp.MustCompile(`<li><code>([A-Z2-7-]+)</code>`).FindAllStringSubmatch(p.Body, -1) {
		codes = append(codes, m[1])
	}
	if len(codes) != 10 {
		t.Fatalf("want ten recovery codes, got %d\n%s", len(codes), p.Text())
	}
	p = fill(t, p)
	mfaUser(op)
	return secret, codes, p
}

func fill(t *testing.T, p *browser.Page, pairs ...string) *browser.Page {
	t.Helper()
	if len(pairs) == 0 { // the button alone
		pairs = []string{"serial", p.Forms()[0].Fields.Get("serial")}
	}
	p, err := p.Fill(pairs...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func code(t testing.TB, secret string, clock *testClock) string {
	t.Helper()
	c, err := totp.GenerateCode(secret, clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestMFAWalk(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	g := start(t, asked(t, "idp", op)+factorFlow, factorSite)
	b := newBrowser(t)
	secret, _, p := g.enrolled(t, op, clock, b)
	landed(t, p, "/a", "idp:u-alice")
	if e := g.events("factor_added", 2); e[0]["factor"] != "totp" || e[1]["factor"] != "recovery" || e[0]["user"] != "idp:u-alice" {
		t.Fatalf("the trail does not say which factors were added: %v", e)
	}
	want(t, g.open(b, g.url("/strong/x")), http.StatusForbidden) // what was enrolled just now is no proof of a factor

	clock.Advance(time.Minute)
	other := newBrowser(t)
	p = g.open(other, g.url("/a?q=1"))
	if !p.Has("one-time-code") || p.Has(`class="qr"`) {
		t.Fatalf("want the page that asks for a code, got\n%s", p.Text())
	}
	p = fill(t, p, "code", "000000")
	if p.Status != http.StatusUnauthorized || !p.Has("That code is not right") || g.hasTicket(other) {
		t.Fatalf("a wrong code: %d\n%s", p.Status, p.Text())
	}
	c := code(t, secret, clock)
	p = fill(t, p, "code", c[:3]+" "+c[3:])
	landed(t, p, "/a?q=1", "idp:u-alice")
	want(t, g.open(other, g.url("/strong/x")), http.StatusOK)
}

func TestM01ATOTPStepIsUsedOnce(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	g := start(t, asked(t, "idp", op)+factorFlow, factorSite)
	secret, _, _ := g.enrolled(t, op, clock, newBrowser(t))
	before := code(t, secret, clock)
	try := func(c string) *browser.Page {
		b := newBrowser(t)
		return fill(t, g.open(b, g.url("/a")), "code", c)
	}
	refused := func(what string, p *browser.Page) {
		t.Helper()
		if p.Status != http.StatusUnauthorized {
			t.Fatalf("%s: want 401, got %d at %s\n%s", what, p.Status, p.URL, p.Text())
		}
	}
	refused("the code of the enrolment", try(before))
	clock.Advance(30 * time.Second)
	now := code(t, secret, clock)
	landed(t, try(now), "/a", "idp:u-alice")
	refused("the same code again", try(now))
	refused("the code of the step before", try(before))
	clock.Advance(30 * time.Second)
	landed(t, try(code(t, secret, clock)), "/a", "idp:u-alice")
}

func TestM06RecoveryCodesAreGoodOnce(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	g := start(t, asked(t, "idp", op)+factorFlow, factorSite)
	_, codes, _ := g.enrolled(t, op, clock, newBrowser(t))
	try := func(c string) *browser.Page {
		p := g.open(newBrowser(t), g.url("/a"))
		if p.Has("Use a recovery code") {
			p = fill(t, p, "factor", "recovery")
		}
		if !p.Has("Type one of the codes") || !p.Has(`autocomplete="off"`) {
			t.Fatalf("want the page for a recovery code, got\n%s", p.Text())
		}
		return fill(t, p, "code", c)
	}
	landed(t, try(strings.ToLower(codes[3])), "/a", "idp:u-alice")
	if p := try(codes[3]); p.Status != http.StatusUnauthorized {
		t.Fatalf("a recovery code worked twice: %d", p.Status)
	}
	landed(t, try(strings.ReplaceAll(codes[4], "-", "")), "/a", "idp:u-alice")
	if p := try("AAAA-BBBB-CCCC-DDDD"); p.Status != http.StatusUnauthorized {
		t.Fatalf("a made-up code worked: %d", p.Status)
	}
}

func TestI07TheFirstFactorNeverRestsOnThePasswordAlone(t *testing.T) {
	op := newOP(t)
	mfaUser(op, "pwd")
	g := start(t, asked(t, "idp", op)+factorFlow, factorSite)
	p := g.open(newBrowser(t), g.url("/a"))
	if p.Status != http.StatusForbidden || !p.Has("second factor") {
		t.Fatalf("want 403 not_enrolled, got %d\n%s", p.Status, p.Text())
	}
	if e := g.lastDenied("login_denied", 1); e["reason"] != "not_enrolled" || e["user"] != "idp:u-alice" {
		t.Fatalf("the trail says %v", e)
	}
	t.Run("local accounts", func(t *testing.T) {
		g := start(t, people(t)+strings.Replace(factorFlow, "login idp", "login corp", 1), factorSite)
		p := g.signIn(newBrowser(t), "/a", "alice", "alicepw")
		if p.Status != http.StatusForbidden || g.count("factor_added") != 0 {
			t.Fatalf("want 403, got %d\n%s", p.Status, p.Text())
		}
	})
	t.Run("enroll allow lets them go on without", func(t *testing.T) {
		g := start(t, asked(t, "idp", op)+strings.Replace(factorFlow, "mfa totp recovery", "mfa totp recovery {\nenroll allow\n}", 1), factorSite)
		b := newBrowser(t)
		landed(t, g.open(b, g.url("/a")), "/a", "idp:u-alice")
		want(t, g.open(b, g.url("/strong/x")), http.StatusForbidden)
	})
	t.Run("enroll deny enrols nobody", func(t *testing.T) {
		mfaUser(op, "pwd", "mfa")
		defer mfaUser(op, "pwd")
		g := start(t, asked(t, "idp", op)+strings.Replace(factorFlow, "mfa totp recovery", "mfa totp recovery {\nenroll deny\n}", 1), factorSite)
		want(t, g.open(newBrowser(t), g.url("/a")), http.StatusForbidden)
	})
}

// Neither the cookie from before a guess nor the page from before gives a try back.
func TestI08AnOlderCookieGivesNoTryBack(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	g := start(t, asked(t, "idp", op)+factorFlow, factorSite)
	secret, _, _ := g.enrolled(t, op, clock, newBrowser(t))
	clock.Advance(time.Minute)
	b := newBrowser(t)
	first := g.open(b, g.url("/a"))
	jar := b.Jar.Clone()
	for i := range 8 {
		b.Jar = jar.Clone()
		p := fill(t, first, "code", "000000")
		if i < flows.LimitFactor.Free && p.Status != http.StatusUnauthorized && p.Status != http.StatusOK || i >= flows.LimitFactor.Free && p.Status == http.StatusUnauthorized {
			t.Fatalf("guess %d with the first cookie: %d at %s", i, p.Status, p.URL)
		}
		first = g.open(b, g.url("/.identity/flow"))
	}
	// The stub that travels names the run and says nothing of its state.
	for _, c := range b.Jar.Cookies(g.url("/.identity/flow")) {
		if strings.Contains(c.Value, secret) {
			t.Fatal("a cookie holds the secret")
		}
	}
}

// A session that lacks the second factor is asked for that alone.
func TestI01AFactorIsAskedOfASessionThatLacksIt(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	site := "protect /strong/* strong {\nheader X-Key {user.key}\n}\nprotect plain {\nheader X-Key {user.key}\n}\nreverse_proxy {APP}"
	flowsOf := "factor totp\nfactor recovery\nflow plain {\nlogin idp\n}\nflow strong {\nlogin idp\nmfa totp recovery\n}\n"
	g := start(t, asked(t, "idp", op)+flowsOf, site)
	mfaUser(op, "pwd", "mfa")
	b := newBrowser(t)
	landed(t, g.open(b, g.url("/a")), "/a", "idp:u-alice")
	logins := op.Counts().Authorize
	p := g.open(b, g.url("/strong/x"))
	m := manualKey.FindStringSubmatch(p.Body)
	if m == nil {
		t.Fatalf("want the page that sets up an app, got %d at %s\n%s", p.Status, p.URL, p.Text())
	}
	p = fill(t, p, "code", code(t, strings.ReplaceAll(m[1], " ", ""), clock))
	p = fill(t, p)
	landed(t, p, "/strong/x", "idp:u-alice")
	if op.Counts().Authorize != logins {
		t.Fatal("the person was sent to the provider again")
	}
	landed(t, g.open(b, g.url("/a")), "/a", "idp:u-alice")
}

// An answer to a page of before is not taken (I28), and showing a page again
// draws the same secret.
func TestI28ShowingAPageAgainMakesNoNewSecret(t *testing.T) {
	op := newOP(t)
	mfaUser(op, "pwd", "mfa")
	g := start(t, asked(t, "idp", op)+factorFlow, factorSite)
	b := newBrowser(t)
	p := g.open(b, g.url("/a"))
	u, err := url.Parse(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	again := g.open(b, g.url(u.RequestURI()))
	one, two := manualKey.FindStringSubmatch(p.Body), manualKey.FindStringSubmatch(again.Body)
	if one == nil || two == nil || !slices.Equal(one, two) {
		t.Fatalf("the secret changed when the page was shown again: %q, %q", one, two)
	}
}

// What is read and never changed outlives the key it was sealed with: a factor that
// is only asked for, the issuer that a provider's name is bound to (I05).
func TestB20WhatIsOnlyReadSurvivesAKeyRotation(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	t.Setenv("SALLYPORT_KEY_1", "first-key-of-factors-0123456789abcdef")
	t.Setenv("SALLYPORT_KEY_2", "second-key-of-factors-0123456789abcdef")
	idp := newIDP(t, 0)
	lines := asked(t, "idp", op) + samlBlock("corp", idp) + factorFlow
	g := start(t, lines+"keys {env.SALLYPORT_KEY_1}\n", factorSite)
	secret, _, _ := g.enrolled(t, op, clock, newBrowser(t))
	metadata := func() string { return g.get("/.identity/saml/corp/metadata", "").Body }
	ours := metadata()
	for _, keys := range []string{"keys {env.SALLYPORT_KEY_2} {env.SALLYPORT_KEY_1}\n", "keys {env.SALLYPORT_KEY_2}\n"} {
		if err := g.load(lines+keys, factorSite); err != nil {
			t.Fatal(err)
		}
		if p := g.open(newBrowser(t), g.url("/a")); !p.Has("one-time-code") {
			t.Fatalf("%s: the factor is forgotten: %d\n%s", keys, p.Status, p.Text())
		}
		if now := metadata(); now != ours || !strings.Contains(now, "X509Certificate") {
			t.Errorf("%s: our SAML key is another one", keys)
		}
	}
	clock.Advance(time.Minute)
	landed(t, fill(t, g.open(newBrowser(t), g.url("/a")), "code", code(t, secret, clock)), "/a", "idp:u-alice")
	moved := newOP(t)
	mfaUser(moved)
	if err := g.load(asked(t, "idp", moved)+samlBlock("corp", idp)+factorFlow+"keys {env.SALLYPORT_KEY_2}\n", factorSite); err != nil {
		t.Fatal(err)
	}
	want(t, g.open(newBrowser(t), g.url("/a")), http.StatusForbidden)
	if e := g.events("login_denied", 1); e[len(e)-1]["reason"] != "issuer_changed" {
		t.Errorf("the name is bound no more: %v", e[len(e)-1])
	}
}
