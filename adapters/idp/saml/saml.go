// Package saml is the identity provider guest for SAML 2.0: the service
// provider's side of Web Browser SSO and Single Logout, and everything that its
// library leaves to the service provider.
package saml

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() { caddy.RegisterModule(&SAML{}) }

// SAML lets a SAML 2.0 identity provider vouch for people. Nothing is fetched or
// made when the configuration is loaded: the provider's metadata is read in the
// background and asked for again while it cannot be had, and our own key is made
// when it is first needed.
type SAML struct {
	flows.ProviderOptions

	// Metadata is where the identity provider's metadata is: a URL, plain http only
	// on loopback, or a file. Placeholders are resolved.
	Metadata string `json:"metadata,omitempty"`
	// EntityID is our name at the identity provider; default: the address of our
	// metadata. Placeholders are resolved.
	EntityID string `json:"entity_id,omitempty"`
	// Keys are our own RSA keys with their certificates: the first signs, all decrypt.
	// Default: one is made once and kept sealed in the store.
	Keys []KeyPair `json:"keys,omitempty"`
	// Attributes fill attributes from the identity provider's, by attribute: its Name
	// or its FriendlyName. Default: the usual ones by their usual names.
	Attributes map[string]string `json:"attributes,omitempty"`
	// NameIDFormat asked for; default: none is, the identity provider chooses.
	NameIDFormat string `json:"name_id_format,omitempty"`
	// AuthnContext are the context classes asked for; default: none is. What came back
	// is for policies to judge.
	AuthnContext []string `json:"authn_context,omitempty"`
	// ForceAuthn asks for credentials at every login; default off.
	ForceAuthn bool `json:"force_authn,omitempty"`
	// SignRequests signs every AuthnRequest; default: if the metadata asks for it.
	SignRequests bool `json:"sign_requests,omitempty"`
	// IDPInitiated accepts logins that the identity provider began by itself; default
	// off. They are never taken without the person's word.
	IDPInitiated bool `json:"idp_initiated,omitempty"`
	// ClockSkew is how far the identity provider's clock may be from ours; default 180 s.
	ClockSkew caddy.Duration `json:"clock_skew,omitempty"`

	source, entity string

	vault  flows.Vault
	now    func() time.Time
	client *http.Client
	log    *zap.Logger
}

// KeyPair is a private key and its certificate.
type KeyPair struct {
	// Key is a PEM file, or a placeholder that holds the PEM, of an RSA private key.
	Key string `json:"key"`
	// Certificate is the same of its certificate.
	Certificate string `json:"certificate"`
}

const defaultSkew = 180 * time.Second

// CaddyModule returns the Caddy module information.
func (*SAML) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.providers.saml", New: func() caddy.Module { return new(SAML) }}
}

// Provision resolves placeholders. It touches no network.
func (s *SAML) Provision(ctx caddy.Context) error {
	s.log = ctx.Logger()
	s.now = func() time.Time { return time.Time{} } // until Bind lends a clock
	repl := caddy.NewReplacer()
	for _, f := range []struct {
		name, raw string
		to        *string
	}{{"metadata", s.Metadata, &s.source}, {"entity_id", s.EntityID, &s.entity}} {
		v, err := repl.ReplaceOrErr(f.raw, true, true)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		*f.to = v
	}
	return nil
}

// Validate checks what can be checked without the provider.
func (s *SAML) Validate() error {
	if s.source == "" {
		return errors.New("metadata is required")
	}
	return nil
}

// Bind takes the clock, the HTTP client and the sealed key space.
func (s *SAML) Bind(r flows.Registry) error {
	s.now = r.Now
	s.client = r.Outbound()
	s.vault = r.Vault("saml")
	return nil
}

// skew is how far the provider's clock may be from ours.
func (s *SAML) skew() time.Duration {
	if s.ClockSkew > 0 {
		return time.Duration(s.ClockSkew)
	}
	return defaultSkew
}

// entityID is our name: as configured, else the address of our metadata. base is
// the address of the provider's folder on this origin, without a slash at the end.
func (s *SAML) entityID(base string) string {
	if s.entity != "" {
		return s.entity
	}
	return base + "/metadata"
}

// baseOf takes the last segment off an address of ours: …/acs, …/slo.
func baseOf(address string) string {
	if i := strings.LastIndexByte(address, '/'); i >= 0 {
		return address[:i]
	}
	return address
}

// Health answers nil when there is metadata to log in with.
func (s *SAML) Health() error {
	_, err := s.peer(context.Background())
	return err
}

// Interface guards.
var (
	_ caddy.Module          = (*SAML)(nil)
	_ caddy.Provisioner     = (*SAML)(nil)
	_ caddy.Validator       = (*SAML)(nil)
	_ caddyfile.Unmarshaler = (*SAML)(nil)
	_ flows.ProviderGuest   = (*SAML)(nil)
	_ flows.Binder          = (*SAML)(nil)
	_ flows.Receiver        = (*SAML)(nil)
	_ flows.Publisher       = (*SAML)(nil)
	_ flows.LogoutPeer      = (*SAML)(nil)
	_ flows.Health          = (*SAML)(nil)
)
