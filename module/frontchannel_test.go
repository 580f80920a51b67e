package module_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// frame is an iframe on another site, as browsers load it: without Lax cookies.
var frame = []string{"Accept", "text/html", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}

func framed(provider string, pairs ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		q.Add(pairs[i], pairs[i+1])
	}
	return "/.identity/frontchannel-logout/" + provider + "?" + q.Encode()
}

// signedInAs is a session of somebody whose sid at the provider is sid-<sub>.
func (g *gateway) signedInAs(op *oidctest.OP, sub string) string {
	g.t.Helper()
	op.SetUser(person(sub, sub))
	b := newBrowser(g.t)
	landed(g.t, g.open(b, g.url("/a")), "/a", "corp:"+sub)
	c := ticketOf(g.t, g, b)
	return c.Name + "=" + c.Value
}

// OpenID Connect Front-Channel Logout 1.0: who knows the sid ends that login,
// and nobody ends anything else.
func TestO7FrontChannelLogout(t *testing.T) {
	op, silent := newOP(t), newOP(t)
	silent.SetBehaviour(oidctest.Mode{Discovery: func(_ *oidctest.OP, d map[string]any) { delete(d, "frontchannel_logout_supported") }})
	g := start(t, asked(t, "corp", op)+asked(t, "silent", silent, "hidden"), whoSite)
	alice, bob, short := g.signedInAs(op, "alice-0123456789"), g.signedInAs(op, "bob-0123456789ab"), g.signedInAs(op, "carol")
	const sid = "sid-alice-0123456789"

	refused := func(t *testing.T, p *browser.Page) {
		t.Helper()
		want(t, p, http.StatusBadRequest)
		if p.Header.Get("Cache-Control") != "no-store" || len(p.Header["Set-Cookie"]) != 0 {
			t.Errorf("answer: %v", p.Header)
		}
		for who, c := range map[string]string{"alice": alice, "bob": bob, "carol": short} {
			if s := g.get("/a", c); s.Status != http.StatusOK {
				t.Fatalf("the session of %s ended: %d", who, s.Status)
			}
		}
	}
	for name, path := range map[string]string{
		"nothing":              framed("corp"),
		"no sid":               framed("corp", "iss", op.Issuer),
		"no iss":               framed("corp", "sid", sid),
		"empty sid":            framed("corp", "iss", op.Issuer, "sid", ""),
		"another issuer":       framed("corp", "iss", silent.Issuer, "sid", sid),
		"issuer and a slash":   framed("corp", "iss", op.Issuer+"/", "sid", sid),
		"unknown sid":          framed("corp", "iss", op.Issuer, "sid", "sid-mallory-0123456789"),
		"sid of other case":    framed("corp", "iss", op.Issuer, "sid", strings.ToUpper(sid)),
		"part of a sid":        framed("corp", "iss", op.Issuer, "sid", sid[:16]),
		"guessable sid":        framed("corp", "iss", op.Issuer, "sid", "sid-carol"),
		"long sid":             framed("corp", "iss", op.Issuer, "sid", strings.Repeat("x", 256)),
		"sid twice":            framed("corp", "iss", op.Issuer, "sid", sid, "sid", sid),
		"iss twice":            framed("corp", "iss", op.Issuer, "iss", op.Issuer, "sid", sid),
		"broken query":         framed("corp", "iss", op.Issuer, "sid", sid) + "&x=%zz",
		"no such provider":     framed("nobody", "iss", op.Issuer, "sid", sid),
		"not its provider":     framed("silent", "iss", silent.Issuer, "sid", sid),
		"sub instead of sid":   framed("corp", "iss", op.Issuer, "sub", "alice-0123456789"),
		"in the fragment only": framed("corp", "iss", op.Issuer) + "#sid=" + sid,
	} {
		t.Run(name, func(t *testing.T) { refused(t, g.raw(http.MethodGet, path, "", frame...)) })
	}
	good := framed("corp", "iss", op.Issuer, "sid", sid)
	t.Run("other ways", func(t *testing.T) {
		refused(t, g.raw(http.MethodGet, good, "", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"))
		refused(t, g.raw(http.MethodGet, good, "", append([]string{"Sec-Purpose", "prefetch"}, frame...)...))
		for _, method := range []string{http.MethodHead, http.MethodPost, http.MethodDelete} {
			if p := g.raw(method, good, "", frame...); p.Header.Get("Allow") != http.MethodGet {
				t.Errorf("%s: %d, Allow %q", method, p.Status, p.Header.Get("Allow"))
			}
		}
		want(t, g.get("/a", alice), http.StatusOK)
	})
	// Bob's browser brings his cookie, as it does from a page of the same site; it chooses nothing.
	t.Run("good", func(t *testing.T) {
		p := g.raw(http.MethodGet, good, "", append([]string{"Cookie", bob}, frame...)...)
		want(t, p, http.StatusOK)
		csp := p.Header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "frame-ancestors "+op.Issuer) || strings.Count(csp, "http") != 1 || p.Header.Get("X-Frame-Options") != "" {
			t.Errorf("framed by others than the provider, or not by it: %q %q", csp, p.Header.Get("X-Frame-Options"))
		}
		if p.Header.Get("Cache-Control") != "no-store" || !strings.HasPrefix(p.Header.Get("Content-Type"), "text/html") || len(p.Header["Set-Cookie"]) != 0 || len(p.Body) > 500 {
			t.Errorf("answer: %v\n%s", p.Header, p.Body)
		}
		want(t, g.get("/a", alice), http.StatusSeeOther)
		want(t, g.get("/a", bob), http.StatusOK)
		want(t, g.get("/a", short), http.StatusOK)
		if e := g.events("session_ended", 1)[0]; e["user"] != "corp:alice-0123456789" || e["reason"] != "revoked" {
			t.Errorf("event: %v", e)
		}
		// The provider's frame may load again, or after our own logout.
		want(t, g.raw(http.MethodGet, good, "", frame...), http.StatusOK)
	})
	t.Run("a new login under the same sid is a new session", func(t *testing.T) {
		alice = g.signedInAs(op, "alice-0123456789")
		want(t, g.get("/a", alice), http.StatusOK)
	})
}

// A provider that was renamed still finds the sessions from before.
func TestI05FrontChannelLogoutOfARenamedProvider(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "corp", op), whoSite)
	alice := g.signedInAs(op, "alice-0123456789")
	if err := g.load(asked(t, "entra", op, "formerly corp"), whoSite); err != nil {
		t.Fatal(err)
	}
	want(t, g.get("/a", alice), http.StatusOK)
	want(t, g.raw(http.MethodGet, framed("entra", "iss", op.Issuer, "sid", "sid-alice-0123456789"), "", frame...), http.StatusOK)
	want(t, g.get("/a", alice), http.StatusSeeOther)
}

// The way back from the provider's logout carries the state it left with; what
// it carries ends nothing and signs nobody in (OIDC RP-Initiated Logout 1.0 §3).
func TestB14StateOfALogoutComesBack(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "corp", op), whoSite)
	out := func() (*browser.Browser, *url.URL) {
		b := newBrowser(t)
		landed(t, g.open(b, g.url("/a")), "/a", "corp:u-alice")
		p := g.leave(b)
		to, err := url.Parse(p.Header.Get("Location"))
		if err != nil || to.Path != "/end" {
			t.Fatalf("no way to the provider: %d %q", p.Status, p.Header.Get("Location"))
		}
		return b, g.answer(to)
	}
	crossSite := http.Header{"Sec-Fetch-Site": {"cross-site"}}
	t.Run("as it left", func(t *testing.T) {
		b, back := out()
		denied := g.count("denied")
		p := g.send(b, browser.Request{URL: back.String(), Header: crossSite})
		want(t, p, http.StatusOK)
		if !p.Has("igned out") || g.count("denied") != denied {
			t.Errorf("page:\n%s", p.Text())
		}
		// Once: the same address a second time proves nothing more, and does no harm.
		want(t, g.send(b, browser.Request{URL: back.String(), Header: crossSite}), http.StatusOK)
	})
	for name, state := range map[string]string{"other": "AAAAAAAAAAAAAAAAAAAAAAAAAA", "none": "", "a script": "<script>alert(1)</script>"} {
		t.Run("state: "+name, func(t *testing.T) {
			b, back := out()
			denied, asked := g.count("denied"), op.Counts().Authorize
			p := g.send(b, browser.Request{URL: with(back, "state", state), Header: crossSite})
			want(t, p, http.StatusOK)
			if !p.Has("igned out") || p.Has("<script>") || g.hasTicket(b) || op.Counts().Authorize != asked {
				t.Errorf("page:\n%s", p.Body)
			}
			if e := g.lastDenied("denied", denied+1); e["reason"] != "invalid_answer" {
				t.Errorf("event: %v", e)
			}
			// A forged one does not spoil the true one.
			want(t, g.send(b, browser.Request{URL: back.String(), Header: crossSite}), http.StatusOK)
		})
	}
	t.Run("signed in again meanwhile", func(t *testing.T) {
		b, back := out()
		landed(t, g.open(b, g.url("/a")), "/a", "corp:u-alice")
		for _, h := range []http.Header{crossSite, {"Sec-Fetch-Site": {"none"}}, {"Sec-Fetch-Site": {"same-origin"}}} {
			p := g.send(b, browser.Request{URL: back.String(), Header: h})
			if g.send(b, browser.Request{URL: g.url("/a")}).Status != http.StatusOK {
				t.Fatalf("%v: the new session was ended by the way back of the old one: %d", h, p.Status)
			}
		}
	})
}

// Nothing in the address decides where a logout leads (O7).
func TestO7LogoutLeadsNowhereElse(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "corp", op), whoSite)
	b := newBrowser(t)
	landed(t, g.open(b, g.url("/a")), "/a", "corp:u-alice")
	q := "?post_logout_redirect_uri=https://evil.example/&return_to=https://evil.example/&redirect_uri=https://evil.example/"
	p := g.send(b, browser.Request{Method: http.MethodPost, URL: g.url("/.identity/logout" + q), From: &browser.Page{Browser: b, URL: g.url("/app")}})
	to, err := url.Parse(p.Header.Get("Location"))
	if err != nil || to.Query().Get("post_logout_redirect_uri") != g.url("/.identity/logout") {
		t.Errorf("leads to %q", p.Header.Get("Location"))
	}
	if p := g.raw(http.MethodGet, "/.identity/logout"+q, "", "Accept", "text/html"); p.Status != http.StatusOK || p.Has("evil.example") {
		t.Errorf("signed out: %d\n%s", p.Status, p.Body)
	}
	if p := g.raw(http.MethodGet, "/.identity/logout"+q, "", "Accept", "text/html", "Host", "evil.example"); p.Has("evil.example") || strings.Contains(p.Header.Get("Location"), "evil") {
		t.Errorf("another host: %d\n%s", p.Status, p.Body)
	}
}
