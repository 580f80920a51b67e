package module

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
	"github.com/sallyport-gateway/sallyport/module/session"
)

// handOver sends the browser from the portal to the application's host with a code
// that gives it the session there: once, for thirty seconds, to this browser only.
func (v *visit) handOver(flow string, to *flows.Hop, returnTo string, attempt int) error {
	origin, path, ok := v.app.application(returnTo)
	if !ok || origin != to.Origin { // the config changed on the way
		return v.refuse(http.StatusForbidden, flows.ReasonUnknownHost, "", "", errors.New(to.Origin+" is none of the portal's origins"))
	}
	if v.session == nil {
		return v.stale(returnTo, to.Saved, attempt)
	}
	if _, ok := v.session.Finished(flow); !ok { // another tab's session, which did not come through this flow
		return v.redirect(origin + path)
	}
	code, err := v.app.sessions.HandOver(v.r.Context(), v.session, to.Origin, flowsession.Handover{
		Pending: to.Pending, Nonce: to.Nonce, ReturnTo: path, Saved: to.Saved, Attempt: attempt,
	})
	if err != nil {
		return v.unavailable(err)
	}
	v.logWithout("session handed over", http.StatusSeeOther, zap.String("to", to.Origin), zap.String("session", v.session.ID()))
	q := url.Values{"p": {to.Pending}, "code": {code.Text()}}
	if attempt > 0 {
		q.Set("a", strconv.Itoa(attempt))
	}
	return v.redirect(to.Origin + "/.identity/handover?" + q.Encode())
}

// handover serves /.identity/handover on an application's host. Whatever comes of
// it, the answer is a redirect: no page stands at an address with a code that works.
func (v *visit) handover() error {
	q := v.r.URL.Query()
	id := one(q, "p")
	if isPrefetch(v.r.Header) {
		return v.unauthorized()
	}
	var h flowsession.Handover
	code, err := flowsession.ParsePass(one(q, "code"))
	if err == nil {
		h, err = v.app.sessions.Handed(v.r.Context(), code, v.place.origin)
	}
	if err != nil {
		return v.notHanded(id, h, err)
	}
	x, err := v.loadPending(id)
	switch {
	case errors.Is(err, errNoPending) && v.session != nil:
		return v.landAt(h.ReturnTo, h.Saved) // another tab was first (B06); the code is not used
	case err != nil:
		return v.notHanded(id, h, err)
	case h.Pending != id || !equalToken(h.Nonce, x.Token):
		return v.notHanded(id, h, errors.New("the code is for another browser"))
	}
	return v.takeOver(id, code, h, x)
}

// takeOver makes this host's ticket of the session: the code is used up, then the
// trail, then the grant (I09, I25).
func (v *visit) takeOver(id string, code flowsession.Pass, h flowsession.Handover, x *flows.Execution) error {
	ctx := v.r.Context()
	if err := v.app.sessions.SpendHandover(ctx, code); err != nil {
		return v.notHanded(id, h, err)
	}
	e := v.event(audit.HandedOver)
	c, err := v.app.sessions.Card(ctx, h.SessionID())
	if err != nil {
		return v.notHanded(id, h, err)
	}
	e.User, e.Name, e.Provider, e.Session, e.Flow = c.User, c.Name, c.Provider, c.ID, x.Flow
	receipt, err := v.app.trail.Before(ctx, e)
	if err != nil {
		return v.unavailable(err) // the code is used up: what stands in the address is worth nothing
	}
	t, s, err := v.app.sessions.Lend(ctx, receipt, h, flowsession.Browser{Origin: v.place.origin})
	switch {
	case err != nil && gone(err):
		return v.notHanded(id, h, err)
	case err != nil:
		return v.unavailable(err)
	}
	if !v.app.shared.cache.Add(t.CacheKey(), s) {
		return v.notHanded(id, h, flowsession.ErrEnded)
	}
	session.LiveOf(s).Confirm(Now())
	v.retire(ctx, s)
	if err := v.ticketStore().Set(v.w, v.place.cookie, t); err != nil {
		return v.notHanded(id, h, err)
	}
	v.clearPending()
	v.setRecent(x.Attempt)
	if x.StepUp != nil && x.ReturnTo == "" {
		return v.redirect(v.place.origin + doneURL(x.StepUp))
	}
	return v.landAt(x.ReturnTo, x.Saved)
}

// retire ends what this browser held here before: an older ticket of the same
// session, or another session.
func (v *visit) retire(ctx context.Context, s *flowsession.Session) {
	switch old := v.session; {
	case old == nil:
	case old.ID() == s.ID():
		if t, err := flowsession.ParseTicket(v.ticket); err == nil {
			v.app.sessions.Retire(ctx, t)
		}
		v.app.shared.cache.Drop(v.cacheKey)
	default:
		why := flows.ReasonSessionRotated
		if old.User.Key != s.User.Key {
			why = flows.ReasonUserMismatch
		}
		if v.app.endSession(ctx, old.ID(), why, nil) != nil {
			v.app.endLater(old, why)
		}
	}
}

// notHanded goes on without the code. The login that is still pending in this
// browser is tried again, a few times; without one a new one begins.
func (v *visit) notHanded(id string, h flowsession.Handover, err error) error {
	v.countStranger(flows.ReasonStaleLogin, err)
	attempt := max(h.Attempt, v.attempts())
	if x, err := v.loadPending(id); err == nil {
		attempt = max(attempt, x.Attempt) + 1
	}
	q := url.Values{"p": {id}, "a": {strconv.Itoa(min(attempt, maxAttempts))}}
	if h.ReturnTo != "" {
		q.Set("return_to", h.ReturnTo)
	}
	return v.redirect(v.place.origin + "/.identity/flow?" + q.Encode())
}
