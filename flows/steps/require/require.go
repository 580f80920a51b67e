// Package require is the step that lets only those go on for whom a condition holds.
package require

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() {
	caddy.RegisterModule(Require{})
}

// Require ends the flow for everyone for whom its condition does not hold, and
// for whom it cannot be told (I22).
type Require struct {
	// Policy is the name of a policy.
	Policy string `json:"policy,omitempty"`
	// CEL is the condition itself; either this or Policy.
	CEL string `json:"cel,omitempty"`
	// What a person is told who is refused; default: the page's own words.
	Text string `json:"text,omitempty"`
	// Source is the file and line it was written at.
	Source string `json:"source,omitempty"`

	cond flows.Condition
}

// CaddyModule returns the Caddy module information.
func (Require) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.steps.require", New: func() caddy.Module { return new(Require) }}
}

// Validate checks that there is one condition.
func (r *Require) Validate() error {
	if (r.Policy == "") == (r.CEL == "") {
		return errors.New("require wants either a policy or CEL")
	}
	return nil
}

// Bind compiles the condition.
func (r *Require) Bind(reg flows.Registry) (err error) {
	r.cond, err = reg.Condition(flows.ConditionRef{Policy: r.Policy, CEL: r.CEL, Source: r.Source})
	return err
}

// Enter asks the condition.
func (r *Require) Enter(_ context.Context, x *flows.Execution) (flows.Outcome, error) {
	ok, err := r.cond.Holds(x.Facts())
	switch {
	case err != nil:
		return flows.Deny(flows.Denial{Reason: flows.ReasonConditionError, Text: r.Text, Source: r.Source, Err: err}), nil
	case !ok:
		return flows.Deny(flows.Denial{Reason: flows.ReasonNotAllowed, Text: r.Text, Source: r.Source}), nil
	}
	return flows.Continue(), nil
}

// Conditions are what it reads.
func (r *Require) Conditions() []flows.Named { return []flows.Named{r.cond} }

// Reaches names the policy.
func (r *Require) Reaches() []string {
	if r.Policy == "" {
		return nil
	}
	return []string{"policy:" + r.Policy}
}

// SourceLine is the file and line.
func (r *Require) SourceLine() string { return r.Source }

// UnmarshalCaddyfile sets up the step from Caddyfile tokens. Syntax:
//
//	require <policy>|"<cel>" ["<text>"]
func (r *Require) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the name of the step
	r.Source = fmt.Sprintf("%s:%d", filepath.Base(d.File()), d.Line())
	if !d.NextArg() {
		return d.Err("require wants a condition: a policy's name or CEL in quotes")
	}
	switch {
	case strings.TrimSpace(d.Val()) == "":
		return d.Err("require: the condition is empty")
	case d.Token().Quoted() || strings.ContainsAny(d.Val(), " \t\n"): // a bare word has no blank: it was quoted before `import`
		r.CEL = d.Val()
	default:
		r.Policy = d.Val()
	}
	if d.NextArg() {
		r.Text = d.Val()
	}
	if d.NextArg() {
		return d.Errf("require takes a condition and a text; '%s' is too much (write them in quotes)", d.Val())
	}
	if d.NextBlock(d.Nesting()) {
		return d.Errf("require has no block, but there is '%s'", d.Val())
	}
	return nil
}

var (
	_ flows.Step            = (*Require)(nil)
	_ flows.Binder          = (*Require)(nil)
	_ flows.Consumer        = (*Require)(nil)
	_ flows.Reacher         = (*Require)(nil)
	_ flows.Sourced         = (*Require)(nil)
	_ caddy.Validator       = (*Require)(nil)
	_ caddyfile.Unmarshaler = (*Require)(nil)
)
