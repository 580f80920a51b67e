package module_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/adapters/idp/saml/samltest"
	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// unasked is a login that the identity provider begins by itself.
func (g *gateway) unasked(i *samltest.IDP, id, relayState string) *samltest.Response {
	i.Person = someone(id)
	res := i.Initiate(g.url(acsPath), g.url("/.identity/saml/corp/metadata"))
	res.RelayState = relayState
	return res
}

// asksFirst brings an unasked answer to where the person is asked.
func (g *gateway) asksFirst(b *browser.Browser, i *samltest.IDP, res *samltest.Response) *browser.Page {
	g.t.Helper()
	p := g.brings(b, i, res)
	if p.Status != http.StatusOK || p.URL != g.url("/.identity/flow?arrived") || g.hasTicket(b) {
		g.t.Fatalf("want the page that asks, got %d at %s\n%s", p.Status, p.URL, p.Text())
	}
	return p
}

func TestS08LoginCSRF(t *testing.T) {
	clock, idp := newClock(t), newIDP(t, 0)
	on := samlBlock("corp", idp, "idp_initiated on", "title \"Corp SSO\"")
	g, log := logged(t, on, whoSite)

	t.Run("switched off", func(t *testing.T) {
		if err := g.load(samlBlock("corp", idp), whoSite); err != nil {
			t.Fatal(err)
		}
		b := newBrowser(t)
		want(t, g.send(b, answers(b, idp, g.unasked(idp, "mallory", ""))), http.StatusBadRequest)
		if err := g.load(on, whoSite); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("nobody is signed in without a word", func(t *testing.T) {
		victim := newBrowser(t)
		p := g.asksFirst(victim, idp, g.unasked(idp, "mallory", ""))
		if !p.Has("Continue as mallory at Corp SSO?") || g.hasTicket(victim) || g.count("login") != 0 {
			t.Errorf("%s", p.Text())
		}
		f, err := p.FormWith("token")
		if err != nil {
			t.Fatal(err)
		}
		// The attacker's page cannot press the button, nor guess the token.
		cookies := g.cookies(victim)
		for name, tc := range map[string]struct {
			body string
			h    []string
		}{
			"another site":  {f.Fields.Encode(), []string{"Sec-Fetch-Site", "cross-site", "Origin", idp.URL}},
			"same site":     {f.Fields.Encode(), []string{"Sec-Fetch-Site", "same-site"}},
			"no origin":     {f.Fields.Encode(), nil},
			"null origin":   {f.Fields.Encode(), []string{"Origin", "null"}},
			"no token":      {"", []string{"Sec-Fetch-Site", "same-origin"}},
			"another token": {"token=AAAAAAAAAAAAAAAAAAAAAAAAAA", []string{"Sec-Fetch-Site", "same-origin"}},
		} {
			a := g.raw(http.MethodPost, "/.identity/flow?arrived", tc.body, append(tc.h, "Cookie", cookies, "Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html")...)
			if a.Status != http.StatusForbidden || g.granted(a) {
				t.Errorf("%s: %d", name, a.Status)
			}
		}
		// Another browser has nothing to go on with, whatever it knows.
		other := newBrowser(t)
		a := g.send(other, browser.Request{Method: http.MethodPost, URL: f.Action, Body: f.Fields.Encode(), From: &browser.Page{Browser: other, URL: g.url("/")}, Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}})
		if g.granted(a) || g.hasTicket(other) {
			t.Errorf("another browser: %d", a.Status)
		}
		want(t, g.send(victim, browser.Request{URL: p.URL}), http.StatusOK) // it can be loaded again
	})
	t.Run("pressed", func(t *testing.T) {
		b := newBrowser(t)
		p := g.asksFirst(b, idp, g.unasked(idp, "alice", ""))
		f, err := p.FormWith("token")
		if err != nil {
			t.Fatal(err)
		}
		in, err := f.Submit()
		if err != nil {
			t.Fatal(err)
		}
		landed(t, in, "/", "corp:alice")
		in, err = f.Submit() // pressed twice
		if err != nil {
			t.Fatal(err)
		}
		landed(t, in, "/", "corp:alice")
		if n := g.count("login"); n != 1 {
			t.Errorf("%d logins", n)
		}
	})
	t.Run("somebody else is signed in", func(t *testing.T) {
		b, cookie, _ := g.samlIn(idp, "bob")
		p := g.brings(b, idp, g.unasked(idp, "mallory", ""))
		want(t, p, http.StatusForbidden)
		if _, err := p.FormWith("token"); err == nil || !p.Has("bob") || !p.Has("mallory") || !p.Has("/.identity/logout") || !p.Has("Somebody else is signed in") {
			t.Errorf("%s", p.Body)
		}
		want(t, g.get("/a", cookie), http.StatusOK)
		if c := ticketOf(t, g, b); c.Name+"="+c.Value != cookie {
			t.Error("the ticket changed")
		}
		// Also when the page was loaded before.
		b2 := newBrowser(t)
		f, err := g.asksFirst(b2, idp, g.unasked(idp, "mallory", "")).FormWith("token")
		if err != nil {
			t.Fatal(err)
		}
		idp.Person = someone("bob")
		landed(t, g.brings(b2, idp, idp.Respond(g.asksSAML(b2, "/a"))), "/a", "corp:bob")
		again, err := f.Submit()
		if err != nil {
			t.Fatal(err)
		}
		want(t, again, http.StatusForbidden)
		landed(t, g.open(b2, g.url("/a")), "/a", "corp:bob")
	})
	t.Run("the same person", func(t *testing.T) {
		b, cookie, _ := g.samlIn(idp, "carol")
		changed := g.count("session_changed")
		p := g.brings(b, idp, g.unasked(idp, "carol", ""))
		f, err := p.FormWith("token")
		if err != nil {
			t.Fatal(err)
		}
		in, err := f.Submit()
		if err != nil {
			t.Fatal(err)
		}
		landed(t, in, "/", "corp:carol")
		if c := ticketOf(t, g, b); c.Name+"="+c.Value == cookie || g.count("session_changed") != changed+1 {
			t.Errorf("ticket kept %v, %d changes", c.Name+"="+c.Value == cookie, g.count("session_changed")-changed)
		}
	})
	t.Run("for five minutes", func(t *testing.T) {
		b := newBrowser(t)
		f, err := g.asksFirst(b, idp, g.unasked(idp, "alice", "")).FormWith("token")
		if err != nil {
			t.Fatal(err)
		}
		clock.Advance(5*time.Minute + time.Second)
		p := g.send(b, browser.Request{Method: http.MethodPost, URL: f.Action, Body: f.Fields.Encode(), From: f.Page, Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}})
		if g.granted(p) {
			t.Errorf("%d", p.Status)
		}
	})
	t.Run("once", func(t *testing.T) {
		b := newBrowser(t)
		res := g.unasked(idp, "dave", "")
		early := g.drops(b, idp, res)
		f, err := g.asksFirst(b, idp, res).FormWith("token")
		if err != nil {
			t.Fatal(err)
		}
		in, err := f.Submit()
		if err != nil {
			t.Fatal(err)
		}
		landed(t, in, "/", "corp:dave")
		want(t, g.send(newBrowser(t), answers(b, idp, res)), http.StatusBadRequest)
		thief := newBrowser(t)
		p := g.takesUp(thief, idp, early) // it waited before it was used
		if f, err = p.FormWith("token"); err != nil {
			t.Fatal(err)
		}
		if p, err = f.Submit(); err != nil || p.Status != http.StatusBadRequest || g.hasTicket(thief) {
			t.Errorf("twice: %v %d", err, p.Status)
		}
	})
	if text := log(); strings.Contains(text, "flow?h=") {
		t.Error("the log holds a handle")
	}
}

// I02: what a provider begins is for a flow that asks this provider.
func TestI02UnaskedAnswerForAnotherFlow(t *testing.T) {
	idp, other := newIDP(t, 0), newIDP(t, 1)
	g := start(t, samlBlock("corp", idp, "idp_initiated on")+samlBlock("other", other)+"flow staff {\nlogin other\n}\n", whoSite)
	b := newBrowser(t)
	f, err := g.asksFirst(b, idp, g.unasked(idp, "alice", "")).FormWith("token")
	if err != nil {
		t.Fatal(err)
	}
	p, err := f.Submit()
	if err != nil {
		t.Fatal(err)
	}
	want(t, p, http.StatusForbidden)
	if e := g.lastDenied("login_denied", 1); e["reason"] != "provider_mismatch" || g.hasTicket(b) || !p.Has(e["id"].(string)) {
		t.Errorf("event %v\n%s", e, p.Text())
	}
}

// S8: no RelayState is ever followed, asked for or not.
func TestS08RelayStateLeadsNowhere(t *testing.T) {
	idp := newIDP(t, 0)
	g := start(t, samlBlock("corp", idp, "idp_initiated on"), whoSite)
	base := g.landing("/.identity/flow")
	_, alice, _ := g.samlIn(idp, "alice")
	for i, a := range addresses(t, strings.TrimPrefix(base.host, "http://")) {
		if i%3 != 0 {
			continue // each is a signature
		}
		res := g.unasked(idp, "alice", a.text)
		asked := i%2 == 0
		if asked {
			res.InResponseTo, res.Assertion.InResponseTo = "_a-request-of-somebody", "_a-request-of-somebody"
		}
		p := g.raw(http.MethodPost, acsPath, res.Form().Encode(), crossSitePost...)
		at := p.Header.Get("Location")
		if p.Status != http.StatusSeeOther || !strings.HasPrefix(at, g.url("/.identity/flow?h=")) || len(at) != len(g.url("/.identity/flow?h="))+26 {
			t.Fatalf("%q: %d %q", a.text, p.Status, at)
		}
		p = g.raw(http.MethodGet, strings.TrimPrefix(at, g.url("")), "", "Accept", "text/html", "Cookie", alice)
		if to := p.Header.Get("Location"); p.Status != http.StatusSeeOther || asked && to != g.url("/") || !asked && to != g.url("/.identity/flow?arrived") {
			t.Errorf("%q: %d %q", a.text, p.Status, to)
		}
		if i%33 != 0 || asked {
			continue
		}
		b := newBrowser(t)
		f, err := g.asksFirst(b, idp, g.unasked(idp, "alice", a.text)).FormWith("token")
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range links(f.Page.Body) {
			if l != "data:," && browse(base, l).host != base.host {
				t.Errorf("%q: the page leads to %q", a.text, l)
			}
		}
		in, err := f.Submit()
		if err != nil {
			t.Fatal(err)
		}
		landed(t, in, "/", "corp:alice")
	}
	// Not even to ourselves.
	b := newBrowser(t)
	res := idp.Respond(g.asksSAML(b, "/x"))
	res.RelayState = g.url("/.identity/logout")
	p := g.send(b, browser.Request{URL: g.drops(b, idp, res)})
	if to, err := url.Parse(p.Header.Get("Location")); err == nil && to.Path == "/.identity/logout" || g.granted(p) {
		t.Errorf("%d %q", p.Status, p.Header.Get("Location"))
	}
}
