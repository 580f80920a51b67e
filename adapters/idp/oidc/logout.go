package oidc

import (
	"context"
	"errors"
	"time"

	"github.com/sallyport-gateway/sallyport/adapters/internal/jwt"
	"github.com/sallyport-gateway/sallyport/flows"
)

const (
	logoutEvent    = "http://schemas.openid.net/event/backchannel-logout"
	maxLogoutToken = 16 << 10
	logoutAge      = 10 * time.Minute // older ones are refused, so that marks need not be kept for ever
)

// VerifyLogout verifies a logout token (OIDC Back-Channel Logout 1.0 §2.6).
// Anybody can send one, so it is bounded before it is parsed, and keys we do not
// know are asked for at most once a minute.
func (p *Provider) VerifyLogout(ctx context.Context, token string) (flows.LogoutClaim, error) {
	ctx, cancel := context.WithTimeout(ctx, finishMax)
	defer cancel()
	m, err := p.metadata(ctx)
	if err != nil {
		return flows.LogoutClaim{}, err
	}
	_, claims, err := p.verify(ctx, m, token, logoutTokens)
	if err != nil {
		return flows.LogoutClaim{}, err
	}
	lc, err := p.checkLogout(claims)
	if err != nil {
		return flows.LogoutClaim{}, invalid(err)
	}
	return lc, nil
}

func (p *Provider) checkLogout(c map[string]any) (flows.LogoutClaim, error) {
	now := p.now()
	var lc flows.LogoutClaim
	if _, there := c["nonce"]; there { // an ID token must never end sessions
		return lc, errors.New("logout token with a nonce")
	}
	events, _ := c["events"].(map[string]any)
	if _, ok := events[logoutEvent].(map[string]any); !ok {
		return lc, errors.New("logout token without the logout event")
	}
	iat, ok := jwt.Instant(c["iat"])
	if !ok || iat.After(now.Add(clockSkew)) || now.Sub(iat) > logoutAge {
		return lc, errors.New("iat is missing, in the future or too old")
	}
	if v, there := c["exp"]; there {
		if exp, ok := jwt.Instant(v); !ok || now.After(exp.Add(clockSkew)) {
			return lc, errors.New("expired")
		}
	}
	jti, ok := c["jti"].(string)
	if !ok || jti == "" || len(jti) > 255 {
		return lc, errors.New("jti is missing, no text or longer than 255 bytes")
	}
	for name, to := range map[string]*string{"sub": &lc.Subject, "sid": &lc.SID} {
		if v, there := c[name]; there {
			if *to, ok = v.(string); !ok || *to == "" || len(*to) > 255 {
				return lc, errors.New(name + " is no text, empty or too long")
			}
		}
	}
	if lc.Subject == "" && lc.SID == "" {
		return lc, errors.New("logout token names neither sub nor sid")
	}
	if lc.Subject != "" && p.as.subject != nil {
		subject, err := p.as.subject(c)
		if err != nil {
			return lc, err
		}
		lc.Subject = subject
	}
	lc.IssuedAt = iat
	lc.Once = flows.Mark{Space: "oidc.logout", ID: p.issuer + " " + jti, Until: iat.Add(logoutAge + 2*clockSkew)}
	return lc, nil
}
