package header

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// UnmarshalCaddyfile sets up the provider from Caddyfile tokens. Syntax:
//
//	header {
//	    user        <Header>
//	    attribute   <attribute> <Header> [<separator>]
//	    from        <cidr>...
//	    client_cert [<name>...]
//	}
//
// One of from and client_cert must be there; both mean that both must hold.
func (p *Provider) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the name of the module
	if d.NextArg() {
		return d.Errf("header takes no argument, but got '%s'", d.Val())
	}
	seen := map[string]bool{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word := d.Val()
		if seen[word] && (word == "user" || word == "client_cert") {
			return d.Errf("%s is written twice", word)
		}
		seen[word] = true
		if err := p.unmarshalWord(d, word, d.RemainingArgs()); err != nil {
			return err
		}
	}
	if err := p.check(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

func (p *Provider) unmarshalWord(d *caddyfile.Dispenser, word string, args []string) error {
	switch word {
	case "user":
		if len(args) != 1 {
			return d.Errf("user takes a header, but got %d arguments", len(args))
		}
		p.User = args[0]
	case "attribute":
		if len(args) != 2 && len(args) != 3 {
			return d.Err("attribute takes an attribute and a header, and perhaps what separates a list")
		}
		if _, twice := p.Attributes[args[0]]; twice {
			return d.Errf("attribute %s is written twice", args[0])
		}
		if p.Attributes == nil {
			p.Attributes = map[string]Attribute{}
		}
		a := Attribute{Header: args[1]}
		if len(args) == 3 {
			a.Separator = args[2]
		}
		p.Attributes[args[0]] = a
	case "from":
		if len(args) == 0 {
			return d.Err("from takes one or more addresses such as 10.0.0.0/24")
		}
		p.From = append(p.From, args...)
	case "client_cert":
		p.ClientCert, p.ClientNames = true, args
	default:
		return d.Errf("header has no option '%s'; there are: user, attribute, from, client_cert", word)
	}
	return nil
}
