package module_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sallyport-gateway/sallyport/module"
)

func disabledPath(key string) string { return "/identity/users/" + key64(key) + "/disabled" }

// disable keeps somebody out.
func disable(t testing.TB, key, why string) map[string]any {
	t.Helper()
	status, out := admin(t, http.MethodPost, disabledPath(key), fmt.Sprintf(`{"reason":%q}`, why))
	if status != http.StatusOK || out["user"] != key {
		t.Fatalf("disabling %s: %d %v", key, status, out)
	}
	return out
}

// keepsOpen is an application that keeps every connection open that asks for an upgrade.
func keepsOpen(t *testing.T) (handler http.Handler, addr string) {
	t.Helper()
	handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" {
			_ = r.Header.Write(w)
			return
		}
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_, _ = io.Copy(io.Discard, c)
	})
	l := listen(t)
	s := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return handler, l.Addr().String()
}

// listening is a node that browsers reach at an address of its own.
func (g *gateway) listening(global, site string, app http.Handler) string {
	g.t.Helper()
	id, apps := g.another(global, site)
	if err := id.Start(); err != nil {
		g.t.Fatal(err)
	}
	gate := gatesOf(apps)[0]
	next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error { app.ServeHTTP(w, r); return nil })
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		vars := map[string]any{caddyhttp.ClientIPVarKey: "127.0.0.1", caddyhttp.TrustedProxyVarKey: false}
		ctx := context.WithValue(r.Context(), caddy.ReplacerCtxKey, caddy.NewReplacer())
		if err := gate.ServeHTTP(w, r.WithContext(context.WithValue(ctx, caddyhttp.VarsCtxKey, vars)), next); err != nil {
			g.t.Error(err)
		}
	}))
	g.t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// asks sends one request to a node and answers its status.
func (g *gateway) asks(node, cookie string) int {
	req, err := http.NewRequest(http.MethodGet, "http://"+node+"/a", nil)
	if err != nil {
		g.t.Fatal(err)
	}
	req.Host, req.Header = fmt.Sprintf("127.0.0.1:%d", g.port), http.Header{"Cookie": {cookie}}
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		g.t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

// socket opens a WebSocket at a node and answers when it was cut.
func (g *gateway) socket(node, cookie string) <-chan time.Time {
	g.t.Helper()
	c, err := net.Dial("tcp", node)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { c.Close() })
	fmt.Fprintf(c, "GET /ws HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nCookie: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", g.port, cookie)
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		g.t.Fatalf("no WebSocket at %s: %v %v", node, res, err)
	}
	cut := make(chan time.Time, 1)
	go func() { _, _ = io.Copy(io.Discard, r); cut <- time.Now() }()
	return cut
}

// A disabled user's next request is refused within a second and an open WebSocket is cut
// within two, on every node of the store; and it is nobody else's.
func TestI15DisabledUserIsRefusedWithinOneSecondAndCutWithinTwo(t *testing.T) {
	app, upstream := keepsOpen(t)
	global, site := people(t)+watchedLine, "protect {\nheaders siteminder\n}\nreverse_proxy "+upstream
	g := start(t, global, site)
	nodes := []string{fmt.Sprintf("127.0.0.1:%d", g.port), g.listening(global, site, app)}
	c := ticketOf(t, g, g.signedIn("/a", "alice", "alicepw"))
	alice := c.Name + "=" + c.Value
	c = ticketOf(t, g, g.signedIn("/a", "bob", "bobpw"))
	bob := c.Name + "=" + c.Value
	var cuts []<-chan time.Time
	for _, node := range nodes {
		if a, b := g.asks(node, alice), g.asks(node, bob); a != http.StatusOK || b != http.StatusOK {
			t.Fatalf("before, at %s: %d, %d", node, a, b)
		}
		cuts = append(cuts, g.socket(node, alice))
	}
	others := g.socket(nodes[1], bob)

	begin := time.Now()
	if out := disable(t, "corp:alice", "left the company"); out["ended"] != 1.0 || out["reason"] != "left the company" || out["since"] == nil {
		t.Errorf("the answer: %v", out)
	}
	for i, node := range nodes {
		for g.asks(node, alice) == http.StatusOK {
			if time.Since(begin) > 10*time.Second {
				t.Fatalf("node %d still lets a disabled user in", i+1)
			}
		}
		d := time.Since(begin)
		t.Logf("node %d: refused after %s", i+1, d)
		if d > time.Second {
			t.Errorf("node %d: refused only after %s", i+1, d)
		}
	}
	for i, cut := range cuts {
		select {
		case at := <-cut:
			t.Logf("node %d: WebSocket cut after %s", i+1, at.Sub(begin))
			if d := at.Sub(begin); d > 2*time.Second {
				t.Errorf("node %d: the WebSocket was cut only after %s", i+1, d)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("node %d: the WebSocket is open", i+1)
		}
	}
	select {
	case <-others:
		t.Error("somebody else's WebSocket was cut")
	default:
	}
	for _, node := range nodes {
		if g.asks(node, bob) != http.StatusOK {
			t.Error("somebody else was refused")
		}
	}
}

// switchedOff fails unless the page refuses with this reason and the trail says so.
func (g *gateway) switchedOff(p interface{ Has(string) bool }, status int, n int) {
	g.t.Helper()
	if status != http.StatusForbidden || !p.Has("This account has been switched off") {
		g.t.Fatalf("want the refusal of a disabled account, got %d: %v", status, p)
	}
	if e := g.lastDenied("login_denied", n); e["reason"] != "account_disabled" || !strings.Contains(fmt.Sprint(e["detail"]), "left the company") {
		g.t.Fatalf("the trail says %v", e)
	}
}

// Who is disabled stays so over a restart, and whatever is erased; who is enabled comes in
// again, with none of the sessions of before.
func TestDisabledUsersStayOut(t *testing.T) {
	global := people(t) + "store file {DIR}/identity.db\n"
	g := start(t, people(t), plainSite)
	global = strings.ReplaceAll(global, "{DIR}", g.dir)
	if err := g.load(global, plainSite); err != nil {
		t.Fatal(err)
	}
	old := g.aliceCookie()
	if out := disable(t, "corp:alice", "left the company"); out["ended"] != 1.0 {
		t.Errorf("the answer: %v", out)
	}
	if e := g.events("user_disabled", 1)[0]; e["user"] != "corp:alice" || e["text"] != "left the company" {
		t.Errorf("the trail says %v", e)
	}
	p := g.signIn(newBrowser(t), "/a", "alice", "alicepw")
	g.switchedOff(p, p.Status, 1)
	// With a wrong password nobody hears anything of it.
	if p := g.signIn(newBrowser(t), "/a", "alice", "wrong"); p.Status != http.StatusUnauthorized || p.Has("switched off") {
		t.Errorf("a stranger: %d\n%s", p.Status, p.Text())
	}
	g.signedIn("/a", "bob", "bobpw")

	// Somebody who never came is disabled as well, and the list has both.
	disable(t, "corp:nobody", "")
	status, out := admin(t, http.MethodGet, "/identity/users?disabled=yes&n=1")
	if status != http.StatusOK || len(out["users"].([]any)) != 1 || out["after"] == nil {
		t.Fatalf("the list: %d %v", status, out)
	}
	first := fmt.Sprint(out["users"])
	_, out = admin(t, http.MethodGet, "/identity/users?disabled=yes&after="+out["after"].(string))
	if rest := fmt.Sprint(out["users"]); len(out["users"].([]any)) != 1 || !strings.Contains(first+rest, "corp:alice") || !strings.Contains(first+rest, "corp:nobody") || out["after"] != nil {
		t.Errorf("the list: %s and %v", first, out)
	}

	// Erasing forgets what is kept of alice, but not that.
	if status, out := admin(t, http.MethodDelete, "/identity/users/"+key64("corp:alice")+"?erase=yes"); status != http.StatusOK {
		t.Fatalf("erasing: %d %v", status, out)
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := g.load(global, plainSite); err != nil {
		t.Fatal(err)
	}
	p = g.signIn(newBrowser(t), "/a", "alice", "alicepw")
	g.switchedOff(p, p.Status, 2)
	_, me := admin(t, http.MethodGet, "/identity/users/"+key64("corp:alice"))
	if d, ok := me["disabled"].(map[string]any); !ok || d["reason"] != "left the company" || d["since"] == nil {
		t.Errorf("the export: %v", me)
	}

	if status, out := admin(t, http.MethodDelete, disabledPath("corp:alice")); status != http.StatusOK || out["enabled"] != true || out["reason"] != "left the company" {
		t.Fatalf("enabling: %d %v", status, out)
	}
	if status, _ := admin(t, http.MethodDelete, disabledPath("corp:alice")); status != http.StatusNotFound {
		t.Errorf("enabling twice: %d", status)
	}
	g.events("user_enabled", 1)
	g.signedIn("/a", "alice", "alicepw")
	want(t, g.get("/a", old), http.StatusSeeOther)
}

// Who was disabled behind the login and before the second factor gets no further: nothing
// is enrolled, and no code is asked for.
func TestDisabledInTheMiddleOfALogin(t *testing.T) {
	h := withFactor(t, factorFlow)
	b := newBrowser(t)
	p := h.g.open(b, h.g.url("/a"))
	if !p.Has("code") {
		t.Fatalf("want the page of a code, got\n%s", p.Text())
	}
	disable(t, "idp:u-alice", "left the company")
	p = fill(t, p, "code", h.code(t))
	h.g.switchedOff(p, p.Status, 1)
	if h.g.holds(b) {
		t.Error("a disabled user has a session")
	}
	p = h.g.open(newBrowser(t), h.g.url("/a")) // already behind the provider
	h.g.switchedOff(p, p.Status, 2)
	// What was signed in before shows no account and changes none.
	if p := h.g.open(h.b, h.g.url(accountPath)); atAccount(p) {
		t.Errorf("the account page of a disabled user:\n%s", p.Text())
	}
}

func TestDisabledUsersByPasskeyAndHeader(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "idp", op)+passkeyFlow, passkeySite)
	a := passkeyOwner(t, g, op, g.local("/a"))
	disable(t, "idp:u-alice", "left the company")
	p := uses(t, g.open(newBrowser(t), g.local("/a")), a)
	g.switchedOff(p, p.Status, 1)

	if err := g.load(people(t)+wam("127.0.0.0/8")+wamFlow, wamSite); err != nil {
		t.Fatal(err)
	}
	b := newBrowser(t)
	landed(t, g.by(b, "/a", "SM_USER", "anna"), "/a", "wam:anna")
	disable(t, "wam:anna", "left the company")
	p = g.by(b, "/a", "SM_USER", "anna")
	g.switchedOff(p, p.Status, 2)
	landed(t, g.by(newBrowser(t), "/a", "SM_USER", "bert"), "/a", "wam:bert")
}

// A store that cannot tell who is disabled lets nobody in, and says so.
func TestDisabledOrNotCannotBeTold(t *testing.T) {
	g := start(t, people(t)+flakyLine, plainSite)
	up := storeDown(t)
	if status, out := admin(t, http.MethodPost, disabledPath("corp:alice")); status != http.StatusServiceUnavailable || out["error"] == "" {
		t.Errorf("disabling without a store: %d %v", status, out)
	}
	b := newBrowser(t)
	p := g.signIn(b, "/a", "bob", "bobpw")
	if p.Status != http.StatusServiceUnavailable || g.holds(b) {
		t.Errorf("a login while the store is down: %d, a session: %v", p.Status, g.holds(b))
	}
	up()
	g.signedIn("/a", "bob", "bobpw")
}

// A person stays out when the cluster's keys are rotated, though they never come.
func TestB20DisabledUsersOfAnOlderKey(t *testing.T) {
	withKeys := func(keys ...string) string {
		line := people(t) + "keys"
		for _, k := range keys {
			line += " " + strings.Repeat(k, 32)
		}
		return line + "\n"
	}
	g := start(t, withKeys("a"), plainSite)
	disable(t, "corp:alice", "left the company")
	if err := g.load(withKeys("b", "a"), plainSite); err != nil {
		t.Fatal(err)
	}
	until(t, "the newest key has them", func() bool {
		_, out := admin(t, http.MethodGet, "/identity/users?disabled=yes")
		return len(out["users"].([]any)) == 1 && module.DisabledUnderNewest("corp:alice")
	})
	if err := g.load(withKeys("b"), plainSite); err != nil {
		t.Fatal(err)
	}
	p := g.signIn(newBrowser(t), "/a", "alice", "alicepw")
	g.switchedOff(p, p.Status, 1)
}
