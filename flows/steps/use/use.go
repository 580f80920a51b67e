// Package use is the step that runs another flow's steps in its place.
package use

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() {
	caddy.RegisterModule(Use{})
}

// Use runs the steps of another flow here. A session records only the flow
// that was asked for, not the one it used (I01).
type Use struct {
	// Flow is the name of the other flow.
	Flow string `json:"flow"`
	// Source is the file and line it was written at.
	Source string `json:"source,omitempty"`

	steps []flows.Step
}

// CaddyModule returns the Caddy module information.
func (Use) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.steps.use", New: func() caddy.Module { return new(Use) }}
}

// Validate checks the name.
func (u *Use) Validate() error {
	if !flows.ValidName(u.Flow) {
		return fmt.Errorf("use: '%s' cannot name a flow: [a-z0-9_-]+", u.Flow)
	}
	return nil
}

// Bind finds the other flow; one that comes back to this one is refused.
func (u *Use) Bind(reg flows.Registry) (err error) {
	if u.steps, err = reg.Flow(u.Flow); err != nil {
		return fmt.Errorf("%s: use: %w", u.Source, err)
	}
	return nil
}

// Enter takes the other flow's steps.
func (u *Use) Enter(context.Context, *flows.Execution) (flows.Outcome, error) {
	return flows.Take(0), nil
}

// Blocks are the other flow's steps.
func (u *Use) Blocks() ([][]flows.Step, bool) { return [][]flows.Step{u.steps}, true }

// Reaches names the other flow.
func (u *Use) Reaches() []string { return []string{"flow:" + u.Flow} }

// SourceLine is the file and line.
func (u *Use) SourceLine() string { return u.Source }

// UnmarshalCaddyfile sets up the step from Caddyfile tokens. Syntax:
//
//	use <flow>
func (u *Use) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the name of the step
	u.Source = fmt.Sprintf("%s:%d", filepath.Base(d.File()), d.Line())
	args := d.RemainingArgs()
	if len(args) != 1 {
		return d.Errf("use takes the name of one flow, not %d words", len(args))
	}
	u.Flow = args[0]
	if err := u.Validate(); err != nil {
		return d.WrapErr(err)
	}
	if d.NextBlock(d.Nesting()) {
		return d.Errf("use has no block, but there is '%s'", d.Val())
	}
	return nil
}

var (
	_ flows.Container       = (*Use)(nil)
	_ flows.Binder          = (*Use)(nil)
	_ flows.Reacher         = (*Use)(nil)
	_ flows.Sourced         = (*Use)(nil)
	_ caddy.Validator       = (*Use)(nil)
	_ caddyfile.Unmarshaler = (*Use)(nil)
)
