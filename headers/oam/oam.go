// Package oam sends the headers that applications behind an Oracle Access Manager
// WebGate expect.
package oam

import (
	"errors"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() { caddy.RegisterModule(Dialect{}) }

// Dialect is the guest `identity.headers.oam`: OAM_REMOTE_USER, and what the old
// policies added. Applications on WebLogic often validate a cookie or an assertion
// instead: there the header alone signs nobody in.
type Dialect struct {
	// User is the attribute in OAM_REMOTE_USER. Default: name.
	User string `json:"user,omitempty"`
	// Headers filled from attributes of the user: the responses of the old policies.
	flows.Mapping
	// How values become headers. Default here: join :.
	flows.HeaderOptions
	// What ends a session beside WebGate's own logout page and the server's address.
	flows.Leaving
}

// CaddyModule returns the module's description.
func (Dialect) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.headers.oam", New: func() caddy.Module { return new(Dialect) }}
}

// defaults are how several values of a response become one.
var defaults = flows.HeaderOptions{Join: ":"}

// Provision fills in the defaults.
func (d *Dialect) Provision(caddy.Context) error {
	d.HeaderOptions = d.Or(defaults)
	return nil
}

// Validate checks what an operator may have written in JSON.
func (d *Dialect) Validate() error {
	o := d.Or(defaults)
	return errors.Join(o.Validate(), d.Mapping.Validate(), d.Leaving.Validate())
}

// Owned is the whole family, whichever is sent, and what is mapped.
func (d *Dialect) Owned() []string { return slices.Concat([]string{"OAM_*"}, d.Names()) }

// PerRequest is empty: nothing changes while a session lasts.
func (d *Dialect) PerRequest() []string { return nil }

// Leave is the logout page that comes with WebGate and the server's address that it
// leads to. The cookie is the one of WebGate 10g; later ones carry host and port in
// the name, so that only clear_cookie can know them.
func (d *Dialect) Leave() flows.Leave {
	return d.Leaving.Leave([]string{"ObSSOCookie"}, flows.LeavePath{Path: "/oamsso/logout.html"}, flows.LeavePath{Path: "/oam/server/logout"})
}

// Headers writes them.
func (d *Dialect) Headers(f *flows.Facts, w flows.HeaderWriter) error {
	user := f.User.Name
	if d.User != "" {
		user = flows.First(f.User.Lookup(d.User))
	}
	if err := w.Set("OAM_REMOTE_USER", []string{user}, d.ForLogin(user)); err != nil {
		return err
	}
	return d.Write(f.User, w, d.HeaderOptions)
}

// UnmarshalCaddyfile sets up the dialect from Caddyfile tokens. Syntax:
//
//	oam {
//	    user         <attribute>
//	    attribute    <Header> <attribute>
//	    join         <separator>
//	    encode       auto|raw|percent|base64|rfc2047|latin1|ascii
//	    missing      omit|empty|<text>
//	    max          <bytes>
//	    quote        <mark>
//	    escape       <mark>
//	    wrap         on|off
//	    logout       <path…>
//	    clear_cookie <name…>
//	}
func (d *Dialect) UnmarshalCaddyfile(t *caddyfile.Dispenser) error {
	return flows.ParseDialect(t, d.Validate, flows.Options{flows.TextOption("user", &d.User)},
		&d.Mapping, d.HeaderOptions.Words(), &d.Leaving)
}

var (
	_ caddy.Provisioner     = (*Dialect)(nil)
	_ caddy.Validator       = (*Dialect)(nil)
	_ caddyfile.Unmarshaler = (*Dialect)(nil)
	_ flows.Dialect         = (*Dialect)(nil)
	_ flows.Leaver          = (*Dialect)(nil)
)
