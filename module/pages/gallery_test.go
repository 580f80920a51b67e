package pages

import (
	"net/http"
	"net/http/httptest"
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
		"codes":    ask(flows.Page{Kind: "recovery_enrol", Submit: "codes_saved", Widgets: []flows.Widget{flows.Note{Code: "recovery_save"}, flows.Codes{Codes: slices.Repeat([]string{"WXYZ-MNOP-QRST-2345"}, 10), Label: "recovery_codes"}, flows.Download{Label: "save_codes", Name: "recovery-codes.txt", Type: "text/plain"}}}),
		"recovery": ask(flows.Page{Kind: "recovery", Submit: "continue", Widgets: []flows.Widget{flows.Note{Code: "recovery_enter"}, flows.Code{Name: "code", Label: "recovery_code", Autofocus: true}}}),
		"form": ask(flows.Page{Kind: "password", Submit: "continue", Problem: flows.ReasonInvalidAnswer, Widgets: []flows.Widget{
			flows.Note{Text: "We need a few things about you before you can go on."},
			flows.Field{Name: "mail", Label: "email", Type: "email", Value: "maria.gonzalez-fernandez@subsidiary.contoso.example", Max: 254, Autocomplete: "email"},
			flows.Field{Name: "tel", Label: "Telephone", Type: "tel", Autocomplete: "tel", Autofocus: true},
			flows.Field{Name: "from", Label: "First day", Type: "date"},
			flows.Field{Name: "desk", Label: "Desk", Type: "number", Optional: true},
			flows.Select{Name: "place", Label: "Donaudampfschifffahrtsgesellschaft", Options: []flows.Entry{{Value: "1", Label: "Rechtsschutzversicherungsgesellschaften, Niederlassung Nordrhein-Westfalen"}, {Value: "2", Label: "Berlin"}}},
			flows.Select{Name: "team", Label: "Team", Optional: true, Options: []flows.Entry{{Value: "1", Label: "Red"}}},
			flows.Check{Name: "news", Label: "Tell me by e-mail when something about my account changes, however small it is", Optional: true, Checked: true},
			flows.Check{Name: "age", Label: "I am of age"},
		}}),
		"consent": ask(flows.Page{Kind: "password", Submit: "continue", Widgets: []flows.Widget{
			flows.Terms{Title: "Rules for contractors", Version: "2026-11", Text: strings.Repeat("What you see here belongs to the company. Do not copy it, and do not show it to anybody who has no business with it.\n\n", 12), URL: "https://terms.example/contractors"},
			flows.Check{Name: "agreed", Label: "I have read this and agree"},
			flows.Choice{Name: "decline", Value: "1", Label: "sign_out"},
			flows.Choice{Name: "later", Value: "1", Label: "not_now"},
		}}),
		"approval": ask(flows.Page{Kind: "totp", Submit: "continue", Widgets: []flows.Widget{
			flows.Table{Label: "You are about to send this", Rows: []flows.Row{
				{Name: "Amount", Value: "950.00 EUR"},
				{Name: "Payee", Value: "Rechtsschutzversicherungsgesellschaft Nordrhein-Westfalen"},
				{Name: "Kontoverbindungsnummernbezeichnung", Value: "DE89370400440532013000DE89370400440532013000"},
				{Name: "Reference", Value: "First line\nsecond line"},
				{Name: "Note", Value: ""},
			}},
			flows.Note{Code: "totp_open_app"},
			digits,
			flows.Choice{Name: "factor", Value: "recovery", Label: "use_recovery"},
		}}),
		"sections": ask(flows.Page{Kind: "enrol", Widgets: []flows.Widget{
			flows.Heading{Text: "Authenticator app"},
			flows.Table{Rows: []flows.Row{{Name: "Name", Value: "My telephone"}, {Name: "Last used", Value: "2026-11-26 08:05"}}},
			flows.Choice{Name: "rename", Value: "1", Label: "Rename"},
			flows.Choice{Name: "remove", Value: "1", Label: "Remove", Detail: "You will be asked for a code first."},
			flows.Heading{Text: "Recovery codes"},
			flows.Note{Text: "Seven are left."},
			flows.Choice{Name: "codes", Value: "1", Label: "Make new ones"},
			flows.Heading{Text: "What we know of you"},
			flows.Download{Label: "save_codes", Name: "me.json", Type: "application/json", Data: []byte("{}")},
		}}),
		"error":  {Kind: KindError, Reason: flows.ReasonProviderDown, ID: "MFRGGZDFMZTWQ2LKNNWG23TPOA", Link: "/", RetryAfter: 5},
		"denied": {Kind: KindDenied, Reason: flows.ReasonNotAllowed, Text: "Administrators only. Ask the help desk, extension 4711.", ID: "MFRGGZDFMZTWQ2LKNNWG23TPOA", Link: "/", User: "maria.gonzalez-fernandez@subsidiary.contoso.example"},
		"out":    {Kind: KindSignedOut, Link: "/"},
		"stale":  {Kind: KindStale, Reason: flows.ReasonStaleLogin, ID: "MFRGGZDFMZTWQ2LKNNWG23TPOA", Link: "/"},
		"loop":   {Kind: KindError, Reason: flows.ReasonLoop, Cause: "host_outside", Values: map[string]string{"host": "payroll.emea.subsidiary.contoso.example", "domain": "contoso.test"}, ID: "MFRGGZDFMZTWQ2LKNNWG23TPOA", Link: "/"},
		"send":   {Kind: KindStartAgain, Reason: flows.ReasonLoginRequired, Link: "/"},
		"logout": {Kind: KindConfirmLogout, Action: "/.identity/logout", User: "maria"},
		"frame":  {Kind: KindLoginRequired, Link: "/"},
		// Without what their scripts need they stay, as without JavaScript.
		"keep": {Kind: KindKeep},
		"long": {Kind: KindLongAddress},
		"back": {Kind: KindResume},
	}
}

// gallerySite serves the gallery, in the language that ?lang= says.
func gallerySite(t *testing.T, s *Set) string {
	t.Helper()
	pages := gallery()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Accept-Language", r.URL.Query().Get("lang"))
		s.Write(w, r, http.StatusOK, pages[strings.TrimPrefix(r.URL.Path, "/")])
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// windowSizes are what people look at pages with.
func windowSizes() map[string]chromedp.Tasks {
	feature := func(name, value string) chromedp.Action {
		return emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: name, Value: value}})
	}
	return map[string]chromedp.Tasks{
		"light":  {chromedp.EmulateViewport(1000, 750), feature("prefers-color-scheme", "light")},
		"dark":   {chromedp.EmulateViewport(1000, 750), feature("prefers-color-scheme", "dark")},
		"phone":  {chromedp.EmulateViewport(320, 640, chromedp.EmulateMobile), feature("prefers-color-scheme", "light")},
		"zoom":   {chromedp.EmulateViewport(500, 375, chromedp.EmulateScale(2)), feature("prefers-color-scheme", "dark")}, // 200 % of the first
		"forced": {chromedp.EmulateViewport(1000, 750), feature("forced-colors", "active")},
	}
}
