package module_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// quick are checks that judge within about a second.
const quick = "health_interval 1s\nhealth_fails 1\nhealth_passes 1"

// glass are the accounts behind the glass.
func glass(t testing.TB) string {
	return fmt.Sprintf("provider glass local {\nhidden\ntitle \"Emergency access\"\nuser anna.emergency %s\nuser bert.emergency %s\n}\n", hashOf(t, "annapw"), hashOf(t, "bertpw"))
}

// guarded is a provider whose checks are quick, and a login that has a fallback for it.
func guarded(t *testing.T, op *oidctest.OP, more ...string) string {
	t.Helper()
	return asked(t, "idp", op, append(more, quick)...) + glass(t) + "flow staff {\nlogin idp {\nfallback glass\n}\n}\n"
}

const guardedSite = "protect staff {\nheader X-Key {user.key}\nrequire /admin/* `!auth.fallback` \"Not by emergency access.\"\n}\nreverse_proxy {APP}"

// stands waits until the checks say how idp is.
func (g *gateway) stands(up bool) {
	g.t.Helper()
	until(g.t, fmt.Sprintf("idp is up: %v", up), func() bool { return g.provider("idp")["healthy"] == up })
}

// provider is what the admin API tells of one.
func (g *gateway) provider(name string) map[string]any {
	g.t.Helper()
	_, out := admin(g.t, http.MethodGet, "/identity/providers")
	for _, p := range out["providers"].([]any) {
		if m := p.(map[string]any); m["name"] == name {
			return m
		}
	}
	g.t.Fatalf("no provider %s: %v", name, out)
	return nil
}

func TestI23FallbackAndBack(t *testing.T) {
	op := newOP(t)
	mfaUser(op)
	g := withAdmin(t, guarded(t, op), guardedSite)
	g.stands(true)
	landed(t, g.open(newBrowser(t), g.url("/a")), "/a", "idp:u-alice")

	op.SetDown(true)
	g.stands(false)
	if e := g.events("provider_down", 1)[0]; e["provider"] != "idp" || e["detail"] == "" {
		t.Errorf("the trail says %v", e)
	}
	if up := g.scrape()[`sallyport_provider_up{provider="idp"}`]; up != 0 {
		t.Errorf("sallyport_provider_up is %v", up)
	}
	if p := g.provider("idp"); p["error"] == nil || p["since"] == nil || p["checked"] == nil {
		t.Errorf("the admin API says %v", p)
	}
	b := newBrowser(t)
	p := g.open(b, g.url("/a"))
	if !p.Has("Emergency access") || !p.Has("cannot be reached right now") || !p.Has("password") {
		t.Fatalf("want the fallback's page, got %d at %s\n%s", p.Status, p.URL, p.Text())
	}
	landed(t, fill(t, p, "username", "anna.emergency", "password", "annapw"), "/a", "glass:anna.emergency")
	if p := g.open(b, g.url("/admin/x")); p.Status != http.StatusForbidden || !p.Has("Not by emergency access.") {
		t.Fatalf("the risky path: %d\n%s", p.Status, p.Text())
	}
	logins := g.events("login", 2)
	if e := logins[1]; e["user"] != "glass:anna.emergency" || fmt.Sprint(e["fallback"]) != "[idp]" || logins[0]["fallback"] != nil {
		t.Errorf("the trail says %v", e)
	}
	// What runs at the outage outlives a reload of the configuration.
	if err := g.load(guarded(t, op), guardedSite+"\n# changed"); err != nil {
		t.Fatal(err)
	}
	if p := g.open(newBrowser(t), g.url("/a")); !p.Has("Emergency access") {
		t.Fatalf("a reload ended the outage: %d at %s\n%s", p.Status, p.URL, p.Text())
	}

	op.SetDown(false)
	g.stands(true)
	g.events("provider_up", 1)
	other := newBrowser(t)
	landed(t, g.open(other, g.url("/admin/x")), "/admin/x", "idp:u-alice")
	landed(t, g.open(b, g.url("/a")), "/a", "glass:anna.emergency")
	want(t, g.open(b, g.url("/admin/x")), http.StatusForbidden)
}

// TestI23ABrowserStartsNoFallback: whatever it asks for while the provider is well,
// and however its own login fails.
func TestI23ABrowserStartsNoFallback(t *testing.T) {
	op := newOP(t)
	mfaUser(op)
	g := start(t, guarded(t, op), guardedSite)
	g.stands(true)
	for _, path := range []string{"/.identity/login?provider=glass", "/.identity/login?provider=glass&return_to=/a", "/.identity/login?drill=glass", "/.identity/login?drill=A.B"} {
		if p := g.send(newBrowser(t), browser.Request{URL: g.url(path)}); p.Has("password") || !strings.HasPrefix(p.Header.Get("Location"), op.Issuer) && p.Status != http.StatusForbidden {
			t.Errorf("%s: %d to %s\n%s", path, p.Status, p.Header.Get("Location"), p.Text())
		}
	}
	for _, mode := range []string{"access-denied", "token-500", "error-and-code"} {
		op.SetMode(mode)
		for range 4 {
			b := newBrowser(t)
			p := g.open(b, g.url("/a"))
			if p.Has("Emergency") {
				t.Fatalf("%s: a login that failed started the fallback\n%s", mode, p.Text())
			}
		}
		op.SetMode("")
	}
}

// The checks run as long as the configuration does, and only for providers that a
// login has a fallback for.
func TestHealthChecksOnlyWhereTheyDecide(t *testing.T) {
	op, alone := newOP(t), newOP(t)
	g := start(t, guarded(t, op)+asked(t, "plain", alone), guardedSite)
	g.stands(true)
	n := len(op.Calls())
	until(t, "another check", func() bool { return len(op.Calls()) >= n+4 })
	if g.provider("plain")["checked"] != nil || len(alone.Calls()) > 2 {
		t.Errorf("a provider without a fallback is checked: %d calls", len(alone.Calls()))
	}
	if g.provider("idp")["checked"] == nil || g.provider("glass")["checked"] != nil {
		t.Errorf("%v %v", g.provider("idp"), g.provider("glass"))
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	n = len(op.Calls())
	if op.SetDown(true); len(op.Calls()) != n {
		t.Error("checks go on behind the end")
	}
}

func TestDrill(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	mfaUser(op)
	g := start(t, guarded(t, op), guardedSite)
	g.stands(true)
	drill := func(body string) (string, string) {
		t.Helper()
		status, out := admin(t, http.MethodPost, "/identity/drills", body)
		if status != http.StatusOK {
			t.Fatalf("%d %v", status, out)
		}
		return out["id"].(string), out["link"].(string) + "&return_to=/a"
	}
	id, link := drill(`{"provider":"idp","user":"anna.emergency","for":"10m"}`)
	if e := g.events("admin", 1); e[len(e)-1]["drill"] != id || e[len(e)-1]["name"] != "anna.emergency" {
		t.Errorf("the trail says %v", e[len(e)-1])
	}
	if d := fmt.Sprint(g.provider("idp")["drills"]); !strings.Contains(d, id) || !strings.Contains(d, "anna.emergency") {
		t.Errorf("providers tell of %s", d)
	}
	// A prefetch uses nothing up.
	g.send(newBrowser(t), browser.Request{URL: g.url(link), Header: http.Header{"Sec-Purpose": {"prefetch"}}})
	b := newBrowser(t)
	p := g.open(b, g.url(link))
	if !p.Has("Emergency access") || !p.Has("cannot be reached right now") {
		t.Fatalf("want the fallback's page, got %d at %s\n%s", p.Status, p.URL, p.Text())
	}
	if e := g.events("drill_begun", 1)[0]; e["drill"] != id || e["provider"] != "idp" {
		t.Errorf("the trail says %v", e)
	}
	// Others are not in it, and the link is good once.
	landed(t, g.open(newBrowser(t), g.url("/a")), "/a", "idp:u-alice")
	want(t, g.open(newBrowser(t), g.url(link)), http.StatusForbidden)
	p = fill(t, p, "username", "anna.emergency", "password", "annapw")
	landed(t, p, "/a", "glass:anna.emergency")
	want(t, g.open(b, g.url("/admin/x")), http.StatusForbidden)
	logins := g.events("login", 2)
	if e := logins[len(logins)-1]; e["drill"] != id || fmt.Sprint(e["fallback"]) != "[idp]" {
		t.Errorf("the trail says %v", e)
	}

	t.Run("somebody else", func(t *testing.T) {
		_, link := drill(`{"provider":"idp","user":"anna.emergency"}`)
		b := newBrowser(t)
		p := fill(t, g.open(b, g.url(link)), "username", "bert.emergency", "password", "bertpw")
		if p.Status != http.StatusForbidden || g.hasTicket(b) {
			t.Fatalf("got %d\n%s", p.Status, p.Text())
		}
		if e := g.lastDenied("login_denied", 1); e["reason"] != "user_mismatch" {
			t.Errorf("the trail says %v", e)
		}
	})
	// The run of a drill that is over goes on at the provider, and still is the test user's.
	endsAtTheProvider := func(p *browser.Page) {
		t.Helper()
		if p = fill(t, p, "username", "anna.emergency", "password", "annapw"); p.Status != http.StatusForbidden || !strings.Contains(p.URL, "/callback/idp") {
			t.Errorf("got %d at %s\n%s", p.Status, p.URL, p.Text())
		}
	}
	t.Run("ended by the operator", func(t *testing.T) {
		id, link := drill(`{"provider":"idp","user":"anna.emergency"}`)
		p := g.open(newBrowser(t), g.url(link))
		if status, out := admin(t, http.MethodDelete, "/identity/drills/"+id); status != http.StatusOK {
			t.Fatal(status, out)
		}
		endsAtTheProvider(p)
		if status, _ := admin(t, http.MethodDelete, "/identity/drills/"+id); status != http.StatusNotFound {
			t.Errorf("ended twice: %d", status)
		}
		want(t, g.open(newBrowser(t), g.url(link)), http.StatusForbidden)
	})
	t.Run("over", func(t *testing.T) {
		id, link := drill(`{"provider":"idp","user":"anna.emergency","for":"1m"}`)
		_, late := drill(`{"provider":"idp","user":"anna.emergency","for":"1m"}`)
		p := g.open(newBrowser(t), g.url(link))
		clock.Advance(61 * time.Second)
		endsAtTheProvider(p)
		want(t, g.open(newBrowser(t), g.url(late)), http.StatusForbidden)
		if d := fmt.Sprint(g.provider("idp")["drills"]); strings.Contains(d, id) {
			t.Errorf("providers tell of %s", d)
		}
	})
	t.Run("taken by many at once", func(t *testing.T) {
		_, link := drill(`{"provider":"idp","user":"anna.emergency"}`)
		var began atomic.Int64
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				b := browser.New()
				defer b.Close()
				if p, err := b.Open(g.url(link)); err == nil && p.Has("Emergency access") {
					began.Add(1)
				}
			})
		}
		wg.Wait()
		if began.Load() != 1 {
			t.Errorf("%d browsers took part by one link", began.Load())
		}
	})
	for body, what := range map[string]string{
		`{"provider":"glass","user":"x"}`:             "there are: idp",
		`{"provider":"idp"}`:                          "user is the name",
		`{"provider":"idp","user":"x","for":"2h"}`:    "at most 1h0m0s",
		`{"provider":"idp","user":"x","for":"-1m"}`:   "at most 1h0m0s",
		`{"provider":"idp","user":"x","whole":"all"}`: "unknown field",
		``: "a drill is",
	} {
		if status, out := admin(t, http.MethodPost, "/identity/drills", body); status != http.StatusBadRequest || !strings.Contains(fmt.Sprint(out), what) {
			t.Errorf("%s: %d %v", body, status, out)
		}
	}
}

// TestC2FallbackUnderLoad: a hundred logins a second, while the provider goes and
// comes back. Nobody sees an error but those of the moment before it is noticed.
func TestC2FallbackUnderLoad(t *testing.T) {
	op := newOP(t)
	mfaUser(op)
	const accounts = 50
	var more strings.Builder
	for i := range accounts {
		fmt.Fprintf(&more, "user u%d %s\n", i, hashOf(t, "annapw"))
	}
	// Each login is of another person at another place, as budgets see it.
	g := start(t, strings.Replace(guarded(t, op), "user anna", more.String()+"user anna", 1)+"trusted_proxies static 127.0.0.0/8\n", guardedSite)
	g.stands(true)
	var people atomic.Int64
	var noticing atomic.Bool // the provider is gone, and the checks have not said so
	var idp, glass, early, wrong atomic.Int64
	login := func() {
		began, n := noticing.Load(), people.Add(1)
		b := browser.New()
		defer b.Close()
		b.Header.Set("X-Forwarded-For", fmt.Sprintf("10.%d.%d.1", n>>8&255, n&255))
		p, err := b.Open(g.url("/a"))
		if err == nil && p.Has("Emergency access") {
			p, err = p.Fill("username", fmt.Sprintf("u%d", n%accounts), "password", "annapw")
		}
		if err == nil && p.Status == http.StatusOK && p.Has(`value="idp"`) { // it ended meanwhile: the way back is offered
			p, err = p.Fill("provider", "idp")
		}
		switch {
		case err == nil && p.Status == http.StatusOK && strings.Contains(p.Body, "X-Key: idp:"):
			idp.Add(1)
		case err == nil && p.Status == http.StatusOK && strings.Contains(p.Body, "X-Key: glass:"):
			glass.Add(1)
		case began || noticing.Load():
			early.Add(1)
		default:
			wrong.Add(1)
			if wrong.Load() < 4 {
				t.Errorf("a login failed: %v %v", err, b.Hops)
			}
		}
	}
	stop := make(chan struct{})
	atOnce := make(chan struct{}, 32) // a machine that cannot keep up is not asked for more
	var wg sync.WaitGroup
	end := sync.OnceFunc(func() { close(stop); wg.Wait() })
	defer end() // nobody logs in any more when the test is over
	wg.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				select {
				case atOnce <- struct{}{}:
					wg.Go(func() { defer func() { <-atOnce }(); login() })
				default:
				}
			}
		}
	})
	began := time.Now()
	enough := func(n *atomic.Int64) {
		t.Helper()
		least := n.Load() + 50
		until(t, "fifty logins", func() bool { return n.Load() >= least })
	}
	enough(&idp)
	noticing.Store(true)
	op.SetDown(true)
	g.stands(false)
	noticing.Store(false)
	enough(&glass)
	op.SetDown(false)
	g.stands(true)
	enough(&idp)
	end()
	all := idp.Load() + glass.Load() + early.Load() + wrong.Load()
	t.Logf("%d logins in %s: %d at the provider, %d at the fallback, %d before it was noticed, %d wrong",
		all, time.Since(began).Round(10*time.Millisecond), idp.Load(), glass.Load(), early.Load(), wrong.Load())
}
