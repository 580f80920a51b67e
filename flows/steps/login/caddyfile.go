package login

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

// UnmarshalCaddyfile sets up the step from Caddyfile tokens. Syntax:
//
//	login [<provider>...] [passkey] {
//	    discover <provider> <@domain>...
//	    vouched  <duration>
//	    fallback <provider>
//	}
func (l *Login) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the name of the step
	l.Source = fmt.Sprintf("%s:%d", filepath.Base(d.File()), d.Line())
	for d.NextArg() {
		name := d.Val()
		switch {
		case !flows.ValidName(name):
			return d.Errf("'%s' is no name of a provider: [a-z0-9_-]+", name)
		case slices.Contains(l.Providers, name):
			return d.Errf("provider '%s' is there twice", name)
		}
		l.Providers = append(l.Providers, name)
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "discover":
			if err := l.unmarshalDiscover(d); err != nil {
				return err
			}
		case "vouched":
			if err := l.unmarshalVouched(d); err != nil {
				return err
			}
		case "fallback":
			if err := l.unmarshalFallback(d); err != nil {
				return err
			}
		default:
			return d.Errf("login has no option '%s'; there are: discover, fallback, vouched", d.Val())
		}
	}
	return nil
}

func (l *Login) unmarshalFallback(d *caddyfile.Dispenser) error {
	if l.Fallback != "" {
		return d.Err("fallback is there twice")
	}
	if !d.AllArgs(&l.Fallback) {
		return d.Err("fallback takes one provider")
	}
	if err := l.checkFallback(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

func (l *Login) unmarshalDiscover(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) < 2 {
		return d.Err("discover takes a provider and one or more @domains")
	}
	name, domains := args[0], args[1:]
	if !flows.ValidName(name) {
		return d.Errf("'%s' is no name of a provider: [a-z0-9_-]+", name)
	}
	if len(l.Providers) > 0 && !slices.Contains(l.Providers, name) {
		return d.Errf("discover: no provider of this login is called '%s'; there are: %s", name, strings.Join(l.Providers, ", "))
	}
	if slices.ContainsFunc(l.Discover, func(o Discover) bool { return o.Provider == name }) {
		return d.Errf("discover %s is there twice", name)
	}
	for _, text := range domains {
		domain, ok := domainName(text)
		if !ok || !strings.HasPrefix(text, "@") {
			return d.Errf("discover %s: '%s' is no domain such as @example.com", name, text)
		}
		for _, o := range append(slices.Clone(l.Discover), Discover{Domains: domains[:slices.Index(domains, text)]}) {
			if slices.ContainsFunc(o.Domains, func(t string) bool { other, _ := domainName(t); return other == domain }) {
				return d.Errf("discover names @%s twice", domain)
			}
		}
	}
	l.Discover = append(l.Discover, Discover{Provider: name, Domains: domains})
	return nil
}

func (l *Login) unmarshalVouched(d *caddyfile.Dispenser) error {
	switch {
	case l.Vouched != 0:
		return d.Err("vouched is there twice")
	case !slices.Contains(l.Providers, flows.Passkey):
		return d.Errf("vouched is for a login with %s", flows.Passkey)
	case !d.NextArg():
		return d.Err("vouched wants a duration such as 30d")
	}
	t, err := caddy.ParseDuration(d.Val())
	if err != nil || t <= 0 {
		return d.Errf("vouched: '%s' is no duration such as 30d", d.Val())
	}
	l.Vouched = caddy.Duration(t)
	if d.NextArg() {
		return d.Errf("vouched takes one duration; '%s' is too much", d.Val())
	}
	return nil
}
