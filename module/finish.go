package module

import (
	"errors"
	"net/http"
	"slices"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
	"github.com/sallyport-gateway/sallyport/module/session"
)

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
	s, err := v.makeSession(receipt, fin, b, old, oldTicket)
	if err != nil {
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

// makeSession makes the session, in the place of old, and gives its ticket to the browser.
func (v *visit) makeSession(receipt audit.Receipt, fin flows.Finished, b flowsession.Browser, old *flowsession.Session, oldTicket *flowsession.Ticket) (*flowsession.Session, error) {
	ctx := v.r.Context()
	t, s, err := v.app.sessions.Create(ctx, receipt, fin, b, v.app.limits, old, oldTicket)
	if err != nil {
		return nil, err
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
		return nil, flows.Refuse(flows.ReasonRevoked, errors.New("the session ended while it was made"))
	}
	session.LiveOf(s).Confirm(Now())
	return s, v.ticketStore().Set(v.w, v.place.cookie, t)
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

func (v *visit) ticketStore() *session.TicketStore {
	return session.NewTicketStore(v.place.secure, v.app.Session.Domain)
}

// replayed answers a run that was finished before: with a session it goes on (B07).
func (v *visit) replayed(x *flows.Execution, err error) error {
	if v.session != nil {
		return v.land(x)
	}
	return v.refuseLogin(x, http.StatusBadRequest, flows.ReasonReplayed, "", "", err)
}
