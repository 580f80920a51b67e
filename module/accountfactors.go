package module

import (
	"context"
	"fmt"
	"slices"

	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
)

// findKind finds what can be set up.
func (v *visit) findKind(ctx context.Context, target string) (string, error) {
	own, err := v.app.usableFactors(ctx, v.session.User.Key)
	if err != nil {
		return "", err
	}
	if !slices.Contains(v.app.kindsToAdd(len(own) > 0), target) || v.session.User.Transient {
		return "", flows.ErrNotFound
	}
	return "", nil
}

// kindsToAdd are the kinds that a person can set up; what only stands in for others
// only where there are others.
func (a *App) kindsToAdd(enrolled bool) (kinds []string) {
	for _, kind := range orderOf(nil, a.factors) {
		f := a.factors[kind]
		_, enrols := f.(flows.Enroller)
		if _, spare := f.(flows.Spare); enrols && (enrolled || !spare) {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

func (v *visit) findFactor(ctx context.Context, target string) (string, error) {
	own, err := v.app.recordsOf(ctx, v.session.User.Key)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(own, func(r flows.Record) bool { return r.ID == target })
	if i < 0 {
		return "", flows.ErrNotFound
	}
	return v.factorTitle(own[i]), nil
}

// factorTitle is what a person knows a factor by.
func (v *visit) factorTitle(r flows.Record) string {
	kind := v.app.pages.Label(v.r, r.Factor)
	if r.Name != "" {
		return r.Name + " (" + kind + ")"
	}
	return kind
}

// nameFactor keeps what the person calls a factor.
func (v *visit) nameFactor(ctx context.Context, x *flows.Execution) error {
	e := v.accountEvent(audit.FactorRenamed, x)
	if _, err := v.app.trail.Before(ctx, e); err != nil {
		return err
	}
	return v.app.changeFactors(ctx, x.User.Key, func(list []flows.Record) ([]flows.Record, error) {
		i := slices.IndexFunc(list, func(r flows.Record) bool { return r.ID == x.Action.Target })
		if i < 0 {
			return nil, flows.ErrNotFound
		}
		list[i].Name = x.Action.Value
		return list, nil
	})
}

// removeFactor removes one. The last goes by its own proof, or one that stands in for
// it, and with it what only stands in. Of two that remove each other one stays: what
// proved the removal must still be there.
func (v *visit) removeFactor(ctx context.Context, x *flows.Execution) error {
	own, err := v.app.recordsOf(ctx, x.User.Key)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(own, func(r flows.Record) bool { return r.ID == x.Action.Target })
	if i < 0 {
		return flows.ErrNotFound
	}
	e := v.accountEvent(audit.FactorRemoved, x)
	e.Factor = own[i].Factor
	if _, err := v.app.trail.Before(ctx, e); err != nil {
		return err
	}
	var left []flows.Record
	err = v.app.changeFactors(ctx, x.User.Key, func(list []flows.Record) ([]flows.Record, error) {
		n, own := len(list), provedByOne(x, list)
		list = slices.DeleteFunc(list, func(r flows.Record) bool { return r.ID == x.Action.Target })
		if len(list) == n {
			return nil, flows.ErrNotFound
		}
		list = v.app.withoutIdleSpares(list)
		if !own && (len(list) == 0 || !v.app.provedByImplied(x)) {
			return nil, flows.Refuse(flows.ReasonAssuranceNotMet, fmt.Errorf("the removal of a factor of %s was not proved by one that is still there", x.User.Key))
		}
		left = list
		return list, nil
	})
	if err != nil {
		return err
	}
	if err := (holders{v.app}).forget(ctx, own, left); err != nil { // it lets nobody in without a key
		v.app.log.Warn("what removed passkeys knew of somebody is still kept", zap.String("user", string(x.User.Key)), zap.Error(err))
	}
	v.app.dropDevices(ctx, x.User.Key)
	v.tellOf(x, "factor_removed", map[string]string{"factor": e.Factor})
	return nil
}

// provedByOne reports whether the run was proved by a factor of the list.
func provedByOne(x *flows.Execution, list []flows.Record) bool {
	return slices.ContainsFunc(x.Evidence, func(e flows.Evidence) bool {
		return e.Kind == flows.Direct && e.Provider == "" && slices.ContainsFunc(list, func(r flows.Record) bool { return r.ID == e.Record })
	})
}

// provedByImplied reports whether it was proved by one that needs no enrolment.
func (a *App) provedByImplied(x *flows.Execution) bool {
	return slices.ContainsFunc(x.Evidence, func(e flows.Evidence) bool {
		_, implied := a.factors[e.Method].(flows.Implied)
		return e.Kind == flows.Direct && e.Provider == "" && implied
	})
}

// withoutIdleSpares drops what would stand in for nothing.
func (a *App) withoutIdleSpares(list []flows.Record) []flows.Record {
	spare := func(r flows.Record) bool { _, ok := a.factors[r.Factor].(flows.Spare); return ok }
	if slices.ContainsFunc(list, func(r flows.Record) bool { return !spare(r) }) {
		return list
	}
	return nil
}
