package oidc

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

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
			if !reflect.DeepEqual(lc, flows.LogoutClaim{}) {
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
