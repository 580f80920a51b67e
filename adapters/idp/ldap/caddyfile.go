package ldap

import (
	"maps"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// UnmarshalCaddyfile sets up the provider from Caddyfile tokens. Syntax:
//
//	ldap {
//	    url           <ldap[s]://host[:port]>...
//	    start_tls
//	    ca            <file>...
//	    bind_dn       <dn>
//	    bind_password <password>
//	    base_dn       <dn>
//	    filter        <filter>
//	    subject       <ldap attribute>
//	    attribute     <attribute> <ldap attribute> [list]
//	    groups        <base_dn> <filter>
//	    nested        on|off
//	    insecure_plaintext
//	}
func (p *Provider) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the name of the module
	if d.NextArg() {
		return d.Errf("ldap takes no argument, but got '%s'", d.Val())
	}
	seen := map[string]bool{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word := d.Val()
		switch {
		case seen[word] && word != "attribute" && word != "groups" && !p.Repeats(word):
			return d.Errf("%s is written twice", word)
		case d.Nesting() != nesting+1:
			return d.Err("unexpected block; the lines of ldap take none")
		}
		seen[word] = true
		if err := p.unmarshalWord(d, word); err != nil {
			return err
		}
	}
	if err := p.check(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

type option func(p *Provider, d *caddyfile.Dispenser, args []string) error

var options = map[string]option{
	"base_dn":   text("a DN", func(p *Provider) *string { return &p.BaseDN }),
	"filter":    text("a filter", func(p *Provider) *string { return &p.Filter }),
	"subject":   text("an attribute of the directory", func(p *Provider) *string { return &p.Subject }),
	"attribute": attributeOption,
	"groups":    groupsOption,
	"nested":    nestedOption,
}

func (p *Provider) unmarshalWord(d *caddyfile.Dispenser, word string) error {
	if slices.Contains(p.Words(), word) {
		if err := p.SetOption(word, d.RemainingArgs()); err != nil {
			return d.WrapErr(err)
		}
		return nil
	}
	parse, ok := options[word]
	if !ok {
		have := append(slices.Collect(maps.Keys(options)), p.Words()...)
		slices.Sort(have)
		return d.Errf("ldap has no option '%s'; there are: %s", word, strings.Join(have, ", "))
	}
	return parse(p, d, d.RemainingArgs())
}

func text(what string, field func(*Provider) *string) option {
	return func(p *Provider, d *caddyfile.Dispenser, args []string) error {
		word := d.Val()
		if len(args) != 1 || args[0] == "" {
			return d.Errf("%s takes %s, but got %d arguments", word, what, len(args))
		}
		*field(p) = args[0]
		return nil
	}
}

func attributeOption(p *Provider, d *caddyfile.Dispenser, args []string) error {
	list := len(args) == 3 && args[2] == "list"
	if len(args) != 2 && !list {
		return d.Err("attribute takes an attribute and its name in the directory, and perhaps list")
	}
	if _, twice := p.Mapped[args[0]]; twice {
		return d.Errf("attribute %s is written twice", args[0])
	}
	if p.Mapped == nil {
		p.Mapped = map[string]Attribute{}
	}
	p.Mapped[args[0]] = Attribute{args[1], list}
	if err := checkAttribute(args[0], args[1]); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

func groupsOption(p *Provider, d *caddyfile.Dispenser, args []string) error {
	if len(args) != 2 {
		return d.Errf("groups takes a base_dn and a filter, but got %d arguments", len(args))
	}
	p.Groups = append(p.Groups, GroupSearch{args[0], args[1]})
	return nil
}

func nestedOption(p *Provider, d *caddyfile.Dispenser, args []string) error {
	if len(args) != 1 || args[0] != "on" && args[0] != "off" {
		return d.Err("nested is on or off")
	}
	p.Nested = args[0] == "on"
	return nil
}
