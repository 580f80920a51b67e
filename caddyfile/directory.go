package caddyfile

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

// directory parses where more is known of people. Syntax:
//
//	directory <name> <type> {
//	    …             # the words of the type
//	}
func (id *identity) directory(d *caddyfile.Dispenser) error {
	return named(d, "directory", "identity.directories", &id.DirectoriesRaw)
}

// named parses a guest that has a name and a type: a directory, a messenger, a signal.
func named(d *caddyfile.Dispenser, what, namespace string, all *map[string]json.RawMessage) error {
	var name, typ string
	if !d.Args(&name, &typ) {
		return d.Errf("a %s wants a name and a type: %s <name> <type> { … }", what, what)
	}
	if !flows.ValidName(name) {
		return badName(d, what, name)
	}
	if _, twice := (*all)[name]; twice {
		return d.Errf("%s '%s' is defined twice", what, name)
	}
	if types := guests(namespace); !slices.Contains(types, typ) {
		return d.Errf("no type of %s is called '%s'%s; there are: %s", what, typ, didYouMean(typ, types), strings.Join(types, ", "))
	}
	unm, err := caddyfile.UnmarshalModule(d, namespace+"."+typ)
	if err != nil {
		return err
	}
	if *all == nil {
		*all = map[string]json.RawMessage{}
	}
	(*all)[name] = caddyconfig.JSONModuleObject(unm, "type", typ, nil)
	return nil
}
