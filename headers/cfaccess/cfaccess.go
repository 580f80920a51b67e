// Package cfaccess sends the headers that applications behind Cloudflare Access expect.
package cfaccess

import (
	"cmp"
	"encoding/json"
	"errors"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() { caddy.RegisterModule(Dialect{}) }

// Dialect is the guest `identity.headers.cf_access`: Cf-Access-Authenticated-User-Email
// and Cf-Access-Jwt-Assertion (RS256) with aud, email, exp, iat, nbf, iss, type and sub.
// A header without a value is absent. Applications look for the keys below the team's
// domain, at /cdn-cgi/access/certs: told that the team's domain is
// https://<application>/.identity they find them, as JWKs. The cookie CF_Authorization
// is not sent.
type Dialect struct {
	// Subject is the attribute in the claim sub. Default: key.
	Subject string `json:"subject,omitempty"`
	// Audience, issuer, time to live and further claims of the token. The default issuer
	// is /.identity of the portal, without one of the application, which is the team's
	// domain; the default audience the origin of the application, where applications
	// wait for the tag that Cloudflare gave them.
	flows.Asserting
	// How values become headers. max is for the token, too, whose default is 8192.
	flows.HeaderOptions
	// What ends a session beside /cdn-cgi/access/logout.
	flows.Leaving

	signer flows.Signer
}

// CaddyModule returns the module's description.
func (Dialect) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.headers.cf_access", New: func() caddy.Module { return new(Dialect) }}
}

// Provision fills in the defaults.
func (d *Dialect) Provision(caddy.Context) error {
	d.Subject = cmp.Or(d.Subject, "key")
	return nil
}

// Validate checks what an operator may have written in JSON.
func (d *Dialect) Validate() error {
	return errors.Join(flows.ValidAttribute("subject", d.Subject), d.HeaderOptions.Validate(), d.Asserting.Validate(), d.Leaving.Validate())
}

// token is the header of the token.
const token = "Cf-Access-Jwt-Assertion"

// Owned is the whole family, whichever is sent.
func (d *Dialect) Owned() []string { return []string{"Cf-Access-*"} }

// Tokens is the one.
func (d *Dialect) Tokens() []string { return []string{token} }

// Algorithms is Cloudflare's.
func (d *Dialect) Algorithms() []string { return []string{"RS256"} }

// Assert is told who signs.
func (d *Dialect) Assert(s flows.Signer) { d.signer = s }

// PerRequest is empty: a token serves many requests.
func (d *Dialect) PerRequest() []string { return nil }

// Leave is the address where one signed out of an application.
func (d *Dialect) Leave() flows.Leave {
	return d.Leaving.Leave([]string{"CF_Authorization"}, flows.LeavePath{Path: "/cdn-cgi/access/logout"})
}

// Headers writes them.
func (d *Dialect) Headers(f *flows.Facts, w flows.HeaderWriter) error {
	u := f.User
	if err := w.Set("Cf-Access-Authenticated-User-Email", []string{u.Email}, d.ForLogin(u.Email)); err != nil {
		return err
	}
	t := d.Token(f, d.signer, "RS256", flows.First(u.Lookup(d.Subject)))
	if issuer := d.signer.Issuer(f); d.Issuer == "" && issuer != "" {
		t.Put("iss", issuer+"/.identity")
	}
	if aud, ok := t.Claims["aud"].(string); ok { // always a list
		t.Put("aud", []string{aud})
	}
	t.Put("nbf", t.Claims["iat"])
	t.Put("type", "app")
	t.Put("email", u.Email)
	return d.Send(f, d.signer, t, w, token, d.Max)
}

// PublishKeys answers the keys below the team's domain.
func (d *Dialect) PublishKeys(path string, keys []flows.PublicKey) (flows.Document, error) {
	if path != "/cdn-cgi/access/certs" {
		return flows.Document{}, flows.ErrNotFound
	}
	b, err := json.Marshal(flows.JWKS(keys, "RS256"))
	return flows.Document{Type: "application/json", Body: b}, err
}

// UnmarshalCaddyfile sets up the dialect from Caddyfile tokens. Syntax:
//
//	cf_access {
//	    subject      <attribute>
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
		flows.TextOption("subject", &d.Subject),
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
