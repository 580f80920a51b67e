package bearer

import (
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// UnmarshalCaddyfile sets up the provider from Caddyfile tokens. Syntax:
//
//	bearer {
//	    issuer     <url>
//	    audience   <name>...
//	    algorithms <algorithm>...
//	    type       <type>...
//	    jwks_url   <url>
//	    introspect <url> <client id> <client secret>
//	    subject    <claim>
//	    claim      <attribute> <claim> [list]
//	}
func (p *Provider) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the name of the module
	if d.NextArg() {
		return d.Errf("bearer takes no argument, but got '%s'", d.Val())
	}
	seen := map[string]bool{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word := d.Val()
		if seen[word] && word != "claim" {
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

// limits are how many arguments a word takes, at least and at most.
var limits = map[string][2]int{
	"issuer": {1, 1}, "audience": {1, 16}, "algorithms": {1, 16}, "type": {1, 8}, "jwks_url": {1, 1}, "introspect": {3, 3}, "subject": {1, 1}, "claim": {2, 3},
}

// forms are how words are written.
var forms = map[string]string{
	"issuer": "issuer <url>", "audience": "audience <name>…", "algorithms": "algorithms <algorithm>…", "type": "type <type>…", "jwks_url": "jwks_url <url>",
	"introspect": "introspect <url> <client id> <client secret>", "subject": "subject <claim>", "claim": "claim <attribute> <claim> [list]",
}

func (p *Provider) unmarshalWord(d *caddyfile.Dispenser, word string, args []string) error {
	n, ok := limits[word]
	switch {
	case !ok:
		return d.Errf("bearer has no option '%s'; there are: algorithms, audience, claim, introspect, issuer, jwks_url, subject, type", word)
	case len(args) < n[0] || len(args) > n[1]:
		return d.Errf("%s got %d arguments; it is written: %s", word, len(args), forms[word]) // they may be secrets
	}
	switch word {
	case "issuer":
		p.Issuer = args[0]
	case "audience":
		p.Audience = args
	case "algorithms":
		p.Algorithms = args
	case "type":
		for _, t := range args {
			t = strings.TrimPrefix(strings.ToLower(t), "application/")
			if slices.Contains(p.Types, t) {
				return d.Errf("type %s is there twice", t)
			}
			p.Types = append(p.Types, t)
		}
	case "jwks_url":
		p.JWKSURL = args[0]
	case "introspect":
		p.Introspect = &Introspection{URL: args[0], ClientID: args[1], ClientSecret: args[2]}
	case "subject":
		p.Subject = args[0]
	case "claim":
		return p.unmarshalClaim(d, args)
	}
	return nil
}

func (p *Provider) unmarshalClaim(d *caddyfile.Dispenser, args []string) error {
	if _, twice := p.Claims[args[0]]; twice {
		return d.Errf("claim %s is written twice", args[0])
	}
	c := Claim{Path: args[1]}
	if len(args) == 3 {
		if args[2] != "list" {
			return d.Errf("claim takes an attribute, a claim and perhaps 'list', not '%s'", args[2])
		}
		c.List = true
	}
	if err := checkClaim(args[0], c); err != nil {
		return d.WrapErr(err)
	}
	if p.Claims == nil {
		p.Claims = map[string]Claim{}
	}
	p.Claims[args[0]] = c
	return nil
}
