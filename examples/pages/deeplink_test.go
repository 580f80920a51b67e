//go:build real

package pages

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
)

// oneProvider is the commonest gateway: every login goes straight to the provider.
const oneProvider = `{
	identity {
		provider company oidc {
			issuer {$ISSUER}
			client_id {$CLIENT_ID}
			client_secret {env.CLIENT_SECRET}
		}
	}
}

{$SITE} {
	protect {
		headers remote_user
	}
	reverse_proxy {$APP}
}
`

func single(t *testing.T) (*parts.GatewayProcess, *parts.OIDCProvider) {
	t.Helper()
	port := parts.Port(t)
	op := parts.OIDC(t, "company", "http://"+parts.Addr(port)+"/.identity/callback/company")
	return parts.GatewayAt(t, port, oneProvider, "APP="+parts.Echo(t),
		"ISSUER="+op.Issuer, "CLIENT_ID=gw", "CLIENT_SECRET=gw-secret"), op
}

var asAlice = chromedp.Tasks{
	parts.See(password), parts.Type(username, "alice"), parts.Type(password, "alicepw"+kb.Enter),
}

// arrived checks that the window is at an address, signed in, and keeps nothing.
func arrived(t *testing.T, w *parts.Window, at string) {
	t.Helper()
	w.Run("arriving", parts.See(echo))
	if got := w.Location(); got != at {
		t.Errorf("arrived at %s, want %s", got, at)
	}
	has(t, w, "Remote-User: alice")
	var left int
	w.Run("what is kept", chromedp.Evaluate("sessionStorage.length", &left))
	if left != 0 {
		t.Errorf("%d addresses are still kept", left)
	}
}

// TestB10FragmentSurvivesTheProvider: the only provider is on another origin and
// asks by a form, where a fragment would end.
func TestB10FragmentSurvivesTheProvider(t *testing.T) {
	t.Parallel()
	g, op := single(t)
	w := parts.Chromium(t)
	w.Run("to the provider", chromedp.Navigate(g.URL+"/app/?x=1#/r/42"), parts.See(password))
	if at := w.Location(); !strings.HasPrefix(at, op.Issuer) || strings.Contains(at, "#") {
		t.Errorf("at the provider the address is %s: the fragment is none of its business", at)
	}
	w.Run("signing in", asAlice)
	arrived(t, w, g.URL+"/app/?x=1#/r/42")

	// The provider knows her by now and asks nothing.
	forget(w, g)
	w.Run("again", chromedp.Navigate(g.URL+"/app/#/r/43?a=b%20c"))
	arrived(t, w, g.URL+"/app/#/r/43?a=b%20c")

	// A long address by way of the login's own, as a script that heard 401 goes there.
	forget(w, g)
	long := "/report?q=" + strings.Repeat("0123456789", 170)
	w.Run("a login on purpose", chromedp.Navigate(g.URL+"/.identity/login?return_to="+url.QueryEscape(long)+"#/r/44"))
	arrived(t, w, g.URL+long+"#/r/44")

	// Without a fragment there is nothing to keep, and no page of ours at the end.
	forget(w, g)
	w.Run("without", chromedp.Navigate(g.URL+"/plain"))
	arrived(t, w, g.URL+"/plain")
	for _, log := range []string{g.Logs(), op.Output()} {
		if strings.Contains(log, "r/42") {
			t.Errorf("the fragment was sent to a server:\n%s", log)
		}
	}
}

// forget takes the gateway's cookies away and leaves the provider's.
func forget(w *parts.Window, g *parts.GatewayProcess) {
	w.Run("forgetting the session", chromedp.ActionFunc(func(ctx context.Context) error {
		cookies, err := network.GetCookies().WithURLs([]string{g.URL + "/.identity/"}).Do(ctx)
		for _, c := range cookies {
			if strings.HasPrefix(c.Name, "sallyport") && err == nil {
				err = network.DeleteCookies(c.Name).WithURL(g.URL + "/.identity/").Do(ctx)
			}
		}
		return err
	}))
}

// TestB10FragmentSurvivesOurOwnPages: the chooser and the password page, with a
// wrong password first, and two tabs at once.
func TestB10FragmentSurvivesOurOwnPages(t *testing.T) {
	t.Parallel()
	g := start(t)
	w := parts.Chromium(t)
	w.Run("the first tab", chromedp.Navigate(g.URL+"/app/#/one"), parts.See(chooser))
	tab := w.Tab()
	tab.Run("the second tab", chromedp.Navigate(g.URL+"/app/#/two"), parts.See(chooser), parts.Click(chooser), parts.See(password))
	w.Run("a wrong password", parts.Click(`button[value="emergency"]`), parts.See(password),
		parts.Type(username, "alice"), parts.Type(password, "wrong"+kb.Enter), parts.See(`[role="alert"]`))
	w.Run("the right one", parts.Type(password, "alicepw"+kb.Enter))
	arrived(t, w, g.URL+"/app/#/one")
	// B06: the second tab's login is not needed any more, but its place is.
	tab.Run("the provider's page from before", asAlice)
	arrived(t, tab, g.URL+"/app/#/two")
}

// TestB10NobodyNeedsAScript: without JavaScript the sign-in works as before and
// lands at the page, without its fragment; a program is sent straight on.
func TestB10NobodyNeedsAScript(t *testing.T) {
	t.Parallel()
	g, op := single(t)
	w := parts.Chromium(t)
	w.Run("no scripts", emulation.SetScriptExecutionDisabled(true), chromedp.Navigate(g.URL+"/app/?x=1#/r/42"),
		parts.See(password))
	w.Run("signing in", asAlice, parts.See(echo))
	if at := w.Location(); at != g.URL+"/app/?x=1" {
		t.Errorf("arrived at %s", at)
	}
	b := parts.Browser(t)
	p := b.Open(g.URL+"/app/?x=1").Want(http.StatusOK, "company")
	if len(b.Hops) != 3 || !strings.HasPrefix(p.URL, op.Issuer) {
		t.Errorf("want a redirect to the provider and its own, got %v", b.Hops)
	}
	p.Fill("username", "alice", "password", "alicepw").Want(http.StatusOK, "GET /app/?x=1", "Remote-User: alice")
}
