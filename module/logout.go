package module

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
	"github.com/sallyport-gateway/sallyport/module/pages"
)

// ReasonLogout is the end of a session by its person's wish.
const ReasonLogout flows.Reason = "logout"

// logout serves /.identity/logout: POST of our own, or GET from our own origin or
// typed, ends the session; any other GET may be another site's and is asked back.
func (v *visit) logout() error {
	if v.r.Method == http.MethodPost {
		if !v.sameOrigin() {
			return v.refuse(http.StatusForbidden, flows.ReasonCrossSite, "", "", errors.New("logout from another site"))
		}
		return v.endAndLeave()
	}
	switch {
	case v.onPortal() && v.r.URL.Query().Has("go"):
		return v.leaveOnward(one(v.r.URL.Query(), "go"))
	case v.cameBack():
		return v.backFromProvider()
	case v.session == nil:
		return v.nobodyToSignOut()
	case v.ownOrTyped() && !isPrefetch(v.r.Header):
		return v.endAndLeave()
	}
	v.confirmLogout()
	return nil
}

// confirmLogout asks whether the person wants it: another site may have sent them.
func (v *visit) confirmLogout() {
	v.show(http.StatusOK, pages.View{Kind: pages.KindConfirmLogout, Action: "/.identity/logout", Link: "/", User: v.session.User.Name, FormAction: v.formTargets()})
}

func (v *visit) signedOut() { v.signedOutOf("/", "") }

// signedOutOf ends a logout; who signs in again does so at home. still is where the
// person may still be signed in, if anywhere.
func (v *visit) signedOutOf(home, still string) {
	view := pages.View{Kind: pages.KindSignedOut, Link: home}
	if still != "" {
		view.Cause, view.Values = "still_signed_in", map[string]string{"provider": still}
	}
	v.show(http.StatusOK, view)
}

// endAndLeave ends the session here first, then at the provider (B14).
func (v *visit) endAndLeave() error {
	s := v.session
	v.clearCookies(v.w)
	v.clearPending()
	if s == nil {
		return v.nobodyToSignOut()
	}
	v.endOwn(s)
	v.clearRecent() // its cookie did come back: who leaves and returns is in no loop
	v.session = nil
	out, still := v.leaveProvider(s)
	if out != nil && (isNavigation(v.r) || acceptsHTML(v.r.Header)) {
		return out.Accept(&leaving{v: v})
	}
	v.signedOutOf("/", still)
	return nil
}

func (v *visit) endOwn(s *flowsession.Session) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(v.r.Context()), 10*time.Second)
	defer cancel()
	e := v.event(audit.Logout)
	e.Reason = ReasonLogout
	if err := v.app.endSession(ctx, s.ID(), ReasonLogout, func(old *audit.Event) { *old = e }); err != nil {
		v.app.trail.Note(e)
		v.app.endLater(s, ReasonLogout)
	}
}

// leaveProvider asks the provider of the newest login to end it there, too. still
// is the title of one that could not be asked.
func (v *visit) leaveProvider(s *flowsession.Session) (out flows.Outcome, still string) {
	for _, g := range slices.Backward(s.Grants) {
		p := v.app.called(g.Provider)
		if p == nil {
			continue
		}
		if on := p.Guest.Options().SingleLogout; on != nil && !*on {
			continue
		}
		e, ok := p.Guest.(flows.Ender)
		if !ok {
			continue
		}
		state := newID()
		out, err := e.LogoutRequest(v.r.Context(), g, v.afterLogout(p), state)
		if err != nil {
			v.app.log.Warn("provider not told of a logout", zap.String("provider", g.Provider), zap.Error(err))
			still = p.Title()
			continue
		}
		if out != nil && v.away() {
			return v.leaveByPortal(s, state, out), ""
		}
		if out != nil {
			v.expectBack(state, "")
			return out, ""
		}
	}
	return nil, still
}

// afterLogout is where a provider sends the person when it has ended its own login.
func (v *visit) afterLogout(p *flows.Provider) string {
	if _, ok := p.Guest.(flows.LogoutPeer); ok {
		return v.folder(p) + "/slo"
	}
	return v.ownOrigin() + "/.identity/logout"
}

// leaving renders where a logout goes on. framed: who we lead to may have loaded us
// in a frame of its own.
type leaving struct {
	v      *visit
	framed bool
}

func (l *leaving) Redirect(to string) error {
	l.v.logWithout("logout goes on at the provider", http.StatusSeeOther) // the address may hold an ID token
	return l.v.redirect(to)
}

func (l *leaving) Post(to string, fields []flows.FormField) error {
	view := pages.View{Kind: pages.KindPost, Action: to, Fields: fields}
	if l.framed {
		view.Framer = to
	}
	l.v.show(http.StatusOK, view)
	return nil
}
func (l *leaving) Continue() error         { l.v.signedOut(); return nil }
func (l *leaving) Take(int) error          { l.v.signedOut(); return nil }
func (l *leaving) Ask(flows.Page) error    { l.v.signedOut(); return nil }
func (l *leaving) Deny(flows.Denial) error { l.v.signedOut(); return nil }
