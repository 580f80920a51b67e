package module_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// expired is a relying party with a refresh token, and a browser that is signed in
// with an access token that has just run out.
func expired(t *testing.T) (*party, *browser.Browser) {
	t.Helper()
	clock := newClock(t)
	rp := relyingParty(t, "scopes openid profile email offline_access")
	b := rp.accepts()
	clock.Advance(301 * time.Second)
	return rp, b
}

// TestOIDFClientRefreshToken is oidcc-client-test-refresh-token: the refresh token is used, and
// UserInfo is asked with the new access token; the application sees what it says.
func TestOIDFClientRefreshToken(t *testing.T) {
	rp, b := expired(t)
	first := rp.op.Issued()[0]
	rp.op.SetUser(map[string]any{"sub": "u-alice", "preferred_username": "alice", "email": "new@example.com", "email_verified": true})
	p := rp.open(b, rp.url("/app"))
	landed(t, p, "/app", "op:u-alice")
	if got := header(p.Body, "X-Email"); !slices.Equal(got, []string{"new@example.com"}) {
		t.Errorf("X-Email: %q", got)
	}
	forms, info, issued := rp.calls("/token"), rp.calls("/userinfo"), rp.op.Issued()
	if len(forms) != 2 || forms[1].Form.Get("grant_type") != "refresh_token" || forms[1].Form.Get("refresh_token") != first.RefreshToken || first.RefreshToken == "" {
		t.Fatalf("%d token requests", len(forms))
	}
	if len(info) != 2 || len(issued) != 2 || info[1].Authorization != "Bearer "+issued[1].AccessToken {
		t.Errorf("UserInfo was asked %d times, for %d access tokens", len(info), len(issued))
	}
}

// refreshRejected plays a refresh whose new ID token is not the old login's: UserInfo
// is not asked any more, and the session is over: who it is is in doubt.
func refreshRejected(t *testing.T, claim string) {
	t.Helper()
	rp, b := expired(t)
	rp.minted(append1(claim))
	seen := len(rp.app.requests())
	p := rp.send(b, browser.Request{URL: rp.url("/app")})
	if p.Status != http.StatusSeeOther || len(rp.app.requests()) != seen {
		t.Errorf("answered %d, the application was asked %v", p.Status, len(rp.app.requests()) != seen)
	}
	if c := rp.op.Counts(); c.Refresh != 1 || c.UserInfo != 1 {
		t.Errorf("asked: %+v", c)
	}
	rp.op.SetBehaviour(oidctest.Mode{})
	landed(t, rp.open(b, rp.url("/app")), "/app", "op:u-alice")
}

// TestOIDFClientRefreshTokenInvalidIssuer is oidcc-client-test-refresh-token-invalid-issuer: the
// refreshed ID token's iss is another; it must be rejected.
func TestOIDFClientRefreshTokenInvalidIssuer(t *testing.T) { refreshRejected(t, "iss") }

// TestOIDFClientRefreshTokenInvalidSub is oidcc-client-test-refresh-token-invalid-sub: the
// refreshed ID token's sub is another; it must be rejected.
func TestOIDFClientRefreshTokenInvalidSub(t *testing.T) { refreshRejected(t, "sub") }
