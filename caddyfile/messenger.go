package caddyfile

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

// messenger parses how codes and notices reach people. Syntax:
//
//	messenger <name> <type> {
//	    …             # the words of the type
//	}
func (id *identity) messenger(d *caddyfile.Dispenser) error {
	var name, typ string
	if !d.Args(&name, &typ) {
		return d.Errf("a messenger wants a name and a type: messenger <name> <type> { … }")
	}
	if !flows.ValidName(name) {
		return badName(d, "messenger", name)
	}
	if _, twice := id.MessengersRaw[name]; twice {
		return d.Errf("messenger '%s' is defined twice", name)
	}
	if types := guests("identity.messengers"); !slices.Contains(types, typ) {
		return d.Errf("no type of messenger is called '%s'%s; there are: %s", typ, didYouMean(typ, types), strings.Join(types, ", "))
	}
	unm, err := caddyfile.UnmarshalModule(d, "identity.messengers."+typ)
	if err != nil {
		return err
	}
	if id.MessengersRaw == nil {
		id.MessengersRaw = map[string]json.RawMessage{}
	}
	id.MessengersRaw[name] = caddyconfig.JSONModuleObject(unm, "type", typ, nil)
	return nil
}
