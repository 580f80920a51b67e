package flows

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"
)

// Asserter is a Dialect that sends tokens which the gateway signs (JWT, RFC 7519).
type Asserter interface {
	Dialect
	// Tokens are those of Owned that hold one. They run out while a session lasts,
	// and are never shown to anybody but the application (I26).
	Tokens() []string
	// Algorithms are those it signs with, of SigningAlgorithms.
	Algorithms() []string
	// Assert is called when the configuration is loaded, before any request.
	Assert(Signer)
}

// SigningAlgorithms are those the gateway has keys for (RFC 7518 §3.1, RFC 8037 §3.1).
var SigningAlgorithms = []string{"ES256", "RS256", "EdDSA"}

// Signer signs with the gateway's keys. It may be called concurrently.
type Signer interface {
	// Issuer is who signs, where the configuration says nothing else: an origin.
	Issuer(f *Facts) string
	// Sign makes the compact form of a token (RFC 7515 §7.1).
	Sign(t Token) (string, error)
}

// Token is what is signed.
type Token struct {
	// Algorithm is one of SigningAlgorithms.
	Algorithm string
	// Header are members beside alg, kid and typ.
	Header map[string]any
	Claims map[string]any
	// Padded keeps the padding of base64, which RFC 7515 §2 forbids and some
	// verifiers wait for.
	Padded bool
	// Issued is when; the key follows from it. Expires is the claim exp.
	Issued, Expires time.Time
}

// Perishable is a HeaderWriter that has headers made anew when they run out.
type Perishable interface{ Until(t time.Time) }

// Until says that what is written to w is good before t. Without it headers that
// are not in PerRequest are good as long as their session.
func Until(w HeaderWriter, t time.Time) {
	if p, ok := w.(Perishable); ok {
		p.Until(t)
	}
}

// Outliner is a HeaderWriter for who only wants to know what would be sent: nothing is
// signed for it (I26).
type Outliner interface{ Outline() bool }

func outlined(w HeaderWriter) bool {
	o, ok := w.(Outliner)
	return ok && o.Outline()
}

// Outline is a text as long as the signed token, in the place of it: nobody could verify it.
func (t *Token) Outline() (string, error) {
	signature := map[string]int{"RS256": 256}[t.Algorithm]
	if signature == 0 {
		signature = 64 // ES256 (RFC 7518 §3.4), EdDSA (RFC 8032 §5.1.6)
	}
	text, enc, err := t.Unsigned("00000000-0000-0000-0000-000000000000")
	if err != nil {
		return "", err
	}
	return strings.Repeat(".", len(text)+1+enc.EncodedLen(signature)), nil
}

// Unsigned is what is signed of it (RFC 7515 §5.1), with the id of a key, and the
// encoding of the signature.
func (t *Token) Unsigned(kid string) ([]byte, *base64.Encoding, error) {
	header := map[string]any{"typ": "JWT"}
	maps.Copy(header, t.Header)
	header["alg"], header["kid"] = t.Algorithm, kid
	enc := base64.RawURLEncoding
	if t.Padded {
		enc = base64.URLEncoding
	}
	h, err := json.Marshal(header)
	if err != nil {
		return nil, nil, fmt.Errorf("header of a token: %w", err)
	}
	c, err := json.Marshal(t.Claims)
	if err != nil {
		return nil, nil, fmt.Errorf("claims of a token: %w", err)
	}
	return enc.AppendEncode(append(enc.AppendEncode(nil, h), '.'), c), enc, nil
}

// PublicKey verifies tokens.
type PublicKey struct {
	// ID is the kid of tokens, a UUID made of the key's thumbprint (RFC 7638).
	ID        string
	Algorithm string
	Key       crypto.PublicKey
}

// KeyPublisher is an Asserter whose verifiers look for keys elsewhere than in
// jwks.json, or in another form.
type KeyPublisher interface {
	// PublishKeys answers the document at a path below /.identity; ErrNotFound where
	// there is none.
	PublishKeys(path string, keys []PublicKey) (Document, error)
}

// JWK is the key as a JSON Web Key (RFC 7517 §4): public members only.
func (k PublicKey) JWK() map[string]string {
	m := map[string]string{"kid": k.ID, "alg": k.Algorithm, "use": "sig"}
	b64 := base64.RawURLEncoding.EncodeToString
	switch key := k.Key.(type) {
	case *ecdsa.PublicKey: // only P-256, whose point is 0x04, x, y (SEC 1 §2.3.3)
		point, err := key.Bytes()
		if err != nil {
			return nil
		}
		m["kty"], m["crv"], m["x"], m["y"] = "EC", "P-256", b64(point[1:33]), b64(point[33:])
	case *rsa.PublicKey:
		m["kty"], m["n"], m["e"] = "RSA", b64(key.N.Bytes()), b64(big.NewInt(int64(key.E)).Bytes())
	case ed25519.PublicKey:
		m["kty"], m["crv"], m["x"] = "OKP", "Ed25519", b64(key)
	}
	return m
}

// PEM is the key as a SubjectPublicKeyInfo (RFC 7468 §13).
func (k PublicKey) PEM() ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(k.Key)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", k.ID, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// JWKS is a set of keys (RFC 7517 §5); of algorithms other than those named there
// is nothing in it, if any are named.
func JWKS(keys []PublicKey, algorithms ...string) map[string]any {
	set := []map[string]string{}
	for _, k := range keys {
		if len(algorithms) == 0 || slices.Contains(algorithms, k.Algorithm) {
			set = append(set, k.JWK())
		}
	}
	return map[string]any{"keys": set}
}
