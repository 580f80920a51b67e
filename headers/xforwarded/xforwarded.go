// Package xforwarded sends X-Forwarded-User and its companions, as
// authenticating proxies of the OAuth age do.
package xforwarded

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() { caddy.RegisterModule(Dialect{}) }

// Dialect is the guest `identity.headers.x_forwarded`. A header without a
// value is absent.
type Dialect struct {
	// User is the attribute in X-Forwarded-User. Default: name; some applications
	// were set up to see the subject there.
	User string `json:"user,omitempty"`
	// How values become headers. The groups in X-Forwarded-Groups are joined by a comma by default.
	flows.HeaderOptions
}

// CaddyModule returns the module's description.
func (Dialect) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.headers.x_forwarded", New: func() caddy.Module { return new(Dialect) }}
}

// Validate checks what an operator may have written in JSON.
func (d *Dialect) Validate() error { return d.HeaderOptions.Validate() }

// Owned are all it sends.
func (d *Dialect) Owned() []string {
	return []string{"X-Forwarded-User", "X-Forwarded-Preferred-Username", "X-Forwarded-Email", "X-Forwarded-Groups"}
}

// PerRequest is empty: nothing changes while a session lasts.
func (d *Dialect) PerRequest() []string { return nil }

// Headers writes them.
func (d *Dialect) Headers(f *flows.Facts, w flows.HeaderWriter) error {
	u, user := f.User, f.User.Name
	if d.User != "" {
		user = flows.First(u.Lookup(d.User))
	}
	for _, h := range []struct{ name, value string }{
		{"X-Forwarded-User", user},
		{"X-Forwarded-Preferred-Username", u.Name},
		{"X-Forwarded-Email", u.Email},
	} {
		if err := w.Set(h.name, []string{h.value}, d.ForLogin(h.value)); err != nil {
			return err
		}
	}
	return w.Set("X-Forwarded-Groups", u.Groups, d.HeaderOptions)
}

// UnmarshalCaddyfile sets up the dialect from Caddyfile tokens. Syntax:
//
//	x_forwarded {
//	    user    <attribute>
//	    join    <separator>
//	    encode  auto|raw|percent|base64|rfc2047|latin1|ascii
//	    missing omit|empty|<text>
//	    max     <bytes>
//	    quote   <mark>
//	    escape  <mark>
//	    wrap    on|off
//	}
func (d *Dialect) UnmarshalCaddyfile(t *caddyfile.Dispenser) error {
	return flows.ParseDialect(t, d.Validate, flows.Options{flows.TextOption("user", &d.User)}, d.Words())
}

var (
	_ caddy.Validator       = (*Dialect)(nil)
	_ caddyfile.Unmarshaler = (*Dialect)(nil)
	_ flows.Dialect         = (*Dialect)(nil)
)
