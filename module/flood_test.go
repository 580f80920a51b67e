package module_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/flows/audit"
)

// server is the running config's http server, to be called without sockets.
func server(t testing.TB) http.Handler {
	t.Helper()
	v, err := caddy.ActiveContext().AppIfConfigured("http")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range v.(*caddyhttp.App).Servers {
		return s
	}
	t.Fatal("no http server is running")
	return nil
}

// held is what the process holds on to.
type held struct {
	heap       uint64
	goroutines int
	files      int
}

func holds() held {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	files, _ := os.ReadDir("/proc/self/fd") // none where there is no /proc
	return held{m.HeapInuse, runtime.NumGoroutine(), len(files)}
}

// wantHeld waits until no more goroutines and files are held than before.
func wantHeld(t testing.TB, before held) held {
	t.Helper()
	var now held
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if now = holds(); now.goroutines <= before.goroutines && now.files <= before.files {
			return now
		}
	}
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	t.Errorf("goroutines %d → %d, files %d → %d\n%s", before.goroutines, now.goroutines, before.files, now.files, stacks)
	return now
}

// Strangers who begin logins and never finish them cost no write, no memory,
// no goroutine and no file, and keep nobody else out (C1).
func TestC1UnfinishedLoginsCostNothing(t *testing.T) {
	g := start(t, people(t)+flakyLine+"audit broken\n", plainSite) // how far a file is signed is remembered in the store
	mark := takenSoFar()
	srv := server(t)
	stranger := func(i int) error {
		r := httptest.NewRequest(http.MethodGet, fmt.Sprintf("/deep/link/%d?q=%s", i, strings.Repeat("x", i%500)), nil)
		r.Host = fmt.Sprintf("127.0.0.1:%d", g.port)
		r.RemoteAddr = fmt.Sprintf("10.%d.%d.%d:999", i>>16&255, i>>8&255, i&255)
		r.Header = http.Header{"Accept": {"text/html"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}}
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, r)
		if w.Code != http.StatusSeeOther || len(w.Header()["Set-Cookie"]) != 1 {
			return fmt.Errorf("stranger %d: %d, cookies %v", i, w.Code, w.Header()["Set-Cookie"])
		}
		return nil
	}
	login := func() {
		b := g.signedIn("/a", "alice", "alicepw")
		want(t, g.open(b, g.url("/b")), http.StatusOK)
		b.Close()
	}
	login()
	var warm sync.WaitGroup
	for w := range 4 {
		warm.Go(func() {
			for i := w; i < 2000; i += 4 {
				if err := stranger(i); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	warm.Wait()
	before, writes := wantHeld(t, held{goroutines: 1 << 20, files: 1 << 20}), flaky.writes.Load()
	login()
	perLogin := flaky.writes.Load() - writes
	writes = flaky.writes.Load()

	const flood, real = 20_000, 10
	var begun atomic.Int64
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				i := int(begun.Add(1))
				if i > flood {
					return
				}
				if err := stranger(2000 + i); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range real {
		for begun.Load() < int64(i*flood/real) && !t.Failed() {
			time.Sleep(time.Millisecond)
		}
		login()
	}
	wg.Wait()
	if n := flaky.writes.Load() - writes; n != real*perLogin {
		t.Errorf("%d strangers caused writes: %d in all, %d of them for %d logins", flood, n, real*perLogin, real)
	}
	after := wantHeld(t, before)
	if after.heap > before.heap+2<<20 {
		t.Errorf("%d unfinished logins hold %d KiB", flood, (after.heap-before.heap)>>10)
	}
	if n := len(took(t, mark, audit.Login, real+2)); n != real+2 {
		t.Errorf("%d logins in the trail, want %d", n, real+2)
	}
}

func TestB18ReloadsLeakNothing(t *testing.T) {
	g := start(t, people(t), plainSite)
	b := g.signedIn("/a", "alice", "alicepw")
	reload := func(i int) {
		t.Helper()
		if err := g.load(people(t), plainSite+fmt.Sprintf("\nheader X-Generation %d", i)); err != nil {
			t.Fatal(err)
		}
		b.Close()
		p, err := patient(b, browser.Request{URL: g.url("/a")})
		if err != nil {
			t.Fatal(err)
		}
		want(t, p, http.StatusOK)
		b.Close()
	}
	for i := range 3 {
		reload(i)
	}
	before := wantHeld(t, held{goroutines: 1 << 20, files: 1 << 20})
	for i := range 50 {
		reload(i)
	}
	after := wantHeld(t, before)
	if after.heap > before.heap+8<<20 {
		t.Errorf("50 reloads hold %d KiB", (after.heap-before.heap)>>10)
	}
	// A config that is refused late leaves nothing either.
	for range 5 {
		if err := g.load(people(t), "protect nosuch\nreverse_proxy {APP}"); err == nil {
			t.Fatal("a broken config was loaded")
		}
	}
	wantHeld(t, before)
}

// patient sends a request again only if the connection broke before an answer
// came: Caddy closes idle connections at a reload.
func patient(b *browser.Browser, r browser.Request) (*browser.Page, error) {
	for try := 0; ; try++ {
		p, err := b.Send(r)
		if err == nil || try == 3 {
			return p, err
		}
		b.Close()
	}
}

// walkLogin signs in by hand, hop by hop, and answers what it landed on.
func (g *gateway) walkLogin(b *browser.Browser, path, name, password string, between func()) error {
	p, err := patient(b, browser.Request{URL: g.url(path)})
	if err != nil {
		return err
	}
	for hops := 0; p.Status == http.StatusSeeOther && hops < 5; hops++ {
		to, err := p.Resolve(p.Header.Get("Location"))
		if err != nil {
			return err
		}
		if p, err = patient(b, browser.Request{URL: to}); err != nil {
			return err
		}
	}
	f, err := p.FormWith("username")
	if err != nil {
		return fmt.Errorf("no form at %s: %d %w", p.URL, p.Status, err)
	}
	between()
	f.Fields.Set("username", name)
	f.Fields.Set("password", password)
	p, err = patient(b, browser.Request{
		Method: http.MethodPost, URL: f.Action, Body: f.Fields.Encode(), From: f.Page,
		Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
	})
	if err != nil {
		return err
	}
	if p.Status != http.StatusSeeOther {
		return fmt.Errorf("the form was answered with %d: %s", p.Status, p.Text())
	}
	if p, err = patient(b, browser.Request{URL: g.url(path)}); err != nil || p.Status != http.StatusOK {
		return fmt.Errorf("signed in, then %v: %w", p, err)
	}
	return nil
}

// Eight reloads under load: no answer but 200, no login and no session lost (C7).
func TestB18ReloadsUnderLoadLoseNothing(t *testing.T) {
	g := start(t, people(t), plainSite)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var served, logins, generation atomic.Int64
	running := func() bool {
		select {
		case <-stop:
			return false
		default:
			return true
		}
	}
	for i := range 3 {
		b := g.signedIn("/a", "alice", "alicepw")
		wg.Go(func() {
			for running() {
				p, err := patient(b, browser.Request{URL: g.url(fmt.Sprintf("/load/%d", i))})
				if err != nil || p.Status != http.StatusOK || !p.Has("SM_USER: alice") {
					t.Errorf("a signed-in request under a reload: %v, %v", err, p)
					return
				}
				served.Add(1)
			}
		})
	}
	for range 2 {
		wg.Go(func() {
			for running() {
				b := browser.New()
				was := generation.Load()
				err := g.walkLogin(b, "/login/in/flight", "bob", "bobpw", func() {
					// Every login has a reload between its page and its answer.
					for running() && generation.Load() == was {
						time.Sleep(time.Millisecond)
					}
				})
				b.Close()
				if err != nil {
					t.Errorf("a login under a reload: %v", err)
					return
				}
				logins.Add(1)
			}
		})
	}
	for i := range 8 {
		from := served.Load()
		until(t, "requests between two reloads", func() bool { return t.Failed() || served.Load() >= from+20 })
		if err := g.load(people(t), plainSite+fmt.Sprintf("\nheader X-Generation %d", i)); err != nil {
			t.Error(err)
		}
		generation.Add(1)
	}
	until(t, "logins", func() bool { return t.Failed() || logins.Load() >= 2 })
	close(stop)
	wg.Wait()
	t.Logf("%d requests, %d logins over 8 reloads", served.Load(), logins.Load())
}
