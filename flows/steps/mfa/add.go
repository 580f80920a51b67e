package mfa

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sallyport-gateway/sallyport/flows"
)

// add has the person set up the factor that the run's action names.
func (m *MFA) add(ctx context.Context, x *flows.Execution) (flows.Outcome, error) {
	if x.User == nil || x.Action == nil || x.Env.Enrolments == nil {
		return nil, errors.New("mfa: a factor is added by an action of the account page only")
	}
	kind := x.Action.Target
	if m.factors[kind] == nil || x.User.Transient {
		return m.notEnrolled(fmt.Errorf("no factor '%s' can be kept for %s", kind, x.User.Key)), nil
	}
	return m.beginEnrol(ctx, x, kind)
}

// adds reports whether what is set up is one more: the run proved one that was
// enrolled before. Otherwise it is the first one, by I07.
func (m *MFA) adds(x *flows.Execution) bool {
	return m.Enroll == enrollAdd && slices.ContainsFunc(x.Evidence, func(e flows.Evidence) bool {
		return e.Kind == flows.Direct && e.Provider == "" && e.Record != "" && m.proofs[e.Method] == nil
	})
}
