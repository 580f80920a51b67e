package caddyfile

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

// provider parses who vouches for people. Syntax:
//
//	provider <name> <type> {
//	    realm         <name>
//	    scope         <@domain…>
//	    hidden
//	    trust         email
//	    formerly      <name…>
//	    was           <issuer…>
//	    single_logout on|off
//	    title         <text>
//	    health_interval|health_timeout <duration>
//	    health_fails|health_passes     <number>
//	    …             # the words of the type
//	}
func (id *identity) provider(d *caddyfile.Dispenser) error {
	var name, typ string
	at := here(d)
	if !d.Args(&name, &typ) {
		return d.Errf("a provider wants a name and a type: provider <name> <type> { … }")
	}
	if !flows.ValidName(name) {
		return badName(d, "provider", name)
	}
	if name == flows.Passkey {
		return d.Errf("no provider can be called '%s': login means the passkeys of factor webauthn by it", name)
	}
	if _, twice := id.ProvidersRaw[name]; twice {
		return d.Errf("provider '%s' is defined twice", name)
	}
	if types := guests("identity.providers"); !slices.Contains(types, typ) {
		return d.Errf("no provider type is called '%s'%s; there are: %s", typ, didYouMean(typ, types), strings.Join(types, ", "))
	}
	common, own := split(d, func(word string) bool { _, ok := providerWords[word]; return ok })
	unm, err := caddyfile.UnmarshalModule(own, "identity.providers."+typ)
	if err != nil {
		return err
	}
	guest, ok := unm.(flows.ProviderGuest)
	if !ok {
		return d.Errf("type %s is no provider: it is %T", typ, unm)
	}
	if err := parseBlock(guest.Options(), common, "provider "+name, providerWords); err != nil {
		return err
	}
	if id.ProvidersRaw == nil {
		id.ProvidersRaw = map[string]json.RawMessage{}
	}
	id.ProvidersRaw[name] = caddyconfig.JSONModuleObject(unm, "type", typ, nil)
	id.ProviderOrder = append(id.ProviderOrder, name)
	id.providers = append(id.providers, &flows.Provider{Name: name, Type: typ, Guest: guest})
	if n, ok := guest.(flows.Namer); ok {
		id.later(at, func(b *binder) error {
			if err := n.Names(b); err != nil {
				return placed{err}
			}
			return nil
		})
	}
	for _, old := range guest.Options().Formerly {
		id.later(at, func(b *binder) error {
			if slices.Contains(b.known.providers, old) {
				return fmt.Errorf("provider %s cannot be formerly '%s': a provider is still called so", name, old)
			}
			return nil
		})
	}
	return nil
}

// split takes the words that every guest of a kind has out of the block and leaves
// the guest a segment that starts at its type, without a block if nothing is left in it.
// Every token keeps its place in the file. Both dispensers stand on the type.
func split(d *caddyfile.Dispenser, isCommon func(word string) bool) (common, own *caddyfile.Dispenser) {
	head := caddyfile.Segment{d.Token()}
	for d.NextArg() {
		head = append(head, d.Token())
	}
	b := readBlock(d)
	if !b.there {
		return dispense(head[:1]), dispense(head)
	}
	ours, theirs := caddyfile.Segment{head[0], b.open}, append(slices.Clone(head), b.open)
	taken := false
	for _, line := range b.lines {
		if isCommon(line[0].Text) {
			ours, taken = append(ours, line...), true
		} else {
			theirs = append(theirs, line...)
		}
	}
	if theirs = append(theirs, b.close); taken && len(theirs) == len(head)+2 {
		theirs = head
	}
	return dispense(append(ours, b.close)), dispense(theirs)
}

// providerWords are the words every provider has, whatever its type.
var providerWords = map[string]word[*flows.ProviderOptions]{
	"realm": {parse: func(o *flows.ProviderOptions, d *caddyfile.Dispenser) error {
		v, err := one(d, "the name of a realm")
		if err == nil && !flows.ValidName(v) {
			err = badName(d, "realm", v)
		}
		o.Realm = v
		return err
	}},
	"scope": {parse: func(o *flows.ProviderOptions, d *caddyfile.Dispenser) error {
		args, err := some(d, "domain such as @contoso.com")
		for _, a := range args {
			if !strings.HasPrefix(a, "@") || len(a) < 2 || strings.ContainsAny(a[1:], "@ ") {
				return d.Errf("scope '%s' is no domain such as @contoso.com", a)
			}
		}
		o.Scope = args
		return err
	}},
	"hidden": {parse: func(o *flows.ProviderOptions, _ *caddyfile.Dispenser) error {
		o.Hidden = true
		return nil
	}},
	"trust": {parse: func(o *flows.ProviderOptions, d *caddyfile.Dispenser) error {
		v, err := oneOf(d, "email")
		o.Trust = []string{v}
		return err
	}},
	"formerly": {many: true, parse: func(o *flows.ProviderOptions, d *caddyfile.Dispenser) error {
		args, err := some(d, "former name")
		for _, a := range args {
			if !flows.ValidName(a) {
				return badName(d, "provider", a)
			}
			if a == flows.Passkey {
				return d.Errf("no provider was ever called '%s'", a)
			}
		}
		o.Formerly = append(o.Formerly, args...)
		return err
	}},
	"was": {many: true, parse: func(o *flows.ProviderOptions, d *caddyfile.Dispenser) error {
		args, err := some(d, "former issuer")
		o.Was = append(o.Was, args...)
		return err
	}},
	"single_logout": {parse: func(o *flows.ProviderOptions, d *caddyfile.Dispenser) error {
		v, err := onOff(d)
		o.SingleLogout = &v
		return err
	}},
	"title": {parse: func(o *flows.ProviderOptions, d *caddyfile.Dispenser) error {
		v, err := one(d, "the text on its button")
		o.Title = v
		return err
	}},
	"health_interval": {parse: func(o *flows.ProviderOptions, d *caddyfile.Dispenser) error {
		v, err := duration(d)
		o.HealthInterval = flows.Duration(v)
		return err
	}},
	"health_timeout": {parse: func(o *flows.ProviderOptions, d *caddyfile.Dispenser) error {
		v, err := duration(d)
		o.HealthTimeout = flows.Duration(v)
		return err
	}},
	"health_fails": {parse: func(o *flows.ProviderOptions, d *caddyfile.Dispenser) (err error) {
		o.HealthFails, err = count(d)
		return err
	}},
	"health_passes": {parse: func(o *flows.ProviderOptions, d *caddyfile.Dispenser) (err error) {
		o.HealthPasses, err = count(d)
		return err
	}},
}
