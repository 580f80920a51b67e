package module_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
	"github.com/sallyport-gateway/sallyport/flows/policy"
	"github.com/sallyport-gateway/sallyport/module"
)

func init() { caddy.RegisterModule(new(brokenSink)) }

// brokenSink is an audit sink with a switch. It keeps what it took.
type brokenSink struct{}

var sinkSwitch struct {
	broken atomic.Bool
	mu     sync.Mutex
	took   []audit.Event
}

func (*brokenSink) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.audit.broken", New: func() caddy.Module { return new(brokenSink) }}
}

func (*brokenSink) UnmarshalCaddyfile(d *caddyfile.Dispenser) error { d.Next(); return nil }

func (*brokenSink) Write(_ context.Context, e audit.Event) error {
	if sinkSwitch.broken.Load() {
		return errors.New("no space left")
	}
	sinkSwitch.mu.Lock()
	defer sinkSwitch.mu.Unlock()
	sinkSwitch.took = append(sinkSwitch.took, e)
	return nil
}

func sinkBreaks(t testing.TB) (mend func()) {
	sinkSwitch.broken.Store(true)
	mend = func() { sinkSwitch.broken.Store(false) }
	t.Cleanup(mend)
	return mend
}

func TestI25NoTrailNoLogin(t *testing.T) {
	g := start(t, people(t)+flakyLine+"audit broken\naudit file "+t.TempDir()+"/a.jsonl\n", plainSite)
	b := g.signedIn("/a", "alice", "alicepw")
	c := ticketOf(t, g, b)
	cookie := c.Name + "=" + c.Value
	page := g.open(b, g.url("/a"))
	tab := browser.New()
	defer tab.Close()
	f, err := g.open(tab, g.url("/b")).FormWith("username")
	if err != nil {
		t.Fatal(err)
	}
	mend := sinkBreaks(t)
	p := g.submitOnly(tab, f, "bob", "bobpw")
	want(t, p, http.StatusServiceUnavailable)
	if p.Header.Get("Retry-After") == "" || len(p.Header["Set-Cookie"]) != 0 {
		t.Errorf("refused login: %v", p.Header)
	}
	for _, k := range tab.Jar.Cookies(g.url("/")) {
		if k.Name == c.Name {
			t.Error("a session without an entry in the trail")
		}
	}
	// An unchanged decision is no new event: who is signed in works on.
	want(t, g.get("/a", cookie), http.StatusOK)
	// What takes away is never held up.
	want(t, g.send(b, browser.Request{Method: http.MethodPost, URL: g.url("/.identity/logout"), From: page}), http.StatusOK)
	if p := g.get("/a", cookie); p.Status != http.StatusSeeOther {
		t.Errorf("after a logout without a trail: %d", p.Status)
	}
	mend()
	// With the trail mended a login goes through again.
	bob := g.signedIn("/b", "bob", "bobpw")
	want(t, g.open(bob, g.url("/b")), http.StatusOK)
}

// A wrong answer of a stranger is counted, not written: nobody fills the disk.
func TestI25WrongAnswersAreCountedNotWritten(t *testing.T) {
	g := start(t, people(t), plainSite)
	tab := browser.New()
	defer tab.Close()
	f, err := g.open(tab, g.url("/b")).FormWith("username")
	if err != nil {
		t.Fatal(err)
	}
	before := len(g.events("", 0))
	for range 4 {
		p := g.submitOnly(tab, f, "alice", "wrong")
		want(t, p, http.StatusUnauthorized)
		if f, err = p.FormWith("username"); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		g.get("/a", "")
		g.raw(http.MethodGet, "/a", "", "Accept", "*/*")
	}
	g.signedIn("/a", "bob", "bobpw")
	if n := len(g.events("", before+1)); n != before+1 {
		t.Errorf("strangers wrote %d entries: %v", n-before-1, g.events("", 0))
	}
}

// What Decide answers follows from what it is given: twice the same, nothing
// changed, also not in what it was given (I26).
func TestI26DecideIsPure(t *testing.T) {
	env, err := policy.New(map[string]policy.Source{"admins": {CEL: `"admins" in user.groups`}})
	if err != nil {
		t.Fatal(err)
	}
	cond, err := env.Condition(flows.ConditionRef{Policy: "admins"})
	if err != nil {
		t.Fatal(err)
	}
	all := func(*flows.Facts) (bool, error) { return true, nil }
	gate := &policy.Gate{Flow: "default", Digest: "d", Rules: []policy.Rule{{Do: policy.Require, Match: all, Cond: cond, Text: "admins only", Source: "Caddyfile:3"}}}
	now := time.Now()
	for name, groups := range map[string][]string{"allowed": {"admins"}, "denied": {"staff"}, "nobody": nil} {
		facts := &flows.Facts{Request: &flows.Request{Method: "GET", Path: "/", Host: "a"}, Now: now}
		if groups != nil {
			facts.User = &flows.User{Key: "corp:x", Name: "x", Groups: groups}
			facts.Session = &flows.SessionFacts{ID: "s", Flows: map[string]string{"default": "d"}}
		}
		before, err := json.Marshal(facts)
		if err == nil {
			_ = before
		}
		first := policy.Decide(gate, facts)
		for range 3 {
			if again := policy.Decide(gate, facts); again.Verdict != first.Verdict || again.Reason != first.Reason || again.Source != first.Source || again.Text != first.Text {
				t.Errorf("%s: %+v, then %+v", name, first, again)
			}
		}
		if after, err := json.Marshal(facts); err == nil && !bytes.Equal(before, after) {
			t.Errorf("%s: deciding changed the facts: %s → %s", name, before, after)
		}
	}
}

// admin calls the admin API as Caddy's admin endpoint would.
func admin(t testing.TB, method, target string, body ...string) (int, map[string]any) {
	t.Helper()
	mux := http.NewServeMux()
	for _, route := range (module.AdminAPI{}).Routes() {
		mux.HandleFunc(route.Pattern, func(w http.ResponseWriter, r *http.Request) {
			err := route.Handler.ServeHTTP(w, r)
			var api caddy.APIError
			switch {
			case errors.As(err, &api):
				w.WriteHeader(api.HTTPStatus)
				fmt.Fprintf(w, `{"error":%q}`, api.Err)
			case err != nil:
				t.Errorf("%s %s: %v", method, target, err)
			}
		})
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(method, target, strings.NewReader(strings.Join(body, ""))))
	var out map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		t.Errorf("%s %s: %d, no JSON: %s", method, target, w.Code, w.Body)
	}
	return w.Code, out
}

func key64(key string) string { return base64.RawURLEncoding.EncodeToString([]byte(key)) }

func TestAdminListsAndEndsSessions(t *testing.T) {
	g := start(t, people(t)+flakyLine, plainSite)
	var cookies []string
	for _, who := range []string{"alice", "alice", "alice", "bob"} {
		c := ticketOf(t, g, g.signedIn("/a", who, who+"pw"))
		cookies = append(cookies, c.Name+"="+c.Value)
	}
	status, out := admin(t, http.MethodGet, "/identity/sessions?user="+key64("corp:alice")+"&n=2")
	if status != http.StatusOK || len(out["sessions"].([]any)) != 2 || out["after"] == nil {
		t.Fatalf("first page: %d %v", status, out)
	}
	status, rest := admin(t, http.MethodGet, "/identity/sessions?user="+key64("corp:alice")+"&n=2&after="+out["after"].(string))
	if status != http.StatusOK || len(rest["sessions"].([]any)) != 1 || rest["after"] != nil {
		t.Fatalf("second page: %d %v", status, rest)
	}
	_, everybody := admin(t, http.MethodGet, "/identity/sessions")
	if n := len(everybody["sessions"].([]any)); n < 4 {
		t.Errorf("all sessions: %d", n)
	}
	one := out["sessions"].([]any)[0].(map[string]any)
	if one["user"] != "corp:alice" || one["name"] != "alice" || one["provider"] != "corp" || one["expires"] == nil {
		t.Errorf("a session: %v", one)
	}
	text := fmt.Sprint(everybody)
	for _, c := range cookies {
		if _, ticket, _ := strings.Cut(c, "="); strings.Contains(text, ticket) || strings.Contains(text, ticket[:21]) {
			t.Error("the list shows a ticket")
		}
	}
	id := one["id"].(string)
	if status, _ := admin(t, http.MethodDelete, "/identity/sessions/"+id); status != http.StatusOK {
		t.Fatalf("ending one: %d", status)
	}
	alive := 0
	for _, c := range cookies {
		if g.get("/a", c).Status == http.StatusOK {
			alive++
		}
	}
	if alive != 3 {
		t.Errorf("one of four was ended, %d are alive", alive)
	}
	if status, _ := admin(t, http.MethodDelete, "/identity/sessions/"+id); status != http.StatusNotFound {
		t.Errorf("ending it twice: %d", status)
	}
	if status, out := admin(t, http.MethodDelete, "/identity/users/"+key64("corp:alice")+"/sessions"); status != http.StatusOK || out["ended"] != 2.0 {
		t.Errorf("ending a person's: %d %v", status, out)
	}
	for i, c := range cookies {
		if got := g.get("/a", c).Status; (got == http.StatusOK) != (i == 3) {
			t.Errorf("session %d after all of alice's ended: %d", i, got)
		}
	}
	// Who was revoked may sign in again.
	g.signedIn("/a", "alice", "alicepw")
	calls := g.events("admin", 6)
	for _, e := range calls {
		if e["method"] == "" || e["path"] == "" {
			t.Errorf("an admin call in the trail: %v", e)
		}
	}
	if len(calls) != 6 {
		t.Errorf("6 calls, %d events", len(calls))
	}
	if n := len(g.events("session_ended", 3)); n != 3 {
		t.Errorf("3 sessions ended, %d events", n)
	}
}

func TestAdminRefusesWhatItDoesNotKnow(t *testing.T) {
	g := start(t, people(t)+flakyLine, plainSite)
	for _, tc := range []struct {
		method, target string
		status         int
	}{
		{http.MethodPost, "/identity/sessions", http.StatusMethodNotAllowed},
		{http.MethodGet, "/identity/sessions/x", http.StatusMethodNotAllowed},
		{http.MethodPut, "/identity/users/x/sessions", http.StatusMethodNotAllowed},
		{http.MethodDelete, "/identity/providers", http.StatusMethodNotAllowed},
		{http.MethodDelete, "/identity/sessions/nosuch", http.StatusNotFound},
		{http.MethodDelete, "/identity/sessions/", http.StatusNotFound},
		{http.MethodDelete, "/identity/users/" + key64("corp:alice"), http.StatusBadRequest},
		{http.MethodDelete, "/identity/users/" + key64("corp:alice") + "?erase=yes", http.StatusNotFound},
		{http.MethodDelete, "/identity/users//sessions", http.StatusMovedPermanently},
		{http.MethodDelete, "/identity/users/%20/sessions", http.StatusBadRequest},
		{http.MethodDelete, "/identity/users/" + key64("alice") + "/sessions", http.StatusBadRequest},
		{http.MethodGet, "/identity/sessions?user=alice!", http.StatusBadRequest},
		{http.MethodGet, "/identity/sessions?n=0", http.StatusBadRequest},
		{http.MethodGet, "/identity/sessions?n=many", http.StatusBadRequest},
		{http.MethodGet, "/identity/providers", http.StatusOK},
		{http.MethodDelete, "/identity/users/" + key64("corp:nobody") + "/sessions", http.StatusOK},
	} {
		if tc.status == http.StatusMovedPermanently {
			continue // the mux's own business
		}
		if status, out := admin(t, tc.method, tc.target); status != tc.status {
			t.Errorf("%s %s: want %d, got %d %v", tc.method, tc.target, tc.status, status, out)
		}
	}
	_, out := admin(t, http.MethodGet, "/identity/providers")
	if p := out["providers"].([]any); len(p) != 1 || fmt.Sprint(p[0]) != "map[healthy:true name:corp type:local]" {
		t.Errorf("providers: %v", p)
	}
	// After a refused reload the router still speaks for the config that runs.
	g.signedIn("/a", "alice", "alicepw")
	if err := g.load(people(t)+flakyLine, "protect nosuch\nreverse_proxy {APP}"); err == nil {
		t.Fatal("a broken config was loaded")
	}
	if status, out := admin(t, http.MethodGet, "/identity/sessions?user="+key64("corp:alice")); status != http.StatusOK || len(out["sessions"].([]any)) == 0 {
		t.Errorf("after a refused reload: %d %v", status, out)
	}
	up := storeDown(t)
	if status, _ := admin(t, http.MethodGet, "/identity/sessions"); status != http.StatusServiceUnavailable {
		t.Errorf("listing with the store down: %d", status)
	}
	up()
}

// No call without its event; what takes away goes on without one (I25, I26).
func TestI26AdminCallsAreAuditedFirst(t *testing.T) {
	g := start(t, people(t)+flakyLine+"audit broken\n", plainSite)
	c := ticketOf(t, g, g.signedIn("/a", "bob", "bobpw"))
	mend := sinkBreaks(t)
	for _, target := range []string{"/identity/sessions", "/identity/providers"} {
		if status, _ := admin(t, http.MethodGet, target); status != http.StatusServiceUnavailable {
			t.Errorf("%s without a trail: %d", target, status)
		}
	}
	if status, _ := admin(t, http.MethodDelete, "/identity/users/"+key64("corp:bob")+"/sessions"); status != http.StatusOK {
		t.Errorf("revoking without a trail: %d", status)
	}
	want(t, g.get("/a", c.Name+"="+c.Value), http.StatusSeeOther)
	mend()
}

func TestB16AdminRevocationCutsStreams(t *testing.T) {
	g := start(t, people(t)+flakyLine, plainSite)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "data: 1\n")
			_ = http.NewResponseController(w).Flush()
			if r.URL.Path == "/events" {
				<-r.Context().Done()
			}
		}))
	}()
	if err := g.load(people(t)+flakyLine, "protect\nreverse_proxy "+l.Addr().String()+" {\nflush_interval -1\n}"); err != nil {
		t.Fatal(err)
	}
	b := g.signedIn("/a", "bob", "bobpw")
	c := ticketOf(t, g, b)
	req, _ := http.NewRequest(http.MethodGet, g.url("/events"), nil)
	req.Header.Set("Cookie", c.Name+"="+c.Value)
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.ReadFull(res.Body, make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() { _, _ = io.Copy(io.Discard, res.Body); close(over) }()
	begin := time.Now()
	if status, out := admin(t, http.MethodDelete, "/identity/users/"+key64("corp:bob")+"/sessions"); status != http.StatusOK || out["ended"] == 0.0 {
		t.Fatalf("revoking: %d %v", status, out)
	}
	select {
	case <-over:
		if d := time.Since(begin); d > 2*time.Second {
			t.Errorf("the stream ended %s after its session", d)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the stream outlived its session")
	}
}
