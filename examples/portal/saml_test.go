//go:build real

package portal

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
)

// samlCompany is the company's provider as one that speaks SAML.
const samlCompany = `		provider company saml {
			metadata {$IDP_METADATA}
			sign_requests on
		}
`

// startSAML is the example with SimpleSAMLphp in the place of the OpenID provider:
// the gateway runs first, because the provider reads its metadata.
func startSAML(t *testing.T) *city {
	t.Helper()
	c := found(t)
	head, rest, _ := strings.Cut(caddyfile, "\t\tprovider company oidc {\n")
	_, tail, ok := strings.Cut(rest, "\n\t\t}\n")
	if !ok {
		t.Fatal("the example has no provider company")
	}
	port := parts.Port(t)
	t.Setenv("IDP_METADATA", c.idp+"/saml2/idp/metadata.php")
	c.open(t, head+samlCompany+tail, parts.Addr(port))
	parts.SimpleSAMLBehind(t, c.idp, port, c.portal+"/.identity/saml/company/metadata")
	parts.Await(t, "a login leads to the provider", 20*time.Second, func() error {
		if p := parts.Browser(t).Open(c.payroll + "/"); !strings.HasPrefix(p.URL, c.idp+"/") {
			return fmt.Errorf("%d at %s", p.Status, p.URL)
		}
		return nil
	})
	return c
}

// wire is what went over the net, in the order of the browser's requests.
type wire struct {
	mu       sync.Mutex
	asked    []*network.EventRequestWillBeSent
	sent     map[network.RequestID][]*network.EventRequestWillBeSentExtraInfo
	answered map[network.RequestID][]*network.EventResponseReceivedExtraInfo
}

// listen has a window tell what it sends and gets.
func listen(w *parts.Window) *wire {
	n := &wire{sent: map[network.RequestID][]*network.EventRequestWillBeSentExtraInfo{}, answered: map[network.RequestID][]*network.EventResponseReceivedExtraInfo{}}
	w.Run("listening", network.Enable())
	w.Listen(func(event any) {
		n.mu.Lock()
		defer n.mu.Unlock()
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			n.asked = append(n.asked, e)
		case *network.EventRequestWillBeSentExtraInfo:
			n.sent[e.RequestID] = append(n.sent[e.RequestID], e)
		case *network.EventResponseReceivedExtraInfo:
			n.answered[e.RequestID] = append(n.answered[e.RequestID], e)
		}
	})
	return n
}

// to counts the requests with this method to addresses that begin so.
func (n *wire) to(method, prefix string) (count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.asked {
		if e.Request.Method == method && strings.HasPrefix(e.Request.URL, prefix) {
			count++
		}
	}
	return count
}

// named reports whether a message has a header, however that is written.
func named(h network.Headers, name string) bool {
	for k := range h {
		if strings.EqualFold(k, name) {
			return true
		}
	}
	return false
}

// hops are what a form and the redirect after it sent and got.
func (n *wire) hops(t *testing.T, address string) ([]*network.EventRequestWillBeSentExtraInfo, []*network.EventResponseReceivedExtraInfo) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	i := slices.IndexFunc(n.asked, func(e *network.EventRequestWillBeSent) bool {
		return e.Request.Method == http.MethodPost && e.Request.URL == address
	})
	if i < 0 {
		t.Fatalf("no form went to %s", address)
	}
	id := n.asked[i].RequestID
	if len(n.sent[id]) < 2 || len(n.answered[id]) < 2 {
		t.Fatalf("%d requests and %d answers of the form to %s", len(n.sent[id]), len(n.answered[id]), address)
	}
	return n.sent[id], n.answered[id]
}

// TestI10PortalAcrossDomainsBySAML: the provider's page posts its answer from another
// site. That request has none of our cookies, though the browser holds some for the
// portal, and is given none; the GET after it has them and signs in on both domains.
func TestI10PortalAcrossDomainsBySAML(t *testing.T) {
	c := startSAML(t)
	w := parts.Chromium(t, c.trusted(t)...)
	net := listen(w)
	acs := c.portal + "/.identity/saml/company/acs"

	w.Run("a deep link", chromedp.Navigate(c.payroll+"/app/?x=1#/r/42"), parts.See(password))
	if got := w.Location(); !strings.HasPrefix(got, c.idp+"/") || strings.Contains(got, "#") {
		t.Errorf("asked at %s, want the provider, and no fragment", got)
	}
	w.Screenshot("saml-provider")
	w.Run("signing in", parts.Type(username, "alice"), parts.Type(password, "alicepw"+kb.Enter))
	at(t, w, c.payroll+"/app/?x=1#/r/42")
	net.grantsNothing(t, acs)

	w.Run("the other application", chromedp.Navigate(c.wiki+"/page#/s/7"))
	at(t, w, c.wiki+"/page#/s/7")
	if n := net.to(http.MethodPost, acs); n != 1 {
		t.Errorf("%d answers of the provider, want one for both applications", n)
	}
	if n := net.to(http.MethodGet, c.idp+"/saml2/idp/SSOService.php"); n != 1 {
		t.Errorf("the provider was asked %d times", n)
	}
	c.cookies(t, w)
	first := w.Tab()
	first.Run("the first application in a tab", chromedp.Navigate(c.payroll+"/open"))
	at(t, first, c.payroll+"/open")

	w.Run("logout", parts.Click(`a[href="/.identity/logout"]`), parts.See(`//h1[contains(., "signed out")]`))
	if got := w.Location(); !strings.HasPrefix(got, c.portal+"/.identity/logout") {
		t.Errorf("signed out at %s, want the portal", got)
	}
	if n := net.to(http.MethodGet, c.idp+"/saml2/idp/SingleLogoutService.php?SAMLRequest="); n != 1 {
		t.Errorf("the provider was told %d times", n)
	}
	if text := w.Text(); strings.Contains(text, "still be signed in") {
		t.Errorf("the page says: %s", text)
	}
	w.Screenshot("saml-signed-out")
	var home string
	w.Run("the way back", chromedp.Evaluate(`document.querySelector("main a").href`, &home))
	if home != c.wiki+"/" {
		t.Errorf("the page leads to %s, want the application that was left", home)
	}
	first.Run("the first application again", chromedp.Reload(), parts.See(password))
	if got := first.Location(); !strings.HasPrefix(got, c.idp+"/") {
		t.Errorf("at %s: want the provider to ask for a password again", got)
	}
	c.silent(t, "r/42", "flow?h=", "hop=", "SAMLRe")
}

// grantsNothing checks the form with the answer, and the GET that it led to.
func (n *wire) grantsNothing(t *testing.T, acs string) {
	t.Helper()
	sent, answered := n.hops(t, acs)
	post, get := sent[0], sent[1]
	if named(post.Headers, "Cookie") {
		t.Errorf("the form brought cookies: %v", post.Headers)
	}
	if site := post.Headers["sec-fetch-site"]; site != "cross-site" {
		t.Errorf("the form came from %v", site)
	}
	lax := []network.CookieBlockedReason{network.CookieBlockedReasonSameSiteLax, network.CookieBlockedReasonSchemefulSameSiteLax}
	if !slices.ContainsFunc(post.AssociatedCookies, func(k *network.AssociatedCookie) bool {
		return slices.ContainsFunc(k.BlockedReasons, func(r network.CookieBlockedReason) bool { return slices.Contains(lax, r) })
	}) {
		t.Errorf("of %d cookies of the portal the browser held none back for being Lax", len(post.AssociatedCookies))
	}
	if answered[0].StatusCode != http.StatusSeeOther || named(answered[0].Headers, "Set-Cookie") {
		t.Errorf("the form was answered %d with %v", answered[0].StatusCode, answered[0].Headers)
	}
	if !named(get.Headers, "Cookie") || !named(answered[1].Headers, "Set-Cookie") {
		t.Errorf("the GET after it sent %v and got %v", get.Headers, answered[1].Headers)
	}
}
