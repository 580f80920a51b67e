package module_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/adapters/idp/saml/samltest"
	"github.com/sallyport-gateway/sallyport/examples/browser"
)

const acsPath = "/.identity/saml/corp/acs"

// crossSitePost are the headers of a form that another site's page sent.
var crossSitePost = []string{
	"Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html", "Origin", "http://localhost:1",
	"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document",
}

func TestI10SAMLAnswerGrantsNothingItself(t *testing.T) {
	clock, idp := newClock(t), newIDP(t, 0)
	g, log := logged(t, samlBlock("corp", idp), whoSite)
	_, alice, _ := g.samlIn(idp, "alice")
	b := newBrowser(t)
	req := g.asksSAML(b, "/x?y=1")
	res := idp.Respond(req)
	form := res.Form().Encode()
	seen := map[string]bool{}
	post := func(more ...string) *browser.Page {
		return g.raw(http.MethodPost, acsPath, form, append(append([]string{}, crossSitePost...), more...)...)
	}
	// As browsers send it: no Lax cookies. And as nobody should: with all of them.
	for name, p := range map[string]*browser.Page{"plain": post(), "pending": post("Cookie", g.cookies(b)), "session": post("Cookie", alice)} {
		to := p.Header.Get("Location")
		if p.Status != http.StatusSeeOther || len(p.Header["Set-Cookie"]) != 0 || p.Header.Get("Cache-Control") != "no-store" || p.Header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: %d, %v", name, p.Status, p.Header)
		}
		if h, ok := strings.CutPrefix(to, g.url("/.identity/flow?h=")); !ok || len(h) != 26 || seen[h] {
			t.Errorf("%s: leads to %q", name, to)
		}
		seen[to] = true
	}
	if g.count("login") != 1 || g.count("session_changed") != 0 {
		t.Fatal("the POST itself did something")
	}
	t.Run("another browser", func(t *testing.T) {
		at := g.drops(b, idp, res)
		thief := newBrowser(t)
		p := g.send(thief, browser.Request{URL: at})
		if _, err := samltest.Parse(p.Header.Get("Location")); p.Status != http.StatusSeeOther || err != nil || g.hasTicket(thief) {
			t.Errorf("want a login of its own, got %d %q", p.Status, p.Header.Get("Location"))
		}
		// The handle is used up: the right browser begins anew.
		if p := g.send(b, browser.Request{URL: at}); p.Status != http.StatusSeeOther || g.granted(p) {
			t.Errorf("opened twice: %d", p.Status)
		}
		// Who is signed in as somebody goes home, as that person.
		at = g.drops(b, idp, res)
		p = g.get(strings.TrimPrefix(at, g.url("")), alice)
		if p.Status != http.StatusSeeOther || p.Header.Get("Location") != g.url("/") || len(p.Header["Set-Cookie"]) != 0 {
			t.Errorf("with a session: %d %v", p.Status, p.Header)
		}
	})
	t.Run("a prefetch takes nothing", func(t *testing.T) {
		at := g.drops(b, idp, res)
		want(t, g.raw(http.MethodGet, strings.TrimPrefix(at, g.url("")), "", "Cookie", g.cookies(b), "Sec-Purpose", "prefetch", "Accept", "text/html"), http.StatusUnauthorized)
		g.raw(http.MethodHead, strings.TrimPrefix(at, g.url("")), "", "Cookie", g.cookies(b), "Accept", "text/html")
		landed(t, g.takesUp(b, idp, at), "/x?y=1", "corp:alice")
		p := g.send(b, browser.Request{URL: at})
		if p.Status != http.StatusSeeOther || p.Header.Get("Location") != g.url("/") || g.granted(p) {
			t.Errorf("opened twice: %d %q", p.Status, p.Header.Get("Location"))
		}
	})
	t.Run("for a minute", func(t *testing.T) {
		b := newBrowser(t)
		res := idp.Respond(g.asksSAML(b, "/x"))
		at := g.drops(b, idp, res)
		clock.Advance(61 * time.Second)
		if p := g.send(b, browser.Request{URL: at}); p.Status != http.StatusSeeOther || g.granted(p) {
			t.Errorf("too late: %d, granted %v", p.Status, g.granted(p))
		}
	})
	for name, tc := range map[string]struct {
		body, typ, query string
		status           int
		reason           string
	}{
		"too large":      {"SAMLResponse=" + strings.Repeat("A", 256<<10), "", "", http.StatusRequestEntityTooLarge, "too_large"},
		"no form":        {"<xml/>", "text/xml", "", http.StatusUnsupportedMediaType, "invalid_answer"},
		"json":           {`{"SAMLResponse":"x"}`, "application/json", "", http.StatusUnsupportedMediaType, "invalid_answer"},
		"multipart":      {form, "multipart/form-data; boundary=x", "", http.StatusUnsupportedMediaType, "invalid_answer"},
		"query and form": {form, "", "?SAMLResponse=x", http.StatusBadRequest, "invalid_answer"},
		"broken":         {"SAMLResponse=%zz", "", "", http.StatusBadRequest, "invalid_answer"},
		"nothing":        {"a=b", "", "", http.StatusBadRequest, "invalid_answer"},
		"no message":     {"SAMLResponse=AAAA", "", "", http.StatusBadRequest, "invalid_answer"},
	} {
		t.Run(name, func(t *testing.T) {
			h := []string{"Accept", "application/json", "Content-Type", "application/x-www-form-urlencoded"}
			if tc.typ != "" {
				h[3] = tc.typ
			}
			denied := g.count("denied")
			p := g.raw(http.MethodPost, acsPath+tc.query, tc.body, h...)
			want(t, p, tc.status)
			if !p.Has(`"`+tc.reason+`"`) || !p.Has(`"id":"`) || len(p.Header["Set-Cookie"]) != 0 || g.count("denied") != denied {
				t.Errorf("%s %v", p.Body, p.Header)
			}
		})
	}
	t.Run("methods", func(t *testing.T) {
		p := g.raw(http.MethodGet, acsPath+"?SAMLResponse=secret-answer", "", "Accept", "text/html")
		if p.Status != http.StatusMethodNotAllowed || p.Header.Get("Allow") == "" || !p.Has("/.identity/login?return_to=%2F") {
			t.Errorf("a person there: %d %v\n%s", p.Status, p.Header, p.Text())
		}
		if p := g.get(acsPath, alice); p.Status != http.StatusSeeOther || p.Header.Get("Location") != g.url("/") {
			t.Errorf("a person who is signed in: %d %q", p.Status, p.Header.Get("Location"))
		}
		want(t, g.raw(http.MethodPut, acsPath, "x"), http.StatusMethodNotAllowed)
	})
	text := log()
	for at := range seen {
		if h := strings.TrimPrefix(at, g.url("/.identity/flow?h=")); len(h) == 26 && strings.Contains(text, h) {
			t.Errorf("the log holds a handle: %s", h)
		}
	}
	for _, secret := range []string{"secret-answer", res.Form().Get("SAMLResponse")[:60], "flow?h="} {
		if strings.Contains(text, secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

func TestFederationAddresses(t *testing.T) {
	idp, op := newIDP(t, 0), newOP(t)
	g := start(t, samlBlock("corp", idp)+asked(t, "entra", op), whoSite)
	p := g.raw(http.MethodGet, "/.identity/saml/corp/metadata", "")
	want(t, p, http.StatusOK)
	if !strings.Contains(p.Header.Get("Content-Type"), "samlmetadata+xml") || !p.Has(g.url(acsPath)) || !p.Has(g.url("/.identity/saml/corp/slo")) || p.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("metadata: %v\n%s", p.Header, p.Body)
	}
	head := g.raw(http.MethodHead, "/.identity/saml/corp/metadata", "")
	if head.Status != http.StatusOK || head.Body != "" || head.Header.Get("Content-Type") != p.Header.Get("Content-Type") {
		t.Errorf("HEAD: %d %v", head.Status, head.Header)
	}
	if p := g.raw(http.MethodPost, "/.identity/saml/corp/metadata", "x"); p.Status != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", p.Status)
	}
	for _, path := range []string{"/.identity/saml/corp/other", "/.identity/saml/corp/"} {
		want(t, g.raw(http.MethodGet, path, "", "Accept", "application/json"), http.StatusNotFound)
	}
	for _, path := range []string{
		"/.identity/saml/nobody/metadata", "/.identity/saml/nobody/acs", "/.identity/saml/entra/acs", "/.identity/oidc/entra/acs", "/.identity/oidc/entra/metadata",
		"/.identity/oidc/entra/slo", "/.identity/saml/corp", "/.identity/oidc/corp/metadata", "/.identity/callback/corp",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			if p := g.raw(method, path, "", "Accept", "application/json"); p.Status != http.StatusNotFound || !p.Has("no_such_page") {
				t.Errorf("%s %s: %d %s", method, path, p.Status, p.Body)
			}
		}
	}
}

// The answer of a tab whose login is gone leads home where somebody is signed in,
// and to one fresh login where nobody is (B06, B07).
func TestB06SAMLAnswerOfAnOldTab(t *testing.T) {
	idp := newIDP(t, 0)
	g := start(t, samlBlock("corp", idp), whoSite)
	b := newBrowser(t)
	first, second := idp.Respond(g.asksSAML(b, "/one")), idp.Respond(g.asksSAML(b, "/two"))
	landed(t, g.brings(b, idp, second), "/two", "corp:alice")
	landed(t, g.brings(b, idp, first), "/", "corp:alice")
	if n := g.count("login"); n != 1 {
		t.Errorf("%d logins", n)
	}
	// Without a session: once more, and then it works.
	b.Jar.Clear()
	p := g.send(b, browser.Request{URL: g.drops(b, idp, first)})
	again, err := samltest.Parse(p.Header.Get("Location"))
	if err != nil || p.Status != http.StatusSeeOther {
		t.Fatalf("no fresh login: %d %q", p.Status, p.Header.Get("Location"))
	}
	landed(t, g.brings(b, idp, idp.Respond(again)), "/", "corp:alice")
}

// A RelayState is short, and names nothing that a stranger could use.
func TestB06RelayStateIsShort(t *testing.T) {
	idp := newIDP(t, 0)
	g := start(t, samlBlock("corp", idp), whoSite)
	req := g.asksSAML(newBrowser(t), "/"+strings.Repeat("long/", 200))
	if len(req.RelayState) == 0 || len(req.RelayState) > 80 || strings.ContainsAny(req.RelayState, "/:%") {
		t.Errorf("RelayState %q", req.RelayState)
	}
}

func TestB18SAMLFlowChangedOnTheWay(t *testing.T) {
	idp := newIDP(t, 0)
	global := samlBlock("corp", idp) + "flow staff {\nlogin corp\n%}\n"
	g := start(t, strings.Replace(global, "%", "", 1), whoSite)
	b := newBrowser(t)
	res := idp.Respond(g.asksSAML(b, "/x"))
	if err := g.load(strings.Replace(global, "%", "set level `\"high\"`\n", 1), whoSite); err != nil {
		t.Fatal(err)
	}
	p := g.send(b, browser.Request{URL: g.drops(b, idp, res)})
	again, err := samltest.Parse(p.Header.Get("Location"))
	if err != nil || p.Status != http.StatusSeeOther {
		t.Fatalf("not once more: %d %q\n%s", p.Status, p.Header.Get("Location"), p.Text())
	}
	landed(t, g.brings(b, idp, idp.Respond(again)), "/x", "corp:alice")
}

// S6: one assertion, one login, also at another node of the cluster.
func TestS06ReplayAcrossNodes(t *testing.T) {
	idp := newIDP(t, 0)
	global := samlBlock("corp", idp) + watchedLine
	g := start(t, global, whoSite)
	node := g.secondNode(global, whoSite)
	b := newBrowser(t)
	res := idp.Respond(g.asksSAML(b, "/x"))
	before := g.cookies(b) // the login is still pending in this copy
	early := g.drops(b, idp, res)
	landed(t, g.brings(b, idp, res), "/x", "corp:alice")

	refused := func(what string, w *httptest.ResponseRecorder) {
		t.Helper()
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "used before") && !strings.Contains(w.Body.String(), "replayed") {
			t.Errorf("%s: %d\n%s", what, w.Code, w.Body)
		}
		for _, c := range w.Header()["Set-Cookie"] {
			t.Errorf("%s: %s", what, c)
		}
	}
	// The message again is refused before anything is written.
	r := httptest.NewRequest(http.MethodPost, g.url(acsPath), strings.NewReader(res.Form().Encode()))
	for i := 0; i < len(crossSitePost); i += 2 {
		r.Header.Set(crossSitePost[i], crossSitePost[i+1])
	}
	refused("at node 2", node(r))
	// What was taken before it was used up is refused at the end.
	refused("parked, at node 2", node(g.navigates(early, before)))
	if n := g.count("login"); n != 1 {
		t.Errorf("%d logins", n)
	}
	again := g.send(newBrowser(t), answers(b, idp, res))
	want(t, again, http.StatusBadRequest)
}

// S9: what one provider says is no answer to another's request.
func TestS09AnswerOfAnotherProvider(t *testing.T) {
	a, other := newIDP(t, 0), newIDP(t, 1)
	g := start(t, samlBlock("corp", a)+samlBlock("other", other), whoSite)
	b := newBrowser(t)
	req := g.asksSAML(b, "/.identity/login?provider=corp&return_to=/x")
	denied := g.count("login_denied")

	// At the address of the one that was asked, its signature is foreign.
	forged := other.Respond(req)
	want(t, g.send(b, answers(b, other, forged)), http.StatusBadRequest)
	forged.Issuer, forged.Assertion.Issuer = a.EntityID, a.EntityID
	want(t, g.send(b, answers(b, other, forged)), http.StatusBadRequest)

	// At its own address it is sound, and answers what nobody asked it.
	req.ACS, req.Issuer = g.url("/.identity/saml/other/acs"), g.url("/.identity/saml/other/metadata")
	p := g.brings(b, other, other.Respond(req))
	want(t, p, http.StatusBadRequest)
	e := g.lastDenied("login_denied", denied+1)
	if e["reason"] != "provider_mismatch" || !p.Has(e["id"].(string)) || g.hasTicket(b) {
		t.Errorf("event %v, session %v\n%s", e, g.hasTicket(b), p.Text())
	}
	// A login is not spoilt by it.
	req = samltest.Request{ID: req.ID, ACS: g.url(acsPath), Issuer: g.url("/.identity/saml/corp/metadata"), RelayState: req.RelayState}
	landed(t, g.brings(b, a, a.Respond(req)), "/x", "corp:alice")
}

// S14: what was granted on one host is nothing on another, and neither is an answer
// that waits there.
func TestS14SAMLStaysOnItsHost(t *testing.T) {
	idp := newIDP(t, 0)
	g := start(t, samlBlock("corp", idp), whoSite)
	elsewhere := func(address string) string {
		u, _ := url.Parse(address)
		return strings.Replace(g.url(u.RequestURI()), "127.0.0.1", "localhost", 1)
	}
	_, cookie, _ := g.samlIn(idp, "alice")
	p := g.raw(http.MethodGet, "/a", "", "Cookie", cookie, "Accept", "*/*", "Host", strings.TrimSuffix(strings.TrimPrefix(elsewhere("/"), "http://"), "/"))
	want(t, p, http.StatusUnauthorized)
	b := newBrowser(t)
	res := idp.Respond(g.asksSAML(b, "/x"))
	at := g.drops(b, idp, res)
	p = g.raw(http.MethodGet, strings.TrimPrefix(at, g.url("")), "", "Cookie", g.cookies(b), "Accept", "text/html", "Host", strings.TrimSuffix(strings.TrimPrefix(elsewhere("/"), "http://"), "/"))
	if g.granted(p) || !strings.Contains(p.Header.Get("Location"), idp.URL) {
		t.Errorf("taken up on another host: %d %v", p.Status, p.Header)
	}
}

// From OIDC to SAML are three more lines: both vouch at one gateway (B01).
func TestB01SAMLIsThreeMoreLines(t *testing.T) {
	idp, op := newIDP(t, 0), newOP(t)
	idp.Person = someone("carol")
	before := asked(t, "entra", op)
	more := "provider corp saml {\nmetadata " + idp.URL + "/metadata\n}\n"
	if n := strings.Count(more, "\n"); n != 3 {
		t.Errorf("%d lines", n)
	}
	g := start(t, before, whoSite)
	landed(t, g.open(newBrowser(t), g.url("/x")), "/x", "entra:u-alice")
	if err := g.load(before+more, whoSite); err != nil {
		t.Fatal(err)
	}
	landed(t, g.open(newBrowser(t), g.url("/.identity/login?provider=entra&return_to=/x")), "/x", "entra:u-alice")
	// A browser walks it: the chooser, the provider's page that posts itself, and back.
	b := newBrowser(t)
	p, err := g.open(b, g.url("/x")).Fill("provider", "corp")
	if err != nil {
		t.Fatal(err)
	}
	f, err := p.FormWith("SAMLResponse")
	if err != nil {
		t.Fatal(err)
	}
	if p, err = f.Submit(); err != nil {
		t.Fatal(err)
	}
	landed(t, p, "/x", "corp:carol")
	if got := header(p.Body, "X-User"); len(got) != 1 || got[0] != "carol" {
		t.Errorf("X-User %q", got)
	}
}
