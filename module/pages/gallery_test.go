package pages

import (
	"encoding/json"
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
		"form": ask(flows.Page{Kind: "form", Submit: "continue", Problem: "invalid_field", Widgets: []flows.Widget{
			flows.Note{Text: "We need a few things about you before you can go on."},
			flows.Field{Name: "mail", Label: "email", Type: "email", Value: "maria.gonzalez-fernandez@subsidiary.contoso.example", Max: 254, Autocomplete: "email"},
			flows.Field{Name: "tel", Label: "Telephone", Type: "tel", Autocomplete: "tel", Problem: "field_tel", Autofocus: true},
			flows.Field{Name: "from", Label: "First day", Type: "date"},
			flows.Field{Name: "desk", Label: "Desk", Type: "number", Optional: true},
			flows.Select{Name: "place", Label: "Donaudampfschifffahrtsgesellschaft", Options: []flows.Entry{{Value: "1", Label: "Rechtsschutzversicherungsgesellschaften, Niederlassung Nordrhein-Westfalen"}, {Value: "2", Label: "Berlin"}}},
			flows.Select{Name: "team", Label: "Team", Optional: true, Options: []flows.Entry{{Value: "1", Label: "Red"}}},
			flows.Check{Name: "news", Label: "Tell me by e-mail when something about my account changes, however small it is", Optional: true, Checked: true},
			flows.Check{Name: "age", Label: "I am of age", Problem: "field_required"},
		}}),
		"terms": ask(flows.Page{Kind: "consent", Submit: "continue", Widgets: []flows.Widget{
			flows.Terms{Title: "Rules for contractors", Version: "2026-11", Text: strings.Repeat("What you see here belongs to the company. Do not copy it, and do not show it to anybody who has no business with it.\n\n", 12), URL: "https://terms.example/contractors"},
			flows.Check{Name: "agreed", Label: "I have read this and agree"},
			flows.Choice{Name: "decline", Value: "1", Label: "sign_out"},
			flows.Choice{Name: "later", Value: "1", Label: "not_now"},
		}}),
		"consent": ask(flows.Page{Kind: "consent", Widgets: []flows.Widget{
			flows.Terms{Title: "Rules for contractors", Version: "2026-11", Text: "Be kind."},
			flows.Choice{Name: "answer", Value: "agree", Label: "agree"},
			flows.Choice{Name: "answer", Value: "decline", Label: "decline"},
		}}),
		"option": ask(flows.Page{Kind: "option", Widgets: []flows.Widget{
			flows.Note{Code: "option"}, flows.Choice{Name: "option", Value: "1", Label: "As an employee"}, flows.Choice{Name: "option", Value: "2", Label: "For a customer", Detail: "You will be asked for whom."},
		}}),
		"key": ask(flows.Page{Kind: "webauthn", Widgets: []flows.Widget{
			flows.Note{Code: "webauthn_use"},
			flows.Credential{Name: "credential", Label: "use_key", Options: json.RawMessage(`{"challenge":"AAAA"}`)},
			flows.Choice{Name: "factor", Value: "recovery", Label: "use_recovery"},
			flows.Choice{Name: "factor", Value: "totp", Label: "use_totp"},
		}}),
		"key_new": ask(flows.Page{Kind: "webauthn_enrol", Widgets: []flows.Widget{
			flows.Note{Code: "webauthn_create"},
			flows.Field{Name: "name", Label: "key_name", Optional: true, Max: 40, Autocomplete: "off"},
			flows.Credential{Name: "credential", Label: "create_key", Create: true, Options: json.RawMessage(`{"challenge":"AAAA"}`)},
		}}),
		"approve": ask(flows.Page{Kind: "approve", Submit: "continue", Widgets: []flows.Widget{
			flows.Table{Label: "approving", Rows: []flows.Row{{Name: "amount", Value: "950.00"}, {Name: "payee", Value: "ACME Building Supplies"}}},
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
		"account": {
			Kind: KindAccount, Action: "/.identity/account", Token: "token", User: "maria.gonzalez-fernandez@subsidiary.contoso.example", Link: "/.identity/logout",
			Account: &Account{Done: "factor_name", Sections: []Section{
				{Name: "factors", Items: []Item{
					{Title: "My telephone, the one with the very long name", Label: "totp", Lines: []Line{{Label: "since", Value: "2026-01-26 08:05 UTC"}, {Label: "last_used", Value: "2026-11-26 08:05 UTC"}}, Buttons: []Button{{"factor_name", "a", "rename"}, {"factor_remove", "a", "remove"}}},
					{Title: "recovery", Lines: []Line{{Label: "since", Value: "2026-01-26 08:05 UTC"}}, Buttons: []Button{{"factor_name", "b", "rename"}, {"factor_remove", "b", "remove"}}},
				}, Buttons: []Button{{"factor_add", "totp", "set_up_totp"}, {"factor_add", "webauthn", "set_up_webauthn"}}},
				{Name: "devices", None: "devices_none"},
				{Name: "sessions", Items: []Item{
					{Title: "Firefox, Linux", Label: "this_session", Lines: []Line{{Label: "address", Value: "2001:db8:85a3:8d3:1319:8a2e:370:7348"}, {Label: "at_applications", Value: "payroll.emea.subsidiary.contoso.example, wiki.emea.subsidiary.contoso.example"}}},
					{Title: "Safari, iPhone", Lines: []Line{{Label: "address", Value: "203.0.113.9"}}, Buttons: []Button{{"session_end", "c", "session_end"}}},
				}, Buttons: []Button{{"sessions_end", "", "sessions_end"}}},
				{Name: "data", Buttons: []Button{{"download", "", "download"}, {"erase", "", "erase"}}},
			}},
		},
		"erase":    ask(flows.Page{Kind: "erase_again", Submit: "erase", Widgets: []flows.Widget{flows.Note{Code: "erase_again"}, flows.Check{Name: "sure", Label: "erase_sure"}}}),
		"data":     ask(flows.Page{Kind: "download", Submit: "done", Widgets: []flows.Widget{flows.Note{Code: "download"}, flows.Download{Label: "download_file", Name: "my-data.json", Type: "application/json", Data: []byte("{}")}}}),
		"arrived":  {Kind: KindArrived, Action: "/.identity/flow", Link: "/", Values: map[string]string{"name": "maria.gonzalez-fernandez@subsidiary.contoso.example", "provider": "Company account"}},
		"other":    {Kind: KindSomebodyElse, Link: "/.identity/logout", User: "maria", Values: map[string]string{"name": "paul", "provider": "Company account"}},
		"in":       {Kind: KindSignedIn, Link: "/.identity/logout", User: "maria"},
		"approved": {Kind: KindApproved, Link: "/"},
		// These send themselves, and get no page for an answer: so they stay.
		"post":   {Kind: KindPost, Action: "/nothing"},
		"again":  {Kind: KindSendAgain, Action: "/nothing"},
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
		v, ok := pages[strings.TrimPrefix(r.URL.Path, "/")]
		if !ok {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		s.Write(w, r, http.StatusOK, v)
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestTheGalleryHasEveryKind(t *testing.T) {
	t.Parallel()
	hangs := map[Kind]bool{}
	for _, v := range gallery() {
		hangs[v.kind()] = true
	}
	for _, k := range kinds {
		if !hangs[k] {
			t.Errorf("the gallery has no page of kind %s", k)
		}
	}
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
