package module_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/module"
)

// fraud is a service that is asked, and told what came of it.
type fraud struct {
	*httptest.Server
	mu    sync.Mutex
	down  bool
	score int
	asked int
	told  []string
	heard chan string
}

func newFraud(t testing.TB) *fraud {
	t.Helper()
	f := &fraud{heard: make(chan string, 10_000)}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var m struct {
			Type string
			Data struct{ ID, Result, Kind, Reason string }
		}
		_ = json.Unmarshal(body, &m)
		f.mu.Lock()
		defer f.mu.Unlock()
		if m.Type == "risk.outcome" {
			if f.down {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			what := strings.TrimSpace(m.Data.ID + " " + m.Data.Result + " " + m.Data.Kind + " " + m.Data.Reason)
			f.told = append(f.told, what)
			f.heard <- what
			return
		}
		f.asked++
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"score":%d,"id":"r-%d","reasons":["seen elsewhere"]}`, f.score, f.asked)
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *fraud) set(score int, down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.score, f.down = score, down
}

func (f *fraud) so() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string{}, f.told...)
}

func (f *fraud) hears(t testing.TB, want string) {
	t.Helper()
	select {
	case got := <-f.heard:
		if got != want {
			t.Errorf("the service was told %q, want %q", got, want)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("the service was not told %q", want)
	}
}

func (f *fraud) global(t testing.TB) string {
	return people(t) + "signal fraud http {\nurl " + f.URL + "\nsecret sixteen-bytes-and-more\n}\nflow staff {\nlogin corp\nrisk fraud\nwhen `risk.level == \"high\"` {\ndeny\n}\n}\n"
}

const fraudSite = "protect staff {\nheader X-Key {user.key}\n}\nreverse_proxy {APP}"

func running(t testing.TB) *module.App {
	t.Helper()
	v, err := caddy.ActiveContext().AppIfConfigured("identity")
	if err != nil {
		t.Fatal(err)
	}
	return v.(*module.App)
}

// The service is told of each login that it was asked about, granted or denied; of a
// stranger's wrong password it never hears, and nothing is written for it.
func TestOutcomesAreToldToTheService(t *testing.T) {
	f := newFraud(t)
	g := start(t, f.global(t), fraudSite)
	want(t, g.signIn(newBrowser(t), "/a", "alice", "alicepw"), http.StatusOK)
	f.hears(t, "r-1 granted login")
	want(t, g.signIn(newBrowser(t), "/a", "alice", "wrong"), http.StatusUnauthorized)
	f.set(90, false)
	want(t, g.signIn(newBrowser(t), "/a", "alice", "alicepw"), http.StatusForbidden)
	f.hears(t, "r-2 denied login_denied not_allowed")
	for deadline := time.Now().Add(10 * time.Second); running(t).ReportsWait(t.Context()) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("what was told still waits")
		}
	}
	if told := f.so(); len(told) != 2 {
		t.Errorf("it was told %v", told)
	}
}

// A service that is down keeps nobody out and hears of it later: after a restart, too.
func TestReportsSurviveRestartsAndAreTriedAgain(t *testing.T) {
	clock, f := newClock(t), newFraud(t)
	g := start(t, people(t), plainSite)
	global := f.global(t) + "store file " + filepath.Join(g.dir, "reports.db") + "\n"
	if err := g.load(global, fraudSite); err != nil {
		t.Fatal(err)
	}
	f.set(0, true)
	want(t, g.signIn(newBrowser(t), "/a", "alice", "alicepw"), http.StatusOK)
	running(t).TellDue(t.Context())
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	f.set(0, false)
	if err := g.load(global, fraudSite); err != nil {
		t.Fatal(err)
	}
	a := running(t)
	if n := a.ReportsWait(t.Context()); n != 1 {
		t.Fatalf("%d reports survived", n)
	}
	a.TellDue(t.Context())
	if len(f.so()) != 0 {
		t.Error("it is tried again at once")
	}
	clock.Advance(16 * time.Second)
	a.TellDue(t.Context())
	f.hears(t, "r-1 granted login")
	if n := a.ReportsWait(t.Context()); n != 0 {
		t.Errorf("%d still wait", n)
	}
}

func TestReportsAreGivenUpAfterADay(t *testing.T) {
	clock, f := newClock(t), newFraud(t)
	start(t, f.global(t), fraudSite)
	f.set(0, true)
	a := running(t)
	a.QueueReport(t.Context(), "fraud", flows.Report{ID: "E1", Kind: "login", Ref: "r-1"})
	for range 30 {
		a.TellDue(t.Context())
		clock.Advance(time.Hour)
	}
	f.set(0, false)
	a.TellDue(t.Context())
	if n := a.ReportsWait(t.Context()); n != 0 || len(f.so()) != 0 {
		t.Errorf("%d wait, and it was told %v", n, f.so())
	}
}

// However long the service is away, what waits is bounded; what comes on top is counted.
func TestReportsAreBounded(t *testing.T) {
	const most = 20
	t.Cleanup(module.SetReportsKept(most))
	f := newFraud(t)
	g := start(t, f.global(t), fraudSite)
	f.set(0, true)
	a := running(t)
	for i := range most + 10 {
		a.QueueReport(t.Context(), "fraud", flows.Report{ID: fmt.Sprint(i), Kind: "login", Ref: "r"})
	}
	if n := a.ReportsWait(t.Context()); n != most {
		t.Errorf("%d wait", n)
	}
	want(t, g.signIn(newBrowser(t), "/a", "alice", "alicepw"), http.StatusOK) // it keeps nobody out
}

// Two nodes that look at the same time tell each outcome once.
func TestTwoNodesTellOnce(t *testing.T) {
	f := newFraud(t)
	g := start(t, people(t), plainSite)
	global := f.global(t) + "store file " + filepath.Join(g.dir, "shared.db") + "\n"
	first, _ := g.another(global, fraudSite)
	second, _ := g.another(global, fraudSite)
	for i := range 50 {
		first.QueueReport(t.Context(), "fraud", flows.Report{ID: fmt.Sprint(i), Kind: "login", Ref: fmt.Sprintf("r-%d", i)})
	}
	var wg sync.WaitGroup
	for _, a := range []*module.App{first, second, first, second} {
		wg.Go(func() { a.TellDue(context.Background()) })
	}
	wg.Wait()
	seen := map[string]bool{}
	for _, what := range f.so() {
		if seen[what] {
			t.Errorf("told twice: %s", what)
		}
		seen[what] = true
	}
	if len(seen) != 50 || second.ReportsWait(t.Context()) != 0 {
		t.Errorf("%d of 50 were told, %d wait", len(seen), second.ReportsWait(t.Context()))
	}
}
