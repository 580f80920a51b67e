package oidc

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() { caddy.RegisterModule(&Okta{}) }

// Okta lets an Okta organisation vouch for its people: its issuer, and the scopes
// and claims by which it says their groups. What is not said here is as with the
// type oidc; userinfo is on, because Okta's ID tokens lack most claims when an
// access token comes with them.
type Okta struct {
	Provider

	// Domain is the organisation's host, as dev-1.okta.com or one of its own.
	// Placeholders are resolved.
	Domain string `json:"domain,omitempty"`
	// AuthorizationServer is the id of a custom authorization server, as default;
	// default: that of the organisation.
	AuthorizationServer string `json:"authorization_server,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*Okta) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.providers.okta", New: func() caddy.Module { return new(Okta) }}
}

// Provision resolves the domain and, with it, the provider.
func (o *Okta) Provision(ctx caddy.Context) error {
	if o.Domain == "" && o.Issuer == "" {
		return errOktaDomain
	}
	host, err := resolve(caddy.NewReplacer(), o.Domain)
	if err != nil {
		return fmt.Errorf("domain: %w", err)
	}
	if host != "" {
		if err := checkOkta(host); err != nil {
			return err
		}
	}
	o.as = vendor{userinfo: true, issuer: "https://" + host}
	if o.AuthorizationServer != "" {
		o.as.issuer += "/oauth2/" + url.PathEscape(o.AuthorizationServer)
	} else {
		// Of the organisation's own server only: a custom one refuses scopes that nobody defined there.
		o.as.scopes = []string{"openid", "profile", "email", "groups"}
	}
	return o.Provider.Provision(ctx)
}

var errOktaDomain = errors.New("okta needs a domain, as dev-1.okta.com")

func checkOkta(host string) error {
	first, rest, _ := strings.Cut(host, ".")
	switch {
	case !domain.MatchString(host):
		return fmt.Errorf("domain '%s' is no host name, as dev-1.okta.com", host)
	case strings.HasSuffix(first, "-admin") && strings.Contains("."+rest, ".okta"):
		return fmt.Errorf("domain '%s' is where administrators go; people sign in at %s.%s", host, strings.TrimSuffix(first, "-admin"), rest)
	}
	return nil
}

// UnmarshalCaddyfile sets up the provider from Caddyfile tokens. Syntax:
//
//	okta {
//	    domain <host> [<authorization server>]
//	    …      # the words of oidc
//	}
func (o *Okta) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	err := o.parse(d, "okta", map[string]option{
		"domain": func(_ *Provider, d *caddyfile.Dispenser, args []string) error {
			if len(args) < 1 || len(args) > 2 || args[0] == "" {
				return d.ArgErr()
			}
			if o.Domain = args[0]; len(args) == 2 {
				o.AuthorizationServer = args[1]
			}
			if strings.Contains(o.Domain, "{") {
				return nil // known at load
			}
			return placed(d, checkOkta(o.Domain))
		},
	})
	switch {
	case err != nil:
		return err
	case o.Domain == "" && o.Issuer == "":
		return d.WrapErr(errOktaDomain)
	}
	return o.complete(d, "okta")
}

// Interface guards.
var (
	_ caddy.Module          = (*Okta)(nil)
	_ caddy.Provisioner     = (*Okta)(nil)
	_ caddyfile.Unmarshaler = (*Okta)(nil)
	_ flows.ProviderGuest   = (*Okta)(nil)
	_ flows.Redirector      = (*Okta)(nil)
)
