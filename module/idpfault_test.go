package module_test

import (
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// traffic is people who are signed in and go on working, until stop; each of
// their requests must be answered by the application.
func (g *gateway) traffic(people ...*browser.Browser) (served *atomic.Int64, stop func()) {
	served = new(atomic.Int64)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for i, b := range people {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				p, err := b.Send(browser.Request{URL: g.url(fmt.Sprintf("/work/%d", i))})
				if err != nil || p.Status != http.StatusOK || !p.Has("X-User: ") {
					g.t.Errorf("a signed-in request: %v, %+v", err, p)
					return
				}
				served.Add(1)
			}
		})
	}
	return served, sync.OnceFunc(func() { close(done); wg.Wait() })
}

// An identity provider that is down costs nobody who is signed in a request;
// only logins that need it are refused, soon and with a page (C2).
func TestC2ProviderDown(t *testing.T) {
	op, other := newOP(t), newOP(t)
	other.SetUser(person("u-alice", "alice.other")) // one name is one person's (I06)
	dead, hung := newOP(t), newOP(t)
	dead.SetDown(true) // the gateway starts without them
	hung.SetMode("slow-discovery")
	global := asked(t, "idp", op) + asked(t, "other", other) + asked(t, "dead", dead) + asked(t, "hung", hung)
	g := start(t, global, whoSite)
	login := func(provider string) (*browser.Browser, *browser.Page) {
		b := newBrowser(t)
		return b, g.open(b, g.url("/.identity/login?return_to=/a&provider="+provider))
	}
	var there []*browser.Browser
	for _, name := range []string{"idp", "idp", "other"} {
		b, p := login(name)
		landed(t, p, "/a", name+":u-alice")
		there = append(there, b)
	}
	// One login is under way when the provider dies; another needs one that never lived.
	late := newBrowser(t)
	back := g.answer(g.away(late, "/.identity/login?return_to=/a&provider=idp")).String()
	served, stop := g.traffic(there...)
	defer stop()
	op.SetDown(true)
	for address, b := range map[string]*browser.Browser{
		back: late,
		g.url("/.identity/login?return_to=/a&provider=dead"): newBrowser(t),
		g.url("/.identity/login?return_to=/a&provider=hung"): newBrowser(t),
	} {
		from, begin := served.Load(), time.Now()
		p := g.open(b, address)
		// The chooser says so and offers the others.
		if took := time.Since(begin); took > 10*time.Second || p.Status != http.StatusOK || !p.Has(`value="other"`) || g.hasTicket(b) {
			t.Errorf("%d at %s after %s, session %v\n%s", p.Status, p.URL, took, g.hasTicket(b), p.Text())
		}
		p, err := p.Fill("provider", "other")
		if err != nil {
			t.Fatal(err)
		}
		landed(t, p, "/a", "other:u-alice")
		until(t, "people go on working", func() bool { return t.Failed() || served.Load() > from+30 })
	}
	// Not even a reload needs a provider.
	stop()
	if err := g.load(global, whoSite+"\nheader X-Generation 1"); err != nil {
		t.Fatalf("reload while providers are down: %v", err)
	}
	for _, b := range there {
		b.Close()
		want(t, g.open(b, g.url("/a")), http.StatusOK)
	}
}

// Logins that hang at a slow provider neither block anybody else nor leave
// anything behind (C3).
func TestC3ManyStuckLogins(t *testing.T) {
	const stuck = 200
	slow, good := newOP(t), newOP(t)
	good.SetUser(person("u-alice", "alice.good"))
	g := start(t, asked(t, "slow", slow)+asked(t, "good", good), whoSite)
	begin := func(provider string) *browser.Page {
		return g.open(newBrowser(t), g.url("/.identity/login?return_to=/a&provider="+provider))
	}
	landed(t, begin("slow"), "/a", "slow:u-alice")
	there := newBrowser(t)
	landed(t, g.open(there, g.url("/.identity/login?return_to=/a&provider=good")), "/a", "good:u-alice")

	var waiting atomic.Int64
	release := make(chan struct{})
	slow.SetBehaviour(oidctest.Mode{Serve: func(_ *oidctest.OP, endpoint string, w http.ResponseWriter, r *http.Request) bool {
		if endpoint != "token" {
			return false
		}
		waiting.Add(1)
		select {
		case <-release:
		case <-r.Context().Done():
		}
		http.Error(w, "too busy", http.StatusServiceUnavailable)
		return true
	}})
	warm := func() { // what a burst of connections leaves in pools is no leak of ours
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		there.Close()
	}
	warm()
	before := wantHeld(t, held{goroutines: 1 << 20, files: 1 << 20})
	var wg sync.WaitGroup
	browsers := make([]*browser.Browser, stuck)
	for i := range browsers {
		b := browser.New()
		browsers[i] = b
		back := g.answer(g.away(b, "/.identity/login?return_to=/a&provider=slow"))
		wg.Go(func() {
			p, err := b.Open(back.String())
			if err != nil || g.hasTicket(b) || p.Status == http.StatusInternalServerError || p.Path() == "/a" {
				t.Errorf("a login that got stuck: %v, %+v", err, p)
			}
			b.Close()
		})
	}
	until(t, "all hang at the provider", func() bool { return waiting.Load() == stuck })
	served, stop := g.traffic(there)
	until(t, "who is signed in goes on working", func() bool { return t.Failed() || served.Load() > 200 })
	landed(t, begin("good"), "/a", "good:u-alice")
	stop()
	if n := waiting.Load(); n != stuck {
		t.Errorf("%d requests for %d logins: a slow provider is asked once", n, stuck)
	}
	t.Logf("%d goroutines with %d stuck logins, %d before", runtime.NumGoroutine(), stuck, before.goroutines)
	close(release)
	wg.Wait()
	warm()
	wantHeld(t, held{goroutines: before.goroutines + 40, files: before.files + 20}) // idle connections, not 200 logins
}

// A provider that rotates its keys fails no login (C4); one whose key endpoint
// dies fails none either (C5).
func TestC4C5KeysRotatedAndGone(t *testing.T) {
	clock := newClock(t)
	op := newOP(t)
	g := start(t, asked(t, "idp", op), whoSite)
	login := func() {
		t.Helper()
		landed(t, g.open(newBrowser(t), g.url("/a")), "/a", "idp:u-alice")
	}
	login()
	for range 3 {
		fetched := op.Counts().Keys
		op.Rotate()
		login()
		login()
		if n := op.Counts().Keys - fetched; n != 1 {
			t.Errorf("a rotation cost %d fetches, want 1", n)
		}
		clock.Advance(2 * time.Minute)
	}
	// Many logins at once right behind a rotation share one fetch.
	op.Rotate()
	fetched := op.Counts().Keys
	var wg sync.WaitGroup
	for range 10 {
		b := newBrowser(t)
		back := g.answer(g.away(b, "/a"))
		wg.Go(func() {
			if p, err := b.Open(back.String()); err != nil || p.Path() != "/a" || p.Status != http.StatusOK {
				t.Errorf("a login behind a rotation: %v, %+v", err, p)
			}
		})
	}
	wg.Wait()
	if n := op.Counts().Keys - fetched; n != 1 {
		t.Errorf("10 logins behind a rotation cost %d fetches, want 1", n)
	}
	op.SetKeysDown(true)
	for range 8 {
		login()
		clock.Advance(15 * time.Minute)
	}
}

// Tokens with keys nobody knows, which anybody can send to the back-channel
// endpoint, do not become a flood at the provider, and logins go on (O5).
func TestO5KeyFloodThroughTheGateway(t *testing.T) {
	clock := newClock(t)
	op := newOP(t)
	g := start(t, asked(t, "idp", op), whoSite)
	login := func() {
		t.Helper()
		landed(t, g.open(newBrowser(t), g.url("/a")), "/a", "idp:u-alice")
	}
	login()
	for _, down := range []bool{false, true} {
		op.SetKeysDown(down)
		fetched := op.Counts().Keys
		for range 12 { // one minute
			for range 5 {
				want(t, g.tell("idp", op.Logout("u-alice", "", "unknown-kid")), http.StatusBadRequest)
			}
			clock.Advance(5 * time.Second)
			login()
		}
		if n := op.Counts().Keys - fetched; n > 5 {
			t.Errorf("keys down %v: %d fetches in a minute, want at most 5", down, n)
		}
	}
	op.SetKeysDown(false)
	clock.Advance(time.Minute)
	login()
	want(t, g.tell("idp", op.Logout("u-alice", "", "")), http.StatusOK)
}
