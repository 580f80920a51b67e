package module

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
	"github.com/sallyport-gateway/sallyport/module/pages"
	"github.com/sallyport-gateway/sallyport/module/session"
)

const auditLoginDenied = audit.LoginDenied

func equalToken(a, b string) bool {
	return b != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}

// finish makes a session of a finished run: one-time marks, audit, name, session,
// cookie, in this order; then the person lands where they wanted to go. Whose
// name is somebody else's is refused before anything is used up or written.
func (v *visit) finish(id string, x *flows.Execution, fin flows.Finished) error {
	if x.Action != nil {
		return v.change(id, x)
	}
	old, oldTicket, err := v.standsOn(x)
	if err != nil {
		return v.failed(x, err)
	}
	if old != nil && x.Inherited && !x.Anew() && !readRisk(x) {
		if d, ok := old.Card.Flows[x.Flow]; ok && d.Digest == x.Digest {
			return v.land(x) // nothing new was proved and nothing new completed
		}
	}
	if err := proved(x, old); err != nil {
		return v.failed(x, err)
	}
	ctx := v.r.Context()
	held, err := v.app.names.held(ctx, x.User.Key, x.User.Name)
	if err != nil {
		return v.failed(x, err)
	}
	if !x.Inherited {
		if err := v.consume(ctx, id, x); err != nil {
			if flows.ReasonOf(err) == flows.ReasonReplayed {
				return v.replayed(x, err)
			}
			return v.failed(x, err)
		}
	}
	b := flowsession.Browser{Origin: v.place.origin, Audience: v.place.audience, IP: v.ip(), Agent: v.r.UserAgent(), ID: newID()}
	if old != nil {
		b.ID = old.ID()
	}
	e, refs := v.loginEvent(x, old != nil, b.ID), map[string]string{}
	if old != nil {
		refs = refsOf(old.Readings)
	}
	receipt, err := v.app.trail.Before(ctx, e)
	if err != nil {
		return v.failed(x, err)
	}
	if !held && !x.User.Transient { // who is nobody tomorrow owns no name (I04)
		if err := v.app.names.take(ctx, x.User.Key, x.User.Name); err != nil {
			return v.failed(x, err)
		}
	}
	if err := v.refreshHolder(ctx, x); err != nil {
		return v.failed(x, err)
	}
	if b.Device = v.setBrowser(x); b.Device != "" && readRisk(x) {
		x.Risk.Device, x.Risk.Bare = b.Device, old != nil && v.deviceID() == ""
	}
	t, s, err := v.app.sessions.Create(ctx, receipt, fin, b, v.app.limits, old, oldTicket)
	if err != nil {
		return v.failed(x, err)
	}
	if old == nil && v.session != nil { // another person signed in on this browser
		if v.app.endSession(ctx, v.session.ID(), flows.ReasonUserMismatch, nil) != nil {
			v.app.endLater(v.session, flows.ReasonUserMismatch)
		}
	}
	if oldTicket != nil {
		v.app.shared.cache.Drop(oldTicket.CacheKey())
	}
	if !v.app.shared.cache.Add(t.CacheKey(), s) {
		return v.failed(x, flows.Refuse(flows.ReasonRevoked, errors.New("the session ended while it was made")))
	}
	session.LiveOf(s).Confirm(Now())
	if err := v.ticketStore().Set(v.w, v.place.cookie, t); err != nil {
		return v.failed(x, err)
	}
	v.app.granted(x, old != nil)
	v.tellSignals(x, e, true, refs)
	v.clearPending()
	v.setRecent(x.Attempt)
	v.setDevice(x)
	v.setLastProvider(x)
	v.learn(ctx, x, b.Device)
	v.dropStored(id)
	v.session, v.known, v.review = s, nil, nil
	if err := v.approve(x); err != nil {
		return v.failed(x, err)
	}
	return v.land(x)
}

// readRisk reports whether a risk step ran in this run.
func readRisk(x *flows.Execution) bool { return x.Risk != nil && x.Risk.Run == x.ID }

// standsOn is the session a finished run changes: the one it was begun on, or
// one of the same person that another tab made meanwhile (B06).
func (v *visit) standsOn(x *flows.Execution) (*flowsession.Session, *flowsession.Ticket, error) {
	switch {
	case v.session == nil && x.Session == "":
		return nil, nil, nil
	case v.session == nil: // it ended while the run was under way
		if x.Inherited {
			return nil, nil, flows.Refuse(flows.ReasonStaleLogin, errors.New("the session ended during the login"))
		}
		return nil, nil, nil
	case v.session.User.Key != x.User.Key:
		if x.Session == v.session.ID() {
			return nil, nil, flows.Refuse(flows.ReasonUserMismatch, errors.New("the session belongs to "+string(v.session.User.Key)))
		}
		return nil, nil, nil
	}
	if !x.Inherited && !slices.ContainsFunc(x.Evidence, func(e flows.Evidence) bool { return slices.ContainsFunc(v.session.Evidence, sameEvidence(e)) }) {
		x.Evidence = append(slices.Clone(v.session.Evidence), x.Evidence...)
	}
	t, err := flowsession.ParseTicket(v.ticket)
	return v.session, &t, err
}

func sameEvidence(e flows.Evidence) func(flows.Evidence) bool {
	return func(o flows.Evidence) bool {
		return o.Provider == e.Provider && o.Method == e.Method && o.At.Equal(e.At)
	}
}

func (v *visit) loginEvent(x *flows.Execution, known bool, session string) audit.Event {
	kind := audit.Login
	if known {
		kind = audit.SessionChanged
	}
	e := v.event(kind)
	e.User, e.Name, e.Provider, e.Flow, e.Path = x.User.Key, x.User.Name, x.User.Provider, x.Flow, x.Request.Path
	e.Session, e.Person = session, x.User
	e.Facts = v.runFacts(x)
	if x.StepUp != nil && !x.Since.IsZero() {
		e.Kind, e.Approval, e.Show = audit.SteppedUp, x.StepUp.Approval, x.Show
	}
	if n := len(x.Evidence); n > 0 {
		e.AMR, e.ACR = x.Evidence[n-1].AMR, x.Evidence[n-1].ACR
		if x.Evidence[n-1].Provider == flows.Passkey {
			e.Factor = x.Evidence[n-1].Method
		}
	}
	if x.Drill != nil {
		e.Drill = x.Drill.ID
	}
	e.Risk = riskOf(x)
	for _, ev := range x.Evidence {
		e.Fallback = append(e.Fallback, ev.For...)
	}
	return e
}

// runFacts are those of a run: its session is not there yet.
func (v *visit) runFacts(x *flows.Execution) *audit.Facts {
	f := *x.Facts()
	f.Now, f.Session = v.now, nil
	out := v.app.factsOf(&f)
	if out != nil {
		out.Scheme = v.place.scheme
	}
	return out
}

// land leads to where the person wanted to go.
func (v *visit) land(x *flows.Execution) error {
	if v.stays() {
		return v.vouch.stay()
	}
	if done, err := v.landStepUp(x); done {
		return err
	}
	if x.Hop != nil {
		return v.handOver(x.Flow, x.Hop, x.ReturnTo, x.Attempt)
	}
	return v.landAt(x.ReturnTo, x.Saved)
}

// landAt lets a browser that keeps the address under saved look there first.
func (v *visit) landAt(returnTo, saved string) error {
	origin, path := v.split(returnTo)
	if !validKey(saved) {
		return v.redirect(origin + path)
	}
	return v.redirect(origin + "/.identity/flow?" + url.Values{"resume": {saved}, "return_to": {path}}.Encode())
}

// replayed answers a run that was finished before: with a session it goes on (B07).
func (v *visit) replayed(x *flows.Execution, err error) error {
	if v.session != nil {
		return v.land(x)
	}
	return v.refuseLogin(x, http.StatusBadRequest, flows.ReasonReplayed, "", "", err)
}

// failed answers an error of a run: what the far side did wrong is refused,
// what we could not do is 503. Nothing is granted in either case.
func (v *visit) failed(x *flows.Execution, err error) error {
	reason := flows.ReasonOf(err)
	switch {
	case errors.Is(err, context.Canceled):
		return nil
	case reason == flows.ReasonStaleLogin, errors.Is(err, flowsession.ErrEnded):
		return v.stale(x.ReturnTo, savedOf(x), x.Attempt)
	case reason == flows.ReasonProviderDown, reason == flows.ReasonAuditDown, errors.Is(err, flows.ErrUnavailable):
		if reason == flows.ReasonInternal {
			reason = flows.ReasonStoreDown
		}
		v.w.Header().Set("Retry-After", "5")
		return v.refuseLogin(x, http.StatusServiceUnavailable, reason, "", "", err)
	case reason == flows.ReasonInternal:
		return v.refuseLogin(x, http.StatusInternalServerError, reason, "", "", err)
	case reason == flows.ReasonInvalidAnswer, reason == flows.ReasonProviderMismatch:
		return v.refuseLogin(x, http.StatusBadRequest, reason, "", "", err)
	}
	return v.refuseLogin(x, http.StatusForbidden, reason, "", "", err)
}

// denied answers the end of a flow by its own words.
func (v *visit) denied(x *flows.Execution, d flows.Denial) error {
	if d.Reason == flows.ReasonNotAllowed || d.Reason == flows.ReasonConditionError || d.Err == nil {
		return v.refuseLogin(x, http.StatusForbidden, d.Reason, d.Text, d.Source, d.Err)
	}
	return v.failed(x, flows.Refuse(d.Reason, d.Err))
}

func (v *visit) refuseLogin(x *flows.Execution, status int, reason flows.Reason, text, source string, err error) error {
	e := v.event(audit.LoginDenied)
	e.Flow, e.Step, e.Provider, e.Reason, e.Text, e.Rule = x.Flow, v.app.stepLabel(x), x.Env.Asked, reason, text, source
	e.Risk = riskOf(x)
	if x.User != nil {
		e.User, e.Name, e.Provider, e.Person = x.User.Key, x.User.Name, cmp.Or(e.Provider, x.User.Provider), x.User
	}
	if reason == flows.ReasonNotAllowed || reason == flows.ReasonConditionError {
		e.Facts, e.Path = v.runFacts(x), x.Request.Path
	}
	if err != nil {
		e.Detail = err.Error()
		v.app.log.Warn("login refused", zap.String("id", e.ID), zap.String("reason", string(reason)), zap.Error(err))
	}
	v.app.trail.Note(e)
	refs := map[string]string{}
	if v.session != nil {
		refs = refsOf(v.session.Readings)
	}
	v.tellSignals(x, e, false, refs)
	view := pages.View{Kind: pages.KindError, Reason: reason, Text: text, ID: e.ID, Link: loginURL(x.ReturnTo)}
	if reason == flows.ReasonNotAllowed {
		view.Kind = pages.KindDenied
		view.Link = ""
	}
	if status == http.StatusServiceUnavailable {
		view.RetryAfter = 5
	}
	v.show(status, view)
	return nil
}

// countDenied counts a wrong answer: refusals of strangers are counted, not
// written one by one (I25). What a directory said of them goes no further.
func (v *visit) countDenied(x *flows.Execution, reason flows.Reason) {
	v.tellTry(x, reason)
	more := zap.Skip()
	if c := x.Env.Cause; c != nil {
		reason, more = cmp.Or(c.Reason, reason), zap.String("detail", c.Detail)
	}
	v.app.shared.metrics.tries.WithLabelValues(v.app.shared.metrics.reason(reason)).Inc()
	v.app.log.Debug("answer refused", zap.String("run", x.ID), zap.String("reason", string(reason)), zap.String("ip", v.ip()), more)
}

// slow makes a wrong first factor take 250 ms and some jitter (B27).
func (v *visit) slow() {
	n, err := rand.Int(rand.Reader, big.NewInt(int64(100*time.Millisecond)))
	if err != nil {
		n = new(big.Int)
	}
	t := time.NewTimer(250*time.Millisecond + time.Duration(n.Int64()))
	defer t.Stop()
	select {
	case <-t.C:
	case <-v.r.Context().Done():
	}
}

func (v *visit) ticketStore() *session.TicketStore {
	return session.NewTicketStore(v.place.secure, v.app.Session.Domain)
}

func (v *visit) dropStored(id string) {
	_ = v.app.store.Update(v.r.Context(), "x/"+id, func(old []byte) (flows.Change, error) {
		if old == nil {
			return flows.Keep(), nil
		}
		return flows.Remove(), nil
	})
}
