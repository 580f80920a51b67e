package local

import (
	"slices"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

// UnmarshalCaddyfile sets up the provider from Caddyfile tokens. Syntax:
//
//	local {
//	    user <name> <hash> {
//	        email        <address>
//	        display_name <text>
//	        groups       <group>...
//	        <attribute>  <value>...
//	    }
//	    registration
//	}
//
// The block of a user may be left out. An attribute with several values is a list.
func (p *Provider) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the name of the module
	if d.NextArg() {
		return d.Errf("local takes no argument, but got '%s'", d.Val())
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "user":
			if err := p.unmarshalUser(d); err != nil {
				return err
			}
		case "registration":
			if d.NextArg() || p.Registration {
				return d.Errf("registration is one word, once")
			}
			p.Registration = true
		default:
			return d.Errf("local has no option '%s'; there are: registration, user", d.Val())
		}
	}
	return nil
}

func (p *Provider) unmarshalUser(d *caddyfile.Dispenser) error {
	u := new(User)
	// The message names no argument: one of them may be a password.
	if args := d.RemainingArgs(); len(args) != 2 {
		return d.Errf("user takes a name and a hash from `caddy hash-password`, but got %d arguments", len(args))
	} else {
		u.Name, u.Hash = args[0], args[1]
	}
	if slices.ContainsFunc(p.Users, func(o *User) bool { return o.Name == u.Name }) {
		return d.Errf("user '%s' is there twice", u.Name)
	}
	seen := map[string]bool{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word := d.Val()
		if seen[word] {
			return d.Errf("user '%s': '%s' is there twice", u.Name, word)
		}
		seen[word] = true
		if err := u.unmarshalWord(d, word); err != nil {
			return err
		}
	}
	p.Users = append(p.Users, u)
	return nil
}

func (u *User) unmarshalWord(d *caddyfile.Dispenser, word string) error {
	values := d.RemainingArgs()
	if len(values) == 0 {
		return d.Errf("user '%s': '%s' needs a value", u.Name, word)
	}
	switch word {
	case "groups":
		u.Groups = values
		return nil
	case "email", "display_name":
		if len(values) != 1 {
			return d.Errf("user '%s': '%s' takes one value, but got %d", u.Name, word, len(values))
		}
		if word == "email" {
			u.Email = values[0]
		} else {
			u.DisplayName = values[0]
		}
		return nil
	}
	if slices.Contains(flows.ReservedAttributes, word) {
		return d.Errf("user '%s': '%s' is reserved; there are: email, display_name, groups and attributes of your own", u.Name, word)
	}
	if !attributeName.MatchString(word) {
		return d.Errf("user '%s': attribute '%s' must match %s", u.Name, word, attributeName)
	}
	if u.Attributes == nil {
		u.Attributes = map[string]any{}
	}
	if len(values) == 1 {
		u.Attributes[word] = values[0]
		return nil
	}
	list := make([]any, len(values))
	for i, v := range values {
		list[i] = v
	}
	u.Attributes[word] = list
	return nil
}
