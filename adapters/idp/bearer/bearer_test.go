package bearer

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

func TestMain(m *testing.M) {
	_ = os.Setenv("BEARER_TEST_SECRET", "s e:cret")
	os.Exit(m.Run())
}

// issuer is an authorization server: it publishes a document and keys, and counts.
type issuer struct {
	*httptest.Server
	keys    atomic.Pointer[[]*oidctest.Key]
	fetched atomic.Int64
	// answer is that of introspection; asked counts.
	answer atomic.Pointer[func(w http.ResponseWriter, r *http.Request)]
	asked  atomic.Int64
}

func newIssuer(t testing.TB, keys ...*oidctest.Key) *issuer {
	t.Helper()
	i := &issuer{}
	i.keys.Store(&keys)
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, i.URL, i.URL+"/keys")
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		i.fetched.Add(1)
		var all []string
		for _, k := range *i.keys.Load() {
			all = append(all, text(k.JWK()))
		}
		fmt.Fprintf(w, `{"keys":[%s]}`, strings.Join(all, ","))
	})
	mux.HandleFunc("/introspect", func(w http.ResponseWriter, r *http.Request) {
		i.asked.Add(1)
		w.Header().Set("Content-Type", "application/json")
		(*i.answer.Load())(w, r)
	})
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	return i
}

// rig is a bearer provider, whom it trusts, and one clock for both.
type rig struct {
	t   testing.TB
	iss *issuer
	key *oidctest.Key
	reg *flowstest.Registry
	p   *Provider
}

func newRig(t testing.TB, words string) *rig {
	t.Helper()
	r := &rig{t: t, key: oidctest.NewKey("RS256"), reg: flowstest.NewRegistry()}
	r.iss = newIssuer(t, r.key)
	r.reg.Client = outbound.New(outbound.Options{Trusted: []string{"127.0.0.1"}})
	t.Cleanup(r.reg.Client.CloseIdleConnections)
	r.p = new(Provider)
	if words == "" {
		words = "issuer {ISSUER}\naudience payroll"
	}
	block := "bearer {\n" + strings.ReplaceAll(words, "{ISSUER}", r.iss.URL) + "\n}"
	if err := r.p.UnmarshalCaddyfile(caddyfile.NewTestDispenser(block)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	t.Cleanup(cancel)
	if err := r.p.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	if err := r.p.Bind(r.reg); err != nil {
		t.Fatal(err)
	}
	return r
}

// token is a good one; change makes it another.
func (r *rig) token(change func(*oidctest.Token)) string {
	now := r.reg.Now().Unix()
	k := &oidctest.Token{
		Header: map[string]any{"typ": "at+jwt", "alg": "RS256", "kid": r.key.ID},
		Claims: map[string]any{
			"iss": r.iss.URL, "aud": "payroll", "sub": "robot-7", "client_id": "robot-7", "preferred_username": "robot", "iat": now, "exp": now + 300,
			"scope": "payroll.read payroll.write", "groups": []any{"machines"}, "jti": "1",
		},
		Key: r.key,
	}
	if change != nil {
		change(k)
	}
	return k.Sign()
}

func (r *rig) claim(name string, v any) string {
	return r.token(func(k *oidctest.Token) {
		if k.Claims[name] = v; v == nil {
			delete(k.Claims, name)
		}
	})
}

func shows(token string) *flows.Request {
	return &flows.Request{IP: "192.0.2.1", Header: map[string][]string{"Authorization": {"Bearer " + token}}}
}

func (r *rig) judge(req *flows.Request) (flows.Proof, error) {
	r.t.Helper()
	c, err := r.p.Presents(req)
	if err != nil {
		return flows.Proof{}, err
	}
	return r.p.VerifyClient(r.t.Context(), req, c)
}

// refuses wants a token to be no good, or nobody's to judge here.
func (r *rig) refuses(what, token string) {
	r.t.Helper()
	if p, err := r.judge(shows(token)); !errors.Is(err, flows.ErrCredentials) && !errors.Is(err, flows.ErrForeign) || p.User.Subject != "" {
		r.t.Errorf("%s: %q, %v", what, p.User.Subject, err)
	}
}

func (r *rig) takes(what, token string) flows.Proof {
	r.t.Helper()
	p, err := r.judge(shows(token))
	if err != nil || p.User.Subject == "" {
		r.t.Errorf("%s: %v", what, err)
	}
	return p
}

func TestBearerIsAClientVerifier(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	flowstest.TestClientVerifier(t, flowstest.Showing{
		Guest: r.p, Good: func() *flows.Request { return shows(r.token(nil)) },
		Bad: []*flows.Request{shows(r.claim("aud", "other")), shows(r.claim("exp", 1)), shows("a b"), shows("\xff"), shows("")},
	})
}

func TestB29Claims(t *testing.T) {
	t.Parallel()
	r := newRig(t, "issuer {ISSUER}\naudience other payroll\nclaim name client_id\nclaim team teams.first list")
	p := r.takes("good", r.token(func(k *oidctest.Token) {
		k.Claims["aud"] = []any{"x", "payroll"}
		k.Claims["teams"] = map[string]any{"first": "blue"}
		k.Claims["email"], k.Claims["email_verified"] = "a@example.com", true
		k.Claims["amr"], k.Claims["acr"], k.Claims["auth_time"] = []any{"mfa"}, "high", r.reg.Now().Unix()-100
	}))
	u, e := p.User, p.Evidence[0]
	if u.Name != "robot-7" || u.Subject != "robot-7" || u.Email != "a@example.com" || len(u.Groups) != 1 || fmt.Sprint(u.Attributes["scopes"]) != "[payroll.read payroll.write]" || fmt.Sprint(u.Attributes["team"]) != "[blue]" || u.Attributes["client_id"] != "robot-7" {
		t.Errorf("%+v", u)
	}
	if e.ACR != "high" || len(e.AMR) != 1 || !e.At.Equal(r.reg.Now().Add(-100*time.Second)) || e.Provider != "" || !p.Issued.Equal(r.reg.Now()) || !p.NotAfter.Equal(r.reg.Now().Add(300*time.Second+clockSkew)) || p.Issuer != r.iss.URL {
		t.Errorf("%+v", p)
	}
	// A name that is missing stays missing, and an address that nobody vouches for is none.
	r = newRig(t, "")
	if p := r.takes("no name", r.token(func(k *oidctest.Token) { delete(k.Claims, "preferred_username"); k.Claims["email"] = "a@example.com" })); p.User.Name != "" || p.User.Email != "" {
		t.Errorf("%+v", p.User)
	}
	for _, over := range []map[string]any{{"hasgroups": true}, {"_claim_names": map[string]any{"groups": "src1"}, "_claim_sources": map[string]any{"src1": map[string]any{"endpoint": "https://graph.example"}}}} { // B24
		_, err := r.judge(shows(r.token(func(k *oidctest.Token) { delete(k.Claims, "groups"); maps.Copy(k.Claims, over) })))
		if flows.ReasonOf(err) != flows.ReasonGroupsOverage {
			t.Errorf("%v: %v", over, err)
		}
	}
}

// TestO2AlgorithmConfusion: what signs is one of the issuer's keys, by an algorithm of
// ours; nothing in the token's header says otherwise.
func TestO2AlgorithmConfusion(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	r.takes("good", r.token(nil))
	fetched := r.iss.fetched.Load()
	evil := oidctest.NewKey("ES256")
	pub, err := x509.MarshalPKIXPublicKey(r.key.Private.Public())
	if err != nil {
		t.Fatal(err)
	}
	head := func(pairs map[string]any) func(*oidctest.Token) {
		return func(k *oidctest.Token) { maps.Copy(k.Header, pairs) }
	}
	for _, alg := range []string{"none", "None", "NONE", "nOnE", ""} {
		r.refuses("alg "+alg, r.token(head(map[string]any{"alg": alg})))
		r.refuses("alg "+alg+" with the signature cut off", r.token(func(k *oidctest.Token) {
			k.Header["alg"] = alg
			k.After = func(s string) string { return s[:strings.LastIndex(s, ".")+1] }
		}))
	}
	pem := []byte("-----BEGIN PUBLIC KEY-----\n" + base64.StdEncoding.EncodeToString(pub) + "\n-----END PUBLIC KEY-----\n")
	for what, secret := range map[string][]byte{"PEM": pem, "DER": pub, "JWK": []byte(text(r.key.JWK()))} {
		for _, alg := range []string{"HS256", "HS384", "HS512"} {
			r.refuses(alg+" with the public key as "+what, r.token(func(k *oidctest.Token) { k.Header["alg"], k.Secret = alg, secret }))
		}
	}
	for what, pairs := range map[string]map[string]any{
		"jwk": {"jwk": evil.JWK()}, "jku": {"jku": r.iss.URL + "/evil"}, "x5u": {"x5u": r.iss.URL + "/evil"}, "x5c": {"x5c": []any{"AAAA"}}, "kid path": {"kid": "../../keys"},
	} {
		r.refuses(what, r.token(func(k *oidctest.Token) { maps.Copy(k.Header, pairs); k.Header["alg"], k.Key = "ES256", evil }))
	}
	r.refuses("another's key under our kid", r.token(func(k *oidctest.Token) { k.Header["alg"], k.Key = "ES256", evil }))
	r.refuses("crit", r.token(head(map[string]any{"crit": []any{"exp"}})))
	r.refuses("a changed claim", r.token(func(k *oidctest.Token) {
		k.After = func(s string) string {
			parts := strings.Split(s, ".")
			b, _ := base64.RawURLEncoding.DecodeString(parts[1])
			parts[1] = base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(b), "robot-7", "robot-8", 1)))
			return strings.Join(parts, ".")
		}
	}))
	if n := r.iss.fetched.Load() - fetched; n > 1 {
		t.Errorf("%d fetches for tokens of strangers", n)
	}
}

// TestO2Algorithms: an issuer signs as it is written here, with any of its keys.
func TestO2Algorithms(t *testing.T) {
	t.Parallel()
	for words, want := range map[string]map[string]bool{
		"": {"RS256": true, "ES256": true, "EdDSA": true, "PS256": true}, "\nalgorithms ES256 EdDSA": {"RS256": false, "ES256": true, "EdDSA": true, "PS256": false},
	} {
		r := newRig(t, "issuer {ISSUER}\naudience payroll"+words)
		keys := map[string]*oidctest.Key{}
		var all []*oidctest.Key
		for alg := range want {
			keys[alg] = oidctest.NewKey(alg)
			all = append(all, keys[alg])
		}
		r.iss.keys.Store(&all)
		for alg, good := range want {
			token := r.token(func(k *oidctest.Token) { k.Header["alg"], k.Header["kid"], k.Key = alg, keys[alg].ID, keys[alg] })
			if good {
				r.takes(words+" "+alg, token)
			} else {
				r.refuses(words+" "+alg, token)
			}
		}
	}
}

// TestO4AccessTokenSubstitution: an ID token, a logout token, a token for another API and one
// of another issuer are no access tokens of ours.
func TestO4AccessTokenSubstitution(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	typ := func(v any) string {
		return r.token(func(k *oidctest.Token) {
			if k.Header["typ"] = v; v == nil {
				delete(k.Header, "typ")
			}
		})
	}
	for _, v := range []any{"JWT", nil, "logout+jwt", "dpop+jwt", "id_token", 7, "secevent+jwt", "at+jwt;x"} {
		r.refuses(fmt.Sprintf("typ %v", v), typ(v))
	}
	for _, v := range []any{"AT+JWT", "application/at+jwt", "application/AT+JWT"} {
		r.takes(fmt.Sprintf("typ %v", v), typ(v))
	}
	for _, aud := range []any{nil, "other", []any{}, []any{"other"}, []any{"payroll2"}, "payroll ", "", 7, []any{7}, []any{"payroll", 7}, map[string]any{"payroll": 1}} {
		r.refuses(fmt.Sprintf("aud %v", aud), r.claim("aud", aud))
	}
	r.takes("aud as a list", r.claim("aud", []any{"other", "payroll"}))
	for _, iss := range []any{nil, r.iss.URL + "/", "https://evil.example", strings.ToUpper(r.iss.URL), 7} {
		r.refuses(fmt.Sprintf("iss %v", iss), r.claim("iss", iss))
	}
	for _, sub := range []any{nil, "", 7, strings.Repeat("x", 256)} {
		r.refuses(fmt.Sprintf("sub %v", sub), r.claim("sub", sub))
	}
	// Where the issuer types all its tokens JWT, an ID token still is none.
	r = newRig(t, "issuer {ISSUER}\naudience payroll\ntype jwt untyped")
	r.takes("typ JWT", typeOf(r, "JWT"))
	r.takes("no typ", typeOf(r, nil))
	r.refuses("at+jwt", typeOf(r, "at+jwt"))
	for name, v := range map[string]any{"nonce": "n", "at_hash": "h", "c_hash": "h", "events": map[string]any{}} {
		r.refuses("a token with "+name, r.token(func(k *oidctest.Token) { k.Header["typ"], k.Claims[name] = "JWT", v }))
	}
}

func typeOf(r *rig, v any) string {
	return r.token(func(k *oidctest.Token) {
		if k.Header["typ"] = v; v == nil {
			delete(k.Header, "typ")
		}
	})
}

// TestO3Times: a minute of skew, and no token for ever.
func TestO3Times(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	now := r.reg.Now().Unix()
	for _, tc := range []struct {
		claim string
		v     any
		good  bool
	}{
		{"exp", nil, false},
		{"exp", now - 59, true},
		{"exp", now - 61, false},
		{"exp", "9999999999", false},
		{"exp", 1e300, false},
		{"exp", -1, false},
		{"exp", now + 1<<34, true},
		{"nbf", now + 59, true},
		{"nbf", now + 61, false},
		{"nbf", "soon", false},
		{"iat", nil, false},
		{"iat", now + 59, true},
		{"iat", now + 61, false},
		{"iat", now - 86400, true},
	} {
		token := r.claim(tc.claim, tc.v)
		if tc.good {
			r.takes(fmt.Sprintf("%s %v", tc.claim, tc.v), token)
		} else {
			r.refuses(fmt.Sprintf("%s %v", tc.claim, tc.v), token)
		}
	}
}

// TestO5UnknownKeysAreNoFlood: tokens of strangers under ever new key ids have us ask
// once a minute; a rotation is seen all the same.
func TestO5UnknownKeysAreNoFlood(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	r.takes("good", r.token(nil))
	for i := range 200 {
		r.refuses("unknown kid", r.token(func(k *oidctest.Token) { k.Header["kid"] = fmt.Sprint("k", i) }))
	}
	if n := r.iss.fetched.Load(); n > 2 {
		t.Errorf("%d fetches", n)
	}
	old := r.token(nil)
	r.key = oidctest.NewKey("RS256")
	r.iss.keys.Store(&[]*oidctest.Key{r.key})
	r.refuses("before the next look", r.token(nil))
	r.reg.Forward(61 * time.Second)
	r.takes("of the new key", r.token(nil))
	r.takes("of the old one, for a while", old)
}

// TestI16KeysDownIsNoAnswer: who cannot be asked has not said no.
func TestI16KeysDownIsNoAnswer(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	token := r.token(nil)
	r.iss.Close()
	if _, err := r.judge(shows(token)); flows.ReasonOf(err) != flows.ReasonProviderDown || errors.Is(err, flows.ErrCredentials) {
		t.Errorf("%v", err)
	}
	if r.p.Health() == nil {
		t.Error("nobody hears of it")
	}
}

func TestP8OddTokens(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	for _, s := range []string{
		"", "x", "a.b", "a.b.c", "..", "....", "a b c", "\xff\xfe", "é", strings.Repeat("a", 1<<20), strings.Repeat("a.", 1<<14), "{}", `"a"`, "a,b", "=a",
		r.token(nil) + "\n", r.token(nil) + ".x", " " + r.token(nil) + " x",
		r.token(func(k *oidctest.Token) { k.Claims["pad"] = strings.Repeat("x", 17<<10) }),
		r.token(func(k *oidctest.Token) { k.Payload = []byte(`{"iss":"` + r.iss.URL + `","iss":"x","sub":"a"}`) }),
		r.token(func(k *oidctest.Token) { k.Payload = []byte("{\"iss\":\"" + r.iss.URL + "\",\"sub\":\"\xff\"}") }),
		r.token(func(k *oidctest.Token) { k.Payload = []byte(`null`) }),
	} {
		r.refuses(fmt.Sprintf("%.30q", s), s)
	}
	// Only the header is looked at (RFC 6750 §2.2 and §2.3 are not for us).
	if _, err := r.judge(&flows.Request{Query: "access_token=" + r.token(nil)}); !errors.Is(err, flows.ErrNobody) {
		t.Errorf("%v", err)
	}
}

// TestO12BoundTokens: one that is bound to a key is good only with it (RFC 8705 §3), and
// one that is bound to a key of another kind (RFC 9449) is never a bearer token.
func TestO12BoundTokens(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	cert := &x509.Certificate{Raw: []byte("certificate of the robot")}
	sum := sha256.Sum256(cert.Raw)
	token := r.claim("cnf", map[string]any{"x5t#S256": base64.RawURLEncoding.EncodeToString(sum[:])})
	r.refuses("without the certificate", token)
	for _, c := range []*x509.Certificate{cert, {Raw: []byte("another")}} {
		req := shows(token)
		req.Certificate = c
		if _, err := r.judge(req); (err == nil) != (c == cert) {
			t.Errorf("%s: %v", c.Raw, err)
		}
	}
	for _, cnf := range []any{map[string]any{"jkt": "x"}, map[string]any{}, "x", nil, map[string]any{"x5t#S256": base64.RawURLEncoding.EncodeToString(sum[:]), "jkt": "x"}} {
		req := shows(r.token(func(k *oidctest.Token) { k.Claims["cnf"] = cnf }))
		req.Certificate = cert
		if _, err := r.judge(req); !errors.Is(err, flows.ErrCredentials) {
			t.Errorf("cnf %v: %v", cnf, err)
		}
	}
}

func FuzzToken(f *testing.F) {
	r := newRig(f, "")
	for _, s := range []string{"", "a.b.c", "..", "eyJhbGciOiJub25lIn0.e30.", r.token(nil)[:40]} {
		f.Add(s)
	}
	if _, err := r.judge(shows(r.token(nil))); err != nil { // fetches the keys
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, token string) {
		c, err := r.p.Presents(shows(token))
		if err != nil {
			return
		}
		if p, err := r.p.VerifyClient(t.Context(), shows(token), c); err == nil || p.User.Subject != "" {
			t.Errorf("taken: %+v", p)
		}
	})
}
