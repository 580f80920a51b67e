package oidc

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
	"github.com/sallyport-gateway/sallyport/adapters/internal/jwt"
	"github.com/sallyport-gateway/sallyport/flows"
)

// FuzzCallback: whatever the browser brings to the callback, the answer is one
// code or a refusal.
func FuzzCallback(f *testing.F) {
	for _, s := range []string{
		"code=a&state=b", "code=a&code=b&state=c", "state=a&state=a", "error=access_denied&state=a", "error=x&code=y&state=z",
		"code=a&state=b&iss=https%3A%2F%2Fop.example", "code=a&state=b&iss=https%3A%2F%2Fop.example&iss=https%3A%2F%2Fevil.example",
		"", "&&&", "code=%00&state=%zz", "id_token=a.b.c&code=x&state=y", "code=" + strings.Repeat("a", 9000) + "&state=s",
	} {
		f.Add(s)
	}
	p := &Provider{issuer: "https://op.example"}
	m := &metadata{Issuer: p.issuer, SendsIssuer: true}
	f.Fuzz(func(t *testing.T, raw string) {
		values, _ := url.ParseQuery(raw)
		c := flows.Callback{URL: "https://app.example/cb", Values: values}
		h, err := p.Handle(c)
		mustRefuse(t, err)
		if err == nil && (h == "" || len(values["state"]) != 1 || values["state"][0] != h) {
			t.Errorf("handle %q of %q", h, raw)
		}
		if singular(values) != nil {
			return
		}
		code, err := p.answer(m, c)
		mustRefuse(t, err)
		if err == nil && (code == "" || values.Get("iss") != p.issuer || values.Has("error")) {
			t.Errorf("code %q of %q", code, raw)
		}
	})
}

func mustRefuse(t *testing.T, err error) {
	t.Helper()
	var r *flows.Refusal
	if err != nil && !errors.As(err, &r) {
		t.Errorf("%v is no refusal", err)
	}
}

// FuzzIDTokenClaims: no claims make a person without a subject, with another
// audience's party, or a panic.
func FuzzIDTokenClaims(f *testing.F) {
	for _, s := range []string{
		`{"sub":"a","iat":1772366400,"exp":1772366700,"nonce":"n","aud":"gateway"}`,
		`{"sub":"a","sub":"b","iat":1772366400,"exp":1772366700}`, `{"SUB":"admin","sub":"a","iat":1772366400,"exp":1772366700}`,
		`{"sub":7,"iat":1e300,"exp":-1}`, `{"sub":"a","iat":1772366400,"exp":1772366700,"aud":["gateway","x"]}`,
		`{"sub":"a","iat":1772366400,"exp":1772366700,"groups":["a",1],"_claim_names":{"groups":"x"}}`,
		`{"sub":"a","iat":1772366400,"exp":1772366700,"email":"a@b@c","email_verified":true,"preferred_username":"a"}`,
		`[]`, `null`, `{}`, `{"a":{"a":{"a":{}}}}`, strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100), `{} {}`, "\x00", `{"sub":"a"`,
	} {
		f.Add([]byte(s))
	}
	p := &Provider{clientID: "gateway", issuer: "https://op.example", now: fixed}
	f.Fuzz(func(t *testing.T, b []byte) {
		claims, err := jwt.Object(b)
		if err != nil {
			return
		}
		var again map[string]any
		if err := json.Unmarshal(b, &again); err != nil || len(again) != len(claims) {
			t.Fatalf("accepted what is no object: %v", err)
		}
		id, err := p.checkClaims(claims)
		if err != nil {
			return
		}
		if id.subject == "" || len(id.subject) > 255 || id.subject != claims["sub"] {
			t.Errorf("subject %q", id.subject)
		}
		if azp, ok := claims["azp"]; ok && azp != "gateway" {
			t.Errorf("azp %v", azp)
		}
		u, err := p.user(id.subject, claims)
		mustRefuse(t, err)
		if err == nil && (strings.Count(u.Email, "@") > 1 || (u.Email != "" && claims["email_verified"] != true && claims["email_verified"] != "true")) {
			t.Errorf("email %q", u.Email)
		}
		for _, name := range flows.ReservedAttributes {
			if _, ok := u.Attributes[name]; ok {
				t.Errorf("reserved attribute %s", name)
			}
		}
	})
}

// FuzzLogoutToken: bytes that no provider signed end nothing.
func FuzzLogoutToken(f *testing.F) {
	op := oidctest.New(f)
	f.Add(op.Logout("u", "s", ""))
	for variant := range oidctest.LogoutVariants {
		f.Add(op.Logout("u", "s", variant))
	}
	for _, s := range []string{"", ".", "..", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", `{"payload":"","signatures":[]}`, strings.Repeat(".", 5000)} {
		f.Add(s)
	}
	good := &Provider{clientID: op.ClientID, issuer: op.Issuer, now: fixed, src: &source{issuer: op.Issuer, now: fixed, keys: new(jwt.Keys), poke: make(chan struct{}, 1)}}
	other := oidctest.NewKey("RS256") // the keys at hand are not the ones that signed the seeds
	b, _ := json.Marshal(map[string]any{"keys": []any{other.JWK()}})
	good.src.keys.Lend(&http.Client{Transport: document(b)}, fixed)
	good.src.keys.Use("https://op.example/keys")
	good.src.keys.Prefetch(f.Context())
	good.src.good = &metadata{Issuer: op.Issuer}
	good.warming.Store(true)
	f.Fuzz(func(t *testing.T, token string) {
		lc, err := good.VerifyLogout(t.Context(), token)
		if err == nil || !reflect.DeepEqual(lc, flows.LogoutClaim{}) {
			t.Errorf("accepted: %+v", lc)
		}
		mustRefuse(t, err)
	})
}

// document answers every request with the same bytes.
type document []byte

func (d document) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(d))}, nil
}
