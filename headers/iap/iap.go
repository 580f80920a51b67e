// Package iap sends the headers that applications behind Google's Identity-Aware
// Proxy expect.
package iap

import (
	"cmp"
	"encoding/json"
	"errors"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() { caddy.RegisterModule(Dialect{}) }

// Dialect is the guest `identity.headers.iap`: X-Goog-Authenticated-User-Email,
// X-Goog-Authenticated-User-Id and X-Goog-IAP-JWT-Assertion (ES256) with iss, aud, sub,
// email, iat and exp. A header without a value is absent. The keys are also at
// /.identity/iap/verify/public_key-jwk, and as PEM by kid in JSON at
// /.identity/iap/verify/public_key: an application that took them from
// https://www.gstatic.com/iap/verify/ must be told.
type Dialect struct {
	// Namespace stands in front of the address and the id, but not of the claim email.
	// Default: accounts.google.com.
	Namespace string `json:"namespace,omitempty"`
	// ID is the attribute in X-Goog-Authenticated-User-Id and the claim sub. Default:
	// subject, which with Google as the provider is what the proxy sent. Providers whose
	// people are not the same need another, such as key.
	ID string `json:"id,omitempty"`
	// Audience, issuer, time to live and further claims of the token. The default issuer
	// is https://cloud.google.com/iap, which applications compare with; the default
	// audience the origin of the application, where they wait for the path of a
	// project's service.
	flows.Asserting
	// How values become headers. max is for the token, too, whose default is 8192.
	flows.HeaderOptions
	// What ends a session beside /_gcp_iap/clear_login_cookie and
	// ?gcp-iap-mode=CLEAR_LOGIN_COOKIE.
	flows.Leaving

	signer flows.Signer
}

// CaddyModule returns the module's description.
func (Dialect) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.headers.iap", New: func() caddy.Module { return new(Dialect) }}
}

// Provision fills in the defaults.
func (d *Dialect) Provision(caddy.Context) error {
	d.Namespace = cmp.Or(d.Namespace, "accounts.google.com")
	d.ID = cmp.Or(d.ID, "subject")
	d.Issuer = cmp.Or(d.Issuer, "https://cloud.google.com/iap")
	return nil
}

// Validate checks what an operator may have written in JSON.
func (d *Dialect) Validate() error {
	for _, r := range d.Namespace {
		if r <= ' ' || r > '~' {
			return errors.New("namespace must be printable ASCII without blanks")
		}
	}
	return errors.Join(flows.ValidAttribute("id", d.ID), d.HeaderOptions.Validate(), d.Asserting.Validate(), d.Leaving.Validate())
}

// token is the header of the token.
const token = "X-Goog-IAP-JWT-Assertion"

// Owned are both families, whichever is sent.
func (d *Dialect) Owned() []string {
	return []string{"X-Goog-Authenticated-User-*", "X-Goog-IAP-*"}
}

// Tokens is the one.
func (d *Dialect) Tokens() []string { return []string{token} }

// Algorithms is the proxy's.
func (d *Dialect) Algorithms() []string { return []string{"ES256"} }

// Assert is told who signs.
func (d *Dialect) Assert(s flows.Signer) { d.signer = s }

// PerRequest is empty: a token serves many requests.
func (d *Dialect) PerRequest() []string { return nil }

// Leave is how the proxy's login was cleared.
func (d *Dialect) Leave() flows.Leave {
	return d.Leaving.Leave(nil, flows.LeavePath{Path: "/_gcp_iap/clear_login_cookie"}, flows.LeavePath{Path: "*", Query: "gcp-iap-mode=clear_login_cookie"})
}

// Headers writes them.
func (d *Dialect) Headers(f *flows.Facts, w flows.HeaderWriter) error {
	u := f.User
	id, email := d.named(flows.First(u.Lookup(d.ID))), d.named(u.Email)
	if err := w.Set("X-Goog-Authenticated-User-Email", []string{email}, d.ForLogin(email)); err != nil {
		return err
	}
	if err := w.Set("X-Goog-Authenticated-User-Id", []string{id}, d.ForLogin(id)); err != nil {
		return err
	}
	t := d.Token(f, d.signer, "ES256", id)
	t.Put("email", u.Email)
	return d.Send(f, d.signer, t, w, token, d.Max)
}

func (d *Dialect) named(s string) string {
	if s == "" {
		return ""
	}
	return d.Namespace + ":" + s
}

// PublishKeys answers both forms of the keys.
func (d *Dialect) PublishKeys(path string, keys []flows.PublicKey) (flows.Document, error) {
	var form any
	switch path {
	case "/iap/verify/public_key-jwk":
		form = flows.JWKS(keys, "ES256")
	case "/iap/verify/public_key":
		byID := map[string]string{}
		for _, k := range keys {
			pem, err := k.PEM()
			if err != nil {
				return flows.Document{}, err
			}
			if k.Algorithm == "ES256" {
				byID[k.ID] = string(pem)
			}
		}
		form = byID
	default:
		return flows.Document{}, flows.ErrNotFound
	}
	b, err := json.Marshal(form)
	return flows.Document{Type: "application/json", Body: b}, err
}

// UnmarshalCaddyfile sets up the dialect from Caddyfile tokens. Syntax:
//
//	iap {
//	    namespace    <text>
//	    id           <attribute>
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
		flows.TextOption("namespace", &d.Namespace),
		flows.TextOption("id", &d.ID),
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
