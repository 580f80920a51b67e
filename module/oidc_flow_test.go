package module_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
	"github.com/sallyport-gateway/sallyport/examples/browser"
	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
	hallsession "github.com/sallyport-gateway/sallyport/module/session"
)

// publicID is the session's public id.
func (g *gateway) publicID(b *browser.Browser) string {
	g.t.Helper()
	var m map[string]any
	p := g.open(b, g.url("/.identity/session"))
	want(g.t, p, http.StatusOK)
	if err := json.Unmarshal([]byte(p.Body), &m); err != nil {
		g.t.Fatal(err)
	}
	return m["id"].(string)
}

const shown = "header X-Key {user.key}\nheader X-Groups {user.groups}\n"

func TestI01FlowsOverOneSession(t *testing.T) {
	opA, opB := newOP(t), newOP(t)
	g := start(t, asked(t, "a", opA, "realm people")+asked(t, "b", opB, "realm people")+
		"flow staff {\nlogin a\n}\nflow both {\nlogin a b\nrequire `user.name == \"alice\"` \"Only alice.\"\n}\nflow admin {\nlogin b\nrequire `\"admins\" in user.groups` \"Administrators only.\"\n}\n",
		"protect /admin/* admin {\n"+shown+"}\nprotect /both/* both {\n"+shown+"}\nprotect staff {\n"+shown+"}\nreverse_proxy {APP}")
	trips := func() [2]int { return [2]int{opA.Counts().Authorize, opB.Counts().Authorize} }
	expect := func(t *testing.T, want [2]int) {
		t.Helper()
		if got := trips(); got != want {
			t.Fatalf("trips to a and b: %v, want %v", got, want)
		}
	}
	b := newBrowser(t)
	landed(t, g.open(b, g.url("/x")), "/x", "people:u-alice")
	expect(t, [2]int{1, 0})
	id, first := g.publicID(b), ticketOf(t, g, b)

	// Single sign-on: evidence of one of the flow's own providers is there.
	landed(t, g.open(b, g.url("/both/x")), "/both/x", "people:u-alice")
	expect(t, [2]int{1, 0})

	// No evidence of b: a second trip, on the same session, with a new ticket.
	opB.SetUser(map[string]any{"sub": "u-alice", "preferred_username": "alice", "groups": []string{"admins"}})
	p := g.open(b, g.url("/admin/x"))
	landed(t, p, "/admin/x", "people:u-alice")
	expect(t, [2]int{1, 1})
	if got := header(p.Body, "X-Groups"); !slices.Equal(got, []string{"admins"}) {
		t.Errorf("groups: %q", got)
	}
	if g.publicID(b) != id {
		t.Error("the step made another session")
	}
	if ticketOf(t, g, b).Value == first.Value {
		t.Error("evidence was added without a new ticket")
	}
	// Everything that was finished stays finished.
	for _, path := range []string{"/x", "/both/x", "/admin/x"} {
		landed(t, g.open(b, g.url(path)), path, "people:u-alice")
	}
	expect(t, [2]int{1, 1})
	if n := g.count("login"); n != 1 || g.count("session_changed") < 2 {
		t.Errorf("trail: %d logins, %d changes", n, g.count("session_changed"))
	}

	t.Run("the flow says no", func(t *testing.T) {
		opA.SetUser(person("u-bob", "bob"))
		opB.SetUser(person("u-bob", "bob"))
		bob := newBrowser(t)
		landed(t, g.open(bob, g.url("/x")), "/x", "people:u-bob")
		ticket := ticketOf(t, g, bob).Value
		for path, text := range map[string]string{"/both/x": "Only alice.", "/admin/x": "Administrators only."} {
			p := g.open(bob, g.url(path))
			if p.Status != http.StatusForbidden || !p.Has(text) {
				t.Errorf("%s: want 403 with the operator's words, got %d\n%s", path, p.Status, p.Text())
			}
		}
		if ticketOf(t, g, bob).Value != ticket {
			t.Error("a flow that was refused changed the session")
		}
		landed(t, g.open(bob, g.url("/x")), "/x", "people:u-bob")
	})
	t.Run("the client does not choose the flow", func(t *testing.T) {
		c := newBrowser(t)
		p := g.open(c, g.url("/.identity/login?flow=staff&provider=a&return_to=/admin/x"))
		if got := opB.Requests(); p.Path() == "/admin/x" && p.Status == http.StatusOK || len(got) == 0 {
			t.Errorf("landed at %s with %d", p.URL, p.Status)
		}
		c2 := newBrowser(t)
		landed(t, g.open(c2, g.url("/x")), "/x", "people:u-bob")
		if p := g.open(c2, g.url("/.identity/login?return_to=/x&flow=admin")); p.Path() != "/x" {
			t.Errorf("landed at %s", p.URL)
		}
		if p := g.open(c2, g.url("/admin/x")); p.Status != http.StatusForbidden {
			t.Errorf("/admin/x: %d", p.Status)
		}
	})
}

func TestI02AnotherPersonEndsTheAttempt(t *testing.T) {
	opA, opB := newOP(t), newOP(t)
	site := "protect /admin/* admin {\n" + shown + "}\nprotect staff {\n" + shown + "}\nreverse_proxy {APP}"
	steps := "flow staff {\nlogin a\n}\nflow admin {\nlogin b\n}\n"
	for name, realm := range map[string]string{"another realm": "", "another subject of one realm": "realm people"} {
		t.Run(name, func(t *testing.T) {
			g := start(t, asked(t, "a", opA, realm)+asked(t, "b", opB, realm)+steps, site)
			if realm != "" {
				opB.SetUser(person("u-bob", "bob"))
			}
			b := newBrowser(t)
			p := g.open(b, g.url("/x"))
			landed(t, p, "/x", "")
			key, ticket := header(p.Body, "X-Key")[0], ticketOf(t, g, b).Value
			p = g.open(b, g.url("/admin/x"))
			want(t, p, http.StatusForbidden)
			e := g.lastDenied("login_denied", 1)
			if e["reason"] != "user_mismatch" || !p.Has(e["id"].(string)) {
				t.Errorf("event: %v\n%s", e, p.Text())
			}
			if ticketOf(t, g, b).Value != ticket {
				t.Error("the session was touched")
			}
			landed(t, g.open(b, g.url("/x")), "/x", key)
			if p := g.send(b, browser.Request{URL: g.url("/admin/x")}); p.Status != http.StatusSeeOther {
				t.Errorf("/admin/x after the mismatch: %d", p.Status)
			}
		})
	}
}

func TestI02AnotherPersonOnTheSameBrowser(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "corp", op), whoSite)
	alice := newBrowser(t)
	landed(t, g.open(alice, g.url("/a")), "/a", "corp:u-alice")
	op.SetUser(person("u-bob", "bob"))
	// Over a session its own evidence counts, whoever the provider knows by now.
	landed(t, g.open(alice, g.url("/.identity/login?return_to=/a")), "/a", "corp:u-alice")

	// Two tabs that began before anybody was signed in, answered with two people:
	// the later one stays, and the earlier session is ended, not only forgotten.
	b := newBrowser(t)
	op.SetUser(person("u-alice", "alice"))
	one := g.answer(g.away(b, "/a"))
	op.SetUser(person("u-bob", "bob"))
	two := g.answer(g.away(b, "/b"))
	before := g.cookies(b)
	landed(t, g.open(b, one.String()), "/a", "corp:u-alice")
	first := ticketOf(t, g, b)
	p := g.raw(http.MethodGet, two.RequestURI(), "", "Accept", "text/html", "Cookie", before+"; "+first.Name+"="+first.Value)
	if p.Status != http.StatusSeeOther || !g.granted(p) {
		t.Fatalf("the second person: %d to %q", p.Status, p.Header.Get("Location"))
	}
	want(t, g.get("/a", first.Name+"="+first.Value), http.StatusSeeOther)
	landed(t, g.open(alice, g.url("/a")), "/a", "corp:u-alice")
}

func TestI05IssuerChange(t *testing.T) {
	first, second := newOP(t), newOP(t)
	t.Setenv("SALLYPORT_KEY_1", "first-cluster-key-0123456789abcdef")
	t.Setenv("SALLYPORT_KEY_2", "second-cluster-key-0123456789abcdef")
	const k1, k21 = "keys {env.SALLYPORT_KEY_1}\n", "keys {env.SALLYPORT_KEY_2} {env.SALLYPORT_KEY_1}\n"
	g := start(t, asked(t, "corp", first)+k1, whoSite)
	load := func(lines string) {
		t.Helper()
		if err := g.load(lines, whoSite); err != nil {
			t.Fatal(err)
		}
	}
	alice := newBrowser(t)
	landed(t, g.open(alice, g.url("/a")), "/a", "corp:u-alice")
	denied := 0
	for _, keys := range []string{k1, k21} { // a key rotation does not make it forget
		load(asked(t, "corp", second) + keys)
		b := newBrowser(t)
		p := g.open(b, g.url("/a"))
		want(t, p, http.StatusForbidden)
		denied++
		e := g.lastDenied("login_denied", denied)
		if e["reason"] != "issuer_changed" || !p.Has(e["id"].(string)) || g.hasTicket(b) {
			t.Errorf("event: %v, session %v\n%s", e, g.hasTicket(b), p.Text())
		}
		if !strings.Contains(fmt.Sprint(e["detail"]), "was "+first.Issuer) {
			t.Errorf("the operator is not told what to write: %v", e["detail"])
		}
	}
	load(asked(t, "corp", second, "was "+first.Issuer) + k21)
	landed(t, g.open(newBrowser(t), g.url("/a")), "/a", "corp:u-alice")
	// From here on the old one is a stranger.
	load(asked(t, "corp", first) + k21)
	want(t, g.open(newBrowser(t), g.url("/a")), http.StatusForbidden)
}

// pending opens the pending logins of a browser with the cluster key.
func (g *gateway) pending(cookies []*http.Cookie, key string) []map[string]any {
	g.t.Helper()
	ring, err := flowsession.NewKeyring([]byte(key))
	if err != nil {
		g.t.Fatal(err)
	}
	st, err := hallsession.NewPending(ring, strings.TrimSuffix(g.url("/"), "/"), false)
	if err != nil {
		g.t.Fatal(err)
	}
	var out []map[string]any
	for _, c := range cookies {
		if !strings.Contains(c.Name, ".p") {
			continue
		}
		r := &http.Request{Header: http.Header{"Cookie": {c.Name + "=" + c.Value}}}
		b, err := st.Load(r, c.Name)
		if err != nil {
			g.t.Fatalf("%s: %v", c.Name, err)
		}
		var m map[string]any
		if err := json.Unmarshal(b, &m); err != nil {
			g.t.Fatal(err)
		}
		out = append(out, m)
	}
	return out
}

func TestI08PendingCookieHoldsNothingWorthTurningBack(t *testing.T) {
	opA, opB := newOP(t), newOP(t)
	const key = "a-cluster-key-0123456789abcdef"
	t.Setenv("SALLYPORT_KEY_1", key)
	g := start(t, asked(t, "a", opA, "realm people")+asked(t, "b", opB, "realm people")+"keys {env.SALLYPORT_KEY_1}\nflow default {\nlogin a\nlogin b\n}\n", whoSite)
	// What may stand in it: where it is, whom it asked, where it goes, when it ends.
	allowed := []string{"id", "flow", "digest", "pc", "wait", "serial", "token", "origin", "return_to", "saved", "request", "provider", "attempt", "started", "expires", "session", "stored", "private", "fresh", "language"}
	check := func(b *browser.Browser, stub bool) {
		t.Helper()
		list := g.pending(b.Jar.Cookies(g.url("/")), key)
		if len(list) == 0 {
			t.Fatal("no pending login")
		}
		for _, m := range list {
			for _, name := range slices.Sorted(maps.Keys(m)) {
				if !slices.Contains(allowed, name) || stub && (name == "private" || name == "wait") {
					t.Errorf("the cookie holds %s: %v", name, m[name])
				}
			}
			text := fmt.Sprint(m)
			for _, s := range []string{"u-alice", "Liddell", "example.com", oidctest.Secret} {
				if strings.Contains(text, s) {
					t.Errorf("the cookie holds %q: %v", s, text)
				}
			}
		}
	}
	b := newBrowser(t)
	to := g.away(b, "/a")
	check(b, false)
	early := g.cookies(b)
	p := g.send(b, browser.Request{URL: g.answer(to).String()}) // a is done, b is asked
	if p.Status != http.StatusSeeOther || g.granted(p) || !strings.HasPrefix(p.Header.Get("Location"), opB.Issuer) {
		t.Fatalf("half way: %d to %q", p.Status, p.Header.Get("Location"))
	}
	check(b, true)
	// Turning the cookie back: a is asked once more, nothing is gained.
	again := g.raw(http.MethodGet, g.answer(to).RequestURI(), "", "Accept", "text/html", "Cookie", early)
	if g.granted(again) || !strings.HasPrefix(again.Header.Get("Location"), opB.Issuer) {
		t.Errorf("turned back: %d to %q", again.Status, again.Header.Get("Location"))
	}
	// And as another person: the run that waits at b is not alice's with bob's answer.
	opA.SetUser(person("u-bob", "bob"))
	g.raw(http.MethodGet, g.answer(to).RequestURI(), "", "Accept", "text/html", "Cookie", early)
	opA.SetUser(person("u-alice", "alice"))
	mixed := g.open(b, p.Header.Get("Location"))
	if mixed.Status == http.StatusOK && mixed.Path() == "/a" {
		t.Errorf("a run of bob and alice was finished: %q", header(mixed.Body, "X-Key"))
	}
	if n := g.count("login"); n != 0 {
		t.Errorf("%d logins", n)
	}
	// A cookie that was touched is none.
	b = newBrowser(t)
	back := g.answer(g.away(b, "/a"))
	cookies := g.cookies(b)
	flipped := cookies[:len(cookies)-20] + "x" + cookies[len(cookies)-19:]
	if flipped == cookies {
		flipped = cookies[:len(cookies)-20] + "y" + cookies[len(cookies)-19:]
	}
	used := opA.Counts().Token
	if p := g.raw(http.MethodGet, back.RequestURI(), "", "Accept", "text/html", "Cookie", flipped); g.granted(p) || opA.Counts().Token != used || p.Status >= 500 {
		t.Errorf("a touched cookie: %d, code used %v", p.Status, opA.Counts().Token != used)
	}
	landed(t, g.open(b, back.String()), "/a", "people:u-alice")
}

// A flow that changes while the person is at the provider restarts once, without
// an error page (B18).
func TestI28FlowChangedInMidLogin(t *testing.T) {
	op := newOP(t)
	steps := func(text string) string {
		return asked(t, "corp", op) + "flow default {\nlogin corp\nrequire `user.name != \"" + text + "\"` \"No.\"\n}\n"
	}
	g := start(t, steps("mallory"), whoSite)
	for i, change := range []string{steps("eve"), asked(t, "corp", op, "scopes openid profile") + "flow default {\nlogin corp\n}\n"} {
		b, asked := newBrowser(t), op.Counts()
		back := g.answer(g.away(b, "/a?b=c"))
		if err := g.load(change, whoSite); err != nil {
			t.Fatal(err)
		}
		b.Close()
		landed(t, g.open(b, back.String()), "/a?b=c", "corp:u-alice")
		if now := op.Counts(); now.Authorize != asked.Authorize+2 || now.Token != asked.Token+1 {
			t.Errorf("change %d: asked %d times, %d codes used", i, now.Authorize-asked.Authorize, now.Token-asked.Token)
		}
	}
	// A reload that changes nothing the flow reaches breaks nothing.
	b := newBrowser(t)
	back := g.answer(g.away(b, "/a"))
	if err := g.load(asked(t, "corp", op, "scopes openid profile")+"flow default {\nlogin corp\n}\n", whoSite+"\nheader X-Generation 2"); err != nil {
		t.Fatal(err)
	}
	b.Close()
	asked := op.Counts().Authorize
	landed(t, g.open(b, back.String()), "/a", "corp:u-alice")
	if op.Counts().Authorize != asked {
		t.Error("an unchanged flow was restarted")
	}
}

func TestB19ProviderDownAtStartAndLater(t *testing.T) {
	clock := newClock(t)
	op := newOP(t)
	op.SetUser(person("u-alice", "alice.sso"))
	op.SetDown(true)
	site := "protect /sso/* sso {\n" + shown + "}\nprotect corp {\n" + shown + "}\nreverse_proxy {APP}"
	g := start(t, people(t)+asked(t, "idp", op)+"flow corp {\nlogin corp\n}\nflow sso {\nlogin idp\n}\nflow any {\nlogin corp idp\n}\n", site+"\n")
	g.signedIn("/x", "alice", "alicepw") // the other provider works
	clock.Advance(time.Minute)           // it is long known to be down
	b := newBrowser(t)
	begin := time.Now()
	p := g.open(b, g.url("/sso/x"))
	want(t, p, http.StatusServiceUnavailable)
	if d := time.Since(begin); d > 10*time.Second {
		t.Errorf("the page took %s", d)
	}
	e := g.lastDenied("login_denied", 1)
	if e["reason"] != "provider_unavailable" || !p.Has(e["id"].(string)) || p.Header.Get("Retry-After") == "" || len(p.Header["Set-Cookie"]) != 0 {
		t.Errorf("event %v, headers %v\n%s", e, p.Header, p.Text())
	}
	if p.Has("connection refused") || p.Has("127.0.0.1:") || p.Has("EOF") {
		t.Errorf("the page tells strangers what we connect to:\n%s", p.Body)
	}

	op.SetDown(false) // it comes back: no reload
	clock.Advance(2 * time.Second)
	landed(t, g.open(b, g.url("/sso/x")), "/sso/x", "idp:u-alice")

	// It dies while somebody is there: they lose nothing by trying again later.
	late := newBrowser(t)
	back := g.answer(g.away(late, "/sso/y"))
	op.SetDown(true)
	p = g.open(late, back.String())
	want(t, p, http.StatusServiceUnavailable)
	if g.hasTicket(late) {
		t.Error("a session without an answer")
	}
	landed(t, g.open(b, g.url("/sso/x")), "/sso/x", "idp:u-alice")
	g.signedIn("/x", "bob", "bobpw")
	op.SetDown(false)
	clock.Advance(2 * time.Second)
	landed(t, g.open(late, back.String()), "/sso/y", "idp:u-alice")
}

// TestB19LoginRightAfterAFailedStart: the gateway itself may be what stands in front
// of the provider, and then its first question comes before anybody answers.
func TestB19LoginRightAfterAFailedStart(t *testing.T) {
	op := newOP(t)
	var tries atomic.Int32
	failed := make(chan struct{})
	op.SetBehaviour(oidctest.Mode{Serve: func(_ *oidctest.OP, endpoint string, w http.ResponseWriter, _ *http.Request) bool {
		if endpoint != "discovery" || tries.Add(1) > 1 {
			return false
		}
		w.WriteHeader(http.StatusBadGateway)
		close(failed)
		return true
	}})
	g := start(t, asked(t, "corp", op), whoSite)
	<-failed
	landed(t, g.open(newBrowser(t), g.url("/x")), "/x", "corp:u-alice")
	if n := tries.Load(); n != 2 {
		t.Errorf("asked %d times, want 2", n)
	}
}

func TestB19ChooserOutlivesAProvider(t *testing.T) {
	clock := newClock(t)
	op := newOP(t)
	op.SetUser(person("u-alice", "alice.sso"))
	op.SetDown(true)
	g := start(t, people(t)+asked(t, "idp", op), whoSite)
	clock.Advance(time.Minute) // it is long known to be down
	b := newBrowser(t)
	p, err := g.open(b, g.url("/x")).Fill("provider", "idp")
	if err != nil {
		t.Fatal(err)
	}
	if p.Status != http.StatusOK || !p.Has(`value="corp"`) {
		t.Fatalf("want the chooser with the others, got %d at %s\n%s", p.Status, p.URL, p.Text())
	}
	if p, err = p.Fill("provider", "corp"); err != nil {
		t.Fatal(err)
	}
	if p, err = p.Fill("username", "alice", "password", "alicepw"); err != nil {
		t.Fatal(err)
	}
	landed(t, p, "/x", "corp:alice")
	op.SetDown(false)
	clock.Advance(2 * time.Second)
	if p, err = g.open(newBrowser(t), g.url("/y")).Fill("provider", "idp"); err != nil {
		t.Fatal(err)
	}
	landed(t, p, "/y", "idp:u-alice")
}

func TestI13EvidenceAddedMeansANewTicket(t *testing.T) {
	opA, opB := newOP(t), newOP(t)
	g := start(t, asked(t, "a", opA, "realm people")+asked(t, "b", opB, "realm people")+"flow staff {\nlogin a\n}\nflow admin {\nlogin b\n}\n",
		"protect /admin/* admin {\n"+shown+"}\nprotect staff {\n"+shown+"}\nreverse_proxy {APP}")
	b := newBrowser(t)
	// A ticket that somebody planted before the login is not the one after it (B2).
	planted := strings.Repeat("A", 43)
	name := fmt.Sprintf("sallyport-%d", g.port)
	b.Jar.Set(g.away(b, "/x"), []*http.Cookie{{Name: name, Value: planted, Path: "/"}})
	landed(t, g.open(b, g.url("/x")), "/x", "people:u-alice")
	old := ticketOf(t, g, b)
	if old.Value == planted || strings.Contains(old.Value, planted) {
		t.Fatal("the planted ticket was taken over")
	}
	want(t, g.get("/x", name+"="+planted), http.StatusSeeOther)

	landed(t, g.open(b, g.url("/admin/x")), "/admin/x", "people:u-alice")
	fresh := ticketOf(t, g, b)
	if fresh.Value == old.Value || fresh.Value[:20] == old.Value[:20] || fresh.Value[22:] == old.Value[22:] {
		t.Fatalf("tickets before and after share a part: %s, %s", old.Value, fresh.Value)
	}
	// A request under way with the old one: try again, nobody is sent to a login.
	p := g.raw(http.MethodGet, "/x", "", "Accept", "*/*", "Sec-Fetch-Mode", "cors", "Cookie", name+"="+old.Value)
	want(t, p, http.StatusUnauthorized)
	var body map[string]any
	if err := json.Unmarshal([]byte(p.Body), &body); err != nil || body["error"] != "session_rotated" || p.Header.Get("Retry-After") == "" {
		t.Errorf("%v in %q, Retry-After %q", err, p.Body, p.Header.Get("Retry-After"))
	}
	p = g.get("/x", name+"="+old.Value)
	want(t, p, http.StatusUnauthorized)
	if len(p.Header["Set-Cookie"]) != 0 || len(p.Header["Location"]) != 0 {
		t.Errorf("navigation with the old ticket: %v", p.Header)
	}
	// With both, as a tossed or late cookie, the one that opens wins (B4).
	want(t, g.get("/x", name+"="+old.Value+"; "+name+"="+fresh.Value), http.StatusOK)
	want(t, g.get("/x", name+"="+fresh.Value+"; "+name+"="+old.Value), http.StatusOK)
}
