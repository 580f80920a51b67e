package module_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/examples/browser"
)

func TestB06CallbackOfAnotherTab(t *testing.T) {
	clock := newClock(t)
	op := newOP(t)
	g := start(t, asked(t, "corp", op), whoSite)
	b := newBrowser(t)
	first, second := g.answer(g.away(b, "/a?tab=1")), g.answer(g.away(b, "/b?tab=2"))
	landed(t, g.open(b, second.String()), "/b?tab=2", "corp:u-alice")
	ticket := ticketOf(t, g, b).Value
	landed(t, g.open(b, first.String()), "/a?tab=1", "corp:u-alice")
	if n := op.Counts().Token; n != 1 {
		t.Errorf("%d codes were used, want 1: the first tab's login was not needed any more", n)
	}
	if ticketOf(t, g, b).Value != ticket || g.count("login") != 1 {
		t.Error("the first tab made a session of its own")
	}

	t.Run("expired", func(t *testing.T) {
		late := newBrowser(t)
		back := g.answer(g.away(late, "/c?d=e"))
		landed(t, g.open(late, g.url("/first")), "/first", "corp:u-alice")
		clock.Advance(11 * time.Minute)
		used := op.Counts().Token
		landed(t, g.open(late, back.String()), "/c?d=e", "corp:u-alice")
		if op.Counts().Token != used {
			t.Error("the code was used")
		}
	})
	t.Run("forged", func(t *testing.T) {
		used := op.Counts().Token
		for _, path := range []string{"/.identity/callback/corp?state=forged&code=x", "/.identity/callback/corp?state=" + strings.Repeat("A", 300) + "&code=x"} {
			landed(t, g.open(b, g.url(path)), "/", "corp:u-alice")
		}
		if op.Counts().Token != used {
			t.Error("a code was used")
		}
	})
	t.Run("state of another place", func(t *testing.T) {
		// A state of the same gateway, but of localhost: not ours here.
		p := g.raw(http.MethodGet, "/evil", "", "Accept", "text/html", "Host", strings.Replace(strings.TrimPrefix(g.url(""), "http://"), "127.0.0.1", "localhost", 1))
		to, _ := url.Parse(p.Header.Get("Location"))
		landed(t, g.open(b, g.url("/.identity/callback/corp?code=x&state="+url.QueryEscape(to.Query().Get("state")))), "/", "corp:u-alice")
	})
}

func TestB06BothTabsLandInEitherOrder(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "corp", op), whoSite)
	for _, order := range [][2]string{{"/a", "/b"}, {"/b", "/a"}} {
		b := newBrowser(t)
		backs := map[string]*url.URL{"/a": g.answer(g.away(b, "/a")), "/b": g.answer(g.away(b, "/b"))}
		for _, path := range order {
			landed(t, g.open(b, backs[path].String()), path, "corp:u-alice")
		}
	}
	// Both answers at once, each with the cookies from before: both land, and the
	// browser keeps the ticket of whichever came last.
	b := newBrowser(t)
	one, two := g.answer(g.away(b, "/a")), g.answer(g.away(b, "/b"))
	cookies := g.cookies(b)
	for path, back := range map[string]*url.URL{"/a": one, "/b": two} {
		p := g.raw(http.MethodGet, back.RequestURI(), "", "Accept", "text/html", "Cookie", cookies)
		if p.Status != http.StatusSeeOther || p.Header.Get("Location") != g.url(path) || !g.granted(p) {
			t.Errorf("%s: %d to %q", path, p.Status, p.Header.Get("Location"))
		}
		b.Jar.Set(one, (&http.Response{Header: p.Header}).Cookies())
	}
	landed(t, g.open(b, g.url("/a")), "/a", "corp:u-alice")
}

func TestB07ReplayOfAConsumedCallback(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "corp", op), whoSite)
	b := newBrowser(t)
	back := g.answer(g.away(b, "/a?x=1"))
	landed(t, g.open(b, back.String()), "/a?x=1", "corp:u-alice")
	used := op.Counts().Token
	landed(t, g.open(b, back.String()), "/a?x=1", "corp:u-alice") // the back button
	if op.Counts().Token != used {
		t.Error("the code was used again")
	}

	// Without a session: one fresh login, which the provider answers at once.
	fresh := newBrowser(t)
	landed(t, g.open(fresh, back.String()), "/a?x=1", "corp:u-alice")
	if n := op.Counts().Authorize; n != 2 {
		t.Errorf("the provider was asked %d times, want 2", n)
	}

	// A fresh login that is stale again ends at a page with a button.
	b = newBrowser(t)
	p := g.send(b, browser.Request{URL: back.String()})
	to, err := url.Parse(p.Header.Get("Location"))
	if err != nil || p.Status != http.StatusSeeOther || to.Path != "/authorize" {
		t.Fatalf("want a fresh login, got %d to %q", p.Status, p.Header.Get("Location"))
	}
	again := g.answer(to)
	b.Jar.Clear()
	u, _ := url.Parse(g.url("/"))
	b.Jar.Set(u, []*http.Cookie{{Name: "of-the-application", Value: "1", Path: "/"}}) // it does send cookies
	p = g.open(b, again.String())
	want(t, p, http.StatusBadRequest)
	if !p.Has("/.identity/login?return_to=%2Fa%3Fx%3D1") {
		t.Fatalf("no way on:\n%s", p.Body)
	}
	if p, err = p.Click("/.identity/login"); err != nil {
		t.Fatal(err)
	}
	landed(t, p, "/a?x=1", "corp:u-alice")

	// Not a navigation: no redirect, no login begun.
	for _, h := range [][2]string{{"Sec-Fetch-Mode", "cors"}, {"Sec-Purpose", "prefetch"}, {"Sec-Fetch-Dest", "image"}} {
		p = g.raw(http.MethodGet, back.RequestURI(), "", "Accept", "text/html", h[0], h[1])
		if p.Status < 400 || p.Status > 499 || len(p.Header["Set-Cookie"]) != 0 {
			t.Errorf("%v: %d, cookies %v", h, p.Status, p.Header["Set-Cookie"])
		}
	}
}

func TestB08BrowserWithoutCookies(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "corp", op), whoSite)
	b := newBrowser(t)
	b.Jar.Lost = true
	p := g.open(b, g.url("/a"))
	want(t, p, http.StatusForbidden)
	if n := op.Counts().Authorize; n < 1 || n > 4 {
		t.Errorf("stopped after %d logins", n)
	}
	if !p.Has("does not send our cookies back") {
		t.Errorf("the page does not name the cause:\n%s", p.Text())
	}
	last := g.events("login_denied", 2)[1] // behind that of the first callback without a cookie
	if last["reason"] != "login_loop" || !p.Has(last["id"].(string)) {
		t.Errorf("event: %v", last)
	}
	if op.Counts().Token != 0 || g.count("login") != 0 {
		t.Error("a code was used for a browser that could not keep the session")
	}
}

func TestB08OnlyTheSessionCookieGetsLost(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "corp", op), whoSite)
	b := newBrowser(t)
	// A load balancer, an extension or a too narrow cookie domain eats it.
	p := g.send(b, browser.Request{URL: g.url("/a")})
	for range 20 {
		next := p.Header.Get("Location")
		if next == "" {
			break
		}
		p = g.send(b, browser.Request{URL: next})
		if g.hasTicket(b) {
			u, _ := url.Parse(g.url("/"))
			b.Jar.Set(u, []*http.Cookie{{Name: ticketOf(t, g, b).Name, Path: "/", MaxAge: -1}})
		}
	}
	want(t, p, http.StatusForbidden)
	if n := op.Counts().Authorize; n < 3 || n > 4 {
		t.Errorf("stopped after %d logins, want 4", n)
	}
	if !p.Has("session cookie did not come back") {
		t.Errorf("the page does not name the cause:\n%s", p.Text())
	}
	// Whoever mended it gets in.
	landed(t, g.open(b, g.url("/a")), "/a", "corp:u-alice")
}

func TestB08LoggingInAndOutIsNoLoop(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "corp", op, "single_logout off"), whoSite)
	b := newBrowser(t)
	for range 6 {
		p := g.open(b, g.url("/a"))
		landed(t, p, "/a", "corp:u-alice")
		if _, err := b.Navigate(browser.Request{Method: http.MethodPost, URL: g.url("/.identity/logout"), From: p}); err != nil {
			t.Fatal(err)
		}
	}
}
