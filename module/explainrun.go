package module

import (
	"cmp"
	"context"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
	"github.com/sallyport-gateway/sallyport/flows/policy"
	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
)

// signIn thinks the route's flow through for the session, and reports whether it lets
// the person in: then the session finished it, as whoever the flow made of them.
func (e *explaining) signIn() (bool, error) {
	x, in, err := e.through(e.v.p.program, false)
	if err != nil || !in {
		return false, err
	}
	e.finished(x)
	e.out.Audit = append(e.out.Audit, audit.Login)
	return true, nil
}

// finished makes the session what it is behind the route's flow.
func (e *explaining) finished(x *flows.Execution) {
	v := e.v
	c := flowsession.Card{ID: explainedID, Started: e.now, Seen: e.now, Flows: map[string]flowsession.Done{}}
	if v.session != nil {
		c = v.session.Card
	}
	c.User, c.Name, c.Provider = x.User.Key, x.User.Name, x.User.Provider
	done := map[string]flowsession.Done{v.p.Flow: {Digest: v.p.program.Digest, At: e.now}}
	for name, d := range c.Flows {
		if name != v.p.Flow {
			done[name] = d
		}
	}
	c.Flows = done
	e.limits(&c)
	v.session = flowsession.Sketch(c, x.User, x.Evidence, x.Readings, x.Risk)
	v.known = nil
}

// through thinks a flow through: what was given stands in for signals and directories.
func (e *explaining) through(p *flows.Program, anew bool) (*flows.Execution, bool, error) {
	v := e.v
	x := v.newRun(p, v.wanted(), e.now)
	v.wants(x, v.wanted())
	if s := v.session; s != nil {
		x.Session, x.User, x.Evidence, x.Readings, x.Risk, x.Inherited = s.ID(), s.User, slices.Clone(s.Evidence), s.Readings, s.Risk, true
	}
	if anew {
		x.Since, x.Provider = e.now, x.User.Provider
	}
	x.Env = flows.Env{
		Now: e.now, Request: v.facts().Request, Enrolments: foreseenFactors{e}, Devices: foreseenDevices{e}, Holders: holders{v.app},
		Down: e.down(x), Said: e.c.Readings, Given: e.given(), Offline: e.c.Offline, Locate: v.app.locate,
		Browser: func(*flows.User) flows.DeviceFacts { return e.c.Device.facts() }, Learned: e.learned,
		Trail: func(context.Context, flows.Deed) error { return errThinking },
	}
	if e.stored {
		x.Env.MayEnter = v.app.sessions.MayEnter
	}
	way, in, err := p.Foresee(v.r.Context(), x)
	if err != nil && len(way) == 0 {
		return x, false, err
	}
	e.path(way, x)
	if !anew {
		e.risk(x.Facts())
	}
	return x, in, nil
}

func (e *explaining) down(x *flows.Execution) func(*flows.Provider) bool {
	judged := e.v.isDown(x)
	return func(p *flows.Provider) bool { return slices.ContainsFunc(e.c.Down, p.Called) || judged(p) }
}

func (e *explaining) given() map[string]flows.Finding {
	out := map[string]flows.Finding{}
	for name, found := range e.c.Lookups {
		f := flows.Finding{Attributes: found}
		if found == nil {
			f.Err = flows.ErrNotFound
		}
		out[name] = f
	}
	return out
}

// path tells the way of a flow.
func (e *explaining) path(way []flows.Foreseen, x *flows.Execution) {
	e.out.Path = nil
	for _, f := range way {
		s := ExplainedStep{Says: "passed", Block: f.Took + 1}
		if m, ok := f.Step.(caddy.Module); ok {
			s.Step = m.CaddyModule().ID.Name()
		}
		if l, ok := f.Step.(flows.Sourced); ok {
			s.Source = l.SourceLine()
		}
		for _, j := range f.Conditions {
			line := ExplainedLine{Do: s.Step, Source: j.Source, Says: says(j.Holds, j.Err)}
			if j.Err != nil {
				line.Error = j.Err.Error()
			}
			s.Conditions = append(s.Conditions, line)
		}
		switch {
		case f.Err != nil:
			s.Says, s.Reason, s.Error = "failed", flows.ReasonOf(f.Err), f.Err.Error()
		case f.Denied != nil:
			s.Says, s.Reason, s.Text = "denied", f.Denied.Reason, f.Denied.Text
			if f.Denied.Source != s.Source {
				s.Rule = f.Denied.Source
			}
			if f.Denied.Err != nil {
				s.Error = f.Denied.Err.Error()
			}
		case f.Waits != nil:
			e.waits(&s, f.Waits)
		case f.LeftOut:
			s.Says = "left out"
			e.note("step %s%s was not run: it talks to others", s.Step, written(s.Source))
		}
		e.out.Path = append(e.out.Path, s)
	}
}

// waits tells what the person would be asked.
func (e *explaining) waits(s *ExplainedStep, o flows.Outcome) {
	s.Says = "waits"
	p := flows.PageOf(o)
	if p == nil {
		return
	}
	s.Asks = p.Kind
	for _, w := range p.Widgets {
		if c, ok := w.(flows.Choice); ok {
			s.Choices = append(s.Choices, c.Value)
		}
	}
}

// login is the answer to who is not signed in for this route.
func (e *explaining) login() error {
	v := e.v
	if len(e.out.Path) == 0 {
		x, in, err := e.through(v.p.program, false)
		if err != nil {
			return err
		}
		if in { // the flow has nothing to ask: the browser is sent round and comes back
			e.finished(x)
			e.out.Audit = append(e.out.Audit, audit.Login)
			return e.decided(policy.Decide(&v.p.gate.gate, e.facts(v.facts())), nil)
		}
	}
	e.out.Decision, e.out.Reason, e.out.Status = ExplainLogin, flows.ReasonLoginRequired, e.sent()
	e.stands()
	return nil
}

// stands says where the flow stopped.
func (e *explaining) stands() {
	if len(e.out.Path) == 0 {
		return
	}
	last := e.out.Path[len(e.out.Path)-1]
	e.out.Page = last.Asks
	switch last.Says {
	case "denied":
		e.loginDenied(http.StatusForbidden, last.Reason, last.Text, cmp.Or(last.Rule, last.Source))
		e.out.Error = last.Error
	case "failed":
		e.loginDenied(failedStatus(last.Reason), last.Reason, "", last.Source)
		e.out.Error = last.Error
	case "waits":
		switch last.Asks {
		case "factor", "enrol", "proof":
			e.out.Decision, e.out.Factors, e.out.Rule = ExplainFactor, last.Choices, last.Source
		case "login", "choose", "register":
		default:
			e.out.Decision, e.out.Rule = ExplainAsked, last.Source
		}
	}
}

// loginDenied is denied, by the flow: the trail calls that something else.
func (e *explaining) loginDenied(status int, reason flows.Reason, text, rule string) {
	kinds := e.out.Audit
	e.denied(status, reason, text, rule, nil)
	e.out.Audit = append(kinds, audit.LoginDenied)
}

// failedStatus is the answer to a run that failed.
func failedStatus(reason flows.Reason) int {
	switch reason {
	case flows.ReasonProviderDown, flows.ReasonAuditDown, flows.ReasonDirectoryDown, flows.ReasonStoreDown:
		return http.StatusServiceUnavailable
	case flows.ReasonInternal:
		return http.StatusInternalServerError
	case flows.ReasonInvalidAnswer, flows.ReasonProviderMismatch:
		return http.StatusBadRequest
	}
	return http.StatusForbidden
}

// sent is the status of the answer to who has to sign in or to prove more first.
func (e *explaining) sent() int {
	if e.v.toScript() {
		return http.StatusUnauthorized
	}
	if e.v.r.Method != http.MethodGet && e.v.r.Method != http.MethodHead {
		return 0
	}
	return http.StatusSeeOther
}

// stepUp tells what is to be proved.
func (e *explaining) stepUp(d policy.Decision) {
	e.out.Decision, e.out.Reason, e.out.Rule, e.out.Status = ExplainStepUp, d.Reason, d.Source, e.sent()
	prog, ok := e.v.app.run(proofFlow(d.Proof))
	if !ok {
		return
	}
	if _, _, err := e.through(prog, true); err != nil {
		e.note("the flow of the step_up: %v", err)
		return
	}
	if n := len(e.out.Path); n > 0 && e.out.Path[n-1].Says == "waits" {
		e.out.Factors, e.out.Page = e.out.Path[n-1].Choices, e.out.Path[n-1].Asks
	}
}
