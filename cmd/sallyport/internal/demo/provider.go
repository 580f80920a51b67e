package demo

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net/http"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// provider is the demo's identity provider: zitadel/oidc's OpenID provider on a
// memory storage, and a sign-in page of our own.
type provider struct {
	issuer  string
	storage *storage
	op      *op.Provider
}

// newProvider makes a provider at this issuer with one client.
func newProvider(issuer string, c client) (*provider, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	s := newStorage(signingKey{key, rand.Text()}, c)
	config := &op.Config{
		CodeMethodS256:           true,
		SupportedScopes:          []string{"openid", "profile", "email"},
		SupportedClaims:          []string{"sub", "iss", "aud", "exp", "iat", "nonce", "auth_time", "amr", "name", "preferred_username", "email", "email_verified", "groups"},
		DefaultLogoutRedirectURI: issuer + "/signed-out",
	}
	if _, err := rand.Read(config.CryptoKey[:]); err != nil {
		return nil, err
	}
	hint := op.WithSupportedIDTokenHintSigningAlgorithms(string(jose.ES256))
	o, err := op.NewProvider(config, s, op.StaticIssuer(issuer), op.WithAllowInsecure(), op.WithIDTokenHintVerifierOpts(hint))
	if err != nil {
		return nil, fmt.Errorf("demo provider: %w", err)
	}
	return &provider{issuer: issuer, storage: s, op: o}, nil
}

// Handler serves the protocol, the sign-in page and the page after logout.
func (p *provider) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", p.op)
	mux.HandleFunc("GET /sign-in", p.showSignIn)
	mux.HandleFunc("POST /sign-in", p.doSignIn)
	mux.HandleFunc("GET /signed-out", func(w http.ResponseWriter, _ *http.Request) {
		writePage(w, http.StatusOK, "signed-out", nil)
	})
	return http.NewCrossOriginProtection().Handler(mux)
}

// signingKey is the provider's ES256 key, in both of the library's views of it.
type signingKey struct {
	private *ecdsa.PrivateKey
	id      string
}

func (k signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.ES256 }
func (k signingKey) Key() any                                    { return k.private }
func (k signingKey) ID() string                                  { return k.id }

// publicKey is what /keys shows of it.
type publicKey struct{ signingKey }

func (k publicKey) Algorithm() jose.SignatureAlgorithm { return jose.ES256 }
func (k publicKey) Use() string                        { return "sig" }
func (k publicKey) Key() any                           { return k.private.Public() }

var (
	_ op.SigningKey = signingKey{}
	_ op.Key        = publicKey{}
)
