package module_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/adapters/factor/webauthn/webauthntest"
	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// passkeyFlow lets people in by a provider that asked for a second factor, or by the
// passkey that they set up then.
const passkeyFlow = "factor webauthn\nflow staff {\nlogin idp passkey\nmfa webauthn\n}\n"

const passkeySite = "protect staff {\nheader X-Key {user.key}\nheader X-User {user.name}\nheader X-Email {user.email}\nheader X-Groups {user.groups}\nheader X-By {user.provider}\n" +
	"require /strong/* `\"mfa\" in auth.amr && auth.provider == \"passkey\" && auth.factor_age[\"webauthn\"] < duration(\"1h\")`\n}\nreverse_proxy {APP}"

// passkeyOwner sets up a passkey for alice in a browser that signed in at op.
func passkeyOwner(t *testing.T, g *gateway, op *oidctest.OP, at string) *webauthntest.Authenticator {
	t.Helper()
	mfaUser(op, "pwd", "mfa")
	a := &webauthntest.Authenticator{Verifies: true, Syncs: true}
	p := fill(t, g.open(newBrowser(t), at), "provider", "idp")
	landed(t, makes(t, p, a, "phone"), "/a", "idp:u-alice")
	mfaUser(op, "pwd")
	return a
}

func TestLoginByPasskey(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	g := start(t, asked(t, "idp", op)+passkeyFlow, passkeySite)
	a := passkeyOwner(t, g, op, g.local("/a"))
	clock.Advance(time.Hour)
	logins := op.Counts().Authorize
	b := newBrowser(t)
	p := g.open(b, g.local("/a?q=1"))
	if !p.Has(`value="idp"`) || !p.Has("Sign in with a passkey") {
		t.Fatalf("want the choice of both, got\n%s", p.Text())
	}
	p = uses(t, p, a)
	landed(t, p, "/a?q=1", "idp:u-alice")
	if op.Counts().Authorize != logins || !p.Has("X-User: alice") || !p.Has("X-By: idp") {
		t.Fatalf("%d trips to the provider\n%s", op.Counts().Authorize-logins, p.Text())
	}
	want(t, g.open(b, g.local("/strong/x")), http.StatusOK)
	e := g.events("login", 2)[1]
	if e["user"] != "idp:u-alice" || e["factor"] != "webauthn" {
		t.Fatalf("the trail says %v", e)
	}
	// It leaves no provider to sign out at.
	if p := g.open(b, g.local("/.identity/logout")); !strings.Contains(p.URL, "/.identity/logout") || g.holds(b) {
		t.Fatalf("signed out at %s", p.URL)
	}
}

// What is wrong of an answer, the page does not say, and the next try has another challenge.
func TestM07ALoginByPasskeyRefuses(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "idp", op)+passkeyFlow, passkeySite)
	a := passkeyOwner(t, g, op, g.local("/a"))
	b := newBrowser(t)
	p := g.open(b, g.local("/a"))
	for what, f := range map[string]bend{
		"nobody verified":   func(b *webauthntest.Answer) { b.Flags &^= webauthntest.Verified },
		"nobody named":      func(b *webauthntest.Answer) { b.Handle = nil },
		"nobody we know":    func(b *webauthntest.Answer) { b.Handle = []byte("somebody else") },
		"another origin":    func(b *webauthntest.Answer) { b.Origin = g.url("") },
		"another signature": func(b *webauthntest.Answer) { b.Signed = func(s []byte) []byte { s[8] ^= 1; return s } },
		"no JSON":           func(b *webauthntest.Answer) { b.Sent = func(c map[string]any) { c["id"] = 7 } },
	} {
		before := wants(t, p)
		p = uses(t, p, a, f)
		if p.Status != http.StatusUnauthorized || !p.Has("That key was not accepted") || !p.Has(`value="idp"`) || g.holds(b) {
			t.Fatalf("%s: %d\n%s", what, p.Status, p.Text())
		}
		if string(wants(t, p)) == string(before) {
			t.Errorf("%s: the same challenge again", what)
		}
	}
	landed(t, uses(t, p, a), "/a", "idp:u-alice")
	if _, err := (&webauthntest.Authenticator{}).Get(wants(t, g.open(newBrowser(t), g.local("/a"))), g.local("")); err == nil {
		t.Error("a browser without a passkey had an answer")
	}
}

// Neither the answer nor the cookie of before is good for a second session (I09).
func TestI09AnAnswerOfAPasskeyIsGoodOnce(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "idp", op)+passkeyFlow, passkeySite)
	a := passkeyOwner(t, g, op, g.local("/a"))
	b := newBrowser(t)
	p := g.open(b, g.local("/a"))
	jar := b.Jar.Clone()
	used, err := a.Get(wants(t, p), g.local(""))
	if err != nil {
		t.Fatal(err)
	}
	landed(t, fill(t, p, "credential", used), "/a", "idp:u-alice")
	again := func(what string) {
		t.Helper()
		b.Jar = jar.Clone()
		q := fill(t, p, "credential", used)
		if g.holds(b) {
			t.Fatalf("%s: a second session: %d at %s", what, q.Status, q.URL)
		}
	}
	again("at once")
	landed(t, uses(t, g.open(newBrowser(t), g.local("/a")), a), "/a", "idp:u-alice")
	again("when the key has answered another since")
}

// A passkey is no provider's word: it satisfies only a login that names it, and there
// only for people of its providers (I01, I02).
func TestI02APasskeyIsGoodWhereItIsNamed(t *testing.T) {
	op, other := newOP(t), newOP(t)
	lines := asked(t, "idp", op) + asked(t, "other", other) + passkeyFlow +
		"flow theirs {\nlogin other passkey\n}\nflow plain {\nlogin idp\n}\nflow any {\nlogin passkey\n}\n"
	site := strings.Replace(passkeySite, "protect staff {", "protect /theirs theirs {\nheader X-Key {user.key}\n}\nprotect /plain plain {\nheader X-Key {user.key}\n}\nprotect /any any {\nheader X-Key {user.key}\n}\nprotect staff {", 1)
	g := start(t, lines, site)
	a := passkeyOwner(t, g, op, g.local("/a"))
	b := newBrowser(t)
	landed(t, uses(t, g.open(b, g.local("/any")), a), "/any", "idp:u-alice")
	landed(t, g.open(b, g.local("/a")), "/a", "idp:u-alice")
	if p := g.open(b, g.local("/theirs")); p.Status != http.StatusOK || !p.Has(`value="other"`) {
		t.Fatalf("a session by passkey of somebody else's people: %d at %s\n%s", p.Status, p.URL, p.Text())
	}
	logins := op.Counts().Authorize
	landed(t, g.open(b, g.local("/plain")), "/plain", "idp:u-alice")
	if op.Counts().Authorize != logins+1 {
		t.Error("a passkey was taken for the provider's word")
	}
	stranger := newBrowser(t)
	p := uses(t, g.open(stranger, g.local("/theirs")), a)
	if p.Status != http.StatusForbidden || g.holds(stranger) {
		t.Fatalf("a passkey of somebody else's people: %d at %s\n%s", p.Status, p.URL, p.Text())
	}
	if e := g.lastDenied("login_denied", 1); e["reason"] != "not_allowed" || e["provider"] != "passkey" {
		t.Fatalf("the trail says %v", e)
	}
}

// What is known of the owner is what the provider said last, and its word runs out.
func TestTheOwnerOfAPasskeyIsWhoTheProviderSaid(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	g := start(t, asked(t, "idp", op)+passkeyFlow, passkeySite)
	a := passkeyOwner(t, g, op, g.local("/a"))
	signIn := func() *browser.Page { return uses(t, g.open(newBrowser(t), g.local("/a")), a) }
	if p := signIn(); !p.Has("X-User: alice") || p.Has("X-Email") {
		t.Fatalf("the application sees\n%s", p.Text())
	}
	op.SetUser(map[string]any{"sub": "u-alice", "preferred_username": "alice", "email": "a@example.test", "email_verified": true, "groups": []string{"payroll"}})
	p := fill(t, g.open(newBrowser(t), g.local("/a")), "provider", "idp")
	landed(t, uses(t, p, a), "/a", "idp:u-alice")
	clock.Advance(29 * 24 * time.Hour)
	if p := signIn(); !p.Has("X-Email: a@example.test") || !p.Has("X-Groups: payroll") {
		t.Fatalf("the application sees\n%s", p.Text())
	}
	clock.Advance(2 * 24 * time.Hour)
	p = signIn()
	if p.Status != http.StatusOK || !p.Has("Sign in once by another way") || p.Has("X-Key") {
		t.Fatalf("a provider's word of a month ago: %d\n%s", p.Status, p.Text())
	}
	landed(t, uses(t, fill(t, p, "provider", "idp"), a), "/a", "idp:u-alice")
	landed(t, signIn(), "/a", "idp:u-alice")
}

// A provider that can be asked is asked: who is gone from the config is gone.
func TestAPasskeyOfAnAccountThatIsGone(t *testing.T) {
	op := newOP(t)
	lines := people(t) + asked(t, "idp", op, "realm corp") + "factor webauthn\nflow staff {\nlogin corp passkey\n}\nflow setup {\nlogin idp\nmfa webauthn\n}\n"
	site := strings.Replace(passkeySite, "protect staff {", "protect /setup setup {\nheader X-Key {user.key}\n}\nprotect staff {", 1)
	g := start(t, lines, site)
	op.SetUser(map[string]any{"sub": "alice", "preferred_username": "alice", "amr": []string{"mfa"}})
	a := &webauthntest.Authenticator{Verifies: true}
	landed(t, makes(t, g.open(newBrowser(t), g.local("/setup")), a, ""), "/setup", "corp:alice")
	p := g.open(newBrowser(t), g.local("/a"))
	if !p.Has(`autocomplete="username webauthn"`) || !p.Has(" data-conditional") || !p.Has("current-password") {
		t.Fatalf("want a password page that offers passkeys, got\n%s", p.Body)
	}
	p = uses(t, fill(t, p, "username", "alice", "password", "wrong"), a)
	if landed(t, p, "/a", "corp:alice"); !p.Has("X-Groups: admins,staff") || !p.Has("X-Email: alice@example.test") || !p.Has("X-By: corp") {
		t.Fatalf("the application sees\n%s", p.Text())
	}
	if err := g.load(strings.Replace(lines, "user alice ", "user alicia ", 1), site); err != nil {
		t.Fatal(err)
	}
	b := newBrowser(t)
	p = uses(t, g.open(b, g.local("/a")), a)
	if p.Status != http.StatusForbidden || g.holds(b) || !p.Has("switched off") {
		t.Fatalf("an account that is gone: %d\n%s", p.Status, p.Text())
	}
}

// With a portal the keys are for its host, and sign in to every application.
func TestAPasskeyOfThePortal(t *testing.T) {
	op := newOP(t)
	flow := "factor webauthn\nflow default {\nlogin corp passkey\nmfa webauthn\n}\n"
	g := start(t, asked(t, "corp", op, "scopes openid profile")+portalLine+flow, townSites)
	mfaUser(op, "pwd", "mfa")
	a := &webauthntest.Authenticator{Verifies: true}
	p := fill(t, g.open(newBrowser(t), g.on("one", "/a")), "provider", "corp")
	if got := string(wants(t, p)); originOf(t, p) != g.on("auth", "") || !strings.Contains(got, `"id":"auth.localhost"`) {
		t.Fatalf("%s asks for %s", p.URL, got)
	}
	q := makes(t, p, a, "", func(b *webauthntest.Answer) { b.Origin = g.on("one", "") })
	if q.Status != http.StatusUnauthorized {
		t.Fatalf("a key of an application's host: %d\n%s", q.Status, q.Text())
	}
	g.at(makes(t, q, a, ""), "one", "/a")
	b := newBrowser(t)
	p = uses(t, g.open(b, g.on("two", "/b")), a, func(b *webauthntest.Answer) { b.Origin = g.on("two", "") })
	if p.Status != http.StatusUnauthorized {
		t.Fatalf("an answer of an application's host: %d\n%s", p.Status, p.Text())
	}
	g.at(uses(t, p, a), "two", "/b")
	g.at(g.open(b, g.on("one", "/a")), "one", "/a")
}

// What passkeys know of their owner is in what the owner is handed, and is forgotten
// with the last of them.
func TestErasedPasskeysKnowNobody(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "idp", op)+passkeyFlow, passkeySite)
	passkeyOwner(t, g, op, g.local("/a"))
	known, err := theApp(t).Vouched(t.Context(), "idp:u-alice")
	if err != nil || len(known) != 1 || known[0].Name != "alice" {
		t.Fatalf("%+v, %v", known, err)
	}
	handles := theApp(t).Handles(t.Context(), "idp:u-alice")
	if status, out := admin(t, http.MethodDelete, "/identity/users/"+base64.RawURLEncoding.EncodeToString([]byte("idp:u-alice"))+"/factors", ""); status != http.StatusOK {
		t.Fatalf("%d %v", status, out)
	}
	if len(handles) != 1 || theApp(t).Knows(t.Context(), handles[0]) {
		t.Errorf("of %v somebody is still known", handles)
	}
}
