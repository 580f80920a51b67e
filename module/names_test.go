package module_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/module"
)

// through signs a new browser in at a provider, on the way to /x.
func (g *gateway) through(provider string) (*browser.Browser, *browser.Page) {
	g.t.Helper()
	b := newBrowser(g.t)
	return b, g.open(b, g.url("/.identity/login?provider="+provider+"&return_to=/x"))
}

// wantConflict: the name is somebody else's, and nobody hears of this one.
func (g *gateway) wantConflict(b *browser.Browser, p *browser.Page, user, owner string) {
	g.t.Helper()
	if p.Status != http.StatusForbidden || !p.Has("already belongs to somebody else") || g.hasTicket(b) {
		g.t.Fatalf("want 403 name_conflict, got %d at %s, session %v\n%s", p.Status, p.URL, g.hasTicket(b), p.Text())
	}
	var last map[string]any
	until(g.t, "the trail has what the page refers to", func() bool {
		i := slices.IndexFunc(g.events("login_denied", 1), func(e map[string]any) bool { return p.Has(e["id"].(string)) })
		if i >= 0 {
			last = g.events("login_denied", 1)[i]
		}
		return i >= 0
	})
	if last["reason"] != "name_conflict" || last["user"] != user || !strings.HasSuffix(fmt.Sprint(last["detail"]), "belongs to "+owner) {
		g.t.Errorf("the trail: %v", last)
	}
	for _, head := range g.app.requests() {
		if slices.Contains(header(head, "X-Key"), user) {
			g.t.Errorf("the application heard of %s:\n%s", user, head)
		}
	}
}

func TestI06TheFirstOwnerOfANameKeepsIt(t *testing.T) {
	clock, opA, opB := newClock(t), newOP(t), newOP(t)
	both := asked(t, "a", opA) + asked(t, "b", opB)
	g := start(t, both, whoSite)
	_, p := g.through("a")
	landed(t, p, "/x", "a:u-alice")
	for _, name := range []string{"alice", "alice", "ALICE", "Alice", " alice ", "alice\u00a0", "ａｌｉｃｅ", "al\u200bice", "al\u00adice", "alice\ufe0f"} {
		t.Run(fmt.Sprintf("%q", name), func(t *testing.T) {
			g.t = t
			opB.SetUser(person("u-other", name))
			b, p := g.through("b")
			g.wantConflict(b, p, "b:u-other", "a:u-alice")
		})
	}
	g.t = t
	// Another person of the same provider is another person, too.
	opA.SetUser(person("u-2", "alice"))
	b, p := g.through("a")
	g.wantConflict(b, p, "a:u-2", "a:u-alice")
	// What is only alike is not the same, and conflicts cost nobody a name.
	for i, name := range []string{"alice2", "al ice", "alicé", "alіce", "alice@example.com"} {
		opB.SetUser(person(fmt.Sprint("u-b", i), name))
		_, p := g.through("b")
		landed(t, p, "/x", fmt.Sprint("b:u-b", i))
	}
	// It stays hers over reloads and years, however long she is away.
	if err := g.load(both+"session {\nidle 1h\n}", whoSite); err != nil {
		t.Fatal(err)
	}
	clock.Advance(5 * 365 * 24 * time.Hour)
	opB.SetUser(person("u-other", "alice"))
	b, p = g.through("b")
	g.wantConflict(b, p, "b:u-other", "a:u-alice")
	opA.SetUser(person("u-alice", "Alice"))
	_, p = g.through("a")
	landed(t, p, "/x", "a:u-alice")
}

// waiting are browsers at the door: each has another person's answer in hand.
func (g *gateway) waiting(op *oidctest.OP, provider, name string, n int) (all []*browser.Browser, answers []*url.URL) {
	g.t.Helper()
	for i := range n {
		b := newBrowser(g.t)
		op.SetUser(person(fmt.Sprint("u-", i), name))
		all, answers = append(all, b), append(answers, g.answer(g.away(b, "/.identity/login?provider="+provider+"&return_to=/x")))
	}
	return all, answers
}

func TestI06TwentyAtOnceAreOneOwner(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "a", op), whoSite)
	for round := range 3 {
		all, answers := g.waiting(op, "a", fmt.Sprint("name", round), 20)
		var in, out atomic.Int64
		var wg sync.WaitGroup
		for i, b := range all {
			wg.Go(func() {
				switch p := g.open(b, answers[i].String()); {
				case p.Status == http.StatusOK && p.Path() == "/x":
					in.Add(1)
				case p.Status == http.StatusForbidden && p.Has("already belongs") && !g.hasTicket(b):
					out.Add(1)
				default:
					t.Errorf("%d at %s\n%s", p.Status, p.URL, p.Text())
				}
			})
		}
		wg.Wait()
		if in.Load() != 1 || out.Load() != 19 {
			t.Fatalf("%d came in with one name, %d were refused", in.Load(), out.Load())
		}
	}
}

func TestI06ALoginThatFailsTakesNoName(t *testing.T) {
	opA, opB := newOP(t), newOP(t)
	trail := t.TempDir() + "/audit.jsonl"
	g := start(t, asked(t, "a", opA)+asked(t, "b", opB)+"flow default {\nlogin\nrequire `\"staff\" in user.groups`\n}\n"+flakyLine+"audit broken\naudit file "+trail+"\n", whoSite)
	g.audit = trail
	staff := func(sub string) map[string]any {
		return map[string]any{"sub": sub, "preferred_username": "alice", "groups": []string{"staff"}}
	}
	fails := func(what string, status int) {
		t.Helper()
		if b, p := g.through("b"); p.Status != status || g.hasTicket(b) {
			t.Fatalf("%s: want %d, got %d\n%s", what, status, p.Status, p.Text())
		}
	}
	opB.SetUser(person("u-guest", "alice"))
	fails("the flow says no", http.StatusForbidden)
	opB.SetUser(staff("u-first"))
	mend := sinkBreaks(t)
	fails("no trail", http.StatusServiceUnavailable)
	mend()
	opA.SetUser(staff("u-alice"))
	_, p := g.through("a")
	landed(t, p, "/x", "a:u-alice")
	b, p := g.through("b")
	g.wantConflict(b, p, "b:u-first", "a:u-alice")
}

// Wherever the store fails, a login is 503 and grants nothing; and once whoever is
// in owns the name, the other one never gets in.
func TestI06StoreThatFailsAtAnyMomentGrantsNothing(t *testing.T) {
	opA, opB := newOP(t), newOP(t)
	g := start(t, asked(t, "a", opA)+asked(t, "b", opB)+flakyLine, whoSite)
	t.Cleanup(func() { flaky.counted.Store(false) })
	sawDown := 0
	for n := int64(1); ; n++ {
		b := newBrowser(t)
		back := g.answer(g.away(b, "/.identity/login?provider=a&return_to=/x"))
		flaky.left.Store(n)
		flaky.counted.Store(true)
		p := g.send(b, browser.Request{URL: back.String()})
		flaky.counted.Store(false)
		spent := flaky.left.Load() < 0
		if p.Status == http.StatusSeeOther && g.hasTicket(b) {
			if !spent {
				break // it needs no more than that
			}
			continue
		}
		if p.Status != http.StatusServiceUnavailable || g.hasTicket(b) || n > 100 {
			t.Fatalf("failing after %d: %d, session %v\n%s", n, p.Status, g.hasTicket(b), p.Text())
		}
		sawDown++
	}
	if sawDown < 5 {
		t.Errorf("the store failed in %d places only", sawDown)
	}
	b, p := g.through("b")
	g.wantConflict(b, p, "b:u-alice", "a:u-alice")
}

func TestI06RenewedNames(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	op.SetUser(person("u-bob", "bob"))
	g := start(t, asked(t, "corp", op, "scopes openid profile offline_access"), whoSite)
	_, p := g.through("corp")
	landed(t, p, "/x", "corp:u-bob")

	op.SetUser(person("u-alice", "alice"))
	cookie := g.aliceAt(newBrowser(t))
	clock.Advance(life)
	op.SetUser(person("u-alice", "alice2")) // a free name becomes hers
	p = g.get("/x", cookie)
	if want(t, p, http.StatusOK); !slices.Equal(header(p.Body, "X-User"), []string{"alice2"}) {
		t.Fatalf("renamed: %q", header(p.Body, "X-User"))
	}
	for _, name := range []string{"alice", "alice2"} { // and the old one stays hers
		op.SetUser(person("u-new", name))
		b, p := g.through("corp")
		g.wantConflict(b, p, "corp:u-new", "corp:u-alice")
	}

	clock.Advance(life)
	op.SetUser(person("u-alice", "Bob"))
	p = g.get("/x", cookie)
	want(t, p, http.StatusSeeOther)
	if e := g.events("session_ended", 1)[0]; e["reason"] != "name_conflict" || e["user"] != "corp:u-alice" {
		t.Errorf("the trail: %v", e)
	}
	for _, head := range g.app.requests() {
		if slices.Contains(header(head, "X-Key"), "corp:u-alice") && slices.Contains(header(head, "X-User"), "Bob") {
			t.Errorf("she was shown as somebody else:\n%s", head)
		}
	}
	want(t, g.get("/x", cookie), http.StatusSeeOther)
}

func TestI06NamesSurviveAKeyRotation(t *testing.T) {
	opA, opB := newOP(t), newOP(t)
	t.Setenv("SALLYPORT_KEY_1", "first-key-of-names-0123456789abcdef")
	t.Setenv("SALLYPORT_KEY_2", "second-key-of-names-0123456789abcdef")
	lines := asked(t, "a", opA) + asked(t, "b", opB)
	g := start(t, lines+"keys {env.SALLYPORT_KEY_1}\n", whoSite)
	_, p := g.through("a")
	landed(t, p, "/x", "a:u-alice")
	for _, keys := range []string{"keys {env.SALLYPORT_KEY_2} {env.SALLYPORT_KEY_1}\n", "keys {env.SALLYPORT_KEY_2}\n"} {
		if err := g.load(lines+keys, whoSite); err != nil {
			t.Fatal(err)
		}
		b, p := g.through("b")
		g.wantConflict(b, p, "b:u-alice", "a:u-alice")
		_, p = g.through("a")
		landed(t, p, "/x", "a:u-alice")
	}
}

func TestI06AnOperatorReleasesAName(t *testing.T) {
	clock, opA, opB := newClock(t), newOP(t), newOP(t)
	trail := t.TempDir() + "/audit.jsonl"
	g := start(t, asked(t, "a", opA)+asked(t, "b", opB)+flakyLine+"audit broken\naudit file "+trail+"\n", whoSite)
	g.audit = trail
	alice, p := g.through("a")
	landed(t, p, "/x", "a:u-alice")
	cookie := g.cookies(alice)
	release := func(path string, status int) map[string]any {
		t.Helper()
		got, out := admin(t, http.MethodDelete, "/identity/names/"+path)
		if got != status {
			t.Fatalf("%s: want %d, got %d %v", path, status, got, out)
		}
		return out
	}
	release("", http.StatusBadRequest)
	release("alice!", http.StatusBadRequest)
	release(key64("nobody"), http.StatusNotFound)
	mend := sinkBreaks(t)
	release(key64("alice"), http.StatusServiceUnavailable) // it lets somebody else have it: no trail, no release
	mend()
	up := storeDown(t)
	release(key64("alice"), http.StatusServiceUnavailable)
	up()
	want(t, g.get("/x", cookie), http.StatusOK)
	b, p := g.through("b")
	g.wantConflict(b, p, "b:u-alice", "a:u-alice")

	out := release(key64("ALICE"), http.StatusOK)
	if out["owner"] != "a:u-alice" || out["ended"] != 1.0 {
		t.Errorf("the answer: %v", out)
	}
	calls := g.events("admin", 4)
	if e := calls[len(calls)-1]; e["name"] != "ALICE" || e["user"] != "a:u-alice" || e["method"] != http.MethodDelete {
		t.Errorf("the trail: %v", e)
	}
	want(t, g.get("/x", cookie), http.StatusSeeOther)
	release(key64("alice"), http.StatusNotFound)
	clock.Advance(time.Second)
	_, p = g.through("b")
	landed(t, p, "/x", "b:u-alice")
	g.app.forget()
	b, p = g.through("a")
	g.wantConflict(b, p, "a:u-alice", "b:u-alice")
}

func TestI04ProvidersOfOneRealmVouchForTheSamePeople(t *testing.T) {
	opA, opB, opC := newOP(t), newOP(t), newOP(t)
	g := start(t, asked(t, "a", opA, "realm people")+asked(t, "b", opB, "realm people")+asked(t, "c", opC), whoSite)
	for _, provider := range []string{"a", "b"} { // one key, so one owner of the name
		_, p := g.through(provider)
		landed(t, p, "/x", "people:u-alice")
	}
	b, p := g.through("c") // what another realm says is another person
	g.wantConflict(b, p, "c:u-alice", "people:u-alice")
	// The subject is the provider's own spelling; nobody folds it.
	opB.SetUser(person("U-Alice", "alice"))
	b, p = g.through("b")
	g.wantConflict(b, p, "people:U-Alice", "people:u-alice")
	opB.SetUser(person("U-Alice", "alice3"))
	_, p = g.through("b")
	landed(t, p, "/x", "people:U-Alice")
}

func TestI05RenamedProvider(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "corp", op), whoSite)
	alice, p := g.through("corp")
	landed(t, p, "/x", "corp:u-alice")
	cookie := g.cookies(alice)
	load := func(lines string) {
		t.Helper()
		if err := g.load(lines, whoSite); err != nil {
			t.Fatal(err)
		}
	}
	load(asked(t, "entra", op, "formerly corp"))
	want(t, g.get("/x", cookie), http.StatusOK)
	_, p = g.through("entra")
	landed(t, p, "/x", "corp:u-alice") // the key stays, and with it the name
	// Without it the provider is another one, and its people are strangers.
	load(asked(t, "entra", op))
	b, p := g.through("entra")
	g.wantConflict(b, p, "entra:u-alice", "corp:u-alice")
}

// Another spelling of a folded name is the same one, or two people would have it.
func FuzzI06FoldName(f *testing.F) {
	for _, s := range []string{"alice", " A  b ", "ａｌｉｃｅ", "straße", "STRASSE", "İstanbul", "\u212a", "ﬁ", "e\u200d\u0301", "\u0345", "ǰ", "\xff", "ΑΣ", "\u3000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		folded := module.FoldName(s)
		for what, other := range map[string]string{"folded": folded, "upper": strings.ToUpper(folded), "lower": strings.ToLower(folded), "blanks": " " + folded + "\t", "unseen": "\u200b" + folded + "\ufeff"} {
			if got := module.FoldName(other); got != folded {
				t.Errorf("%q is %q, but %s %q is %q", s, folded, what, other, got)
			}
		}
	})
}

func TestI06TwoNodesOneOwner(t *testing.T) {
	op := newOP(t)
	global := asked(t, "a", op)
	g := start(t, global, whoSite)
	for round := range 5 {
		all, answers := g.waiting(op, "a", fmt.Sprint("name", round), 2)
		status := make([]int, 2)
		other := g.node(global, whoSite, g.cookies(all[1]))
		var wg sync.WaitGroup
		wg.Go(func() { status[0] = g.send(all[0], browser.Request{URL: answers[0].String()}).Status })
		wg.Go(func() { status[1], _ = other(answers[1].RequestURI()) })
		wg.Wait()
		slices.Sort(status)
		if !slices.Equal(status, []int{http.StatusSeeOther, http.StatusForbidden}) {
			t.Errorf("round %d: %v, want one to be let in", round, status)
		}
	}
}

// theApp is the running config's.
func theApp(t testing.TB) *module.App {
	t.Helper()
	v, err := caddy.ActiveContext().AppIfConfigured("identity")
	if err != nil {
		t.Fatal(err)
	}
	return v.(*module.App)
}
