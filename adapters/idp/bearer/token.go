package bearer

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	oidclib "github.com/coreos/go-oidc/v3/oidc"

	"github.com/sallyport-gateway/sallyport/adapters/internal/jwt"
	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

// accessToken is the type of RFC 9068 §2.1, untyped the word for a token without one.
const (
	accessToken = "at+jwt"
	untyped     = "untyped"
)

// issuerOf reads, unverified, who a signed token says it is from: only to find whose it
// is to judge.
func issuerOf(token string) (iss string, signed bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 || len(token) > maxToken {
		return "", false
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", false
	}
	var c struct {
		Issuer string `json:"iss"`
	}
	err = json.Unmarshal(b, &c)
	return c.Issuer, err == nil
}

// locate finds the keys: where it is written, or where the issuer's discovery document
// says (OpenID Connect Discovery 1.0 §4), which names the issuer exactly so.
func (p *Provider) locate(ctx context.Context, c *http.Client) (string, error) {
	if p.JWKSURL != "" {
		return p.JWKSURL, nil
	}
	lib, err := oidclib.NewProvider(oidclib.ClientContext(ctx, c), p.issuer)
	if err != nil {
		return "", fmt.Errorf("discovery of %s: %s", p.issuer, outbound.Short(err))
	}
	var m struct {
		Keys string `json:"jwks_uri"`
	}
	if err := lib.Claims(&m); err != nil {
		return "", fmt.Errorf("discovery of %s: %s", p.issuer, outbound.Short(err))
	}
	u, err := address("jwks_uri", m.Keys)
	if err != nil {
		return "", fmt.Errorf("discovery of %s: %w", p.issuer, err)
	}
	if u.Scheme != "https" && p.issuerURL.Scheme == "https" { // what came over TLS leads nowhere else
		return "", fmt.Errorf("discovery of %s: jwks_uri '%s' is not https", p.issuer, m.Keys)
	}
	return m.Keys, nil
}

// verify checks a signed token: type, signature, issuer, audience and time (RFC 9068
// §4). Keys and addresses in the token's own header are never looked at.
func (p *Provider) verify(ctx context.Context, token string) (map[string]any, error) {
	typ, err := jwt.Type(token)
	if err != nil {
		return nil, refusedf("%w", err)
	}
	if typ == "" {
		typ = untyped
	}
	if !slices.Contains(p.types(), typ) {
		return nil, refusedf("token of type '%s'; taken are: %s", outbound.Clip(typ, 40), strings.Join(p.types(), ", "))
	}
	keys := &jwt.Witness{Keys: p.keys, Stranger: true}
	lib, err := oidclib.NewVerifier(p.issuer, keys, &oidclib.Config{
		SkipClientIDCheck: true, SkipExpiryCheck: true, // below, with our own skew and all audiences
		SupportedSigningAlgs: p.algorithms(),
	}).Verify(ctx, token)
	switch {
	case errors.Is(keys.Err, jwt.ErrKeysDown):
		return nil, flows.Refuse(flows.ReasonProviderDown, errors.New(outbound.Short(keys.Err)))
	case err != nil:
		return nil, refusedf("%s", outbound.Short(err))
	}
	var payload json.RawMessage
	if err := lib.Claims(&payload); err != nil {
		return nil, refusedf("claims cannot be read")
	}
	claims, err := jwt.Object(payload)
	if err != nil {
		return nil, refusedf("%w", err)
	}
	for _, other := range []string{"nonce", "at_hash", "c_hash", "events"} { // an ID, logout or event token, however it is typed
		if _, there := claims[other]; there {
			return nil, refusedf("a token with %s is no access token", other)
		}
	}
	if _, there := claims["exp"]; !there {
		return nil, refusedf("exp is missing")
	}
	if _, there := claims["iat"]; !there {
		return nil, refusedf("iat is missing")
	}
	return claims, p.current(claims)
}

func (p *Provider) types() []string {
	if len(p.Types) == 0 {
		return []string{accessToken}
	}
	return p.Types
}

func (p *Provider) algorithms() []string {
	if len(p.Algorithms) == 0 {
		return jwt.Signatures
	}
	return p.Algorithms
}
