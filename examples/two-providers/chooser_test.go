//go:build real

package twoproviders

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
)

// merged is the example after a third company came, with a SAML provider: `login`
// offers all three. Its people are known by their addresses, because the names belong
// to others already.
func merged(t *testing.T) string {
	t.Helper()
	text := caddyfile
	for old, fresh := range map[string]string{
		"\t\tprovider north oidc {\n": "\t\tprovider west saml {\n\t\t\tmetadata {$IDP_METADATA}\n\t\t\tsign_requests on\n\t\t\tattribute name mail\n\t\t}\n" +
			"\t\tflow all {\n\t\t\tlogin north south west\n\t\t}\n\t\tprovider north oidc {\n",
		"\tprotect {\n": "\tprotect all {\n",
	} {
		if !strings.Contains(text, old) {
			t.Fatalf("the Caddyfile has no %q", old)
		}
		text = strings.Replace(text, old, fresh, 1)
	}
	return text
}

// offered fails the test unless the chooser has these buttons in this order, a star
// behind the one of the last time, and moves the focus to the one called name.
func offered(t *testing.T, w *parts.Window, name string, want string) {
	t.Helper()
	const buttons = `button[name="provider"]`
	var got, focus string
	w.Run("the chooser", parts.See(buttons), chromedp.Evaluate(`Array.from(document.querySelectorAll('`+buttons+`'), b => b.value + (b.querySelector("small") ? "*" : "")).join(" ")`, &got))
	if got != want {
		t.Errorf("the chooser offers %q, want %q", got, want)
	}
	for range 3 {
		w.Run("Tab", chromedp.KeyEvent(kb.Tab), chromedp.Evaluate(`document.activeElement.value || ""`, &focus))
		if focus == name {
			return
		}
	}
	t.Fatalf("the keyboard does not get to %s, but to %q", name, focus)
}

// TestB01ChooserOfThreeProviders: two OpenID providers and a SAML one, each chosen by
// keyboard in one browser, and each time the application hears who that is.
func TestB01ChooserOfThreeProviders(t *testing.T) {
	t.Parallel()
	port, saml := parts.Port(t), parts.Port(t)
	callback := "http://" + parts.Addr(port) + "/.identity/callback/"
	north, south := parts.OIDC(t, "north", callback+"north"), parts.OIDC(t, "south", callback+"south")
	g := parts.GatewayAt(t, port, merged(t), "APP="+parts.Echo(t), "IDP_METADATA="+parts.SAMLMetadata(saml),
		"NORTH_ISSUER="+north.Issuer, "NORTH_ID="+north.Client, "NORTH_SECRET="+north.Secret,
		"SOUTH_ISSUER="+south.Issuer, "SOUTH_ID="+south.Client, "SOUTH_SECRET="+south.Secret)
	idp := parts.SimpleSAML(t, saml, g.URL+"/.identity/saml/west/metadata")
	w := parts.Chromium(t)
	for _, step := range []struct {
		choose, offers, at, person, user string
		asks                             bool // the provider has a page of its own for logout
	}{
		{"north", "north south west", north.Issuer, "alice", "alice", true},
		{"south", "north* south west", south.Issuer, "bob", "bob", true},
		{"west", "south* north west", idp.URL, "alice", "alice@example.test", false},
	} {
		w.Run(step.choose, chromedp.Navigate(g.URL+"/page?by="+step.choose))
		offered(t, w, step.choose, step.offers)
		w.Run("choosing "+step.choose, chromedp.KeyEvent(kb.Enter), parts.See(`input[name="password"]`))
		if at := w.Location(); !strings.HasPrefix(at, step.at+"/") {
			t.Errorf("%s led to %s", step.choose, at)
		}
		w.Run("signing in", parts.Type(`input[name="username"]`, step.person), parts.Type(`input[name="password"]`, step.person+"pw"+kb.Enter), parts.See("pre"))
		for _, want := range []string{http.MethodGet + " /page?by=" + step.choose + "\n", "X-User-Key: " + step.choose + ":" + step.person + "\n", "X-Forwarded-User: " + step.user + "\n"} {
			if text := w.Text(); !strings.Contains(text, want) {
				t.Errorf("%s: %q is not in\n%s", step.choose, want, text)
			}
		}
		w.Run("logout", parts.Type(`a[href="/.identity/logout"]`, kb.Enter))
		if step.asks {
			w.Run("the provider asks", parts.Type(`button[name="logout"]`, kb.Enter))
		}
		w.Run("the end", parts.See(`//h1[contains(., "signed out")]`))
	}
	w.Run("once more", chromedp.Navigate(g.URL+"/"))
	offered(t, w, "west", "west* north south")
	w.Screenshot("chooser-of-three")
}
