package flowstest

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// Start is the first instant of a Registry's own clock.
var Start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Registry is a flows.Registry in memory for tests of guests: what a test puts
// in is what the guest finds. Set its fields before it is used; the methods may
// be called concurrently.
type Registry struct {
	// Clock replaces the registry's own clock, which stands at Start until Forward.
	Clock func() time.Time
	// Client is what Outbound answers; nil: a plain client.
	Client *http.Client
	// Directories are those that Directory finds, by name.
	Directories map[string]flows.Directory
	// Messengers are those that Messenger finds, by name.
	Messengers map[string]flows.Messenger
	// Signals are those that Signal finds, by name.
	Signals map[string]flows.Signal
	// Flows are the steps of other flows, by name.
	Flows map[string][]flows.Step
	// Factors are those that Factor finds, by kind.
	Factors map[string]flows.Factor
	// OnCondition and OnExpression compile; nil: an error.
	OnCondition  func(flows.ConditionRef) (flows.Condition, error)
	OnExpression func(cel, source string) (flows.Expression, error)

	mu        sync.Mutex
	providers []*flows.Provider
	vaults    map[string]*Vault
	budgets   *flows.Budgets
	moved     time.Duration
}

// NewRegistry makes one that holds these providers, in this order.
func NewRegistry(providers ...*flows.Provider) *Registry {
	r := &Registry{vaults: map[string]*Vault{}}
	r.providers = append(r.providers, providers...)
	// Large enough that two keys of a test practically never share a slot.
	r.budgets = flows.NewBudgets(1<<16, r.Now)
	return r
}

// Add puts one more provider behind the others.
func (r *Registry) Add(name, typ string, guest flows.ProviderGuest) *Registry {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.providers = append(r.providers, &flows.Provider{Name: name, Type: typ, Guest: guest})
	return r
}

// Forward moves the registry's own clock.
func (r *Registry) Forward(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.moved += d
}

// Now is Clock, or Start plus what Forward was told.
func (r *Registry) Now() time.Time {
	if r.Clock != nil {
		return r.Clock()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return Start.Add(r.moved)
}

// Provider finds one by name; the error lists those that exist.
func (r *Registry) Provider(name string) (*flows.Provider, error) {
	var names []string
	for _, p := range r.Providers() {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return nil, fmt.Errorf("no provider is called '%s'; there are: %s", name, strings.Join(names, ", "))
}

// Providers returns all in the order they were added.
func (r *Registry) Providers() []*flows.Provider {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*flows.Provider(nil), r.providers...)
}

// Factor returns one of Factors.
func (r *Registry) Factor(kind string) (flows.Factor, error) {
	if f, ok := r.Factors[kind]; ok {
		return f, nil
	}
	return nil, fmt.Errorf("no factor '%s' is configured", kind)
}

// Directory returns one of Directories.
func (r *Registry) Directory(name string) (flows.Directory, error) {
	if d, ok := r.Directories[name]; ok {
		return d, nil
	}
	return nil, fmt.Errorf("no directory is called '%s'", name)
}

// Messenger returns one of Messengers.
func (r *Registry) Messenger(name string) (flows.Messenger, error) {
	if m, ok := r.Messengers[name]; ok {
		return m, nil
	}
	return nil, fmt.Errorf("no messenger is called '%s'", name)
}

// Signal returns one of Signals.
func (r *Registry) Signal(name string) (flows.Signal, error) {
	if s, ok := r.Signals[name]; ok {
		return s, nil
	}
	return nil, fmt.Errorf("no signal is called '%s'", name)
}

// Flow returns the steps put into Flows.
func (r *Registry) Flow(name string) ([]flows.Step, error) {
	if s, ok := r.Flows[name]; ok {
		return s, nil
	}
	return nil, fmt.Errorf("no flow is called '%s'", name)
}

// Condition asks OnCondition.
func (r *Registry) Condition(ref flows.ConditionRef) (flows.Condition, error) {
	if r.OnCondition == nil {
		return nil, errors.New("this test registry compiles no conditions")
	}
	return r.OnCondition(ref)
}

// Expression asks OnExpression.
func (r *Registry) Expression(cel, source string) (flows.Expression, error) {
	if r.OnExpression == nil {
		return nil, errors.New("this test registry compiles no expressions")
	}
	return r.OnExpression(cel, source)
}

// Vault is a key space in memory on the registry's clock.
func (r *Registry) Vault(space string) flows.Vault { return r.VaultOf(space) }

// VaultOf is Vault with its switches for tests.
func (r *Registry) VaultOf(space string) *Vault {
	r.mu.Lock()
	defer r.mu.Unlock()
	v := r.vaults[space]
	if v == nil {
		v = NewVault(r.Now)
		r.vaults[space] = v
	}
	return v
}

// Budgets count on the registry's clock.
func (r *Registry) Budgets() *flows.Budgets { return r.budgets }

// Outbound is Client.
func (r *Registry) Outbound(...string) *http.Client {
	if r.Client != nil {
		return r.Client
	}
	return &http.Client{}
}

var _ flows.Registry = (*Registry)(nil)
