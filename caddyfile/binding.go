package caddyfile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

// binder is the registry that steps are bound to while the Caddyfile is
// adapted: it finds the same names as the hall's and compiles the same
// conditions, so that a typo is an error with file and line. Nothing runs on
// it: its clock stands, its vault is empty and it reaches nobody.
type binder struct {
	known     *known
	providers []*flows.Provider
	flows     map[string]*parsed
	path      []string
	used      map[string]bool // flows that a `use` names
}

// parsed are the steps of a flow or of a block in it, and where each was written.
type parsed struct {
	steps []flows.Step
	at    []*caddyfile.Dispenser
	inner [][]*parsed // the blocks inside each, but for those of a `when`
	bound bool
}

// placed is an error that already says where.
type placed struct{ error }

func (p placed) Unwrap() error { return p.error }

func place(d *caddyfile.Dispenser, err error) error {
	var p placed
	if err == nil || errors.As(err, &p) {
		return err
	}
	return placed{d.WrapErr(err)}
}

// bindFlow binds the steps of a flow and of every block in it, once.
func (b *binder) bindFlow(name string) error {
	f := b.flows[name]
	if f.bound {
		return nil
	}
	inner := *b
	inner.path = append(slices.Clone(b.path), name)
	if err := inner.bind(f); err != nil {
		return err
	}
	f.bound = true
	return nil
}

func (b *binder) bind(p *parsed) error {
	for i, s := range p.steps {
		switch s := s.(type) {
		case *branches:
			if err := s.bind(b); err != nil {
				return err
			}
		case flows.Binder:
			if err := s.Bind(b); err != nil {
				return place(p.at[i], err)
			}
		}
		for _, block := range p.inner[i] {
			if err := b.bind(block); err != nil {
				return err
			}
		}
	}
	return nil
}

// Provider finds a provider by name.
func (b *binder) Provider(name string) (*flows.Provider, error) {
	for _, p := range b.providers {
		if p.Name == name {
			return p, nil
		}
	}
	return nil, nobody("provider", name, b.known.providers)
}

// Providers lists all in the order they were written.
func (b *binder) Providers() []*flows.Provider { return slices.Clone(b.providers) }

// Factor finds a factor by its kind. It is a bare one: only its abilities are asked for.
func (b *binder) Factor(kind string) (flows.Factor, error) {
	f := b.known.factors[kind]
	if f == nil {
		return nil, nobody("factor", kind, slices.Sorted(maps.Keys(b.known.factors)))
	}
	return f, nil
}

// Directory finds a directory by name. What it answers is never asked.
func (b *binder) Directory(name string) (flows.Directory, error) {
	d, ok := b.known.directories[name]
	if !ok {
		return nil, nobody("directory", name, slices.Sorted(maps.Keys(b.known.directories)))
	}
	return d, nil
}

// Messenger finds a messenger by name. What it is given goes nowhere.
func (b *binder) Messenger(name string) (flows.Messenger, error) {
	if !slices.Contains(b.known.messengers, name) {
		return nil, nobody("messenger", name, b.known.messengers)
	}
	return noMessenger{}, nil
}

// Signal finds a signal by name. What it reads is never asked.
func (b *binder) Signal(name string) (flows.Signal, error) {
	if !slices.Contains(b.known.signals, name) {
		return nil, nobody("signal", name, b.known.signals)
	}
	return noSignal{}, nil
}

// Flow finds the steps of another flow, bound.
func (b *binder) Flow(name string) ([]flows.Step, error) {
	f := b.flows[name]
	if f == nil {
		return nil, nobody("flow", name, b.known.flows)
	}
	if slices.Contains(b.path, name) {
		return nil, fmt.Errorf("flow %s uses itself: %s", name, strings.Join(append(slices.Clone(b.path), name), " → "))
	}
	b.used[name] = true
	return f.steps, b.bindFlow(name)
}

// Condition compiles a condition or finds a policy.
func (b *binder) Condition(ref flows.ConditionRef) (flows.Condition, error) {
	return b.known.condition(ref)
}

// Expression compiles an expression of any type.
func (b *binder) Expression(cel, source string) (flows.Expression, error) {
	return b.known.env.Expression(cel, source)
}

// Vault is a key space that cannot be asked.
func (b *binder) Vault(string) flows.Vault { return noVault{} }

// Budgets that nobody takes from.
func (b *binder) Budgets() *flows.Budgets { return flows.NewBudgets(0, b.Now) }

// Now stands still.
func (b *binder) Now() time.Time { return time.Time{} }

// Outbound reaches nobody.
func (b *binder) Outbound(...string) *http.Client { return &http.Client{Transport: noTransport{}} }

var errAdapting = fmt.Errorf("a Caddyfile is being adapted: %w", flows.ErrUnavailable)

type noTransport struct{}

func (noTransport) RoundTrip(*http.Request) (*http.Response, error) { return nil, errAdapting }

type noDirectory struct{ written flows.Directory }

func (noDirectory) Find(context.Context, string, string) (flows.Attributes, error) {
	return nil, errAdapting
}

func (n noDirectory) FindsBy(by string) error { return flows.FindsBy(n.written, by) }

type noSignal struct{}

func (noSignal) Read(context.Context, *flows.Facts, json.RawMessage) (flows.Reading, error) {
	return flows.Reading{}, errAdapting
}

type noMessenger struct{}

func (noMessenger) Send(context.Context, flows.Message) error { return errAdapting }

type noVault struct{}

func (noVault) Get(context.Context, string) ([]byte, error) { return nil, errAdapting }

func (noVault) Create(context.Context, string, []byte, time.Duration, ...string) error {
	return errAdapting
}

func (noVault) Update(context.Context, string, func([]byte) (flows.Change, error)) error {
	return errAdapting
}

func (noVault) Members(context.Context, string, string, int) ([]string, error) {
	return nil, errAdapting
}

// branches is a `when` with its else_when and else as the door read it, so that
// the order in which conditions read names is checked as the engine will (I22).
type branches struct {
	json   whenStep
	heads  []*caddyfile.Dispenser
	conds  []flows.Named
	blocks []*parsed
}

func (w *branches) bind(b *binder) error {
	w.conds = nil
	for i, br := range w.json.Branches {
		c, err := b.Condition(br.If)
		if err != nil {
			return place(w.heads[i], err)
		}
		w.conds = append(w.conds, c)
	}
	for _, block := range w.blocks {
		if err := b.bind(block); err != nil {
			return err
		}
	}
	return nil
}

// Enter is never called: what the door read is not run.
func (w *branches) Enter(context.Context, *flows.Execution) (flows.Outcome, error) {
	return nil, errAdapting
}

// Blocks are those of the branches and of else.
func (w *branches) Blocks() ([][]flows.Step, bool) {
	var blocks [][]flows.Step
	for _, b := range w.blocks {
		blocks = append(blocks, b.steps)
	}
	return blocks, w.json.Else != nil
}

// Conditions are those of the branches.
func (w *branches) Conditions() []flows.Named { return w.conds }

var (
	_ flows.Registry  = (*binder)(nil)
	_ flows.Container = (*branches)(nil)
	_ flows.Consumer  = (*branches)(nil)
)
