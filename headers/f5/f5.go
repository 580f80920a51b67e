// Package f5 sends headers as an access policy of a BIG-IP does: any names, filled
// from session variables.
package f5

import (
	"errors"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() { caddy.RegisterModule(Dialect{}) }

// Dialect is the guest `identity.headers.f5`. Several values go out between bars,
// `| v1 | v2 |`, and a value that is not plain ASCII as 0x and the hex digits of its
// UTF-8; so does one with a bar in it, or that looks like such a number itself.
type Dialect struct {
	// Headers filled from attributes of the user.
	flows.Mapping
	// How values become headers. Defaults here: encode hex, join " | ", wrap on.
	flows.HeaderOptions
	// Which paths ended a session was set up site by site: nothing is assumed.
	flows.Leaving
}

// CaddyModule returns the module's description.
func (Dialect) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.headers.f5", New: func() caddy.Module { return new(Dialect) }}
}

// wrap is the default.
var wrap = true

// defaults are how session variables hold several values.
var defaults = flows.HeaderOptions{Encode: "hex", Join: " | ", Wrap: &wrap}

// Provision fills in the defaults.
func (d *Dialect) Provision(caddy.Context) error {
	d.HeaderOptions = d.Or(defaults)
	return nil
}

// Validate checks what an operator may have written in JSON.
func (d *Dialect) Validate() error {
	o := d.Or(defaults)
	return errors.Join(o.Validate(d.Encodings()...), d.Mapping.Validate(), d.Leaving.Validate())
}

// Owned are the headers that are mapped.
func (d *Dialect) Owned() []string { return d.Names() }

// PerRequest is empty: nothing changes while a session lasts.
func (d *Dialect) PerRequest() []string { return nil }

// Encodings are those of session variables.
func (d *Dialect) Encodings() []string { return []string{"hex"} }

// Leave is what is configured: nothing is known for sure.
func (d *Dialect) Leave() flows.Leave { return d.Leaving.Leave(nil) }

// Headers writes them.
func (d *Dialect) Headers(f *flows.Facts, w flows.HeaderWriter) error {
	return d.Write(f.User, w, d.HeaderOptions)
}

// UnmarshalCaddyfile sets up the dialect from Caddyfile tokens. Syntax:
//
//	f5 {
//	    attribute    <Header> <attribute>
//	    join         <separator>
//	    encode       hex|auto|raw|percent|base64|rfc2047|latin1|ascii
//	    missing      omit|empty|<text>
//	    max          <bytes>
//	    quote        <mark>
//	    escape       <mark>
//	    wrap         on|off
//	    logout       <path…>
//	    clear_cookie <name…>
//	}
func (d *Dialect) UnmarshalCaddyfile(t *caddyfile.Dispenser) error {
	if err := flows.ParseDialect(t, d.Validate, &d.Mapping, d.HeaderOptions.Words(d.Encodings()...), &d.Leaving); err != nil {
		return err
	}
	if err := d.Mapped(); err != nil {
		return t.WrapErr(err)
	}
	return nil
}

var (
	_ caddy.Provisioner     = (*Dialect)(nil)
	_ caddy.Validator       = (*Dialect)(nil)
	_ caddyfile.Unmarshaler = (*Dialect)(nil)
	_ flows.Dialect         = (*Dialect)(nil)
	_ flows.Encoder         = (*Dialect)(nil)
	_ flows.Leaver          = (*Dialect)(nil)
)
