package module_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/flows"
)

// guesses sends the same wrong code from many pages at once, each again and again,
// and answers how many were judged.
func guesses(t *testing.T, pages []*browser.Page, each int, wrong string) int {
	t.Helper()
	var judged atomic.Int64
	var wg sync.WaitGroup
	ready := make(chan struct{})
	for _, p := range pages {
		wg.Go(func() {
			<-ready
			for range each {
				q, err := p.Fill("code", wrong)
				if err != nil {
					t.Error(err)
					return
				}
				switch q.Status {
				case http.StatusUnauthorized:
					judged.Add(1)
				case http.StatusTooManyRequests:
				default:
					t.Errorf("want 401 or 429, got %d at %s", q.Status, q.URL)
				}
				p = q
			}
		})
	}
	close(ready)
	wg.Wait()
	return int(judged.Load())
}

// 200 guesses over 20 sessions, all at once: no more are judged than one session
// would have had. Right behind them the right code waits, too, and later it works.
func TestM02GuessesInParallelSharedByAllSessions(t *testing.T) {
	const sessions, each = 20, 10
	for factor, wrong := range map[string]string{"totp": "000000", "recovery": "AAAA-BBBB-CCCC-DDDD"} {
		t.Run(factor, func(t *testing.T) {
			clock, op := newClock(t), newOP(t)
			g := start(t, asked(t, "idp", op)+factorFlow, factorSite)
			secret, codes, _ := g.enrolled(t, op, clock, newBrowser(t))
			clock.Advance(time.Minute)
			asks := func() *browser.Page {
				p := g.open(newBrowser(t), g.url("/a"))
				if factor == "recovery" {
					p = fill(t, p, "factor", "recovery")
				}
				return p
			}
			right := func() string {
				if factor == "recovery" {
					return codes[0]
				}
				return code(t, secret, clock)
			}
			var pages []*browser.Page
			for range sessions {
				pages = append(pages, asks())
			}
			if n := guesses(t, pages, each, wrong); n > flows.LimitFactor.Free+1 {
				t.Fatalf("%d of %d guesses were judged; at most %d may be", n, sessions*each, flows.LimitFactor.Free+1)
			}
			p := fill(t, asks(), "code", right())
			if p.Status != http.StatusTooManyRequests || p.Header.Get("Retry-After") == "" {
				t.Fatalf("right behind the guesses even the right code waits: got %d", p.Status)
			}
			clock.Advance(16 * time.Minute)
			landed(t, fill(t, asks(), "code", right()), "/a", "idp:u-alice")
		})
	}
}

// Two nodes count together.
func TestM02GuessesOverTwoNodes(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	global := asked(t, "idp", op) + factorFlow + watchedLine
	g := start(t, global, factorSite)
	node := g.secondNode(global, factorSite)
	secret, _, _ := g.enrolled(t, op, clock, newBrowser(t))
	clock.Advance(time.Minute)
	judged := 0
	for range 8 {
		b := newBrowser(t)
		p := g.open(b, g.url("/a"))
		for _, there := range []bool{true, false} {
			f, err := p.FormWith("code")
			if err != nil {
				t.Fatal(err)
			}
			f.Fields.Set("code", "000000")
			if there {
				p = g.sentTo(node, b, f)
			} else if p, err = f.Submit(); err != nil {
				t.Fatal(err)
			}
			if p.Status == http.StatusUnauthorized {
				judged++
			} else if p.Status != http.StatusTooManyRequests {
				t.Fatalf("want 401 or 429, got %d (there: %v)\n%s", p.Status, there, p.Text())
			}
		}
	}
	if judged > flows.LimitFactor.Free+1 {
		t.Errorf("%d guesses were judged; at most %d may be", judged, flows.LimitFactor.Free+1)
	}
	f, err := g.open(newBrowser(t), g.url("/a")).FormWith("code")
	if err != nil {
		t.Fatal(err)
	}
	f.Fields.Set("code", code(t, secret, clock))
	if p := g.sentTo(node, f.Page.Browser, f); p.Status != http.StatusTooManyRequests {
		t.Errorf("the other node did not hear of the guesses: %d", p.Status)
	}
}

// sentTo sends a browser's form to another node.
func (g *gateway) sentTo(node func(*http.Request) *httptest.ResponseRecorder, b *browser.Browser, f *browser.Form) *browser.Page {
	r := httptest.NewRequest(http.MethodPost, f.Action, strings.NewReader(f.Fields.Encode()))
	for _, c := range b.Jar.Cookies(f.Action) {
		r.AddCookie(c)
	}
	for name, v := range map[string]string{
		"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html", "Origin": g.url(""),
		"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document",
	} {
		r.Header.Set(name, v)
	}
	w := node(r)
	return &browser.Page{Browser: b, URL: f.Action, Status: w.Code, Header: w.Header(), Body: w.Body.String()}
}

// A right recovery code from several sessions at once opens one of them (M6, I09).
func TestM06ARecoveryCodeInParallelIsGoodOnce(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	g := start(t, asked(t, "idp", op)+factorFlow, factorSite)
	secret, codes, _ := g.enrolled(t, op, clock, newBrowser(t))
	clock.Advance(time.Minute)
	for what, c := range map[string]string{"recovery": codes[7], "totp": code(t, secret, clock)} {
		var pages []*browser.Page
		for range flows.LimitFactor.Free { // more would wait
			p := g.open(newBrowser(t), g.url("/a"))
			if what == "recovery" {
				p = fill(t, p, "factor", what)
			}
			pages = append(pages, p)
		}
		var in atomic.Int64
		var wg sync.WaitGroup
		for _, p := range pages {
			wg.Go(func() {
				q, err := p.Fill("code", c)
				if err != nil {
					t.Error(err)
				} else if q.Path() == "/a" {
					in.Add(1)
				}
			})
		}
		wg.Wait()
		if in.Load() != 1 {
			t.Errorf("%s: one code let %d sessions in, want one", what, in.Load())
		}
	}
}

// M8: with the password proved and the code still asked for, nothing leads on but
// the code: not the application's address, another tab, the step before, a made-up
// step, nor the page in another browser.
func TestM08NothingLeadsAroundTheSecondFactor(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	site := "protect staff {\nheader X-Key {user.key}\npublic /open/*\n}\nreverse_proxy {APP}"
	g := start(t, asked(t, "idp", op)+people(t)+"factor totp\nfactor recovery\nflow staff {\nlogin idp corp\nmfa totp recovery\n}\n", site)
	mfaUser(op, "pwd", "mfa")
	choose := func(b *browser.Browser, provider string) *browser.Page {
		return fill(t, g.open(b, g.url("/a")), "provider", provider)
	}
	b := newBrowser(t)
	p := choose(b, "idp")
	secret := strings.ReplaceAll(manualKey.FindStringSubmatch(p.Body)[1], " ", "")
	p = fill(t, fill(t, p, "code", code(t, secret, clock)))
	landed(t, p, "/a", "idp:u-alice")
	mfaUser(op)
	clock.Advance(time.Minute)

	b = newBrowser(t)
	chooser := g.open(b, g.url("/a"))
	p = fill(t, chooser, "provider", "idp")
	for what, next := range map[string]func() *browser.Page{
		"the application's address": func() *browser.Page { return g.open(b, g.url("/a")) },
		"another tab":               func() *browser.Page { return choose(b, "idp") },
		"the step before":           func() *browser.Page { return fill(t, chooser, "provider", "idp") },
		"a made-up step":            func() *browser.Page { return fill(t, p, "step", "7", "code", code(t, secret, clock)) },
		"an older serial":           func() *browser.Page { return fill(t, p, "serial", "1", "code", code(t, secret, clock)) },
		"a factor that is not":      func() *browser.Page { return fill(t, p, "factor", "none") },
		"to be enrolled again":      func() *browser.Page { return fill(t, p, "code", "000000", "later", "1") },
	} {
		q := next()
		if q.Path() == "/a" || g.hasTicket(b) {
			t.Errorf("%s led to %s (%d), ticket %v\n%s", what, q.URL, q.Status, g.hasTicket(b), q.Text())
		}
	}
	other := newBrowser(t) // another browser has neither the run nor its token
	f, err := p.FormWith("code")
	if err != nil {
		t.Fatal(err)
	}
	f.Fields.Set("code", code(t, secret, clock))
	f.Page = &browser.Page{Browser: other, URL: p.URL}
	if q, err := f.Submit(); err != nil || q.Path() == "/a" || g.hasTicket(other) {
		t.Errorf("the page of one browser, sent by another: %v %v", q, err)
	}
	landed(t, fill(t, g.open(b, p.URL), "code", code(t, secret, clock)), "/a", "idp:u-alice")
}
