package oidc

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

// TestO6BackchannelLogout: only a good logout token ends anything (Back-Channel Logout 1.0 §2.6).
func TestO6BackchannelLogout(t *testing.T) {
	t.Parallel()
	for variant := range oidctest.LogoutVariants {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			lc, err := r.p.VerifyLogout(t.Context(), r.op.Logout("u-alice", "s1", variant))
			wantRefusal(t, err, flows.ReasonInvalidAnswer)
			if lc != (flows.LogoutClaim{}) {
				t.Errorf("claim = %+v", lc)
			}
		})
	}
	for _, tc := range []struct{ name, sub, sid string }{{"good", "u-alice", "s1"}, {"good-sub-only", "u-alice", ""}, {"good-sid-only", "", "s1"}} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			token := r.op.Logout(tc.sub, tc.sid, "")
			lc, err := r.p.VerifyLogout(t.Context(), token)
			if err != nil {
				t.Fatal(err)
			}
			if lc.Subject != tc.sub || lc.SID != tc.sid || !lc.IssuedAt.Equal(r.reg.Now()) {
				t.Errorf("claim = %+v", lc)
			}
			again, err := r.p.VerifyLogout(t.Context(), token)
			if err != nil || again.Once != lc.Once || lc.Once.ID == "" {
				t.Errorf("the same token makes marks %v and %v, %v", lc.Once, again.Once, err)
			}
			r.reg.Forward(lc.Once.Until.Sub(r.reg.Now())) // the mark outlives the token
			_, err = r.p.VerifyLogout(t.Context(), token)
			wantRefusal(t, err, flows.ReasonInvalidAnswer)
		})
	}
	t.Run("id-token-as-logout-token", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, nil)
		var k kept
		if err := json.Unmarshal(r.mustLogin().Tokens, &k); err != nil {
			t.Fatal(err)
		}
		_, err := r.p.VerifyLogout(t.Context(), k.IDToken)
		wantRefusal(t, err, flows.ReasonInvalidAnswer)
	})
	t.Run("provider-down", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, nil)
		token := r.op.Logout("u-alice", "", "")
		r.op.SetDown(true)
		_, err := r.p.VerifyLogout(t.Context(), token)
		wantRefusal(t, err, flows.ReasonProviderDown)
	})
	if n := len(oidctest.LogoutVariants); n < 14 {
		t.Errorf("%d variants, want 14 or more", n)
	}
}

// TestB14LogoutRequest: end_session with hint, return address and state.
func TestB14LogoutRequest(t *testing.T) {
	t.Parallel()
	const back = "https://app.example/.identity/logout"
	grant := func(r *rig) flows.Grant { return flows.Grant{Provider: "corp", Tokens: r.mustLogin().Tokens} }
	t.Run("redirect", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, nil)
		out, err := r.p.LogoutRequest(t.Context(), grant(r), back, "st")
		if err != nil {
			t.Fatal(err)
		}
		s := flowstest.Look(out)
		q := query(t, s.URL)
		if !strings.HasPrefix(s.URL, r.op.Issuer+"/end?") || q.Get("post_logout_redirect_uri") != back || q.Get("state") != "st" ||
			q.Get("client_id") != "gateway" || strings.Count(q.Get("id_token_hint"), ".") != 2 {
			t.Errorf("sent to %s with %d values", r.op.Issuer, len(q))
		}
		cb := r.visit(s.URL)
		if cb.URL != back || cb.Values["state"][0] != "st" || len(r.op.Ended()) != 1 {
			t.Errorf("came back to %q with %v", cb.URL, cb.Values)
		}
	})
	t.Run("post-when-long", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, nil)
		r.op.SetUser(map[string]any{"sub": "u1", "preferred_username": "al", "groups": strings.Split(strings.Repeat("group,", 600), ",")})
		out, err := r.p.LogoutRequest(t.Context(), grant(r), back, "st")
		if err != nil {
			t.Fatal(err)
		}
		s := flowstest.Look(out)
		if s.URL != r.op.Issuer+"/end" || len(s.Fields) != 4 {
			t.Errorf("posted %d fields to %q", len(s.Fields), s.URL)
		}
	})
	off := false
	for _, tc := range []struct {
		name string
		edit func(*Provider)
		mode oidctest.Mode
	}{
		{"single-logout-off", func(p *Provider) { p.SingleLogout = &off }, oidctest.Mode{}},
		{"no-end-session-endpoint", nil, oidctest.Mode{Discovery: func(_ *oidctest.OP, d map[string]any) { delete(d, "end_session_endpoint") }}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, tc.edit)
			r.op.SetBehaviour(tc.mode)
			if out, err := r.p.LogoutRequest(t.Context(), grant(r), back, "st"); out != nil || err != nil {
				t.Errorf("%v, %v; want nothing", out, err)
			}
		})
	}
	t.Run("never-reached", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, nil)
		if out, err := r.p.LogoutRequest(t.Context(), flows.Grant{}, back, "st"); out != nil || err != nil {
			t.Errorf("%v, %v; want nothing", out, err)
		}
	})
}

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
		name string
		mode oidctest.Mode
	}{
		{"invalid-sub", oidctest.Mode{Mint: func(_ *oidctest.OP, tok *oidctest.Token) { tok.Claims["sub"] = "u-admin" }}},
		{"invalid-issuer", oidctest.Modes["wrong-iss"]},
		{"invalid-aud", oidctest.Modes["wrong-aud"]},
		{"invalid-nonce", oidctest.Modes["bad-nonce"]},
		{"alg-none", oidctest.Modes["alg-none"]},
		{"azp-wrong", oidctest.Modes["azp-wrong"]},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, offline)
			p := r.mustLogin()
			r.op.SetBehaviour(tc.mode)
			_, err := r.p.Refresh(t.Context(), p.Tokens)
			wantRefusal(t, err, flows.ReasonInvalidAnswer)
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
	off := false
	t.Run("off", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, func(p *Provider) { offline(p); p.RefreshTokens = &off })
		p := r.mustLogin()
		if strings.Contains(string(p.Tokens), "refresh_token") {
			t.Error("the refresh token is kept")
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
