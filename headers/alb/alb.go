// Package alb sends the headers that applications behind an Application Load Balancer
// of Amazon's expect, where it authenticated people.
package alb

import (
	"cmp"
	"errors"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() { caddy.RegisterModule(Dialect{}) }

// Dialect is the guest `identity.headers.alb`: x-amzn-oidc-identity and x-amzn-oidc-data,
// a token (ES256) whose base64url keeps its padding, with signer, client, iss and exp in
// its header too. x-amzn-oidc-accesstoken is never sent: it was a secret of the
// provider's. A header without a value is absent. The key of a token is at
// /.identity/alb/<kid> as PEM: an application that took it from
// https://public-keys.auth.elb.<region>.amazonaws.com/<kid> must be told.
type Dialect struct {
	// Identity is the attribute in x-amzn-oidc-identity and the claim sub. Default:
	// subject, as the load balancer sent it. Providers whose people are not the same
	// need another, such as key.
	Identity string `json:"identity,omitempty"`
	// Signer is what the application compares the token's signer with: the load
	// balancer's ARN. Default: the portal, without one the origin of the application.
	Signer string `json:"signer,omitempty"`
	// Client is the client id that the load balancer had at the provider. Default: absent.
	Client string `json:"client,omitempty"`
	// Audience, issuer, time to live and further claims of the token. The default issuer
	// is the provider's, as it was with the load balancer, where the raw claims have it;
	// without audience there is none.
	flows.Asserting
	// How values become headers. max is for the token, too, whose default is 8192.
	flows.HeaderOptions
	// What ends a session.
	flows.Leaving

	signer flows.Signer
}

// CaddyModule returns the module's description.
func (Dialect) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.headers.alb", New: func() caddy.Module { return new(Dialect) }}
}

// Provision fills in the defaults.
func (d *Dialect) Provision(caddy.Context) error {
	d.Identity = cmp.Or(d.Identity, "subject")
	return nil
}

// Validate checks what an operator may have written in JSON.
func (d *Dialect) Validate() error {
	return errors.Join(flows.ValidAttribute("identity", d.Identity), d.HeaderOptions.Validate(), d.Asserting.Validate(), d.Leaving.Validate())
}

const (
	identity = "x-amzn-oidc-identity"
	data     = "x-amzn-oidc-data"
)

// Owned is the whole family, whichever is sent.
func (d *Dialect) Owned() []string { return []string{"x-amzn-oidc-*"} }

// Tokens is the one.
func (d *Dialect) Tokens() []string { return []string{data} }

// Algorithms is the load balancer's.
func (d *Dialect) Algorithms() []string { return []string{"ES256"} }

// Assert is told who signs.
func (d *Dialect) Assert(s flows.Signer) { d.signer = s }

// PerRequest is empty: a token serves many requests.
func (d *Dialect) PerRequest() []string { return nil }

// Leave is only what is configured: the application cleared cookies itself.
func (d *Dialect) Leave() flows.Leave { return d.Leaving.Leave(nil) }

// Headers writes them.
func (d *Dialect) Headers(f *flows.Facts, w flows.HeaderWriter) error {
	u := f.User
	sub := flows.First(u.Lookup(d.Identity))
	if err := w.Set(identity, []string{sub}, d.ForLogin(sub)); err != nil {
		return err
	}
	t := d.Token(f, d.signer, "ES256", sub)
	t.Padded = true
	if d.Issuer == "" {
		t.Put("iss", flows.First(u.Lookup("claims.iss")))
	}
	if len(d.Audience) == 0 {
		delete(t.Claims, "aud")
	}
	t.Header["signer"] = cmp.Or(d.Signer, d.signer.Issuer(f))
	t.Header["iss"], t.Header["exp"] = t.Claims["iss"], t.Claims["exp"]
	if d.Client != "" {
		t.Header["client"] = d.Client
	}
	t.Put("name", u.DisplayName) // the provider's own names (OpenID Connect Core §5.1)
	t.Put("preferred_username", u.Name)
	t.Put("email", u.Email)
	return d.Send(f, d.signer, t, w, data, d.Max)
}

// PublishKeys answers the key of one token.
func (d *Dialect) PublishKeys(path string, keys []flows.PublicKey) (flows.Document, error) {
	kid, ok := strings.CutPrefix(path, "/alb/")
	for _, k := range keys {
		if ok && k.ID == kid && k.Algorithm == "ES256" {
			b, err := k.PEM()
			return flows.Document{Type: "application/x-pem-file", Body: b}, err
		}
	}
	return flows.Document{}, flows.ErrNotFound
}

// UnmarshalCaddyfile sets up the dialect from Caddyfile tokens. Syntax:
//
//	alb {
//	    identity     <attribute>
//	    signer       <arn>
//	    client       <client id>
//	    audience     <name…>
//	    issuer       <text>
//	    ttl          <duration>
//	    claim        <claim> <attribute>
//	    join         <separator>
//	    encode       auto|raw|percent|base64|rfc2047|latin1|ascii
//	    missing      omit|empty|<text>
//	    max          <bytes>
//	    quote        <mark>
//	    escape       <mark>
//	    wrap         on|off
//	    logout       <path…>
//	    clear_cookie <name…>
//	}
func (d *Dialect) UnmarshalCaddyfile(t *caddyfile.Dispenser) error {
	return flows.ParseDialect(t, d.Validate, flows.Options{
		flows.TextOption("identity", &d.Identity),
		flows.TextOption("signer", &d.Signer),
		flows.TextOption("client", &d.Client),
	}, &d.Asserting, d.HeaderOptions.Words(), &d.Leaving)
}

var (
	_ caddy.Provisioner     = (*Dialect)(nil)
	_ caddy.Validator       = (*Dialect)(nil)
	_ caddyfile.Unmarshaler = (*Dialect)(nil)
	_ flows.Asserter        = (*Dialect)(nil)
	_ flows.KeyPublisher    = (*Dialect)(nil)
	_ flows.Leaver          = (*Dialect)(nil)
)
