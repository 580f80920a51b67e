package oidc

import (
	"context"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/adapters/internal/jwt"
	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

// loaded is what caddy does with a guest, up to Bind; it is cleaned up at the end.
func loaded(t *testing.T, guest interface {
	caddy.Provisioner
	caddy.CleanerUpper
	caddy.Validator
},
) error {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(func() {
		cancel()
		if err := guest.Cleanup(); err != nil {
			t.Error(err)
		}
	})
	if err := guest.Provision(ctx); err != nil {
		return err
	}
	return guest.Validate()
}

func client() Provider { return Provider{ClientID: "a", ClientSecret: "{env.OIDC_TEST_SECRET}"} }

// TestPresetIssuers: who is asked when no issuer is written.
func TestPresetIssuers(t *testing.T) {
	t.Setenv("OIDC_TEST_TENANT", "5B3F1C1E-0D6A-4D7E-9A57-2F0B8E1C7D10")
	const id = "5b3f1c1e-0d6a-4d7e-9a57-2f0b8e1c7d10"
	e := &Entra{Provider: client(), Tenants: []string{"{env.OIDC_TEST_TENANT}"}}
	domain := &Entra{Provider: client(), Tenants: []string{"Contoso.com"}}
	several := &Entra{Provider: client(), Tenants: []string{id, "c0ffee00-1111-2222-3333-444455556666"}}
	o := &Okta{Provider: client(), Domain: "dev-1.okta.com"}
	custom := &Okta{Provider: client(), Domain: "id.example.com", AuthorizationServer: "default"}
	g := &Google{Provider: client(), HostedDomains: []string{"example.com"}}
	for want, p := range map[string]struct {
		guest interface {
			caddy.Provisioner
			caddy.CleanerUpper
			caddy.Validator
		}
		p *Provider
	}{
		"https://login.microsoftonline.com/" + id + "/v2.0":    {e, &e.Provider},
		"https://login.microsoftonline.com/contoso.com/v2.0":   {domain, &domain.Provider},
		"https://login.microsoftonline.com/organizations/v2.0": {several, &several.Provider},
		"https://dev-1.okta.com":                               {o, &o.Provider},
		"https://id.example.com/oauth2/default":                {custom, &custom.Provider},
		"https://accounts.google.com":                          {g, &g.Provider},
	} {
		if err := loaded(t, p.guest); err != nil || p.p.issuer != want || p.p.Issuer != "" {
			t.Errorf("issuer is %q, want %q; %v", p.p.issuer, want, err)
		}
	}
}

// TestPresetLoadErrors: what JSON can get wrong, and what placeholders hide until load.
func TestPresetLoadErrors(t *testing.T) {
	t.Setenv("OIDC_TEST_EVERYBODY", "organizations")
	for want, guest := range map[string]interface {
		caddy.Provisioner
		caddy.CleanerUpper
		caddy.Validator
	}{
		"entra needs a tenant":            &Entra{Provider: client()},
		"would let in everybody":          &Entra{Provider: client(), Tenants: []string{"{env.OIDC_TEST_EVERYBODY}"}},
		"tenant: ":                        &Entra{Provider: client(), Tenants: []string{"{env.OIDC_TEST_UNSET}"}},
		"is no directory id":              &Entra{Provider: client(), Tenants: []string{"contoso.com", "fabrikam.com"}},
		"subject \"email\" is unknown":    &Entra{Provider: client(), Tenants: []string{"contoso.com"}, Subject: "email"},
		"must contain profile":            &Entra{Provider: Provider{ClientID: "a", ClientSecret: "{env.OIDC_TEST_SECRET}", Scopes: []string{"openid"}}, Tenants: []string{"contoso.com"}},
		"client_id is required":           &Entra{Tenants: []string{"contoso.com"}},
		"okta needs a domain":             &Okta{Provider: client()},
		"domain 'a/b' is no host name":    &Okta{Provider: client(), Domain: "a/b"},
		"google needs a hosted_domain":    &Google{Provider: client()},
		"hosted_domain 'x' is no domain":  &Google{Provider: client(), HostedDomains: []string{"x"}},
		"google has no scope":             &Google{Provider: Provider{ClientID: "a", ClientSecret: "{env.OIDC_TEST_SECRET}", Scopes: []string{"openid", "offline_access"}}, HostedDomains: []string{"example.com"}},
		"hosted_domain example.com is wr": &Google{Provider: client(), HostedDomains: []string{"example.com", "Example.com"}},
	} {
		if err := loaded(t, guest); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestPresetsTakeTheWordsOfOIDC: every option works in each of them.
func TestPresetsTakeTheWordsOfOIDC(t *testing.T) {
	t.Parallel()
	for head, guest := range map[string]caddyfile.Unmarshaler{
		"entra {\n\ttenant contoso.com": new(Entra), "okta {\n\tdomain dev-1.okta.com": new(Okta), "google {\n\thosted_domain example.com": new(Google),
	} {
		words := strings.TrimPrefix(full, "oidc {")
		if strings.HasPrefix(head, "google") {
			words = strings.Replace(words, " offline_access", "", 1)
		}
		if err := guest.UnmarshalCaddyfile(caddyfile.NewTestDispenser(head + words)); err != nil {
			t.Errorf("%s: %v", head, err)
		}
	}
}

// TestPresetGoogleAsksAnew: login is no word of its prompt.
func TestPresetGoogleAsksAnew(t *testing.T) {
	t.Parallel()
	g := &Google{Provider: client(), HostedDomains: []string{"example.com"}}
	if err := loaded(t, g); err != nil {
		t.Fatal(err)
	}
	w := g.wishes(flows.Start{MaxAge: -1, Fresh: true}, -1)
	if w["prompt"] != "select_account" || w["hd"] != "example.com" {
		t.Errorf("asked: %v", w)
	}
}

// FuzzPresetClaims: whatever a signed token says of its tenant, nobody of another is
// admitted, and nothing panics.
func FuzzPresetClaims(f *testing.F) {
	for _, s := range []string{
		`{"tid":"5b3f1c1e-0d6a-4d7e-9a57-2f0b8e1c7d10"}`, `{"tid":["a"]}`, `{"hd":"example.com","email_verified":true}`, `{"hd":1}`,
		`{"iss":"https://x/c0ffee00-1111-2222-3333-444455556666/v2.0","tid":"5b3f1c1e-0d6a-4d7e-9a57-2f0b8e1c7d10"}`, `{"acrs":{"a":1}}`, `{"oid":"","tid":"x"}`, `{}`,
	} {
		f.Add(s)
	}
	e := &Entra{tenants: []string{"5b3f1c1e-0d6a-4d7e-9a57-2f0b8e1c7d10"}, Subject: "oid"}
	g := &Google{domains: []string{"example.com"}}
	f.Fuzz(func(t *testing.T, text string) {
		claims, err := jwt.Object([]byte(text))
		if err != nil {
			return
		}
		if e.ofTenant(claims) == nil && claims["tid"] != e.tenants[0] {
			t.Errorf("admitted: %v", claims)
		}
		if hd, _ := claims["hd"].(string); g.ofDomain(claims) == nil && !strings.EqualFold(hd, "example.com") {
			t.Errorf("admitted: %v", claims)
		}
		if s, err := e.subject(claims); err == nil && s == "" {
			t.Errorf("nobody is somebody: %v", claims)
		}
		reachedContext(claims, []string{"c1"})
		ownDomain(claims)
	})
}

// TestPresetConformance: a preset is a Redirector like the type it is made of.
func TestPresetConformance(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	g := &Google{Provider: Provider{Issuer: r.op.Issuer, ClientID: r.op.ClientID, ClientSecret: "{env.OIDC_TEST_SECRET}"}, HostedDomains: []string{"example.com"}}
	if err := loaded(t, g); err != nil {
		t.Fatal(err)
	}
	if err := g.Bind(r.reg); err != nil {
		t.Fatal(err)
	}
	r.op.SetUser(map[string]any{"sub": "1", "email": "alice@example.com", "email_verified": true, "hd": "example.com"})
	flowstest.TestRedirector(t, flowstest.Redirector{
		Guest: g, Start: start(),
		Answer: func(s flowstest.Seen) (flows.Callback, error) { return r.visit(s.URL), nil },
		Break:  func() { r.op.SetDown(true) },
	})
}
