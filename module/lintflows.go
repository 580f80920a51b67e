package module

import (
	"fmt"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/flows"
)

// flows finds steps that never run.
func (l *lint) flows() {
	for _, name := range orderOf(nil, l.a.Flows) {
		l.block(l.a.steps[name])
	}
}

// block follows steps and reports whether they surely end the flow. Of steps that are
// never reached the first is named.
func (l *lint) block(steps []flows.Step) (ends bool) {
	for i, s := range steps {
		if l.step(s) {
			if i+1 < len(steps) {
				l.unreachable(steps[i+1], fmt.Sprintf("what is behind the %s at %s, which always ends the flow", kindOf(s), sourceOf(s)))
			}
			return true
		}
	}
	return false
}

func (l *lint) step(s flows.Step) (ends bool) {
	if t, ok := s.(flows.Terminator); ok && t.Terminates() {
		return true
	}
	c, ok := s.(flows.Container)
	if !ok {
		return l.condition(s)
	}
	if r, uses := s.(flows.Reacher); uses && reachesFlow(r) {
		return false // the other flow is looked at by itself
	}
	blocks, all := c.Blocks()
	taken, over := constants(s, len(blocks))
	ends = all
	for i, b := range blocks {
		if !taken[i] {
			if len(b) > 0 {
				l.unreachable(b[0], over)
			}
			continue
		}
		ends = l.block(b) && ends
	}
	return ends && len(blocks) > 0
}

// constants says which blocks can be taken at all, and why the others cannot.
func constants(s flows.Step, n int) (taken []bool, why string) {
	taken = make([]bool, n)
	for i := range taken {
		taken[i] = true
	}
	c, ok := s.(flows.Consumer)
	if !ok {
		return taken, ""
	}
	for i, cond := range c.Conditions() {
		fixed, ok := cond.(flows.Constant)
		if !ok || i >= n {
			return taken, why
		}
		switch holds, constant := fixed.Constant(); {
		case constant && holds:
			for j := i + 1; j < n; j++ {
				taken[j] = false
			}
			return taken, fmt.Sprintf("the condition at %s always holds", cond.Source())
		case constant:
			taken[i], why = false, fmt.Sprintf("the condition at %s never holds", cond.Source())
		}
	}
	return taken, why
}

// condition looks at the condition of a `require` step; one that never holds ends the flow.
func (l *lint) condition(s flows.Step) (ends bool) {
	c, ok := s.(flows.Consumer)
	if !ok || kindOf(s) != "require" {
		return false
	}
	for _, cond := range c.Conditions() {
		fixed, ok := cond.(flows.Constant)
		if !ok {
			continue
		}
		holds, constant := fixed.Constant()
		if constant {
			l.fixed(holds, sourceOf(s))
		}
		ends = ends || constant && !holds
	}
	return ends
}

func (l *lint) fixed(holds bool, source string) {
	if holds {
		l.add(Finding{
			Code: "always_holds", Severity: LintWarning, Source: source, What: "this require always holds",
			Why: "It asks for nothing: whoever is signed in gets past it.", How: "Write what must hold, or take the line away.",
		})
		return
	}
	l.add(Finding{
		Code: "never_holds", Severity: LintError, Source: source, What: "this require can never hold",
		Why: "Nobody gets past it, whoever they are.", How: "Write what must hold; to close something for everybody say so with deny, or do not route it.",
	})
}

func (l *lint) unreachable(s flows.Step, because string) {
	l.add(Finding{
		Code: "unreachable_step", Severity: LintError, Source: sourceOf(s), What: fmt.Sprintf("this %s never runs: %s", kindOf(s), because),
		Why: "What it asks for or sets is never asked for or set.", How: "Move it before what ends the flow, mend the condition, or take it away.",
	})
}

func kindOf(s flows.Step) string {
	if m, ok := s.(caddy.Module); ok {
		return m.CaddyModule().ID.Name()
	}
	return "step"
}

func sourceOf(s flows.Step) string {
	if at, ok := s.(flows.Sourced); ok {
		return at.SourceLine()
	}
	return ""
}
