package caddyfile

import "github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

// messenger parses how codes and notices reach people. Syntax:
//
//	messenger <name> <type> {
//	    …             # the words of the type
//	}
func (id *identity) messenger(d *caddyfile.Dispenser) error {
	return named(d, "messenger", "identity.messengers", &id.MessengersRaw, caddyfile.UnmarshalModule)
}
