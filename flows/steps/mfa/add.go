package mfa

import (
	"context"
	"errors"
	"fmt"

	"github.com/sallyport-gateway/sallyport/flows"
)

// add has the person set up one factor more: the one that the run's action names.
// A step before this one had them prove what they have.
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
