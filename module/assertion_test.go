package module_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// tokenIn is the one token under a header of a raw head.
func tokenIn(t testing.TB, head, name string) string {
	t.Helper()
	got := header(head, name)
	if len(got) != 1 || strings.Count(got[0], ".") != 2 {
		t.Fatalf("%s: %q in\n%s", name, got, head)
	}
	return got[0]
}

// app is an application that verifies as its library's documentation says: by the
// address of the keys, who must have said it, and whom it is for.
type app struct {
	g                     *gateway
	issuer, audience, alg string
	now                   func() time.Time
	keys                  *oidc.RemoteKeySet
}

func (a *app) verify(token string) (map[string]any, error) {
	if a.keys == nil {
		a.keys = oidc.NewRemoteKeySet(context.Background(), a.g.url("/.identity/jwks.json"))
	}
	v := oidc.NewVerifier(a.issuer, a.keys, &oidc.Config{ClientID: a.audience, SupportedSigningAlgs: []string{a.alg}, Now: a.now})
	id, err := v.Verify(context.Background(), token)
	if err != nil {
		return nil, err
	}
	var claims map[string]any
	return claims, id.Claims(&claims)
}

func (a *app) must(t testing.TB, token string) map[string]any {
	t.Helper()
	claims, err := a.verify(token)
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

// joseOf and saidBy are what a token says, verified or not.
func joseOf(token string) map[string]any { return partOf(token, 0) }
func saidBy(token string) map[string]any { return partOf(token, 1) }

func partOf(token string, i int) (m map[string]any) {
	b, _ := base64.RawURLEncoding.DecodeString(strings.TrimRight(strings.Split(token, ".")[i], "="))
	_ = json.Unmarshal(b, &m)
	return m
}

func (g *gateway) origin() string { return fmt.Sprintf("http://127.0.0.1:%d", g.port) }

const payroll = "protect {\nassertion {\naudience payroll\nttl 1m\n}\npublic /public/*\noptional /optional/*\nrequire /never/* `false`\n}\nreverse_proxy {APP}"

// What the contract promises: an application behind us gets a token that any
// verifier takes with the keys at /.identity/jwks.json, and no other application's
// does.
func TestAssertionIsVerifiedByTheApplication(t *testing.T) {
	clock := newClock(t)
	for _, c := range []struct {
		name, line, header, alg, audience string
	}{
		{"as in the contract", "assertion X-Identity-Assertion {\naudience payroll\nttl 1m\n}", "X-Identity-Assertion", "ES256", "payroll"},
		{"without anything", "assertion", "X-Identity-Assertion", "ES256", ""},
		{"RS256", "assertion X-Payroll-JWT {\naudience one payroll\nalgorithm RS256\n}", "X-Payroll-JWT", "RS256", "payroll"},
		{"EdDSA", "assertion x_token {\naudience payroll\nalgorithm EdDSA\n}", "x_token", "EdDSA", "payroll"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := start(t, people(t), "protect {\n"+c.line+"\n}\nreverse_proxy {APP}")
			b := g.signedIn("/a", "alice", "alicepw")
			token := tokenIn(t, g.open(b, g.url("/a")).Body, c.header)
			a := &app{g: g, issuer: g.origin(), audience: c.audience, alg: c.alg, now: clock.Now}
			if c.audience == "" {
				a.audience = g.origin()
			}
			claims := a.must(t, token)
			iat, _ := claims["iat"].(float64)
			for name, want := range map[string]any{
				"sub": "corp:alice", "name": "alice", "preferred_username": "alice", "display_name": "Alice Liddell", "email": "alice@example.test",
				"provider": "corp", "exp": iat + 60, "auth_time": float64(clock.Now().Unix()), "iat": float64(clock.Now().Unix()),
			} {
				if claims[name] != want {
					t.Errorf("%s is %v, want %v", name, claims[name], want)
				}
			}
			if got := fmt.Sprint(claims["groups"], claims["amr"]); got != "[admins staff] [pwd]" {
				t.Errorf("groups and amr are %s", got)
			}
			session := g.open(b, g.url("/.identity/session")).Body
			if sid, _ := claims["sid"].(string); sid == "" || !strings.Contains(session, sid) {
				t.Errorf("sid %v is not the public id: %s", claims["sid"], session)
			}
			for what, wrong := range map[string]*app{
				"another application": {issuer: g.origin(), audience: "reports", alg: c.alg},
				"another issuer":      {issuer: "http://elsewhere.example", audience: a.audience, alg: c.alg},
				"another algorithm":   {issuer: g.origin(), audience: a.audience, alg: "PS256"},
				"a minute later":      {issuer: g.origin(), audience: a.audience, alg: c.alg, now: func() time.Time { return clock.Now().Add(61 * time.Second) }},
			} {
				wrong.g = g
				if wrong.now == nil {
					wrong.now = clock.Now
				}
				if _, err := wrong.verify(token); err == nil {
					t.Errorf("%s took it", what)
				}
			}
		})
	}
}

// The keys are for everybody: no session, no rule and no method stands before them.
func TestJWKSIsForEverybody(t *testing.T) {
	g := start(t, people(t), "protect {\nassertion\nrequire * `false` \"Nobody.\"\nunauthenticated 401\n}\nreverse_proxy {APP}")
	p := g.raw(http.MethodGet, "/.identity/jwks.json", "")
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(p.Body), &set); err != nil || p.Status != http.StatusOK || len(set.Keys) == 0 {
		t.Fatalf("%d %s: %v", p.Status, p.Body, err)
	}
	for _, k := range set.Keys {
		if !k.IsPublic() || !k.Valid() || k.KeyID == "" || k.Use != "sig" || k.Algorithm != "ES256" {
			t.Errorf("key %+v", k)
		}
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "Cache-Control": "public, max-age=3600", "X-Content-Type-Options": "nosniff", "Set-Cookie": "",
	} {
		if got := p.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if h := g.raw(http.MethodHead, "/.identity/jwks.json", ""); h.Status != http.StatusOK || h.Body != "" || h.Header.Get("Cache-Control") != p.Header.Get("Cache-Control") || h.Header.Get("Content-Length") != p.Header.Get("Content-Length") {
		t.Errorf("HEAD: %d %v", h.Status, h.Header)
	}
	for _, m := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
		if q := g.raw(m, "/.identity/jwks.json", ""); q.Status != http.StatusMethodNotAllowed || q.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d, Allow %q", m, q.Status, q.Header.Get("Allow"))
		}
	}
	// A host that only has the base, as the portal's, has them too; where nothing is
	// signed the set is empty.
	for _, site := range []string{
		"protect off\nrespond ok", "protect {\nheaders remote_user\n}\nrespond ok",
	} {
		if err := g.load(people(t), site); err != nil {
			t.Fatal(err)
		}
		q := g.open(newBrowser(t), g.url("/.identity/jwks.json"))
		if q.Status != http.StatusOK || !strings.HasPrefix(q.Body, `{"keys":[`) {
			t.Errorf("%s: %d %s", site, q.Status, q.Body)
		}
		if q := g.raw(http.MethodGet, "/.identity/iap/verify/public_key", ""); q.Status != http.StatusNotFound {
			t.Errorf("%s: keys of a dialect that is not there: %d", site, q.Status)
		}
	}
}

// Nothing that a client sends under a token's name arrives, on no route (B11).
func TestB11TokensAreStripped(t *testing.T) {
	g := start(t, people(t), "protect {\nassertion\nheaders iap\nheaders alb\nheaders cf_access\npublic /public/*\noptional /optional/*\n}\nreverse_proxy {APP}")
	alice := g.signedIn("/a", "alice", "alicepw")
	sent := http.Header{"Accept": {"text/html"}}
	for _, n := range []string{
		"X-Identity-Assertion", "X-Goog-IAP-JWT-Assertion", "X-Goog-Authenticated-User-Email", "X-Goog-Authenticated-User-ID", "X-Goog-Iap-Anything",
		"x-amzn-oidc-data", "x-amzn-oidc-identity", "x-amzn-oidc-accesstoken", "Cf-Access-Jwt-Assertion", "Cf-Access-Authenticated-User-Email", "CF-Access-Client-Id",
	} {
		for _, alias := range []string{n, strings.ToLower(n), strings.ToUpper(n), strings.ReplaceAll(n, "-", "_"), strings.ReplaceAll(n, "-", ".")} {
			sent[alias] = []string{"mallory", "mallory.again"}
		}
	}
	for path, tokens := range map[string]int{"/public/x": 0, "/optional/x": 0, "/a": 4, "/optional/signed": 4} {
		b := newBrowser(t)
		if tokens > 0 {
			b = alice
		}
		p := g.send(b, browser.Request{Method: http.MethodGet, URL: g.url(path), Header: sent.Clone()})
		want(t, p, http.StatusOK)
		if strings.Contains(p.Body, "mallory") {
			t.Errorf("%s: a client's header arrived:\n%s", path, p.Body)
		}
		if got := strings.Count(p.Body, ": eyJ"); got != tokens {
			t.Errorf("%s: %d tokens, want %d:\n%s", path, got, tokens, p.Body)
		}
	}
	p := g.send(alice, browser.Request{Method: http.MethodGet, URL: g.url("/public/x"), Header: sent.Clone()})
	if strings.Contains(p.Body, "eyJ") {
		t.Errorf("a public route shows who is signed in:\n%s", p.Body)
	}
}

// One token serves the requests of half its life. None outlives its session, its
// route's, or its revocation.
func TestAssertionIsKeptForPartOfItsLife(t *testing.T) {
	clock := newClock(t)
	g := start(t, people(t)+"session {\nidle 5m\nlifetime 10m\n}\n",
		"protect /short/* {\nassertion\nsession {\nlifetime 3m\n}\n}\n"+payroll)
	b := g.signedIn("/a", "alice", "alicepw")
	begun := clock.Now()
	a := &app{g: g, issuer: g.origin(), audience: "payroll", alg: "ES256", now: clock.Now}
	at := func(path string) string { return tokenIn(t, g.open(b, g.url(path)).Body, "X-Identity-Assertion") }
	first := at("/a")
	if got := at("/b"); got != first {
		t.Error("another path of the same protect has another token")
	}
	clock.Advance(29 * time.Second)
	if at("/a") != first {
		t.Error("replaced before half of its life was over")
	}
	clock.Advance(2 * time.Second)
	second := at("/a")
	if second == first {
		t.Error("not replaced when half of its life was over")
	}
	one, two := a.must(t, first), a.must(t, second)
	if one["jti"] == two["jti"] || one["sub"] != two["sub"] || one["sid"] != two["sid"] {
		t.Errorf("%v and %v", one, two)
	}
	if optional := at("/optional/x"); optional != second {
		t.Error("an optional route of the same protect has another token")
	}

	// Near the end of a route's own lifetime, and of the session's.
	for clock.Now().Before(begun.Add(2*time.Minute + 40*time.Second)) {
		clock.Advance(20 * time.Second)
		at("/a")
	}
	route := &app{g: g, issuer: g.origin(), audience: g.origin(), alg: "ES256", now: clock.Now}
	if exp := int64(route.must(t, at("/short/a"))["exp"].(float64)); exp > begun.Add(3*time.Minute).Unix() {
		t.Errorf("good until %v, the route's session until %v", time.Unix(exp, 0), begun.Add(3*time.Minute))
	}
	for clock.Now().Before(begun.Add(9*time.Minute + 40*time.Second)) {
		clock.Advance(20 * time.Second)
		if exp := int64(a.must(t, at("/a"))["exp"].(float64)); exp > begun.Add(10*time.Minute).Unix() {
			t.Fatalf("good until %v, the session until %v", time.Unix(exp, 0), begun.Add(10*time.Minute))
		}
	}
}

func TestAssertionEndsWithTheSession(t *testing.T) {
	g := start(t, people(t), payroll)
	b := g.signedIn("/a", "alice", "alicepw")
	c := ticketOf(t, g, b)
	cookie := c.Name + "=" + c.Value
	tokenIn(t, g.get("/a", cookie).Body, "X-Identity-Assertion")
	if p := g.get("/never/a", cookie); p.Status != http.StatusForbidden {
		t.Errorf("a rule that refuses: %d", p.Status)
	}
	g.raw(http.MethodPost, "/.identity/logout", "", "Cookie", cookie, "Sec-Fetch-Site", "same-origin")
	before := len(g.app.requests())
	if p := g.get("/a", cookie); p.Status == http.StatusOK || strings.Contains(p.Body, "eyJ") {
		t.Errorf("after the logout: %d %s", p.Status, p.Body)
	}
	if p := g.get("/optional/a", cookie); p.Status != http.StatusOK || strings.Contains(p.Body, "eyJ") {
		t.Errorf("an optional route after the logout: %d %s", p.Status, p.Body)
	}
	if got := len(g.app.requests()); got != before+1 {
		t.Errorf("%d requests arrived", got-before)
	}
}

// Sessions that several hosts share do not share tokens: each names its own host.
func TestAssertionNamesTheHost(t *testing.T) {
	domain := people(t) + "session {\ndomain corp.localhost\n}"
	g := start(t, domain, "respond ok")
	if err := g.load(domain, "http://a.corp.localhost:{PORT}, http://b.corp.localhost:{PORT}, http://127.0.0.1:{PORT} {\nbind 127.0.0.1\nprotect {\nassertion\n}\nreverse_proxy {APP}\n}"); err != nil {
		t.Fatal(err)
	}
	host := func(name string) string { return fmt.Sprintf("%s.corp.localhost:%d", name, g.port) }
	cookie := g.programSignIn(host("a"))
	tokens := map[string]string{}
	for _, name := range []string{"a", "b", "a", "b"} {
		token := tokenIn(t, g.raw(http.MethodGet, "/x", "", "Host", host(name), "Cookie", cookie).Body, "X-Identity-Assertion")
		origin := "http://" + host(name)
		(&app{g: g, issuer: origin, audience: origin, alg: "ES256", now: time.Now}).must(t, token)
		if was := tokens[name]; was != "" && was != token {
			t.Error("going to and fro costs tokens")
		}
		tokens[name] = token
	}
}

// programSignIn signs alice in at a host, as a program does that speaks JSON.
func (g *gateway) programSignIn(host string) (cookie string) {
	g.t.Helper()
	p := g.raw(http.MethodGet, "/a", "", "Host", host, "Accept", "text/html")
	want(g.t, p, http.StatusSeeOther)
	flow := p.Header.Get("Location")
	pending, _, _ := strings.Cut(p.Header.Get("Set-Cookie"), ";")
	var page map[string]any
	p = g.raw(http.MethodGet, flow, "", "Host", host, "Cookie", pending)
	if err := json.Unmarshal([]byte(p.Body), &page); err != nil {
		g.t.Fatalf("%v: %s", err, p.Body)
	}
	body, _ := json.Marshal(map[string]any{"username": "alice", "password": "alicepw", "token": page["token"], "step": page["step"], "serial": page["serial"]})
	p = g.raw(http.MethodPost, flow, string(body), "Host", host, "Cookie", pending, "Origin", "http://"+host, "Content-Type", "application/json")
	for _, c := range (&http.Response{Header: p.Header}).Cookies() {
		if c.Name == fmt.Sprintf("sallyport-%d", g.port) && c.Value != "" {
			return c.Name + "=" + c.Value
		}
	}
	g.t.Fatalf("no cookie: %d %q", p.Status, p.Header["Set-Cookie"])
	return ""
}

// Months go by under load: each token verifies, when it comes and at its end, at
// an application that asks for the keys anew when it meets one it does not know.
func TestB20SigningKeysRotateUnderLoad(t *testing.T) {
	clock := newClock(t)
	g := start(t, people(t)+"session {\nidle 9000h\nlifetime 9000h\n}\n", payroll)
	b := g.signedIn("/a", "alice", "alicepw")
	c := ticketOf(t, g, b)
	cookie := c.Name + "=" + c.Value
	a := &app{g: g, issuer: g.origin(), audience: "payroll", alg: "ES256", now: clock.Now}
	a.must(t, tokenIn(t, g.get("/a", cookie).Body, "X-Identity-Assertion")) // the application's first look
	var kids sync.Map
	var served atomic.Int64
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				head := g.get("/a", cookie).Body
				got := header(head, "X-Identity-Assertion")
				if len(got) != 1 {
					t.Errorf("no token in\n%s", head)
					return
				}
				at := clock.Now()
				if _, err := (&app{g: g, issuer: a.issuer, audience: a.audience, alg: a.alg, keys: a.keys, now: func() time.Time { return at.Add(-time.Minute) }}).verify(got[0]); err != nil && !errors.As(err, new(*oidc.TokenExpiredError)) {
					t.Errorf("%v: %v", at, err)
					return
				}
				kids.Store(joseOf(got[0])["kid"], true)
				served.Add(1)
			}
		})
	}
	for range 70 * 4 {
		clock.Advance(6 * time.Hour)
		until := served.Load() + 2
		for deadline := time.Now().Add(10 * time.Second); served.Load() < until && !t.Failed() && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
	}
	close(done)
	wg.Wait()
	n := 0
	kids.Range(func(any, any) bool { n++; return true })
	if n < 3 || n > 4 {
		t.Errorf("%d keys signed %d tokens in 70 days", n, served.Load())
	}
}

// Neither a reload nor other cluster keys change the keys that sign (B20).
func TestB20SigningKeysOutliveClusterKeys(t *testing.T) {
	t.Setenv("SALLYPORT_KEY_1", strings.Repeat("1", 32))
	t.Setenv("SALLYPORT_KEY_2", strings.Repeat("2", 32))
	g := start(t, people(t)+"keys {env.SALLYPORT_KEY_1}\n", payroll)
	document := func() string {
		t.Helper()
		p := g.raw(http.MethodGet, "/.identity/jwks.json", "")
		want(t, p, http.StatusOK)
		return p.Body
	}
	first := document()
	for _, keys := range []string{
		"{env.SALLYPORT_KEY_1}", "{env.SALLYPORT_KEY_1} {env.SALLYPORT_KEY_2}", "{env.SALLYPORT_KEY_2} {env.SALLYPORT_KEY_1}", "{env.SALLYPORT_KEY_2}",
	} {
		if err := g.load(people(t)+"keys "+keys+"\n", payroll); err != nil {
			t.Fatal(err)
		}
		if got := document(); got != first {
			t.Fatalf("keys %s: %s\nwas %s", keys, got, first)
		}
	}
	// Thrown away on purpose: a key that nobody knows takes its place.
	if err := g.load(people(t)+"keys {env.SALLYPORT_KEY_1}x\n", payroll); err != nil {
		t.Fatal(err)
	}
	if document() == first {
		t.Error("a cluster key that may be known was replaced, and the signing keys stayed")
	}
}

// Without a store there is no first key, and so no request goes on without its token.
func TestAssertionWithoutItsKeyIsNotSent(t *testing.T) {
	g := start(t, people(t)+"store flaky\n", "protect {\nheaders remote_user\n}\nreverse_proxy {APP}")
	b := g.signedIn("/a", "alice", "alicepw")
	up := storeDown(t)
	if err := g.load(people(t)+"store flaky\n", payroll); err != nil {
		t.Fatal(err)
	}
	before := len(g.app.requests())
	for path, status := range map[string]int{"/a": 503, "/.identity/jwks.json": 503, "/public/a": 200} {
		if p := g.open(b, g.url(path)); p.Status != status {
			t.Errorf("%s: %d, want %d\n%s", path, p.Status, status, p.Body)
		}
	}
	if got := len(g.app.requests()); got != before+1 {
		t.Errorf("%d requests arrived", got-before)
	}
	up()
	tokenIn(t, g.open(b, g.url("/a")).Body, "X-Identity-Assertion")
	storeDown(t)
	if p := g.open(b, g.url("/.identity/jwks.json")); p.Status != http.StatusOK {
		t.Errorf("known keys are gone with the store: %d", p.Status)
	}
}

// A token is a credential: it stands in no log, no trail and no answer of ours.
func TestTokensAreInNoLog(t *testing.T) {
	dir := t.TempDir()
	access := filepath.Join(dir, "access.log")
	site := "log {\noutput file " + access + "\n}\nprotect {\nassertion {\nclaim dept department\n}\nheaders iap\nheaders alb\nheaders cf_access\nrequire /never/* `false`\n}\nreverse_proxy {APP}"
	g := start(t, people(t), site)
	b := g.signedIn("/a", "alice", "alicepw")
	for _, path := range []string{"/a", "/b", "/never/x", "/.identity/jwks.json", "/.identity/session", "/.identity/userinfo", "/.identity/nothing"} {
		p := g.open(b, g.url(path))
		if strings.HasPrefix(path, "/.identity/") && strings.Contains(p.Body, "eyJ") {
			t.Errorf("%s: a token in %s", path, p.Body)
		}
	}
	g.events("denied", 1)
	var lines string
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline) && strings.Count(lines, "\n") < 6; time.Sleep(10 * time.Millisecond) {
		raw, _ := os.ReadFile(access)
		lines = string(raw)
	}
	trail, err := os.ReadFile(g.audit)
	if err != nil || !strings.Contains(lines, "/never/x") {
		t.Fatalf("the logs are not there: %v\n%s", err, lines)
	}
	for name, text := range map[string]string{"access log": lines, "trail": string(trail)} {
		if strings.Contains(text, "eyJ") {
			t.Errorf("a token in the %s:\n%s", name, text)
		}
	}
}

// What a claim shows to the application, its pages may ask for; and no token.
func TestI07UserInfoTellsWhatTheAssertionShows(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "corp", op), "protect {\nassertion {\nclaim dept department\nclaim cost claims.org.cost\n}\n}\nreverse_proxy {APP}")
	op.SetUser(map[string]any{
		"sub": "u-1", "preferred_username": "alice", "name": "Alice Liddell", "email": "alice@example.com", "email_verified": true,
		"department": "R&D", "salary": 4711, "org": map[string]any{"cost": []string{"a", "b"}},
	})
	b := newBrowser(t)
	landed(t, g.open(b, g.url("/a")), "/a", "")
	claims := saidBy(tokenIn(t, g.open(b, g.url("/a")).Body, "X-Identity-Assertion"))
	if claims["dept"] != "R&D" || fmt.Sprint(claims["cost"]) != "[a b]" || claims["salary"] != nil {
		t.Errorf("claims: %v", claims)
	}
	var told map[string]any
	p := g.open(b, g.url("/.identity/userinfo"))
	if err := json.Unmarshal([]byte(p.Body), &told); err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(told)); !slices.Equal(got, []string{"claims.org.cost", "department", "display_name", "email", "groups", "name", "provider"}) {
		t.Errorf("told: %q", got)
	}
}
