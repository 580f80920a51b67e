// Package remoteuser sends Remote-User and its companions, which many
// applications can be told to believe.
package remoteuser

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() { caddy.RegisterModule(Dialect{}) }

// Dialect is the guest `identity.headers.remote_user`. A header without a
// value is absent.
type Dialect struct {
	// How values become headers. The groups in Remote-Groups are joined by a comma by default.
	flows.HeaderOptions
}

// CaddyModule returns the module's description.
func (Dialect) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.headers.remote_user", New: func() caddy.Module { return new(Dialect) }}
}

// Validate checks what an operator may have written in JSON.
func (d *Dialect) Validate() error { return d.HeaderOptions.Validate() }

// Owned are all it sends.
func (d *Dialect) Owned() []string {
	return []string{"Remote-User", "Remote-Name", "Remote-Email", "Remote-Groups"}
}

// PerRequest is empty: nothing changes while a session lasts.
func (d *Dialect) PerRequest() []string { return nil }

// Headers writes them.
func (d *Dialect) Headers(f *flows.Facts, w flows.HeaderWriter) error {
	u, single := f.User, d.HeaderOptions
	single.Single = true
	if err := w.Set("Remote-User", []string{u.Name}, d.ForLogin(u.Name)); err != nil {
		return err
	}
	if err := w.Set("Remote-Name", []string{u.DisplayName}, single); err != nil {
		return err
	}
	if err := w.Set("Remote-Email", []string{u.Email}, d.ForLogin(u.Email)); err != nil {
		return err
	}
	return w.Set("Remote-Groups", u.Groups, d.HeaderOptions)
}

// UnmarshalCaddyfile sets up the dialect from Caddyfile tokens. Syntax:
//
//	remote_user {
//	    join    <separator>
//	    encode  auto|raw|percent|base64|rfc2047|latin1|ascii
//	    missing omit|empty|<text>
//	    max     <bytes>
//	    quote   <mark>
//	    escape  <mark>
//	    wrap    on|off
//	}
func (d *Dialect) UnmarshalCaddyfile(t *caddyfile.Dispenser) error {
	return flows.ParseDialect(t, d.Validate, d.Words())
}

var (
	_ caddy.Validator       = (*Dialect)(nil)
	_ caddyfile.Unmarshaler = (*Dialect)(nil)
	_ flows.Dialect         = (*Dialect)(nil)
)
