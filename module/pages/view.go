package pages

import (
	"encoding/json"

	"github.com/sallyport-gateway/sallyport/flows"
)

// Kind names a page.
type Kind string

// The kinds of page.
const (
	// KindAsk shows View.Page, a form that answers a waiting step.
	KindAsk Kind = "ask"
	// KindError says that something went wrong: Reason, ID, perhaps Link.
	KindError Kind = "error"
	// KindDenied says that the person is known but may not go here.
	KindDenied Kind = "denied"
	// KindSignedOut says that the session ended. It does not log in by itself.
	KindSignedOut Kind = "signed_out"
	// KindSignedIn says who is signed in, where nothing else is shown; Link signs out.
	KindSignedIn Kind = "signed_in"
	// KindStale says that a login page was too old; Link begins a new one (B07).
	KindStale Kind = "stale"
	// KindConfirmLogout asks before a logout that another site may have started;
	// a form that posts Token to Action.
	KindConfirmLogout Kind = "confirm_logout"
	// KindStartAgain says that what was sent could not be kept: sign in by Link, then send again (I21).
	KindStartAgain Kind = "start_again"
	// KindLongAddress puts the address Back, with the fragment of this page's own, into
	// the browser's session storage under Key and goes on to Link (B05, B10).
	KindLongAddress Kind = "long_address"
	// KindKeep does the same if there is a fragment and then goes on to Kept; without
	// one it keeps nothing and goes on to Link (B10).
	KindKeep Kind = "keep"
	// KindResume takes the address under Key out of session storage and goes there
	// if it is of this origin; else to Link.
	KindResume Kind = "resume"
	// KindPost sends Fields to Action on another site, by a button or by itself.
	KindPost Kind = "post"
	// KindSendAgain posts Fields to Action, an address here, in whose place the gateway
	// sends on what it kept (I21).
	KindSendAgain Kind = "send_again"
	// KindArrived asks before a login goes on that its provider began by itself; a form
	// that posts Token to Action. Values are name and provider.
	KindArrived Kind = "arrived"
	// KindSomebodyElse says that such a login is another person's than User, who is
	// signed in; Link signs out.
	KindSomebodyElse Kind = "somebody_else"
	// KindAccount is what is kept of User, in Account: forms that post Token to Action.
	KindAccount Kind = "account"
	// KindApproved says that a request was approved and the window can be closed.
	KindApproved Kind = "approved"
	// KindLoginRequired is for a frame without a session: Link opens the login in
	// the whole window. The only page that may be framed: it shows nothing of
	// anybody and its link does no more than any link on any site could do.
	KindLoginRequired Kind = "login_required"
)

// View is one page as data. Every text in it may be hostile.
type View struct {
	// Kind; KindAsk when empty and Page is set, else KindError.
	Kind Kind
	// Page is what a waiting step asks (KindAsk).
	Page *flows.Page
	// Account is what KindAccount shows.
	Account *Account
	// Action is the form's address: a path here, or an http(s) URL for KindPost.
	Action string
	// Token, Step and Serial travel as hidden fields of the same names.
	Token        string
	Step, Serial int
	// Fields are the hidden fields of KindPost.
	Fields []flows.FormField
	// FormAction are origins ("https://idp.example", "http://127.0.0.1:*") or the
	// scheme "https:" that a form may lead to besides our own: Chromium applies form-action to the
	// redirects behind a POST as well, so a chooser needs its providers here, and
	// "https:" where a provider sends people on to hosts nobody can list.
	FormAction []string
	// Reason is translated; empty shows the kind's own sentence only.
	Reason flows.Reason
	// Text is the operator's own words, shown as they are.
	Text string
	// ID is the audit id, shown as the reference.
	ID string
	// Link is a path here or an http(s) URL, LinkLabel the code of its label; each
	// kind has a default label.
	Link, LinkLabel string
	// RetryAfter is in seconds: shown, and sent as Retry-After; 0 for none.
	RetryAfter int
	// User is the name of who is signed in.
	User string
	// Key names the address in session storage (KindLongAddress, KindResume). On
	// KindKeep, KindAsk and KindPost it asks the browser to keep the fragment of this
	// page's address there, behind Back; empty: there is nothing to keep.
	Key string
	// Back is the path that the person wanted, Kept where KindKeep and KindPost lead
	// when something was kept; a form of KindAsk says so by sending Key as "kept".
	Back, Kept string
	// Framer is an address of who may frame a page of KindPost: a provider that ends its
	// logins in frames must hear our answer. Empty: nobody.
	Framer string
	// Cause names why sign-in keeps starting over, or where a logout was not complete;
	// Values fill the places of its text, and those of KindArrived and KindSomebodyElse.
	Cause  string
	Values map[string]string
}

func (v *View) kind() Kind {
	switch {
	case v.Kind != "":
		return v.Kind
	case v.Page != nil:
		return KindAsk
	}
	return KindError
}

// samples are one full view of every kind, for the rehearsal at load.
func samples() []View {
	page := &flows.Page{Kind: "password", Problem: flows.ReasonBadCredentials, Wait: 4, Submit: "sign_in", Widgets: []flows.Widget{
		flows.Note{Code: "hello", Text: "text"},
		flows.Field{Name: "username", Label: "username", Value: "maria", Autocomplete: "username", Autofocus: true},
		flows.Secret{Name: "password", Label: "password", Autocomplete: "current-password"},
		flows.Choice{Name: "provider", Value: "corp", Label: "Corp", Detail: "detail"},
		flows.Code{Name: "code", Label: "code", Digits: 6},
		flows.QR{Text: "otpauth://totp/a:b?secret=c", Manual: "c", Label: "totp_manual"},
		flows.Codes{Codes: []string{"AAAA-BBBB", "CCCC-DDDD"}, Label: "recovery_codes"},
		flows.Heading{Text: "heading"},
		flows.Field{Name: "email", Label: "email", Type: "email", Max: 254, Optional: true},
		flows.Select{Name: "select", Label: "select", Value: "a", Options: []flows.Entry{{Value: "a", Label: "a"}, {Value: "b", Label: "b"}}},
		flows.Check{Name: "check", Label: "check", Checked: true},
		flows.Table{Label: "table", Rows: []flows.Row{{Name: "amount", Value: "950.00"}}},
		flows.Terms{Title: "terms", Version: "1", Text: "first\n\nsecond", URL: "https://a.example/terms"},
		flows.Download{Label: "download", Name: "codes.txt", Type: "text/plain", Data: []byte("AAAA-BBBB")},
		flows.Credential{Name: "credential", Label: "use_webauthn", Options: json.RawMessage(`{"challenge":"AAAA"}`)},
	}}
	full := View{
		Page: page, Action: "/.identity/flow", Token: "token", Step: 1, Serial: 2,
		Fields: []flows.FormField{{Name: "SAMLRequest", Value: "value"}},
		Reason: flows.ReasonInternal, Text: "text", ID: "id", Link: "/", RetryAfter: 5, User: "maria", Key: "key", Back: "/back?x=1", Kept: "/kept",
		Account: &Account{Done: "factor_remove", Sections: []Section{
			{Name: "factors", Buttons: []Button{{"factor_add", "totp", "set_up_totp"}}, Items: []Item{
				{Title: "totp", Label: "here", Lines: []Line{{Label: "since", Value: "now"}, {Label: "used", Words: "never"}}, Buttons: []Button{{"factor_remove", "id", "remove"}}},
			}},
			{Name: "devices", None: "devices_none"},
		}},
		Cause: "host_outside", Values: map[string]string{"host": "a.example", "domain": "b.example", "name": "paul", "provider": "Corp"},
	}
	var all []View
	for _, k := range kinds {
		v := full
		v.Kind = k
		all = append(all, v)
	}
	return append(all, View{Kind: KindAsk}, View{Kind: KindError})
}

var kinds = []Kind{
	KindAsk, KindError, KindDenied, KindSignedOut, KindStale, KindConfirmLogout,
	KindStartAgain, KindLongAddress, KindKeep, KindResume, KindPost, KindLoginRequired,
	KindArrived, KindSomebodyElse, KindSignedIn, KindSendAgain, KindAccount, KindApproved,
}
