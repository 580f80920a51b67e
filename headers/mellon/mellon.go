// Package mellon sends what mod_auth_mellon sets, as headers of the same names.
package mellon

import (
	"errors"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() { caddy.RegisterModule(Dialect{}) }

// Dialect is the guest `identity.headers.mellon`. MELLON_NAME_ID, and under
// MELLON_<attribute> what is mapped, several values joined by a semicolon as with
// MellonMergeEnvVars On. A header without a value is absent.
type Dialect struct {
	// NameID is the attribute in MELLON_NAME_ID. Default: subject.
	NameID string `json:"name_id,omitempty"`
	// Headers filled from attributes of the user; a name without MELLON_ gets it.
	flows.Mapping
	// How values become headers. Defaults here: encode raw, join ;.
	flows.HeaderOptions
	// What ends a session beside /mellon/logout.
	flows.Leaving
}

// CaddyModule returns the module's description.
func (Dialect) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.headers.mellon", New: func() caddy.Module { return new(Dialect) }}
}

// defaults are how the module writes values: UTF-8 as it is.
var defaults = flows.HeaderOptions{Encode: "raw", Join: ";"}

// prefix is what the module puts in front of attributes.
const prefix = "MELLON_"

// Provision fills in the defaults.
func (d *Dialect) Provision(caddy.Context) error {
	d.HeaderOptions = d.Or(defaults)
	d.Attributes = slices.Clone(d.Attributes)
	for i, a := range d.Attributes {
		if !strings.HasPrefix(a.Header, prefix) {
			d.Attributes[i].Header = prefix + a.Header
		}
	}
	return nil
}

// Validate checks what an operator may have written in JSON.
func (d *Dialect) Validate() error {
	o := d.Or(defaults)
	return errors.Join(o.Validate(), d.Mapping.Validate(), d.Leaving.Validate())
}

// Owned is the whole family, whichever is sent.
func (d *Dialect) Owned() []string { return []string{prefix + "*"} }

// PerRequest is empty: nothing changes while a session lasts.
func (d *Dialect) PerRequest() []string { return nil }

// Leave is the module's endpoint and cookie under their default names.
func (d *Dialect) Leave() flows.Leave {
	return d.Leaving.Leave([]string{"mellon-cookie"}, flows.LeavePath{Path: "/mellon/logout"})
}

// Headers writes them.
func (d *Dialect) Headers(f *flows.Facts, w flows.HeaderWriter) error {
	from := d.NameID
	if from == "" {
		from = "subject"
	}
	id := flows.First(f.User.Lookup(from))
	if err := w.Set(prefix+"NAME_ID", []string{id}, d.ForLogin(id)); err != nil {
		return err
	}
	return d.Write(f.User, w, d.HeaderOptions)
}

// UnmarshalCaddyfile sets up the dialect from Caddyfile tokens. Syntax:
//
//	mellon {
//	    name_id      <attribute>
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
	return flows.ParseDialect(t, d.Validate, flows.Options{flows.TextOption("name_id", &d.NameID)},
		&d.Mapping, d.HeaderOptions.Words(), &d.Leaving)
}

var (
	_ caddy.Provisioner     = (*Dialect)(nil)
	_ caddy.Validator       = (*Dialect)(nil)
	_ caddyfile.Unmarshaler = (*Dialect)(nil)
	_ flows.Dialect         = (*Dialect)(nil)
	_ flows.Leaver          = (*Dialect)(nil)
)
