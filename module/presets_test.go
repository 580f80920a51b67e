package module_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
	"github.com/sallyport-gateway/sallyport/module"
)

const (
	tenantA = "5b3f1c1e-0d6a-4d7e-9a57-2f0b8e1c7d10"
	tenantB = "c0ffee00-1111-2222-3333-444455556666"
	tenantC = "0badf00d-1111-2222-3333-444455556666"
)

// preset is the `provider` block of a preset for an OP that plays its vendor.
func preset(t *testing.T, kind string, op *oidctest.OP, more ...string) string {
	t.Helper()
	t.Setenv("SALLYPORT_OIDC_SECRET", oidctest.Secret)
	lines := strings.Join(more, "\n")
	if !strings.Contains(lines, "issuer ") {
		lines += "\nissuer " + op.Issuer
	}
	return fmt.Sprintf("provider corp %s {\nclient_id %s\nclient_secret {env.SALLYPORT_OIDC_SECRET}\n%s\n}\n", kind, op.ClientID, lines)
}

// newEntra plays a tenant of Entra ID: version 2 tokens, no iss parameter, no
// email_verified, groups as object ids.
func newEntra(t *testing.T, tenant string, others ...string) *oidctest.OP {
	t.Helper()
	op := oidctest.NewAt(t, "/"+tenant+"/v2.0", others...)
	op.SetClock(module.Now)
	op.SetBehaviour(entraMode(nil))
	op.SetUser(entraUser(nil))
	return op
}

// entraMode is how Entra differs from other providers, and more.
func entraMode(mint func(*oidctest.OP, *oidctest.Token)) oidctest.Mode {
	return oidctest.Mode{
		Discovery: func(_ *oidctest.OP, d map[string]any) {
			delete(d, "authorization_response_iss_parameter_supported")
			delete(d, "code_challenge_methods_supported")
			delete(d, "backchannel_logout_supported")
		},
		Answer: func(_ *oidctest.OP, q url.Values) { q.Del("iss") },
		Mint: func(op *oidctest.OP, tok *oidctest.Token) {
			tok.Claims["ver"] = "2.0"
			if mint != nil {
				mint(op, tok)
			}
		},
	}
}

func entraUser(more map[string]any) map[string]any {
	u := map[string]any{
		"sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ", "oid": "00000000-0000-0000-66f3-3332eca7ea81", "tid": tenantA,
		"preferred_username": "alice@contoso.com", "name": "Alice Liddell", "email": "alice@contoso.com",
		"groups": []string{"a4fa5a3c-1c1c-4b1c-9d3c-000000000001", "a4fa5a3c-1c1c-4b1c-9d3c-000000000002"}, "roles": []string{"Payroll.Read"},
	}
	maps.Copy(u, more)
	for k, v := range u {
		if v == nil {
			delete(u, k)
		}
	}
	return u
}

// groupSite shows groups and roles, too.
const groupSite = "protect {\nheader X-Key {user.key}\nheader X-User {user.name}\nheader X-Email {user.email}\nheader X-Groups {user.groups}\nheader X-Roles {user.roles}\nheader X-ACR {user.claims.acrs}\nrequire /payroll/* `auth.acr == \"c1\"`\n}\nreverse_proxy {APP}"

// refusedAs opens the application and wants no session, the reason on the page and
// in the trail, where detail is told, too.
func (g *gateway) refusedAs(t *testing.T, reason, words, detail string) {
	t.Helper()
	n := g.count("login_denied")
	b := newBrowser(t)
	p := g.open(b, g.url("/a"))
	if p.Status != http.StatusForbidden && p.Status != http.StatusBadRequest || g.hasTicket(b) {
		t.Fatalf("want a refusal, got %d at %s, session %v\n%s", p.Status, p.URL, g.hasTicket(b), p.Text())
	}
	e := g.lastDenied("login_denied", n+1)
	if e["reason"] != reason || !strings.Contains(fmt.Sprint(e["detail"]), detail) || !p.Has(e["id"].(string)) || !p.Has(words) {
		t.Errorf("want %s with %q, got %v\n%s", reason, detail, e, p.Text())
	}
}

func TestPresetEntra(t *testing.T) {
	op := newEntra(t, tenantA)
	g := start(t, preset(t, "entra", op, "tenant "+tenantA), groupSite)
	b := newBrowser(t)
	p := g.open(b, g.url("/a"))
	landed(t, p, "/a", "corp:AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ")
	for name, value := range map[string]string{
		"X-User": "alice@contoso.com", "X-Roles": "Payroll.Read",
		"X-Groups": "a4fa5a3c-1c1c-4b1c-9d3c-000000000001,a4fa5a3c-1c1c-4b1c-9d3c-000000000002",
	} {
		if got := header(p.Body, name); !slices.Equal(got, []string{value}) {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	if got := header(p.Body, "X-Email"); got != nil {
		t.Errorf("nobody vouched for the address %q", got)
	}
	if q := op.Requests()[0]; q.Get("scope") != "openid profile email" || q.Get("code_challenge_method") != "S256" {
		t.Errorf("asked: %v", q)
	}
}

// The tenant check: who is of another tenant does not get in, whoever signed.
func TestPresetEntraTenantCheck(t *testing.T) {
	op := newEntra(t, tenantA)
	g := start(t, preset(t, "entra", op, "tenant "+tenantA), groupSite)
	for _, tc := range []struct {
		name   string
		claims map[string]any
		detail string
	}{
		{"another tenant", map[string]any{"tid": tenantB}, "none of the tenants"},
		{"private account", map[string]any{"tid": "9188040d-6c67-4c5b-b112-36a304b66dad"}, "none of the tenants"},
		{"no tid", map[string]any{"tid": nil}, "tid is missing"},
		{"a number", map[string]any{"tid": 7}, "tid is missing"},
		{"a list", map[string]any{"tid": []string{tenantA}}, "tid is missing"},
		{"in capitals", map[string]any{"tid": strings.ToUpper(tenantA)}, "none of the tenants"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			op.SetUser(entraUser(tc.claims))
			g.refusedAs(t, "foreign_account", "does not belong to the organisation", tc.detail)
		})
	}
	t.Run("another issuer", func(t *testing.T) {
		op.SetUser(entraUser(nil))
		op.SetBehaviour(entraMode(func(op *oidctest.OP, tok *oidctest.Token) {
			tok.Claims["iss"] = strings.Replace(op.Issuer, tenantA, tenantB, 1)
		}))
		g.refusedAs(t, "invalid_answer", "could not be trusted", "issued by a different provider")
	})
	t.Run("UserInfo cannot say it", func(t *testing.T) {
		if err := g.load(preset(t, "entra", op, "tenant "+tenantA, "userinfo on"), groupSite); err != nil {
			t.Fatal(err)
		}
		op.SetBehaviour(entraMode(nil))
		op.SetUser(entraUser(map[string]any{"tid": tenantB}))
		op.SetUserInfo(map[string]any{"tid": tenantA})
		g.refusedAs(t, "foreign_account", "does not belong to the organisation", "none of the tenants")
	})
}

// With a domain the document is found by it, and everything after that is by the
// tenant's id: what is bound to the name, too (I05).
func TestI05PresetEntraDomain(t *testing.T) {
	op := newEntra(t, tenantA, "/contoso.com/v2.0", "/contoso.example/v2.0")
	at := func(tenant string) string { return "issuer " + strings.Replace(op.Issuer, tenantA, tenant, 1) }
	g := start(t, preset(t, "entra", op, "tenant contoso.com", at("contoso.com")), groupSite)
	landed(t, g.open(newBrowser(t), g.url("/a")), "/a", "corp:AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ")
	op.SetUser(entraUser(map[string]any{"tid": tenantB}))
	g.refusedAs(t, "foreign_account", "does not belong to the organisation", "the issuer is")
	op.SetUser(entraUser(nil))

	// By its id, or by another of its domains, it is the same provider.
	for _, tenant := range []string{tenantA, "contoso.example"} {
		if err := g.load(preset(t, "entra", op, "tenant "+tenant, at(tenant)), groupSite); err != nil {
			t.Fatal(err)
		}
		landed(t, g.open(newBrowser(t), g.url("/a")), "/a", "corp:AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ")
	}

	// A domain that went to another tenant is another provider.
	other := newEntra(t, tenantB, "/contoso.com/v2.0")
	other.SetUser(entraUser(map[string]any{"tid": tenantB}))
	if err := g.load(preset(t, "entra", other, "tenant contoso.com", "issuer "+strings.Replace(other.Issuer, tenantB, "contoso.com", 1)), groupSite); err != nil {
		t.Fatal(err)
	}
	g.refusedAs(t, "issuer_changed", "not the one that was set up", "")
}

// The document of a domain may name a tenant's issuer there and nothing else.
func TestI05PresetEntraDocumentNamesAnother(t *testing.T) {
	op := newEntra(t, tenantA, "/contoso.com/v2.0")
	for _, named := range []string{"https://evil.example/" + tenantA + "/v2.0", strings.Replace(op.Issuer, "/v2.0", "", 1), strings.Replace(op.Issuer, tenantA, "{tenantid}", 1), strings.Replace(op.Issuer, tenantA, "evil.example", 1), op.Issuer + "/"} {
		m := entraMode(nil)
		m.Discovery = func(_ *oidctest.OP, d map[string]any) { d["issuer"] = named }
		op.SetBehaviour(m)
		g := start(t, preset(t, "entra", op, "tenant contoso.com", "issuer "+strings.Replace(op.Issuer, tenantA, "contoso.com", 1)), groupSite)
		b := newBrowser(t)
		if p := g.open(b, g.url("/a")); p.Status != http.StatusServiceUnavailable || g.hasTicket(b) {
			t.Errorf("%s: %d at %s", named, p.Status, p.URL)
		}
	}
}

// Several tenants are asked at one place; which of them it is, each token says.
func TestPresetEntraSeveralTenants(t *testing.T) {
	op := newEntra(t, "organizations")
	tenant := tenantA
	signedBy := func(id string) oidctest.Mode {
		m := entraMode(func(op *oidctest.OP, tok *oidctest.Token) {
			tok.Claims["iss"] = strings.Replace(op.Issuer, "organizations", id, 1)
		})
		inner := m.Discovery
		m.Discovery = func(op *oidctest.OP, d map[string]any) {
			inner(op, d)
			d["issuer"] = strings.Replace(op.Issuer, "organizations", "{tenantid}", 1)
		}
		return m
	}
	op.SetBehaviour(signedBy(tenant))
	g := start(t, preset(t, "entra", op, "tenant "+tenantA+" "+tenantB), groupSite)
	landed(t, g.open(newBrowser(t), g.url("/a")), "/a", "corp:AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ")

	// The same sub in another tenant is another person.
	op.SetBehaviour(signedBy(tenantB))
	op.SetUser(entraUser(map[string]any{"tid": tenantB, "preferred_username": "alice@fabrikam.com"}))
	landed(t, g.open(newBrowser(t), g.url("/a")), "/a", "corp:"+tenantB+":AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ")

	op.SetBehaviour(signedBy(tenantC))
	op.SetUser(entraUser(map[string]any{"tid": tenantC}))
	g.refusedAs(t, "invalid_answer", "could not be trusted", "token of issuer")
	op.SetBehaviour(signedBy(tenantA)) // signed in the name of one, said to be of another
	op.SetUser(entraUser(map[string]any{"tid": tenantB}))
	g.refusedAs(t, "foreign_account", "does not belong to the organisation", "the issuer is")
	op.SetBehaviour(signedBy("{tenantid}"))
	op.SetUser(entraUser(map[string]any{"tid": "{tenantid}"}))
	g.refusedAs(t, "invalid_answer", "could not be trusted", "token of issuer")

	// Adding a tenant changes neither the binding nor the keys of the first one's people.
	alone := newEntra(t, tenantA)
	if err := g.load(preset(t, "entra", alone, "tenant "+tenantA, "was "+strings.Replace(op.Issuer, "organizations", tenantA, 1)), groupSite); err != nil {
		t.Fatal(err)
	}
	landed(t, g.open(newBrowser(t), g.url("/a")), "/a", "corp:AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ")
}

// A guest is of the tenant that invited them: with the same checks, and out by scope.
func TestPresetEntraGuest(t *testing.T) {
	op := newEntra(t, tenantA)
	site := strings.Replace(groupSite, "require /payroll/* `auth.acr == \"c1\"`", "require /payroll/* `!has(user.acct) || user.acct == 0`", 1)
	g := start(t, preset(t, "entra", op, "tenant "+tenantA), site)
	for _, acct := range []any{nil, 0} {
		op.SetUser(entraUser(map[string]any{"acct": acct}))
		landed(t, g.open(newBrowser(t), g.url("/payroll/x")), "/payroll/x", "")
	}
	op.SetUser(entraUser(map[string]any{
		"sub": "guest-sub", "oid": "00000000-0000-0000-0000-00000000e5e5", "preferred_username": "mallory@fabrikam.com", "email": "alice@contoso.com",
		"idp": "https://sts.windows.net/" + tenantB + "/", "acct": 1,
	}))
	b := newBrowser(t)
	p := g.open(b, g.url("/a"))
	landed(t, p, "/a", "corp:guest-sub")
	want(t, g.open(b, g.url("/payroll/x")), http.StatusForbidden)
	if got := header(p.Body, "X-Email"); got != nil { // what somebody else's administrator typed
		t.Errorf("X-Email: %q", got)
	}
	if err := g.load(preset(t, "entra", op, "tenant "+tenantA, "scope @contoso.com"), groupSite); err != nil {
		t.Fatal(err)
	}
	g.refusedAs(t, "not_allowed", "may not", "scope")
}

func TestI04PresetEntraSubject(t *testing.T) {
	op := newEntra(t, tenantA)
	g := start(t, preset(t, "entra", op, "tenant "+tenantA, "subject oid"), groupSite)
	landed(t, g.open(newBrowser(t), g.url("/a")), "/a", "corp:00000000-0000-0000-66f3-3332eca7ea81")
	op.SetUser(entraUser(map[string]any{"oid": nil}))
	g.refusedAs(t, "invalid_answer", "could not be trusted", "oid is missing")
}

func TestI06PresetEntraEmail(t *testing.T) {
	op := newEntra(t, tenantA)
	lines := preset(t, "entra", op, "tenant "+tenantA)
	g := start(t, lines, groupSite)
	for _, tc := range []struct {
		name   string
		claims map[string]any
		info   map[string]any
		want   []string
	}{
		{name: "edov", claims: map[string]any{"xms_edov": true}, want: []string{"alice@contoso.com"}},
		{name: "edov 1", claims: map[string]any{"xms_edov": 1}, want: []string{"alice@contoso.com"}},
		{name: "edov text", claims: map[string]any{"xms_edov": "1"}, want: []string{"alice@contoso.com"}},
		{name: "no edov", claims: map[string]any{"xms_edov": false}},
		{name: "edov 0", claims: map[string]any{"xms_edov": "0"}},
		{name: "email_verified is not Entra's", claims: map[string]any{"email_verified": true}},
		{name: "another address of UserInfo", claims: map[string]any{"xms_edov": true}, info: map[string]any{"email": "ceo@contoso.com"}},
		{name: "edov of UserInfo", info: map[string]any{"xms_edov": true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text := lines
			if tc.info != nil {
				text = strings.Replace(lines, "tenant ", "userinfo on\ntenant ", 1)
			}
			if err := g.load(text, groupSite); err != nil {
				t.Fatal(err)
			}
			op.SetUser(entraUser(tc.claims))
			op.SetUserInfo(tc.info)
			p := g.open(newBrowser(t), g.url("/a"))
			landed(t, p, "/a", "")
			if got := header(p.Body, "X-Email"); !slices.Equal(got, tc.want) {
				t.Errorf("X-Email: %q, want %q", got, tc.want)
			}
		})
	}
}

// B24: what Entra says where the groups are too many, with its own words.
func TestB24PresetEntraOverage(t *testing.T) {
	op := newEntra(t, tenantA)
	g := start(t, preset(t, "entra", op, "tenant "+tenantA), groupSite)
	for name, claims := range map[string]map[string]any{
		"code flow": {"groups": nil, "_claim_names": map[string]any{"groups": "src1"}, "_claim_sources": map[string]any{
			"src1": map[string]any{"endpoint": "https://graph.windows.net/" + tenantA + "/users/00000000-0000-0000-66f3-3332eca7ea81/getMemberObjects"},
		}},
		"implicit":             {"groups": nil, "hasgroups": true},
		"some groups in there": {"hasgroups": "true"},
	} {
		t.Run(name, func(t *testing.T) {
			op.SetUser(entraUser(claims))
			g.refusedAs(t, "groups_overage", "more groups than the sign-in service can list", "left out the groups")
		})
	}
	// App roles are whole, whatever happens to the groups.
	if err := g.load(preset(t, "entra", op, "tenant "+tenantA, "claim groups roles list"), groupSite); err != nil {
		t.Fatal(err)
	}
	op.SetUser(entraUser(map[string]any{
		"groups": nil, "_claim_names": map[string]any{"groups": "src1"}, "_claim_sources": map[string]any{"src1": map[string]any{"endpoint": op.Issuer + "/groups"}},
	}))
	p := g.open(newBrowser(t), g.url("/a"))
	landed(t, p, "/a", "")
	if got := header(p.Body, "X-Groups"); !slices.Equal(got, []string{"Payroll.Read"}) {
		t.Errorf("X-Groups: %q", got)
	}
}

// B25: authentication contexts are asked for by the claims parameter, and what
// counts is what came back.
func TestB25PresetEntraContexts(t *testing.T) {
	op := newEntra(t, tenantA)
	g := start(t, preset(t, "entra", op, "tenant "+tenantA, "acr_values c1"), groupSite)
	for _, tc := range []struct {
		acrs   any
		status int
	}{
		{[]string{"c3", "c1"}, http.StatusOK}, {"c1", http.StatusOK}, {[]string{"c2"}, http.StatusForbidden}, {nil, http.StatusForbidden}, {7, http.StatusForbidden},
	} {
		op.SetUser(entraUser(map[string]any{"acrs": tc.acrs}))
		if p := g.open(newBrowser(t), g.url("/payroll/x")); p.Status != tc.status {
			t.Errorf("acrs %v: %d at %s\n%s", tc.acrs, p.Status, p.URL, p.Text())
		}
	}
	q := op.Requests()[0]
	var asked map[string]map[string]map[string]any
	if err := json.Unmarshal([]byte(q.Get("claims")), &asked); err != nil || asked["id_token"]["acrs"]["value"] != "c1" || asked["id_token"]["acrs"]["essential"] != true || q.Has("acr_values") {
		t.Errorf("asked: %v, %v", q, err)
	}
}

// A front-channel logout of Entra has a sid alone, which nobody can guess.
func TestO7PresetEntraFrontChannel(t *testing.T) {
	op := newEntra(t, tenantA)
	op.SetUser(entraUser(map[string]any{"sub": "0123456789abcdef"}))
	g := start(t, preset(t, "entra", op, "tenant "+tenantA), groupSite)
	b := newBrowser(t)
	landed(t, g.open(b, g.url("/a")), "/a", "")
	for _, path := range []string{framed("corp"), framed("corp", "sid", "sid-0123456789abcdeX"), framed("corp", "iss", "https://evil.example", "sid", "sid-0123456789abcdef")} {
		want(t, g.raw(http.MethodGet, path, "", frame...), http.StatusBadRequest)
		if p := g.open(b, g.url("/.identity/session")); p.Status != http.StatusOK {
			t.Fatalf("%s ended the session", path)
		}
	}
	want(t, g.raw(http.MethodGet, framed("corp", "sid", "sid-0123456789abcdef"), "", frame...), http.StatusOK)
	if p := g.open(b, g.url("/.identity/session")); p.Status != http.StatusUnauthorized {
		t.Errorf("the session lives on: %d", p.Status)
	}
}

// Where a login is renewed, the tenant and the groups are looked at anew.
func TestPresetEntraRenewed(t *testing.T) {
	for name, tc := range map[string]struct {
		claims map[string]any
		reason string
	}{
		"another tenant": {map[string]any{"tid": tenantB}, "foreign_account"},
		"overage":        {map[string]any{"groups": nil, "hasgroups": true}, "groups_overage"},
	} {
		t.Run(name, func(t *testing.T) {
			clock := newClock(t)
			op := newEntra(t, tenantA)
			op.SetClock(clock.Now)
			g := start(t, preset(t, "entra", op, "tenant "+tenantA, "scopes openid profile offline_access"), groupSite)
			b := newBrowser(t)
			landed(t, g.open(b, g.url("/a")), "/a", "")
			op.SetUser(entraUser(tc.claims))
			clock.Advance(6 * time.Minute)
			if p := g.open(b, g.url("/a")); p.Status == http.StatusOK && p.Path() == "/a" {
				t.Errorf("%d at %s", p.Status, p.URL)
			}
			if e := g.events("session_ended", 1)[0]; e["reason"] != tc.reason {
				t.Errorf("event %v", e)
			}
		})
	}
}

// Okta's ID token is thin: groups and names are in UserInfo.
func TestPresetOkta(t *testing.T) {
	op := newOP(t)
	op.SetUser(map[string]any{"sub": "00uid4BxXw6I6TV4m0g3", "amr": []string{"pwd", "mfa", "otp"}})
	op.SetUserInfo(map[string]any{
		"preferred_username": "alice@example.com", "name": "Alice Liddell", "email": "alice@example.com", "email_verified": true, "groups": []string{"Everyone", "payroll"},
	})
	site := strings.Replace(groupSite, "`auth.acr == \"c1\"`", "`\"mfa\" in auth.amr`", 1)
	g := start(t, preset(t, "okta", op, "domain dev-1.okta.com"), site)
	p := g.open(newBrowser(t), g.url("/payroll/x"))
	landed(t, p, "/payroll/x", "corp:00uid4BxXw6I6TV4m0g3")
	for name, value := range map[string]string{"X-User": "alice@example.com", "X-Email": "alice@example.com", "X-Groups": "Everyone,payroll"} {
		if got := header(p.Body, name); !slices.Equal(got, []string{value}) {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	if q := op.Requests()[0]; q.Get("scope") != "openid profile email groups" {
		t.Errorf("asked: %v", q)
	}
	// A custom server has the scopes that somebody made, and groups is none of its own.
	if err := g.load(preset(t, "okta", op, "domain dev-1.okta.com default", "amr_map otp phone"), site); err != nil {
		t.Fatal(err)
	}
	landed(t, g.open(newBrowser(t), g.url("/a")), "/a", "corp:00uid4BxXw6I6TV4m0g3")
	if q := op.Requests()[1]; q.Get("scope") != "openid profile email" {
		t.Errorf("asked: %v", q)
	}
	// `userinfo off` is heard, and then there is no name.
	if err := g.load(preset(t, "okta", op, "domain dev-1.okta.com", "userinfo off"), site); err != nil {
		t.Fatal(err)
	}
	g.refusedAs(t, "name_missing", "did not say who you are", "")
}

func googleUser(more map[string]any) map[string]any {
	u := map[string]any{"sub": "110169484474386276334", "hd": "example.com", "email": "alice@example.com", "email_verified": true, "name": "Alice Liddell"}
	maps.Copy(u, more)
	for k, v := range u {
		if v == nil {
			delete(u, k)
		}
	}
	return u
}

// newGoogle has no end_session_endpoint, and no refresh token for a scope.
func newGoogle(t *testing.T) *oidctest.OP {
	t.Helper()
	op := newOP(t)
	op.SetBehaviour(oidctest.Mode{Discovery: func(_ *oidctest.OP, d map[string]any) { delete(d, "end_session_endpoint") }})
	op.SetUser(googleUser(nil))
	return op
}

func TestPresetGoogle(t *testing.T) {
	op := newGoogle(t)
	g := start(t, preset(t, "google", op, "hosted_domain Example.com"), groupSite)
	b := newBrowser(t)
	p := g.open(b, g.url("/a"))
	landed(t, p, "/a", "corp:110169484474386276334")
	if u, m := header(p.Body, "X-User"), header(p.Body, "X-Email"); !slices.Equal(u, []string{"alice@example.com"}) || !slices.Equal(m, u) {
		t.Errorf("X-User %q, X-Email %q", u, m)
	}
	if q := op.Requests()[0]; q.Get("hd") != "example.com" || q.Has("access_type") || q.Has("prompt") {
		t.Errorf("asked: %v", q)
	}
	// There is no login at Google to end: ours is.
	if p := g.leave(b); p.Status != http.StatusOK || g.hasTicket(b) {
		t.Errorf("after logout: %d at %s", p.Status, p.URL)
	}
	// Whoever comes next is asked again, in a word that Google has.
	if q := g.away(newBrowser(t), "/.identity/login?provider=corp&return_to=/a").Query(); q.Get("prompt") == "login" {
		t.Errorf("asked: %v", q)
	}
}

func TestPresetGoogleHostedDomain(t *testing.T) {
	op := newGoogle(t)
	g := start(t, preset(t, "google", op, "hosted_domain example.com example.org"), groupSite)
	landed(t, g.open(newBrowser(t), g.url("/a")), "/a", "")
	if q := op.Requests()[0]; q.Get("hd") != "*" {
		t.Errorf("asked: %v", q)
	}
	for _, tc := range []struct {
		name   string
		claims map[string]any
		detail string
	}{
		{"private account", map[string]any{"hd": nil, "email": "alice@gmail.com"}, "hd is missing"},
		{"private account with an address of the domain", map[string]any{"hd": nil}, "hd is missing"},
		{"another domain", map[string]any{"hd": "evil.example"}, "none of the hosted domains"},
		{"a domain that ends so", map[string]any{"hd": "notexample.com"}, "none of the hosted domains"},
		{"below the domain", map[string]any{"hd": "sub.example.com"}, "none of the hosted domains"},
		{"empty", map[string]any{"hd": ""}, "hd is missing"},
		{"a list", map[string]any{"hd": []string{"example.com"}}, "hd is missing"},
		{"not verified", map[string]any{"email_verified": false}, "not verified"},
		{"verification not said", map[string]any{"email_verified": nil}, "not verified"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			op.SetUser(googleUser(tc.claims))
			g.refusedAs(t, "foreign_account", "does not belong to the organisation", tc.detail)
		})
	}
	op.SetUser(googleUser(map[string]any{"hd": "example.org", "email": "bob@example.org", "sub": "2"}))
	landed(t, g.open(newBrowser(t), g.url("/a")), "/a", "corp:2")
}

// A domain that was sold brings new people under old addresses: they are others.
func TestI06PresetGoogleSubjectStays(t *testing.T) {
	op := newGoogle(t)
	g := start(t, preset(t, "google", op, "hosted_domain example.com"), groupSite)
	landed(t, g.open(newBrowser(t), g.url("/a")), "/a", "corp:110169484474386276334")
	op.SetUser(googleUser(map[string]any{"sub": "999"}))
	b := newBrowser(t)
	g.wantConflict(b, g.open(b, g.url("/a")), "corp:999", "corp:110169484474386276334")
}

func TestPresetGoogleRefresh(t *testing.T) {
	op := newGoogle(t)
	g := start(t, preset(t, "google", op, "hosted_domain example.com", "refresh on", "prompt select_account"), groupSite)
	landed(t, g.open(newBrowser(t), g.url("/a")), "/a", "")
	if q := op.Requests()[0]; q.Get("access_type") != "offline" || q.Get("prompt") != "consent select_account" || strings.Contains(q.Get("scope"), "offline") {
		t.Errorf("asked: %v", q)
	}
}
