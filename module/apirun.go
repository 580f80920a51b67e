package module

import (
	"context"
	"errors"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
	"github.com/sallyport-gateway/sallyport/module/session"
)

// showing is what the flow of this route makes of a credential: as it was believed a
// moment ago, or anew. It is believed for the same provider, flow, place and address
// only: another route decides itself (O12).
func (v *visit) showing(t *taker, cred flows.ClientCredential) (*session.Client, error) {
	return v.app.shared.clients.Do(v.r.Context(), v.clientKey(t, cred), Now, func(last *session.Client) (*session.Client, error) {
		got, err := v.showsAnew(t, cred, last)
		if v.r.Context().Err() != nil { // perhaps that was why
			return nil, v.r.Context().Err()
		}
		return got, err
	})
}

func (v *visit) clientKey(t *taker, cred flows.ClientCredential) session.ClientKey {
	return v.app.shared.clients.Key(t.provider.Name, t.config, v.p.Flow, v.p.program.Digest, v.place.origin, v.ip(), v.p.api.ttl.String(), cred.Secret)
}

// showsAnew asks the provider and runs the flow.
func (v *visit) showsAnew(t *taker, cred flows.ClientCredential, last *session.Client) (*session.Client, error) {
	ctx := v.r.Context()
	proof, err := t.VerifyClient(ctx, v.facts().Request, cred)
	switch {
	case couldNotTell(err):
		return nil, err
	case errors.Is(err, flows.ErrCredentials), flows.ReasonOf(err) == flows.ReasonTooManyTries:
		return &session.Client{Refusal: err}, nil
	case err != nil:
		return v.turnAway(t, nil, flows.Denial{Reason: flows.ReasonOf(err), Err: err}), nil
	}
	x := v.clientRun(t, proof)
	out, fin, err := v.p.program.Advance(ctx, x, nil)
	switch {
	case err != nil && couldNotTell(err):
		return nil, err
	case err != nil:
		return v.turnAway(t, x, flows.Denial{Reason: flows.ReasonOf(err), Err: err}), nil
	case fin == nil:
		d := clientDenied{flows.Denial{Reason: flows.ReasonInteractionRequired}}
		_ = out.Accept(&d) // whatever asks or sends away is nothing for a program
		return v.turnAway(t, x, d.Denial), nil
	}
	got, err := v.admit(ctx, t, x, *fin, proof, last)
	if err != nil && !couldNotTell(err) {
		return v.turnAway(t, x, flows.Denial{Reason: flows.ReasonOf(err), Err: err}), nil
	}
	return got, err
}

// couldNotTell reports an error that is never to be read as "no" (I16).
func couldNotTell(err error) bool {
	if err == nil || errors.Is(err, flows.ErrCredentials) {
		return false
	}
	switch flows.ReasonOf(err) {
	case flows.ReasonProviderDown, flows.ReasonStoreDown, flows.ReasonAuditDown, flows.ReasonServiceDown, flows.ReasonDirectoryDown, flows.ReasonInternal:
		return true
	default:
		return errors.Is(err, flows.ErrUnavailable)
	}
}

// clientRun is a run of the route's flow for this very request, with nobody to ask.
func (v *visit) clientRun(t *taker, proof flows.Proof) *flows.Execution {
	x := v.newRun(v.p.program, v.wanted(), Now())
	f := v.facts().Request
	x.Request = flows.Request{Method: f.Method, Scheme: f.Scheme, Host: f.Host, Path: f.Path, Query: f.Query, IP: f.IP}
	v.lend(x.ID, x)
	x.Env.Client, x.Env.Device = &flows.Client{Provider: t.provider, Proof: proof}, nil
	return x
}

// admit makes the session of a finished run, as finish does for people: the name, the
// trail, then what is granted. What the trail knows already is not told again (I25).
func (v *visit) admit(ctx context.Context, t *taker, x *flows.Execution, fin flows.Finished, proof flows.Proof, last *session.Client) (*session.Client, error) {
	held, err := v.app.names.held(ctx, x.User.Key, x.User.Name)
	if err != nil {
		return nil, err
	}
	now := Now()
	got := &session.Client{ID: newID(), Until: now.Add(v.p.api.ttl)}
	lifetime := v.app.limits.Lifetime
	same := last != nil && last.Session != nil && now.Before(last.Session.Card.Expires) && sameClient(last.Session.User, x.User)
	if same {
		got.ID, got.Receipt, lifetime = last.ID, last.Receipt, last.Session.Card.Expires.Sub(now)
	} else if got.Receipt, err = v.app.trail.Before(ctx, v.admitted(t, x, got.ID)); err != nil {
		return nil, err
	}
	if !held && !x.User.Transient {
		if err := v.app.names.take(ctx, x.User.Key, x.User.Name); err != nil {
			return nil, err
		}
	}
	issued := proof.Issued
	if issued.IsZero() {
		issued = now
	}
	got.Session, err = v.app.sessions.Momentary(ctx, got.Receipt, fin, got.ID, v.place.audience, issued, lifetime)
	if err != nil {
		return nil, err
	}
	got.Session.Local = &session.Live{}
	if same {
		got.Session.Local = last.Session.Local
	}
	if got.Session.Card.Expires.Before(got.Until) {
		got.Until = got.Session.Card.Expires
	}
	return got, nil
}

// sameClient reports that the trail would say the same of both.
func sameClient(a, b *flows.User) bool {
	return a.Key == b.Key && a.Name == b.Name && a.Provider == b.Provider
}

func (v *visit) admitted(t *taker, x *flows.Execution, id string) audit.Event {
	e := v.event(audit.ClientAdmitted)
	e.User, e.Name, e.Provider, e.Session, e.Person = x.User.Key, x.User.Name, t.provider.Name, id, x.User
	if n := len(x.Evidence); n > 0 {
		e.AMR, e.ACR = x.Evidence[n-1].AMR, x.Evidence[n-1].ACR
	}
	return e
}

// turnAway remembers that the flow of this route refuses whoever holds a credential, and
// has it in the trail once. x is nil where it came to no run.
func (v *visit) turnAway(t *taker, x *flows.Execution, d flows.Denial) *session.Client {
	e := v.event(audit.LoginDenied)
	e.Provider, e.Reason, e.Text, e.Rule = t.provider.Name, d.Reason, d.Text, d.Source
	if x != nil {
		e.Step = v.app.stepLabel(x)
	}
	if x != nil && x.User != nil {
		e.User, e.Name, e.Person = x.User.Key, x.User.Name, x.User
	}
	if d.Err != nil {
		e.Detail = d.Err.Error()
	}
	v.app.trail.Note(e)
	return &session.Client{Refusal: &flows.Refusal{Reason: d.Reason, Err: d.Err}, Text: d.Text, ID: e.ID, Until: Now().Add(v.p.api.ttl)}
}

// clientDenied takes the outcome of a program's run, which may only end.
type clientDenied struct{ flows.Denial }

func (*clientDenied) Continue() error                      { return nil }
func (*clientDenied) Take(int) error                       { return nil }
func (*clientDenied) Ask(flows.Page) error                 { return nil }
func (*clientDenied) Redirect(string) error                { return nil }
func (*clientDenied) Post(string, []flows.FormField) error { return nil }
func (c *clientDenied) Deny(d flows.Denial) error          { c.Denial = d; return nil }

var _ flows.Visitor = (*clientDenied)(nil)
