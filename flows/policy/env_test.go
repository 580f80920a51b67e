package policy

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// alice is signed in, with some of everything.
func alice() *flows.Facts {
	return &flows.Facts{
		Now: noon,
		User: &flows.User{
			Key: "corp:a1", Realm: "corp", Provider: "corp", Subject: "a1", Name: "alice", Email: "alice@contoso.com",
			Groups:     []string{"staff", "admins"},
			Attributes: map[string]any{"department": "R&D", "level": 3.0, "tags": []any{"x", "y"}, "address": map[string]any{"city": "Paris"}, "x-y": true},
			Claims:     map[string]any{"https://contoso.com/roles": []any{"r1"}},
		},
		Evidence: []flows.Evidence{
			{User: "corp:a1", Provider: "corp", Method: "oidc", AMR: []string{"pwd"}, ACR: "low", At: noon.Add(-2 * time.Hour)},
			{User: "corp:a1", Method: "totp", AMR: []string{"otp", "mfa", "pwd"}, At: noon.Add(-time.Minute)},
			{User: "corp:a1", Method: "device", AMR: []string{"swk"}, ACR: "high", At: noon, Kind: flows.DeviceTrust},
			{User: "corp:a1", Method: "webauthn", AMR: []string{"hwk"}, At: noon.Add(-time.Second), Kind: flows.EnrolledNow},
		},
		Session: &flows.SessionFacts{Started: noon.Add(-3 * time.Hour), Flows: map[string]string{"staff": "d0"}},
		Request: &flows.Request{
			Method: "POST", Host: "app.example.com", Path: "/admin/x", Query: "a=1&b=2&b=3", IP: "10.1.2.3",
			Header: http.Header{"User-Agent": {"curl"}, "Accept": {"a", "b"}, "Content-Type": {"application/json; charset=utf-8"}},
			Body:   func() ([]byte, error) { return []byte(`{"amount": 12, "to": {"iban": "DE"}}`), nil },
		},
		Readings: map[string]flows.Reading{"travel": {Score: 40, Reason: "too_fast"}, "device": {Score: 5}},
	}
}

func newEnv(t testing.TB, policies map[string]Source) *Env {
	t.Helper()
	e, err := New(policies)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func holds(t testing.TB, e *Env, cel string, f *flows.Facts) (bool, error) {
	t.Helper()
	c, err := e.Condition(flows.ConditionRef{CEL: cel, Source: "Caddyfile:7"})
	if err != nil {
		t.Fatalf("%s: %v", cel, err)
	}
	return c.Holds(f)
}

func TestConditionVariables(t *testing.T) {
	t.Parallel()
	e := newEnv(t, map[string]Source{
		"admins":    {CEL: `"admins" in user.groups`},
		"at-office": {CEL: `cidr("10.0.0.0/8").containsIP(request.ip) && policy.admins`},
		"broken":    {CEL: `user.nothing == 1`},
	})
	for _, cel := range []string{
		`user.name == "alice" && user.key == "corp:a1" && user.provider == "corp" && user.email.endsWith("@contoso.com")`,
		`"admins" in user.groups && size(user.groups) == 2 && user.groups[0] == "staff"`,
		`!("nobody" in user.groups)`,
		`user.groups.exists(g, g.startsWith("adm"))`,
		`user.department == "R&D" && user.level >= 3 && "x" in user.tags && user.address.city == "Paris"`,
		`user["x-y"]`, `user["groups"] == ["staff", "admins"]`,
		`has(user.department) && !has(user.nothing) && !has(user.display_name)`,
		`"r1" in user.claims["https://contoso.com/roles"]`,
		`auth.amr == ["pwd", "otp", "mfa", "hwk"]`, `"mfa" in auth.amr`, `auth.acr == "low"`,
		`auth.age == duration("1m")`, `auth.method == "oidc" && auth.provider == "corp" && !auth.fallback`,
		`auth.factor_age["totp"] == duration("1m")`, `auth.factor_age["webauthn"] > duration("87000h")`,
		`auth.factor_age["device"] > duration("87000h")`, `auth.factor_age["never"] > duration("87000h")`,
		`risk.score == 45 && risk.level == "medium" && risk.reasons == ["too_fast"]`, `has(risk.score)`,
		`!device.known && device.trusted && geo.country == "" && geo.city == "" && geo.asn == 0`,
		`request.method == "POST" && request.host == "app.example.com" && request.path.startsWith("/admin/")`,
		`request.header["user-agent"] == "curl" && request.header["accept"] == "a, b" && !("x" in request.header)`,
		`request.header.exists(k, k == "accept")`, `!has(request.header.cookie)`,
		`request.query.a == "1" && !has(request.query.z) && size(request.query) == 2`,
		`request.json.amount > 10 && request.json.to.iban == "DE"`,
		`request.ip == "10.1.2.3"`, `session.age == duration("3h")`, `now.getHours() == 12`, `now.getHours("Europe/Berlin") == 13`,
		`policy.admins`, `policy["at-office"] && policy.admins`,
		`user.department.lowerAscii().split("&")[0] == "r"`, `user.department.replace("&", " and ") == "R and D"`,
		`["user"].exists(user, user == "user")`,
	} {
		if ok, err := holds(t, e, cel, alice()); err != nil || !ok {
			t.Errorf("%s = %v, %v", cel, ok, err)
		}
	}
}

func TestHostIsWithoutItsPort(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	for host, want := range map[string]string{"app.example.com": "app.example.com", "app.example.com:8443": "app.example.com", "[::1]:8443": "::1", "[::1]": "::1", "127.0.0.1:80": "127.0.0.1"} {
		f := alice()
		f.Request.Host = host
		if ok, err := holds(t, e, `request.host == "`+want+`"`, f); err != nil || !ok {
			t.Errorf("%s: request.host is not %s: %v", host, want, err)
		}
	}
}

// An error denies: it is never read as false that a `!` turns into true.
func TestI22ErrorInAConditionIsAnError(t *testing.T) {
	t.Parallel()
	e := newEnv(t, map[string]Source{"broken": {CEL: `user.nothing == 1`}})
	nobody := &flows.Facts{Now: noon}
	doubled := alice()
	doubled.Request.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	doubled.Request.Body = func() ([]byte, error) { return []byte("amount=1&amount=2&to=x"), nil }
	dupKeys := alice()
	dupKeys.Request.Body = func() ([]byte, error) { return []byte(`{"a":1,"a":2}`), nil }
	trailing := alice()
	trailing.Request.Body = func() ([]byte, error) { return []byte(`{"a":1} {"a":2}`), nil }
	badQuery := alice()
	badQuery.Request.Query = "a=%zz&b=1"
	for _, tc := range []struct {
		cel   string
		facts *flows.Facts
	}{
		{`user.nothing == "x"`, alice()},
		{`!(user.nothing == "x")`, alice()},
		{`user.display_name == ""`, alice()},
		{`!policy.broken`, alice()},
		{`user.department`, alice()}, // not a bool
		{`user.name != "root"`, nobody},
		{`!("admins" in user.groups)`, nobody},
		{`user.name != "root"`, nil},
		{`request.query.b == "2"`, alice()},
		{`request.query.b != "9"`, alice()},
		{`has(request.query.b)`, alice()},
		{`request.query.b == "1"`, badQuery},
		{`request.form.amount == "1"`, doubled},
		{`request.form.a == "1"`, alice()}, // json
		{`request.json.a == 1`, doubled},   // form
		{`request.json.a == 1`, dupKeys},
		{`request.json.a == 1`, trailing},
		{`request.json.a == 1`, nobody},
		{`risk.score < 30`, nobody},
		{`session.age < duration("1h")`, nobody},
		{`user.level.startsWith("x")`, alice()},
		{`cidr(user.name).containsIP(request.ip)`, alice()},
	} {
		ok, err := holds(t, e, tc.cel, tc.facts)
		if err == nil || ok {
			t.Errorf("%s = %v, %v; want an error", tc.cel, ok, err)
		} else if !strings.HasPrefix(err.Error(), "Caddyfile:7: ") {
			t.Errorf("%s: %q does not name its line", tc.cel, err)
		}
	}
	if ok, err := holds(t, e, `request.form.to == "x"`, doubled); !ok || err != nil {
		t.Errorf("a field that occurs once: %v, %v", ok, err)
	}
}

func TestI22NobodyIsNotAUserWithoutGroups(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	nogroups := alice()
	nogroups.User.Groups = nil
	for _, tc := range []struct {
		cel   string
		facts *flows.Facts
		want  bool
	}{
		{`size(user.groups) == 0 && has(user.groups)`, nogroups, true},
		{`has(user.groups) || has(user.name) || has(user.claims) || has(user.department)`, &flows.Facts{}, false},
	} {
		if ok, err := holds(t, e, tc.cel, tc.facts); err != nil || ok != tc.want {
			t.Errorf("%s = %v, %v", tc.cel, ok, err)
		}
	}
}

func TestB21WhatDoesNotExistIsRefusedAtLoad(t *testing.T) {
	t.Parallel()
	e := newEnv(t, map[string]Source{"admins": {CEL: `true`}, "office_hours": {CEL: `true`}})
	for _, tc := range []struct{ cel, want string }{
		{`usr.name == "x"`, "unknown name 'usr'; there are: auth, device, geo, policy, request, risk, session, user, now"},
		{`auth.arm == []`, "'auth' has no 'arm'; there are: auth.acr, auth.age, auth.amr"},
		{`has(auth.arm)`, "'auth' has no 'arm'"},
		{`request.queri.a == ""`, "'request' has no 'queri'; there are: request.form"},
		{`risk.points > 1`, "'risk' has no 'points'; there are: risk.level, risk.reasons, risk.score"},
		{`device.new`, "'device' has no 'new'; there are: device.known, device.trusted"},
		{`session.started`, "'session' has no 'started'; there are: session.age"},
		{`geo.continent == ""`, "'geo' has no 'continent'"},
		{`policy.admin`, "no policy is called 'admin'; there are: admins, office_hours"},
		{`policy["admin"]`, "no policy is called 'admin'"},
		{`policy[request.path]`, "the name in policy[…] must be written out"},
		{`user[request.query.a] == ""`, "the name in user[…] must be written out"},
		{`size(user) > 0`, "'user' cannot be used as a whole"},
		{`auth == auth`, "'auth' cannot be used as a whole"},
		{`.auth.arm == []`, "'auth' has no 'arm'"},
		{`user.name`, "must be true or false"},
		{`1 + 1`, "a condition must be true or false, this is int"},
		{`user.name == 1`, "found no matching overload"},
		{`user.groups == "admins"`, "found no matching overload"},
		{`user.name = "x"`, "Syntax error"},
		{`nofunc(user.name)`, "undeclared reference to 'nofunc'"},
		{`  `, "empty"},
		{`user.name.replace("a", request.query.b) == ""`, "what replace inserts must be written out"},
		{`user.groups.join(request.path) == ""`, "what join inserts must be written out"},
		{`request.path.matches("(")`, "error parsing regexp"},
		{`request.path.matches("[0-9]{2}")`, "write repetitions out"},
		{`identity.user{}.name == ""`, "cannot make a identity.user"},
	} {
		_, err := e.Condition(flows.ConditionRef{CEL: tc.cel, Source: "Caddyfile:9"})
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), "Caddyfile:9: ") {
			t.Errorf("%s: %v\nwant %q", tc.cel, err, tc.want)
		}
	}
	_, err := e.Condition(flows.ConditionRef{CEL: `"a" == auth.arm`, Source: "Caddyfile:9"})
	if err == nil || !strings.Contains(err.Error(), "^") {
		t.Errorf("no caret in %v", err)
	}
}

func TestPolicyNamesAndCycles(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		policies map[string]Source
		want     string
	}{
		{"cycle", map[string]Source{"a": {`policy.b`, "f:1"}, "b": {`true || policy.c`, "f:2"}, "c": {`policy.a`, "f:3"}}, "policy a refers to itself: a → b → c → a"},
		{"self", map[string]Source{"a": {`has(user.x) && policy.a`, "f:1"}}, "f:1: policy a refers to itself: a → a"},
		{"unknown", map[string]Source{"a": {`policy.bb`, "f:1"}}, "no policy is called 'bb'; there are: a"},
		{"syntax", map[string]Source{"a": {`policy.b`, "f:1"}, "b": {`user.`, "f:2"}}, "f:2: policy b: "},
		{"empty", map[string]Source{"a": {``, "f:1"}}, "f:1: policy a: "},
		{"not bool", map[string]Source{"a": {`1`, "f:1"}}, "f:1: policy a: a condition must be true or false"},
		{"bad name", map[string]Source{"A b": {`true`, "f:1"}}, "must match [a-z0-9_-]+"},
	} {
		_, err := New(tc.policies)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
	e := newEnv(t, map[string]Source{"admins": {`true`, "f:1"}, "b": {`false`, "f:2"}})
	for ref, want := range map[flows.ConditionRef]string{
		{Policy: "admin", Source: "Caddyfile:3"}: "Caddyfile:3: no policy is called 'admin'; there are: admins, b",
		{Policy: "b", CEL: "true"}:               "either a policy or CEL, not both",
		{}:                                       "the condition is empty",
	} {
		if _, err := e.Condition(ref); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", ref, err)
		}
	}
	c, err := e.Condition(flows.ConditionRef{Policy: "admins", Source: "Caddyfile:3"})
	if err != nil || c.Source() != "Caddyfile:3" {
		t.Fatalf("%v, %v", c, err)
	}
	if ok, err := c.Holds(nil); !ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
}

func TestI22ReadsAreThoseNotGuardedByHas(t *testing.T) {
	t.Parallel()
	e := newEnv(t, map[string]Source{
		"dept":    {CEL: `user.department == "x"`},
		"guarded": {CEL: `has(user.department)`},
		"safe":    {CEL: `has(user.department) && user.department == "x" && risk.score < 30`},
	})
	for _, tc := range []struct {
		cel  string
		want []string
	}{
		{`true`, nil},
		{`user.department == "x"`, []string{"user.department"}},
		{`has(user.department) && user.department == "x"`, nil},
		{`user.department == "x" && has(user.department)`, nil},
		{`!has(user.department) || user.department == "x"`, nil},
		{`has(user.department) || user.department == "x"`, []string{"user.department"}},
		{`has(user.department) ? user.department == "x" : false`, nil},
		{`!has(user.department) ? user.department == "x" : false`, []string{"user.department"}},
		{`has(user.department) ? true : user.department == "x"`, []string{"user.department"}},
		{`(has(user.a) || has(user.b)) && user.a == user.b`, []string{"user.a", "user.b"}},
		{`(has(user.a) && has(user.b)) && user.a == user.b`, nil},
		{`!(has(user.a) && has(user.b)) || user.a == user.b`, nil},
		{`!(!has(user.a) || !has(user.b)) && user.a == user.b`, nil},
		{`has(user.a.b) && user.a.b == 1`, []string{"user.a"}},
		{`user["x-y"] == 1 && user.claims["c"] == 2`, []string{"user.claims", "user.x-y"}},
		{`request.path == "/" && risk.score > 1 && now > now`, []string{"now", "request.path", "risk.score"}},
		{`user.groups.exists(g, g == user.department)`, []string{"user.department", "user.groups"}},
		{`["a"].exists(x, has(user.a) && user.a == x)`, nil},
		{`policy.dept`, []string{"user.department"}},
		{`policy.guarded && policy.dept`, nil},
		{`policy.guarded && user.department == "x"`, nil},
		{`policy.safe && user.department == "x"`, []string{"risk.score"}},
		{`!policy.safe && user.department == "x"`, []string{"risk.score", "user.department"}},
		{`[user.a, {"k": user.b}.k].size() == 2`, []string{"user.a", "user.b"}},
	} {
		c, err := e.Condition(flows.ConditionRef{CEL: tc.cel})
		if err != nil {
			t.Errorf("%s: %v", tc.cel, err)
			continue
		}
		if got := c.Reads(); len(got)+len(tc.want) > 0 && !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s reads %v, want %v", tc.cel, got, tc.want)
		}
	}
	c, err := e.Condition(flows.ConditionRef{Policy: "safe"})
	if err != nil || !reflect.DeepEqual(c.Reads(), []string{"risk.score"}) {
		t.Errorf("policy safe reads %v, %v", c.Reads(), err)
	}
}

func TestExpressionValues(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	for _, tc := range []struct {
		cel  string
		want any
	}{
		{`user.department.lowerAscii()`, "r&d"},
		{`size(user.groups)`, 2.0},
		{`user.level > 2`, true},
		{`1.5`, 1.5},
		{`2u`, 2.0},
		{`user.groups`, []any{"staff", "admins"}},
		{`user.groups.filter(g, g != "staff")`, []any{"admins"}},
		{`[]`, []any{}},
		{`user.address`, map[string]any{"city": "Paris"}},
		{`{"a": [1, "b"]}`, map[string]any{"a": []any{1.0, "b"}}},
		{`now`, "2026-11-23T12:00:00Z"},
		{`auth.age`, "1m0s"},
	} {
		x, err := e.Expression(tc.cel, "Caddyfile:3")
		if err != nil {
			t.Errorf("%s: %v", tc.cel, err)
			continue
		}
		if got, err := x.Value(alice()); err != nil || !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s = %#v, %v; want %#v", tc.cel, got, err, tc.want)
		}
	}
	for _, cel := range []string{`null`, `b"x"`, `{1: 2}`, `user.nothing`, `[null]`, `type(1)`, `request.query`} {
		x, err := e.Expression(cel, "Caddyfile:3")
		if err != nil {
			t.Errorf("%s: %v", cel, err)
			continue
		}
		if got, err := x.Value(alice()); err == nil || !strings.HasPrefix(err.Error(), "Caddyfile:3: ") {
			t.Errorf("%s = %#v, %v; want an error", cel, got, err)
		}
	}
	if _, err := e.Expression("", "Caddyfile:3"); err == nil {
		t.Error("an empty expression")
	}
	u := alice()
	x, _ := e.Expression(`user.address`, "")
	got, _ := x.Value(u)
	got.(map[string]any)["city"] = "Rome"
	if city := u.User.Attributes["address"].(map[string]any)["city"]; city != "Paris" {
		t.Errorf("the value shares the user's map: %v", city)
	}
}

// Names that some program reads as one, packed bodies and other charsets cannot be read
// beyond doubt, also where a condition only asks whether something is there (I22).
func TestI22WhatReadsInTwoWaysIsAnError(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	for _, tc := range []struct{ cel, typ, encoding, body string }{
		{`request.form.a == "1"`, "form", "", "a=1&A=2"},
		{`request.form.a == "1"`, "form", "", "a=1&a[]=2"},
		{`request.form["a_b"] == "1"`, "form", "", "a_b=1&a.b=2"},
		{`request.form.a == "1"`, "form", "", "a=1&a=2"},
		{`has(request.form.a)`, "form", "gzip", "a=1"},
		{`!has(request.form.a)`, "form", "", "A=1"},
		{`!("a" in request.form)`, "form", "", "A=1"},
		{`request.form.a == "1"`, "form; charset=utf-16", "", "a=1"},
		{`request.json.a == 1`, "json", "", `{"a":1,"A":2}`},
		{`request.json.a == 1`, "json", "", `{"A":1}`},
		{`!has(request.json.k)`, "json", "", "{\"\u212a\":1}"},
		{`request.json.x.a == 1`, "json", "", `{"x":{"a":1,"A":2}}`},
		{`request.json.a == 1`, "json", "br", `{"a":1}`},
		{`request.json.a == 1`, "json", "", "{\"a\":1,\"b\":\"\xff\"}"},
	} {
		f := alice()
		typ := strings.NewReplacer("form", "application/x-www-form-urlencoded", "json", "application/json").Replace(tc.typ)
		f.Request.Header = http.Header{"Content-Type": {typ}, "Content-Encoding": {tc.encoding}}
		f.Request.Body = func() ([]byte, error) { return []byte(tc.body), nil }
		if ok, err := holds(t, e, tc.cel, f); ok || err == nil {
			t.Errorf("%s of %q: %v, %v", tc.cel, tc.body, ok, err)
		}
	}
	f := alice()
	reads := 0
	f.Request.Body = func() ([]byte, error) { reads++; return []byte(`["a","b","c"]`), nil }
	if ok, err := holds(t, e, `request.json.exists(x, request.json[2] == x)`, f); !ok || err != nil || reads != 1 {
		t.Errorf("%v, %v, read %d times", ok, err, reads)
	}
}
