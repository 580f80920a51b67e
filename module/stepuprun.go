package module

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
)

// freshLogin is how long ago a person must have signed in all through before they
// may set up a factor inside a step_up.
const freshLogin = 5 * time.Minute

// stepUp is a wish to prove again who is there.
type stepUp struct {
	flows.StepUp
	// base is the flow of the route: who has no factor yet signs in by it first.
	base            *flows.Program
	returnTo, saved string
	show            []flows.Row
	hop             *flows.Hop
}

// stepUp runs a flow over the session in which nothing counts that was proved
// before. Who has none of its factors signs in anew first, then sets one up (I07),
// and then proves it.
func (v *visit) stepUp(s stepUp) error {
	if v.away() {
		return v.leaveForPortal(login{flow: s.base, returnTo: s.returnTo, saved: s.saved, stepUp: &s.StepUp})
	}
	prog, ok := v.app.run(s.Flow)
	if !ok { // the config changed on the way
		return v.stale(s.returnTo, s.saved, 0)
	}
	bare, err := v.unenrolled(s.Flow)
	if err != nil {
		return v.unavailable(err)
	}
	if bare && !v.signedInSince(Now().Add(-freshLogin)) {
		return v.startLogin(login{flow: s.base, returnTo: s.returnTo, saved: s.saved, anew: true, hop: s.hop, stepUp: &s.StepUp, provider: v.session.User.Provider})
	}
	now := Now()
	x := v.newRun(prog, s.returnTo, now)
	x.Saved, x.Provider, x.Session, x.Hop = s.saved, v.session.User.Provider, v.session.ID(), s.hop
	x.Since, x.Guarded, x.StepUp, x.Show = now, true, &s.StepUp, s.show
	if err := v.forApproval(x); err != nil {
		return v.notApproved(err)
	}
	v.inherit(x)
	v.app.shared.metrics.begun.Inc()
	before := *x
	return v.advanceAside(newPendingID(now), prog, x, nil, &before)
}

// forApproval tells a run what it is for.
func (v *visit) forApproval(x *flows.Execution) error {
	if x.StepUp.Approval == "" {
		_, path := v.split(x.ReturnTo)
		v.wants(x, path)
		return nil
	}
	ap, err := v.app.approvalOf(v.r.Context(), x.StepUp.Approval, v.session.ID())
	if err == nil && ap.State != asked {
		err = errNoApproval
	}
	if err != nil {
		return err
	}
	x.Show = ap.Show
	v.wants(x, "")
	x.Request.Method, x.Request.Host, x.Request.Path = ap.Method, ap.Host, ap.Path
	return nil
}

// unenrolled reports whether a flow asks for factors and this person has none of them.
func (v *visit) unenrolled(flow string) (bool, error) {
	kinds := v.app.factorsOf(flow)
	if len(kinds) == 0 {
		return false, nil
	}
	has, err := v.app.hasFactor(v.r.Context(), v.session.User, kinds)
	return !has, err
}

// signedInSince reports whether a provider proved this person lately.
func (v *visit) signedInSince(t time.Time) bool {
	return slices.ContainsFunc(v.session.Evidence, func(e flows.Evidence) bool {
		return e.Kind == flows.Direct && e.Provider != "" && !e.At.Before(t)
	})
}

// proved judges a finished run by what it gained. A step_up must have gained a proof
// in the session that asked for it: what came back counts, not what was asked, and a
// flow that asked for nothing proved nothing (B25). That is said once, not asked again.
func proved(x *flows.Execution, old *flowsession.Session) error {
	var before []flows.Evidence
	if old != nil {
		before = old.Evidence
	}
	gained := x.Gained(before)
	if x.StepUp == nil || x.Since.IsZero() {
		x.Proved = (x.Session == "" || x.Fresh) && flows.Proves(gained)
		return nil
	}
	if old == nil || old.ID() != x.Session {
		return flows.Refuse(flows.ReasonStaleLogin, errors.New("the session ended while something was proved for it"))
	}
	if !flows.Proves(gained) {
		return flows.Refuse(flows.ReasonAssuranceNotMet, fmt.Errorf("flow %s ended without a new proof", x.Flow))
	}
	x.Proved, x.Evidence = true, thinned(x.Evidence)
	return nil
}

// thinned keeps the newest of proofs that differ by their time only: a session in
// which much is approved does not grow.
func thinned(all []flows.Evidence) []flows.Evidence {
	var out []flows.Evidence
	for i, e := range all {
		if !slices.ContainsFunc(all[i+1:], func(o flows.Evidence) bool {
			return o.User == e.User && o.Provider == e.Provider && o.Method == e.Method && o.Kind == e.Kind && o.ACR == e.ACR && slices.Equal(o.AMR, e.AMR) && !o.At.Before(e.At)
		}) {
			out = append(out, e)
		}
	}
	return out
}

// approve marks the request that a run was for as approved.
func (v *visit) approve(x *flows.Execution) error {
	if x.StepUp == nil || x.StepUp.Approval == "" || x.Since.IsZero() {
		return nil
	}
	ap, err := v.app.approvalOf(v.r.Context(), x.StepUp.Approval, x.Session)
	if err != nil {
		return err
	}
	return v.app.move(v.r.Context(), ap, asked, approved)
}

// notApproved says that there is nothing to approve.
func (v *visit) notApproved(err error) error {
	if flows.ReasonOf(err) != flows.ReasonApprovalGone {
		return v.unavailable(err)
	}
	return v.refuse(http.StatusForbidden, flows.ReasonApprovalGone, "", "", err)
}
