package oidc

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
	"github.com/sallyport-gateway/sallyport/flows"
)

func offline(p *Provider) { p.Scopes = []string{"openid", "offline_access"} }

// TestO10Refresh: the same person, or nothing; invalid_grant ends, down means later.
func TestO10Refresh(t *testing.T) {
	t.Parallel()
	t.Run("good", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, offline)
		p := r.mustLogin()
		at := p.Evidence[0].At
		for i := range 3 { // refresh tokens rotate
			r.reg.Forward(time.Hour)
			r.op.SetUser(map[string]any{"sub": "u-alice", "preferred_username": "alice", "groups": []string{"g", string(rune('a' + i))}})
			next, err := r.p.Refresh(t.Context(), p.Tokens)
			if err != nil {
				t.Fatal(err)
			}
			if next.User.Subject != "u-alice" || next.User.Groups[1] != string(rune('a'+i)) || next.SID != p.SID || next.Issuer != p.Issuer {
				t.Errorf("renewed: %+v", next.User)
			}
			if !next.Evidence[0].At.Equal(at) || len(next.Once) != 0 {
				t.Errorf("a refresh proved something: %+v %v", next.Evidence, next.Once)
			}
			p = next
		}
	})
	without := oidctest.Mode{Tokens: func(_ *oidctest.OP, a map[string]any) { delete(a, "id_token") }}
	t.Run("no-id-token", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, offline)
		p := r.mustLogin()
		r.op.SetBehaviour(without)
		next, err := r.p.Refresh(t.Context(), p.Tokens)
		if err != nil || next.User.Name != "alice" || next.SID != p.SID {
			t.Errorf("%+v, %v", next.User, err)
		}
	})
	for _, tc := range []struct {
		name   string
		mode   oidctest.Mode
		reason flows.Reason
	}{
		{"invalid-sub", oidctest.Mode{Mint: func(_ *oidctest.OP, tok *oidctest.Token) { tok.Claims["sub"] = "u-admin" }}, flows.ReasonUserMismatch},
		{"invalid-issuer", oidctest.Modes["wrong-iss"], flows.ReasonInvalidAnswer},
		{"invalid-aud", oidctest.Modes["wrong-aud"], flows.ReasonInvalidAnswer},
		{"invalid-nonce", oidctest.Modes["bad-nonce"], flows.ReasonInvalidAnswer},
		{"alg-none", oidctest.Modes["alg-none"], flows.ReasonInvalidAnswer},
		{"azp-wrong", oidctest.Modes["azp-wrong"], flows.ReasonInvalidAnswer},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, offline)
			p := r.mustLogin()
			r.op.SetBehaviour(tc.mode)
			_, err := r.p.Refresh(t.Context(), p.Tokens)
			wantRefusal(t, err, tc.reason)
			if isInvalidGrant(err) {
				t.Error("ends the session as if the provider had said so")
			}
		})
	}
	t.Run("invalid-grant", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, offline)
		p := r.mustLogin()
		if _, err := r.p.Refresh(t.Context(), p.Tokens); err != nil {
			t.Fatal(err)
		}
		if _, err := r.p.Refresh(t.Context(), p.Tokens); !isInvalidGrant(err) { // used up
			t.Errorf("%v, want ErrInvalidGrant", err)
		}
	})
	t.Run("provider-down", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, offline)
		p := r.mustLogin()
		for _, mode := range []string{"token-500", "token-redirect"} {
			r.op.SetMode(mode)
			_, err := r.p.Refresh(t.Context(), p.Tokens)
			wantRefusal(t, err, flows.ReasonProviderDown)
			if isInvalidGrant(err) {
				t.Errorf("%s ends the session", mode)
			}
		}
	})
	t.Run("half-an-answer", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, func(p *Provider) { offline(p); p.UserInfo = &yes })
		p := r.mustLogin()
		r.op.SetBehaviour(oidctest.Mode{Serve: func(_ *oidctest.OP, endpoint string, w http.ResponseWriter, _ *http.Request) bool {
			if endpoint == "userinfo" {
				http.Error(w, "not now", http.StatusServiceUnavailable)
			}
			return endpoint == "userinfo"
		}})
		half, err := r.p.Refresh(t.Context(), p.Tokens)
		wantRefusal(t, err, flows.ReasonProviderDown)
		r.op.SetMode("")
		// The old refresh token is used up; the new one came beside the error.
		next, err := r.p.Refresh(t.Context(), half.Tokens)
		if err != nil || next.User.Name != "alice" {
			t.Errorf("%+v, %v", next.User, err)
		}
		if _, err := r.p.Refresh(t.Context(), p.Tokens); !isInvalidGrant(err) {
			t.Errorf("%v, want ErrInvalidGrant", err)
		}
		if _, err := r.p.Refresh(t.Context(), next.Tokens); !isInvalidGrant(err) {
			t.Errorf("a stolen token was noticed, and its family is good still: %v", err)
		}
	})
	t.Run("not-rotated", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, offline)
		r.op.SetRotating(false)
		p := r.mustLogin()
		for range 3 {
			next, err := r.p.Refresh(t.Context(), p.Tokens)
			if err != nil || next.Stale.IsZero() {
				t.Fatalf("%v, %v", next.Stale, err)
			}
			p = next
		}
	})
	for name, tc := range map[string]struct {
		says any
		life time.Duration
	}{"300": {300, 5 * time.Minute}, "unsaid": {nil, time.Hour}, "negative": {-5, time.Hour}, "a million years": {int64(31557600000000), 365 * 24 * time.Hour}} {
		t.Run("life-"+name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, offline)
			r.op.SetBehaviour(oidctest.Mode{Tokens: func(_ *oidctest.OP, a map[string]any) {
				if a["expires_in"] = tc.says; tc.says == nil {
					delete(a, "expires_in")
				}
			}})
			p := r.mustLogin()
			if got := p.Stale.Sub(r.reg.Now()); got != tc.life {
				t.Errorf("the login is renewed after %s, want %s", got, tc.life)
			}
		})
	}
	off := false
	t.Run("off", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, func(p *Provider) { offline(p); p.RefreshTokens = &off })
		p := r.mustLogin()
		if strings.Contains(string(p.Tokens), "refresh_token") {
			t.Error("the refresh token is kept")
		}
		if !p.Stale.IsZero() || r.p.Refreshes() {
			t.Error("it would be renewed")
		}
		if _, err := r.p.Refresh(t.Context(), p.Tokens); err == nil || isInvalidGrant(err) {
			t.Errorf("%v", err)
		}
	})
	t.Run("tokens-malformed", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, offline)
		for _, b := range []string{"", "{}", "x", `{"subject":"a","refresh_token":"r"}`} {
			if _, err := r.p.Refresh(t.Context(), []byte(b)); err == nil {
				t.Errorf("%q was accepted", b)
			}
		}
	})
}
