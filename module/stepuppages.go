package module

import (
	"errors"
	"net/http"

	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
	"github.com/sallyport-gateway/sallyport/module/pages"
)

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
