package flows

import (
	"net/http"
	"time"
)

// Registry is what a guest may reach, by configured name.
type Registry interface {
	// Provider returns a configured provider; the error lists those that exist.
	Provider(name string) (*Provider, error)
	// Providers returns all of them in the order they were written.
	Providers() []*Provider
	// Factor returns a configured factor by its kind; the error lists those that exist.
	Factor(kind string) (Factor, error)
	// Directory returns a configured directory; the error lists those that exist.
	Directory(name string) (Directory, error)
	// Messenger returns a configured messenger, which fills in the words of what it is
	// given; the error lists those that exist.
	Messenger(name string) (Messenger, error)
	// Signal returns a configured signal; the error lists those that exist.
	Signal(name string) (Signal, error)
	// Flow returns the steps of another flow, bound; an error names a cycle.
	Flow(name string) ([]Step, error)
	// Condition compiles a condition, or finds a named policy.
	Condition(ConditionRef) (Condition, error)
	// Expression compiles a CEL expression of any type.
	Expression(cel, source string) (Expression, error)
	// Vault is the guest's own sealed key space.
	Vault(space string) Vault
	// Budgets count wrong answers.
	Budgets() *Budgets
	Now() time.Time
	// Outbound is the one HTTP client: time-outs, size caps, no cross-host redirects.
	// hosts are those the operator wrote in this guest's config: trusted as written.
	Outbound(hosts ...string) *http.Client
}

// ConditionRef is a condition as configured: a named policy or CEL, never both.
type ConditionRef struct {
	Policy string `json:"policy,omitempty"`
	CEL    string `json:"cel,omitempty"`
	// Source is the file and line it was written at.
	Source string `json:"source,omitempty"`
}

// Condition is a compiled condition. An error denies, everywhere (I22).
type Condition interface {
	Named
	Holds(f *Facts) (bool, error)
}

// Expression is a compiled CEL expression.
type Expression interface {
	Named
	Value(f *Facts) (any, error)
}
