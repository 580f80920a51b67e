package caddyfile

import "github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

// signal parses what tells the usual from the unusual. Syntax:
//
//	signal <name> <type> {
//	    …             # the words of the type
//	}
func (id *identity) signal(d *caddyfile.Dispenser) error {
	return named(d, "signal", "identity.signals", &id.SignalsRaw)
}
