// Package shibboleth sends what a Shibboleth service provider sends with
// ShibUseHeaders.
package shibboleth

import (
	"cmp"
	"errors"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() { caddy.RegisterModule(Dialect{}) }

// Dialect is the guest `identity.headers.shibboleth`: REMOTE_USER, the Shib-* headers
// and what is mapped. Several values are joined by a semicolon, one inside a value is
// written \;, and text is UTF-8 as it is. A header without a value is absent.
type Dialect struct {
	// User is the attribute in REMOTE_USER. Default: name.
	User string `json:"user,omitempty"`
	// ApplicationID is the text of Shib-Application-ID. Default: default.
	ApplicationID string `json:"application_id,omitempty"`
	// IdentityProvider is the text of Shib-Identity-Provider: applications compare it
	// with the entity ID of the old one. Default: the name of the provider.
	IdentityProvider string `json:"identity_provider,omitempty"`
	// AuthnContext is the text of Shib-Authentication-Method and Shib-AuthnContext-Class.
	// Default: the acr of the newest evidence that has one.
	AuthnContext string `json:"authn_context,omitempty"`
	// Headers filled from attributes of the user: the ids of the old attribute map.
	flows.Mapping
	// How values become headers. Defaults here: encode raw, join ;, escape \.
	flows.HeaderOptions
	// What ends a session beside /Shibboleth.sso/Logout.
	flows.Leaving
}

// CaddyModule returns the module's description.
func (Dialect) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.headers.shibboleth", New: func() caddy.Module { return new(Dialect) }}
}

// defaults are how the service provider writes values. A backslash that precedes no
// semicolon stays as it is.
var defaults = flows.HeaderOptions{Encode: "raw", Join: ";", Escape: `\`, Sparing: true}

// Provision fills in the defaults.
func (d *Dialect) Provision(caddy.Context) error {
	d.HeaderOptions = d.Or(defaults)
	return nil
}

// Validate checks what an operator may have written in JSON.
func (d *Dialect) Validate() error {
	for _, text := range []string{d.ApplicationID, d.IdentityProvider, d.AuthnContext} {
		for _, r := range text {
			if r < ' ' || r == 0x7f {
				return errors.New("a text holds a control character")
			}
		}
	}
	o := d.Or(defaults)
	return errors.Join(o.Validate(), d.Mapping.Validate(), d.Leaving.Validate())
}

// Owned is the whole family, whichever is sent, and what is mapped. ShibSpoofCheck is
// a secret between the service provider's parts.
func (d *Dialect) Owned() []string {
	return slices.Concat([]string{"Shib-*", "ShibSpoofCheck", "REMOTE_USER"}, d.Names())
}

// PerRequest is empty: nothing changes while a session lasts.
func (d *Dialect) PerRequest() []string { return nil }

// Leave is the handler of the service provider. The name of its cookie ends in a hash:
// only clear_cookie can know it.
func (d *Dialect) Leave() flows.Leave {
	return d.Leaving.Leave(nil, flows.LeavePath{Path: "/Shibboleth.sso/Logout"})
}

// Headers writes them.
func (d *Dialect) Headers(f *flows.Facts, w flows.HeaderWriter) error {
	user := f.User.Name
	if d.User != "" {
		user = flows.First(f.User.Lookup(d.User))
	}
	if err := w.Set("REMOTE_USER", []string{user}, d.ForLogin(user)); err != nil {
		return err
	}
	o := d.HeaderOptions
	o.Single = true
	for _, h := range d.session(f) {
		if err := w.Set(h.name, []string{h.value}, o); err != nil {
			return err
		}
	}
	return d.Write(f.User, w, d.HeaderOptions)
}

type header struct{ name, value string }

// session are the headers about the session itself.
func (d *Dialect) session(f *flows.Facts) []header {
	login := cmp.Or(f.Newest(), new(flows.Evidence))
	idp, instant, acr := cmp.Or(d.IdentityProvider, login.Provider, f.User.Provider), "", cmp.Or(d.AuthnContext, f.ACR())
	if !login.At.IsZero() {
		instant = login.At.UTC().Format("2006-01-02T15:04:05.000Z")
	}
	var id, index string
	if f.Session != nil {
		id, index = f.Session.ID, f.Session.SID
	}
	return []header{
		{"Shib-Application-ID", cmp.Or(d.ApplicationID, "default")},
		{"Shib-Session-ID", id},
		{"Shib-Session-Index", index},
		{"Shib-Identity-Provider", idp},
		{"Shib-Authentication-Instant", instant},
		{"Shib-Authentication-Method", acr},
		{"Shib-AuthnContext-Class", acr},
	}
}

// UnmarshalCaddyfile sets up the dialect from Caddyfile tokens. Syntax:
//
//	shibboleth {
//	    user              <attribute>
//	    application_id    <text>
//	    identity_provider <text>
//	    authn_context     <text>
//	    attribute         <Header> <attribute>
//	    join              <separator>
//	    encode            auto|raw|percent|base64|rfc2047|latin1|ascii
//	    missing           omit|empty|<text>
//	    max               <bytes>
//	    quote             <mark>
//	    escape            <mark>
//	    wrap              on|off
//	    logout            <path…>
//	    clear_cookie      <name…>
//	}
func (d *Dialect) UnmarshalCaddyfile(t *caddyfile.Dispenser) error {
	return flows.ParseDialect(t, d.Validate, flows.Options{
		flows.TextOption("user", &d.User),
		flows.TextOption("application_id", &d.ApplicationID),
		flows.TextOption("identity_provider", &d.IdentityProvider),
		flows.TextOption("authn_context", &d.AuthnContext),
	}, &d.Mapping, d.HeaderOptions.Words(), &d.Leaving)
}

var (
	_ caddy.Provisioner     = (*Dialect)(nil)
	_ caddy.Validator       = (*Dialect)(nil)
	_ caddyfile.Unmarshaler = (*Dialect)(nil)
	_ flows.Dialect         = (*Dialect)(nil)
	_ flows.Leaver          = (*Dialect)(nil)
)
