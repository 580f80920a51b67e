//go:build real

package passwordless

import (
	"context"
	_ "embed"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
)

//go:embed Caddyfile
var caddyfile string

const (
	company  = `button[value="company"]`
	key      = `#credential button`
	username = `input[name="username"]`
	password = `input[name="password"]`
	echo     = `pre`
)

// house is a gateway at localhost, where browsers allow passkeys without TLS.
type house struct {
	t   *testing.T
	URL string
	w   *parts.Window
	id  webauthn.AuthenticatorID
}

func start(t *testing.T, config string) *house {
	t.Helper()
	port := parts.Port(t)
	url := fmt.Sprintf("http://localhost:%d", port)
	op := parts.OIDCStrong(t, parts.Port(t), "company", url+"/.identity/callback/company")
	parts.GatewayAt(t, port, config, "SITE="+url, "APP="+parts.Echo(t), "ISSUER="+op.Issuer, "CLIENT_ID="+op.Client, "CLIENT_SECRET="+op.Secret)
	h := &house{t: t, URL: url, w: parts.Chromium(t)}
	h.w.Run("an authenticator", chromedp.ActionFunc(func(ctx context.Context) (err error) {
		if err = webauthn.Enable().WithEnableUI(false).Do(ctx); err != nil {
			return err
		}
		h.id, err = webauthn.AddVirtualAuthenticator(&webauthn.VirtualAuthenticatorOptions{
			Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
			HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
		}).Do(ctx)
		return err
	}))
	return h
}

// atCompany signs in at the provider and stops at the gateway's next page.
func (h *house) atCompany(path string) {
	h.t.Helper()
	h.w.Run("the company", chromedp.Navigate(h.URL+path), parts.See(company), parts.Click(company),
		parts.See(username), parts.Type(username, "alice"), parts.Type(password, "alicepw"+kb.Enter), parts.See(key))
}

// enrol sets up a passkey and lands in the application.
func (h *house) enrol() {
	h.t.Helper()
	h.atCompany("/home")
	h.has("Set up a passkey or security key")
	h.w.Screenshot("passkey-set-up")
	h.w.Run("a passkey", chromedp.SendKeys(`input[name="name"]`, "laptop"), parts.Click(key), parts.See(".codes"))
	h.w.Run("recovery codes", parts.Click(`.actions button`), parts.See(echo))
	h.has("GET /home", "X-User-Key: company:", "X-User-Name: alice")
}

// signOut has the browser forget the session here and at the company.
func (h *house) signOut() {
	h.t.Helper()
	h.w.Run("another day", network.ClearBrowserCookies(), chromedp.Navigate("about:blank"))
}

func (h *house) has(texts ...string) {
	h.t.Helper()
	got := h.w.Text()
	for _, text := range texts {
		if !strings.Contains(got, text) {
			h.t.Fatalf("%s: %q is not on the page:\n%s", h.w.Location(), text, got)
		}
	}
}

func TestPasswordless(t *testing.T) {
	t.Parallel()
	h := start(t, caddyfile)
	h.enrol()
	h.w.Run("payroll wants a use of the key", chromedp.Navigate(h.URL+"/payroll/june"), parts.See("main"))
	h.has("Please sign in with your passkey.")

	h.signOut()
	h.w.Run("the sign-in page", chromedp.Navigate(h.URL+"/payroll/june?q=1"), parts.See(key), parts.See(company))
	h.w.Screenshot("passkey-sign-in")
	h.w.Run("without a password", parts.Click(key), parts.See(echo))
	h.has("GET /payroll/june?q=1", "X-User-Name: alice")

	h.signOut()
	h.atCompany("/home")
	h.has("Use your passkey or security key")
	h.w.Screenshot("passkey-second-factor")
	h.w.Run("as the second factor", parts.Click(key), parts.See(echo))
	h.has("GET /home", "X-User-Name: alice")
}

// Who holds the key and is not its owner does not get in, and can still go by the company.
func TestPasswordlessNobodyVerified(t *testing.T) {
	t.Parallel()
	h := start(t, caddyfile)
	h.enrol()
	h.signOut()
	h.w.Run("another finger", webauthn.SetUserVerified(h.id, false), chromedp.Navigate(h.URL+"/home"), parts.See(key), parts.Click(key),
		parts.See(`[data-case="failed"]`))
	h.has("No key was used")
	h.w.Screenshot("passkey-refused")
	h.w.Run("the other way", parts.Click(company), parts.See(username))
}

// Where a name is typed, the browser offers the passkey in its autofill, and asks for
// nothing before.
func TestPasswordlessInTheAutofill(t *testing.T) {
	t.Parallel()
	h := start(t, strings.Replace(caddyfile, "login company passkey", "login company passkey {\n\t\t\t\tdiscover company @example.com\n\t\t\t}", 1))
	h.w.Run("no passkey yet", chromedp.Navigate(h.URL+"/home"), parts.See(`input[autocomplete="username webauthn"]`), parts.See(key))
	h.enrol()
	h.signOut()
	h.w.Run("the passkey is picked", chromedp.Navigate(h.URL+"/home?picked"), parts.See(echo))
	h.has("GET /home?picked", "X-User-Name: alice")
}
