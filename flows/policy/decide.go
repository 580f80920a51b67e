package policy

import (
	"fmt"

	"github.com/sallyport-gateway/sallyport/flows"
)

// Do is what a rule of `protect` does.
type Do string

// The kinds of rule.
const (
	Public   Do = "public"
	Optional Do = "optional"
	Require  Do = "require"
)

// Rule is one public, optional or require line, ready to be asked.
type Rule struct {
	Do Do
	// Match tells whether the rule is about this request; nil: about every request.
	Match func(*flows.Facts) (bool, error)
	// Cond must hold; nil: being signed in is enough. Only a require has one.
	Cond flows.Condition
	// Text is shown to a person who is refused; Source is the file and line of the rule.
	Text, Source string
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
	case Deny:
	}
	return "deny"
}

// Decision is the answer of Decide. Reason, Text, Source and Err are set for
// Deny, Reason also for Login; Err is for the operator only.
type Decision struct {
	Verdict      Verdict
	Reason       flows.Reason
	Text, Source string
	Err          error
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
// The strictest line wins and order never matters (I19): all matching requires
// hold together and beat optional, which beats public; a matcher or condition
// that cannot tell denies. Of several failing lines the first as written is shown.
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
			case Require:
				require = true
			}
		}
		if failed {
			continue // only the verdict's first reason is shown
		}
		switch {
		case err != nil:
			denied, failed = r.deny(flows.ReasonConditionError, err), true
		case hit && (known || r.Do != Require):
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

func (r *Rule) matches(f *flows.Facts) (bool, error) {
	if r.Match == nil {
		return true, nil
	}
	return r.Match(f)
}

// judge asks a matching rule's condition; true means that it denies.
func (r *Rule) judge(f *flows.Facts) (Decision, bool) {
	switch {
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

func (r *Rule) deny(why flows.Reason, err error) Decision {
	return Decision{Verdict: Deny, Reason: why, Text: r.Text, Source: r.Source, Err: err}
}
