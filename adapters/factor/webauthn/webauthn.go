// Package webauthn is the factor of passkeys and security keys (Web Authentication).
package webauthn

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() {
	caddy.RegisterModule(WebAuthn{})
}

// WebAuthn asks for a signature of a key that a person set up: of this device, a
// phone, a password manager or a security key. A person can have several. The same
// keys sign people in with `login passkey`, where the key has to know them
// (discoverable) and to verify them, by a PIN or a finger. Attestation is not asked
// for: what make a key is, is the person's own business.
type WebAuthn struct {
	// The domain the keys are for: the host of the pages, or a domain above it, so that
	// one key serves several hosts. Default: the host of the page; with a portal, the
	// portal's. A key is good for one domain only: another word here, and all have to be
	// set up again.
	RPID string `json:"rp_id,omitempty"`
	// What the browser calls this service; default: the domain.
	RPName string `json:"rp_name,omitempty"`
	// Whether a second factor verifies the person, too: required, preferred (default) or
	// discouraged. A login by passkey always does.
	UserVerification string `json:"user_verification,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (WebAuthn) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.factors.webauthn", New: func() caddy.Module { return new(WebAuthn) }}
}

// Validate refuses what no browser would take.
func (w *WebAuthn) Validate() error {
	if w.RPID != "" {
		if err := domain(w.RPID); err != nil {
			return fmt.Errorf("webauthn: %w", err)
		}
	}
	return policy(w.UserVerification)
}

func domain(s string) error {
	if err := protocol.ValidateRPID(s); err != nil || s != strings.ToLower(s) {
		return fmt.Errorf("rp_id '%s' is no domain such as example.com, in lower case, without scheme and port", s)
	}
	return nil
}

func policy(s string) error {
	switch protocol.UserVerificationRequirement(s) {
	case "", protocol.VerificationRequired, protocol.VerificationPreferred, protocol.VerificationDiscouraged:
		return nil
	}
	return fmt.Errorf("user_verification is required, preferred or discouraged, not '%s'", s)
}

// Labels are its buttons.
func (*WebAuthn) Labels() (use, setUp string) { return "use_webauthn", "set_up_webauthn" }

func (w *WebAuthn) verification() protocol.UserVerificationRequirement {
	if w.UserVerification == "" {
		return protocol.VerificationPreferred
	}
	return protocol.UserVerificationRequirement(w.UserVerification)
}

// errNoDomain: browsers know no keys for an address, nor for a domain of others.
var errNoDomain = errors.New("no domain of the page")

// party is whom the keys are for, on a page of this origin and nowhere else.
func (w *WebAuthn) party(origin string) (*webauthn.WebAuthn, error) {
	u, err := url.Parse(origin)
	if err != nil {
		return nil, fmt.Errorf("webauthn: origin: %w", err)
	}
	host, id := u.Hostname(), w.RPID
	if id == "" {
		id = host
	}
	if host != id && !strings.HasSuffix(host, "."+id) || protocol.ValidateRPID(id) != nil {
		return nil, fmt.Errorf("webauthn: a page at %s can have no keys for '%s': %w", origin, id, errNoDomain)
	}
	name := w.RPName
	if name == "" {
		name = id
	}
	return webauthn.New(&webauthn.Config{
		RPID: id, RPDisplayName: name, RPOrigins: []string{origin}, AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{ResidentKey: protocol.ResidentKeyRequirementPreferred, UserVerification: w.verification()},
	})
}

// UnmarshalCaddyfile sets up the factor from Caddyfile tokens. Syntax:
//
//	factor webauthn {
//	    rp_id             <domain>
//	    rp_name           <name>
//	    user_verification required|preferred|discouraged
//	}
func (w *WebAuthn) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the kind
	if d.NextArg() {
		return d.Errf("factor webauthn takes no argument; '%s' is too much", d.Val())
	}
	words := map[string]struct {
		to    *string
		wants string
		check func(string) error
	}{
		"rp_id":             {&w.RPID, "a domain such as example.com", domain},
		"rp_name":           {&w.RPName, "the name that the browser shows", func(string) error { return nil }},
		"user_verification": {&w.UserVerification, "required, preferred or discouraged", policy},
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name := d.Val()
		word, ok := words[name]
		switch {
		case !ok:
			return d.Errf("factor webauthn has no option '%s'; there are: rp_id, rp_name, user_verification", name)
		case *word.to != "":
			return d.Errf("%s is there twice", name)
		case !d.NextArg() || d.Val() == "":
			return d.Errf("%s wants %s", name, word.wants)
		}
		*word.to = d.Val()
		if err := word.check(d.Val()); err != nil {
			return d.WrapErr(err)
		}
		if d.NextArg() {
			return d.Errf("%s takes one word; '%s' is too much", name, d.Val())
		}
	}
	return nil
}

var (
	_ flows.Enroller        = (*WebAuthn)(nil)
	_ flows.Passkeys        = (*WebAuthn)(nil)
	_ caddy.Validator       = (*WebAuthn)(nil)
	_ caddyfile.Unmarshaler = (*WebAuthn)(nil)
)
