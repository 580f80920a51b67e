package demo

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// relyingParty is a plain client of the demo's provider.
type relyingParty struct {
	issuer string
	config oauth2.Config
	verify *oidc.IDTokenVerifier
}

func startProvider(t *testing.T) *relyingParty {
	t.Helper()
	var handler http.Handler
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(srv.Close)
	home := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(home.Close)
	p, err := newProvider(srv.URL, client{id: "rp", secret: "secret", redirect: home.URL + "/back", postLogout: home.URL + "/out"})
	if err != nil {
		t.Fatal(err)
	}
	handler = p.Handler()
	o, err := oidc.NewProvider(t.Context(), srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	return &relyingParty{
		issuer: srv.URL,
		config: oauth2.Config{
			ClientID: "rp", ClientSecret: "secret", Endpoint: o.Endpoint(),
			RedirectURL: home.URL + "/back", Scopes: []string{"openid", "profile", "email"},
		},
		verify: o.Verifier(&oidc.Config{ClientID: "rp"}),
	}
}

// signIn walks the provider's page and answers the query of the callback.
func (rp *relyingParty) signIn(t *testing.T, b *browser.Browser, name, password string, opts ...oauth2.AuthCodeOption) (url.Values, *browser.Page) {
	t.Helper()
	p, err := b.Open(rp.config.AuthCodeURL("the-state", opts...))
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(p.URL, rp.issuer+"/sign-in") {
		if p, err = p.Fill("username", name, "password", password); err != nil {
			t.Fatal(err)
		}
	}
	u, err := url.Parse(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query(), p
}

func TestProviderSignsPeopleIn(t *testing.T) {
	t.Parallel()
	rp, b := startProvider(t), browser.New()
	verifier := oauth2.GenerateVerifier()
	pkce := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(verifier), oidc.Nonce("the-nonce")}

	if _, p := rp.signIn(t, b, "alice", "wrong", pkce...); p.Status != http.StatusUnauthorized {
		t.Fatalf("wrong password: %d", p.Status)
	}
	q, p := rp.signIn(t, b, "alice", people[0].Password, pkce...)
	if q.Get("code") == "" || q.Get("state") != "the-state" {
		t.Fatalf("callback %s: %v", p.URL, q)
	}
	if _, err := rp.config.Exchange(t.Context(), q.Get("code"), oauth2.VerifierOption(oauth2.GenerateVerifier())); err == nil {
		t.Fatal("another verifier was good enough")
	}
	q, _ = rp.signIn(t, b, "", "", pkce...) // the provider remembers her
	tokens, err := rp.config.Exchange(t.Context(), q.Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rp.config.Exchange(t.Context(), q.Get("code"), oauth2.VerifierOption(verifier)); err == nil {
		t.Error("the code was good twice")
	}
	rp.checkToken(t, tokens)
	rp.checkLogout(t, b, tokens, pkce)
}

func (rp *relyingParty) checkToken(t *testing.T, tokens *oauth2.Token) {
	t.Helper()
	raw, _ := tokens.Extra("id_token").(string)
	id, err := rp.verify.Verify(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		Name     string   `json:"preferred_username"`
		Email    string   `json:"email"`
		Verified bool     `json:"email_verified"`
		Groups   []string `json:"groups"`
		AMR      []string `json:"amr"`
		AuthTime int64    `json:"auth_time"`
	}
	if err := id.Claims(&claims); err != nil {
		t.Fatal(err)
	}
	if id.Subject != "alice" || id.Nonce != "the-nonce" || claims.Name != "alice" || !claims.Verified || claims.AuthTime == 0 ||
		len(claims.Groups) != 2 || len(claims.AMR) != 1 || claims.Email != "alice@example.test" {
		t.Errorf("claims %+v of %q", claims, id.Subject)
	}
}

func (rp *relyingParty) checkLogout(t *testing.T, b *browser.Browser, tokens *oauth2.Token, pkce []oauth2.AuthCodeOption) {
	t.Helper()
	out := strings.Replace(rp.config.RedirectURL, "/back", "/out", 1)
	raw, _ := tokens.Extra("id_token").(string)
	for _, tc := range []struct{ name, to, want string }{
		{"to an address of its own", "http://elsewhere.test/", rp.issuer},
		{"as registered", out, out},
	} {
		q := url.Values{"id_token_hint": {raw}, "post_logout_redirect_uri": {tc.to}, "state": {"s"}}
		p, err := b.Open(rp.issuer + "/end_session?" + q.Encode())
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(p.URL, tc.want) {
			t.Errorf("%s: logout led to %s, want %s", tc.name, p.URL, tc.want)
		}
	}
	p, err := b.Open(rp.config.AuthCodeURL("again", pkce...))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(p.URL, rp.issuer+"/sign-in") {
		t.Errorf("signed in again without a password: %s", p.URL)
	}
}

func TestProviderRefuses(t *testing.T) {
	t.Parallel()
	rp := startProvider(t)
	for _, tc := range []struct {
		name string
		opts []oauth2.AuthCodeOption
	}{
		{"no PKCE", nil},
		{"PKCE plain", []oauth2.AuthCodeOption{oauth2.SetAuthURLParam("code_challenge", strings.Repeat("x", 43)), oauth2.SetAuthURLParam("code_challenge_method", "plain")}},
		{"prompt none", []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(oauth2.GenerateVerifier()), oauth2.SetAuthURLParam("prompt", "none")}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			q, p := rp.signIn(t, browser.New(), "alice", people[0].Password, tc.opts...)
			if q.Get("code") != "" || q.Get("error") == "" {
				t.Fatalf("led to %s", p.URL)
			}
		})
	}
}

func TestOldAppShowsRawNamesAndFoldsThem(t *testing.T) {
	t.Parallel()
	srv := httptest.NewUnstartedServer(oldApp())
	srv.Listener = recordingListener{srv.Listener}
	srv.Config.ConnContext = recordRaw
	srv.Config.SetKeepAlivesEnabled(false)
	srv.Start()
	t.Cleanup(srv.Close)
	for _, tc := range []struct {
		name   string
		header http.Header
		status int
		want   string
	}{
		{"nobody", nil, http.StatusForbidden, "Who are you?"},
		{"the agent's header", http.Header{"SM_USER": {"alice"}}, http.StatusOK, "Welcome, alice!"},
		{"a hyphen is the same to CGI", http.Header{"Sm-User": {"mallory"}}, http.StatusOK, "Welcome, mallory!"},
		{"raw name", http.Header{"SM_USERdn": {"cn=alice"}, "SM_USER": {"alice"}}, http.StatusOK, "<tt>SM_USERdn</tt>"},
		{"markup is text", http.Header{"SM_USER": {"<b>x"}}, http.StatusOK, "Welcome, &lt;b&gt;x!"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p, err := browser.New().Send(browser.Request{URL: srv.URL + "/", Header: tc.header})
			if err != nil {
				t.Fatal(err)
			}
			if p.Status != tc.status || !p.Has(tc.want) {
				t.Fatalf("%d, want %d with %q:\n%s", p.Status, tc.status, tc.want, p.Body)
			}
		})
	}
}

func TestProviderNamesItsOwnAddressesOnly(t *testing.T) {
	t.Parallel()
	rp := startProvider(t)
	q, err := http.NewRequestWithContext(context.Background(), http.MethodGet, rp.issuer+"/.well-known/openid-configuration", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultTransport.RoundTrip(q)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var doc map[string]any
	if err := json.NewDecoder(res.Body).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint", "end_session_endpoint"} {
		if s, _ := doc[name].(string); !strings.HasPrefix(s, rp.issuer+"/") {
			t.Errorf("%s is %q, want it at %s", name, s, rp.issuer)
		}
	}
}
