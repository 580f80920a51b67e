package module

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
	"github.com/sallyport-gateway/sallyport/module/pages"
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

// stepUpPage serves /.identity/step-up, the address that a script was told.
func (v *visit) stepUpPage() error {
	q := v.r.URL.Query()
	returnTo := "" // the page that says that it is done
	if s := one(q, "return_to"); s != "" {
		returnTo = v.returnTo(s)
	}
	switch {
	case isPrefetch(v.r.Header):
		return v.unauthorized()
	case v.session == nil && v.problem != nil && !gone(v.problem):
		return v.unavailable(v.problem)
	case v.session == nil:
		return v.notApproved(errNoApproval)
	}
	s := stepUp{returnTo: returnTo}
	var base string
	if id := one(q, "approval"); id != "" {
		ap, err := v.app.approvalOf(v.r.Context(), id, v.session.ID())
		if err != nil {
			return v.notApproved(err)
		}
		if ap.State != asked {
			return v.redirect(v.place.origin + approvalURL(id))
		}
		base, s.StepUp = ap.Base, flows.StepUp{Flow: ap.Flow, Approval: id}
	} else {
		t, err := v.openStepUp(one(q, "for"))
		if err != nil {
			return v.notApproved(err)
		}
		base, s.StepUp = t.Base, flows.StepUp{Flow: t.Flow}
	}
	prog, ok := v.app.programs[base]
	if !ok {
		return v.notApproved(errNoApproval)
	}
	s.base, v.p = prog, v.gateFor(prog)
	return v.stepUp(s)
}

// gateFor is a gate of a flow only, for runs that belong to no route of this host.
func (v *visit) gateFor(prog *flows.Program) *Protect {
	p := &Protect{ProtectConfig: ProtectConfig{Flow: prog.Name, Source: v.p.Source}, gate: &gate{app: v.app, program: prog}}
	p.gate.gate.Flow, p.gate.gate.Digest = prog.Name, prog.Digest
	return p
}

// approvalPage serves /.identity/approval: the state of an approval for the script
// that asked, and the page that a person ends at.
func (v *visit) approvalPage() error {
	page := isNavigation(v.r)
	switch {
	case !page && !v.ownOrTyped():
		return v.refuse(http.StatusForbidden, flows.ReasonCrossSite, "", "", errors.New("approval asked for by another site"))
	case v.session == nil && v.problem != nil && errors.Is(v.problem, flowsession.ErrRotated):
		return v.rotated()
	case v.session == nil && v.problem != nil && !gone(v.problem):
		return v.unavailable(v.problem)
	case v.session == nil:
		return v.notApproved(errNoApproval)
	}
	id := one(v.r.URL.Query(), "id")
	if page && id == "" {
		v.show(http.StatusOK, pages.View{Kind: pages.KindApproved, Link: "/"})
		return nil
	}
	ap, err := v.app.approvalOf(v.r.Context(), id, v.session.ID())
	switch {
	case err != nil && (page || flows.ReasonOf(err) != flows.ReasonApprovalGone):
		return v.notApproved(err)
	case err != nil:
		return v.json(http.StatusNotFound, map[string]any{"error": flows.ReasonApprovalGone})
	case page && ap.State == void:
		return v.notApproved(errNoApproval)
	case page && ap.State == asked:
		return v.redirect(v.place.origin + stepUpURL("approval", id))
	case page:
		v.show(http.StatusOK, pages.View{Kind: pages.KindApproved, Link: "/"})
		return nil
	}
	return v.json(http.StatusOK, map[string]any{"state": ap.State, "expires_in": int(ap.Expires.Sub(Now()).Seconds())})
}

// landStepUp goes on behind a run with a step_up: to the proof that it made way for,
// or, where no address waits, to the page that says that it is done.
func (v *visit) landStepUp(x *flows.Execution) (bool, error) {
	switch {
	case x.StepUp == nil:
		return false, nil
	case x.Since.IsZero() && x.Hop == nil && v.away():
		return false, nil
	case x.Since.IsZero():
		base, ok := v.app.programs[x.Flow]
		if !ok || v.session == nil {
			return false, nil
		}
		v.app.log.Debug("signed in anew to set up a factor", zap.String("session", v.session.ID()))
		return true, v.stepUp(stepUp{StepUp: *x.StepUp, base: base, returnTo: x.ReturnTo, saved: x.Saved, hop: x.Hop})
	case x.ReturnTo == "" && x.Hop == nil:
		return true, v.redirect(v.place.origin + doneURL(x.StepUp))
	}
	return false, nil
}

func doneURL(s *flows.StepUp) string {
	if s.Approval == "" {
		return "/.identity/approval"
	}
	return approvalURL(s.Approval)
}
