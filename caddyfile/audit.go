package caddyfile

import (
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows/audit"
	"github.com/sallyport-gateway/sallyport/module"
)

// audit parses one place the trail is written to. Syntax:
//
//	audit <sink> [<args…>] {
//	    mask     <class…> keep|truncate|hash|drop
//	    on_error deny|continue
//	    …        # the words of the sink
//	}
func (id *identity) audit(d *caddyfile.Dispenser) error {
	name, err := one(d, "the name of an audit sink")
	if err != nil {
		return err
	}
	if have := guests("identity.audit"); !slices.Contains(have, name) {
		return d.Errf("no audit sink is called '%s'%s; there are: %s", name, didYouMean(name, have), strings.Join(have, ", "))
	}
	common, own := split(d, func(word string) bool { _, ok := sinkWords[word]; return ok })
	unm, err := caddyfile.UnmarshalModule(own, "identity.audit."+name)
	if err != nil {
		return err
	}
	options := new(audit.SinkOptions)
	o, takes := unm.(interface{ Options() *audit.SinkOptions })
	if takes {
		options = o.Options()
	}
	if err := parseBlock(options, common, "audit "+name, sinkWords); err != nil {
		return err
	}
	if !takes && (len(options.Mask) > 0 || options.OnError != "") {
		return d.Errf("audit %s takes neither mask nor on_error", name)
	}
	raw := caddyconfig.JSONModuleObject(unm, "sink", name, nil)
	for _, have := range id.AuditRaw {
		if string(have) == string(raw) {
			return d.Errf("this audit sink is written twice")
		}
	}
	id.AuditRaw = append(id.AuditRaw, raw)
	return nil
}

// correlation parses the header that carries the id of each request. Syntax:
//
//	correlation [<Header>]
func (id *identity) correlation(d *caddyfile.Dispenser) error {
	id.Correlation = "X-Request-ID"
	if d.NextArg() {
		id.Correlation = d.Val()
	}
	if err := module.CheckCorrelation(id.Correlation); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

// sinkWords are the words every sink has, whatever its type.
var sinkWords = map[string]word[*audit.SinkOptions]{
	"mask": {many: true, parse: func(o *audit.SinkOptions, d *caddyfile.Dispenser) error {
		args, err := some(d, "class of personal data, and what becomes of it, such as: mask address truncate")
		if err != nil {
			return err
		}
		last := len(args) - 1
		if last == 0 {
			return d.Errf("mask wants a class of personal data, and what becomes of it, such as: mask address truncate")
		}
		for _, c := range args[:last] {
			if _, twice := o.Mask[audit.Class(c)]; twice {
				return d.Errf("mask %s is written twice", c)
			}
			if o.Mask == nil {
				o.Mask = audit.Masks{}
			}
			o.Mask[audit.Class(c)] = audit.Way(args[last])
			if err := o.Mask.Check(); err != nil {
				return d.Errf("mask: %v", err)
			}
		}
		return nil
	}},
	"on_error": {parse: func(o *audit.SinkOptions, d *caddyfile.Dispenser) (err error) {
		o.OnError, err = oneOf(d, audit.Deny, audit.Continue)
		return err
	}},
}
