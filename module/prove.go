package module

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
	"github.com/sallyport-gateway/sallyport/flows/policy"
)

// approvalHeader is where a script puts the id of the approval when it sends the
// same request again.
const approvalHeader = "Sallyport-Approval"

// prove answers a request whose person is known and has to prove something more: a
// page goes through the flow and comes back, a program hears 401 and where to (B25).
func (v *visit) prove(d policy.Decision, next caddyhttp.Handler) error {
	if d.Proof.Once {
		return v.once(d, next)
	}
	su := flows.StepUp{Flow: proofFlow(d.Proof)}
	switch {
	case v.toScript():
		at, err := v.sealStepUp(su)
		if err != nil {
			return v.unavailable(err)
		}
		return v.stepUpRequired(d.Reason, map[string]any{"step_up_url": stepUpURL("for", at)})
	case v.r.Method == http.MethodGet || v.r.Method == http.MethodHead:
		return v.stepUp(stepUp{StepUp: su, base: v.p.program, returnTo: v.wanted()})
	}
	return v.keepAndStepUp(su)
}

func proofFlow(p *policy.Proof) string {
	if p.Flow == "" {
		return anyFactor
	}
	return p.Flow
}

// toScript reports a request that is no page's: nobody can be asked in its answer.
func (v *visit) toScript() bool {
	return v.p.Unauthenticated == "401" || v.p.Unauthenticated != "redirect" && !isNavigation(v.r)
}

// once lets a request through that was approved, and asks for an approval of any
// other (I20).
func (v *visit) once(d policy.Decision, next caddyhttp.Handler) error {
	b, err := v.bind(d.Proof)
	if err != nil {
		return v.notBound(d, err)
	}
	had, err := v.presented(b)
	if err != nil && !errors.Is(err, errNoApproval) {
		return v.unavailable(err)
	}
	var ap *approval
	if err == nil && had.State == approved && string(had.Sum) == string(b.sum) {
		ap = had
		v.facts().Approved = ap.Rules
		d = v.decision()
		switch {
		case d.Verdict != policy.Prove:
			_, _ = v.readBody()
			v.body.approval = ap
			return v.decided(d, next, false)
		case !d.Proof.Once:
			return v.prove(d, next) // the approval waits for it
		}
		if b, err = v.bind(d.Proof); err != nil {
			return v.notBound(d, err)
		}
	}
	return v.askApproval(d, b, had, ap)
}

// presented is the approval that this request comes with: a script names it, of a
// navigation the request itself is the name.
func (v *visit) presented(b *bound) (*approval, error) {
	ctx, id := v.r.Context(), v.r.Header[approvalHeader]
	delete(v.r.Header, approvalHeader) // the application has no business with it
	switch {
	case v.replay != nil && v.replay.approval != "":
		return v.app.approvalOf(ctx, v.replay.approval, v.session.ID())
	case len(id) == 1:
		return v.app.approvalOf(ctx, id[0], v.session.ID())
	case len(id) > 1:
		return nil, errNoApproval
	}
	ap, err := v.app.approvalOfRequest(ctx, v.session.ID(), b.sum)
	if err == nil && v.toScript() && ap.State == approved {
		return nil, errNoApproval // a script has to say that it means this one
	}
	return ap, err
}

// notBound refuses a request that no approval can be bound to.
func (v *visit) notBound(d policy.Decision, err error) error {
	switch reason := flows.ReasonOf(err); reason {
	case flows.ReasonTooLarge:
		return v.refuse(http.StatusRequestEntityTooLarge, reason, "", d.Source, err)
	case flows.ReasonNotApprovable, flows.ReasonUnclearFields, flows.ReasonUnstableBody:
		return v.refuse(http.StatusForbidden, reason, "", d.Source, err)
	}
	return v.refuse(bodyStatus(err), flows.ReasonInvalidAnswer, "", d.Source, err)
}

// askApproval asks for an approval of this request. had is the one it came with, or
// nil; ap the same if it was good, but not for all rules.
func (v *visit) askApproval(d policy.Decision, b *bound, had, ap *approval) error {
	reason, misses := d.Reason, 0
	if had != nil && string(had.Sum) != string(b.sum) {
		n, err := v.app.missed(v.r.Context(), had)
		if err != nil && flows.ReasonOf(err) != flows.ReasonApprovalGone {
			return v.unavailable(err)
		}
		reason, misses = flows.ReasonRequestChanged, max(n, had.Misses+1)
		if misses >= maxMisses {
			return v.refuse(http.StatusForbidden, flows.ReasonRequestChanged, "", d.Source, fmt.Errorf("%d requests in a row were not what was approved", misses))
		}
	}
	rules := []string{d.Proof.ID}
	if ap != nil {
		rules = append(slices.Clone(ap.Rules), d.Proof.ID)
	}
	if had == nil || had.State != asked || string(had.Sum) != string(b.sum) || !slices.Equal(had.Rules, rules) {
		from := originalOf(v.r)
		had = &approval{
			State: asked, Session: v.session.ID(), Sum: b.sum, Rules: rules, Base: v.p.Flow, Flow: proofFlow(d.Proof), Show: b.show,
			Method: v.r.Method, Host: v.place.host, Path: from.url.Path, Misses: misses, Source: d.Source,
			Expires: Now().Add(approvalFor), id: newID(),
		}
		if err := v.app.keepApproval(v.r.Context(), had); err != nil {
			if flows.ReasonOf(err) == flows.ReasonTooManyTries {
				return v.refuse(http.StatusTooManyRequests, flows.ReasonTooManyTries, "", d.Source, err)
			}
			return v.unavailable(err)
		}
	}
	su := flows.StepUp{Flow: had.Flow, Approval: had.id}
	if v.toScript() {
		return v.stepUpRequired(reason, map[string]any{
			"approval": had.id, "step_up_url": stepUpURL("approval", had.id), "approval_url": approvalURL(had.id),
			"expires_in": int(had.Expires.Sub(Now()).Seconds()),
		})
	}
	if v.r.Method != http.MethodGet && v.r.Method != http.MethodHead {
		return v.keepAndStepUp(su)
	}
	if to := v.target(); safePath(to) != to { // our redirect back would ask for something else
		return v.notBound(d, notApprovable("the address cannot be returned to as it is"))
	}
	return v.stepUp(stepUp{StepUp: su, base: v.p.program, returnTo: v.wanted(), show: had.Show})
}

// keepAndStepUp is for a form. It is kept until its person comes back (I21); what
// cannot be kept they send again, and an approval waits for it.
func (v *visit) keepAndStepUp(su flows.StepUp) error {
	s := stepUp{StepUp: su, base: v.p.program, returnTo: v.page()}
	if key, err := v.hold(v.session.User.Key, v.session.ID(), su.Approval); err == nil {
		s.returnTo, s.saved = v.wanted(), key
	}
	return v.stepUp(s)
}

// stepUpRequired tells a script that its person is asked for a proof first; it sets
// no cookie.
func (v *visit) stepUpRequired(reason flows.Reason, more map[string]any) error {
	h := v.w.Header()
	h.Set("WWW-Authenticate", "Sallyport")
	more["error"], more["reason"] = flows.ReasonStepUpRequired, reason
	return v.json(http.StatusUnauthorized, more)
}

func approvalURL(id string) string { return "/.identity/approval?" + url.Values{"id": {id}}.Encode() }

// spend uses the approval up, right before its request is forwarded: whatever the
// application does with it, it was the only time (I20). False: it was answered.
func (v *visit) spend() (bool, error) {
	ap := v.body.approval
	if err := v.app.move(v.r.Context(), ap, approved, used); err != nil {
		if flows.ReasonOf(err) == flows.ReasonApprovalGone {
			return false, v.refuse(http.StatusForbidden, flows.ReasonApprovalGone, "", ap.Source, err)
		}
		return false, v.unavailable(err)
	}
	e := v.event(audit.ApprovalUsed)
	e.Rule, e.Flow, e.Approval, e.Show = ap.Source, ap.Flow, ap.id, ap.Show
	if _, err := v.app.trail.Before(v.r.Context(), e); err != nil {
		return false, v.unavailable(err)
	}
	return true, nil
}
