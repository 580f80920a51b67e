package module

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/outbound"
	"github.com/sallyport-gateway/sallyport/module/vault"
)

// registry is what one guest may reach.
type registry struct {
	a     *App
	guest string
	path  []string
}

func (r *registry) Provider(name string) (*flows.Provider, error) {
	for _, p := range r.a.providers {
		if p.Name == name {
			return p, nil
		}
	}
	return nil, fmt.Errorf("no provider is called '%s'; there are: %s", name, r.a.providerNames())
}

func (r *registry) Providers() []*flows.Provider { return slices.Clone(r.a.providers) }

func (r *registry) Flow(name string) ([]flows.Step, error) {
	steps, ok := r.a.steps[name]
	if _, known := r.a.Flows[name]; !ok && !known {
		return nil, fmt.Errorf("no flow is called '%s'; there are: %s", name, strings.Join(orderOf(nil, r.a.Flows), ", "))
	}
	if slices.Contains(r.path, name) {
		return nil, fmt.Errorf("flow %s uses itself: %s", name, strings.Join(append(slices.Clone(r.path), name), " → "))
	}
	// The other flow's own `use` steps must be resolved before its blocks are known.
	if err := r.a.bindSteps(name, steps, append(slices.Clone(r.path), name)); err != nil {
		return nil, err
	}
	return steps, nil
}

func (r *registry) Condition(c flows.ConditionRef) (flows.Condition, error) {
	cond, err := r.a.policies.Condition(c)
	if err == nil {
		r.a.readsAttributes(cond.Source(), cond.Reads())
	}
	return cond, err
}

func (r *registry) Expression(cel, source string) (flows.Expression, error) {
	x, err := r.a.policies.Expression(cel, source)
	if err == nil {
		r.a.readsAttributes(x.Source(), x.Reads())
	}
	return x, err
}

func (r *registry) Vault(space string) flows.Vault {
	return r.a.vault(r.guest + "/" + space)
}

func (r *registry) Budgets() *flows.Budgets { return r.a.shared.budgets }

func (r *registry) Now() time.Time { return Now() }

func (r *registry) Outbound(hosts ...string) *http.Client {
	return outbound.New(outbound.Options{Trusted: hosts})
}

// vault is the key space of that name.
func (a *App) vault(space string) *vault.Vault {
	return &vault.Vault{Space: space, Store: a.store, Keys: a.keys.ring}
}
