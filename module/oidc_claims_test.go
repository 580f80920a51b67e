package module_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/examples/browser"
)

func TestB22ClaimsBecomeHeaders(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "corp", op,
		"claim department org.unit", "claim roles realm_access.roles list", "claim badge badge", "claim name login",
		"claim groups memberships", "claim url https://example.com/cost", "claim one single list"),
		`protect {
header X-Name {user.name}
header X-Display {user.display_name}
header X-Department {user.department}
header X-Roles {user.roles}
header X-Badge {user.badge}
header X-Groups {user.groups}
header X-Url {user.url}
header X-One {user.one}
header X-Active {user.active}
header X-Missing {user.no_such}
header X-Empty {user.no_such} {
missing empty
}
}
reverse_proxy {APP}`)
	op.SetUser(map[string]any{
		"sub": "u-1", "login": "alice", "preferred_username": "not-this", "name": "Grüße 李", "org": map[string]any{"unit": "R&D, north"},
		"realm_access": map[string]any{"roles": []string{"a,b", "c%d"}}, "badge": 4711, "memberships": []string{"staff", "g\r\nX-Evil: 1"},
		"https://example.com/cost": "12", "single": "only", "active": true, "department": "not-this", "groups": []string{"not-this"},
	})
	p := g.open(newBrowser(t), g.url("/x"))
	landed(t, p, "/x", "")
	for name, value := range map[string]string{
		"X-Name": "alice", "X-Display": "Gr%C3%BC%C3%9Fe %E6%9D%8E", "X-Department": "R&D%2C north", "X-Badge": "4711", "X-Url": "12", "X-One": "only", "X-Active": "true", "X-Empty": "",
	} {
		got := header(p.Body, name)
		if name == "X-Department" && slices.Equal(got, []string{"R&D, north"}) {
			continue // a single value is no list: its comma separates nothing
		}
		if !slices.Equal(got, []string{value}) {
			t.Errorf("%s: want %q, got %q", name, value, got)
		}
	}
	if got := header(p.Body, "X-Roles"); len(got) != 1 || strings.Count(got[0], ",") != 1 || !strings.HasPrefix(got[0], "a%2Cb,") {
		t.Errorf("X-Roles: %q", got)
	}
	if got := header(p.Body, "X-Groups"); len(got) != 1 || !strings.HasPrefix(got[0], "staff,") {
		t.Errorf("X-Groups: %q", got)
	}
	if header(p.Body, "X-Evil") != nil || header(p.Body, "X-Missing") != nil || strings.Contains(p.Body, "not-this") {
		t.Errorf("the application got:\n%s", p.Body)
	}
}

func TestB03SmallCookiesOfAHugeLogin(t *testing.T) {
	op := newOP(t)
	var groups []string
	for i := range 300 {
		groups = append(groups, fmt.Sprintf("cn=group-%04d,ou=groups,dc=example", i))
	}
	op.SetUser(map[string]any{"sub": "u-alice", "preferred_username": "alice", "groups": groups, "padding": strings.Repeat("x", 2000)})
	g := start(t, asked(t, "corp", op, "realm people"), "protect {\nheader X-Key {user.key}\nheader X-Groups {user.groups} {\njoin |\nmax 32768\n}\n}\nreverse_proxy {APP}")
	b := newBrowser(t)
	p := g.open(b, g.url("/a"))
	landed(t, p, "/a", "people:u-alice")
	if got := header(p.Body, "X-Groups"); len(got) != 1 || strings.Count(got[0], "|") != 299 || !strings.HasPrefix(got[0], groups[0]+"|") {
		t.Errorf("the application got %d bytes of groups", len(strings.Join(got, "")))
	}
	for _, path := range []string{"/a", "/.identity/session", "/.identity/callback/corp"} {
		total := 0
		for _, c := range b.Jar.Cookies(g.url(path)) {
			total += len(c.Name) + len(c.Value) + 3
		}
		if total >= 300 {
			t.Errorf("%s: the gateway's cookies have %d bytes", path, total)
		}
	}
	if strings.Contains(p.Body, "sallyport") {
		t.Errorf("a cookie of the gateway reached the application")
	}
	// The hint of 12 KB is too long for an address: it is posted.
	p = g.leave(b)
	want(t, p, http.StatusOK)
	f, err := p.FormWith("id_token_hint")
	if err != nil {
		t.Fatal(err)
	}
	if hint := f.Fields.Get("id_token_hint"); len(hint) < 12_000 || f.Method != http.MethodPost || f.Action != op.Issuer+"/end" {
		t.Errorf("a hint of %d bytes goes to %s by %s", len(hint), f.Action, f.Method)
	}
	csp := p.Header.Get("Content-Security-Policy")
	if !strings.Contains(csp, "form-action 'self' "+op.Issuer+";") {
		t.Errorf("the policy does not let the form go: %s", csp)
	}
	p, err = f.Submit()
	if err != nil {
		t.Fatal(err)
	}
	if p.Status != http.StatusOK || !p.Has("igned out") || len(op.Ended()) != 1 {
		t.Errorf("after logout: %d at %s, provider told %d times", p.Status, p.URL, len(op.Ended()))
	}
}

// Every kind of cookie that lasts, in one browser: a session, the mark against loops, what
// the chooser, budgets and signals know the browser by, and the trust in it.
func TestB03SmallCookiesOfEveryKind(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	flow := strings.Replace(rememberFlow, "login idp\n", "login idp corp\nrisk device\n", 1)
	g := start(t, asked(t, "idp", op)+"provider corp local {\nrealm idp\nuser u-alice "+hashOf(t, "alicepw")+"\n}\nsignal device device\n"+flow, factorSite)
	mfaUser(op, "pwd", "mfa")
	b := newBrowser(t)
	p := fill(t, g.open(b, g.url("/a")), "provider", "idp")
	m := manualKey.FindStringSubmatch(p.Body)
	if m == nil {
		t.Fatalf("want the page that sets up an app, got %d\n%s", p.Status, p.Text())
	}
	secret := strings.ReplaceAll(m[1], " ", "")
	landed(t, fill(t, fill(t, p, "code", code(t, secret, clock))), "/a", "idp:u-alice")
	clock.Advance(time.Minute)
	g.again(t, b)
	p = fill(t, fill(t, g.open(b, g.url("/a")), "provider", "corp"), "username", "u-alice", "password", "alicepw")
	landed(t, fill(t, p, "code", code(t, secret, clock), "remember", "1"), "/a", "idp:u-alice")
	total, kinds := 0, []string{}
	for _, c := range b.Jar.Cookies(g.url("/.identity/flow")) {
		if strings.HasPrefix(c.Name, "sallyport") {
			// The address of most is https without a port.
			name := strings.Replace("__Secure-"+c.Name, fmt.Sprintf("-%d", g.port), "", 1)
			kinds, total = append(kinds, name), total+len(name)+len(c.Value)+len("=; ")
		}
	}
	if len(kinds) != 6 || total >= 300 {
		t.Errorf("%d bytes in %d cookies, want less than 300 in 6: %v", total, len(kinds), kinds)
	}
}

func TestO9UnverifiedEmailIsNone(t *testing.T) {
	op := newOP(t)
	plain, trusting := asked(t, "corp", op), asked(t, "corp", op, "trust email")
	g := start(t, plain, whoSite)
	for _, tc := range []struct {
		name     string
		verified any
		mail     string
		trust    bool
		want     []string
	}{
		{"verified", true, "alice@example.com", false, []string{"alice@example.com"}},
		{"verified as text", "true", "alice@example.com", false, []string{"alice@example.com"}},
		{"unverified", false, "admin@example.com", false, nil},
		{"not said", nil, "admin@example.com", false, nil},
		{"number", 1, "admin@example.com", false, nil},
		{"trusted", nil, "alice@example.com", true, []string{"alice@example.com"}},
		{"two @", true, "admin@example.com@evil.example", false, nil},
		{"blank", true, " admin@example.com", false, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			lines := plain
			if tc.trust {
				lines = trusting
			}
			if err := g.load(lines, whoSite); err != nil {
				t.Fatal(err)
			}
			claims := map[string]any{"sub": "u-1", "preferred_username": "alice", "email": tc.mail}
			if tc.verified != nil {
				claims["email_verified"] = tc.verified
			}
			op.SetUser(claims)
			p := g.open(newBrowser(t), g.url("/a"))
			landed(t, p, "/a", "corp:u-1") // iss and sub are who it is, whatever the mail says
			if got := header(p.Body, "X-Email"); !slices.Equal(got, tc.want) {
				t.Errorf("X-Email: %q, want %q", got, tc.want)
			}
		})
	}
}

func TestO9ScopeOfAProvider(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "corp", op, "scope @example.com", "claim name upn"), whoSite)
	for upn, ok := range map[string]bool{"alice@example.com": true, "alice@EXAMPLE.com": true, "admin@other.example": false, "a@evil.example@example.com": false, "admin": false} {
		op.SetUser(map[string]any{"sub": "u-1", "upn": upn})
		b := newBrowser(t)
		p := g.open(b, g.url("/a"))
		if in := p.Status == http.StatusOK && p.Path() == "/a"; in != ok {
			t.Errorf("%s: landed with %d at %s", upn, p.Status, p.URL)
		}
		if g.hasTicket(b) != ok {
			t.Errorf("%s: session %v", upn, g.hasTicket(b))
		}
	}
}

func TestLoginWithoutANameIsRefused(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "corp", op), whoSite)
	for i, claims := range []map[string]any{
		{"sub": "u-1", "name": "Alice", "email": "alice@example.com", "email_verified": true},
		{"sub": "u-1", "preferred_username": ""},
		{"sub": "u-1", "preferred_username": 7},
		{"sub": "u-1", "preferred_username": []string{"alice"}},
	} {
		op.SetUser(claims)
		b := newBrowser(t)
		p := g.open(b, g.url("/a"))
		want(t, p, http.StatusForbidden)
		e := g.lastDenied("login_denied", i+1)
		if e["reason"] != "name_missing" || !p.Has(e["id"].(string)) || g.hasTicket(b) {
			t.Errorf("%v: event %v, session %v", claims, e, g.hasTicket(b))
		}
	}
}

func TestB24GroupOverageIsRefusedLoudly(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "corp", op), whoSite)
	op.SetUser(map[string]any{
		"sub": "u-1", "preferred_username": "alice", "_claim_names": map[string]any{"groups": "src1"},
		"_claim_sources": map[string]any{"src1": map[string]any{"endpoint": op.Issuer + "/groups"}},
	})
	p := g.open(newBrowser(t), g.url("/a"))
	want(t, p, http.StatusForbidden)
	if e := g.lastDenied("login_denied", 1); e["reason"] != "groups_overage" || !p.Has(e["id"].(string)) || !p.Has("more groups than the sign-in service can list") {
		t.Errorf("event: %v", e)
	}
}

// A provider that answers slowly or without end costs a login, not the gateway (C3).
func TestC3SlowAndHugeProvider(t *testing.T) {
	slow, good := newOP(t), newOP(t)
	good.SetUser(person("u-alice", "alice.good"))
	g := start(t, asked(t, "slow", slow)+asked(t, "good", good), whoSite)
	there := newBrowser(t)
	landed(t, g.open(there, g.url("/.identity/login?provider=slow&return_to=/a")), "/a", "slow:u-alice")
	for _, mode := range []string{"huge-token", "token-500", "token-html", "token-redirect"} {
		slow.SetMode(mode)
		b := newBrowser(t)
		p := g.open(b, g.url("/.identity/login?provider=slow&return_to=/a"))
		if p.Status < 200 || p.Path() == "/a" || g.hasTicket(b) || p.Status == http.StatusInternalServerError {
			t.Errorf("%s: %d at %s, session %v", mode, p.Status, p.URL, g.hasTicket(b))
		}
	}
	slow.SetMode("slow-token")
	type end struct {
		p    *browser.Page
		took time.Duration
	}
	done := make(chan end, 1)
	b := newBrowser(t)
	back := g.answer(g.away(b, "/.identity/login?provider=slow&return_to=/a"))
	begin, used := time.Now(), slow.Counts().Token
	go func() {
		p, err := b.Open(back.String())
		if err != nil {
			t.Error(err)
		}
		done <- end{p, time.Since(begin)}
	}()
	waiting := func() bool { return slow.Counts().Token == used+1 }
	for deadline := time.Now().Add(5 * time.Second); !waiting(); {
		if time.Now().After(deadline) {
			t.Fatal("the provider was not asked")
		}
	}
	// Meanwhile everybody else is served.
	landed(t, g.open(newBrowser(t), g.url("/.identity/login?provider=good&return_to=/a")), "/a", "good:u-alice")
	landed(t, g.open(there, g.url("/a")), "/a", "slow:u-alice")
	e := <-done
	if e.p == nil {
		return
	}
	if e.took > 15*time.Second || e.took < 2*time.Second {
		t.Errorf("the page came after %s", e.took)
	}
	// The chooser with the others, or a page that says so; never the application.
	if !(e.p.Status == http.StatusOK && e.p.Has(`value="good"`)) && e.p.Status != http.StatusServiceUnavailable || g.hasTicket(b) {
		t.Errorf("%d at %s, session %v\n%s", e.p.Status, e.p.URL, g.hasTicket(b), e.p.Text())
	}
}
