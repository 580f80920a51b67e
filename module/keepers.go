package module

import (
	"context"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
)

// keepers are the guests that keep something of people, one for each thing that is kept.
func (a *App) keepers() (list []flows.Keeper) {
	seen := map[string]bool{}
	add := func(guest any) {
		if k, ok := guest.(flows.Keeper); ok && !seen[k.Keeps()] {
			seen[k.Keeps()] = true
			list = append(list, k)
		}
	}
	for _, name := range orderOf(nil, a.steps) {
		for s := range flows.AllSteps(a.steps[name]) {
			add(s)
		}
	}
	for _, p := range a.providers {
		if k, ok := p.Guest.(flows.Keeper); ok {
			list = append(list, k) // each keeps its own
		}
	}
	if a.profiles() {
		list = append(list, profileKeeper{a})
	}
	return list
}

// deed writes the trail of what a step is about to do for a person (I25).
func (v *visit) deed(ctx context.Context, x *flows.Execution, d flows.Deed) error {
	e := v.event(audit.Kind(d.Kind))
	e.Flow, e.Item, e.Rule = x.Flow, d.Item, d.Source
	if x.User != nil {
		e.User, e.Name, e.Provider, e.Person = x.User.Key, x.User.Name, x.User.Provider, x.User
	}
	_, err := v.app.trail.Before(ctx, e)
	return err
}
