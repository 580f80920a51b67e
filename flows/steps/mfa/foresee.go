package mfa

import (
	"context"
	"errors"
	"slices"

	"github.com/sallyport-gateway/sallyport/flows"
)

// Foresee answers as Enter does, and of a page only its kind and which factors it would
// offer, the one that is asked for first: nothing is sent, and nothing made (I26).
func (m *MFA) Foresee(ctx context.Context, x *flows.Execution) (flows.Outcome, error) {
	if m.satisfied(x) {
		return flows.Continue(), nil
	}
	if x.User == nil || x.Env.Enrolments == nil || m.Enroll == enrollAdd {
		return nil, errors.New("mfa: nobody has signed in yet")
	}
	own, err := m.enrolled(ctx, x)
	if err != nil {
		return nil, err
	}
	if len(own) == 0 {
		return m.foreseeNone(x), nil
	}
	switch ok, err := m.trusted(ctx, x); {
	case err != nil:
		return nil, err
	case ok:
		return flows.Continue(), nil
	}
	return flows.Ask(choices("factor", kindsOf(own))), nil
}

// foreseeNone is enter: who has enrolled nothing sets something up, perhaps behind a code.
func (m *MFA) foreseeNone(x *flows.Execution) flows.Outcome {
	if o := m.unasked(x); o != nil {
		return o
	}
	if !m.vouched(x) {
		return flows.Ask(choices("proof", kindsOf(m.implied(x))))
	}
	return flows.Ask(choices("enrol", m.enrollers()))
}

// choices is what can be told of a page before anybody is asked.
func choices(kind string, factors []string) flows.Page {
	p := flows.Page{Kind: kind}
	for _, f := range factors {
		p.Widgets = append(p.Widgets, flows.Choice{Name: "factor", Value: f, Label: f})
	}
	return p
}

func kindsOf(own []flows.Record) (kinds []string) {
	for _, r := range own {
		if !slices.Contains(kinds, r.Factor) {
			kinds = append(kinds, r.Factor)
		}
	}
	return kinds
}

var _ flows.Foreseer = (*MFA)(nil)
