// Package deny is the step that ends a flow.
package deny

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() {
	caddy.RegisterModule(Deny{})
}

// Deny ends the flow: the person is refused, whoever they are.
type Deny struct {
	// What the person is told; default: the page's own words.
	Text string `json:"text,omitempty"`
	// Source is the file and line it was written at.
	Source string `json:"source,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (Deny) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.steps.deny", New: func() caddy.Module { return new(Deny) }}
}

// Enter denies.
func (d *Deny) Enter(context.Context, *flows.Execution) (flows.Outcome, error) {
	return flows.Deny(flows.Denial{Reason: flows.ReasonNotAllowed, Text: d.Text, Source: d.Source}), nil
}

// Terminates says that nothing behind it runs.
func (d *Deny) Terminates() bool { return true }

// SourceLine is the file and line.
func (d *Deny) SourceLine() string { return d.Source }

// UnmarshalCaddyfile sets up the step from Caddyfile tokens. Syntax:
//
//	deny ["<text>"]
func (d *Deny) UnmarshalCaddyfile(h *caddyfile.Dispenser) error {
	h.Next() // the name of the step
	d.Source = fmt.Sprintf("%s:%d", filepath.Base(h.File()), h.Line())
	if h.NextArg() {
		d.Text = h.Val()
	}
	if h.NextArg() {
		return h.Errf("deny takes one text; '%s' is too much (write it in quotes)", h.Val())
	}
	if h.NextBlock(h.Nesting()) {
		return h.Errf("deny has no block, but there is '%s'", h.Val())
	}
	return nil
}

var (
	_ flows.Step            = (*Deny)(nil)
	_ flows.Terminator      = (*Deny)(nil)
	_ flows.Sourced         = (*Deny)(nil)
	_ caddyfile.Unmarshaler = (*Deny)(nil)
)
