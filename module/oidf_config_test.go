package module_test

import (
	"crypto/rand"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
)

// moved makes the discovery document name other addresses, unlike those of any other run.
func moved(op *oidctest.OP, endpoints ...string) string {
	suffix := "/" + rand.Text()[:10]
	op.SetBehaviour(oidctest.Mode{Discovery: func(_ *oidctest.OP, d map[string]any) {
		for _, e := range endpoints {
			d[e] = d[e].(string) + suffix
		}
	}})
	return suffix
}

// awaitKeys waits until the gateway has fetched the keys for the first time.
func (rp *party) awaitKeys() {
	rp.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); rp.op.Counts().Keys == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			rp.t.Fatal("keys were never fetched")
		}
	}
}

// TestOIDFClientDiscoveryOpenidConfig is oidcc-client-test-discovery-openid-config: the
// provider's configuration is fetched and its addresses are used.
func TestOIDFClientDiscoveryOpenidConfig(t *testing.T) {
	op := suiteOP(t)
	suffix := moved(op, "authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri")
	rp := relyingPartyOf(t, op)
	rp.accepts()
	calls := rp.op.Calls()
	if calls[0].Path != "/.well-known/openid-configuration" {
		t.Errorf("the first request was for %s", calls[0].Path)
	}
	seen := map[string]bool{}
	for _, c := range calls {
		seen[c.Path] = true
	}
	for _, e := range []string{"/authorize", "/token", "/userinfo", "/keys"} {
		if !seen[e+suffix] || seen[e] {
			t.Errorf("%s: asked where discovery said %v, elsewhere %v", e, seen[e+suffix], seen[e])
		}
	}
}

// TestOIDFClientDiscoveryJwksUriKeys is oidcc-client-test-discovery-jwks-uri-keys: jwks_uri
// is new in every run; keys must come from there, and before UserInfo is asked.
func TestOIDFClientDiscoveryJwksUriKeys(t *testing.T) {
	op := suiteOP(t)
	suffix := moved(op, "jwks_uri")
	rp := relyingPartyOf(t, op)
	rp.accepts()
	var order []string
	for _, c := range rp.op.Calls() {
		order = append(order, c.Path)
	}
	discovery, keys, info := slices.Index(order, "/.well-known/openid-configuration"), slices.Index(order, "/keys"+suffix), slices.Index(order, "/userinfo")
	if discovery < 0 || keys < discovery || info < keys || slices.Contains(order, "/keys") {
		t.Errorf("asked in this order: %s", strings.Join(order, " "))
	}
}

// TestOIDFClientDiscoveryIssuerMismatch is oidcc-client-test-discovery-issuer-mismatch: the
// document names another issuer; the relying party must stop before the
// authorization request.
func TestOIDFClientDiscoveryIssuerMismatch(t *testing.T) {
	op := newOP(t)
	op.SetBehaviour(oidctest.Mode{Discovery: func(o *oidctest.OP, d map[string]any) { d["issuer"] = o.Issuer + "INVALID" }})
	g := start(t, asked(t, "op", op), whoSite)
	b := newBrowser(t)
	p := g.open(b, g.url("/app"))
	e := g.lastDenied("login_denied", 1)
	if p.Status != http.StatusServiceUnavailable || !p.Has(e["id"].(string)) || e["reason"] != "provider_unavailable" || !strings.Contains(e["detail"].(string), "did not match the issuer") {
		t.Errorf("answered %d, event %v\n%s", p.Status, e, p.Text())
	}
	if c := op.Counts(); c.Discovery == 0 || c.Authorize != 0 || c.Keys != 0 || c.Token != 0 || g.hasTicket(b) {
		t.Errorf("asked: %+v", c)
	}
}

// TestOIDFClientSigningKeyRotationJustBeforeSigning is oidcc-client-test-signing-key-rotation-just-before-signing:
// keys are replaced between the fetch and the signature; they must be fetched again.
func TestOIDFClientSigningKeyRotationJustBeforeSigning(t *testing.T) {
	rp := relyingParty(t)
	rp.op.SetBehaviour(oidctest.Mode{Mint: func(op *oidctest.OP, tok *oidctest.Token) {
		fetched := op.Counts().Keys
		op.SetKeys(oidctest.NewKey("RS256"), oidctest.NewKey("ES256"))
		tok.Key = op.Keys()[0]
		tok.Header["kid"] = tok.Key.ID
		if fetched != 1 {
			t.Errorf("keys were fetched %d times before, want 1", fetched)
		}
	}})
	rp.awaitKeys()
	rp.accepts()
	if n := rp.op.Counts().Keys; n != 2 {
		t.Errorf("keys were fetched %d times, want 2", n)
	}
}

// TestOIDFClientSigningKeyRotation is oidcc-client-test-signing-key-rotation: keys are
// replaced between two logins; the second must work by keys fetched anew.
func TestOIDFClientSigningKeyRotation(t *testing.T) {
	rp := relyingParty(t)
	rp.awaitKeys()
	rp.accepts()
	rp.op.SetKeys(oidctest.NewKey("RS256"), oidctest.NewKey("ES256"))
	rp.accepts()
	if n := rp.op.Counts().Keys; n != 2 {
		t.Errorf("keys were fetched %d times, want 2", n)
	}
	issued := rp.op.Issued()
	if a, b := headerOf(t, issued[0].IDToken), headerOf(t, issued[1].IDToken); a["kid"] == b["kid"] {
		t.Errorf("both tokens are signed by %v", a["kid"])
	}
}
