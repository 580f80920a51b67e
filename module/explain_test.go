package module_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/module"
)

// provisioned is the app of a Caddyfile that does not run, as `caddy validate` makes it.
func provisioned(t testing.TB, text string) *module.App {
	t.Helper()
	b, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		t.Fatal(err)
	}
	cfg := new(caddy.Config)
	if err := caddy.StrictUnmarshalJSON(b, cfg); err != nil {
		t.Fatal(err)
	}
	ctx, err := caddy.ProvisionContext(cfg)
	if err != nil {
		t.Fatal(err)
	}
	v, err := ctx.App("identity")
	if err != nil {
		t.Fatal(err)
	}
	if v, err := ctx.App("http"); err != nil || len(v.(*caddyhttp.App).Servers) == 0 {
		t.Fatal(err)
	}
	a := v.(*module.App)
	t.Cleanup(a.LetGo)
	return a
}

const explained = `{
	admin off
	identity {
		provider corp oidc {
			issuer https://nobody.invalid
			client_id x
			client_secret y
		}
		factor totp
		factor recovery
		policy admins ` + "`\"admins\" in user.groups`" + `
		directory hr http {
			url https://nobody.invalid
			query u {value}
		}
		flow staff {
			login corp
			lookup hr {
				by mail {user.email}
				attribute dept department
			}
			when ` + "`user.dept == \"it\"`" + ` {
				mfa totp recovery
			}
			require ` + "`user.dept != \"guest\"`" + ` "No guests."
		}
		store file /nowhere/at/all
	}
}
http://app.example.com:8088 {
	protect {
		headers siteminder
		assertion
		public /public/*
		require /admin/* admins "Administrators only."
		require /odd/* ` + "`user.nothing == \"x\"`" + `
		step_up /money/* {
			within 5m
		}
	}
	reverse_proxy 127.0.0.1:1
}
`

func explain(t testing.TB, a *module.App, text string) *module.Explanation {
	t.Helper()
	var c module.ExplainCase
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	c.Offline = true
	e, err := a.Explain(t.Context(), c)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return e
}

// Without any provider, store or server: a config that does not run.
func TestExplainWithoutARunningServer(t *testing.T) {
	a := provisioned(t, explained)
	const site, alice = `"url":"http://app.example.com:8088`, `"user":{"name":"alice","email":"a@example.com","groups":["staff","admins"]}`
	for name, tc := range map[string]struct {
		in, decision, rule, reason string
		factors                    []string
	}{
		"nobody":            {site + `/x"`, "login_needed", "", "login_required", nil},
		"public":            {site + `/public/x"`, "open", "", "", nil},
		"in":                {site + `/x",` + alice + `,"lookups":{"hr":{"department":"hr"}}`, "allowed", "", "", nil},
		"admin":             {site + `/admin/x",` + alice + `,"lookups":{"hr":{"department":"hr"}}`, "allowed", "", "", nil},
		"no admin":          {site + `/admin",` + strings.Replace(alice, `,"admins"`, "", 1) + `,"lookups":{"hr":{"department":"hr"}}`, "denied", "Caddyfile:35", "not_allowed", nil},
		"failed":            {site + `/odd/x",` + alice + `,"lookups":{"hr":{"department":"hr"}}`, "denied", "Caddyfile:36", "condition_error", nil},
		"guest":             {site + `/x",` + alice + `,"lookups":{"hr":{"department":"guest"}}`, "denied", "Caddyfile:25", "not_allowed", nil},
		"unknown":           {site + `/x",` + alice + `,"lookups":{"hr":null}`, "denied", "Caddyfile:18", "not_in_directory", nil},
		"not asked":         {site + `/x",` + alice, "denied", "Caddyfile:18", "directory_unavailable", nil},
		"factor":            {site + `/x",` + alice + `,"factors":["recovery","totp"],"lookups":{"hr":{"department":"it"}}`, "factor_asked", "Caddyfile:23", "login_required", []string{"totp", "recovery"}},
		"none enrolled":     {site + `/x",` + alice + `,"lookups":{"hr":{"department":"it"}}`, "denied", "Caddyfile:23", "not_enrolled", nil},
		"enrols":            {site + `/x",` + alice + `,"evidence":[{"amr":["mfa"]}],"lookups":{"hr":{"department":"it"}}`, "factor_asked", "Caddyfile:23", "login_required", []string{"totp"}},
		"proved":            {site + `/x",` + alice + `,"evidence":[{},{"method":"totp"}],"lookups":{"hr":{"department":"it"}}`, "allowed", "", "", nil},
		"stale proof":       {site + `/money/x",` + alice + `,"flows":["staff"],"factors":["totp"],"evidence":[{},{"method":"totp","age":"6m"}]`, "step_up_needed", "Caddyfile:37", "step_up_required", []string{"totp"}},
		"fresh proof":       {site + `/money/x",` + alice + `,"flows":["staff"],"evidence":[{},{"method":"totp","age":"4m"}]`, "allowed", "", "", nil},
		"other flow":        {site + `/x",` + alice + `,"flows":[],"lookups":{"hr":{"department":"hr"}}`, "allowed", "", "", nil},
		"bad path":          {site + `/a//b",` + alice, "denied", "", "bad_path", nil},
		"own":               {site + `/.identity/account",` + alice, "own_page", "", "", nil},
		"not covered":       {`"url":"http://other.example.com:8088/"`, "not_covered", "", "", nil},
		"another provider":  {site + `/x",` + alice + `,"evidence":[{"provider":"elsewhere"}]`, "login_needed", "", "login_required", nil},
		"the session ended": {site + `/x",` + alice + `,"flows":["staff"],"session_age":"13h"`, "login_needed", "", "login_required", nil},
	} {
		e := explain(t, a, "{"+tc.in+"}")
		if e.Decision != tc.decision || e.Rule != tc.rule || e.Reason != flows.Reason(tc.reason) || !slices.Equal(e.Factors, tc.factors) {
			b, _ := json.MarshalIndent(e, "", " ")
			t.Errorf("%s: want %+v, got\n%s", name, tc, b)
		}
	}
	e := explain(t, a, "{"+site+`/x",`+alice+`,"flows":["staff"],"time":"2026-01-02T03:04:05Z","headers":{"sm_user":"mallory","Accept":"text/html"}}`)
	if !slices.Equal(e.Removed, []string{"Sm_user"}) || e.RemoteUser != "alice" {
		t.Errorf("removed %v, remote user %q", e.Removed, e.RemoteUser)
	}
	has := map[string]string{}
	for _, h := range e.Headers {
		has[h.Name] = h.Value
	}
	if has["SM_USER"] != "alice" || !strings.HasPrefix(has["X-Identity-Assertion"], "JWT, ") {
		t.Errorf("%v", has)
	}
}

// Whatever is posted is a case or an error, and nothing else happens.
func FuzzExplainCase(f *testing.F) {
	a := provisioned(f, explained)
	for _, s := range []string{
		`{"url":"http://app.example.com:8088/x"}`, `{"url":"http://app.example.com:8088/money/x","user":{"name":"a","groups":["x"]},"flows":["staff"],"evidence":[{"method":"totp","age":"9m"}]}`,
		`{"url":"http://app.example.com:8088/odd/x","user":"corp:a","lookups":{"hr":null},"headers":{"a":["b"],"SM_USER":"x"}}`, `{"url":"http://[::1]:8088/%2e%2e/;x","method":"X Y","form":{"a":"b"}}`,
		`{"url":"//x","address":"::1","peer":"10.0.0.1","readings":{"x":{"score":-1}},"time":"0001-01-01T00:00:00Z","device":{"trusted":true},"session_age":-1}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var c module.ExplainCase
		if json.Unmarshal(b, &c) != nil {
			return
		}
		c.Offline = true
		e, err := a.Explain(t.Context(), c)
		if (e == nil) == (err == nil) || e != nil && e.Decision == "" {
			t.Errorf("%s: %+v, %v", b, e, err)
		}
	})
}
