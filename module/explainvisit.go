package module

import (
	"errors"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
	"github.com/sallyport-gateway/sallyport/flows/policy"
)

// explain is ServeHTTP for a request that is only thought through: the base once, then
// the gate, which is asked and does nothing.
func (p *Protect) explain(e *explaining, w http.ResponseWriter, r *http.Request, vars map[string]any, next caddyhttp.Handler) error {
	gate := p
	if e.v == nil {
		v := p.begin(w, r, vars)
		vars[visitVar] = e
		e.v, v.now, v.session = v, e.now, e.session
		asked := originalOf(r)
		if e.base(asked) {
			return nil
		}
		other, err := v.otherGate(r, asked)
		switch {
		case err != nil:
			e.denied(http.StatusBadRequest, flows.ReasonBadPath, "", "", err)
			return nil
		case other != nil:
			gate = other
		}
	}
	if gate == p && (p.Base || p.Off) {
		return next.ServeHTTP(w, r)
	}
	e.v.p, e.v.r, e.v.w = gate, r, w
	e.err = e.judge()
	return nil
}

// base does what it does to every request; true: it ends here.
func (e *explaining) base(asked original) bool {
	v := e.v
	before := v.r.Header.Clone()
	bad := v.clean(asked, func(string) {})
	for name := range before {
		if v.r.Header[name] == nil {
			e.out.Removed = append(e.out.Removed, name)
		}
	}
	slices.Sort(e.out.Removed)
	if bad != "" {
		e.denied(http.StatusBadRequest, flows.ReasonBadPath, "", "", errors.New(bad))
		return true
	}
	if v.session != nil && len(v.app.verifiers) > 0 {
		if provider, why, err := v.contradicted(); provider != "" {
			e.note("the request does not say what provider %s said when they signed in, which ends the session: %s, %v", provider, why, err)
			v.session = nil
		}
	}
	if v.session != nil && !v.session.Alive(v.now) {
		e.note("the session's time is over")
		v.session = nil
	}
	if v.ownAddress() {
		e.out.Decision = ExplainOwn
		return true
	}
	return false
}

func (e *explaining) denied(status int, reason flows.Reason, text, rule string, err error) {
	o := e.out
	o.Decision, o.Status, o.Reason, o.Text, o.Rule = ExplainDenied, status, reason, text, rule
	o.Page, o.Audit = string(errorPage(status, reason)), append(o.Audit, audit.Denied)
	if err != nil {
		o.Error = err.Error()
	}
}

// judge is the gate's judgement.
func (e *explaining) judge() error {
	v := e.v
	v.known = nil
	v.readPath(v.r)
	e.out.Protect, e.out.Flow = v.p.Source, v.p.Flow
	if v.session != nil && len(v.p.logouts) > 0 && v.asksLogout() != nil {
		e.out.Decision = ExplainOwn
		e.note("the address ends the session")
		return nil
	}
	if v.session != nil && v.routeOver() {
		e.note("the limits of this protect have passed for the session: this route asks anew")
		v.session = nil
	}
	if !e.run && v.session != nil && e.c.Readings != nil {
		v.session.Readings, v.session.Risk = e.said(v.app.steps[v.p.Flow])
	}
	if e.run && v.session != nil { // whoever comes now goes through the flow first
		if in, err := e.signIn(); err != nil || !in {
			return e.decided(policy.Decide(&v.p.gate.gate, e.facts(v.facts())), err)
		}
	}
	return e.decided(policy.Decide(&v.p.gate.gate, e.facts(v.facts())), nil)
}

// facts adds what was written by hand.
func (e *explaining) facts(f *flows.Facts) *flows.Facts {
	f.Device = e.c.Device.facts()
	if e.c.Approved {
		for i := range e.v.p.gate.gate.Rules {
			if proof := e.v.p.gate.gate.Rules[i].Proof; proof != nil {
				f.Approved = append(f.Approved, proof.ID)
			}
		}
	}
	return f
}

// decided says what a Decision leads to.
func (e *explaining) decided(d policy.Decision, err error) error {
	v, f := e.v, e.v.facts()
	if err != nil {
		return err
	}
	e.lines(f)
	e.risk(f)
	e.person(f.User)
	switch d.Verdict {
	case policy.Allow, policy.OpenKnown:
		e.forward(f)
	case policy.Open:
		e.out.Decision, e.out.Headers = ExplainOpen, v.p.plan.Nobody().Fields()
	case policy.Login:
		return e.login()
	case policy.Prove:
		e.stepUp(d)
	case policy.Deny:
		e.denied(http.StatusForbidden, d.Reason, d.Text, d.Source, d.Err)
	}
	return nil
}

// forward is what the application would get.
func (e *explaining) forward(f *flows.Facts) {
	v := e.v
	if v.upgrades() && !v.ownUpgrade() {
		e.denied(http.StatusForbidden, flows.ReasonCrossSite, "", "", errors.New("upgrade from another origin"))
		return
	}
	fields, err := v.p.plan.Outline(v.routeFacts())
	if err != nil {
		e.denied(http.StatusForbidden, flows.ReasonOf(err), "", "", err)
		return
	}
	e.out.Decision, e.out.Headers, e.out.RemoteUser = ExplainAllowed, fields, v.p.remoteUser(v)
}

// lines are what each line of the gate says.
func (e *explaining) lines(f *flows.Facts) {
	e.out.Lines = nil
	for i, l := range policy.Lines(&e.v.p.gate.gate, f) {
		line := ExplainedLine{Do: string(l.Do), Source: l.Source, Says: says(l.Holds, l.Err)}
		if i < len(e.v.p.Rules) {
			line.Condition = e.v.p.Rules[i].Policy + e.v.p.Rules[i].CEL
		}
		switch {
		case l.Err != nil:
			line.Error = l.Err.Error()
		case !l.Matches:
			line.Says = "no match"
		case !l.Asked:
			line.Says = "not asked"
		}
		e.out.Lines = append(e.out.Lines, line)
	}
}

func says(holds bool, err error) string {
	switch {
	case err != nil:
		return "failed"
	case holds:
		return "true"
	}
	return "false"
}

// risk is what the flow read, or else the session.
func (e *explaining) risk(f *flows.Facts) {
	if r := f.Risk; r != nil && e.out.Risk == nil {
		e.out.Risk = &ExplainedRisk{Score: r.Score, Level: r.Level, Observed: r.Observed, Readings: f.Readings}
	}
}

func (e *explaining) person(u *flows.User) {
	if u == nil {
		return
	}
	was := e.out.User
	e.out.User = &ExplainedUser{
		Key: u.Key, Name: u.Name, Provider: u.Provider, Email: u.Email, Groups: u.Groups, Attributes: u.Attributes, From: e.from,
	}
	if was != nil {
		e.out.User.Enrolled = was.Enrolled
	}
}
