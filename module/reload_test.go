package module_test

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// load is clients that keep their connections and never ask twice, about 200
// requests a second in all.
type load struct {
	served, resets, bad atomic.Int64
}

func (l *load) run(t *testing.T, wg *sync.WaitGroup, done <-chan struct{}, url, cookie string, clients int) {
	for range clients {
		wg.Go(func() {
			tr := &http.Transport{}
			defer tr.CloseIdleConnections()
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-done:
					return
				case <-tick.C:
				}
				r := mustRequest(t, url)
				r.Header.Set("Cookie", cookie)
				r.Header.Set("Accept", "text/html")
				r.GetBody, r.Body = nil, nil
				res, err := tr.RoundTrip(r)
				if err != nil {
					l.resets.Add(1)
					continue
				}
				res.Body.Close()
				if res.StatusCode != http.StatusOK {
					l.bad.Add(1)
					t.Errorf("a request under a reload: %s", res.Status)
					return
				}
				l.served.Add(1)
			}
		})
	}
}

// Reloads under load, with logins begun before and finished after: nobody is
// answered anything but 200, no login and no session is lost, and no more
// connections are cut than by Caddy without us in the same run (C7).
func TestC7ReloadUnderLoadBesidePlainCaddy(t *testing.T) {
	const reloads = 8
	op := newOP(t)
	plainPort := freePort(t)
	global := people(t) + asked(t, "idp", op)
	site := func(generation int) string {
		return fmt.Sprintf("http://127.0.0.1:{PORT} {\nbind 127.0.0.1\nheader X-Generation %[1]d\n"+whoSite+"\n}\nhttp://127.0.0.1:%[2]d {\nbind 127.0.0.1\nheader X-Generation %[1]d\nreverse_proxy {APP}\n}", generation, plainPort)
	}
	g := start(t, global, site(0))
	open := func(b *browser.Browser, address string) *browser.Page {
		t.Helper()
		p, err := patient(b, browser.Request{URL: address})
		for hops := 0; err == nil && p.Status == http.StatusSeeOther && hops < 5; hops++ {
			var to string
			if to, err = p.Resolve(p.Header.Get("Location")); err == nil {
				p, err = patient(b, browser.Request{URL: to})
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	var cookies []string
	for range 5 {
		b := newBrowser(t)
		landed(t, g.open(b, g.url("/.identity/login?provider=idp&return_to=/a")), "/a", "idp:u-alice")
		c := ticketOf(t, g, b)
		cookies = append(cookies, c.Name+"="+c.Value)
	}
	type login struct {
		b    *browser.Browser
		back string        // an answer of the provider that is not delivered yet
		form *browser.Form // or a form that is not sent yet
	}
	begin := func() (l login) {
		l.b = newBrowser(t)
		l.back = g.answer(g.away(l.b, "/.identity/login?provider=idp&return_to=/late")).String()
		return l
	}
	beginForm := func() (l login) {
		l.b = newBrowser(t)
		f, err := open(l.b, g.url("/.identity/login?provider=corp&return_to=/late")).FormWith("username")
		if err != nil {
			t.Fatal(err)
		}
		l.form = f
		return l
	}
	var pending []login
	for range reloads {
		pending = append(pending, begin(), beginForm())
	}
	var ours, plain load
	var wg sync.WaitGroup
	done := make(chan struct{})
	stop := sync.OnceFunc(func() { close(done); wg.Wait() })
	defer stop()
	ours.run(t, &wg, done, g.url("/load"), cookies[0], 4)
	plain.run(t, &wg, done, fmt.Sprintf("http://127.0.0.1:%d/load", plainPort), "app=1", 4)
	for i := range reloads {
		n, m := ours.served.Load(), plain.served.Load()
		until(t, "requests between two reloads", func() bool {
			return t.Failed() || ours.served.Load() >= n+40 && plain.served.Load() >= m+40
		})
		if err := g.load(global, site(i+1)); err != nil {
			t.Fatal(err)
		}
		for _, l := range pending[2*i : 2*i+2] { // begun 1 to 8 configs ago
			l.b.Close()
			if l.form != nil {
				want(t, g.submitOnly(l.b, l.form, "bob", "bobpw"), http.StatusSeeOther)
				want(t, open(l.b, g.url("/late")), http.StatusOK)
				continue
			}
			landed(t, open(l.b, l.back), "/late", "idp:u-alice")
		}
	}
	stop()
	for _, c := range cookies {
		want(t, g.get("/a", c), http.StatusOK)
	}
	t.Logf("%d requests, %d connections cut; plain Caddy: %d, %d", ours.served.Load(), ours.resets.Load(), plain.served.Load(), plain.resets.Load())
	// Both are a matter of chance: a keep-alive connection is closed as the client writes.
	if n, m := ours.resets.Load(), plain.resets.Load(); n > 2*m+8 {
		t.Errorf("%d connections were cut, %d by plain Caddy", n, m)
	}
	if n := len(g.events("login", 5+2*reloads)); n != 5+2*reloads {
		t.Errorf("%d logins in the trail", n)
	}
}
