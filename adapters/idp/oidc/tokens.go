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

	"github.com/sallyport-gateway/sallyport/flows"
)

// kept are the provider's own secrets of one login, sealed by the session.
type kept struct {
	IDToken string `json:"id_token"`
	Refresh string `json:"refresh_token,omitempty"`
	// Expiry is when the access token ends, in seconds; 0: the provider did not say.
	Expiry  int64     `json:"expiry,omitempty"`
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
	k.Expiry = 0
	if tok.ExpiresIn > 0 {
		k.Expiry = p.now().Add(time.Duration(tok.ExpiresIn) * time.Second).Unix()
	}
	b, err := json.Marshal(k)
	if err != nil {
		return nil, flows.Refuse(flows.ReasonInternal, err)
	}
	return b, nil
}

// Refresh renews a login (OIDC Core §12). The person cannot change by it, and
// nothing new is proved: the evidence stays that of the login. Without a new ID
// token the claims stay, but for what UserInfo says now.
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
	id, err := p.renewedID(ctx, m, tok, &k)
	if err != nil {
		return flows.Proof{}, err
	}
	claims, err := p.withUserInfo(ctx, m, tok, id)
	if err != nil {
		return flows.Proof{}, err
	}
	user, err := p.user(id.subject, claims)
	if err != nil {
		return flows.Proof{}, err
	}
	next, err := p.seal(&k, tok)
	if err != nil {
		return flows.Proof{}, err
	}
	return flows.Proof{
		User: user, Issuer: p.issuer, SID: id.sid, Tokens: next,
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
		return nil, invalidf("refresh answered for another subject") // OIDC Core §12.2
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
	claims, err := strictObject(b)
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
