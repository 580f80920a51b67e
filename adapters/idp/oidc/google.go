package oidc

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

func init() { caddy.RegisterModule(&Google{}) }

// Google lets Google vouch for the people of one or several Workspace domains: its
// issuer, the verified address as the login name, and a check that every token is
// of such a domain. What is not said here is as with the type oidc.
type Google struct {
	Provider

	// HostedDomains are the primary domains of the Workspace organisations whose
	// people may sign in. Placeholders are resolved.
	HostedDomains []string `json:"hosted_domains,omitempty"`

	domains []string
}

// CaddyModule returns the Caddy module information.
func (*Google) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.providers.google", New: func() caddy.Module { return new(Google) }}
}

// Provision resolves the domains and, with them, the provider.
func (g *Google) Provision(ctx caddy.Context) error {
	repl := caddy.NewReplacer()
	for _, raw := range g.HostedDomains {
		v, err := resolve(repl, raw)
		if err != nil {
			return fmt.Errorf("hosted_domain: %w", err)
		}
		g.domains = append(g.domains, strings.ToLower(v))
	}
	if err := checkHosted(g.domains); err != nil {
		return err
	}
	g.as = vendor{
		issuer: "https://accounts.google.com",
		claims: map[string]Claim{"name": {Path: "email"}}, // it has no other name to sign in with
		admits: g.ofDomain, asks: g.ask,
	}
	return g.Provider.Provision(ctx)
}

// Validate checks what can be checked without the provider.
func (g *Google) Validate() error {
	if contains(g.Scopes, "offline_access") {
		return errNoOffline
	}
	return g.Provider.Validate()
}

var (
	errHosted    = errors.New("google needs a hosted_domain: without one everybody with a Google account gets in")
	errNoOffline = errors.New("google has no scope offline_access; write `refresh on`")
)

func checkHosted(domains []string) error {
	if len(domains) == 0 {
		return errHosted
	}
	for i, h := range domains {
		h = strings.ToLower(h)
		switch {
		case h == "gmail.com", h == "googlemail.com":
			return fmt.Errorf("hosted_domain '%s' is nobody's: private accounts have none; use `oidc` with issuer https://accounts.google.com", h)
		case !domain.MatchString(h):
			return fmt.Errorf("hosted_domain '%s' is no domain, as example.com", h)
		case slices.ContainsFunc(domains[:i], func(o string) bool { return strings.EqualFold(o, h) }):
			return fmt.Errorf("hosted_domain %s is written twice", h)
		}
	}
	return nil
}

// ofDomain is the tenant check. The request parameter hd is a hint that whoever
// holds the browser can take out; only the claim says whose account it is. The
// address must be verified, because it is the name.
func (g *Google) ofDomain(claims map[string]any) error {
	hd, _ := claims["hd"].(string)
	switch {
	case hd == "":
		return errors.New("hd is missing: a private Google account")
	case !contains(g.domains, strings.ToLower(hd)):
		return fmt.Errorf("hd is %q, which is none of the hosted domains", outbound.Clip(hd, 100))
	case !emailVerified(claims):
		return errors.New("the address is not verified")
	}
	return nil
}

// ask adds what only Google asks for: the domain for its chooser, and offline access
// where others have a scope. A refresh token comes only with a new consent.
func (g *Google) ask(w map[string]string, _ []string) {
	w["hd"] = "*"
	if len(g.domains) == 1 {
		w["hd"] = g.domains[0]
	}
	prompt := strings.Fields(w["prompt"])
	for i := range prompt {
		if prompt[i] == "login" { // it does not know the word
			prompt[i] = "select_account"
		}
	}
	if g.refreshes() {
		w["access_type"] = "offline"
		prompt = append(prompt, "consent")
	}
	slices.Sort(prompt)
	w["prompt"] = strings.Join(slices.Compact(prompt), " ")
}

// UnmarshalCaddyfile sets up the provider from Caddyfile tokens. Syntax:
//
//	google {
//	    hosted_domain <domain>...
//	    …             # the words of oidc
//	}
func (g *Google) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	err := g.parse(d, "google", map[string]option{
		"hosted_domain": func(_ *Provider, d *caddyfile.Dispenser, args []string) error {
			if len(args) == 0 {
				return d.ArgErr()
			}
			g.HostedDomains = args
			if strings.Contains(strings.Join(args, ""), "{") {
				return nil // known at load
			}
			return placed(d, checkHosted(args))
		},
	})
	switch {
	case err != nil:
		return err
	case len(g.HostedDomains) == 0:
		return d.WrapErr(errHosted)
	case contains(g.Scopes, "offline_access"):
		return d.WrapErr(errNoOffline)
	}
	return g.complete(d, "google")
}

// Interface guards.
var (
	_ caddy.Module          = (*Google)(nil)
	_ caddy.Provisioner     = (*Google)(nil)
	_ caddy.Validator       = (*Google)(nil)
	_ caddyfile.Unmarshaler = (*Google)(nil)
	_ flows.ProviderGuest   = (*Google)(nil)
	_ flows.Redirector      = (*Google)(nil)
)
