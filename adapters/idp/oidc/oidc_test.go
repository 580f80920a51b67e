package oidc

import (
	"context"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	flowstest.TestRedirector(t, flowstest.Redirector{
		Guest: r.p, Start: start(),
		Answer: func(s flowstest.Seen) (flows.Callback, error) { return r.visit(s.URL), nil },
		Break:  func() { r.op.SetDown(true) },
	})
}

const full = `oidc {
	issuer https://op.example/tenant
	client_id gateway
	client_secret {env.SECRET}
	token_auth post
	id_token_alg PS256 ES256
	scopes openid profile offline_access
	acr_values gold silver
	prompt select_account consent
	max_age 8h
	claim name upn
	claim roles realm_access.roles list
	amr_map phr hwk mfa
	amr_map pin pin
	userinfo on
	refresh off
	groups_overage error
}`

func parse(text string) (*Provider, error) {
	p := new(Provider)
	return p, p.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
}

func TestCaddyfile(t *testing.T) {
	t.Parallel()
	p, err := parse(full)
	if err != nil {
		t.Fatal(err)
	}
	off := false
	want := &Provider{
		Issuer: "https://op.example/tenant", ClientID: "gateway", ClientSecret: "{env.SECRET}", TokenAuth: "post",
		IDTokenAlgs: []string{"PS256", "ES256"}, Scopes: []string{"openid", "profile", "offline_access"}, ACRValues: []string{"gold", "silver"}, Prompt: "select_account consent",
		MaxAge: caddy.Duration(8 * time.Hour), Claims: map[string]Claim{"name": {Path: "upn"}, "roles": {Path: "realm_access.roles", List: true}},
		AMRMap: map[string][]string{"phr": {"hwk", "mfa"}, "pin": {"pin"}}, UserInfo: &yes, RefreshTokens: &off, GroupsOverage: "error",
	}
	got, _ := json.Marshal(p)
	wanted, _ := json.Marshal(want)
	if string(got) != string(wanted) {
		t.Errorf("got  %s\nwant %s", got, wanted)
	}
	var back Provider
	if err := json.Unmarshal(got, &back); err != nil || !reflect.DeepEqual(back.Claims, want.Claims) {
		t.Errorf("round trip: %v", err)
	}
	if p, err := parse("oidc {\n issuer http://127.0.0.1:8080\n client_id a\n client_key /run/key.pem k1\n}"); err != nil || p.ClientKey != "/run/key.pem" || p.ClientKeyID != "k1" {
		t.Errorf("client_key: %+v, %v", p, err)
	}
}

func TestCaddyfileErrors(t *testing.T) {
	t.Parallel()
	const base = "issuer https://op.example\n client_id a\n client_secret {env.S}\n "
	for _, tc := range []struct{ name, text, want string }{
		{"unknown", "isuer https://x", "unknown oidc option 'isuer'; did you mean 'issuer'?; there are: acr_values, amr_map, claim, client_id"},
		{"unknown far", "banana", "unknown oidc option 'banana'; there are:"},
		{"twice", "issuer https://a.example\n issuer https://b.example", "issuer is written twice"},
		{"no issuer", "client_id a\n client_secret {env.S}", "needs an issuer"},
		{"no client", "issuer https://op.example\n client_secret {env.S}", "needs a client_id"},
		{"no secret", "issuer https://op.example\n client_id a", "needs a client_secret or a client_key"},
		{"both", base + "client_key x", "exclude each other"},
		{"http", "issuer http://op.example", "plain http is for loopback only"},
		{"http name", "issuer http://localhost.evil.example", "plain http is for loopback only"},
		{"no scheme", "issuer op.example", "no URL with a host"},
		{"ftp", "issuer ftp://op.example", "must begin with https://"},
		{"issuer query", "issuer https://op.example/?a=b", "no user, query or fragment"},
		{"issuer user", "issuer https://a:b@op.example/", "no user, query or fragment"},
		{"issuer none", "issuer", "wrong argument count"},
		{"issuer two", "issuer https://a.example https://b.example", "wrong argument count"},
		{"client_id none", "client_id", "wrong argument count"},
		{"client_secret two", "client_secret a b", "wrong argument count"},
		{"client_secret empty", `client_secret ""`, "client_secret is empty"},
		{"client_key three", "client_key a b c", "wrong argument count"},
		{"token_auth", base + "token_auth jwt", "'jwt' is unknown here; there are: auto, basic, post"},
		{"alg none", base + "id_token_alg RS256 none", "id_token_alg 'none' is not accepted; there are: RS256, RS384"},
		{"alg symmetric", base + "id_token_alg HS256", "id_token_alg 'HS256' is not accepted"},
		{"alg missing", base + "id_token_alg", "wrong argument count"},
		{"scopes none", "scopes", "wrong argument count"},
		{"scopes without openid", "scopes profile", "scopes must contain openid"},
		{"acr none", "acr_values", "wrong argument count"},
		{"prompt none", "prompt", "wrong argument count"},
		{"max_age", "max_age soon", "no positive duration"},
		{"max_age zero", "max_age 0s", "no positive duration"},
		{"claim one", "claim name", "wrong argument count"},
		{"claim word", "claim roles roles set", "'set' is unknown here; there is: list"},
		{"claim twice", "claim a b\n claim a c", "claim a is written twice"},
		{"claim key", "claim key sub", "cannot be mapped"},
		{"claim subject", "claim subject email", "cannot be mapped"},
		{"amr one", "amr_map a", "wrong argument count"},
		{"amr twice", "amr_map a b\n amr_map a c", "amr_map a is written twice"},
		{"userinfo", "userinfo yes", "'yes' is unknown here; there are: on, off"},
		{"refresh none", "refresh", "wrong argument count"},
		{"overage", "groups_overage HR", "'HR' is no name of a directory; groups_overage takes error or the name of one"},
		{"overage two", "groups_overage a b", "wrong argument count"},
		{"overage error by", "groups_overage error objectSid onprem_sid", "groups_overage error takes no more"},
		{"block", "userinfo on {\n a b\n }", "unexpected block"},
	} {
		_, err := parse("oidc {\n " + tc.text + "\n}")
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
		if err != nil && !strings.Contains(err.Error(), "Testfile:") {
			t.Errorf("%s: no file and line in %v", tc.name, err)
		}
	}
	if _, err := parse("oidc https://op.example"); err == nil {
		t.Error("an argument behind the type was accepted")
	}
}

// TestLoadErrors: what JSON can get wrong, and what placeholders hide until load.
func TestLoadErrors(t *testing.T) {
	t.Parallel()
	ok := func() *Provider {
		return &Provider{Issuer: "https://op.example", ClientID: "a", ClientSecret: "s"}
	}
	for _, tc := range []struct {
		name string
		edit func(*Provider)
		want string
	}{
		{"good", func(*Provider) {}, ""},
		{"issuer-placeholder", func(p *Provider) { p.Issuer = "{env.OIDC_TEST_HTTP}" }, "plain http"},
		{"no issuer", func(p *Provider) { p.Issuer = "" }, "issuer is required"},
		{"no client", func(p *Provider) { p.ClientID = "" }, "client_id is required"},
		{"no secret", func(p *Provider) { p.ClientSecret = "" }, "client_secret or client_key is required"},
		{"empty secret", func(p *Provider) { p.ClientSecret = "{env.OIDC_TEST_UNSET}" }, "client_secret: "},
		{"blank secret", func(p *Provider) { p.ClientSecret = "  " }, "client_secret: is empty"},
		{"unknown placeholder", func(p *Provider) { p.ClientSecret = "{nope.x}" }, "client_secret: "},
		{"request placeholder", func(p *Provider) { p.ClientSecret = "{http.request.host}" }, "client_secret: "},
		{"missing key file", func(p *Provider) { p.ClientSecret, p.ClientKey = "", "/nonexistent/key.pem" }, "client_key: "},
		{"token_auth", func(p *Provider) { p.TokenAuth = "jwt" }, "token_auth \"jwt\" is unknown; there are: auto, basic, post"},
		{"alg", func(p *Provider) { p.IDTokenAlgs = []string{"rs256"} }, "id_token_alg 'rs256' is not accepted"},
		{"overage", func(p *Provider) { p.GroupsOverage = "HR" }, "groups_overage"},
		{"overage by", func(p *Provider) { p.GroupsOverage, p.GroupsOverageBy = "hr", "mail" }, "belong together"},
		{"overage by nobody", func(p *Provider) { p.GroupsOverageBy, p.GroupsOverageClaim = "mail", "email" }, "belong together and to a directory"},
		{"scopes", func(p *Provider) { p.Scopes = []string{"profile"} }, "must contain openid"},
		{"scope blank", func(p *Provider) { p.Scopes = []string{"openid", "a b"} }, "one word"},
		{"max age", func(p *Provider) { p.MaxAge = -1 }, "max_age"},
		{"claim", func(p *Provider) { p.Claims = map[string]Claim{"subject": {Path: "email"}} }, "cannot be mapped"},
		{"claim path", func(p *Provider) { p.Claims = map[string]Claim{"x": {}} }, "missing"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := ok()
			tc.edit(p)
			ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
			defer cancel()
			err := p.Provision(ctx)
			if err == nil {
				err = p.Validate()
			}
			if (err == nil) != (tc.want == "") || (err != nil && !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("%v, want %q", err, tc.want)
			}
			for range 2 { // also after a failed Provision, also twice
				if err := p.Cleanup(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	if err := new(Provider).Cleanup(); err != nil {
		t.Error(err)
	}
}

// TestReloadKeepsStateUntilTheLastUser: two generations share one source.
func TestReloadKeepsStateUntilTheLastUser(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.mustLogin()
	to, private := r.begin(start()) // a login in flight
	old := r.p
	r.p = r.guest(func(p *Provider) { p.ClientSecret = "{env.OIDC_TEST_SECRET}" })
	if err := old.Cleanup(); err != nil {
		t.Fatal(err)
	}
	before := r.op.Counts()
	if _, err := r.p.Finish(t.Context(), r.visit(to), private); err != nil {
		t.Errorf("the login in flight broke: %v", err)
	}
	r.mustLogin()
	if after := r.op.Counts(); after.Discovery != before.Discovery || after.Keys != before.Keys {
		t.Errorf("the reload asked again: %+v, %+v", before, after)
	}
	if refs, ok := sources.References(r.p.held); !ok || refs != 1 {
		t.Errorf("%d references", refs)
	}
}

// TestGrammarIsComplete: every option is in the comment that documents it.
func TestGrammarIsComplete(t *testing.T) {
	t.Parallel()
	src, err := os.ReadFile("caddyfile.go")
	if err != nil {
		t.Fatal(err)
	}
	doc, _, _ := strings.Cut(string(src), "func (p *Provider) UnmarshalCaddyfile")
	for word := range options {
		if !strings.Contains(doc, "//	    "+word+" ") {
			t.Errorf("%s is not in the Syntax comment", word)
		}
	}
}

// TestOIDF walks the test modules of the OpenID Foundation's Basic and Config
// plans for relying parties, by their names.
func TestOIDF(t *testing.T) {
	t.Parallel()
	info := func(p *Provider) { p.UserInfo = &yes }
	for _, tc := range []struct {
		name string
		mode string
		edit func(*Provider)
		prep func(*rig)
		want flows.Reason
	}{
		{name: "oidcc-client-test"},
		{name: "oidcc-client-test-invalid-iss", mode: "wrong-iss", want: flows.ReasonInvalidAnswer},
		{name: "oidcc-client-test-missing-sub", mode: "no-sub", want: flows.ReasonInvalidAnswer},
		{name: "oidcc-client-test-invalid-aud", mode: "wrong-aud", want: flows.ReasonInvalidAnswer},
		{name: "oidcc-client-test-missing-iat", mode: "no-iat", want: flows.ReasonInvalidAnswer},
		{name: "oidcc-client-test-kid-absent-single-jwks", prep: func(r *rig) { r.op.SetKeys(newOPKey("RS256", true)) }},
		{name: "oidcc-client-test-kid-absent-multiple-jwks", prep: func(r *rig) { r.op.SetKeys(newOPKey("RS256", true), newOPKey("RS256", true), newOPKey("ES256", true)) }},
		{name: "oidcc-client-test-idtoken-sig-rs256"},
		{name: "oidcc-client-test-idtoken-sig-none", mode: "alg-none", want: flows.ReasonInvalidAnswer},
		{name: "oidcc-client-test-invalid-sig-rs256", mode: "bad-signature", want: flows.ReasonInvalidAnswer},
		{name: "oidcc-client-test-userinfo-invalid-sub", mode: "userinfo-sub-mismatch", edit: info, want: flows.ReasonInvalidAnswer},
		{name: "oidcc-client-test-nonce-invalid", mode: "bad-nonce", want: flows.ReasonInvalidAnswer},
		{name: "oidcc-client-test-scope-userinfo-claims", edit: info, prep: func(r *rig) {
			r.op.SetUser(map[string]any{"sub": "u-alice"})
			r.op.SetUserInfo(map[string]any{"preferred_username": "alice", "email": "alice@example.com", "email_verified": true})
		}},
		{name: "oidcc-client-test-client-secret-basic", prep: func(r *rig) { r.op.SetTokenAuth("client_secret_basic") }},
		{name: "oidcc-client-test-discovery-openid-config"},
		{name: "oidcc-client-test-discovery-jwks-uri-keys"},
		{name: "oidcc-client-test-discovery-issuer-mismatch", mode: "discovery-issuer-mismatch", want: flows.ReasonProviderDown},
		{name: "oidcc-client-test-signing-key-rotation-just-before-signing", prep: func(r *rig) { r.mustLogin(); r.op.SetKeys(newOPKey("ES256", false)) }},
		{name: "oidcc-client-test-signing-key-rotation", prep: func(r *rig) { r.mustLogin(); r.op.Rotate() }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, tc.edit)
			if tc.prep != nil {
				tc.prep(r)
			}
			r.op.SetMode(tc.mode)
			out, private, err := r.p.Begin(t.Context(), start())
			var p flows.Proof
			if err == nil {
				p, err = r.p.Finish(t.Context(), r.visit(flowstest.Look(out).URL), private)
			}
			if tc.want != "" {
				wantRefusal(t, err, tc.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if p.User.Name != "alice" || p.User.Email != "alice@example.com" {
				t.Errorf("user = %q %q", p.User.Name, p.User.Email)
			}
		})
	}
}
