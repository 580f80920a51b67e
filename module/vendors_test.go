package module_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

// The verifiers here do what the vendors' documents tell an application to do, and
// know nothing of us but the address that the operator told it.

const (
	loadBalancer = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/payroll/50dc6c495c0c9188"
	iapAudience  = "/projects/123456789/global/backendServices/987654321"
	accessTag    = "32eafc7626e974616deaf0dc3ce63d7bcbed58a2731e84d06bc3cdf1b53c4228"
)

// vendors is a gateway in the place of all three, with what each sends of alice.
func vendors(t *testing.T) (g *gateway, head, issuer string) {
	t.Helper()
	op := newOP(t)
	g = start(t, asked(t, "corp", op),
		"protect {\nheaders iap {\naudience "+iapAudience+"\n}\nheaders alb {\nsigner "+loadBalancer+"\nclient payroll\nclaim groups groups\n}\nheaders cf_access {\naudience "+accessTag+"\n}\n}\nreverse_proxy {APP}")
	op.SetUser(map[string]any{
		"sub": "117", "preferred_username": "alice", "name": "Alice Liddell", "email": "alice@example.com", "email_verified": true, "groups": []string{"staff"},
	})
	b := newBrowser(t)
	p := g.open(b, g.url("/a"))
	landed(t, p, "/a", "")
	return g, p.Body, op.Issuer
}

func (g *gateway) fetch(t *testing.T, path string) string {
	t.Helper()
	p := g.raw(http.MethodGet, path, "")
	want(t, p, http.StatusOK)
	return p.Body
}

// es256 verifies a signature as RFC 7518 §3.4 has it, by a key in PEM.
func es256(text string, input, signature []byte) error {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return errors.New("no PEM")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(input)
	if len(signature) != 64 || !ecdsa.Verify(key.(*ecdsa.PublicKey), sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
		return errors.New("the signature is wrong")
	}
	return nil
}

// Google's document: the header, the payload, the signature; keys by kid in JSON,
// or as a key set.
func TestIAPTokenAsGoogleSaysToVerifyIt(t *testing.T) {
	g, head, _ := vendors(t)
	token := tokenIn(t, head, "X-Goog-IAP-JWT-Assertion")
	header1, claims := joseOf(token), saidBy(token)
	var keys map[string]string
	if err := json.Unmarshal([]byte(g.fetch(t, "/.identity/iap/verify/public_key")), &keys); err != nil {
		t.Fatal(err)
	}
	i := strings.LastIndexByte(token, '.')
	signature, err := base64.RawURLEncoding.DecodeString(token[i+1:])
	if err != nil {
		t.Fatal(err)
	}
	kid, _ := header1["kid"].(string)
	if err := es256(keys[kid], []byte(token[:i]), signature); err != nil || header1["alg"] != "ES256" {
		t.Errorf("%v: %v", header1, err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(g.fetch(t, "/.identity/iap/verify/public_key-jwk")), &set); err != nil {
		t.Fatal(err)
	}
	s, err := jose.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Verify(set); err != nil || len(set.Keys) != len(keys) {
		t.Errorf("%d keys of %d: %v", len(set.Keys), len(keys), err)
	}
	const skew = 30
	now := float64(time.Now().Unix())
	iat, _ := claims["iat"].(float64)
	exp, _ := claims["exp"].(float64)
	if exp < now-skew || iat > now+skew || exp-iat > 600+2*skew {
		t.Errorf("made %v, good until %v, now %v", iat, exp, now)
	}
	if claims["iss"] != "https://cloud.google.com/iap" || claims["aud"] != iapAudience {
		t.Errorf("claims %v", claims)
	}
	for name, want := range map[string]any{"X-Goog-Authenticated-User-Email": "accounts.google.com:alice@example.com", "X-Goog-Authenticated-User-Id": claims["sub"]} {
		if got := header(head, name); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if claims["sub"] != "accounts.google.com:117" || claims["email"] != "alice@example.com" {
		t.Errorf("claims %v", claims)
	}
}

// Amazon's document: the signer first, then the key by kid as PEM, then the
// signature over the parts as they came, padding and all.
func TestALBTokenAsAmazonSaysToVerifyIt(t *testing.T) {
	g, head, issuer := vendors(t)
	token := tokenIn(t, head, "x-amzn-oidc-data")
	parts := strings.Split(token, ".")
	var decoded [3][]byte
	for i, p := range parts {
		b, err := base64.URLEncoding.DecodeString(p) // strict about padding, as that of Python and PHP is
		if err != nil {
			t.Fatalf("part %d: %v", i, err)
		}
		decoded[i] = b
	}
	if !strings.HasSuffix(token, "==") {
		t.Error("64 bytes without their padding")
	}
	var h struct {
		Alg, Kid, Signer, Iss, Client string
		Exp                           int64
	}
	if err := json.Unmarshal(decoded[0], &h); err != nil {
		t.Fatal(err)
	}
	if h.Alg != "ES256" || h.Signer != loadBalancer || h.Client != "payroll" || h.Iss != issuer || h.Exp <= time.Now().Unix() {
		t.Errorf("header %s", decoded[0])
	}
	if err := es256(g.fetch(t, "/.identity/alb/"+h.Kid), []byte(parts[0]+"."+parts[1]), decoded[2]); err != nil {
		t.Error(err)
	}
	for i := range h.Kid {
		if c := h.Kid[i]; c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			t.Errorf("kid %q may not stand in an address", h.Kid)
		}
	}
	var c map[string]any
	if err := json.Unmarshal(decoded[1], &c); err != nil {
		t.Fatal(err)
	}
	if c["sub"] != "117" || c["email"] != "alice@example.com" || c["name"] != "Alice Liddell" || c["iss"] != issuer || fmt.Sprint(c["groups"]) != "[staff]" || c["exp"] != float64(h.Exp) || c["aud"] != nil {
		t.Errorf("claims %s", decoded[1])
	}
	if got := header(head, "x-amzn-oidc-identity"); len(got) != 1 || got[0] != "117" {
		t.Errorf("identity %q", got)
	}
	if strings.Contains(strings.ToLower(head), "accesstoken") {
		t.Errorf("an access token:\n%s", head)
	}
	for _, kid := range []string{"nosuch", "", "../jwks.json", h.Kid + "/"} {
		if p := g.raw(http.MethodGet, "/.identity/alb/"+kid, ""); p.Status == http.StatusOK {
			t.Errorf("kid %q has a key", kid)
		}
	}
}

// Cloudflare's document: issuer and keys both follow from the team's domain.
func TestAccessTokenAsCloudflareSaysToVerifyIt(t *testing.T) {
	g, head, _ := vendors(t)
	token := tokenIn(t, head, "Cf-Access-Jwt-Assertion")
	team := g.origin() + "/.identity"
	verify := func(team, tag string) (*oidc.IDToken, error) {
		keys := oidc.NewRemoteKeySet(context.Background(), g.origin()+"/.identity/cdn-cgi/access/certs")
		return oidc.NewVerifier(team, keys, &oidc.Config{ClientID: tag}).Verify(context.Background(), token)
	}
	id, err := verify(team, accessTag)
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Email, Type string
		Aud         []string
		Nbf, Iat    int64
	}
	if err := id.Claims(&c); err != nil {
		t.Fatal(err)
	}
	if c.Email != "alice@example.com" || c.Type != "app" || len(c.Aud) != 1 || c.Nbf != c.Iat || id.Subject != "corp:117" {
		t.Errorf("claims %+v of %s", c, id.Subject)
	}
	if got := header(head, "Cf-Access-Authenticated-User-Email"); len(got) != 1 || got[0] != c.Email {
		t.Errorf("address %q", got)
	}
	for name, err := range map[string]error{
		"another application": second(verify(team, "another")), "another team": second(verify("https://other.cloudflareaccess.com", accessTag)),
	} {
		if err == nil {
			t.Errorf("%s took it", name)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// An operator's own dialect on the base of one with a token has the token, its keys
// and its address.
func TestOwnDialectWithAToken(t *testing.T) {
	g := start(t, people(t)+"dialect corp iap {\nheader X-Corp {user.name}\nheader X-Goog-Authenticated-User-Email {user.email}\n}\n", "protect {\nheaders corp\n}\nreverse_proxy {APP}")
	b := g.signedIn("/a", "alice", "alicepw")
	head := g.open(b, g.url("/a")).Body
	if got := header(head, "X-Goog-Authenticated-User-Email"); len(got) != 1 || got[0] != "alice@example.test" {
		t.Errorf("the operator's own header: %q", got)
	}
	token := tokenIn(t, head, "X-Goog-IAP-JWT-Assertion")
	(&app{g: g, issuer: "https://cloud.google.com/iap", audience: g.origin(), alg: "ES256", now: time.Now}).must(t, token)
	if !strings.Contains(g.fetch(t, "/.identity/iap/verify/public_key"), joseOf(token)["kid"].(string)) {
		t.Error("its keys are not where its verifiers look")
	}
}
