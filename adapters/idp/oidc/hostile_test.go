package oidc

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
	"github.com/sallyport-gateway/sallyport/flows"
)

// refusedModes plays each mode against a fresh guest and wants a refusal.
func refusedModes(t *testing.T, want flows.Reason, edit func(*Provider), modes ...string) {
	t.Helper()
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, edit)
			r.op.SetMode(mode)
			proof, err := r.login(start())
			wantRefusal(t, err, want)
			if proof.User.Subject != "" {
				t.Errorf("a proof for %q came with the refusal", proof.User.Subject)
			}
			r.op.SetMode("") // and it was the mode that was refused
			r.reg.Forward(2 * time.Minute)
			if _, err := r.login(start()); err != nil {
				t.Errorf("well-behaved again: %v", err)
			}
		})
	}
}

func acceptedModes(t *testing.T, modes ...string) {
	t.Helper()
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			r.op.SetMode(mode)
			if r.mustLogin().User.Subject != "u-alice" {
				t.Error("somebody else")
			}
		})
	}
}

func TestO1StateNonceAndPKCE(t *testing.T) {
	t.Parallel()
	refusedModes(t, flows.ReasonInvalidAnswer, nil, "bad-nonce", "missing-nonce", "empty-nonce", "nonce-list", "made-up-code")
	t.Run("auth-request-shape", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, nil)
		seenBefore := map[string]bool{}
		for range 50 {
			to, _ := r.begin(start())
			q := query(t, to)
			for name, want := range map[string]string{
				"response_type": "code", "client_id": "gateway", "redirect_uri": callback, "state": "sealed-state",
				"code_challenge_method": "S256", "scope": "openid profile email",
			} {
				if got := q[name]; len(got) != 1 || got[0] != want {
					t.Fatalf("%s = %q, want %q", name, got, want)
				}
			}
			for _, name := range []string{"nonce", "code_challenge"} {
				v := q.Get(name)
				if len(v) < 26 || seenBefore[v] { // 26 letters of base32 are 130 bits
					t.Fatalf("%s = %q is short or was there before", name, v)
				}
				seenBefore[v] = true
			}
			for _, name := range []string{"response_mode", "prompt", "max_age", "acr_values", "login_hint", "client_secret", "code_verifier"} {
				if q.Has(name) {
					t.Errorf("%s is sent", name)
				}
			}
		}
	})
	t.Run("code-injection", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, nil)
		toVictim, _ := r.begin(start())
		stolen := r.visit(toVictim)
		_, private := r.begin(start()) // the attacker's own login, with another verifier
		_, err := r.p.Finish(t.Context(), stolen, private)
		wantRefusal(t, err, flows.ReasonInvalidAnswer)
	})
	t.Run("callback-replayed-code", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, nil)
		to, private := r.begin(start())
		back := r.visit(to)
		first, err := r.p.Finish(t.Context(), back, private)
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.p.Finish(t.Context(), back, private)
		wantRefusal(t, err, flows.ReasonInvalidAnswer)
		if len(first.Once) != 1 || first.Once[0].ID == "" || !first.Once[0].Until.After(r.reg.Now()) {
			t.Errorf("marks = %+v", first.Once)
		}
	})
	t.Run("state-replayed-fresh-code", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, nil)
		to, private := r.begin(start())
		one, err := r.p.Finish(t.Context(), r.visit(to), private)
		if err != nil {
			t.Fatal(err)
		}
		two, err := r.p.Finish(t.Context(), r.visit(to), private) // the OP signs in again for the same request
		if err != nil {
			t.Fatal(err)
		}
		if one.Once[0] != two.Once[0] { // so the engine's atomic create refuses the second
			t.Errorf("two marks for one pending login: %v and %v", one.Once[0].ID, two.Once[0].ID)
		}
	})
	t.Run("callback-other-redirect-uri", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, nil)
		for _, other := range []string{callback + "2", callback + "/", strings.ToUpper(callback), "https://evil.example/", ""} {
			to, private := r.begin(start())
			back := r.visit(to)
			back.URL = other
			_, err := r.p.Finish(t.Context(), back, private)
			wantRefusal(t, err, flows.ReasonInvalidAnswer)
		}
		if n := r.op.Counts().Token; n != 0 {
			t.Errorf("%d codes were sent", n)
		}
	})
	for name, d := range map[string]time.Duration{"old": 61 * time.Minute, "future": -2 * time.Minute} {
		t.Run("callback-"+name+"-pending-login", func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			to, private := r.begin(start())
			back := r.visit(to)
			r.reg.Forward(d)
			_, err := r.p.Finish(t.Context(), back, private)
			wantRefusal(t, err, flows.ReasonInvalidAnswer)
			if n := r.op.Counts().Token; n != 0 {
				t.Errorf("%d codes were sent", n)
			}
		})
	}
	for _, tc := range []struct {
		name   string
		values map[string][]string
	}{
		{"callback-no-state", map[string][]string{"code": {"c"}}},
		{"callback-empty-state", map[string][]string{"code": {"c"}, "state": {""}}},
		{"callback-empty", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := new(Provider).Handle(flows.Callback{Values: tc.values})
			wantRefusal(t, err, flows.ReasonInvalidAnswer)
		})
	}
	for name, private := range map[string]string{"empty": "", "object": "{}", "no-nonce": `{"verifier":"v","callback":"` + callback + `"}`, "no-verifier": `{"nonce":"n","callback":"` + callback + `"}`} {
		t.Run("pending-"+name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			private = strings.Replace(private, "{\"", fmt.Sprintf(`{"begun":%d,"`, r.reg.Now().Unix()), 1)
			_, err := r.p.Finish(t.Context(), flows.Callback{URL: callback, Values: map[string][]string{"code": {"c"}, "state": {"s"}, "iss": {r.op.Issuer}}}, []byte(private))
			wantRefusal(t, err, flows.ReasonInvalidAnswer)
			if n := r.op.Counts().Token; n != 0 {
				t.Errorf("%d codes were sent", n)
			}
		})
	}
}

func TestO2Signatures(t *testing.T) {
	t.Parallel()
	refusedModes(t, flows.ReasonInvalidAnswer, nil,
		"alg-none", "alg-None", "alg-nOnE", "alg-empty", "alg-missing", "alg-unknown", "alg-es256-rsa-key", "alg-rs1",
		"stripped-signature", "bad-signature", "wrong-key", "unknown-kid", "hs256-pem", "hs256-jwk-n", "hs256-client-secret",
		"kid-path", "kid-sql", "kid-url", "jwk-header", "jku-header", "x5u-header", "x5c-header", "crit-unknown", "jwe", "jws-json")
	refusedModes(t, flows.ReasonProviderDown, nil, "jwks-empty", "jwks-oct", "jwks-weak-rsa", "jwks-html", "jwks-many-keys")
	for _, alg := range []string{"RS256", "PS256", "ES256", "EdDSA"} {
		t.Run("good-"+alg, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			r.op.SetKeys(newOPKey(alg, false))
			r.mustLogin()
		})
	}
	t.Run("alg-of-another-key", func(t *testing.T) { // a key that says alg is good for that one (RFC 7517 §4.4)
		t.Parallel()
		r := newRig(t, nil)
		k := newOPKey("PS256", false)
		r.op.SetKeys(k)
		r.mustLogin()
		r.op.SetBehaviour(oidctest.Mode{Mint: func(_ *oidctest.OP, tok *oidctest.Token) {
			tok.Key = &oidctest.Key{ID: k.ID, Alg: "RS256", Private: k.Private}
			tok.Header["alg"] = "RS256"
		}})
		_, err := r.login(start())
		wantRefusal(t, err, flows.ReasonInvalidAnswer)
	})
	for _, tc := range []struct {
		name, registered string
		announced        []string
	}{
		{"alg-not-announced", "", []string{"ES256", "HS256", "none"}},
		{"alg-not-registered", "ES256", []string{"RS256", "ES256"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(p *Provider) {
				if tc.registered != "" {
					p.IDTokenAlgs = []string{tc.registered}
				}
			})
			rs, es := newOPKey("RS256", false), newOPKey("ES256", false)
			r.op.SetBehaviour(oidctest.Mode{Discovery: func(_ *oidctest.OP, d map[string]any) { d["id_token_signing_alg_values_supported"] = tc.announced }})
			r.op.SetKeys(rs, es)
			_, err := r.login(start())
			wantRefusal(t, err, flows.ReasonInvalidAnswer)
			r.op.SetKeys(es, rs)
			r.mustLogin()
		})
	}
}

func TestO3MixUp(t *testing.T) {
	t.Parallel()
	refusedModes(t, flows.ReasonInvalidAnswer, nil, "mixup-iss-param", "iss-param-missing", "iss-param-empty", "iss-param-trailing-slash")
	acceptedModes(t, "iss-param-not-promised")
	t.Run("mixup-iss-param-with-error", func(t *testing.T) { // the error of another provider is not believed either
		t.Parallel()
		r := newRig(t, nil)
		to, private := r.begin(start())
		back := r.visit(to)
		back.Values = map[string][]string{"state": {"s"}, "error": {"access_denied"}, "iss": {"https://other.example"}}
		_, err := r.p.Finish(t.Context(), back, private)
		wantRefusal(t, err, flows.ReasonInvalidAnswer)
	})
	for _, mode := range []string{
		"discovery-issuer-mismatch", "discovery-issuer-slash", "discovery-html", "discovery-token-http", "discovery-keys-file",
		"discovery-no-token", "discovery-hs256-only", "discovery-plain-pkce-only", "discovery-redirect-loop",
	} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			r.op.SetMode(mode)
			_, _, err := r.p.Begin(t.Context(), start())
			wantRefusal(t, err, flows.ReasonProviderDown)
			if r.p.Health() == nil {
				t.Error("healthy")
			}
		})
	}
	t.Run("discovery-ssrf", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, nil)
		r.op.SetMode("discovery-ssrf")
		_, err := r.login(start())
		wantRefusal(t, err, flows.ReasonProviderDown)
		if !strings.Contains(err.Error(), "not public") {
			t.Errorf("%v", err)
		}
	})
}

func TestO4TokenSubstitution(t *testing.T) {
	t.Parallel()
	refusedModes(t, flows.ReasonInvalidAnswer, nil,
		"wrong-iss", "iss-trailing-slash", "wrong-aud", "missing-aud", "empty-aud", "multi-aud-no-azp", "multi-aud-azp-other", "azp-wrong", "azp-number",
		"expired", "no-exp", "exp-text", "nbf-future", "no-iat", "iat-future", "iat-ancient", "auth-time-future",
		"no-sub", "empty-sub", "null-sub", "sub-number", "sub-too-long", "sub-unreadable", "wrong-at-hash",
		"typ-number", "access-token-as-id-token", "logout-token-as-id-token", "event-as-id-token", "opaque-id-token",
		"no-id-token", "id-token-number", "no-access-token", "id-token-300k", "id-token-100k-dots",
		"dup-json-keys", "case-json-keys", "dup-header-keys", "implicit-tokens")
	acceptedModes(t, "multi-aud-azp-ours", "no-at-hash")
	withInfo := func(p *Provider) { p.UserInfo = &yes }
	refusedModes(t, flows.ReasonInvalidAnswer, withInfo, "userinfo-sub-mismatch", "userinfo-no-sub", "userinfo-sub-number", "userinfo-dup-keys", "userinfo-jwt", "userinfo-text", "token-type-dpop")
	refusedModes(t, flows.ReasonProviderError, withInfo, "userinfo-401")
	refusedModes(t, flows.ReasonProviderDown, withInfo, "userinfo-500")
}

func TestO8DuplicatedParameters(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"code", "state", "iss", "error", "error_description", "session_state", "id_token"} {
		t.Run("callback-duplicate-"+name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			to, private := r.begin(start())
			back := r.visit(to)
			v := back.Values[name]
			if len(v) == 0 {
				v = []string{"x"}
			}
			back.Values[name] = []string{v[0], v[0]} // also when both say the same
			_, err := r.p.Handle(back)
			wantRefusal(t, err, flows.ReasonInvalidAnswer)
			_, err = r.p.Finish(t.Context(), back, private)
			wantRefusal(t, err, flows.ReasonInvalidAnswer)
			if n := r.op.Counts().Token; n != 0 {
				t.Errorf("%d codes were sent", n)
			}
		})
	}
	refusedModes(t, flows.ReasonInvalidAnswer, nil, "error-and-code", "empty-error-and-code", "no-code", "empty-code", "long-code")
	t.Run("long-code-is-not-sent", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, nil)
		r.op.SetMode("long-code")
		_, err := r.login(start())
		wantRefusal(t, err, flows.ReasonInvalidAnswer)
		if n := r.op.Counts().Token; n != 0 {
			t.Errorf("%d codes were sent", n)
		}
	})
	refusedModes(t, flows.ReasonProviderRefused, nil, "access-denied", "login-required")
	refusedModes(t, flows.ReasonProviderDown, nil, "temporarily-unavailable")
	refusedModes(t, flows.ReasonAssuranceNotMet, nil, "unmet-authentication")
	t.Run("error-xss", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, nil)
		r.op.SetMode("error-xss")
		_, err := r.login(start())
		wantRefusal(t, err, flows.ReasonProviderRefused)
		if strings.ContainsAny(err.Error(), "\r\n") {
			t.Errorf("the error holds a line break: %q", err)
		}
	})
}

func TestO9WhoSomebodyIs(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		claims map[string]any
		trust  bool
		path   string
		want   string
	}{
		{name: "email-verified", claims: map[string]any{"email": "a@example.com", "email_verified": true}, want: "a@example.com"},
		{name: "email-verified-text", claims: map[string]any{"email": "a@example.com", "email_verified": "true"}, want: "a@example.com"},
		{name: "email-unverified", claims: map[string]any{"email": "admin@example.com", "email_verified": false}},
		{name: "email-unverified-text", claims: map[string]any{"email": "admin@example.com", "email_verified": "false"}},
		{name: "email-verified-missing", claims: map[string]any{"email": "admin@example.com"}},
		{name: "email-verified-number", claims: map[string]any{"email": "admin@example.com", "email_verified": 1}},
		{name: "email-trusted", claims: map[string]any{"email": "a@example.com"}, trust: true, want: "a@example.com"},
		{name: "email-other-claim", claims: map[string]any{"email": "a@example.com", "email_verified": true, "upn": "admin@example.com"}, path: "upn"},
		{name: "email-other-claim-trusted", claims: map[string]any{"upn": "a@example.com"}, path: "upn", trust: true, want: "a@example.com"},
		{name: "email-multi-at", claims: map[string]any{"email": "admin@example.com@evil.example", "email_verified": true}},
		{name: "email-no-at", claims: map[string]any{"email": "admin", "email_verified": true}},
		{name: "email-crlf", claims: map[string]any{"email": "a@example.com\r\nX: y", "email_verified": true}},
		{name: "email-list", claims: map[string]any{"email": []string{"a@example.com"}, "email_verified": true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(p *Provider) {
				if tc.trust {
					p.Trust = []string{"email"}
				}
				if tc.path != "" {
					p.Claims = map[string]Claim{"email": {Path: tc.path}}
				}
			})
			tc.claims["sub"], tc.claims["preferred_username"] = "u-mallory", "mallory"
			r.op.SetUser(tc.claims)
			u := r.mustLogin().User
			if u.Email != tc.want {
				t.Errorf("email = %q, want %q", u.Email, tc.want)
			}
			if u.Subject != "u-mallory" || u.Name != "mallory" {
				t.Errorf("the mail changed who it is: %q %q", u.Subject, u.Name)
			}
			if v, ok := u.Attribute("email"); ok && v != tc.want {
				t.Errorf("attribute email = %v", v)
			}
		})
	}
	t.Run("email-verified-of-another-source", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, func(p *Provider) { p.UserInfo = &yes })
		r.op.SetUserInfo(map[string]any{"email": "admin@example.com"}) // unverified there; alice's own was verified
		if got := r.mustLogin().User.Email; got != "" {
			t.Errorf("email = %q", got)
		}
	})
	t.Run("email-verified-without-an-email", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, func(p *Provider) { p.UserInfo = &yes })
		r.op.SetUser(map[string]any{"sub": "u-mallory", "preferred_username": "mallory", "email": "admin@example.com", "email_verified": false})
		r.op.SetUserInfo(map[string]any{"email_verified": true}) // of which address?
		if got := r.mustLogin().User.Email; got != "" {
			t.Errorf("email = %q", got)
		}
	})
	t.Run("userinfo-says-nothing-of-the-token", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, func(p *Provider) { p.UserInfo = &yes })
		r.op.SetUserInfo(map[string]any{"department": "sales", "acr": "gold", "amr": []string{"mfa"}, "sid": "another", "iss": "https://other.example", "auth_time": 1})
		p := r.mustLogin()
		if e := p.Evidence[0]; e.ACR != "" || len(e.AMR) != 0 || !e.At.Equal(r.reg.Now()) || p.SID != "sid-u-alice" || p.Issuer != r.op.Issuer {
			t.Errorf("evidence %+v, sid %q, issuer %q", e, p.SID, p.Issuer)
		}
		if c := p.User.Claims; c["department"] != "sales" || c["acr"] != nil || c["amr"] != nil || c["iss"] != r.op.Issuer || c["sid"] != "sid-u-alice" {
			t.Errorf("claims %v", c)
		}
	})
	t.Run("name-missing", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, nil)
		r.op.SetUser(map[string]any{"sub": "u1", "name": "Alice", "email": "a@example.com", "email_verified": true, "nickname": "al"})
		if got := r.mustLogin().User.Name; got != "" {
			t.Errorf("name = %q, want none", got)
		}
	})
	t.Run("reserved-claims", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, nil)
		r.op.SetUser(map[string]any{"sub": "u1", "preferred_username": "al", "key": "corp:admin", "realm": "x", "provider": "y", "subject": "admin", "groups": "one"})
		u := r.mustLogin().User
		for _, name := range flows.ReservedAttributes {
			if v, ok := u.Attributes[name]; ok {
				t.Errorf("attribute %s = %v", name, v)
			}
		}
		if u.Key != "" || u.Realm != "" || u.Provider != "" || u.Subject != "u1" {
			t.Errorf("user = %+v", u)
		}
	})
}

// TestClaims: mapping, lists, raw claims, 300 groups and a token of 12 KB.
func TestClaims(t *testing.T) {
	t.Parallel()
	groups := make([]string, 300)
	for i := range groups {
		groups[i] = "cn=group-" + strings.Repeat("x", 24) + "-" + string(rune('a'+i%26))
	}
	r := newRig(t, func(p *Provider) {
		p.Claims = map[string]Claim{
			"name": {Path: "login.short"}, "department": {Path: "org.unit"}, "roles": {Path: "role", List: true},
			"site": {Path: "https://example.com/site"}, "missing": {Path: "no.such"}, "preferred_username": {Path: "nothing"},
		}
		p.AMRMap = map[string][]string{"phr": {"hwk", "mfa"}}
	})
	r.op.SetUser(map[string]any{
		"sub": "u1", "preferred_username": "not-this", "name": "Al Ice", "login": map[string]any{"short": "al"}, "org": map[string]any{"unit": "R&D"}, "role": "one",
		"https://example.com/site": "HQ", "groups": groups, "number": 7, "yes": true, "acr": "gold", "amr": []string{"pwd", "phr"}, "list": []string{"a", "b"},
	})
	p := r.mustLogin()
	u := p.User
	var k kept
	if err := json.Unmarshal(p.Tokens, &k); err != nil || len(k.IDToken) < 12<<10 {
		t.Errorf("the kept ID token has %d bytes, %v", len(k.IDToken), err)
	}
	if u.Name != "al" || u.DisplayName != "Al Ice" || len(u.Groups) != 300 {
		t.Errorf("name %q, display name %q, %d groups", u.Name, u.DisplayName, len(u.Groups))
	}
	for name, want := range map[string]any{"department": "R&D", "site": "HQ", "number": 7.0, "yes": true} {
		if got := u.Attributes[name]; got != want {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
	if got, ok := u.Attributes["roles"].([]any); !ok || len(got) != 1 || got[0] != "one" {
		t.Errorf("roles = %v", u.Attributes["roles"])
	}
	for _, name := range []string{"missing", "preferred_username", "iss", "nonce", "sid", "at_hash"} {
		if v, ok := u.Attributes[name]; ok {
			t.Errorf("%s = %v", name, v)
		}
	}
	if u.Claims["iss"] != r.op.Issuer || p.Issuer != r.op.Issuer || p.SID != "sid-u1" || !p.NotAfter.IsZero() {
		t.Errorf("issuer %q, sid %q, not after %v", p.Issuer, p.SID, p.NotAfter)
	}
	e := p.Evidence[0]
	if e.Method != "oidc" || e.ACR != "gold" || strings.Join(e.AMR, " ") != "pwd hwk mfa" || !e.At.Equal(r.reg.Now()) {
		t.Errorf("evidence = %+v", e)
	}
}

// TestB24GroupOverage: a list the provider cut is refused, never taken for whole.
func TestB24GroupOverage(t *testing.T) {
	t.Parallel()
	names := map[string]any{"_claim_names": map[string]any{"groups": "src1"}, "_claim_sources": map[string]any{"src1": map[string]any{"endpoint": "https://graph.example/"}}}
	for _, tc := range []struct {
		name   string
		claims map[string]any
		mapped string
		want   flows.Reason
	}{
		{"claim-names", names, "", flows.ReasonGroupsOverage},
		{"hasgroups", map[string]any{"hasgroups": true}, "", flows.ReasonGroupsOverage},
		{"hasgroups-text", map[string]any{"hasgroups": "true"}, "", flows.ReasonGroupsOverage},
		{"hasgroups-false", map[string]any{"hasgroups": false}, "", ""},
		{"groups-from-roles", names, "roles", ""},
		{"groups-of-numbers", map[string]any{"groups": []any{"a", 1}}, "", flows.ReasonInvalidAnswer},
		{"groups-object", map[string]any{"groups": map[string]any{"a": 1}}, "", flows.ReasonInvalidAnswer},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(p *Provider) {
				if tc.mapped != "" {
					p.Claims = map[string]Claim{"groups": {Path: tc.mapped, List: true}}
				}
			})
			user := map[string]any{"sub": "u1", "preferred_username": "al", "roles": []string{"admin"}}
			for k, v := range tc.claims {
				user[k] = v
			}
			r.op.SetUser(user)
			_, err := r.login(start())
			if tc.want != "" {
				wantRefusal(t, err, tc.want)
			} else if err != nil {
				t.Fatalf("login: %v", err)
			}
		})
	}
}

// TestB25Assurance: what counts is what the provider returned, not what was asked.
func TestB25Assurance(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		start  func(*flows.Start)
		edit   func(*Provider)
		claims map[string]any
		asks   map[string]string
		want   flows.Reason
	}{
		{name: "acr-met", start: func(s *flows.Start) { s.ACR = []string{"gold", "silver"} }, claims: map[string]any{"acr": "silver"}, asks: map[string]string{"acr_values": "gold silver"}},
		{name: "acr-lower", start: func(s *flows.Start) { s.ACR = []string{"gold"} }, claims: map[string]any{"acr": "silver"}, want: flows.ReasonAssuranceNotMet},
		{name: "acr-missing", start: func(s *flows.Start) { s.ACR = []string{"gold"} }, want: flows.ReasonAssuranceNotMet},
		{name: "acr-configured-only", edit: func(p *Provider) { p.ACRValues = []string{"gold"} }, claims: map[string]any{"acr": "silver"}, asks: map[string]string{"acr_values": "gold"}},
		{name: "max-age-met", start: func(s *flows.Start) { s.MaxAge = time.Minute }, asks: map[string]string{"max_age": "60"}},
		{name: "max-age-0", start: func(s *flows.Start) { s.MaxAge = 0 }, asks: map[string]string{"max_age": "0"}},
		{name: "max-age-old", start: func(s *flows.Start) { s.MaxAge = time.Minute }, claims: map[string]any{"auth_time": -600}, want: flows.ReasonAssuranceNotMet},
		{name: "max-age-no-auth-time", start: func(s *flows.Start) { s.MaxAge = time.Minute }, claims: map[string]any{"auth_time": 0}, want: flows.ReasonAssuranceNotMet},
		{name: "max-age-configured", edit: func(p *Provider) { p.MaxAge = 300e9 }, claims: map[string]any{"auth_time": -600}, asks: map[string]string{"max_age": "300"}, want: flows.ReasonAssuranceNotMet},
		{name: "no-max-age-old", claims: map[string]any{"auth_time": -600}},
		{name: "fresh", start: func(s *flows.Start) { s.Fresh = true }, asks: map[string]string{"prompt": "login"}},
		{name: "fresh-with-prompt", start: func(s *flows.Start) { s.Fresh = true }, edit: func(p *Provider) { p.Prompt = "none consent" }, asks: map[string]string{"prompt": "login consent"}},
		{name: "fresh-old", start: func(s *flows.Start) { s.Fresh = true }, claims: map[string]any{"auth_time": -600}, want: flows.ReasonAssuranceNotMet},
		{name: "hint-and-prompt", start: func(s *flows.Start) { s.LoginHint = "al" }, edit: func(p *Provider) { p.Prompt = "select_account" }, asks: map[string]string{"login_hint": "al", "prompt": "select_account"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, tc.edit)
			r.op.SetBehaviour(authTime(r, tc.claims))
			s := start()
			if tc.start != nil {
				tc.start(&s)
			}
			p, err := r.login(s)
			q := r.op.Requests()[0]
			for name, want := range tc.asks {
				if got := q.Get(name); got != want {
					t.Errorf("%s = %q, want %q", name, got, want)
				}
			}
			if tc.want != "" {
				wantRefusal(t, err, tc.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if old, ok := tc.claims["auth_time"].(int); ok && old < 0 && !p.Evidence[0].At.Equal(r.reg.Now().Add(time.Duration(old)*time.Second)) {
				t.Errorf("evidence at %v", p.Evidence[0].At)
			}
		})
	}
}
