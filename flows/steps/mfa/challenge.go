package mfa

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/sallyport-gateway/sallyport/flows"
)

// kept is the private state of a waiting step. The run that holds it stays in the
// store: an older copy would give back tries and codes (I08).
type kept struct {
	// Factor is the kind that is asked for or set up; empty: one is being chosen.
	Factor    string `json:"factor,omitempty"`
	Enrolling bool   `json:"enrolling,omitempty"`
	// For is the kind that is set up once Factor is proved.
	For   string          `json:"for,omitempty"`
	State json.RawMessage `json:"state,omitempty"`
	// Remember is the box, as it was ticked last.
	Remember bool `json:"remember,omitempty"`
}

func (m *MFA) kept(x *flows.Execution) (kept, error) {
	var k kept
	ok, err := x.Kept(&k)
	if err == nil && !ok {
		err = errors.New("mfa waits without state")
	}
	return k, err
}

func (m *MFA) keep(x *flows.Execution, k kept) error {
	x.Guarded = true
	return x.Keep(k)
}

// of is what a factor works on in this run.
func (m *MFA) of(x *flows.Execution, k kept, own []flows.Record) *flows.Challenge {
	c := &flows.Challenge{User: x.User, State: k.State, Origin: x.Origin, Language: x.Language, Show: x.Show, Now: x.Env.Now}
	for _, r := range own {
		if r.Factor == k.Factor {
			c.Records = append(c.Records, r)
		}
	}
	return c
}

// challenge begins a try at one factor.
func (m *MFA) challenge(ctx context.Context, x *flows.Execution, own []flows.Record, kind string) (flows.Outcome, error) {
	k := kept{Factor: kind}
	c := m.of(x, k, own)
	if err := m.factors[kind].Begin(ctx, c); err != nil {
		return nil, err
	}
	k.State = c.State
	return m.ask(x, k, own, ""), m.keep(x, k)
}

func (m *MFA) ask(x *flows.Execution, k kept, own []flows.Record, problem flows.Reason) flows.Outcome {
	return flows.Ask(m.page(x, k, own, problem))
}

// page is that of the factor, with the others the person could use.
func (m *MFA) page(x *flows.Execution, k kept, own []flows.Record, problem flows.Reason) flows.Page {
	p := m.factors[k.Factor].Draw(m.of(x, k, own))
	if problem != "" {
		p.Problem = problem
	}
	if len(x.Show) > 0 {
		p.Widgets = append([]flows.Widget{flows.Table{Label: "approving", Rows: x.Show}}, p.Widgets...)
	}
	if m.mayTrust(x) {
		p.Widgets = append(p.Widgets, m.box(k.Remember))
	}
	for _, kind := range m.Factors {
		if kind != k.Factor && has(own, kind) {
			use, _ := m.factors[kind].Labels()
			p.Widgets = append(p.Widgets, flows.Choice{Name: "factor", Value: kind, Label: use})
		}
	}
	return p
}

// verify judges an answer; what is right counts as a proof.
func (m *MFA) verify(ctx context.Context, x *flows.Execution, k kept, own []flows.Record, in flows.Input) (flows.Outcome, error) {
	v, err := m.judge(ctx, x, m.factors[k.Factor], &k, own, in)
	if err != nil {
		return nil, err
	}
	if !v.right {
		p := m.page(x, k, own, v.problem)
		p.Wait = max(p.Wait, v.wait)
		return flows.Ask(p), m.keep(x, k)
	}
	if err := m.remember(ctx, x, k); err != nil {
		return nil, err
	}
	m.prove(x, k.Factor, v.amr, flows.Direct)
	x.Evidence[len(x.Evidence)-1].Record = v.record
	return flows.Continue(), nil
}

// judged is what came of an answer.
type judged struct {
	right   bool
	record  string
	amr     []string
	problem flows.Reason
	wait    int
}

// judge counts the try, has the factor judge it and notes its use, in this
// order: a guess is never free, and one proof is worth one sign-in (I08, I09). The
// wish to have something sent again is no guess.
func (m *MFA) judge(ctx context.Context, x *flows.Execution, f flows.Factor, k *kept, own []flows.Record, in flows.Input) (judged, error) {
	c := m.of(x, *k, own)
	if s, ok := f.(flows.Sender); ok {
		if again, err := s.Resend(ctx, c, in); again || err != nil {
			k.State = c.State
			return judged{}, err
		}
	}
	wait, err := x.Env.Enrolments.Reserve(ctx, x.User.Key, k.Factor)
	if err != nil {
		return judged{}, err
	}
	if wait > 0 {
		return judged{problem: flows.ReasonTooManyTries, wait: flows.WaitSeconds(wait)}, nil
	}
	v, err := f.Verify(ctx, c, in)
	k.State = c.State
	if err == nil && !v.Again && v.Use != nil {
		err = x.Env.Enrolments.Use(ctx, x.User.Key, v.Record, v.Use)
	}
	switch {
	case errors.Is(err, flows.ErrCredentials), errors.Is(err, flows.ErrReplayed), errors.Is(err, flows.ErrNotFound):
		errors.As(err, &x.Env.Cause)
		return judged{problem: wrong(err)}, nil
	case err != nil, v.Again:
		return judged{}, err
	}
	return judged{right: true, record: v.Record, amr: v.AMR}, x.Env.Enrolments.Proved(ctx, x.User.Key, k.Factor)
}

// wrong is the factor's own word for a wrong answer, where it has one.
func wrong(err error) flows.Reason {
	if r := flows.ReasonOf(err); r != flows.ReasonInternal {
		return r
	}
	return flows.ReasonWrongCode
}

// prove adds the evidence. A second kind beside what the login proved is `mfa`
// (RFC 8176 §2).
func (m *MFA) prove(x *flows.Execution, kind string, amr []string, how flows.EvidenceKind) {
	second := slices.ContainsFunc(x.Evidence, func(e flows.Evidence) bool { return e.Counts() && e.Method != kind })
	if second && !slices.Contains(amr, "mfa") {
		amr = append(slices.Clone(amr), "mfa")
	}
	e := flows.Evidence{User: x.User.Key, Method: kind, AMR: amr, At: x.Env.Now, Kind: how}
	x.Evidence = append(slices.Clip(x.Evidence), e)
	x.Inherited = false
}
