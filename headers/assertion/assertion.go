// Package assertion sends who is signed in as a token that the gateway signs, so
// that an application need not trust the network in between.
package assertion

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() { caddy.RegisterModule(Dialect{}) }

// Dialect is the guest `identity.headers.assertion`: a JWT (RFC 7519) whose keys are
// at /.identity/jwks.json of the same host. Claims beside iss, aud, iat, exp and jti:
// sub (the user's key), name and preferred_username (the login name), display_name,
// email, groups, provider, amr, acr, auth_time, and sid, the session's public id. What
// nobody knows is absent.
type Dialect struct {
	// Header is sent in exactly this case. Default: X-Identity-Assertion.
	Header string `json:"header,omitempty"`
	// Algorithm is ES256, RS256 or EdDSA. Default: ES256.
	Algorithm string `json:"algorithm,omitempty"`
	// Without are claims that are left out, such as groups.
	Without []string `json:"without,omitempty"`
	// Max is the longest token in bytes; longer is refused, never cut. Default 8192.
	Max int `json:"max,omitempty"`
	// Whom the token is for, by default the origin of the application; who says it, by
	// default the portal, without one the origin of the application; for how long; and
	// further claims.
	flows.Asserting

	signer flows.Signer
}

// CaddyModule returns the module's description.
func (Dialect) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.headers.assertion", New: func() caddy.Module { return new(Dialect) }}
}

// may are the claims that can be left out.
var may = []string{"name", "preferred_username", "display_name", "email", "groups", "provider", "amr", "acr", "auth_time", "sid", "jti"}

// Provision fills in the defaults.
func (d *Dialect) Provision(caddy.Context) error {
	d.Header = cmp.Or(d.Header, "X-Identity-Assertion")
	d.Algorithm = cmp.Or(d.Algorithm, "ES256")
	return nil
}

// Validate checks what an operator may have written in JSON.
func (d *Dialect) Validate() error {
	if d.Algorithm != "" && !slices.Contains(flows.SigningAlgorithms, d.Algorithm) {
		return fmt.Errorf("algorithm: there is no '%s'; there are: %s", d.Algorithm, strings.Join(flows.SigningAlgorithms, ", "))
	}
	for _, c := range d.Without {
		if !slices.Contains(may, c) {
			return fmt.Errorf("without: '%s' is no claim that can be left out; those are: %s", c, strings.Join(may, ", "))
		}
	}
	o := flows.HeaderOptions{Max: d.Max}
	return errors.Join(o.Validate(), d.Asserting.Validate())
}

// Owned is the header.
func (d *Dialect) Owned() []string { return d.Tokens() }

// Tokens is the header.
func (d *Dialect) Tokens() []string { return []string{cmp.Or(d.Header, "X-Identity-Assertion")} }

// Algorithms is the one.
func (d *Dialect) Algorithms() []string { return []string{d.Algorithm} }

// Assert is told who signs.
func (d *Dialect) Assert(s flows.Signer) { d.signer = s }

// PerRequest is empty: a token serves many requests.
func (d *Dialect) PerRequest() []string { return nil }

// Headers writes it.
func (d *Dialect) Headers(f *flows.Facts, w flows.HeaderWriter) error {
	u := f.User
	t := d.Token(f, d.signer, d.Algorithm, string(u.Key))
	t.Put("name", u.Name)
	t.Put("preferred_username", u.Name) // OpenID Connect Core §5.1
	t.Put("display_name", u.DisplayName)
	t.Put("email", u.Email)
	t.Put("groups", u.Groups)
	t.Put("provider", u.Provider)
	t.Put("amr", f.AMR())
	t.Put("acr", f.ACR())
	if e := f.Newest(); e != nil {
		t.Put("auth_time", e.At.Unix())
	}
	if f.Session != nil {
		t.Put("sid", f.Session.ID)
	}
	t.NewID()
	for _, c := range d.Without {
		delete(t.Claims, c)
	}
	return d.Send(f, d.signer, t, w, d.Header, d.Max)
}

// UnmarshalCaddyfile sets up the dialect from Caddyfile tokens: a line of `protect`.
// Syntax:
//
//	assertion [<Header>] {
//	    audience  <name…>
//	    ttl       <duration>
//	    algorithm ES256|RS256|EdDSA
//	    issuer    <text>
//	    claim     <claim> <attribute>
//	    without   <claim…>
//	    max       <bytes>
//	}
func (d *Dialect) UnmarshalCaddyfile(t *caddyfile.Dispenser) error {
	t.Next()
	name := t.Val()
	if t.NextArg() {
		d.Header = t.Val()
	}
	if t.NextArg() {
		return t.Errf("%s takes one argument, the name of its header; '%s' is a second one", name, t.Val())
	}
	var o flows.HeaderOptions
	return flows.ParseOptions(t, name, d.Validate, &d.Asserting, flows.Options{
		flows.TextOption("algorithm", &d.Algorithm),
		{Word: "without", Set: func(args []string) error {
			if len(args) == 0 {
				return errors.New("without takes at least one claim")
			}
			d.Without = args
			return nil
		}},
		{Word: "max", Set: func(args []string) error {
			_, err := o.SetOption("max", args)
			d.Max = o.Max
			return err
		}},
	})
}

var (
	_ caddy.Provisioner     = (*Dialect)(nil)
	_ caddy.Validator       = (*Dialect)(nil)
	_ caddyfile.Unmarshaler = (*Dialect)(nil)
	_ flows.Asserter        = (*Dialect)(nil)
)
