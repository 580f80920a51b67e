package module_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
	"github.com/sallyport-gateway/sallyport/module"
)

// accessToken is one that an OP made for a program; more changes its claims, nil
// removes one.
func accessToken(op *oidctest.OP, sub string, more map[string]any) string {
	now, key := module.Now().Unix(), op.Keys()[0]
	k := &oidctest.Token{
		Header: map[string]any{"typ": "at+jwt", "alg": key.Alg, "kid": key.ID},
		Claims: map[string]any{"iss": op.Issuer, "aud": "payroll", "sub": sub, "preferred_username": sub, "iat": now, "exp": now + 300, "groups": []string{"machines"}},
		Key:    key,
	}
	maps.Copy(k.Claims, more)
	for name, v := range more {
		if v == nil {
			delete(k.Claims, name)
		}
	}
	return k.Sign()
}

func machines(name string, op *oidctest.OP, more ...string) string {
	return fmt.Sprintf("provider %s bearer {\nissuer %s\naudience payroll\n%s\n}\n", name, op.Issuer, strings.Join(more, "\n"))
}

const tokenSite = "protect {\nheader X-User {user.name}\nheader X-Key {user.key}\nheader X-Client {user.client_id}\nrequire /admin/* `\"admins\" in user.groups`\nrequire `auth.method == \"bearer\" || auth.provider == \"corp\"`\napi machines\n}\nreverse_proxy {APP}"

// TestB29BearerAlone: an API that no person signs in to. Without a token everybody is
// told how to come in, and nobody is sent anywhere.
func TestB29BearerAlone(t *testing.T) {
	op := newOP(t)
	g := start(t, machines("machines", op), tokenSite)
	r := g.program("GET", "/a", "Authorization", "Bearer "+accessToken(op, "robot", map[string]any{"client_id": "c7"}), "X-Key", "mallory")
	head := body(t, r)
	for name, v := range map[string]string{"X-User": "robot", "X-Key": "machines:robot", "X-Client": "c7"} {
		if got := header(head, name); len(got) != 1 || got[0] != v {
			t.Errorf("%s is %q\n%s", name, got, head)
		}
	}
	if r.StatusCode != http.StatusOK || strings.Contains(head, "Authorization") {
		t.Errorf("%d\n%s", r.StatusCode, head)
	}
	for _, pairs := range [][]string{nil, {"Accept", "text/html", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, {"Authorization", basicOf("a", "b")}} {
		r := g.program("GET", "/a", pairs...)
		if got := strings.Join(r.Header.Values("WWW-Authenticate"), "; "); r.StatusCode != http.StatusUnauthorized || got != fmt.Sprintf(`Sallyport; Bearer realm="127.0.0.1:%d"`, g.port) {
			t.Errorf("%v: %d %q", pairs, r.StatusCode, got)
		}
	}
	for what, token := range map[string]string{
		"wrong aud": accessToken(op, "robot", map[string]any{"aud": "other"}), "another issuer": accessToken(op, "robot", map[string]any{"iss": "https://other.example"}),
		"expired": accessToken(op, "robot", map[string]any{"exp": module.Now().Unix() - 100}), "opaque": "abc", "malformed": "a b", "empty": "",
	} {
		r := g.program("GET", "/a", "Authorization", "Bearer "+token)
		if got := r.Header.Values("WWW-Authenticate"); len(got) != 1 || got[0] != fmt.Sprintf(`Bearer realm="127.0.0.1:%d", error="invalid_token"`, g.port) {
			t.Errorf("%s: %q", what, got)
		}
		refused(t, r, http.StatusUnauthorized, "invalid_token")
	}
	r = g.program("GET", "/a", "Authorization", "Bearer a", "Authorization", "Bearer a")
	if got := r.Header.Get("WWW-Authenticate"); !strings.HasSuffix(got, `error="invalid_request"`) {
		t.Errorf("twice: %q", got)
	}
	refused(t, r, http.StatusBadRequest, "invalid_request")
	// A name that is missing is nobody's, and the query is not looked at.
	refused(t, g.program("GET", "/a", "Authorization", "Bearer "+accessToken(op, "robot", map[string]any{"preferred_username": nil})), http.StatusForbidden, "name_missing")
	if r := g.program("GET", "/a?access_token="+accessToken(op, "robot", nil)); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("in the query: %d", r.StatusCode)
	}
	refused(t, g.program("GET", "/admin/x", "Authorization", "Bearer "+accessToken(op, "robot", nil)), http.StatusForbidden, "not_allowed")
}

// TestB29TokensOfTwoIssuers: who is to judge, a token says itself; who judges, does so
// by their own keys.
func TestB29TokensOfTwoIssuers(t *testing.T) {
	one, two := newOP(t), newOP(t)
	g := start(t, people(t)+machines("machines", one)+machines("others", two), strings.Replace(tokenSite, "api machines", "api machines others corp", 1))
	key := func(r *http.Response) string { return strings.Join(header(body(t, r), "X-Key"), ",") }
	if got := key(g.program("GET", "/a", "Authorization", "Bearer "+accessToken(one, "r1", nil))); got != "machines:r1" {
		t.Errorf("of the first: %q", got)
	}
	if got := key(g.program("GET", "/a", "Authorization", "Bearer "+accessToken(two, "r2", nil))); got != "others:r2" {
		t.Errorf("of the second: %q", got)
	}
	if got := key(g.program("GET", "/a", "Authorization", basicOf("bob", "bobpw"))); got != "corp:bob" {
		t.Errorf("by Basic: %q", got)
	}
	refused(t, g.program("GET", "/a", "Authorization", "Bearer "+accessToken(one, "r1", map[string]any{"iss": two.Issuer})), http.StatusUnauthorized, "invalid_token")
}

// TestO12TwoRoutesDecideThemselves: what is believed of a token on one route says
// nothing of another.
func TestO12TwoRoutesDecideThemselves(t *testing.T) {
	op := newOP(t)
	global := machines("machines", op) + machines("strict", op, "subject client_id") +
		"flow open {\nlogin\n}\nflow closed {\nlogin\nrequire `\"admins\" in user.groups`\n}\n"
	global = people(t) + global
	g := start(t, global, "protect /a/* open {\nheader X-Key {user.key}\napi machines\n}\nprotect /b/* closed {\napi machines\n}\nprotect /c/* open {\nheader X-Key {user.key}\napi strict\n}\nprotect open\nreverse_proxy {APP}")
	auth := "Bearer " + accessToken(op, "robot", map[string]any{"client_id": "c7"})
	for range 2 {
		if r := g.program("GET", "/a/1", "Authorization", auth); r.StatusCode != http.StatusOK || header(body(t, r), "X-Key")[0] != "machines:robot" {
			t.Errorf("first route: %d", r.StatusCode)
		}
		refused(t, g.program("GET", "/b/1", "Authorization", auth), http.StatusForbidden, "not_allowed")
		refused(t, g.program("GET", "/c/1", "Authorization", auth), http.StatusForbidden, "name_conflict")
		if r := g.program("GET", "/d/1", "Authorization", auth); r.StatusCode != http.StatusUnauthorized {
			t.Errorf("a route that takes none: %d", r.StatusCode)
		}
	}
}

// TestO12AnotherMeaningOfAProvider: what is believed ends with the lines it came from.
func TestO12AnotherMeaningOfAProvider(t *testing.T) {
	op := newOP(t)
	g := start(t, machines("machines", op), tokenSite)
	auth := "Bearer " + accessToken(op, "robot", nil)
	if got := g.program("GET", "/a", "Authorization", auth).StatusCode; got != http.StatusOK {
		t.Fatal(got)
	}
	if err := g.load(strings.Replace(machines("machines", op), "audience payroll", "audience other", 1), tokenSite); err != nil {
		t.Fatal(err)
	}
	refused(t, g.program("GET", "/a", "Authorization", auth), http.StatusUnauthorized, "invalid_token")
}

// TestB29TokenIsNotBelievedLongerThanItIsGood: whatever `cache` says.
func TestB29TokenIsNotBelievedLongerThanItIsGood(t *testing.T) {
	clock := newClock(t)
	op := newOP(t)
	g := start(t, machines("machines", op), strings.Replace(tokenSite, "api machines", "api machines {\ncache 1h\n}", 1))
	auth := "Bearer " + accessToken(op, "robot", nil)
	ask := func() int { return g.program("GET", "/a", "Authorization", auth).StatusCode }
	for _, step := range []struct {
		d    time.Duration
		want int
	}{{0, 200}, {299 * time.Second, 200}, {30 * time.Second, 200}, {40 * time.Second, 401}} { // a minute of skew
		clock.Advance(step.d)
		if got := ask(); got != step.want {
			t.Errorf("after %s more: %d", step.d, got)
		}
	}
}

// TestI15RevokedProgram: who was revoked is out at once on this node, and stays out
// with what they had; a token that was made later is another matter.
func TestI15RevokedProgram(t *testing.T) {
	clock := newClock(t)
	op := newOP(t)
	g := start(t, machines("machines", op), tokenSite)
	auth := "Bearer " + accessToken(op, "robot", nil)
	if got := g.program("GET", "/a", "Authorization", auth).StatusCode; got != http.StatusOK {
		t.Fatal(got)
	}
	clock.Advance(2 * time.Second)
	if status, _ := admin(t, http.MethodDelete, "/identity/users/"+key64("machines:robot")+"/sessions"); status != http.StatusOK {
		t.Fatal(status)
	}
	for range 2 {
		refused(t, g.program("GET", "/a", "Authorization", auth), http.StatusUnauthorized, "invalid_token")
		clock.Advance(2 * time.Second)
	}
	clock.Advance(2 * time.Minute) // nothing is remembered any more
	refused(t, g.program("GET", "/a", "Authorization", auth), http.StatusUnauthorized, "invalid_token")
	if got := g.program("GET", "/a", "Authorization", "Bearer "+accessToken(op, "robot", nil)).StatusCode; got != http.StatusOK {
		t.Errorf("a newer one: %d", got)
	}
}

// asServer is an introspection endpoint that tests turn.
type asServer struct {
	*httptest.Server
	mu     sync.Mutex
	active map[string]map[string]any
	broken int
	hold   chan struct{}
	asked  atomic.Int64
}

func newAS(t *testing.T) *asServer {
	t.Helper()
	a := &asServer{active: map[string]map[string]any{}}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.asked.Add(1)
		a.mu.Lock()
		claims, broken, hold := a.active[r.PostFormValue("token")], a.broken, a.hold
		a.mu.Unlock()
		if hold != nil {
			<-hold
		}
		w.Header().Set("Content-Type", "application/json")
		if broken != 0 {
			w.WriteHeader(broken)
			return
		}
		all := map[string]any{"active": claims != nil}
		maps.Copy(all, claims)
		_ = json.NewEncoder(w).Encode(all)
	}))
	t.Cleanup(a.Close)
	t.Setenv("SALLYPORT_AS_SECRET", "s3cret")
	return a
}

func (a *asServer) set(f func()) { a.mu.Lock(); defer a.mu.Unlock(); f() }

func (a *asServer) provider() string {
	return "provider machines bearer {\nintrospect " + a.URL + "/introspect gateway {env.SALLYPORT_AS_SECRET}\naudience payroll\nclaim name username\n}\n"
}

// TestB29IntrospectionOnceAWhile: a hundred requests are one question; who is revoked
// there is out when the answer is a minute old; who cannot be asked has not said no.
func TestB29IntrospectionOnceAWhile(t *testing.T) {
	clock := newClock(t)
	as := newAS(t)
	g := start(t, as.provider(), tokenSite)
	as.active["tok-1"] = map[string]any{"sub": "u1", "username": "robot", "aud": "payroll", "token_type": "Bearer"}
	ask := func() *http.Response { return g.program("GET", "/a", "Authorization", "Bearer tok-1") }
	as.hold = make(chan struct{})
	var wg sync.WaitGroup
	var bad atomic.Int64
	for range 100 {
		wg.Go(func() {
			if ask().StatusCode != http.StatusOK {
				bad.Add(1)
			}
		})
	}
	for as.asked.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	as.set(func() { close(as.hold); as.hold = nil })
	wg.Wait()
	if n := as.asked.Load(); n != 1 || bad.Load() != 0 {
		t.Errorf("asked %d times for 100 requests, %d of them refused", n, bad.Load())
	}
	as.set(func() { as.broken = http.StatusInternalServerError })
	clock.Advance(59 * time.Second)
	if r := ask(); r.StatusCode != http.StatusOK {
		t.Errorf("within the minute: %d", r.StatusCode)
	}
	clock.Advance(2 * time.Second)
	if r := ask(); r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" || r.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("down: %d %v", r.StatusCode, r.Header)
	}
	as.set(func() { as.broken = 0 })
	if r := ask(); r.StatusCode != http.StatusOK {
		t.Errorf("up again: %d", r.StatusCode)
	}
	as.set(func() { delete(as.active, "tok-1") })
	clock.Advance(61 * time.Second)
	refused(t, ask(), http.StatusUnauthorized, "invalid_token")
	if n := g.count("client_admitted"); n != 1 {
		t.Errorf("%d events for one unchanged decision", n)
	}
}

// TestB29MfaByTheTokensOwnWord: a flow that asks those who have not proved enough lets
// a token through that says they have, and no other.
func TestB29MfaByTheTokensOwnWord(t *testing.T) {
	op := newOP(t)
	g := start(t, people(t)+machines("machines", op)+"factor totp\nflow staff {\nlogin corp\nwhen `!(\"mfa\" in auth.amr)` {\nmfa totp\n}\n}\n", "protect staff {\napi machines\n}\nreverse_proxy {APP}")
	refused(t, g.program("GET", "/a", "Authorization", "Bearer "+accessToken(op, "anna", nil)), http.StatusForbidden, "interaction_required")
	if r := g.program("GET", "/a", "Authorization", "Bearer "+accessToken(op, "anna", map[string]any{"amr": []string{"pwd", "mfa"}})); r.StatusCode != http.StatusOK {
		t.Errorf("%d", r.StatusCode)
	}
}

// TestI02SecondLoginWantsAnother: a program's word is good for one login of the flow.
func TestI02SecondLoginWantsAnother(t *testing.T) {
	op := newOP(t)
	g := start(t, people(t)+machines("machines", op)+"flow staff {\nlogin corp\nlogin corp\n}\n", "protect staff {\napi machines\n}\nreverse_proxy {APP}")
	refused(t, g.program("GET", "/a", "Authorization", "Bearer "+accessToken(op, "anna", nil)), http.StatusForbidden, "interaction_required")
}

// TestB16SocketsOfPrograms: they end with the token.
func TestB16SocketsOfPrograms(t *testing.T) {
	clock := newClock(t)
	up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		_, _, _ = c.ReadMessage()
	}))
	defer app.Close()
	op := newOP(t)
	g := start(t, machines("machines", op), "protect {\napi machines\n}\nreverse_proxy "+strings.TrimPrefix(app.URL, "http://"))
	dial := func() (*websocket.Conn, int) {
		c, res, err := websocket.DefaultDialer.Dial(strings.Replace(g.url("/ws"), "http", "ws", 1), http.Header{"Authorization": {"Bearer " + accessToken(op, "robot", nil)}})
		if err != nil {
			return nil, res.StatusCode
		}
		t.Cleanup(func() { c.Close() })
		return c, res.StatusCode
	}
	c, status := dial()
	if c == nil {
		t.Fatalf("%d", status)
	}
	clock.Advance(3 * time.Minute)
	_ = c.SetReadDeadline(time.Now().Add(1500 * time.Millisecond))
	if _, _, err := c.ReadMessage(); err == nil || !strings.Contains(err.Error(), "timeout") {
		t.Errorf("before the token ran out: %v", err)
	}
	c, _ = dial()
	clock.Advance(10 * time.Minute)
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, _, err := c.ReadMessage(); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("after it ran out: %v", err)
	}
}
