package oidctest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/go-jose/go-jose/v4"
)

// Key is a signing key.
type Key struct {
	ID, Alg string
	Private crypto.Signer
	// Bare publishes the key without kid and alg.
	Bare bool
}

// RSA keys are slow to make: tests share some, under ever new ids.
var rsaKeys = sync.OnceValue(func() []*rsa.PrivateKey {
	out := make([]*rsa.PrivateKey, 3)
	for i := range out {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		out[i] = k
	}
	return out
})

var nextRSA struct {
	sync.Mutex
	n int
}

// NewKey makes a key for RS256, PS256, ES256 or EdDSA.
func NewKey(alg string) *Key { return newKey(alg) }

func newKey(alg string) *Key {
	k := &Key{ID: rand.Text()[:8], Alg: alg}
	var err error
	switch alg {
	case "ES256":
		k.Private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EdDSA":
		_, k.Private, err = ed25519.GenerateKey(rand.Reader)
	default:
		nextRSA.Lock()
		defer nextRSA.Unlock()
		keys := rsaKeys()
		k.Private = keys[nextRSA.n%len(keys)]
		nextRSA.n++
	}
	if err != nil {
		panic(err)
	}
	return k
}

// otherRSA is any shared RSA key but this one.
func otherRSA(k *Key) crypto.Signer {
	for _, o := range rsaKeys() {
		if !o.Equal(k.Private) {
			return o
		}
	}
	panic("unreachable")
}

// JWK is the public key as it is published.
func (k *Key) JWK() map[string]any {
	b, err := json.Marshal(jose.JSONWebKey{Key: k.Private.Public(), KeyID: k.ID, Algorithm: k.Alg, Use: "sig"})
	if err != nil {
		panic(err)
	}
	var out map[string]any
	_ = json.Unmarshal(b, &out)
	if k.Bare {
		delete(out, "kid")
		delete(out, "alg")
	}
	return out
}

// Token is a token about to be signed; a mode changes it.
type Token struct {
	Header, Claims map[string]any
	Key            *Key
	// Payload replaces Claims when it is set.
	Payload []byte
	// Secret signs with HS256 instead of Key.
	Secret []byte
	// After changes the signed token.
	After func(string) string
}

// mint prepares the ID token of a grant. at_hash binds the access token.
func (op *OP) mint(g *grant, access string) *Token {
	op.mu.Lock()
	defer op.mu.Unlock()
	now := op.now().Unix()
	claims := maps.Clone(g.user)
	k := op.keys[0]
	maps.Copy(claims, map[string]any{
		"iss": op.Issuer, "aud": op.ClientID, "iat": now, "exp": now + 300, "auth_time": g.authTime,
		"at_hash": halfHash(k.Alg, access), "sid": "sid-" + text(g.user["sub"]),
	})
	if g.nonce != "" && !g.refresh {
		claims["nonce"] = g.nonce
	}
	t := &Token{Header: map[string]any{"typ": "JWT", "alg": k.Alg}, Claims: claims, Key: k}
	if !k.Bare {
		t.Header["kid"] = k.ID
	}
	return t
}

// halfHash is at_hash (OIDC Core §3.1.3.6); EdDSA on Ed25519 hashes with SHA-512.
func halfHash(alg, access string) string {
	if alg == "EdDSA" {
		sum := sha512.Sum512([]byte(access))
		return b64(sum[:32])
	}
	sum := sha256.Sum256([]byte(access))
	return b64(sum[:16])
}

// Logout makes a logout token for a subject and session (Back-Channel Logout 1.0
// §2.4), changed by the named variant of LogoutVariants; "" is a good one.
func (op *OP) Logout(sub, sid, variant string) string {
	change, ok := LogoutVariants[variant]
	if !ok && variant != "" {
		op.t.Fatalf("oidctest: no logout variant is called %q", variant)
	}
	return op.LogoutToken(sub, sid, change)
}

// LogoutToken makes a logout token with a change that has no name; nil: none.
func (op *OP) LogoutToken(sub, sid string, change func(*OP, *Token)) string {
	op.mu.Lock()
	now, k := op.now().Unix(), op.keys[0]
	op.mu.Unlock()
	t := &Token{
		Header: map[string]any{"typ": "logout+jwt", "alg": k.Alg, "kid": k.ID},
		Claims: map[string]any{
			"iss": op.Issuer, "aud": op.ClientID, "iat": now, "exp": now + 120, "jti": rand.Text(),
			"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
		},
		Key: k,
	}
	if sub != "" {
		t.Claims["sub"] = sub
	}
	if sid != "" {
		t.Claims["sid"] = sid
	}
	if change != nil {
		change(op, t)
	}
	return t.Sign()
}

// Sign makes the compact JWS. The algorithm is what the header says.
func (t *Token) Sign() string {
	head, err := json.Marshal(t.Header)
	if err != nil {
		panic(err)
	}
	body := t.Payload
	if body == nil {
		if body, err = json.Marshal(t.Claims); err != nil {
			panic(err)
		}
	}
	input := b64(head) + "." + b64(body)
	out := input + "." + b64(t.signature(input))
	if t.After != nil {
		out = t.After(out)
	}
	return out
}

func (t *Token) signature(input string) []byte {
	if t.Secret != nil {
		m := hmac.New(sha256.New, t.Secret)
		m.Write([]byte(input))
		return m.Sum(nil)
	}
	if alg, _ := t.Header["alg"].(string); strings.EqualFold(alg, "none") {
		return nil
	}
	sum := sha256.Sum256([]byte(input))
	var sig []byte
	var err error
	switch k := t.Key.Private.(type) {
	case *rsa.PrivateKey:
		if t.Key.Alg == "PS256" {
			sig, err = rsa.SignPSS(rand.Reader, k, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		} else {
			sig, err = rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, sum[:])
		}
	case *ecdsa.PrivateKey:
		var r, s *big.Int
		if r, s, err = ecdsa.Sign(rand.Reader, k, sum[:]); err == nil {
			sig = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		}
	case ed25519.PrivateKey:
		sig = ed25519.Sign(k, []byte(input))
	}
	if err != nil {
		panic(err)
	}
	return sig
}

// clientIsRight checks client authentication as the provider announced it.
func (op *OP) clientIsRight(r *http.Request) bool {
	op.mu.Lock()
	key, methods := op.authKey, slices.Clone(op.methods)
	op.mu.Unlock()
	if jwt := r.PostForm.Get("client_assertion"); jwt != "" || key != nil {
		return key != nil && op.assertionIsRight(jwt, r.PostForm, key)
	}
	if id, secret, ok := r.BasicAuth(); ok { // form-encoded first, RFC 6749 §2.3.1
		id, _ = url.QueryUnescape(id)
		secret, _ = url.QueryUnescape(secret)
		return slices.Contains(methods, "client_secret_basic") && id == op.ClientID && secret == op.ClientSecret && r.PostForm.Get("client_secret") == ""
	}
	return slices.Contains(methods, "client_secret_post") && r.PostForm.Get("client_id") == op.ClientID && r.PostForm.Get("client_secret") == op.ClientSecret
}

func (op *OP) assertionIsRight(jwt string, form url.Values, key any) bool {
	jws, err := jose.ParseSignedCompact(jwt, []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.ES384, jose.EdDSA})
	if err != nil || form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" || form.Get("client_secret") != "" {
		return false
	}
	payload, err := jws.Verify(key)
	if err != nil {
		return false
	}
	var c struct {
		Iss, Sub, Aud, Jti string
		Iat, Exp           int64
	}
	if json.Unmarshal(payload, &c) != nil {
		return false
	}
	now := op.clock().Unix()
	return c.Iss == op.ClientID && c.Sub == op.ClientID && c.Aud == op.Issuer+"/token" && len(c.Jti) >= 22 &&
		c.Iat <= now+5 && c.Exp > now && c.Exp <= now+300
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func text(v any) string {
	s, _ := v.(string)
	return s
}
