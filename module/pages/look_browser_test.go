package pages

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/sallyport-gateway/sallyport/flows"
)

// otpauth is as long as the addresses of apps get.
const otpauth = "otpauth://totp/ACME%20Intranet:maria.gonzalez-fernandez@subsidiary.contoso.example?algorithm=SHA1&digits=6&issuer=ACME%20Intranet&period=30&secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"

// gallery is every page as people meet it, by name.
func gallery() map[string]View {
	form := View{Action: "/.identity/flow", Token: "token", Key: "key", Back: "/"}
	ask := func(p flows.Page) View { v := form; v.Page = &p; return v }
	username := flows.Field{Name: "username", Label: "username", Autocomplete: "username", Autofocus: true}
	secret := flows.Secret{Name: "password", Label: "password", Autocomplete: "current-password"}
	company, emergency := flows.Choice{Name: "provider", Value: "company", Label: "Company account"}, flows.Choice{Name: "provider", Value: "local", Label: "Emergency access"}
	digits := flows.Code{Name: "code", Label: "code", Digits: 6, Autofocus: true}
	offer := flows.QR{Text: otpauth, Manual: "JBSW Y3DP EHPK 3PXP JBSW Y3DP EHPK 3PXP", Label: "totp_manual"}
	return map[string]View{
		"chooser":  ask(flows.Page{Kind: "choose", Widgets: []flows.Widget{company, emergency}}),
		"discover": ask(flows.Page{Kind: "choose", Submit: "continue", Problem: flows.ReasonInvalidAnswer, Widgets: []flows.Widget{flows.Field{Name: "email", Label: "email", Value: "maria@elsewhere.example", Autocomplete: "username"}, company}}),
		"password": ask(flows.Page{Kind: "password", Submit: "sign_in", Widgets: []flows.Widget{flows.Note{Text: "Emergency access"}, username, secret, flows.Choice{Name: "provider", Value: "*", Label: "choose_another"}}}),
		"refused":  ask(flows.Page{Kind: "password", Submit: "sign_in", Problem: flows.ReasonBadCredentials, Widgets: []flows.Widget{username, secret}}),
		"slowed":   ask(flows.Page{Kind: "password", Submit: "sign_in", Problem: flows.ReasonTooManyTries, Wait: 32, Widgets: []flows.Widget{username, secret}}),
		"totp":     ask(flows.Page{Kind: "totp", Submit: "continue", Widgets: []flows.Widget{flows.Note{Code: "totp_open_app"}, digits, flows.Choice{Name: "factor", Value: "recovery", Label: "use_recovery"}}}),
		"wrong":    ask(flows.Page{Kind: "totp", Submit: "continue", Problem: flows.ReasonWrongCode, Widgets: []flows.Widget{flows.Note{Code: "totp_open_app"}, digits}}),
		"enrol":    ask(flows.Page{Kind: "totp_enrol", Submit: "continue", Widgets: []flows.Widget{flows.Note{Code: "totp_scan"}, offer, digits, flows.Choice{Name: "later", Value: "1", Label: "not_now"}}}),
		"codes":    ask(flows.Page{Kind: "recovery_enrol", Submit: "codes_saved", Widgets: []flows.Widget{flows.Note{Code: "recovery_save"}, flows.Codes{Codes: slices.Repeat([]string{"WXYZ-MNOP-QRST-2345"}, 10), Label: "recovery_codes"}}}),
		"recovery": ask(flows.Page{Kind: "recovery", Submit: "continue", Widgets: []flows.Widget{flows.Note{Code: "recovery_enter"}, flows.Code{Name: "code", Label: "recovery_code", Autofocus: true}}}),
		"error":    {Kind: KindError, Reason: flows.ReasonProviderDown, ID: "MFRGGZDFMZTWQ2LKNNWG23TPOA", Link: "/", RetryAfter: 5},
		"denied":   {Kind: KindDenied, Reason: flows.ReasonNotAllowed, Text: "Administrators only. Ask the help desk, extension 4711.", ID: "MFRGGZDFMZTWQ2LKNNWG23TPOA", Link: "/", User: "maria.gonzalez-fernandez@subsidiary.contoso.example"},
		"out":      {Kind: KindSignedOut, Link: "/"},
		"stale":    {Kind: KindStale, Reason: flows.ReasonStaleLogin, ID: "MFRGGZDFMZTWQ2LKNNWG23TPOA", Link: "/"},
		"loop":     {Kind: KindError, Reason: flows.ReasonLoop, Cause: "host_outside", Values: map[string]string{"host": "payroll.emea.subsidiary.contoso.example", "domain": "contoso.test"}, ID: "MFRGGZDFMZTWQ2LKNNWG23TPOA", Link: "/"},
		"send":     {Kind: KindStartAgain, Reason: flows.ReasonLoginRequired, Link: "/"},
		"logout":   {Kind: KindConfirmLogout, Action: "/.identity/logout", User: "maria"},
		"frame":    {Kind: KindLoginRequired, Link: "/"},
		// Without what their scripts need they stay, as without JavaScript.
		"keep": {Kind: KindKeep},
		"long": {Kind: KindLongAddress},
		"back": {Kind: KindResume},
	}
}

// fits answers what a page gets wrong for the person in front of it: it is wider
// than the window (WCAG 2.2 §1.4.10), something to press is too small (§2.5.8),
// or the focus does not show (§2.4.7).
const fits = `(() => {
  const wrong = [], width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) wrong.push("wider than the window: " + document.documentElement.scrollWidth + " > " + width);
  for (const e of document.querySelectorAll("a, button, input:not([type=hidden])")) {
    const r = e.getBoundingClientRect();
    if (r.width < 24 || r.height < 24) wrong.push(e.outerHTML + " is " + r.width + "x" + r.height);
    e.focus({focusVisible: true});
    const s = getComputedStyle(e);
    if (document.activeElement !== e || s.outlineStyle === "none" || parseFloat(s.outlineWidth) < 2) wrong.push(e.outerHTML + " shows no focus: " + s.outline);
  }
  const first = document.querySelector("[autofocus]");
  if (first) first.focus(); else document.activeElement.blur();
  return wrong.join("; ");
})()`

func TestEveryPageFitsEveryWindow(t *testing.T) {
	ctx := browser(t)
	s := load(t, Options{Title: "ACME Intranet", Languages: knownLanguages()})
	pages := gallery()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Accept-Language", r.URL.Query().Get("lang"))
		s.Write(w, r, http.StatusOK, pages[strings.TrimPrefix(r.URL.Path, "/")])
	}))
	t.Cleanup(srv.Close)
	feature := func(name, value string) chromedp.Action {
		return emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: name, Value: value}})
	}
	windows := map[string]chromedp.Tasks{
		"light":  {chromedp.EmulateViewport(1000, 750), feature("prefers-color-scheme", "light")},
		"dark":   {chromedp.EmulateViewport(1000, 750), feature("prefers-color-scheme", "dark")},
		"phone":  {chromedp.EmulateViewport(320, 640, chromedp.EmulateMobile), feature("prefers-color-scheme", "light")},
		"zoom":   {chromedp.EmulateViewport(500, 375, chromedp.EmulateScale(2)), feature("prefers-color-scheme", "dark")}, // 200 % of the first
		"forced": {chromedp.EmulateViewport(1000, 750), feature("forced-colors", "active")},
	}
	run(t, ctx, "the focus", emulation.SetFocusEmulationEnabled(true))
	inWindows := map[string][]string{"en": {"light", "phone"}, "de": {"dark", "zoom", "phone"}, "fr": {"forced", "phone"}, "es": {"phone"}}
	for name := range pages {
		for _, lang := range s.languages {
			address := srv.URL + "/" + name + "?" + url.Values{"lang": {lang}}.Encode()
			run(t, ctx, name, chromedp.Navigate(address))
			for _, window := range inWindows[lang] {
				var wrong string
				run(t, ctx, name, windows[window], chromedp.Evaluate(fits, &wrong))
				if wrong != "" {
					t.Errorf("%s, %s, %s: %s", name, window, lang, wrong)
				}
				if window != "phone" || lang == "es" {
					screenshot(t, ctx, "page-"+name+"-"+window)
				}
			}
		}
	}
}

// screenshot writes NAME.png into the folder that SCREENSHOTS names, if it does.
func screenshot(t *testing.T, ctx context.Context, name string) { //nolint:revive // t first
	t.Helper()
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	var picture []byte
	run(t, ctx, name, chromedp.FullScreenshot(&picture, 100))
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644); err != nil { //nolint:gosec // pictures for everyone
		t.Fatal(err)
	}
}
