// Package bearer is the provider for programs that show an access token (RFC 6750): a
// signed one is verified here (RFC 9068), any other is asked of its issuer (RFC 7662).
package bearer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	lru "github.com/hashicorp/golang-lru/v2"
	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/adapters/internal/jwt"
	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

func init() { caddy.RegisterModule(&Provider{}) }

// Provider takes the access tokens of an authorization server. A route names it in an
// `api` line; no login can, since a token is no way to sign in a browser.
type Provider struct {
	flows.ProviderOptions

	// Issuer is what tokens call their issuer, exactly. Its keys are found by discovery, unless
	// jwks_url says where. Plain http only on loopback. Placeholders are resolved. Required,
	// unless introspect is there.
	Issuer string `json:"issuer,omitempty"`
	// Audience are the names of this API: a token must be made for one of them. Required;
	// with introspect it may be missing, and then every active token is taken.
	Audience []string `json:"audience,omitempty"`
	// Algorithms are those that signatures may have; default: RS256, PS256 and ES256, their
	// longer kin, and EdDSA.
	Algorithms []string `json:"algorithms,omitempty"`
	// Types are those that a signed token may say it has; default at+jwt (RFC 9068).
	// `untyped` stands for none. An ID token is never taken.
	Types []string `json:"types,omitempty"`
	// JWKSURL is where the issuer's keys are; default: where its discovery document says.
	JWKSURL string `json:"jwks_url,omitempty"`
	// Introspect asks the issuer about each token, signed ones too.
	Introspect *Introspection `json:"introspect,omitempty"`
	// Subject is the claim that says who it is, for good; default sub.
	Subject string `json:"subject,omitempty"`
	// Claims fill attributes from other claims than usual, by attribute. user.name is
	// preferred_username unless it stands here.
	Claims map[string]Claim `json:"claims,omitempty"`

	issuer    string
	issuerURL *url.URL
	keys      *jwt.Keys
	asked     *asked
	budgets   *flows.Budgets
	now       func() time.Time
	client    *http.Client
	log       *zap.Logger
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
	return caddy.ModuleInfo{ID: "identity.providers.bearer", New: func() caddy.Module { return new(Provider) }}
}

// Provision resolves placeholders. It touches no network.
func (p *Provider) Provision(ctx caddy.Context) (err error) {
	p.log = ctx.Logger()
	p.now = func() time.Time { return time.Time{} } // until Bind lends a clock
	repl := caddy.NewReplacer()
	if p.issuer, err = repl.ReplaceOrErr(p.Issuer, true, true); err != nil {
		return fmt.Errorf("issuer: %w", err)
	}
	if err := p.check(); err != nil {
		return err
	}
	if p.issuer != "" {
		if p.issuerURL, err = address("issuer", p.issuer); err != nil {
			return err
		}
	}
	if p.Introspect != nil {
		if len(p.Audience) == 0 {
			p.log.Warn("no audience: every active token is taken, also one made for another API", zap.String("introspect", p.Introspect.URL))
		}
		return p.provisionIntrospection(repl)
	}
	p.keys = &jwt.Keys{Locate: p.locate}
	return nil
}

// Validate refuses what would take every token, or none.
func (p *Provider) Validate() error { return p.check() }

func (p *Provider) check() error {
	switch {
	case p.Issuer == "" && p.Introspect == nil:
		return errors.New("issuer is required, or introspect")
	case len(p.Audience) == 0 && p.Introspect == nil:
		return errors.New("audience is required: without it tokens that were made for other APIs would be taken")
	case p.Introspect != nil && (p.JWKSURL != "" || len(p.Algorithms)+len(p.Types) > 0):
		return errors.New("introspect asks the issuer; jwks_url, algorithms and type are for tokens that are verified here")
	case slices.Contains(p.Audience, ""):
		return errors.New("an audience must not be empty")
	}
	for _, alg := range p.Algorithms {
		if err := jwt.CheckAlg("algorithm", alg); err != nil {
			return err
		}
	}
	if p.JWKSURL != "" {
		if _, err := address("jwks_url", p.JWKSURL); err != nil {
			return err
		}
	}
	for attribute, c := range p.Claims {
		if err := checkClaim(attribute, c); err != nil {
			return err
		}
	}
	if p.Introspect != nil {
		return p.Introspect.check()
	}
	return nil
}

// address accepts https, and plain http on loopback only.
func address(word, s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "":
		return nil, fmt.Errorf("%s '%s' is no address such as https://login.example.com", word, s)
	case u.Scheme == "https", u.Scheme == "http" && outbound.Loopback(u.Hostname()):
		return u, nil
	}
	return nil, fmt.Errorf("%s '%s' must begin with https:// (http:// on loopback only)", word, s)
}

// Bind takes the clock, the budgets and the HTTP client, which trusts the hosts that
// are written here and no others.
func (p *Provider) Bind(r flows.Registry) error {
	p.now, p.budgets = r.Now, r.Budgets()
	var hosts []string
	for _, text := range []string{p.issuer, p.JWKSURL, p.introspectURL()} {
		if u, err := url.Parse(text); err == nil && u.Hostname() != "" {
			hosts = append(hosts, u.Hostname())
		}
	}
	p.client = r.Outbound(hosts...)
	if p.Introspect != nil {
		known, err := lru.New[[32]byte, time.Time](maxRefused)
		p.asked = &asked{refused: known, turn: make(chan struct{}, maxAsking)}
		return err
	}
	p.keys.Lend(p.client, p.now)
	return nil
}

// Warm has the keys there before the first token.
func (p *Provider) Warm(ctx context.Context) {
	if p.keys != nil {
		p.keys.Prefetch(ctx)
	}
}

// Attributes are those that `claim` fills, and the usual ones of tokens.
func (p *Provider) Attributes() []string {
	names := []string{"client_id", "scope", "scopes"}
	for name := range p.Claims {
		names = append(names, name)
	}
	return names
}

// Scheme is that of RFC 6750 §2.1. A token in the query or in a form is not looked at.
func (p *Provider) Scheme() string { return scheme }

const (
	scheme   = "Bearer"
	maxToken = 16 << 10
)

// Presents finds a token. A signed one of another issuer is another provider's.
func (p *Provider) Presents(r *flows.Request) (flows.ClientCredential, error) {
	token, err := flows.Authorization(r, scheme)
	if err != nil {
		return flows.ClientCredential{}, err
	}
	if iss, signed := issuerOf(token); signed && p.issuer != "" && iss != p.issuer || !signed && p.Introspect == nil && b64token(token) {
		return flows.ClientCredential{}, flows.ErrForeign
	}
	return flows.ClientCredential{Secret: token}, nil
}

// VerifyClient judges a token: it is read only when it looks like one.
func (p *Provider) VerifyClient(ctx context.Context, r *flows.Request, c flows.ClientCredential) (flows.Proof, error) {
	if len(c.Secret) > maxToken || !b64token(c.Secret) {
		return flows.Proof{}, refusedf("a token is at most %d bytes of letters, digits and -._~+/", maxToken)
	}
	var claims map[string]any
	var err error
	if p.Introspect != nil {
		claims, err = p.introspect(ctx, r, c.Secret)
	} else {
		claims, err = p.verify(ctx, c.Secret)
	}
	if err != nil {
		return flows.Proof{}, err
	}
	if err := bound(claims, r); err != nil {
		return flows.Proof{}, err
	}
	return p.proof(claims)
}

// b64token reports what may stand in the header (RFC 6750 §2.1).
func b64token(s string) bool {
	body := strings.TrimRight(s, "=")
	return body != "" && !strings.ContainsFunc(body, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._~+/", r)
	})
}

// refusedf says that a token is no good. What of it, only the log reads.
func refusedf(format string, args ...any) error {
	return fmt.Errorf("%w: %w", flows.ErrCredentials, fmt.Errorf(format, args...))
}

// Interface guards.
var (
	_ caddy.Provisioner     = (*Provider)(nil)
	_ caddy.Validator       = (*Provider)(nil)
	_ caddyfile.Unmarshaler = (*Provider)(nil)
	_ flows.ProviderGuest   = (*Provider)(nil)
	_ flows.Binder          = (*Provider)(nil)
	_ flows.ClientVerifier  = (*Provider)(nil)
	_ flows.Health          = (*Provider)(nil)
	_ flows.AttributeLister = (*Provider)(nil)
)
