package oidc

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"

	"github.com/sallyport-gateway/sallyport/adapters/internal/jwt"
	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// loadKey reads the private key: the value is the PEM itself, or names its file.
func (p *Provider) loadKey(repl *caddy.Replacer) error {
	v, err := resolve(repl, p.ClientKey)
	if err != nil {
		return err
	}
	data := []byte(v)
	if !strings.Contains(v, "-----BEGIN") {
		if data, err = os.ReadFile(v); err != nil {
			return err
		}
	}
	key, alg, err := parseKey(data)
	if err != nil {
		return err
	}
	p.key, p.keyAlg = key, alg
	return nil
}

func parseKey(data []byte) (crypto.Signer, string, error) {
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return nil, "", errors.New("no PEM private key in it")
		}
		if data = rest; !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue // certificates and EC parameters may stand beside it
		}
		key, err := parseBlock(block)
		if err != nil {
			return nil, "", err
		}
		alg, err := algOf(key)
		return key, alg, err
	}
}

func parseBlock(b *pem.Block) (crypto.Signer, error) {
	var key any
	var err error
	switch b.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(b.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(b.Bytes)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(b.Bytes)
	default:
		return nil, fmt.Errorf("a %s is not supported", b.Type)
	}
	if err != nil {
		return nil, errors.New("malformed private key") // the parser's text might quote it
	}
	s, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a %T cannot sign", key)
	}
	return s, nil
}

func algOf(key crypto.Signer) (string, error) {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if k.N.BitLen() < jwt.MinRSABits {
			return "", fmt.Errorf("RSA key of %d bits; at least %d are needed", k.N.BitLen(), jwt.MinRSABits)
		}
		return "RS256", nil
	case *ecdsa.PrivateKey:
		switch k.Curve.Params().BitSize {
		case 256:
			return "ES256", nil
		case 384:
			return "ES384", nil
		case 521:
			return "ES512", nil
		}
	case ed25519.PrivateKey:
		return "EdDSA", nil
	}
	return "", fmt.Errorf("keys of type %T are not supported", key)
}

// assertion is a signed JWT in the place of a client secret (RFC 7523 §3). It is
// new each time and lives for a minute.
func (p *Provider) assertion(audience string) (string, error) {
	opts := (&jose.SignerOptions{}).WithType("JWT")
	if p.ClientKeyID != "" {
		opts = opts.WithHeader("kid", p.ClientKeyID)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(p.keyAlg), Key: p.key}, opts)
	if err != nil {
		return "", fmt.Errorf("client_key: %w", err)
	}
	now := p.now()
	claims, err := json.Marshal(map[string]any{
		"iss": p.clientID, "sub": p.clientID, "aud": audience, "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	})
	if err != nil {
		return "", err
	}
	jws, err := signer.Sign(claims)
	if err != nil {
		return "", fmt.Errorf("client_key: %w", err)
	}
	return jws.CompactSerialize()
}

// oauth is the library's view of this provider. The style is never guessed:
// guessing sends a code twice.
func (p *Provider) oauth(m *metadata, redirect string) *oauth2.Config {
	c := &oauth2.Config{
		ClientID: p.clientID, ClientSecret: p.clientSecret, RedirectURL: redirect, Scopes: p.scopes(),
		Endpoint: oauth2.Endpoint{AuthURL: m.AuthURL, TokenURL: m.TokenURL, AuthStyle: oauth2.AuthStyleInHeader},
	}
	if p.key != nil || p.TokenAuth == "post" || (p.TokenAuth != "basic" && len(m.TokenAuth) > 0 &&
		!contains(m.TokenAuth, "client_secret_basic") && contains(m.TokenAuth, "client_secret_post")) {
		c.Endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	return c
}

// exchange turns a code into tokens. Tokens and codes never get into an error:
// only the provider's error code does.
func (p *Provider) exchange(ctx context.Context, m *metadata, redirect, code, verifier string) (*oauth2.Token, error) {
	opts, err := p.prove(m, oauth2.VerifierOption(verifier))
	if err != nil {
		return nil, err
	}
	tok, err := p.oauth(m, redirect).Exchange(p.via(ctx), code, opts...)
	if err != nil {
		return nil, p.tokenError(err)
	}
	return tok, nil
}

// renew turns a refresh token into new tokens (RFC 6749 §6).
func (p *Provider) renew(ctx context.Context, m *metadata, refresh string) (*oauth2.Token, error) {
	var tok *oauth2.Token
	c := p.oauth(m, "")
	opts, err := p.prove(m)
	switch {
	case err != nil:
		return nil, err
	case len(opts) == 0:
		tok, err = c.TokenSource(p.via(ctx), &oauth2.Token{RefreshToken: refresh}).Token()
	default: // only Exchange takes parameters; its empty code counts as not sent (RFC 6749 §3.2)
		opts = append(opts, oauth2.SetAuthURLParam("grant_type", "refresh_token"), oauth2.SetAuthURLParam("refresh_token", refresh))
		tok, err = c.Exchange(p.via(ctx), "", opts...)
	}
	if err != nil {
		err = p.tokenError(err)
		if flows.ReasonOf(err) == flows.ReasonInvalidAnswer && !errors.Is(err, flows.ErrInvalidGrant) {
			// No answer of a token endpoint, but of a proxy's maintenance page: later.
			err = flows.Refuse(flows.ReasonProviderDown, err)
		}
		return nil, err
	}
	return tok, nil
}

func (p *Provider) via(ctx context.Context) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, p.client)
}

// prove adds the client assertion where a key stands in the place of a secret.
func (p *Provider) prove(m *metadata, opts ...oauth2.AuthCodeOption) ([]oauth2.AuthCodeOption, error) {
	if p.key == nil {
		return opts, nil
	}
	jwt, err := p.assertion(m.TokenURL)
	if err != nil {
		return nil, flows.Refuse(flows.ReasonProviderError, err)
	}
	return append(opts, oauth2.SetAuthURLParam("client_assertion_type", assertionType), oauth2.SetAuthURLParam("client_assertion", jwt)), nil
}

// tokenError sorts out whose fault it was (RFC 6749 §5.2).
func (p *Provider) tokenError(err error) error {
	var re *oauth2.RetrieveError
	if !errors.As(err, &re) {
		var ue *url.Error
		// The library flattens an error that comes while the answer is read.
		if errors.As(err, &ue) || strings.HasPrefix(err.Error(), "oauth2: cannot fetch token") {
			err = fmt.Errorf("token endpoint: %s", outbound.Short(err))
			p.src.suffer(err)
			return flows.Refuse(flows.ReasonProviderDown, err)
		}
		return flows.Refuse(flows.ReasonInvalidAnswer, errors.New("token endpoint: unusable answer"))
	}
	status := 0
	if re.Response != nil {
		status = re.Response.StatusCode
	}
	text := fmt.Errorf("token endpoint answered %d %q %q", status, outbound.Clip(re.ErrorCode, 60), outbound.Clip(re.ErrorDescription, 200))
	switch {
	case re.ErrorCode == "invalid_grant":
		return flows.Refuse(flows.ReasonInvalidAnswer, fmt.Errorf("%w: %w", flows.ErrInvalidGrant, text))
	case status >= 500 || status == 429 || re.ErrorCode == "temporarily_unavailable":
		p.src.suffer(text)
		return flows.Refuse(flows.ReasonProviderDown, text)
	}
	return flows.Refuse(flows.ReasonProviderError, text)
}
