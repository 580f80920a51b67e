package module_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/adapters/store/memory"
	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/flows"
)

func init() { caddy.RegisterModule(new(flakyStore)) }

// flakyStore is the memory store with a switch and a counter of writes. The
// switches are the process's: every config's store has the same.
type flakyStore struct{ memory.Store }

var flaky struct {
	down   atomic.Bool
	writes atomic.Int64
	reads  atomic.Int64
	// counted lets only as many operations through as are left.
	counted atomic.Bool
	left    atomic.Int64
}

func switchedOff() bool {
	return flaky.down.Load() || flaky.counted.Load() && flaky.left.Add(-1) < 0
}

// storeDown switches the store off until the test or the answer to it ends.
func storeDown(t testing.TB) (up func()) {
	flaky.down.Store(true)
	up = func() { flaky.down.Store(false) }
	t.Cleanup(up)
	return up
}

func (*flakyStore) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.stores.flaky", New: func() caddy.Module { return new(flakyStore) }}
}

func (s *flakyStore) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return s.Store.UnmarshalCaddyfile(d)
}

var errSwitchedOff = fmt.Errorf("store flaky: %w: switched off", flows.ErrUnavailable)

func (s *flakyStore) Get(ctx context.Context, key string) ([]byte, error) {
	flaky.reads.Add(1)
	if switchedOff() {
		return nil, errSwitchedOff
	}
	return s.Store.Get(ctx, key)
}

func (s *flakyStore) Create(ctx context.Context, key string, val []byte, ttl time.Duration, index ...string) error {
	flaky.writes.Add(1)
	if switchedOff() {
		return errSwitchedOff
	}
	return s.Store.Create(ctx, key, val, ttl, index...)
}

func (s *flakyStore) Update(ctx context.Context, key string, fn func([]byte) (flows.Change, error)) error {
	flaky.writes.Add(1)
	if switchedOff() {
		return errSwitchedOff
	}
	return s.Store.Update(ctx, key, fn)
}

func (s *flakyStore) Members(ctx context.Context, index, after string, n int) ([]string, error) {
	if switchedOff() {
		return nil, errSwitchedOff
	}
	return s.Store.Members(ctx, index, after, n)
}

const flakyLine = "store flaky\n"

// until waits for something that happens beside the request.
func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !f(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// wantUnavailable: could not ask is 503, says when to come back, and leaves
// every cookie as it is.
func wantUnavailable(t testing.TB, p *browser.Page, reason string) {
	t.Helper()
	want(t, p, http.StatusServiceUnavailable)
	if p.Header.Get("Retry-After") == "" {
		t.Errorf("%s: 503 without Retry-After", p.URL)
	}
	if c := p.Header["Set-Cookie"]; len(c) > 0 {
		t.Errorf("%s: a cookie was written while the store was down: %v", p.URL, c)
	}
	if !strings.Contains(p.Body, reason) {
		t.Errorf("%s: reason %s is not named:\n%s", p.URL, reason, p.Body)
	}
}

func TestB18StoreDownDeletesNoCookie(t *testing.T) {
	g := start(t, people(t)+flakyLine, plainSite)
	alice, bob := g.signedIn("/a", "alice", "alicepw"), g.signedIn("/a", "bob", "bobpw")
	ca, cb := ticketOf(t, g, alice), ticketOf(t, g, bob)
	cached := ca.Name + "=" + ca.Value
	unknown := cb.Name + "=" + strings.Repeat("A", 43)
	up := storeDown(t)
	for range 3 {
		want(t, g.get("/a", cached), http.StatusOK)
		wantUnavailable(t, g.get("/a", unknown, "Accept", "application/json"), "store_unavailable")
		wantUnavailable(t, g.raw(http.MethodGet, "/a", "", "Cookie", unknown, "Accept", "*/*"), "store_unavailable")
		wantUnavailable(t, g.get("/.identity/session", unknown, "Accept", "application/json"), "store_unavailable")
		wantUnavailable(t, g.get("/.identity/login", unknown, "Accept", "application/json"), "store_unavailable")
	}
	// A new login gets to its form, and is refused where it would need the store.
	tab := browser.New()
	defer tab.Close()
	form := g.open(tab, g.url("/new"))
	f, err := form.FormWith("username")
	if err != nil {
		t.Fatal(err)
	}
	p := g.submitOnly(tab, f, "alice", "alicepw")
	want(t, p, http.StatusServiceUnavailable)
	if p.Header.Get("Retry-After") == "" || len(p.Header["Set-Cookie"]) > 0 {
		t.Errorf("refused login: %v", p.Header)
	}
	var refused map[string]any
	for _, e := range g.events("login_denied", 1) {
		refused = e
	}
	if refused["reason"] != "store_unavailable" {
		t.Errorf("login_denied: %v", refused)
	}
	if n := len(g.events("login", 2)); n != 2 {
		t.Errorf("%d logins in the trail", n)
	}
	up()
	want(t, g.get("/a", cached), http.StatusOK)
	want(t, g.open(bob, g.url("/a")), http.StatusOK)
	want(t, g.get("/a", unknown), http.StatusSeeOther)
	// The same form goes through now: nothing was consumed.
	p = g.submitOnly(tab, f, "alice", "alicepw")
	want(t, p, http.StatusSeeOther)
	want(t, g.open(tab, g.url("/new")), http.StatusOK)
}

func TestStoreDownServesCachedSessionsForABoundedTime(t *testing.T) {
	clock := newClock(t)
	g := start(t, people(t)+flakyLine+"session {\nidle 2h\n}\n", "protect {\nheaders siteminder\nsession {\npassive /poll\n}\n}\nreverse_proxy {APP}")
	b := g.signedIn("/a", "alice", "alicepw")
	c := ticketOf(t, g, b)
	cookie := c.Name + "=" + c.Value
	clock.Advance(5 * time.Minute)
	before := flaky.writes.Load()
	want(t, g.get("/a", cookie), http.StatusOK) // activity is written, and that is a contact
	until(t, "activity written", func() bool { return flaky.writes.Load() > before })
	clock.Advance(time.Second)
	up := storeDown(t)
	for range 14 {
		clock.Advance(time.Minute)
		want(t, g.get("/a", cookie), http.StatusOK)
		want(t, g.get("/poll", cookie), http.StatusOK)
	}
	clock.Advance(time.Minute)
	for _, path := range []string{"/a", "/poll"} {
		wantUnavailable(t, g.get(path, cookie, "Accept", "application/json"), "store_unavailable")
	}
	up()
	want(t, g.get("/a", cookie), http.StatusOK)
	if got := ticketOf(t, g, b).Value; got != c.Value {
		t.Error("the ticket changed")
	}
	// Who only polls is asked for all the same: what was revoked elsewhere is seen.
	before = flaky.reads.Load()
	clock.Advance(14 * time.Minute)
	want(t, g.get("/poll", cookie), http.StatusOK)
	if n := flaky.reads.Load() - before; n != 0 {
		t.Errorf("a cached session cost %d reads", n)
	}
	clock.Advance(2 * time.Minute)
	want(t, g.get("/poll", cookie), http.StatusOK)
	if flaky.reads.Load() == before {
		t.Error("a session was served for 16 minutes without asking the store")
	}
}

// status is the answer's, 0 if the connection was cut: a request that is under
// way when its session ends is.
func (g *gateway) status(path, cookie string) int {
	req, err := http.NewRequest(http.MethodGet, g.url(path), nil)
	if err != nil {
		return -1
	}
	req.Header.Set("Cookie", cookie)
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	return res.StatusCode
}

func TestI15LogoutWhileCachedIsRefusedAtOnce(t *testing.T) {
	g := start(t, people(t)+flakyLine, plainSite)
	b := g.signedIn("/a", "alice", "alicepw")
	c := ticketOf(t, g, b)
	cookie := c.Name + "=" + c.Value
	// Many requests on the cached session, while it ends.
	stop := make(chan struct{})
	var ended atomic.Bool
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				was := ended.Load()
				status := g.status("/a", cookie)
				if was && status == http.StatusOK {
					t.Error("served after the logout was answered")
				}
				if status != http.StatusOK {
					return
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	page := g.open(b, g.url("/a"))
	want(t, g.send(b, browser.Request{Method: http.MethodPost, URL: g.url("/.identity/logout"), From: page}), http.StatusOK)
	ended.Store(true)
	want(t, g.get("/a", cookie), http.StatusSeeOther)
	close(stop)
	wg.Wait()
	want(t, g.get("/.identity/session", cookie), http.StatusUnauthorized)
}

// A logout is never held up: the session is dead on this node at once and stays
// so, and in the store as soon as it can be asked (I25).
func TestI25LogoutWhileTheStoreIsDown(t *testing.T) {
	g := start(t, people(t)+flakyLine, plainSite)
	b := g.signedIn("/a", "alice", "alicepw")
	c := ticketOf(t, g, b)
	cookie := c.Name + "=" + c.Value
	page := g.open(b, g.url("/a"))
	up := storeDown(t)
	want(t, g.send(b, browser.Request{Method: http.MethodPost, URL: g.url("/.identity/logout"), From: page}), http.StatusOK)
	if e := g.events("logout", 1)[0]; e["user"] != "corp:alice" {
		t.Errorf("logout in the trail: %v", e)
	}
	if p := g.get("/a", cookie); p.Status == http.StatusOK {
		t.Error("served after the logout")
	}
	// The cache forgets ended sessions; the ticket must not come back to life then.
	until(t, "the sweep", func() bool { return theApp(t).Cached() == 0 })
	writes := flaky.writes.Load()
	up()
	if p := g.get("/a", cookie); p.Status != http.StatusSeeOther {
		t.Errorf("the session came back with the store: %d", p.Status)
	}
	until(t, "the session ended in the store", func() bool { return flaky.writes.Load() >= writes+2 })
	if err := g.load(people(t)+flakyLine, plainSite+"\nheader X-Reloaded 1"); err != nil {
		t.Fatal(err)
	}
	want(t, g.get("/a", cookie), http.StatusSeeOther)
	if n := len(g.events("logout", 1)); n != 1 {
		t.Errorf("the logout is in the trail %d times", n)
	}
}

func TestI17ProvisionOpensNothingExclusive(t *testing.T) {
	dir := t.TempDir()
	db := filepath.Join(dir, "sub", "sessions.db")
	global := people(t) + "store file " + db + "\n"
	g := start(t, global, plainSite)
	touched := func() []string {
		var found []string
		for _, p := range []string{db, filepath.Dir(db), filepath.Join(g.dir, "sallyport", "keys", "cluster")} {
			if _, err := os.Stat(p); err == nil {
				found = append(found, p)
			}
		}
		return found
	}
	provision := func() {
		t.Helper()
		cfg, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(g.caddyfile(global, plainSite)), map[string]any{"filename": "Caddyfile"})
		if err != nil {
			t.Fatal(err)
		}
		var c caddy.Config
		if err := json.Unmarshal(cfg, &c); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if err := caddy.Validate(&c); err != nil {
			t.Fatalf("the same config does not validate beside the live one: %v", err)
		}
		if d := time.Since(begin); d > 2*time.Second {
			t.Errorf("validating waited for something: %s", d)
		}
	}
	if found := touched(); len(found) > 0 {
		t.Errorf("loading touched %v", found)
	}
	provision()
	// A stranger's first page needs the key, and still no store.
	want(t, g.get("/a", ""), http.StatusSeeOther)
	if _, err := os.Stat(db); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an unauthenticated request opened the store: %v", err)
	}
	b := g.signedIn("/a", "alice", "alicepw")
	if _, err := os.Stat(db); err != nil {
		t.Errorf("the store after a login: %v", err)
	}
	for range 3 {
		provision()
		want(t, g.open(b, g.url("/a")), http.StatusOK)
	}
	fresh := g.signedIn("/a", "bob", "bobpw") // the live config's store was not closed
	want(t, g.open(fresh, g.url("/a")), http.StatusOK)
}

// Marks are what makes once mean once: they are never evicted for room (I09).
func TestI09MarksAreNeverEvictedEarly(t *testing.T) {
	g := start(t, people(t)+"store memory\n", plainSite)
	_ = g
	s := new(memory.Store)
	if err := s.Provision(caddy.ActiveContext()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Cleanup() }()
	ctx := context.Background()
	marks := []string{"m/first", "m/second"}
	for _, m := range marks {
		if err := s.Create(ctx, m, []byte{1}, 10*time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 50_000 {
		if err := s.Create(ctx, fmt.Sprintf("c/%d", i), []byte("x"), time.Hour, "all"); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range marks {
		if err := s.Create(ctx, m, []byte{1}, 10*time.Minute); !errors.Is(err, flows.ErrExists) {
			t.Errorf("mark %s after 50,000 creations: %v", m, err)
		}
	}
	for i := range 50_000 {
		_ = s.Update(ctx, fmt.Sprintf("c/%d", i), func([]byte) (flows.Change, error) { return flows.Remove(), nil })
	}
	for _, m := range marks {
		_ = s.Update(ctx, m, func([]byte) (flows.Change, error) { return flows.Remove(), nil })
	}
}
