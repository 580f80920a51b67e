package mfa

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sallyport-gateway/sallyport/flows"
)

// enter is for who has enrolled none of the factors.
func (m *MFA) enter(ctx context.Context, x *flows.Execution) (flows.Outcome, error) {
	if o := m.unasked(x); o != nil {
		return o, nil
	}
	k := kept{Enrolling: true}
	if kinds := m.enrollers(); len(kinds) == 1 && m.Enroll != enrollAllow {
		return m.beginEnrol(ctx, x, kinds[0])
	}
	return flows.Ask(m.enrolPage(x, k, "")), m.keep(x, k)
}

// unasked is the answer to who has enrolled none of the factors and is asked for nothing;
// nil: they are to set one up.
func (m *MFA) unasked(x *flows.Execution) flows.Outcome {
	vouched := m.vouched(x) || len(m.implied(x)) > 0
	switch {
	case x.User.Transient && m.Enroll != enrollAllow:
		return m.notEnrolled(fmt.Errorf("%s is somebody for this login only: no factor can be kept for them", x.User.Key))
	case x.User.Transient, m.Enroll == enrollAllow && !vouched:
		return flows.Continue()
	case m.Enroll == enrollDeny:
		return m.notEnrolled(fmt.Errorf("%s has enrolled none of %v", x.User.Key, m.Factors))
	case !vouched:
		return m.notEnrolled(fmt.Errorf("%s has enrolled none of %v, and nothing beyond a password vouches for them", x.User.Key, m.Factors))
	}
	return nil
}

// notEnrolled keeps its words for the log: the page has its own.
func (m *MFA) notEnrolled(err error) flows.Outcome {
	return flows.Deny(flows.Denial{Reason: flows.ReasonNotEnrolled, Source: m.Source, Err: err})
}

// vouched reports whether more than a password says who this is: a provider that
// asked for a second factor itself, or a code that reached them. Never in a fallback
// login: whoever brings the provider down could then enrol with a stolen password (I07).
func (m *MFA) vouched(x *flows.Execution) bool {
	return !flows.FellBack(x.Evidence) && slices.ContainsFunc(x.Evidence, func(e flows.Evidence) bool {
		switch {
		case e.Kind != flows.Direct:
			return false
		case e.Provider == "":
			return m.proofs[e.Method] != nil && x.Honours(&e)
		}
		return slices.Contains(e.AMR, "mfa")
	})
}

// enrollers are the kinds that a person can set up here, in the order written.
func (m *MFA) enrollers() (kinds []string) {
	for _, kind := range m.Factors {
		f := m.factors[kind]
		_, enrols := f.(flows.Enroller)
		if _, spare := f.(flows.Spare); enrols && !spare {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

// beginEnrol has a factor set up, by who is known beyond a password.
func (m *MFA) beginEnrol(ctx context.Context, x *flows.Execution, kind string) (flows.Outcome, error) {
	if _, spare := m.factors[kind].(flows.Spare); !spare && !m.vouched(x) && !m.adds(x) {
		return m.beginProof(ctx, x, kind, "")
	}
	return m.setUp(ctx, x, kind)
}

func (m *MFA) setUp(ctx context.Context, x *flows.Execution, kind string) (flows.Outcome, error) {
	e, ok := m.factors[kind].(flows.Enroller)
	if !ok {
		return m.notEnrolled(fmt.Errorf("factor %s cannot be set up here", kind)), nil
	}
	k := kept{Factor: kind, Enrolling: true}
	c := m.of(x, k, nil)
	if err := e.BeginEnrol(ctx, c); err != nil {
		return nil, err
	}
	k.State = c.State
	return flows.Ask(m.enrolPage(x, k, "")), m.keep(x, k)
}

// enrolPage is that of the factor being set up, or the choice of one.
func (m *MFA) enrolPage(x *flows.Execution, k kept, problem flows.Reason) flows.Page {
	p := flows.Page{Kind: "enrol"}
	if k.Factor != "" {
		p = m.factors[k.Factor].(flows.Enroller).DrawEnrol(m.of(x, k, nil))
	}
	p.Problem = problem
	if _, spare := m.factors[k.Factor].(flows.Spare); spare || m.Enroll == enrollAdd {
		return p
	}
	for _, kind := range m.enrollers() {
		if kind != k.Factor {
			_, setUp := m.factors[kind].Labels()
			p.Widgets = append(p.Widgets, flows.Choice{Name: "factor", Value: kind, Label: setUp})
		}
	}
	if m.Enroll == enrollAllow {
		p.Widgets = append(p.Widgets, flows.Choice{Name: "later", Value: "1", Label: "not_now"})
	}
	return p
}

func (m *MFA) resumeEnrol(ctx context.Context, x *flows.Execution, k kept, in flows.Input) (flows.Outcome, error) {
	_, spare := m.factors[k.Factor].(flows.Spare)
	kind := in.Value("factor")
	switch {
	case in.Value("later") != "" && m.Enroll == enrollAllow && !spare:
		return flows.Continue(), nil
	case !spare && m.Enroll != enrollAdd && slices.Contains(m.enrollers(), kind) && kind != k.Factor:
		return m.beginEnrol(ctx, x, kind)
	case k.Factor == "":
		return flows.Ask(m.enrolPage(x, k, "")), m.keep(x, k)
	}
	c := m.of(x, k, nil)
	r, amr, err := m.factors[k.Factor].(flows.Enroller).Enrol(ctx, c, in)
	k.State = c.State
	if errors.Is(err, flows.ErrCredentials) {
		return flows.Ask(m.enrolPage(x, k, wrong(err))), m.keep(x, k)
	}
	if err != nil {
		return nil, err
	}
	r.Factor = k.Factor
	// What has been vouched for is the first one (I07): if another run set one up
	// meanwhile, that one is asked for.
	r.First = !spare && !m.adds(x)
	switch err := x.Env.Enrolments.Add(ctx, x.User, r); {
	case errors.Is(err, flows.ErrExists):
		return m.Enter(ctx, x)
	case err != nil:
		return nil, err
	}
	if spare {
		return m.enrolledNow(ctx, x)
	}
	m.prove(x, k.Factor, amr, flows.EnrolledNow)
	return m.offerSpare(ctx, x)
}

// offerSpare hands out what stands in for a lost factor, to who has one now and no
// such thing yet.
func (m *MFA) offerSpare(ctx context.Context, x *flows.Execution) (flows.Outcome, error) {
	own, err := m.enrolled(ctx, x)
	if err != nil {
		return nil, err
	}
	for _, kind := range m.Factors {
		if _, spare := m.factors[kind].(flows.Spare); spare && !has(own, kind) {
			return m.beginEnrol(ctx, x, kind)
		}
	}
	return m.enrolledNow(ctx, x)
}

// enrolledNow goes on behind an enrolment. A run that asks anew asks for the factor
// once more: setting it up says nothing about who did it (I03).
func (m *MFA) enrolledNow(ctx context.Context, x *flows.Execution) (flows.Outcome, error) {
	if x.Since.IsZero() {
		return flows.Continue(), nil
	}
	return m.Enter(ctx, x)
}
