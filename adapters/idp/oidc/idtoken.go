package oidc

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	oidclib "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/sallyport-gateway/sallyport/adapters/internal/jwt"
	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

// idToken is a verified ID token.
type idToken struct {
	subject, nonce, acr, sid string
	authTime                 time.Time // zero when the token does not say
	claims                   map[string]any
}

// idToken verifies the ID token of a token answer: signature, issuer, audience
// and expiry by the library, everything else of OIDC Core §3.1.3.7 here.
func (p *Provider) idToken(ctx context.Context, m *metadata, tok *oauth2.Token) (string, *idToken, error) {
	raw, _ := tok.Extra("id_token").(string)
	if raw == "" {
		return "", nil, invalidf("token answer without id_token")
	}
	lib, claims, err := p.verify(ctx, m, raw, idTokens)
	if err != nil {
		return "", nil, err
	}
	if _, ok := claims["events"]; ok { // a logout token is no login, also when it is untyped
		return "", nil, invalidf("a security event stands in the place of the ID token")
	}
	if lib.AccessTokenHash != "" { // binds the access token to this ID token
		if err := lib.VerifyAccessToken(tok.AccessToken); err != nil {
			return "", nil, invalidf("at_hash does not fit the access token")
		}
	}
	id, err := p.checkClaims(claims)
	if err != nil {
		return "", nil, invalid(err)
	}
	if lib.Subject != id.subject {
		return "", nil, invalidf("two readings of one ID token")
	}
	return raw, id, nil
}

// purpose is what a token is for.
type purpose struct {
	longest int
	types   []string
	// stranger: whoever likes sends it. Others come from the provider itself.
	stranger bool
}

var (
	idTokens = purpose{longest: maxIDToken, types: []string{"", "jwt"}}
	// Many providers still say JWT; what tells it from an ID token is its claims.
	logoutTokens = purpose{longest: maxLogoutToken, types: []string{"", "jwt", "logout+jwt"}, stranger: true}
)

// verify checks signature, issuer, audience and expiry of a token for a purpose,
// and parses it strictly.
func (p *Provider) verify(ctx context.Context, m *metadata, raw string, as purpose) (*oidclib.IDToken, map[string]any, error) {
	if len(raw) > as.longest {
		return nil, nil, invalidf("token of %d bytes, at most %d are read", len(raw), as.longest)
	}
	typ, err := jwt.Type(raw)
	if err != nil {
		return nil, nil, invalid(err)
	}
	if !contains(as.types, typ) {
		return nil, nil, invalidf("token of type %q in the wrong place", outbound.Clip(typ, 40))
	}
	keys := &jwt.Witness{Keys: p.src.keys, Stranger: as.stranger}
	lib, err := oidclib.NewVerifier(m.Issuer, keys, &oidclib.Config{
		ClientID: p.clientID, SupportedSigningAlgs: p.algs(m), SkipExpiryCheck: true, // with our own skew, below
		SkipIssuerCheck: p.as.issues != nil, // it has several, below
	}).Verify(ctx, raw)
	if err != nil {
		return nil, nil, p.verifyError(err, keys.Err)
	}
	var payload json.RawMessage
	if err := lib.Claims(&payload); err != nil {
		return nil, nil, invalidf("claims cannot be read")
	}
	claims, err := jwt.Object(payload)
	if err != nil {
		return nil, nil, invalid(err)
	}
	if iss, _ := claims["iss"].(string); p.as.issues != nil && !p.issues(m, iss) {
		return nil, nil, invalidf("token of issuer %q, asked was %q", outbound.Clip(iss, 200), m.Issuer)
	}
	return lib, claims, nil
}

// algs are the algorithms the client is registered with, or those the provider
// announces (OIDC Core §3.1.3.7, 7). A provider that publishes keys for several
// signs for us with one: another one is somebody else's choice.
func (p *Provider) algs(m *metadata) []string {
	if len(p.IDTokenAlgs) > 0 {
		return p.IDTokenAlgs
	}
	return m.algs()
}

// verifyError tells a provider whose keys cannot be fetched from a bad token.
func (p *Provider) verifyError(err, keys error) error {
	text := fmt.Errorf("token refused: %s", outbound.Short(err))
	if errors.Is(keys, jwt.ErrKeysDown) {
		p.src.suffer(text)
		return flows.Refuse(flows.ReasonProviderDown, text)
	}
	return invalid(text)
}

// checkClaims is what the library leaves to the relying party (security rows O1, O4).
func (p *Provider) checkClaims(c map[string]any) (*idToken, error) {
	now := p.now()
	id := &idToken{claims: c}
	var ok bool
	if id.subject, ok = c["sub"].(string); !ok || id.subject == "" || len(id.subject) > 255 {
		return nil, errors.New("sub is missing, empty, no text or longer than 255 bytes")
	}
	if strings.ContainsRune(id.subject, utf8.RuneError) { // what any unreadable character becomes
		return nil, errors.New("sub holds an unreadable character")
	}
	exp, ok := jwt.Instant(c["exp"])
	if !ok || now.After(exp.Add(clockSkew)) {
		return nil, errors.New("expired, or exp is missing")
	}
	iat, ok := jwt.Instant(c["iat"])
	if !ok || iat.After(now.Add(clockSkew)) || now.Sub(iat) > maxTokenAge {
		return nil, errors.New("iat is missing, in the future or too old")
	}
	if nbf, there := c["nbf"]; there {
		if t, ok := jwt.Instant(nbf); !ok || t.After(now.Add(clockSkew)) {
			return nil, errors.New("not valid yet")
		}
	}
	if err := p.checkParty(c); err != nil {
		return nil, err
	}
	for name, to := range map[string]*string{"nonce": &id.nonce, "acr": &id.acr, "sid": &id.sid} {
		if *to, ok = c[name].(string); !ok && c[name] != nil {
			return nil, fmt.Errorf("%s is no text", name)
		}
	}
	if v, there := c["auth_time"]; there && v != nil {
		if id.authTime, ok = jwt.Instant(v); !ok || id.authTime.After(now.Add(clockSkew)) {
			return nil, errors.New("auth_time is no time, or in the future")
		}
	}
	return id, nil
}

// checkParty: a token made for several must say that it was issued to us, and
// azp never names another (OIDC Core §3.1.3.7, 4 and 5).
func (p *Provider) checkParty(c map[string]any) error {
	azp, there := c["azp"]
	if there && azp != p.clientID {
		return errors.New("azp is another client")
	}
	if list, ok := c["aud"].([]any); ok && len(list) > 1 && !there {
		return errors.New("several audiences and no azp")
	}
	return nil
}

// bound compares the token with the login it answers.
func (p *Provider) bound(id *idToken, pend pending) error {
	if subtle.ConstantTimeCompare([]byte(id.nonce), []byte(pend.Nonce)) != 1 {
		return invalidf("nonce is missing or another login's") // replayed or injected token
	}
	if pend.MaxAge >= 0 {
		if id.authTime.IsZero() { // OIDC Core §2: required when max_age was asked
			return flows.Refuse(flows.ReasonAssuranceNotMet, errors.New("max_age was asked and auth_time is missing"))
		}
		if age := p.now().Sub(id.authTime); age > time.Duration(pend.MaxAge)*time.Second+clockSkew {
			return flows.Refuse(flows.ReasonAssuranceNotMet, fmt.Errorf("login at the provider is %s old, asked were %d s", age.Round(time.Second), pend.MaxAge))
		}
	}
	if pend.Fresh && pend.Insist && id.authTime.IsZero() {
		return flows.Refuse(flows.ReasonAssuranceNotMet, errors.New("auth_time is missing: the provider does not say whether it asked again"))
	}
	if pend.Fresh && !id.authTime.IsZero() && id.authTime.Before(time.Unix(pend.Begun, 0).Add(-clockSkew)) {
		return flows.Refuse(flows.ReasonAssuranceNotMet, errors.New("the provider did not ask again"))
	}
	if len(pend.ACR) > 0 && !contains(pend.ACR, id.acr) {
		return flows.Refuse(flows.ReasonAssuranceNotMet, fmt.Errorf("acr is %q, asked were %q", outbound.Clip(id.acr, 100), pend.ACR))
	}
	return nil
}
