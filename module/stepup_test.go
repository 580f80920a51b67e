package module_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// bankFlow signs in at op; a factor is there for who needs one.
const bankFlow = "factor totp\nflow bank {\nlogin idp\n}\nflow enrol {\nlogin idp\nmfa totp\n}\n"

// bankSite has every kind of step_up behind an ordinary login.
const bankSite = "@transfer {\nmethod POST\npath /transfer /transfer/*\n}\n@enrol path /enrol\n" +
	"protect @enrol enrol {\nheader X-Key {user.key}\n}\n" +
	"protect bank {\nheader X-Key {user.key}\nstep_up @transfer {\nonce\nshow amount payee\n}\nstep_up /download {\nonce\n}\n" +
	"step_up /settings/* {\nwithin 5m\n}\nstep_up /profile\nstep_up /limit `request.query[\"amount\"] != \"10\"`\n}\nreverse_proxy {APP}"

// customer is a bank's gateway with a browser that is signed in and has an app that
// makes codes; the factor was not proved in its session.
type customer struct {
	*gateway
	t      *testing.T
	clock  *testClock
	op     *oidctest.OP
	b      *browser.Browser
	page   *browser.Page
	secret string
}

func newCustomer(t *testing.T, site string) *customer {
	t.Helper()
	return newCustomerOf(t, "", site)
}

func newCustomerOf(t *testing.T, more, site string) *customer {
	t.Helper()
	clock, op := newClock(t), newOP(t)
	g := start(t, asked(t, "idp", op)+bankFlow+more, site)
	mfaUser(op, "pwd", "mfa")
	p := g.open(newBrowser(t), g.url("/enrol"))
	m := manualKey.FindStringSubmatch(p.Body)
	if m == nil {
		t.Fatalf("want the page that sets up an app, got %d at %s\n%s", p.Status, p.URL, p.Text())
	}
	c := &customer{gateway: g, t: t, clock: clock, op: op, secret: strings.ReplaceAll(m[1], " ", "")}
	landed(t, fill(t, p, "code", c.code()), "/enrol", "idp:u-alice")
	mfaUser(op)
	clock.Advance(time.Minute)
	c.b, c.page = c.signIn()
	g.app.forget()
	return c
}

// signIn is another browser of the same person.
func (c *customer) signIn() (*browser.Browser, *browser.Page) {
	c.t.Helper()
	b := newBrowser(c.t)
	p := c.open(b, c.url("/app"))
	landed(c.t, p, "/app", "idp:u-alice")
	return b, p
}

func (c *customer) code() string { return code(c.t, c.secret, c.clock) }

// later lets a code run out, so that the next one is another.
func (c *customer) later() { c.clock.Advance(31 * time.Second) }

// asksCode fails unless a page asks for a code.
func asksCode(t *testing.T, p *browser.Page) {
	t.Helper()
	if p.Status != http.StatusOK || !strings.HasPrefix(p.Path(), "/.identity/flow") || !p.Has("one-time-code") {
		t.Fatalf("want the page that asks for a code, got %d at %s\n%s\nhops %v", p.Status, p.URL, p.Text(), p.Browser.Hops)
	}
}

// fetch is what a script of the application's page sends.
func (c *customer) fetch(b *browser.Browser, method, path, typ, body string, header ...string) (*browser.Page, map[string]any) {
	c.t.Helper()
	h := http.Header{}
	if typ != "" {
		h.Set("Content-Type", typ)
	}
	for i := 0; i < len(header); i += 2 {
		h[header[i]] = append(h[header[i]], header[i+1])
	}
	p := c.send(b, browser.Request{Method: method, URL: c.url(path), Header: h, Body: body, From: c.page, Script: true})
	var m map[string]any
	if strings.HasPrefix(p.Header.Get("Content-Type"), "application/json") {
		if err := json.Unmarshal([]byte(p.Body), &m); err != nil {
			c.t.Fatal(err)
		}
	}
	return p, m
}

// got is how many requests the application got for a path.
func (c *customer) got(path string) (n int) {
	for _, r := range c.app.requests() {
		if strings.Contains(strings.SplitN(r, "\r\n", 2)[0], " "+path+" ") {
			n++
		}
	}
	return n
}

func TestB25AProofNotOlderThanWithin(t *testing.T) {
	c := newCustomer(t, bankSite)
	landed(t, c.open(c.b, c.url("/app")), "/app", "idp:u-alice")
	p := c.open(c.b, c.url("/settings/x?y=1"))
	asksCode(t, p)
	if c.got("/settings/x?y=1") != 0 {
		t.Fatal("it was forwarded before anything was proved")
	}
	old := ticketOf(t, c.gateway, c.b).Value
	landed(t, fill(t, p, "code", c.code()), "/settings/x?y=1", "idp:u-alice")
	if ticketOf(t, c.gateway, c.b).Value == old {
		t.Fatal("the ticket is the same after a proof was added (I13)")
	}
	e := c.events("step_up", 1)[0]
	if e["user"] != "idp:u-alice" || e["session"] == "" {
		t.Fatalf("the trail says %v", e)
	}
	c.clock.Advance(5 * time.Minute)
	landed(t, c.open(c.b, c.url("/settings")), "/settings", "idp:u-alice") // /x/* means /x, too
	c.clock.Advance(time.Second)
	asksCode(t, c.open(c.b, c.url("/settings")))
	landed(t, c.open(c.b, c.url("/profile")), "/profile", "idp:u-alice") // once in a session is enough there
}

func TestB25OnceInASessionAndByCondition(t *testing.T) {
	c := newCustomer(t, bankSite)
	landed(t, c.open(c.b, c.url("/limit?amount=10")), "/limit?amount=10", "idp:u-alice")
	want(t, c.open(c.b, c.url("/limit?amount=1&amount=2")), http.StatusForbidden) // an error denies (I22)
	p := c.open(c.b, c.url("/limit?amount=11"))
	asksCode(t, p)
	landed(t, fill(t, p, "code", c.code()), "/limit?amount=11", "idp:u-alice")
	c.clock.Advance(20 * time.Minute)
	landed(t, c.open(c.b, c.url("/limit?amount=12")), "/limit?amount=12", "idp:u-alice")
	other, _ := c.signIn()
	asksCode(t, c.open(other, c.url("/profile"))) // of another session
}

// A script hears where its person can prove it, and comes through afterwards.
func TestB25AScriptIsToldWhere(t *testing.T) {
	c := newCustomer(t, bankSite)
	p, m := c.fetch(c.b, http.MethodPost, "/settings/x", "application/json", "{}")
	if p.Status != http.StatusUnauthorized || m["error"] != "step_up_required" || len(p.Header["Set-Cookie"]) > 0 {
		t.Fatalf("want 401 step_up_required, got %d %v", p.Status, m)
	}
	at, _ := m["step_up_url"].(string)
	stranger, _ := c.signIn()
	want(t, c.open(stranger, c.url(at)), http.StatusForbidden)
	q := c.open(c.b, c.url(at+"&return_to=/app"))
	asksCode(t, q)
	landed(t, fill(t, q, "code", c.code()), "/app", "idp:u-alice")
	if p, _ := c.fetch(c.b, http.MethodPost, "/settings/x", "application/json", "{}"); p.Status != http.StatusOK {
		t.Fatalf("want 200, got %d\n%s", p.Status, p.Body)
	}
	if c.got("/settings/x") != 1 {
		t.Fatal("not forwarded once")
	}
}

// Who has no factor signs in anew, sets one up, and is asked for it once more.
func TestI03StepUpIsNeverMetByWhatWasEnrolledJustNow(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	g := start(t, asked(t, "idp", op)+bankFlow, bankSite)
	mfaUser(op, "pwd", "mfa")
	b := newBrowser(t)
	landed(t, g.open(b, g.url("/app")), "/app", "idp:u-alice")
	clock.Advance(10 * time.Minute)
	logins := op.Counts().Authorize
	p := g.open(b, g.url("/settings/x"))
	m := manualKey.FindStringSubmatch(p.Body)
	if m == nil {
		t.Fatalf("want the page that sets up an app, got %d at %s\n%s\nhops %v", p.Status, p.URL, p.Text(), b.Hops)
	}
	if n := op.Counts().Authorize - logins; n != 1 || op.Requests()[len(op.Requests())-1].Get("prompt") != "login" {
		t.Fatalf("the person was sent to the provider %d times; want one full login", n)
	}
	secret := strings.ReplaceAll(m[1], " ", "")
	p = fill(t, p, "code", code(t, secret, clock))
	asksCode(t, p)
	if p = fill(t, p, "code", code(t, secret, clock)); p.Status != http.StatusUnauthorized {
		t.Fatalf("the code of the enrolment was taken once more: %d at %s", p.Status, p.URL)
	}
	for _, r := range g.app.requests() {
		if strings.HasPrefix(r, "GET /settings") {
			t.Fatal("forwarded before the factor was proved")
		}
	}
	clock.Advance(31 * time.Second)
	landed(t, fill(t, p, "code", code(t, secret, clock)), "/settings/x", "idp:u-alice")

	t.Run("and one enrolled by the flow of the login does not count, either", func(t *testing.T) {
		mfaUser(op, "pwd", "mfa")
		op.SetUser(map[string]any{"sub": "u-bob", "preferred_username": "bob", "amr": []string{"mfa"}})
		b := newBrowser(t)
		p := g.open(b, g.url("/enrol"))
		secret := strings.ReplaceAll(manualKey.FindStringSubmatch(p.Body)[1], " ", "")
		landed(t, fill(t, p, "code", code(t, secret, clock)), "/enrol", "idp:u-bob")
		landed(t, g.open(b, g.url("/app")), "/app", "idp:u-bob")
		asksCode(t, g.open(b, g.url("/profile")))
	})
}

// strongFlow proves by a login at a provider that is asked for a context.
const strongFlow = "flow bank {\nlogin idp\n}\nflow strong {\nlogin phr\n}\n"

const strongSite = "protect bank {\nheader X-Key {user.key}\nheader X-ACR {auth.acr}\nstep_up /pay strong {\nwithin 5m\n}\nstep_up /sign strong {\nonce\n}\n}\nreverse_proxy {APP}"

// phr are two clients at one provider, the second of which asks for more.
func phr(t *testing.T, op *oidctest.OP) string {
	return asked(t, "idp", op, "realm bank") + asked(t, "phr", op, "realm bank", "was "+op.Issuer, "acr_values phr", "hidden") + strongFlow
}

// What the provider returned is judged, not what it was asked for: one that omits the
// context that was asked for is asked once, and the answer is no.
func TestB25StepUpAtTheProviderIsJudgedByItsAnswer(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(c map[string]any)
		good   bool
	}{
		{"as asked", func(c map[string]any) { c["acr"] = "phr" }, true},
		{"without acr", func(map[string]any) {}, false},
		{"another acr", func(c map[string]any) { c["acr"] = "phrh" }, false},
		{"an old login", func(c map[string]any) { c["acr"], c["auth_time"] = "phr", c["iat"].(int64)-3600 }, false},
		{"does not say when", func(c map[string]any) { c["acr"] = "phr"; delete(c, "auth_time") }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			clock, op := newClock(t), newOP(t)
			mfaUser(op)
			g := start(t, phr(t, op), strongSite)
			b := newBrowser(t)
			landed(t, g.open(b, g.url("/app")), "/app", "bank:u-alice")
			clock.Advance(time.Minute)
			op.SetBehaviour(oidctest.Mode{Mint: func(_ *oidctest.OP, m *oidctest.Token) { tc.change(m.Claims) }})
			n := op.Counts().Authorize
			p := g.open(b, g.url("/pay"))
			q := op.Requests()[len(op.Requests())-1]
			if trips := op.Counts().Authorize - n; trips != 1 || q.Get("acr_values") != "phr" || q.Get("prompt") != "login" || q.Get("max_age") != "0" {
				t.Fatalf("%d trips to the provider, the last with %v", trips, q)
			}
			if tc.good {
				landed(t, p, "/pay", "bank:u-alice")
				landed(t, g.open(b, g.url("/pay")), "/pay", "bank:u-alice")
				if op.Counts().Authorize != n+1 {
					t.Fatal("asked again within the time")
				}
				return
			}
			if p.Status != http.StatusForbidden || !p.Has("stronger") {
				t.Fatalf("want 403, got %d at %s\n%s", p.Status, p.URL, p.Text())
			}
			if e := g.lastDenied("login_denied", 1); e["reason"] != "assurance_not_met" {
				t.Fatalf("the trail says %v", e)
			}
			landed(t, g.open(b, g.url("/app")), "/app", "bank:u-alice") // the session stays as it was
		})
	}
}

// Before the person leaves for a provider they read what it is for.
func TestI20AProviderCannotShowItSoWeDo(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	mfaUser(op)
	g := start(t, phr(t, op), strongSite)
	b := newBrowser(t)
	landed(t, g.open(b, g.url("/app")), "/app", "bank:u-alice")
	clock.Advance(time.Minute)
	op.SetBehaviour(oidctest.Mode{Mint: func(_ *oidctest.OP, m *oidctest.Token) { m.Claims["acr"] = "phr" }})
	n := op.Counts().Authorize
	p := g.open(b, g.url("/sign?doc=7"))
	if op.Counts().Authorize != n || !strings.Contains(p.Text(), "/sign?doc=7") {
		t.Fatalf("want the page that shows the request, got %d at %s\n%s", p.Status, p.URL, p.Text())
	}
	landed(t, fill(t, p), "/sign?doc=7", "bank:u-alice")
	if op.Counts().Authorize != n+1 {
		t.Fatal("the provider was not asked once")
	}
	q := g.open(b, g.url("/sign?doc=7"))
	if !strings.HasPrefix(q.Path(), "/.identity/flow") {
		t.Fatalf("the second time: %d at %s", q.Status, q.URL)
	}
	// Another person at the provider ends it (I02).
	clock.Advance(time.Minute)
	op.SetUser(map[string]any{"sub": "u-mallory", "preferred_username": "mallory"})
	if p := fill(t, q); p.Status != http.StatusForbidden || g.lastDenied("login_denied", 1)["reason"] != "user_mismatch" {
		t.Fatalf("another person: %d at %s", p.Status, p.URL)
	}
}

// All lines that match hold together, whatever their order (I19).
func TestI19StepUpAndRequireHoldTogether(t *testing.T) {
	lines := []string{"public /x/*", "require /x/* `user.name == \"alice\"`", "step_up /x/*", "step_up /x/deep {\nwithin 1m\n}"}
	for range 4 {
		lines = append(lines[1:], lines[0])
		c := newCustomer(t, "@enrol path /enrol\nprotect @enrol enrol {\nheader X-Key {user.key}\n}\nprotect bank {\nheader X-Key {user.key}\n"+strings.Join(lines, "\n")+"\n}\nreverse_proxy {APP}")
		p := c.open(newBrowser(t), c.url("/x/deep"))
		asksCode(t, p)
		landed(t, fill(t, p, "code", c.code()), "/x/deep", "idp:u-alice")
		c.clock.Advance(2 * time.Minute)
		landed(t, c.open(p.Browser, c.url("/x/other")), "/x/other", "idp:u-alice")
		asksCode(t, c.open(p.Browser, c.url("/x/deep")))
		asksCode(t, c.open(c.b, c.url("/x")))
	}
}
