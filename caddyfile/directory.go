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
	var name, typ string
	if !d.Args(&name, &typ) {
		return d.Errf("a directory wants a name and a type: directory <name> <type> { … }")
	}
	if !flows.ValidName(name) {
		return badName(d, "directory", name)
	}
	if _, twice := id.DirectoriesRaw[name]; twice {
		return d.Errf("directory '%s' is defined twice", name)
	}
	if types := guests("identity.directories"); !slices.Contains(types, typ) {
		return d.Errf("no type of directory is called '%s'%s; there are: %s", typ, didYouMean(typ, types), strings.Join(types, ", "))
	}
	unm, err := caddyfile.UnmarshalModule(d, "identity.directories."+typ)
	if err != nil {
		return err
	}
	if id.DirectoriesRaw == nil {
		id.DirectoriesRaw = map[string]json.RawMessage{}
	}
	id.DirectoriesRaw[name] = caddyconfig.JSONModuleObject(unm, "type", typ, nil)
	return nil
}
