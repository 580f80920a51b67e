package kerberos

import (
	"fmt"
	"path/filepath"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// UnmarshalCaddyfile sets up the provider from Caddyfile tokens. Syntax:
//
//	kerberos {
//	    keytab         <file>
//	    principal      HTTP/<host>[@<REALM>]
//	    kerberos_realm <REALM>...
//	    directory      <ldap provider>
//	    name           short|principal
//	    from           <cidr>...
//	}
func (p *Provider) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the name of the module
	if d.NextArg() {
		return d.Errf("kerberos takes no argument, but got '%s'", d.Val())
	}
	seen := map[string]bool{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word := d.Val()
		if seen[word] && word != "kerberos_realm" && word != "from" {
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
	single := map[string]*string{"keytab": &p.Keytab, "principal": &p.Principal, "directory": &p.Directory, "name": &p.Name}
	several := map[string]*[]string{"kerberos_realm": &p.Realms, "from": &p.From}
	if to, ok := single[word]; ok {
		if len(args) != 1 || args[0] == "" {
			return d.Errf("%s takes one argument, but got %d", word, len(args))
		}
		*to = args[0]
		switch word {
		case "keytab":
			p.Source = fmt.Sprintf("%s:%d", filepath.Base(d.File()), d.Line())
		case "directory": // whether there is one is known when everything was read
			at := *d
			p.wrote = &at
		}
		return nil
	}
	to, ok := several[word]
	switch {
	case !ok:
		return d.Errf("kerberos has no option '%s'; there are: directory, from, kerberos_realm, keytab, name, principal", word)
	case len(args) == 0:
		return d.Errf("%s takes one or more arguments", word)
	}
	*to = append(*to, args...)
	return nil
}
