package flowstest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
)

// Redirector is a bound Redirector and its far side.
type Redirector struct {
	Guest flows.Redirector
	Start flows.Start
	// Answer plays the browser and the far side, where somebody signs in: it
	// follows a Redirect or Post and returns what comes back to the callback URL.
	Answer func(s Seen) (flows.Callback, error)
	// Break makes the provider unreachable for the rest of the test. Nil: it cannot be.
	Break func()
}

// TestRedirector reports every broken promise of flows.Redirector.
func TestRedirector(t *testing.T, c Redirector) {
	t.Helper()
	for _, err := range c.Problems(t.Context()) {
		t.Error(err)
	}
}

// Problems are the broken promises, none for a sound guest.
func (c Redirector) Problems(ctx context.Context) []error {
	var l list
	answer, private := c.begin(ctx, &l)
	if private == nil {
		return l.errs
	}
	c.handles(&l, answer)
	if p, err := c.Guest.Finish(ctx, answer, private); err != nil {
		l.addf("a good answer is refused: %v", err)
	} else {
		judgeProof(&l, p)
	}
	c.tampered(ctx, &l)
	c.swapped(ctx, &l)
	if c.Break != nil {
		c.Break()
		if _, _, err := c.Guest.Begin(ctx, c.Start); err != nil && flows.ReasonOf(err) != flows.ReasonProviderDown {
			l.addf("unreachable: Begin answers %v, want a refusal with %s", err, flows.ReasonProviderDown)
		}
	}
	return l.errs
}

// begin starts a login and lets the far side answer; nil private state if that failed.
func (c Redirector) begin(ctx context.Context, l *list) (flows.Callback, []byte) {
	o, private, err := c.Guest.Begin(ctx, c.Start)
	if err != nil {
		l.addf("Begin: %v", err)
		return flows.Callback{}, nil
	}
	s := Look(o)
	if s.Kind != "redirect" && s.Kind != "post" {
		l.addf("Begin answers %q, want a redirect or a post", s.Kind)
		return flows.Callback{}, nil
	}
	if len(private) == 0 {
		l.addf("Begin keeps no private state, so nothing ties the answer to this browser")
		return flows.Callback{}, nil
	}
	answer, err := c.Answer(s)
	if err != nil {
		l.addf("the far side: %v", err)
		return flows.Callback{}, nil
	}
	return answer, private
}

// handles: the state comes back as it was sent; missing and doubled are errors (O8).
func (c Redirector) handles(l *list, answer flows.Callback) {
	if got, err := c.Guest.Handle(answer); err != nil || got != c.Start.Handle {
		l.addf("Handle: %q, %v; want %q", got, err, c.Start.Handle)
	}
	if _, err := c.Guest.Handle(flows.Callback{URL: answer.URL, Method: answer.Method}); err == nil {
		l.addf("Handle takes an answer without a state")
	}
	for name, values := range answer.Values {
		if slices.Contains(values, c.Start.Handle) {
			if _, err := c.Guest.Handle(with(answer, name, c.Start.Handle, "other")); err == nil {
				l.addf("Handle takes an answer with two %s", name)
			}
		}
	}
}

// tampered: an answer with a parameter missing, changed or doubled grants nothing,
// and the error is a refusal with a reason.
func (c Redirector) tampered(ctx context.Context, l *list) {
	answer, _ := c.begin(ctx, l)
	for name := range answer.Values {
		for _, how := range []string{"doubled", "changed"} {
			fresh, private := c.begin(ctx, l)
			if private == nil {
				return
			}
			bad := with(fresh, name, append(slices.Clone(fresh.Values[name]), fresh.Values[name]...)...)
			if how == "changed" {
				bad = with(fresh, name, "x")
			}
			p, err := c.Guest.Finish(ctx, bad, private)
			if how == "changed" && err == nil && name != "code" && name != "iss" && name != "SAMLResponse" {
				continue // parameters without a meaning may change
			}
			c.refused(l, fmt.Sprintf("%s %s", how, name), p, err)
		}
	}
	fresh, private := c.begin(ctx, l)
	if private == nil {
		return
	}
	p, err := c.Guest.Finish(ctx, flows.Callback{URL: fresh.URL, Method: fresh.Method}, private)
	c.refused(l, "an empty answer", p, err)
	for _, broken := range [][]byte{nil, []byte("{}"), []byte("x"), private[:len(private)/2]} {
		p, err = c.Guest.Finish(ctx, fresh, broken)
		c.refused(l, fmt.Sprintf("private state of %d bytes", len(broken)), p, err)
	}
}

// swapped: the answer to one login is not taken for another's (login CSRF, code injection: O1).
func (c Redirector) swapped(ctx context.Context, l *list) {
	first, one := c.begin(ctx, l)
	_, two := c.begin(ctx, l)
	if one == nil || two == nil {
		return
	}
	if string(one) == string(two) {
		l.addf("two logins have the same private state")
	}
	p, err := c.Guest.Finish(ctx, first, two)
	c.refused(l, "the answer to another login", p, err)
}

func (c Redirector) refused(l *list, what string, p flows.Proof, err error) {
	var r *flows.Refusal
	if !errors.As(err, &r) || r.Reason == "" {
		l.addf("%s: got %v, want a refusal with a reason", what, err)
	}
	if p.User.Subject != "" || len(p.Evidence) > 0 {
		l.addf("%s: a proof comes with it", what)
	}
}

// judgeProof: a provider says who and how; the engine says under which name and realm.
func judgeProof(l *list, p flows.Proof) {
	u := p.User
	if u.Subject == "" {
		l.addf("the proof has no subject")
	}
	if u.Key != "" || u.Realm != "" || u.Provider != "" {
		l.addf("the proof sets key %q, realm %q or provider %q: that is the engine's", u.Key, u.Realm, u.Provider)
	}
	if p.Issuer == "" {
		l.addf("the proof has no issuer")
	}
	if len(p.Evidence) == 0 {
		l.addf("the proof has no evidence")
	}
	for _, e := range p.Evidence {
		if e.Method == "" || e.At.IsZero() {
			l.addf("evidence without a method or time: %+v", e)
		}
		if e.User != "" || e.Provider != "" {
			l.addf("evidence sets user %q or provider %q: that is the engine's", e.User, e.Provider)
		}
	}
	for name := range u.Attributes {
		if slices.Contains(flows.ReservedAttributes, name) {
			l.addf("attribute %q is reserved", name)
		}
	}
}

// with copies an answer and replaces one parameter.
func with(c flows.Callback, name string, values ...string) flows.Callback {
	c.Values = maps.Clone(c.Values)
	c.Values[name] = values
	return c
}

// list collects broken promises, also from goroutines.
type list struct {
	mu   sync.Mutex
	errs []error
}

func (l *list) addf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errs = append(l.errs, fmt.Errorf(format, args...))
}
