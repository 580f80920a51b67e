package module_test

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
	"github.com/sallyport-gateway/sallyport/flows"
)

// TestOIDFClient is oidcc-client-test: an authorization request, a token request
// and a UserInfo request as OIDC Core wants them.
func TestOIDFClient(t *testing.T) {
	rp := relyingParty(t)
	rp.accepts()
	q := rp.op.Requests()[0]
	for name, want := range map[string]string{
		"response_type": "code", "client_id": rp.op.ClientID, "redirect_uri": rp.url("/.identity/callback/op"),
		"response_mode": "", "request": "", "request_uri": "", "claims": "", "max_age": "", "prompt": "",
	} {
		if q.Get(name) != want || len(q[name]) > 1 {
			t.Errorf("%s: want %q, got %q", name, want, q[name])
		}
	}
	if !slices.Contains(strings.Fields(q.Get("scope")), "openid") {
		t.Errorf("scope: %q", q.Get("scope"))
	}
	// The suite warns of nonces that are long or not URL-safe: some providers cut them.
	if n := q.Get("nonce"); len(n) < 22 || len(n) > 43 || url.QueryEscape(n) != n {
		t.Errorf("nonce: %q", n)
	}
	form := rp.calls("/token")[0].Form
	if form.Get("grant_type") != "authorization_code" || form.Get("redirect_uri") != q.Get("redirect_uri") || form.Get("code") == "" {
		t.Errorf("token request: %q, %q", form.Get("grant_type"), form.Get("redirect_uri"))
	}
}

// TestOIDFClientInvalidIss is oidcc-client-test-invalid-iss: the ID token's iss is
// another issuer's; it must be rejected.
func TestOIDFClientInvalidIss(t *testing.T) {
	rp := relyingParty(t)
	rp.minted(append1("iss"))
	rp.rejects(flows.ReasonInvalidAnswer, "different provider", 0)
}

// TestOIDFClientMissingSub is oidcc-client-test-missing-sub: an ID token without sub
// must be rejected.
func TestOIDFClientMissingSub(t *testing.T) {
	rp := relyingParty(t)
	rp.minted(func(tok *oidctest.Token) { delete(tok.Claims, "sub") })
	rp.rejects(flows.ReasonInvalidAnswer, "sub is missing", 0)
}

// TestOIDFClientInvalidAud is oidcc-client-test-invalid-aud: the ID token's aud is
// not us; it must be rejected.
func TestOIDFClientInvalidAud(t *testing.T) {
	rp := relyingParty(t)
	rp.minted(append1("aud"))
	rp.rejects(flows.ReasonInvalidAnswer, "expected audience", 0)
}

// TestOIDFClientMissingIat is oidcc-client-test-missing-iat: an ID token without iat
// must be rejected.
func TestOIDFClientMissingIat(t *testing.T) {
	rp := relyingParty(t)
	rp.minted(func(tok *oidctest.Token) { delete(tok.Claims, "iat") })
	rp.rejects(flows.ReasonInvalidAnswer, "iat is missing", 0)
}

// TestOIDFClientKidAbsentSingleJwks is oidcc-client-test-kid-absent-single-jwks: no kid
// in token or keys, and one RSA key among those of other kinds: it is to be used.
func TestOIDFClientKidAbsentSingleJwks(t *testing.T) {
	rp := relyingPartyOf(t, suiteOP(t, bare("RS256"), bare("ES256"), bare("EdDSA")))
	rp.accepts()
	if h := headerOf(t, rp.op.Issued()[0].IDToken); h["kid"] != nil || h["alg"] != "RS256" {
		t.Errorf("the token's header was %v", h)
	}
	rp.minted(func(tok *oidctest.Token) { tok.Key = otherRSA(tok.Key) })
	rp.rejects(flows.ReasonInvalidAnswer, "verify signature", 0)
}

// TestOIDFClientKidAbsentMultipleJwks is oidcc-client-test-kid-absent-multiple-jwks: no
// kid in token or keys, and several RSA keys. The suite takes a rejection or a
// relying party that tries each; we try each.
func TestOIDFClientKidAbsentMultipleJwks(t *testing.T) {
	keys := []*oidctest.Key{bare("RS256"), bare("ES256"), bare("RS256"), bare("ES256"), bare("EdDSA")}
	rp := relyingPartyOf(t, suiteOP(t, keys...))
	rp.accepts() // by the first
	rp.minted(func(tok *oidctest.Token) { tok.Key = keys[2] })
	rp.accepts()
	rp.minted(func(tok *oidctest.Token) { tok.Key = otherRSA(keys[0], keys[2]) })
	rp.rejects(flows.ReasonInvalidAnswer, "verify signature", 0)
}

// TestOIDFClientIdtokenSigRs256 is oidcc-client-test-idtoken-sig-rs256: an ID token signed
// by RS256 with a published key must be accepted.
func TestOIDFClientIdtokenSigRs256(t *testing.T) {
	rp := relyingParty(t)
	rp.accepts()
	if h := headerOf(t, rp.op.Issued()[0].IDToken); h["alg"] != "RS256" || h["kid"] != rp.op.Keys()[0].ID || rp.op.Counts().Keys == 0 {
		t.Errorf("header %v, keys fetched %d times", h, rp.op.Counts().Keys)
	}
}

// TestOIDFClientIdtokenSigNone is oidcc-client-test-idtoken-sig-none: the provider
// announces alg none and sends an unsigned ID token. The suite takes either; we
// take none.
func TestOIDFClientIdtokenSigNone(t *testing.T) {
	op := suiteOP(t)
	op.SetBehaviour(oidctest.Mode{
		Discovery: func(_ *oidctest.OP, d map[string]any) {
			d["id_token_signing_alg_values_supported"] = []string{"none", "RS256", "ES256"}
		},
		Mint: func(_ *oidctest.OP, tok *oidctest.Token) { tok.Header = map[string]any{"alg": "none"} },
	})
	rp := relyingPartyOf(t, op)
	rp.rejects(flows.ReasonInvalidAnswer, "signature algorithm", 0)
}

// TestOIDFClientInvalidSigRs256 is oidcc-client-test-invalid-sig-rs256: the signature is
// broken; the ID token must be rejected (the suite would let it pass over TLS).
func TestOIDFClientInvalidSigRs256(t *testing.T) {
	rp := relyingParty(t)
	rp.op.SetMode("bad-signature")
	rp.rejects(flows.ReasonInvalidAnswer, "verify signature", 0)
}

// TestOIDFClientUserinfoInvalidSub is oidcc-client-test-userinfo-invalid-sub: UserInfo is
// asked and speaks of another sub; it must be rejected, and the login with it.
func TestOIDFClientUserinfoInvalidSub(t *testing.T) {
	rp := relyingParty(t)
	rp.op.SetBehaviour(oidctest.Mode{Info: func(_ *oidctest.OP, c map[string]any) { c["sub"] = c["sub"].(string) + "invalid" }})
	rp.rejects(flows.ReasonInvalidAnswer, "UserInfo speaks of somebody else", 1)
}

// TestOIDFClientNonceInvalid is oidcc-client-test-nonce-invalid: the ID token's nonce is
// not that of this login; it must be rejected.
func TestOIDFClientNonceInvalid(t *testing.T) {
	rp := relyingParty(t)
	rp.minted(append1("nonce"))
	rp.rejects(flows.ReasonInvalidAnswer, "nonce is missing or another login's", 0)
}

// TestOIDFClientScopeUserinfoClaims is oidcc-client-test-scope-userinfo-claims: claims are
// asked for by scope and come from UserInfo, not in the ID token.
func TestOIDFClientScopeUserinfoClaims(t *testing.T) {
	rp := relyingParty(t)
	rp.op.SetUser(map[string]any{"sub": "u-alice"})
	rp.op.SetUserInfo(map[string]any{"preferred_username": "alice", "email": "alice@example.com", "email_verified": true})
	b := rp.accepts()
	if got := header(rp.open(b, rp.url("/app")).Body, "X-Email"); !slices.Equal(got, []string{"alice@example.com"}) {
		t.Errorf("X-Email: %q", got)
	}
	for _, scope := range []string{"profile", "email"} {
		if !slices.Contains(strings.Fields(rp.op.Requests()[0].Get("scope")), scope) {
			t.Errorf("scope %s is not asked for", scope)
		}
	}
	if c := claimsOf(t, rp.op.Issued()[0].IDToken); c["email"] != nil || c["preferred_username"] != nil {
		t.Errorf("the ID token had %v", slices.Sorted(maps.Keys(c)))
	}
}

// TestOIDFClientClientSecretBasic is oidcc-client-test-client-secret-basic: of all ways the
// provider announces, HTTP Basic is used, id and secret form-encoded (RFC 6749 §2.3.1).
func TestOIDFClientClientSecretBasic(t *testing.T) {
	op := suiteOP(t)
	op.SetTokenAuth("client_secret_post", "client_secret_jwt", "private_key_jwt", "client_secret_basic")
	rp := relyingPartyOf(t, op)
	rp.accepts()
	c := rp.calls("/token")[0]
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(rp.op.ClientID)+":"+url.QueryEscape(oidctest.Secret)))
	if c.Authorization != want || len(c.Query) != 0 || c.Form.Has("client_secret") || c.Form.Has("client_assertion") {
		t.Errorf("client authentication as wanted: %v; query %q", c.Authorization == want, c.Query)
	}
}

func bare(alg string) *oidctest.Key {
	k := oidctest.NewKey(alg)
	k.Bare = true
	return k
}

// otherRSA is an RSA key that is none of these.
func otherRSA(keys ...*oidctest.Key) *oidctest.Key {
	for {
		k := oidctest.NewKey("RS256")
		if !slices.ContainsFunc(keys, func(o *oidctest.Key) bool { return k.Private == o.Private }) {
			return k
		}
	}
}

func headerOf(t *testing.T, token string) map[string]any {
	t.Helper()
	head, _, _ := strings.Cut(token, ".")
	b, err := base64.RawURLEncoding.DecodeString(head)
	var h map[string]any
	if err == nil {
		err = json.Unmarshal(b, &h)
	}
	if err != nil {
		t.Fatalf("header of %q: %v", token, err)
	}
	return h
}
