// Package risk is the step that asks signals how unusual a login is, and makes a
// score of what they say.
//
// The score is a sum: each signal gives 0 to 100, and adds its weight of that in
// hundredths; together at most 100. A new device (100) with `device=30` and half a
// travel (50) with `travel=40` are 30 + 20 = 50. What a signal does not know counts as
// its `unknown`, 50 if it says nothing else, and is a reading with its own reason.
//
// With log_odds the readings are evidence instead: the score is 100 × p, where
// ln(p/(1−p)) = ln(0.1/0.9) + Σ weight/100 × ln(q/(1−q)) and q is a signal's score in
// hundredths, from 0.01 to 0.99. A signal that says 50 says nothing, one that says less
// lowers the score, and without any it is 10.
//
// The level is low below 30, high from 70, and medium between; `bands` says otherwise.
// Conditions behind the step read `risk.score`, `risk.level` and `risk.reasons`. With
// `observe` they see a score of 0 and level low, while the trail has everything: so
// that weights can be found before they matter.
//
// A flow may have several such steps, a dear signal behind a cheap one: what they read
// counts together, by the bands and the way of the latest that does not only observe.
// A signal that is read twice counts as it was read last.
package risk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() {
	caddy.RegisterModule(new(Risk))
}

// Risk reads signals and sets `risk.*`.
type Risk struct {
	// The signals to read. At least one.
	Signals []Signal `json:"signals,omitempty"`
	// The scores from which the level is medium, and high; default: 30 and 70.
	Bands []int `json:"bands,omitempty"`
	// Whether readings are weighed as evidence instead of summed up.
	LogOdds bool `json:"log_odds,omitempty"`
	// Whether the step only looks on: conditions see a score of 0.
	Observe bool `json:"observe,omitempty"`
	// The file and line it was written at.
	Source string `json:"source,omitempty"`

	reads   []flows.Weighed
	formula flows.Formula
}

// Signal is one that the step reads.
type Signal struct {
	// The name of the signal.
	Name string `json:"name"`
	// How many hundredths of its score count, 0 to 100; default: 100.
	Weight *int `json:"weight,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*Risk) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.steps.risk", New: func() caddy.Module { return new(Risk) }}
}

// Validate reports what cannot be meant.
func (r *Risk) Validate() error {
	if len(r.Signals) == 0 {
		return errors.New("risk wants at least one signal: risk device=30")
	}
	for i, s := range r.Signals {
		if slices.ContainsFunc(r.Signals[:i], func(o Signal) bool { return o.Name == s.Name }) {
			return fmt.Errorf("risk names signal %s twice", s.Name)
		}
		if s.Weight != nil && (*s.Weight < 0 || *s.Weight > flows.MaxWeight) {
			return fmt.Errorf("the weight of signal %s is from 0 to %d, not '%d'", s.Name, flows.MaxWeight, *s.Weight)
		}
	}
	if len(r.Bands) == 0 {
		return nil
	}
	if len(r.Bands) != 2 || r.Bands[0] == 0 || r.Bands[1] == 0 {
		return errors.New("bands are two scores, such as 30 70")
	}
	return flows.Formula{Medium: r.Bands[0], High: r.Bands[1]}.Valid()
}

// Bind finds the signals.
func (r *Risk) Bind(reg flows.Registry) error {
	r.reads, r.formula = nil, flows.Formula{LogOdds: r.LogOdds}
	if len(r.Bands) == 2 {
		r.formula.Medium, r.formula.High = r.Bands[0], r.Bands[1]
	}
	for _, s := range r.Signals {
		guest, err := reg.Signal(s.Name)
		if err != nil {
			return fmt.Errorf("risk: %w", err)
		}
		w := flows.Weighed{Name: s.Name, Signal: guest, Weight: flows.MaxWeight, Observed: r.Observe}
		if s.Weight != nil {
			w.Weight = *s.Weight
		}
		r.reads = append(r.reads, w)
	}
	return nil
}

// Enter reads the signals. None of them ends the flow, whatever it says.
func (r *Risk) Enter(ctx context.Context, x *flows.Execution) (flows.Outcome, error) {
	flows.Assess(ctx, x, r.reads, r.formula)
	return flows.Continue(), nil
}

// Weighs implements flows.Weigher.
func (r *Risk) Weighs() ([]flows.Weighed, flows.Formula) { return r.reads, r.formula }

// Foresee implements flows.Foreseer: signals only read, and one that talks to others
// is not asked (I26).
func (r *Risk) Foresee(ctx context.Context, x *flows.Execution) (flows.Outcome, error) {
	reads := slices.Clone(r.reads)
	for i := range reads {
		if _, outward := reads[i].Signal.(flows.Outward); outward {
			reads[i].Signal = unasked{reads[i].Signal}
		}
	}
	flows.Assess(ctx, x, reads, r.formula)
	return flows.Continue(), nil
}

// unasked is a signal that does not know, since it is not asked.
type unasked struct{ flows.Signal }

// Read implements flows.Signal.
func (unasked) Read(context.Context, *flows.Facts, json.RawMessage) (flows.Reading, error) {
	return flows.UnknownReading("not asked: it talks to others"), nil
}

// Produces implements flows.Producer: `risk.*` is there behind it (I22).
func (*Risk) Produces() []string { return []string{"risk"} }

// Reaches implements flows.Reacher.
func (r *Risk) Reaches() []string {
	var out []string
	for _, s := range r.Signals {
		out = append(out, "signal:"+s.Name)
	}
	return out
}

// SourceLine implements flows.Sourced.
func (r *Risk) SourceLine() string { return r.Source }

var (
	_ caddy.Validator       = (*Risk)(nil)
	_ caddyfile.Unmarshaler = (*Risk)(nil)
	_ flows.Binder          = (*Risk)(nil)
	_ flows.Foreseer        = (*Risk)(nil)
	_ flows.Producer        = (*Risk)(nil)
	_ flows.Reacher         = (*Risk)(nil)
	_ flows.Sourced         = (*Risk)(nil)
	_ flows.Weigher         = (*Risk)(nil)
)
