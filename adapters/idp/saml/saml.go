// Package saml is the identity provider guest for SAML 2.0: the service
// provider's side of Web Browser SSO and Single Logout, and everything that its
// library leaves to the service provider.
package saml

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/adapters/internal/patience"
	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/outbound"
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
	// or its FriendlyName. Default: the usual ones by their usual names; the name is
	// the NameID.
	Attributes map[string]string `json:"attributes,omitempty"`
	// NameIDFormat asked for; default: none is, the identity provider chooses.
	NameIDFormat string `json:"name_id_format,omitempty"`
	// AuthnContext are the context classes asked for, of which the answer must have
	// one; default: none is. A flow that insists on others asks for those.
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
	keys           keyRing

	src      *source
	held     string // key of our reference in the pool
	vault    flows.Vault
	now      func() time.Time
	log      *zap.Logger
	done     context.Context
	stop     context.CancelFunc
	warming  atomic.Bool
	outbound func(hosts ...string) *http.Client
	// pause is what a login does between two tries when nothing is at hand yet.
	pause func(context.Context, time.Duration) bool
}

// KeyPair is a private key and its certificate.
type KeyPair struct {
	// Key is a PEM file, or a placeholder that holds the PEM, of an RSA private key.
	Key string `json:"key"`
	// Certificate is the same of its certificate.
	Certificate string `json:"certificate"`
}

const (
	defaultSkew = 180 * time.Second
	longestSkew = 15 * time.Minute
)

// CaddyModule returns the Caddy module information.
func (*SAML) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.providers.saml", New: func() caddy.Module { return new(SAML) }}
}

// Provision resolves placeholders, reads configured keys and takes the state
// that survives reloads. It touches no network.
func (s *SAML) Provision(ctx caddy.Context) error {
	s.log = ctx.Logger()
	s.done, s.stop = context.WithCancel(ctx)
	s.now = func() time.Time { return time.Time{} } // until Bind lends a clock
	s.pause = patience.Pause
	repl := caddy.NewReplacer()
	for _, f := range []struct {
		name, raw string
		to        *string
	}{{"metadata", s.Metadata, &s.source}, {"entity_id", s.EntityID, &s.entity}} {
		v, err := resolve(repl, f.raw)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		*f.to = v
	}
	if err := s.loadKeys(repl); err != nil {
		return err
	}
	if err := checkSource(s.source); err != nil {
		return err
	}
	return s.acquire()
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

// checkSource accepts https, plain http on loopback only, and a file.
func checkSource(place string) error {
	if place == "" {
		return errors.New("metadata is required")
	}
	scheme, _, ok := strings.Cut(place, "://")
	if !ok {
		return nil
	}
	u, err := url.Parse(place)
	switch {
	case err != nil || u.Hostname() == "":
		return fmt.Errorf("metadata '%s' is no URL with a host", place)
	case u.User != nil || u.Fragment != "":
		return fmt.Errorf("metadata '%s' must have no user or fragment", place)
	case u.Scheme == "https", u.Scheme == "http" && outbound.Loopback(u.Hostname()):
		return nil
	case u.Scheme == "http":
		return fmt.Errorf("metadata '%s': plain http is for loopback only", place)
	}
	return fmt.Errorf("metadata '%s' must begin with https:// or be a file; %s:// is neither", place, scheme)
}

// Validate checks what can be checked without the provider.
func (s *SAML) Validate() error {
	if s.ClockSkew < 0 || time.Duration(s.ClockSkew) > longestSkew {
		return fmt.Errorf("clock_skew must be between 0 and %s", longestSkew)
	}
	if err := checkEntityID(s.entity); err != nil {
		return err
	}
	for _, v := range append([]string{s.NameIDFormat}, s.AuthnContext...) {
		if err := oneWord(v); err != nil {
			return err
		}
	}
	for attribute, name := range s.Attributes {
		if err := checkAttribute(attribute, name); err != nil {
			return err
		}
	}
	return nil
}

// checkEntityID: at most 1024 characters (SAML Core §8.3.6), and nothing that
// would look like another one.
func checkEntityID(id string) error {
	if len(id) > 1024 || strings.ContainsFunc(id, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return errors.New("entity_id is longer than 1024 characters, or has blanks in it")
	}
	return nil
}

func oneWord(v string) error {
	if strings.ContainsAny(v, " \t\r\n") {
		return fmt.Errorf("'%s': a format or a context class is one word", v)
	}
	return nil
}

// mappable are the reserved attributes that a provider's may fill.
var mappable = []string{"subject", "name", "display_name", "email", "groups"}

// checkAttribute refuses what the engine makes itself.
func checkAttribute(attribute, name string) error {
	if attribute == "" || slices.Contains(flows.ReservedAttributes, attribute) && !slices.Contains(mappable, attribute) {
		return fmt.Errorf("attribute '%s' cannot be mapped; of the reserved ones can: %s", attribute, strings.Join(mappable, ", "))
	}
	if strings.TrimSpace(name) == "" {
		return fmt.Errorf("attribute %s: the SAML attribute's name is missing", attribute)
	}
	return nil
}

// Bind takes the clock, the HTTP client and the sealed key space. Only the host
// that the operator wrote is trusted as written.
func (s *SAML) Bind(r flows.Registry) error {
	s.now, s.outbound = r.Now, r.Outbound
	s.vault = r.Vault("saml")
	var hosts []string
	if u, err := url.Parse(s.source); err == nil && u.Host != "" {
		hosts = append(hosts, u.Hostname())
	}
	s.src.lend(r.Outbound(hosts...), r.Now, s.vault, s.Was)
	return nil
}

// Cleanup ends the background work and returns the shared state.
func (s *SAML) Cleanup() error {
	if s.stop != nil {
		s.stop()
	}
	return s.release()
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

// Interface guards.
var (
	_ caddy.Module          = (*SAML)(nil)
	_ caddy.Provisioner     = (*SAML)(nil)
	_ caddy.Validator       = (*SAML)(nil)
	_ caddy.CleanerUpper    = (*SAML)(nil)
	_ caddyfile.Unmarshaler = (*SAML)(nil)
	_ flows.ProviderGuest   = (*SAML)(nil)
	_ flows.Binder          = (*SAML)(nil)
	_ flows.Receiver        = (*SAML)(nil)
	_ flows.Publisher       = (*SAML)(nil)
	_ flows.LogoutPeer      = (*SAML)(nil)
	_ flows.Health          = (*SAML)(nil)
	_ flows.Checker         = (*SAML)(nil)
)
