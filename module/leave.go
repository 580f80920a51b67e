package module

import (
	"context"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
)

// A logout ends the session on all hosts at once, wherever it is asked for. What
// goes on at the provider goes on from the portal: that is the one address it knows.

// leaveFor is how long a browser may be on its way to the portal with a logout.
const leaveFor = time.Minute

const leaveSpace = "leaving"

// left is a logout on its way from an application's host to the portal. It holds
// no more than the provider is about to get.
type left struct {
	Session string            `json:"session"`
	State   string            `json:"state"`
	From    string            `json:"from"`
	To      string            `json:"to"`
	Posted  bool              `json:"posted,omitempty"`
	Fields  []flows.FormField `json:"fields,omitempty"`
}

// ownOrigin is the one that providers know us by.
func (v *visit) ownOrigin() string {
	if v.app.portal != nil {
		return v.app.portal.origin
	}
	return v.place.origin
}

// nobodyToSignOut answers a logout where no session is shown. An application's host
// may hold an old ticket, or none, while the portal still knows the person: it is
// asked, and asks them, since the wish comes from another site.
func (v *visit) nobodyToSignOut() error {
	if v.away() && isNavigation(v.r) {
		return v.redirect(v.app.portal.origin + "/.identity/logout")
	}
	v.signedOut()
	return nil
}

// leaveByPortal sends a logout that goes on at the provider by way of the portal.
// If that cannot be, the person is signed out here all the same.
func (v *visit) leaveByPortal(s *flowsession.Session, state string, out flows.Outcome) flows.Outcome {
	l := left{Session: s.ID(), State: state, From: v.place.origin}
	if out.Accept((*leftTo)(&l)) != nil || l.To == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), 5*time.Second)
	defer cancel()
	p, err := v.app.sessions.Issue(ctx, leaveSpace, v.app.portal.origin, l, leaveFor)
	if err != nil {
		v.app.log.Warn("provider not told of a logout: the portal cannot be told either", zap.Error(err))
		return nil
	}
	return flows.Redirect(v.app.portal.origin + "/.identity/logout?go=" + p.Text())
}

// leaveOnward goes on with it on the portal. The session ended already; only what
// its browser still holds of it here is cleared.
func (v *visit) leaveOnward(text string) error {
	v.logWithout("logout of an application", http.StatusSeeOther)
	var l left
	p, err := flowsession.ParsePass(text)
	if err == nil {
		err = v.app.sessions.Read(v.r.Context(), p, leaveSpace, v.place.origin, &l)
	}
	if err == nil {
		err = v.app.sessions.Spend(v.r.Context(), p, leaveSpace)
	}
	if v.session != nil && v.session.ID() != l.Session { // somebody signed in here, who did not ask to leave
		v.confirmLogout()
		return nil
	}
	v.clearCookies(v.w)
	v.clearPending()
	v.clearRecent()
	if err != nil {
		v.signedOut()
		return nil
	}
	v.expectBack(l.State, l.From)
	if l.Posted {
		return (&leaving{v: v}).Post(l.To, l.Fields)
	}
	return (&leaving{v: v}).Redirect(l.To)
}

// leftTo reads where an outcome leads.
type leftTo left

func (l *leftTo) Redirect(to string) error {
	l.To = to
	return nil
}

func (l *leftTo) Post(to string, fields []flows.FormField) error {
	l.To, l.Posted, l.Fields = to, true, fields
	return nil
}
func (l *leftTo) Continue() error         { return nil }
func (l *leftTo) Take(int) error          { return nil }
func (l *leftTo) Ask(flows.Page) error    { return nil }
func (l *leftTo) Deny(flows.Denial) error { return nil }
