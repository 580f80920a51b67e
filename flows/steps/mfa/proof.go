package mfa

import (
	"context"
	"slices"

	"github.com/sallyport-gateway/sallyport/flows"
)

// implied are what a person could prove beyond a password before they set up their
// first factor: nothing in a fallback login (I07).
func (m *MFA) implied(x *flows.Execution) (own []flows.Record) {
	if flows.FellBack(x.Evidence) {
		return nil
	}
	for _, kind := range proving {
		if f := m.proofs[kind]; f != nil {
			own = append(own, f.Imply(x.User)...)
		}
	}
	return own
}

// beginProof sends a code; what is set up waits for it. kind chooses one of several.
func (m *MFA) beginProof(ctx context.Context, x *flows.Execution, setUp, kind string) (flows.Outcome, error) {
	own := m.implied(x)
	if len(own) == 0 {
		return m.enter(ctx, x)
	}
	if !has(own, kind) {
		kind = own[0].Factor
	}
	k := kept{Factor: kind, For: setUp}
	c := m.of(x, k, own)
	if err := m.proofs[kind].Begin(ctx, c); err != nil {
		return nil, err
	}
	k.State = c.State
	return flows.Ask(m.proofPage(x, k, own, "")), m.keep(x, k)
}

// proofPage is that of the code, with what it is for and the other ways.
func (m *MFA) proofPage(x *flows.Execution, k kept, own []flows.Record, problem flows.Reason) flows.Page {
	p := m.proofs[k.Factor].Draw(m.of(x, k, own))
	if problem != "" {
		p.Problem = problem
	}
	p.Widgets = slices.Insert(p.Widgets, 0, flows.Widget(flows.Note{Code: "proof_first"}))
	for _, r := range own {
		if r.Factor != k.Factor {
			use, _ := m.proofs[r.Factor].Labels()
			p.Widgets = append(p.Widgets, flows.Choice{Name: "factor", Value: r.Factor, Label: use})
		}
	}
	if m.Enroll == enrollAllow {
		p.Widgets = append(p.Widgets, flows.Choice{Name: "later", Value: "1", Label: "not_now"})
	}
	return p
}

// resumeProof takes the code, or the choice of another way, and goes on to what is
// set up.
func (m *MFA) resumeProof(ctx context.Context, x *flows.Execution, k kept, in flows.Input) (flows.Outcome, error) {
	own := m.implied(x)
	other := in.Value("factor")
	switch {
	case in.Value("later") != "" && m.Enroll == enrollAllow:
		return flows.Continue(), nil
	case !has(own, k.Factor): // another configuration, or address
		return m.enter(ctx, x)
	case other != "" && other != k.Factor && has(own, other):
		return m.beginProof(ctx, x, k.For, other)
	}
	v, err := m.judge(ctx, x, m.proofs[k.Factor], &k, own, in)
	if err != nil {
		return nil, err
	}
	if !v.right {
		p := m.proofPage(x, k, own, v.problem)
		p.Wait = max(p.Wait, v.wait)
		return flows.Ask(p), m.keep(x, k)
	}
	m.prove(x, k.Factor, v.amr, flows.Direct)
	return m.setUp(ctx, x, k.For)
}
