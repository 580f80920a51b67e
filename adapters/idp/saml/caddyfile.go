package saml

import "github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

// UnmarshalCaddyfile sets up the provider from Caddyfile tokens. The options
// that every provider has are taken out before. Syntax:
//
//	saml {
//	    metadata <url|file>
//	}
func (s *SAML) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	for d.NextBlock(0) {
		if d.Val() != "metadata" || !d.AllArgs(&s.Metadata) {
			return d.ArgErr()
		}
	}
	return nil
}
