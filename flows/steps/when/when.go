// Package when is the step that takes the first of its blocks whose condition
// holds. The Caddyfile's `when`, `else_when` and `else` are read by the front
// door, which writes them as one step.
package when

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() {
	caddy.RegisterModule(When{})
}

// When takes the first branch whose condition holds, else the else block. A
// condition that cannot be told ends the flow; no branch behind it is tried (I22).
type When struct {
	// Branches are tried in this order; at least one.
	Branches []*Branch `json:"branches,omitempty"`
	// Else are the steps when no condition holds. An empty list is a decision, too.
	ElseRaw []json.RawMessage `json:"else,omitzero" caddy:"namespace=identity.steps inline_key=step"`
	// Source is the file and line it was written at.
	Source string `json:"source,omitempty"`

	blocks  [][]flows.Step // of the branches, then of else
	hasElse bool
}

// Branch is a condition and the steps to take when it holds.
type Branch struct {
	// If is the condition: a policy or CEL.
	If flows.ConditionRef `json:"if"`
	// Steps are taken when it holds; an empty list goes on behind the whole when.
	StepsRaw []json.RawMessage `json:"steps,omitempty" caddy:"namespace=identity.steps inline_key=step"`
	// Source is the file and line it was written at; default: that of the when.
	Source string `json:"source,omitempty"`

	cond flows.Condition
}

// CaddyModule returns the Caddy module information.
func (When) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.steps.when", New: func() caddy.Module { return new(When) }}
}

// Provision loads the steps of all blocks.
func (w *When) Provision(ctx caddy.Context) error {
	w.blocks, w.hasElse = nil, w.ElseRaw != nil // LoadModule empties the raw fields
	for i, b := range w.Branches {
		if b == nil {
			return fmt.Errorf("branch %d is null", i)
		}
		if b.Source == "" {
			b.Source = w.Source
		}
		if b.If.Source == "" {
			b.If.Source = b.Source
		}
		if err := w.load(ctx, b, "StepsRaw", len(b.StepsRaw)); err != nil {
			return fmt.Errorf("branch %d: %w", i, err)
		}
	}
	if !w.hasElse {
		return nil
	}
	if err := w.load(ctx, w, "ElseRaw", len(w.ElseRaw)); err != nil {
		return fmt.Errorf("else: %w", err)
	}
	return nil
}

func (w *When) load(ctx caddy.Context, of any, field string, n int) error {
	block := []flows.Step{}
	if n > 0 {
		mods, err := ctx.LoadModule(of, field)
		if err != nil {
			return err
		}
		list, _ := mods.([]any)
		for _, m := range list {
			s, ok := m.(flows.Step)
			if !ok {
				return fmt.Errorf("%T is no step", m)
			}
			block = append(block, s)
		}
	}
	w.blocks = append(w.blocks, block)
	return nil
}

// Validate checks that every branch has one condition.
func (w *When) Validate() error {
	if len(w.Branches) == 0 {
		return errors.New("when wants at least one branch")
	}
	for i, b := range w.Branches {
		if (b.If.Policy == "") == (b.If.CEL == "") {
			return fmt.Errorf("branch %d of when wants either a policy or CEL", i)
		}
	}
	return nil
}

// Bind compiles the conditions. The steps inside are bound by whoever binds this one.
func (w *When) Bind(reg flows.Registry) (err error) {
	for _, b := range w.Branches {
		if b.cond, err = reg.Condition(b.If); err != nil {
			return err
		}
	}
	return nil
}

// Enter takes the first block whose condition holds.
func (w *When) Enter(_ context.Context, x *flows.Execution) (flows.Outcome, error) {
	f := x.Facts()
	for i, b := range w.Branches {
		ok, err := b.cond.Holds(f)
		if err != nil {
			return flows.Deny(flows.Denial{Reason: flows.ReasonConditionError, Source: b.Source, Err: err}), nil
		}
		if ok {
			return flows.Take(i), nil
		}
	}
	if w.hasElse {
		return flows.Take(len(w.Branches)), nil
	}
	return flows.Take(-1), nil
}

// Blocks are those of the branches, then that of else.
func (w *When) Blocks() ([][]flows.Step, bool) { return w.blocks, w.hasElse }

// Labels are the conditions as they were written, and else.
func (w *When) Labels() []string {
	var out []string
	for _, b := range w.Branches {
		out = append(out, cmp.Or(b.If.Policy, b.If.CEL))
	}
	if w.hasElse {
		out = append(out, "else")
	}
	return out
}

// Conditions are those of all branches.
func (w *When) Conditions() []flows.Named {
	out := make([]flows.Named, len(w.Branches))
	for i, b := range w.Branches {
		out[i] = b.cond
	}
	return out
}

// Reaches names the policies of the branches; the steps inside speak for themselves.
func (w *When) Reaches() []string {
	var out []string
	for _, b := range w.Branches {
		if b.If.Policy != "" {
			out = append(out, "policy:"+b.If.Policy)
		}
	}
	return out
}

// SourceLine is the file and line.
func (w *When) SourceLine() string { return w.Source }

var (
	_ flows.Container   = (*When)(nil)
	_ flows.Binder      = (*When)(nil)
	_ flows.Consumer    = (*When)(nil)
	_ flows.Labelled    = (*When)(nil)
	_ flows.Reacher     = (*When)(nil)
	_ flows.Sourced     = (*When)(nil)
	_ caddy.Provisioner = (*When)(nil)
	_ caddy.Validator   = (*When)(nil)
)
