// Package oidc is the identity provider guest for OpenID Connect: the code flow
// with PKCE, and everything that its library leaves to the relying party.
package oidc

import (
	"cmp"
	"context"
	"crypto"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/adapters/internal/jwt"
	"github.com/sallyport-gateway/sallyport/adapters/internal/patience"
	"github.com/sallyport-gateway/sallyport/flows"
)

func init() { caddy.RegisterModule(&Provider{}) }

// Provider lets an OpenID Connect provider vouch for people. State, nonce and
// PKCE (S256) are always used. Nothing is fetched when the configuration is
// loaded: discovery happens in the background and is retried while the
// provider is down.
type Provider struct {
	flows.ProviderOptions

	// Issuer is the issuer URL, exactly as the provider's discovery document and ID
	// tokens spell it. Plain http only on loopback. Placeholders are resolved.
	Issuer string `json:"issuer,omitempty"`
	// ClientID is our name at the provider. Placeholders are resolved.
	ClientID string `json:"client_id,omitempty"`
	// ClientSecret is our password at the provider; better a placeholder, because
	// the configuration can be read at /config/.
	ClientSecret string `json:"client_secret,omitempty"`
	// ClientKey is a PEM file, or a placeholder that holds the PEM, of a private key:
	// private_key_jwt (RFC 7523) in the place of a secret. RSA, EC and Ed25519.
	ClientKey string `json:"client_key,omitempty"`
	// ClientKeyID is the `kid` the provider knows the key by; default: none is sent.
	ClientKeyID string `json:"client_key_id,omitempty"`
	// TokenAuth is how the secret is sent: basic, post, or auto (the default: as
	// discovery says, basic preferred).
	TokenAuth string `json:"token_auth,omitempty"`
	// IDTokenAlgs are the signature algorithms that ID and logout tokens may have, as
	// the client is registered at the provider (id_token_signed_response_alg, often
	// RS256); default: those that discovery announces.
	IDTokenAlgs []string `json:"id_token_algs,omitempty"`
	// Scopes asked for; default openid profile email.
	Scopes []string `json:"scopes,omitempty"`
	// ACRValues asked for, in order of preference; what came back is for policies to judge.
	ACRValues []string `json:"acr_values,omitempty"`
	// Prompt is the OIDC prompt parameter, such as select_account; default: none.
	Prompt string `json:"prompt,omitempty"`
	// MaxAge is how old the login at the provider may be; 0 (the default) means any.
	// The provider must then say when it was.
	MaxAge caddy.Duration `json:"max_age,omitempty"`
	// Claims fill attributes from other claims than usual, by attribute.
	Claims map[string]Claim `json:"claims,omitempty"`
	// AMRMap translates authentication methods of this provider, as pin → [mfa].
	AMRMap map[string][]string `json:"amr_map,omitempty"`
	// UserInfo fetches the UserInfo endpoint, too, and merges what it says; default off.
	UserInfo *bool `json:"userinfo,omitempty"`
	// RefreshTokens are kept, and with them the login is renewed when its access token
	// ends: groups and claims are those of now, and a login that the provider revoked
	// ends the session. Default: on if scopes contain offline_access.
	RefreshTokens *bool `json:"refresh,omitempty"`
	// GroupsOverage says what happens when the provider left groups out because there
	// are too many: error (the default) refuses the login, the name of a directory has
	// it asked, at each login and renewal.
	GroupsOverage string `json:"groups_overage,omitempty"`
	// GroupsOverageBy is the attribute of that directory that says who it is, as
	// objectSid; default: sub, of the preset entra oid.
	GroupsOverageBy string `json:"groups_overage_by,omitempty"`
	// GroupsOverageClaim is the claim of the ID token with the value it must have, as
	// onprem_sid; default: sub, of the preset entra oid. It must be one that is never
	// given to somebody else.
	GroupsOverageClaim string `json:"groups_overage_claim,omitempty"`
	// TrustedHosts are hosts beside the issuer's own whose endpoints may have private
	// addresses; default: none, an endpoint elsewhere must be public.
	TrustedHosts []string `json:"trusted_hosts,omitempty"`

	// as is what a preset adds; its zero value is plain OpenID Connect.
	as vendor

	issuer, clientID, clientSecret string
	issuerURL                      *url.URL
	key                            crypto.Signer
	keyAlg                         string

	src      *source
	held     string               // key of our reference in the pool
	groupsOf flows.Directory      // asked where groups were left out; nil: nobody is
	wrote    *caddyfile.Dispenser // where its name was written
	now      func() time.Time
	client   *http.Client
	log      *zap.Logger
	done     context.Context
	stop     context.CancelFunc
	warming  atomic.Bool
	// pause is what a login does between two tries when nothing is at hand yet.
	pause func(context.Context, time.Duration) bool
}

// Claim is where an attribute comes from.
type Claim struct {
	// Path is the name of a claim; dots lead into objects unless a claim has that very name.
	Path string `json:"path"`
	// List makes a single value a list of one.
	List bool `json:"list,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*Provider) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.providers.oidc", New: func() caddy.Module { return new(Provider) }}
}

// Provision resolves secrets and takes the state that survives reloads. It
// touches no network.
func (p *Provider) Provision(ctx caddy.Context) error {
	p.log = ctx.Logger()
	p.done, p.stop = context.WithCancel(ctx)
	p.now = func() time.Time { return time.Time{} } // until Bind lends a clock
	p.pause = patience.Pause
	repl := caddy.NewReplacer()
	for _, f := range []struct {
		name, raw string
		to        *string
	}{{"issuer", cmp.Or(p.Issuer, p.as.issuer), &p.issuer}, {"client_id", p.ClientID, &p.clientID}, {"client_secret", p.ClientSecret, &p.clientSecret}} {
		v, err := resolve(repl, f.raw)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		*f.to = v
	}
	if p.ClientKey != "" {
		if err := p.loadKey(repl); err != nil {
			return fmt.Errorf("client_key: %w", err)
		}
	}
	for name, raw := range map[string]string{"client_secret": p.ClientSecret, "client_key": p.ClientKey} {
		if literal(name, raw) {
			p.log.Warn("secret stands in the configuration and can be read at /config/; use {file./…} or {env.…}", zap.String("field", name), zap.String("issuer", p.issuer))
		}
	}
	u, err := issuerURL(p.issuer)
	if err != nil {
		return err
	}
	if contains(strings.Fields(p.Prompt), "none") {
		p.log.Warn("prompt none shows nobody a page: who is not signed in at the provider already cannot sign in", zap.String("issuer", p.issuer))
	}
	p.issuerURL = u
	return p.acquire()
}

// resolve replaces placeholders; an unknown or empty one is an error, and so is
// a value that is empty though something was written.
func resolve(repl *caddy.Replacer, raw string) (string, error) {
	v, err := repl.ReplaceOrErr(raw, true, true)
	if err != nil {
		return "", err
	}
	if raw != "" && strings.TrimSpace(v) == "" {
		return "", errors.New("is empty")
	}
	return v, nil
}

// literal reports a secret that was written out; the path of a key file is none.
func literal(name, raw string) bool {
	if raw == "" || strings.Contains(raw, "{") {
		return false
	}
	return name != "client_key" || strings.Contains(raw, "-----BEGIN")
}

// Validate checks what can be checked without the provider.
func (p *Provider) Validate() error {
	switch {
	case p.clientID == "":
		return errors.New("client_id is required")
	case p.clientSecret == "" && p.key == nil:
		return errors.New("client_secret or client_key is required")
	case p.clientSecret != "" && p.key != nil:
		return errors.New("client_secret and client_key exclude each other")
	case p.MaxAge < 0:
		return errors.New("max_age must not be negative")
	}
	if err := oneOf("token_auth", p.TokenAuth, "", "auto", "basic", "post"); err != nil {
		return err
	}
	if p.GroupsOverage != "" && !flows.ValidName(p.GroupsOverage) {
		return fmt.Errorf("groups_overage %q is neither error nor the name of a directory", p.GroupsOverage)
	}
	if (p.GroupsOverageBy == "") != (p.GroupsOverageClaim == "") || p.GroupsOverageBy != "" && !p.asksForGroups() {
		return errors.New("groups_overage_by and groups_overage_claim belong together and to a directory")
	}
	if p.Scopes != nil && !contains(p.Scopes, "openid") {
		return fmt.Errorf("scopes %q must contain openid", p.Scopes)
	}
	for _, list := range [][]string{p.Scopes, p.ACRValues} {
		for _, v := range list {
			if v == "" || strings.ContainsAny(v, " \t\r\n") {
				return fmt.Errorf("%q: a scope or acr value is one word", v)
			}
		}
	}
	for _, alg := range p.IDTokenAlgs {
		if err := jwt.CheckAlg("id_token_alg", alg); err != nil {
			return err
		}
	}
	for attr, c := range p.Claims {
		if err := checkClaim(attr, c); err != nil {
			return err
		}
	}
	return nil
}

func oneOf(field, got string, words ...string) error {
	if contains(words, got) {
		return nil
	}
	return fmt.Errorf("%s %q is unknown; there are: %s", field, got, strings.Join(words[1:], ", "))
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// Bind takes the clock, the HTTP client and the directory of groups. Only what the
// operator wrote is trusted as written; endpoints elsewhere must be public.
func (p *Provider) Bind(r flows.Registry) error {
	p.now = r.Now
	p.client = r.Outbound(append([]string{p.issuerURL.Hostname()}, p.TrustedHosts...)...)
	p.src.lend(p.client, p.now)
	return p.Names(r)
}

// Cleanup ends the background work and returns the shared state.
func (p *Provider) Cleanup() error {
	if p.stop != nil {
		p.stop()
	}
	return p.release()
}

func (p *Provider) scopes() []string {
	switch {
	case len(p.Scopes) > 0:
		return p.Scopes
	case len(p.as.scopes) > 0:
		return p.as.scopes
	}
	return []string{"openid", "profile", "email"}
}

func (p *Provider) refreshes() bool {
	if p.RefreshTokens != nil {
		return *p.RefreshTokens
	}
	return contains(p.scopes(), "offline_access")
}

// Interface guards.
var (
	_ caddy.Module             = (*Provider)(nil)
	_ caddy.Provisioner        = (*Provider)(nil)
	_ caddy.Validator          = (*Provider)(nil)
	_ caddy.CleanerUpper       = (*Provider)(nil)
	_ caddyfile.Unmarshaler    = (*Provider)(nil)
	_ flows.ProviderGuest      = (*Provider)(nil)
	_ flows.Binder             = (*Provider)(nil)
	_ flows.Namer              = (*Provider)(nil)
	_ flows.Reacher            = (*Provider)(nil)
	_ flows.Redirector         = (*Provider)(nil)
	_ flows.Refresher          = (*Provider)(nil)
	_ flows.Ender              = (*Provider)(nil)
	_ flows.BackchannelLogout  = (*Provider)(nil)
	_ flows.FrontchannelLogout = (*Provider)(nil)
	_ flows.Health             = (*Provider)(nil)
	_ flows.Checker            = (*Provider)(nil)
	_ flows.AttributeLister    = (*Provider)(nil)
)
