package policy

import (
	"fmt"
	"slices"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// Do is what a rule of `protect` does.
type Do string

// The kinds of rule.
const (
	Public   Do = "public"
	Optional Do = "optional"
	Require  Do = "require"
	StepUp   Do = "step_up"
)

// Rule is one public, optional, require or step_up line, ready to be asked.
type Rule struct {
	Do Do
	// Match tells whether the rule is about this request; nil: about every request.
	Match func(*flows.Facts) (bool, error)
	// Cond must hold; nil: being signed in is enough. Of a step_up it says whether one is
	// asked for; nil: always. Others have none.
	Cond flows.Condition
	// Proof is what a step_up asks for; nil on others.
	Proof *Proof
	// Text is shown to a person who is refused; Source is the file and line of the rule.
	Text, Source string
}

// Proof is what a step_up asks for.
type Proof struct {
	// ID names the rule for as long as it means the same.
	ID string
	// Flow proves it; empty: any of our own factors does.
	Flow string
	// Within is how old the newest proof may be; zero: as old as the session.
	Within time.Duration
	// Once asks for an approval of this very request (I20).
	Once bool
	// Show are the fields of the request that are shown before it is approved.
	Show []string
}

// given reports whether these facts hold such a proof. It looks at what was
// verified, never at what was asked for (B25).
func (p *Proof) given(f *flows.Facts) bool {
	if p.Once {
		return slices.Contains(f.Approved, p.ID)
	}
	at := f.Session.Proved[p.Flow]
	if p.Flow == "" {
		at = f.FactorAt()
	}
	return !at.IsZero() && (p.Within == 0 || f.Now.Sub(at) <= p.Within)
}

// Gate is what one `protect` asks for.
type Gate struct {
	// Flow is the flow that a session must have finished, Digest the one it has
	// now. The digest is for the trail: a changed flow logs nobody out (I28).
	Flow, Digest string
	Rules        []Rule
}

// Verdict is what happens to a request.
type Verdict int

// The verdicts. The zero value denies.
const (
	// Deny: 403, whoever asks.
	Deny Verdict = iota
	// Login: the flow has to be run first.
	Login
	// Allow: signed in and everything required holds.
	Allow
	// Open: no login asked for, and no identity shown.
	Open
	// OpenKnown: no login asked for, but there is one: identity shown.
	OpenKnown
	// Prove: signed in, and asked to prove something more for this.
	Prove
)

func (v Verdict) String() string {
	switch v {
	case Login:
		return "login"
	case Allow:
		return "allow"
	case Open:
		return "open"
	case OpenKnown:
		return "open_known"
	case Prove:
		return "step_up"
	case Deny:
	}
	return "deny"
}

// Decision is the answer of Decide. Reason, Text, Source and Err are set for
// Deny, Reason also for Login, Reason and Source also for Prove; Err is for the
// operator only.
type Decision struct {
	Verdict      Verdict
	Reason       flows.Reason
	Text, Source string
	// Proof is what is asked for (Prove).
	Proof *Proof
	Err   error
}

// SignedIn reports whether these facts show a person who finished this gate's
// flow (I01). The digest the flow had then does not matter.
func (g *Gate) SignedIn(f *flows.Facts) bool {
	if f == nil || f.User == nil || f.Session == nil || g.Flow == "" {
		return false
	}
	_, ok := f.Session.Flows[g.Flow]
	return ok
}

// Decide judges one request. It is pure: the handler, explain, tests and replay call it.
//
// The strictest line wins and order never matters (I19): all matching requires and
// step_ups hold together and beat optional, which beats public; a matcher or
// condition that cannot tell denies. Of several failing lines the first as written
// is shown, or asked for.
func Decide(g *Gate, f *flows.Facts) Decision {
	known := g.SignedIn(f)
	var denied Decision
	var public, optional, require, failed bool
	for i := range g.Rules {
		r := &g.Rules[i]
		hit, err := r.matches(f)
		if err == nil && hit {
			switch r.Do {
			case Public:
				public = true
			case Optional:
				optional = true
			case Require, StepUp:
				require = true
			}
		}
		if failed {
			continue // only the verdict's first reason is shown
		}
		switch {
		case err != nil:
			denied, failed = r.deny(flows.ReasonConditionError, err), true
		case hit && (known || r.Do != Require && r.Do != StepUp):
			denied, failed = r.judge(f)
		}
	}
	switch {
	case failed:
		return denied
	case !known && (require || !optional && !public):
		return Decision{Verdict: Login, Reason: flows.ReasonLoginRequired}
	case require || !optional && !public:
		return Decision{Verdict: Allow}
	case optional && known:
		return Decision{Verdict: OpenKnown}
	default:
		return Decision{Verdict: Open}
	}
}

// Line is what one line of a gate said of a request.
type Line struct {
	Do     Do
	Source string
	// Matches: it is about this request. Holds: its condition does, and a step_up's proof
	// is there; true without either. It is not asked where the line does not match, and of
	// require and step_up only where somebody is signed in.
	Matches, Asked, Holds bool
	// Err is why it could not be told; then the line denies (I22).
	Err error
}

// Lines asks every line of a gate, also those behind the one that decides.
func Lines(g *Gate, f *flows.Facts) []Line {
	known := g.SignedIn(f)
	lines := make([]Line, len(g.Rules))
	for i := range g.Rules {
		r, l := &g.Rules[i], &lines[i]
		l.Do, l.Source = r.Do, r.Source
		if l.Matches, l.Err = r.matches(f); l.Err != nil || !l.Matches {
			continue
		}
		if l.Asked = known || r.Do != Require && r.Do != StepUp; l.Asked {
			d, stops := r.judge(f)
			l.Holds, l.Err = !stops, d.Err
		}
	}
	return lines
}

func (r *Rule) matches(f *flows.Facts) (bool, error) {
	if r.Match == nil {
		return true, nil
	}
	return r.Match(f)
}

// judge asks a matching rule's condition; true means that it denies.
func (r *Rule) judge(f *flows.Facts) (Decision, bool) {
	switch {
	case r.Do == StepUp:
		return r.ask(f)
	case r.Do != Public && r.Do != Optional && r.Do != Require:
		return r.deny(flows.ReasonInternal, fmt.Errorf("%s: a rule cannot %q", r.Source, r.Do)), true
	case r.Cond == nil:
		return Decision{}, false
	case r.Do != Require:
		// Ignoring it would open what somebody meant to guard.
		return r.deny(flows.ReasonInternal, fmt.Errorf("%s: %s takes no condition", r.Source, r.Do)), true
	}
	ok, err := r.Cond.Holds(f)
	if err != nil {
		return r.deny(flows.ReasonConditionError, err), true
	}
	if !ok {
		return r.deny(flows.ReasonNotAllowed, nil), true
	}
	return Decision{}, false
}

// ask is judge of a step_up: true means that a proof is missing, or that it cannot be
// told whether one is (I22).
func (r *Rule) ask(f *flows.Facts) (Decision, bool) {
	if r.Proof == nil {
		return r.deny(flows.ReasonInternal, fmt.Errorf("%s: a step_up that asks for nothing", r.Source)), true
	}
	if r.Cond != nil {
		if ok, err := r.Cond.Holds(f); err != nil {
			return r.deny(flows.ReasonConditionError, err), true
		} else if !ok {
			return Decision{}, false
		}
	}
	if r.Proof.given(f) {
		return Decision{}, false
	}
	return Decision{Verdict: Prove, Reason: flows.ReasonStepUpRequired, Source: r.Source, Proof: r.Proof}, true
}

func (r *Rule) deny(why flows.Reason, err error) Decision {
	return Decision{Verdict: Deny, Reason: why, Text: r.Text, Source: r.Source, Err: err}
}
