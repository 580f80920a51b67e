package headers

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

func facts() *flows.Facts {
	f := flowstest.DialectFacts()
	f.User.Claims = map[string]any{
		"sub": "u-1", "address": map[string]any{"city": "Köln", "geo": map[string]any{"lat": 50.94}},
		"https://example.com/roles": []any{"a", "b"}, "a.b": map[string]any{"c.d": "dotted"}, "a": map[string]any{"b": "nested"},
		"evil": "{env.HOME}{user.email}",
	}
	f.User.Attributes["place"] = map[string]any{"room": "7", "floor.no": float64(2)}
	f.User.Attributes["dotted.name"] = "whole"
	f.User.Attributes["one"] = []any{"a,b"}
	f.Evidence = append(f.Evidence,
		flows.Evidence{Provider: "local", Method: "totp", AMR: []string{"otp", "mfa"}, At: f.Evidence[0].At.Add(30 * time.Minute)},
		flows.Evidence{Method: "device", AMR: []string{"dev"}, ACR: "no", Kind: flows.DeviceTrust, At: f.Now},
	)
	return f
}

func TestTemplateValues(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		template string
		want     []string
		list     bool
	}{
		{"{user.name}", []string{"alice"}, false},
		{"{user.key}", []string{"corp:u-1"}, false},
		{`CORP\\{user.name}`, []string{`CORP\alice`}, false},
		{`\{x\}{user.name}`, []string{`{x}alice`}, false},
		{"{user.provider}", []string{"corp"}, false},
		{"{user.groups}", []string{"staff", "payroll"}, true},
		{"{user.department}", []string{"sales"}, false},
		{"{user.employee_id}", []string{"1234567"}, false},
		{"{user.place.room}", []string{"7"}, false},
		{"{user.place.floor.no}", []string{"2"}, false},
		{"{user.place}", []string{`{"floor.no":2,"room":"7"}`}, false},
		{"{user.dotted.name}", []string{"whole"}, false},
		{"{user.nosuch}", nil, false},
		{"{user.nosuch.deeper}", nil, false},
		{"{user.claims.sub}", []string{"u-1"}, false},
		{"{user.claims.address.city}", []string{"Köln"}, false},
		{"{user.claims.address.geo.lat}", []string{"50.94"}, false},
		{"{user.claims.https://example.com/roles}", []string{"a", "b"}, true},
		{"{user.claims.a.b.c.d}", []string{"dotted"}, false},
		{"{user.claims.a.b}", []string{"map"}, false},
		{"{user.claims.address.street}", nil, false},
		{"{session.id}", []string{"public-1"}, false},
		{"{auth.method}", []string{"totp"}, false},
		{"{auth.provider}", []string{"local"}, false},
		{"{auth.acr}", []string{"gold"}, false},
		{"{auth.amr}", []string{"pwd", "otp", "mfa"}, true},
		{"{auth.age}", []string{"1800"}, false},
		{"fixed", []string{"fixed"}, false},
		{"id-{user.name}@{user.department}", []string{"id-alice@sales"}, false},
		{"{user.name}{user.department}", []string{"alicesales"}, false},
		{"id-{user.nosuch}", nil, false},
		{"{user.name}/{user.nosuch}", nil, false},
		{`\{{user.name}\}`, []string{"{alice}"}, false},
		{"in {user.groups}", []string{"in staff,payroll"}, false},
		{"in {user.one}", []string{"in a%2Cb"}, false},
	} {
		tpl, err := ParseTemplate(tc.template)
		if err != nil {
			t.Errorf("%s: %v", tc.template, err)
			continue
		}
		got, list := tpl.Values(facts())
		if tc.want != nil && tc.want[0] == "map" {
			tc.want = []string{`{"c.d":"dotted"}`} // the longest name wins
		}
		if !slices.Equal(got, tc.want) || list != tc.list {
			t.Errorf("%s = %q (list %v), want %q (%v)", tc.template, got, list, tc.want, tc.list)
		}
	}
}

// TestP14ClaimsAreData: what a claim holds is never expanded.
func TestP14ClaimsAreData(t *testing.T) {
	t.Parallel()
	for template, want := range map[string]string{
		"{user.claims.evil}":   "{env.HOME}{user.email}",
		"a{user.claims.evil}b": "a{env.HOME}{user.email}b",
	} {
		o, err := NewOwnHeader("X-Evil", template, flows.HeaderOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := build(t, facts(), o); len(got) != 1 || got[0].Value != want {
			t.Errorf("%s became %q", template, got)
		}
	}
}

func TestTemplateOfNobody(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"{user.name}", "{user.x.y}", "{user.claims.x}", "{session.id}", "{auth.method}", "{auth.acr}", "{auth.amr}", "{auth.age}", "{auth.provider}"} {
		tpl, err := ParseTemplate(s)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := tpl.Values(&flows.Facts{}); len(got) != 0 {
			t.Errorf("%s of nobody is %q", s, got)
		}
	}
}

func TestTemplateErrorsListWhatExists(t *testing.T) {
	t.Parallel()
	for template, want := range map[string]string{
		"{usr.name}":          "unknown placeholder {usr.name}; there are: {user.<attribute>}",
		"{user}":              "unknown placeholder {user}",
		"{user.}":             "unknown placeholder {user.}",
		"{http.request.host}": "unknown placeholder {http.request.host}",
		"{env.HOME}":          "unknown placeholder {env.HOME}",
		"{auth.nosuch}":       "unknown placeholder {auth.nosuch}",
		"{auth.}":             "unknown placeholder {auth.}",
		"{session.secret}":    "unknown placeholder {session.secret}",
		"{}":                  "unknown placeholder {}",
		"{user.name":          "not closed",
		"{user.{user.name}}":  "not closed",
		"a}b":                 "a } without a {",
		"":                    "empty template",
		"a\r\nb":              "control character",
		"{user.name}\x00":     "control character",
		"{user.claims}":       "unknown placeholder", "x{user.claims.}": "unknown placeholder",
	} {
		_, err := ParseTemplate(template)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", template, err, want)
		}
	}
}

func TestOwnHeaderRefusesFramingAndBadNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"", "X User", "X:User", "X\r\nUser", "Ünicode", "X(1)", "Host", "connection", "Content-Length", "content_length", "Transfer-Encoding",
		"TRANSFER.ENCODING", "Cookie", "Set-Cookie", "Trailer", "TE", "Upgrade", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization",
		"Expect", "Proxy", "X-Forwarded-For", "X_Forwarded_Host", "X-Forwarded-Proto", "Content-Type",
	} {
		if _, err := NewOwnHeader(name, "{user.name}", flows.HeaderOptions{}); err == nil {
			t.Errorf("header %q is accepted", name)
		}
	}
	for _, name := range []string{"X-User", "SM_USER", "x~odd!", "Authorization", "From"} {
		if _, err := NewOwnHeader(name, "{user.name}", flows.HeaderOptions{}); err != nil {
			t.Errorf("header %q: %v", name, err)
		}
	}
	if _, err := NewOwnHeader("X-A", "{user.nosuch", flows.HeaderOptions{}); err == nil || !strings.Contains(err.Error(), "header X-A") {
		t.Errorf("the error does not name the header: %v", err)
	}
	if _, err := NewOwnHeader("X-A", "a", flows.HeaderOptions{Encode: "nosuch"}); err == nil || !strings.Contains(err.Error(), "there are: auto") {
		t.Errorf("the error does not list the encodings: %v", err)
	}
	for _, family := range []string{"*", "X*", "Co*", "Host*", "X-Forwarded-*", "a b*", "X-*-*"} {
		if ValidateOwned(family) == nil {
			t.Errorf("family %q is accepted", family)
		}
	}
}

func TestOwnHeaderConforms(t *testing.T) {
	t.Parallel()
	for _, tpl := range []string{"{user.name}", "{user.groups}", "{user.claims.address}", "{auth.age}", "id {user.name} {user.dn}"} {
		o, err := NewOwnHeader("X_Own", tpl, flows.HeaderOptions{})
		if err != nil {
			t.Fatal(err)
		}
		flowstest.TestDialect(t, o, Encode)
	}
}
