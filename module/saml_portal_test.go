package module_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/adapters/idp/saml/samltest"
	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// newSAMLTown is a town whose provider speaks SAML.
func newSAMLTown(t *testing.T, more ...string) (*gateway, *samltest.IDP) {
	t.Helper()
	idp := newIDP(t, 0)
	idp.Person = someone("u-alice")
	return start(t, samlBlock("corp", idp, more...)+portalLine, townSites), idp
}

// toIDP opens an address and stops at the redirect to the identity provider.
func (g *gateway) toIDP(b *browser.Browser, address string) samltest.Request {
	g.t.Helper()
	for range 6 {
		p := g.send(b, browser.Request{URL: address})
		if req, err := samltest.Parse(p.Header.Get("Location")); err == nil {
			return req
		}
		var err error
		if address, err = p.Resolve(p.Header.Get("Location")); err != nil || p.Status != http.StatusSeeOther {
			g.t.Fatalf("not sent to the provider: %d at %s\n%s", p.Status, p.URL, p.Text())
		}
	}
	g.t.Fatal("not sent to the provider after six redirects")
	return samltest.Request{}
}

// TestSAMLPortalMetadata: whichever host is asked, the provider learns the portal's
// addresses and no other.
func TestSAMLPortalMetadata(t *testing.T) {
	g, _ := newSAMLTown(t)
	for _, host := range []string{"auth", "one"} {
		p := g.open(newBrowser(t), g.on(host, "/.identity/saml/corp/metadata"))
		want(t, p, http.StatusOK)
		for _, s := range []string{
			`entityID="` + g.on("auth", "/.identity/saml/corp/metadata") + `"`,
			`Location="` + g.on("auth", acsPath) + `"`, `Location="` + g.on("auth", sloPath) + `"`,
		} {
			if !strings.Contains(p.Body, s) {
				t.Errorf("%s: no %s in\n%s", host, s, p.Body)
			}
		}
		if strings.Contains(p.Body, "one.localhost") {
			t.Errorf("%s: the metadata names an application:\n%s", host, p.Body)
		}
	}
}

// TestI10SAMLPortal: one answer, taken on the portal, signs in on both applications.
func TestI10SAMLPortal(t *testing.T) {
	g, idp := newSAMLTown(t)
	b := newBrowser(t)
	req := g.toIDP(b, g.on("one", "/a?x=1"))
	res := idp.Respond(req)
	if res.Destination != g.on("auth", acsPath) {
		t.Fatalf("the answer goes to %s", res.Destination)
	}
	post := g.raw(http.MethodPost, acsPath, res.Form().Encode(), append([]string{"Host", strings.TrimPrefix(g.on("auth", ""), "http://")}, crossSitePost...)...)
	if post.Status != http.StatusSeeOther || len(post.Header["Set-Cookie"]) != 0 || !strings.HasPrefix(post.Header.Get("Location"), g.on("auth", "/.identity/flow?h=")) {
		t.Fatalf("the form alone: %d %v", post.Status, post.Header)
	}
	g.at(g.takesUp(b, idp, post.Header.Get("Location")), "one", "/a?x=1")
	g.at(g.open(b, g.on("two", "/b")), "two", "/b")
	if n := g.count("login"); n != 1 {
		t.Errorf("%d logins", n)
	}
}

// TestI10SAMLAnswerAtAnApplication: with a portal an application takes no answer, also
// not one that the portal would take, and the answer is not used up by it.
func TestI10SAMLAnswerAtAnApplication(t *testing.T) {
	g, idp := newSAMLTown(t, "idp_initiated on")
	b := newBrowser(t)
	req := g.toIDP(b, g.on("one", "/a"))
	res, here := idp.Respond(req), idp.Respond(req)
	here.Destination, here.Assertion.Recipient = g.on("one", acsPath), g.on("one", acsPath)
	unasked := idp.Initiate(g.on("auth", acsPath), g.on("auth", "/.identity/saml/corp/metadata"))
	for name, form := range map[string]url.Values{"the portal's": res.Form(), "addressed to it": here.Form(), "unasked": unasked.Form()} {
		p := g.send(b, posted(b, idp, g.on("one", acsPath), form))
		if p.Status != http.StatusBadRequest || p.Header.Get("Location") != "" || len(p.Header["Set-Cookie"]) != 0 {
			t.Errorf("%s: %d %v", name, p.Status, p.Header)
		}
	}
	g.at(g.brings(b, idp, res), "one", "/a")
}

// TestB14SAMLPortalLogout: left at one application, signed out at all of them, and
// the provider is told by way of the portal, where its answer ends it.
func TestB14SAMLPortalLogout(t *testing.T) {
	g, idp := newSAMLTown(t, `title "Corp SSO"`)
	for name, status := range map[string]string{"success": samltest.Success, "failure": "urn:oasis:names:tc:SAML:2.0:status:Responder"} {
		t.Run(name, func(t *testing.T) {
			b := newBrowser(t)
			g.at(g.brings(b, idp, idp.Respond(g.toIDP(b, g.on("one", "/a")))), "one", "/a")
			g.at(g.open(b, g.on("two", "/b")), "two", "/b")
			req := g.toIDP(b, g.on("two", "/.identity/logout"))
			if g.ticketOn(b, "two") != "" || g.ticketOn(b, "auth") != "" {
				t.Error("the cookies are left")
			}
			answer := idp.LogoutResponse(g.on("auth", sloPath), req.ID)
			answer.RelayState, answer.Status = req.RelayState, status
			p, err := b.Navigate(browser.Request{URL: g.on("auth", sloPath) + "?" + answer.Redirect(idp.Signing()), From: &browser.Page{Browser: b, URL: idp.URL + "/slo"}})
			if err != nil {
				t.Fatal(err)
			}
			want(t, p, http.StatusOK)
			if !strings.HasPrefix(p.URL, g.on("auth", "/.identity/logout?")) || !p.Has("signed out") || !p.Has(g.on("two", "/")) || p.Has("still be signed in at Corp SSO") != (status != samltest.Success) {
				t.Errorf("%s:\n%s", p.URL, p.Body)
			}
			g.toIDP(b, g.on("one", "/a")) // asked again
		})
	}
}

// TestS08SAMLPortalBegunByTheProvider: the person is asked on the portal, and what
// they come to there says where they are.
func TestS08SAMLPortalBegunByTheProvider(t *testing.T) {
	g, idp := newSAMLTown(t, "idp_initiated on")
	b := newBrowser(t)
	p := g.brings(b, idp, idp.Initiate(g.on("auth", acsPath), g.on("auth", "/.identity/saml/corp/metadata")))
	if p.Status != http.StatusOK || p.URL != g.on("auth", "/.identity/flow?arrived") || g.ticketOn(b, "auth") != "" {
		t.Fatalf("%d at %s\n%s", p.Status, p.URL, p.Text())
	}
	f, err := p.FormWith("token")
	if err != nil {
		t.Fatal(err)
	}
	if p, err = f.Submit(); err != nil {
		t.Fatal(err)
	}
	if p.Status != http.StatusOK || p.URL != g.on("auth", "/") || !p.Has("You are signed in") || !p.Has("/.identity/logout") || p.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d at %s %v\n%s", p.Status, p.URL, p.Header, p.Body)
	}
	g.at(g.open(b, g.on("one", "/a")), "one", "/a")
}
