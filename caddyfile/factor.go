package caddyfile

import (
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

// factor parses what can be asked for in addition to a login. Syntax:
//
//	factor <kind> {
//	    …             # the words of the kind
//	}
func (id *identity) factor(d *caddyfile.Dispenser) error {
	at := here(d)
	kind, err := one(d, "the kind of a factor")
	if err != nil {
		return err
	}
	if have := guests("identity.factors"); !slices.Contains(have, kind) {
		return d.Errf("no kind of factor is called '%s'%s; there are: %s", kind, didYouMean(kind, have), strings.Join(have, ", "))
	}
	if _, twice := id.FactorsRaw[kind]; twice {
		return d.Errf("factor '%s' is defined twice", kind)
	}
	unm, err := caddyfile.UnmarshalModule(d, "identity.factors."+kind)
	if err != nil {
		return err
	}
	if n, ok := unm.(flows.Namer); ok {
		id.later(at, func(b *binder) error { return n.Names(b) })
	}
	if id.FactorsRaw == nil {
		id.FactorsRaw = caddy.ModuleMap{}
	}
	id.FactorsRaw[kind] = caddyconfig.JSON(unm, nil)
	return nil
}
