package oidc

import (
	"maps"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/adapters/internal/jwt"
	"github.com/sallyport-gateway/sallyport/flows"
)

// UnmarshalCaddyfile sets up the provider from Caddyfile tokens. The options
// that every provider has are taken out before. Syntax:
//
//	oidc {
//	    issuer         <url>
//	    client_id      <id>
//	    client_secret  <secret>
//	    client_key     <pem> [<kid>]
//	    token_auth     auto|basic|post
//	    id_token_alg   <alg>...
//	    scopes         <scope>...
//	    acr_values     <acr>...
//	    prompt         <prompt>...
//	    max_age        <duration>
//	    claim          <attribute> <claim.path> [list]
//	    amr_map        <from> <to>...
//	    userinfo       on|off
//	    refresh        on|off
//	    groups_overage error|<directory> [<attribute of the directory> <claim>]
//	}
func (p *Provider) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	if err := p.parse(d, "oidc", nil); err != nil {
		return err
	}
	if p.Issuer == "" {
		return d.Err("oidc needs an issuer")
	}
	return p.complete(d, "oidc")
}

// parse reads the block of a type, with its own words beside those of oidc.
func (p *Provider) parse(d *caddyfile.Dispenser, kind string, own map[string]option) error {
	words := maps.Clone(options)
	maps.Copy(words, own)
	d.Next()
	if d.NextArg() {
		return d.ArgErr()
	}
	seen := map[string]bool{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if d.Nesting() != nesting+1 {
			return d.Errf("unexpected block; %s options take none", kind)
		}
		word := d.Val()
		parse, ok := words[word]
		if !ok {
			return d.Errf("unknown %s option '%s'%s; there are: %s", kind, word, meant(word, words), strings.Join(slices.Sorted(maps.Keys(words)), ", "))
		}
		if seen[word] && word != "claim" && word != "amr_map" {
			return d.Errf("%s is written twice", word)
		}
		seen[word] = true
		if err := parse(p, d, d.RemainingArgs()); err != nil {
			return err
		}
	}
	return nil
}

// complete checks what needs no secret here, where file and line are known.
func (p *Provider) complete(d *caddyfile.Dispenser, kind string) error {
	switch {
	case p.ClientID == "":
		return d.Errf("%s needs a client_id", kind)
	case p.ClientSecret == "" && p.ClientKey == "":
		return d.Errf("%s needs a client_secret or a client_key", kind)
	case p.ClientSecret != "" && p.ClientKey != "":
		return d.Err("client_secret and client_key exclude each other")
	}
	return nil
}

type option func(p *Provider, d *caddyfile.Dispenser, args []string) error

var options = map[string]option{
	"issuer":         issuerOption,
	"client_id":      text("client_id", func(p *Provider) *string { return &p.ClientID }),
	"client_secret":  text("client_secret", func(p *Provider) *string { return &p.ClientSecret }),
	"client_key":     clientKeyOption,
	"token_auth":     word(func(p *Provider) *string { return &p.TokenAuth }, "auto", "basic", "post"),
	"groups_overage": overageOption,
	"id_token_alg":   algOption,
	"scopes":         scopesOption,
	"acr_values":     acrOption,
	"prompt":         promptOption,
	"max_age":        maxAgeOption,
	"claim":          claimOption,
	"amr_map":        amrOption,
	"userinfo":       onOff(func(p *Provider, on bool) { p.UserInfo = &on }),
	"refresh":        onOff(func(p *Provider, on bool) { p.RefreshTokens = &on }),
}

func text(name string, field func(*Provider) *string) option {
	return func(p *Provider, d *caddyfile.Dispenser, args []string) error {
		if len(args) != 1 {
			return d.ArgErr()
		}
		if args[0] == "" {
			return d.Errf("%s is empty", name)
		}
		*field(p) = args[0]
		return nil
	}
}

func word(field func(*Provider) *string, words ...string) option {
	return func(p *Provider, d *caddyfile.Dispenser, args []string) error {
		if len(args) != 1 {
			return d.ArgErr()
		}
		if !contains(words, args[0]) {
			return d.Errf("'%s' is unknown here; there are: %s", args[0], strings.Join(words, ", "))
		}
		*field(p) = args[0]
		return nil
	}
}

func onOff(set func(*Provider, bool)) option {
	return func(p *Provider, d *caddyfile.Dispenser, args []string) error {
		if len(args) != 1 {
			return d.ArgErr()
		}
		if args[0] != "on" && args[0] != "off" {
			return d.Errf("'%s' is unknown here; there are: on, off", args[0])
		}
		set(p, args[0] == "on")
		return nil
	}
}

// overageOption takes error, or the name of a directory that knows the groups, and
// perhaps what it finds people by and the claim that says so. Whether there is one of that name is seen when all are known.
func overageOption(p *Provider, d *caddyfile.Dispenser, args []string) error {
	if len(args) != 1 && len(args) != 3 {
		return d.ArgErr()
	}
	if !flows.ValidName(args[0]) {
		return d.Errf("'%s' is no name of a directory; groups_overage takes error or the name of one", args[0])
	}
	p.GroupsOverage = args[0]
	if len(args) == 3 {
		if !p.asksForGroups() || args[1] == "" || args[2] == "" {
			return d.Err("groups_overage error takes no more; a directory takes one of its attributes and a claim")
		}
		p.GroupsOverageBy, p.GroupsOverageClaim = args[1], args[2]
	}
	if p.asksForGroups() {
		p.wrote = caddyfile.NewDispenser([]caddyfile.Token{d.Token()})
		p.wrote.Next()
	}
	return nil
}

// placed says where an error was written.
func placed(d *caddyfile.Dispenser, err error) error {
	if err == nil {
		return nil
	}
	return d.WrapErr(err)
}

func issuerOption(p *Provider, d *caddyfile.Dispenser, args []string) error {
	if len(args) != 1 {
		return d.ArgErr()
	}
	if !strings.Contains(args[0], "{") {
		if _, err := issuerURL(args[0]); err != nil {
			return d.WrapErr(err)
		}
	}
	p.Issuer = args[0]
	return nil
}

func clientKeyOption(p *Provider, d *caddyfile.Dispenser, args []string) error {
	if len(args) < 1 || len(args) > 2 || args[0] == "" {
		return d.ArgErr()
	}
	p.ClientKey = args[0]
	if len(args) == 2 {
		p.ClientKeyID = args[1]
	}
	return nil
}

func algOption(p *Provider, d *caddyfile.Dispenser, args []string) error {
	if len(args) == 0 {
		return d.ArgErr()
	}
	for _, alg := range args {
		if err := jwt.CheckAlg("id_token_alg", alg); err != nil {
			return d.WrapErr(err)
		}
	}
	p.IDTokenAlgs = args
	return nil
}

func scopesOption(p *Provider, d *caddyfile.Dispenser, args []string) error {
	if len(args) == 0 {
		return d.ArgErr()
	}
	if !contains(args, "openid") {
		return d.Errf("scopes must contain openid; written are: %s", strings.Join(args, ", "))
	}
	p.Scopes = args
	return nil
}

func acrOption(p *Provider, d *caddyfile.Dispenser, args []string) error {
	if len(args) == 0 {
		return d.ArgErr()
	}
	p.ACRValues = args
	return nil
}

func promptOption(p *Provider, d *caddyfile.Dispenser, args []string) error {
	if len(args) == 0 {
		return d.ArgErr()
	}
	p.Prompt = strings.Join(args, " ")
	return nil
}

func maxAgeOption(p *Provider, d *caddyfile.Dispenser, args []string) error {
	if len(args) != 1 {
		return d.ArgErr()
	}
	age, err := caddy.ParseDuration(args[0])
	if err != nil || age <= 0 {
		return d.Errf("max_age '%s' is no positive duration, as 8h", args[0])
	}
	p.MaxAge = caddy.Duration(age)
	return nil
}

func claimOption(p *Provider, d *caddyfile.Dispenser, args []string) error {
	if len(args) < 2 || len(args) > 3 {
		return d.ArgErr()
	}
	c := Claim{Path: args[1]}
	if len(args) == 3 {
		if args[2] != "list" {
			return d.Errf("'%s' is unknown here; there is: list", args[2])
		}
		c.List = true
	}
	if err := checkClaim(args[0], c); err != nil {
		return d.WrapErr(err)
	}
	if _, ok := p.Claims[args[0]]; ok {
		return d.Errf("claim %s is written twice", args[0])
	}
	if p.Claims == nil {
		p.Claims = map[string]Claim{}
	}
	p.Claims[args[0]] = c
	return nil
}

func amrOption(p *Provider, d *caddyfile.Dispenser, args []string) error {
	if len(args) < 2 {
		return d.ArgErr()
	}
	if _, ok := p.AMRMap[args[0]]; ok {
		return d.Errf("amr_map %s is written twice", args[0])
	}
	if p.AMRMap == nil {
		p.AMRMap = map[string][]string{}
	}
	p.AMRMap[args[0]] = args[1:]
	return nil
}

// meant names the option that differs least from a misspelt one.
func meant(word string, words map[string]option) string {
	if best := flows.Nearest(word, slices.Sorted(maps.Keys(words))); best != "" {
		return "; did you mean '" + best + "'?"
	}
	return ""
}
