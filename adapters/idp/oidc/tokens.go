package oidc

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/sallyport-gateway/sallyport/adapters/internal/jwt"
	"github.com/sallyport-gateway/sallyport/flows"
)

// kept are the provider's own secrets of one login, sealed by the session.
type kept struct {
	IDToken string    `json:"id_token"`
	Refresh string    `json:"refresh_token,omitempty"`
	Subject string    `json:"subject"`
	Nonce   string    `json:"nonce,omitempty"`
	AMR     []string  `json:"amr,omitempty"`
	ACR     string    `json:"acr,omitempty"`
	At      time.Time `json:"at"`
}

func (p *Provider) keep(tok *oauth2.Token, raw string, id *idToken, ev flows.Evidence) ([]byte, error) {
	k := kept{IDToken: raw, Subject: id.subject, Nonce: id.nonce, AMR: ev.AMR, ACR: ev.ACR, At: ev.At}
	return p.seal(&k, tok)
}

func (p *Provider) seal(k *kept, tok *oauth2.Token) ([]byte, error) {
	if p.refreshes() && tok.RefreshToken != "" {
		k.Refresh = tok.RefreshToken
	}
	b, err := json.Marshal(k)
	if err != nil {
		return nil, flows.Refuse(flows.ReasonInternal, err)
	}
	return b, nil
}

// usualLife is taken for the life of an access token that does not say it
// (RFC 6749 §5.1 only recommends expires_in), longestLife for one that says a
// time beyond any session.
const (
	usualLife   = time.Hour
	longestLife = 365 * 24 * time.Hour
)

// stale is when the login is to be renewed: with its access token, or never.
func (p *Provider) stale(tok *oauth2.Token) time.Time {
	switch {
	case !p.refreshes() || tok.RefreshToken == "":
		return time.Time{}
	case tok.ExpiresIn <= 0:
		return p.now().Add(usualLife)
	case tok.ExpiresIn > int64(longestLife/time.Second):
		return p.now().Add(longestLife)
	}
	return p.now().Add(time.Duration(tok.ExpiresIn) * time.Second)
}

// Refreshes reports whether logins are renewed.
func (p *Provider) Refreshes() bool { return p.refreshes() }

// Refresh renews a login (OIDC Core §12). The person cannot change by it, and
// nothing new is proved: the evidence stays that of the login. Without a new ID
// token the claims stay, but for what UserInfo says now. What goes wrong behind the
// token endpoint comes back with the new tokens: the old refresh token may be used up.
func (p *Provider) Refresh(ctx context.Context, tokens []byte) (flows.Proof, error) {
	ctx, cancel := context.WithTimeout(ctx, finishMax)
	defer cancel()
	var k kept
	if err := json.Unmarshal(tokens, &k); err != nil || k.Subject == "" {
		return flows.Proof{}, invalidf("tokens of another provider")
	}
	if k.Refresh == "" {
		return flows.Proof{}, flows.Refuse(flows.ReasonProviderRefused, errors.New("there is no refresh token"))
	}
	m, err := p.metadata(ctx)
	if err != nil {
		return flows.Proof{}, err
	}
	tok, err := p.renew(ctx, m, k.Refresh)
	if err != nil {
		return flows.Proof{}, err
	}
	if tok.RefreshToken == "" { // it goes on with the one it has (RFC 6749 §6)
		tok.RefreshToken = k.Refresh
	}
	proof, err := p.renewed(ctx, m, tok, &k)
	next, sealed := p.seal(&k, tok)
	switch {
	case sealed != nil:
		return flows.Proof{}, sealed
	case err != nil:
		return flows.Proof{Tokens: next}, err
	}
	proof.Tokens = next
	return proof, nil
}

// renewed is what the new tokens say, without them.
func (p *Provider) renewed(ctx context.Context, m *metadata, tok *oauth2.Token, k *kept) (flows.Proof, error) {
	id, err := p.renewedID(ctx, m, tok, k)
	if err != nil {
		return flows.Proof{}, err
	}
	if err := p.admit(id); err != nil {
		return flows.Proof{}, err
	}
	claims, err := p.withUserInfo(ctx, m, tok, id)
	if err != nil {
		return flows.Proof{}, err
	}
	user, err := p.person(ctx, id, claims)
	if err != nil {
		return flows.Proof{}, err
	}
	return flows.Proof{
		User: user, Issuer: p.bindsTo(m), SID: id.sid, Stale: p.stale(tok),
		Evidence: []flows.Evidence{{Method: "oidc", AMR: k.AMR, ACR: k.ACR, At: k.At}},
	}, nil
}

// renewedID verifies the new ID token, if there is one, against the old.
func (p *Provider) renewedID(ctx context.Context, m *metadata, tok *oauth2.Token, k *kept) (*idToken, error) {
	if s, _ := tok.Extra("id_token").(string); s == "" {
		return remembered(k)
	}
	raw, id, err := p.idToken(ctx, m, tok)
	if err != nil {
		return nil, err
	}
	if id.subject != k.Subject {
		return nil, flows.Refuse(flows.ReasonUserMismatch, errors.New("refresh answered for another subject")) // OIDC Core §12.2
	}
	if id.nonce != "" && id.nonce != k.Nonce {
		return nil, invalidf("refresh answered with another login's nonce")
	}
	if id.sid == "" {
		if old, err := remembered(k); err == nil {
			id.sid = old.sid
		}
	}
	k.IDToken = raw
	return id, nil
}

// remembered reads the ID token that was verified at login and sealed since.
func remembered(k *kept) (*idToken, error) {
	parts := strings.Split(k.IDToken, ".")
	if len(parts) != 3 {
		return nil, invalidf("the kept ID token cannot be read")
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, invalidf("the kept ID token cannot be read")
	}
	claims, err := jwt.Object(b)
	if err != nil {
		return nil, invalidf("the kept ID token: %w", err)
	}
	sid, _ := claims["sid"].(string)
	return &idToken{subject: k.Subject, sid: sid, claims: claims}, nil
}

// hintURL is the longest logout address sent as a redirect; beyond it a form is
// posted, because an ID token with 300 groups is longer than many servers' URLs.
const hintURL = 2048

// LogoutRequest asks the provider to end its own session (OIDC RP-Initiated
// Logout 1.0 §2). It answers nil when the provider has no such endpoint,
// single_logout is off, or the provider was never reached.
func (p *Provider) LogoutRequest(_ context.Context, g flows.Grant, postLogout, state string) (flows.Outcome, error) {
	m := p.src.last()
	if m == nil || m.EndURL == "" || (p.SingleLogout != nil && !*p.SingleLogout) {
		return nil, nil
	}
	var k kept
	if len(g.Tokens) > 0 {
		if err := json.Unmarshal(g.Tokens, &k); err != nil {
			return nil, fmt.Errorf("logout: tokens of another provider")
		}
	}
	u, err := url.Parse(m.EndURL)
	if err != nil {
		return nil, fmt.Errorf("end_session_endpoint: %w", err)
	}
	q := u.Query()
	var fields []flows.FormField
	for _, f := range []flows.FormField{
		{Name: "id_token_hint", Value: k.IDToken},
		{Name: "client_id", Value: p.clientID},
		{Name: "post_logout_redirect_uri", Value: postLogout},
		{Name: "state", Value: state},
	} {
		if f.Value != "" {
			q.Set(f.Name, f.Value)
			fields = append(fields, f)
		}
	}
	bare := u.String()
	u.RawQuery = q.Encode()
	if s := u.String(); len(s) <= hintURL {
		return flows.Redirect(s), nil
	}
	return flows.Post(bare, fields), nil
}
