package module

import (
	"net/http"
	"strings"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
)

// backFor is how long a person may take at the provider's logout, in seconds.
const backFor = 600

// expectBack remembers the `state` of a logout that goes on at the provider
// (OIDC RP-Initiated Logout 1.0 §2). It is worth nothing to who holds it (I08).
// from is the application's origin that the logout began at, "" for our own.
func (v *visit) expectBack(state, from string) {
	if from != "" {
		state += "~" + from
	}
	v.sideCookie(v.backName(), state, "/.identity/logout", backFor)
}

func (v *visit) backName() string { return v.sideNameBelow("back") }

func (v *visit) expectedState() (state string) {
	state, _, _ = strings.Cut(v.sideValue(v.backName()), "~")
	return state
}

// cameFrom is the front page of the application that a logout began at.
func (v *visit) cameFrom() string {
	if _, from, _ := strings.Cut(v.sideValue(v.backName()), "~"); v.onPortal() && v.app.handsTo(from) {
		return from + "/"
	}
	return "/"
}

// cameBack reports whether a GET of the logout address is a provider's way back
// to us rather than somebody's wish to leave.
func (v *visit) cameBack() bool {
	return v.r.URL.Query().Has("state") || v.expectedState() != "" && !v.ownOrTyped()
}

// backFromProvider answers the way back (§3). Everything was ended before the
// person left for the provider, so nothing is ended and nobody is signed in
// here, whatever the address says: a wrong state is noted and otherwise ignored.
func (v *visit) backFromProvider() error {
	want := v.expectedState()
	switch {
	case want == "": // of another browser, or too long ago
	case equalToken(one(v.r.URL.Query(), "state"), want):
		v.sideCookie(v.backName(), "", "/.identity/logout", -1)
	default:
		e := v.event(audit.Denied)
		e.Reason = flows.ReasonInvalidAnswer
		e.Detail = "logout came back without the state that it left with"
		v.app.trail.Note(e)
	}
	v.logWithout("back from the provider's logout", http.StatusOK)
	if v.session != nil { // signed in again meanwhile
		v.confirmLogout()
		return nil
	}
	v.signedOutOf(v.cameFrom(), v.stillThere())
	return nil
}

// stillParam names a provider whose own logout did not succeed. Anybody may write
// it into a link: it says no more than that.
const stillParam = "still"

// stillThere is the title of that provider; "" for none.
func (v *visit) stillThere() string {
	if p := v.app.provider(one(v.r.URL.Query(), stillParam)); p != nil {
		return p.Title()
	}
	return ""
}
