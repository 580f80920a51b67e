package module_test

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/adapters/idp/saml/samltest"
	"github.com/sallyport-gateway/sallyport/examples/browser"
)

const sloPath = "/.identity/saml/corp/slo"

// logoutAnswerOf reads the LogoutResponse of an address or a page, and its status.
func logoutAnswerOf(t *testing.T, p *browser.Page) (inResponseTo, status string) {
	t.Helper()
	text := ""
	if l := p.Header.Get("Location"); l != "" {
		u, err := url.Parse(l)
		if err != nil {
			t.Fatal(err)
		}
		if text, err = inflated(u.Query().Get("SAMLResponse")); err != nil || u.Query().Get("Signature") == "" {
			t.Fatalf("%q: %v", l, err)
		}
	} else {
		f, err := p.FormWith("SAMLResponse")
		if err != nil {
			t.Fatal(err)
		}
		if text, err = decoded(f.Fields.Get("SAMLResponse")); err != nil {
			t.Fatal(err)
		}
	}
	var m struct {
		XMLName      xml.Name `xml:"urn:oasis:names:tc:SAML:2.0:protocol LogoutResponse"`
		InResponseTo string   `xml:",attr"`
		Code         struct {
			Value string `xml:",attr"`
		} `xml:"Status>StatusCode"`
	}
	if err := xml.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return m.InResponseTo, m.Code.Value
}

func TestS11LogoutRequestOfTheProvider(t *testing.T) {
	idp, stranger := newIDP(t, 0), newIDP(t, 1)
	g := start(t, samlBlock("corp", idp)+"session {\nidle 12h\n}\n", whoSite)
	_, alice, _ := g.samlIn(idp, "alice")
	_, bob, _ := g.samlIn(idp, "bob")
	slo := g.url(sloPath)
	req := func() *samltest.Logout { return idp.LogoutRequest(slo, "alice", samltest.Persistent) }
	get := func(query string, more ...string) *browser.Page {
		return g.raw(http.MethodGet, sloPath+"?"+query, "", append([]string{"Accept", "text/html", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, more...)...)
	}
	post := func(v url.Values, more ...string) *browser.Page {
		return g.raw(http.MethodPost, sloPath, v.Encode(), append(append([]string{}, crossSitePost...), more...)...)
	}
	other := &samltest.Signing{Pair: stranger.Pair}
	moved, late := req(), req()
	moved.Destination, late.IssueInstant = "https://elsewhere.example/slo", "2020-01-01T00:00:00Z"
	foreign := stranger.LogoutRequest(slo, "alice", samltest.Persistent)
	tampered := strings.Replace(req().Redirect(idp.Signing()), "SAMLRequest=", "SAMLRequest=A", 1)
	for name, p := range map[string]func() *browser.Page{
		"unsigned, GET":              func() *browser.Page { return get(req().Redirect(nil)) },
		"unsigned, POST":             func() *browser.Page { return post(req().Post(nil)) },
		"another key, GET":           func() *browser.Page { return get(req().Redirect(other)) },
		"another key, POST":          func() *browser.Page { return post(req().Post(other)) },
		"another provider's, GET":    func() *browser.Page { return get(foreign.Redirect(other)) },
		"another destination":        func() *browser.Page { return post(moved.Post(idp.Signing())) },
		"old":                        func() *browser.Page { return get(late.Redirect(idp.Signing())) },
		"tampered":                   func() *browser.Page { return get(tampered) },
		"twice":                      func() *browser.Page { s := req().Redirect(idp.Signing()); return get(s + "&" + s) },
		"nothing":                    func() *browser.Page { return get("") },
		"broken query":               func() *browser.Page { return get("SAMLRequest=%zz") },
		"too large":                  func() *browser.Page { return post(url.Values{"SAMLRequest": {strings.Repeat("A", 256<<10)}}) },
		"no form":                    func() *browser.Page { return g.raw(http.MethodPost, sloPath, "<x/>", "Content-Type", "text/xml") },
		"unsigned with her cookies":  func() *browser.Page { return get(req().Redirect(nil), "Cookie", alice) },
		"a sign-in as a logout":      func() *browser.Page { return post(idp.Initiate(slo, g.url("/.identity/saml/corp/metadata")).Form()) },
		"an answer to no request":    func() *browser.Page { return get(idp.LogoutResponse(slo, "_x").Redirect(idp.Signing())) },
		"an answer that is unsigned": func() *browser.Page { return get(idp.LogoutResponse(slo, "_x").Redirect(nil), "Cookie", alice) },
	} {
		t.Run(name, func(t *testing.T) {
			denied, ended := g.count("denied"), g.count("session_ended")
			a := p()
			if a.Status < 400 || a.Status > 499 || len(a.Header["Set-Cookie"]) != 0 || a.Header.Get("Location") != "" {
				t.Errorf("want a refusal, got %d %v", a.Status, a.Header)
			}
			want(t, g.get("/a", alice), http.StatusOK)
			want(t, g.get("/a", bob), http.StatusOK)
			if g.count("denied") != denied || g.count("session_ended") != ended {
				t.Error("a stranger wrote into the trail")
			}
		})
	}
	for _, method := range []string{http.MethodHead, http.MethodPut} {
		if p := g.raw(method, sloPath, ""); p.Header.Get("Allow") != "GET, POST" {
			t.Errorf("%s: %d %q", method, p.Status, p.Header.Get("Allow"))
		}
	}
	answered := func(t *testing.T, p *browser.Page, id, status string) {
		t.Helper()
		to, code := logoutAnswerOf(t, p)
		if to != id || code != status {
			t.Errorf("answered %q with %q, want %q with %q", to, code, id, status)
		}
		if to := p.Header.Get("Location"); to != "" && !strings.HasPrefix(to, idp.URL+"/slo?") {
			t.Errorf("leads to %q", to)
		}
	}
	t.Run("redirect", func(t *testing.T) {
		r := req()
		r.RelayState = "theirs"
		query := r.Redirect(idp.Signing())
		// Bob's browser brings it, with his cookie: his session is not meant.
		p := get(query, "Cookie", bob)
		answered(t, p, r.ID, samltest.Success)
		if len(p.Header["Set-Cookie"]) != 0 || !strings.Contains(p.Header.Get("Location"), "RelayState=theirs") {
			t.Errorf("%v", p.Header)
		}
		want(t, g.raw(http.MethodGet, "/a", "", "Cookie", alice, "Accept", "*/*"), http.StatusUnauthorized)
		want(t, g.get("/a", bob), http.StatusOK)
		e := g.events("session_ended", 1)
		if last := e[len(e)-1]; last["user"] != "corp:alice" || last["reason"] != "revoked" {
			t.Errorf("event %v", last)
		}
		// The same message a second time ends nothing.
		_, alice, _ = g.samlIn(idp, "alice")
		want(t, get(query), http.StatusBadRequest)
		want(t, g.get("/a", alice), http.StatusOK)
	})
	t.Run("post, with the cookies of the same site", func(t *testing.T) {
		r := req()
		p := post(r.Post(idp.Signing()), "Cookie", alice)
		answered(t, p, r.ID, samltest.Success)
		// The provider may have loaded us in a frame, and nobody else.
		if csp := p.Header.Get("Content-Security-Policy"); !strings.HasSuffix(csp, "; frame-ancestors "+idp.URL) || p.Header.Get("X-Frame-Options") != "" {
			t.Errorf("framing: %q %q", csp, p.Header.Get("X-Frame-Options"))
		}
		if c := strings.Join(p.Header["Set-Cookie"], "\n"); !strings.Contains(c, fmt.Sprintf("sallyport-%d=;", g.port)) {
			t.Errorf("the browser keeps its cookie: %s", c)
		}
		want(t, g.get("/a", alice), http.StatusSeeOther)
	})
	t.Run("by session index", func(t *testing.T) {
		_, one, res := g.samlIn(idp, "alice")
		_, two, _ := g.samlIn(idp, "alice")
		r := idp.LogoutRequest(slo, "alice", samltest.Persistent, res.Assertion.SessionIndex)
		answered(t, post(r.Post(idp.Signing())), r.ID, samltest.Success)
		want(t, g.get("/a", one), http.StatusSeeOther)
		want(t, g.get("/a", two), http.StatusOK)
	})
	t.Run("nobody is signed in", func(t *testing.T) {
		r := idp.LogoutRequest(slo, "carol", samltest.Persistent)
		answered(t, get(r.Redirect(idp.Signing())), r.ID, samltest.Success)
	})
}

// A login that is under way when the provider ends it makes no session (I15).
func TestI15SAMLLogoutDuringALogin(t *testing.T) {
	clock, idp := newClock(t), newIDP(t, 0)
	g := start(t, samlBlock("corp", idp), whoSite)
	b := newBrowser(t)
	idp.Person = someone("alice")
	at := g.drops(b, idp, idp.Respond(g.asksSAML(b, "/a")))
	clock.Advance(time.Second)
	r := idp.LogoutRequest(g.url(sloPath), "alice", samltest.Persistent)
	want(t, g.raw(http.MethodGet, sloPath+"?"+r.Redirect(idp.Signing()), ""), http.StatusSeeOther)
	clock.Advance(time.Second)
	p := g.takesUp(b, idp, at)
	if p.Status != http.StatusForbidden || g.hasTicket(b) {
		t.Errorf("%d, session %v\n%s", p.Status, g.hasTicket(b), p.Text())
	}
	g.samlIn(idp, "alice") // a later login is a new one
}

// S11: seen on every node within a second.
func TestS11LogoutOnASecondNode(t *testing.T) {
	idp := newIDP(t, 0)
	global := samlBlock("corp", idp) + watchedLine
	g := start(t, global, whoSite)
	node := g.secondNode(global, whoSite)
	_, cookie, _ := g.samlIn(idp, "alice")
	if w := node(g.navigates("/a", cookie)); w.Code != http.StatusOK {
		t.Fatalf("the second node: %d", w.Code)
	}
	r := idp.LogoutRequest(g.url(sloPath), "alice", samltest.Persistent)
	want(t, g.raw(http.MethodGet, sloPath+"?"+r.Redirect(idp.Signing()), ""), http.StatusSeeOther)
	until(t, "the second node knows", func() bool { return node(g.navigates("/a", cookie)).Code == http.StatusSeeOther })
	// And the other way round: the second node is told, the first one knows.
	_, cookie, _ = g.samlIn(idp, "alice")
	r = idp.LogoutRequest(g.url(sloPath), "alice", samltest.Persistent)
	if w := node(httptest.NewRequest(http.MethodGet, g.url(sloPath)+"?"+r.Redirect(idp.Signing()), nil)); w.Code != http.StatusSeeOther {
		t.Fatalf("the second node: %d\n%s", w.Code, w.Body)
	}
	until(t, "the first node knows", func() bool { return g.get("/a", cookie).Status == http.StatusSeeOther })
}

// B14: our own logout ends here first, then at the provider, and ends on the
// signed-out page whatever the provider says.
func TestB14SAMLLogoutEndsItAtTheProviderToo(t *testing.T) {
	idp := newIDP(t, 0)
	g := start(t, samlBlock("corp", idp, "title \"Corp SSO\""), whoSite)
	out := func() (*browser.Browser, string, *samltest.Logout) {
		t.Helper()
		b, cookie, res := g.samlIn(idp, "alice")
		p := g.leave(b)
		to, err := url.Parse(p.Header.Get("Location"))
		if err != nil || p.Status != http.StatusSeeOther || !strings.HasPrefix(to.String(), idp.URL+"/slo?") {
			t.Fatalf("no way to the provider: %d %q", p.Status, p.Header.Get("Location"))
		}
		want(t, g.get("/a", cookie), http.StatusSeeOther) // dead before the provider hears of it
		text, err := inflated(to.Query().Get("SAMLRequest"))
		if err != nil || !strings.Contains(text, "LogoutRequest") || !strings.Contains(text, res.Assertion.SessionIndex) || to.Query().Get("Signature") == "" {
			t.Fatalf("%v: %s", err, text)
		}
		req, err := samltest.Parse(to.String())
		if err != nil {
			t.Fatal(err)
		}
		answer := idp.LogoutResponse(g.url(sloPath), req.ID)
		answer.RelayState = req.RelayState
		return b, cookie, answer
	}
	comes := func(b *browser.Browser, r browser.Request) *browser.Page {
		r.From = &browser.Page{Browser: b, URL: idp.URL + "/slo"}
		p, err := b.Navigate(r)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for name, tc := range map[string]struct {
		status string
		post   bool
		still  bool
	}{
		"success, redirect": {samltest.Success, false, false},
		"success, post":     {samltest.Success, true, false},
		"failure, redirect": {"urn:oasis:names:tc:SAML:2.0:status:Responder", false, true},
		"failure, post":     {"urn:oasis:names:tc:SAML:2.0:status:Responder", true, true},
	} {
		t.Run(name, func(t *testing.T) {
			b, _, answer := out()
			answer.Status = tc.status
			r := browser.Request{URL: g.url(sloPath) + "?" + answer.Redirect(idp.Signing())}
			if tc.post {
				r = posted(b, idp, g.url(sloPath), answer.Post(idp.Signing()))
			}
			denied := g.count("denied")
			p := comes(b, r)
			want(t, p, http.StatusOK)
			if !p.Has("signed out") || strings.Contains(p.Text(), "still be signed in at Corp SSO") != tc.still || g.hasTicket(b) || g.count("denied") != denied {
				t.Errorf("%s:\n%s", p.URL, p.Text())
			}
			if n := len(idp.Requests()); n != 0 && !tc.still {
				t.Errorf("signed in again by itself: %d requests", n)
			}
		})
	}
	t.Run("signed in again meanwhile", func(t *testing.T) {
		b, _, answer := out()
		idp.Person = someone("alice")
		landed(t, g.brings(b, idp, idp.Respond(g.asksSAML(b, "/a"))), "/a", "corp:alice")
		p := comes(b, browser.Request{URL: g.url(sloPath) + "?" + answer.Redirect(idp.Signing())})
		want(t, p, http.StatusOK)
		if !g.hasTicket(b) {
			t.Error("the new session was ended by the answer to the old one's logout")
		}
	})
	t.Run("switched off", func(t *testing.T) {
		b, _, _ := g.samlIn(idp, "alice")
		if err := g.load(samlBlock("corp", idp, "title \"Corp SSO\"", "single_logout off"), whoSite); err != nil {
			t.Fatal(err)
		}
		b.Close() // its connection is the old config's
		p := g.leave(b)
		want(t, p, http.StatusOK)
		if !p.Has("signed out") {
			t.Errorf("%s", p.Text())
		}
	})
}
