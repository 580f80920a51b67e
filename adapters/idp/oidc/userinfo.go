package oidc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"strings"

	"golang.org/x/oauth2"

	"github.com/sallyport-gateway/sallyport/adapters/internal/jwt"
	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

// withUserInfo returns the claims of the ID token and, when configured, of
// UserInfo. What UserInfo says of another person is an attack: it would let
// them log in as that person (OIDC Core §5.3.2).
func (p *Provider) withUserInfo(ctx context.Context, m *metadata, tok *oauth2.Token, id *idToken) (map[string]any, error) {
	if !p.asksUserInfo() {
		return id.claims, nil
	}
	if m.UserInfoURL == "" {
		return nil, flows.Refuse(flows.ReasonProviderError, errors.New("userinfo is on, and the provider has no such endpoint"))
	}
	if !strings.EqualFold(tok.Type(), "Bearer") {
		return nil, invalidf("access token of type %q", outbound.Clip(tok.Type(), 40))
	}
	info, err := p.userInfo(ctx, m.UserInfoURL, tok.AccessToken)
	if err != nil {
		return nil, err
	}
	if sub, ok := info["sub"].(string); !ok || sub != id.subject {
		return nil, invalidf("UserInfo speaks of somebody else")
	}
	return merged(id.claims, info), nil
}

func (p *Provider) userInfo(ctx context.Context, url, access string) (map[string]any, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, flows.Refuse(flows.ReasonProviderError, err)
	}
	req.Header.Set("Authorization", "Bearer "+access)
	req.Header.Set("Accept", "application/json")
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, p.userInfoDown(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 500 {
		return nil, p.userInfoDown(fmt.Errorf("answered %s", resp.Status))
	}
	if resp.StatusCode != http.StatusOK {
		return nil, flows.Refuse(flows.ReasonProviderError, fmt.Errorf("UserInfo answered %s", resp.Status))
	}
	if t, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return nil, invalidf("UserInfo is not application/json; signed answers are not supported")
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, p.userInfoDown(err)
	}
	info, err := jwt.Object(body)
	if err != nil {
		return nil, invalidf("UserInfo: %w", err)
	}
	return info, nil
}

func (p *Provider) userInfoDown(err error) error {
	err = fmt.Errorf("UserInfo: %s", outbound.Short(err))
	p.src.suffer(err)
	return flows.Refuse(flows.ReasonProviderDown, err)
}

func (p *Provider) asksUserInfo() bool {
	if p.UserInfo != nil {
		return *p.UserInfo
	}
	return p.as.userinfo
}

// merged puts UserInfo over the ID token's claims. An address and its
// verification come from one source: that one address was verified says
// nothing about another.
func merged(id, info map[string]any) map[string]any {
	out := maps.Clone(id)
	for _, name := range []string{"email", "phone_number"} {
		if _, ok := info[name]; ok {
			delete(out, name+"_verified")
		} else {
			delete(info, name+"_verified")
		}
	}
	delete(info, edov) // Entra says it in the ID token, of the address there
	if _, ok := info["email"]; ok {
		delete(out, edov)
	}
	for k, v := range info {
		if !jwt.Protocol(k) || strings.HasPrefix(k, "_claim") {
			out[k] = v
		}
	}
	return out
}
