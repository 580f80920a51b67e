package module_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/module"
)

// hook is a service of the operator's own: it hands on what it is asked.
func newHook(t *testing.T, answer func(n int) (status int, body string)) (url string, asked chan map[string]any) {
	t.Helper()
	asked = make(chan map[string]any, 100)
	n := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		var m map[string]any
		if err := json.Unmarshal(b, &m); err != nil {
			t.Error(err)
		}
		n++ // one after the other
		status, body := answer(n)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
		asked <- m
	}))
	t.Cleanup(srv.Close)
	return srv.URL, asked
}

func next(t *testing.T, asked chan map[string]any) map[string]any {
	t.Helper()
	select {
	case m := <-asked:
		return m
	case <-time.After(10 * time.Second):
		t.Fatal("the service was not asked")
		return nil
	}
}

func TestCallWalk(t *testing.T) {
	t.Setenv("SALLYPORT_HOOK", "a secret of this very test")
	reply, status := `{"attributes":{"tier":"gold"}}`, http.StatusOK
	url, asked := newHook(t, func(int) (int, string) { return status, reply })
	g := start(t, people(t)+"flow staff {\nlogin corp\ncall "+url+"/x {\nsecret {env.SALLYPORT_HOOK}\nsend user.name request.host\nattributes tier\n}\n}\n",
		"protect staff {\nheader X-Key {user.key}\nheader X-Tier {user.tier}\n}\nreverse_proxy {APP}")
	p := g.signIn(newBrowser(t), "/a", "alice", "alicepw")
	landed(t, p, "/a", "corp:alice")
	if !p.Has("X-Tier: gold") {
		t.Errorf("the application got\n%s", p.Text())
	}
	if u := next(t, asked)["data"].(map[string]any)["user"].(map[string]any); u["name"] != "alice" || len(u) != 1 {
		t.Errorf("the service was told %v", u)
	}
	reply = `{"deny":"Your contract has ended."}`
	p = g.signIn(newBrowser(t), "/a", "alice", "alicepw")
	if p.Status != http.StatusForbidden || !p.Has("Your contract has ended.") {
		t.Errorf("%d\n%s", p.Status, p.Text())
	}
	status = http.StatusBadGateway
	p = g.signIn(newBrowser(t), "/a", "alice", "alicepw")
	if p.Status != http.StatusServiceUnavailable || !p.Has("does not answer right now") {
		t.Errorf("%d\n%s", p.Status, p.Text())
	}
	if e := g.events("login_denied", 2); e[1]["reason"] != "service_unavailable" || e[1]["step"] != "call" {
		t.Errorf("the trail has %v", e[1])
	}
}

const eventFlow = "flow staff {\nlogin corp\n}\nflow told {\non login session_ended logout\nset dept `\"it\"`\ncall {HOOK} {\nsecret {env.SALLYPORT_HOOK}\nsend user.key user.email user.dept request.host\n}\n}\n"

func TestFlowsOfEvents(t *testing.T) {
	t.Setenv("SALLYPORT_HOOK", "a secret of this very test")
	url, asked := newHook(t, func(int) (int, string) { return http.StatusOK, "{}" })
	g := start(t, people(t)+strings.ReplaceAll(eventFlow, "{HOOK}", url), "protect {\nheader X-Key {user.key}\n}\nreverse_proxy {APP}")
	b := g.signedIn("/a", "alice", "alicepw")
	m := next(t, asked)
	data := m["data"].(map[string]any)
	if m["type"] != "flow.event" || data["event"].(map[string]any)["kind"] != "login" || data["flow"] != "told" {
		t.Errorf("the service was told %v", m)
	}
	if u := data["user"].(map[string]any); u["key"] != "corp:alice" || u["email"] != "alice@example.test" || u["dept"] != "it" {
		t.Errorf("of the person %v", u)
	}
	if e := g.events("login", 1)[0]; data["event"].(map[string]any)["id"] != e["id"] {
		t.Errorf("%v is not %v", data["event"], e["id"])
	}
	page := g.open(b, g.url("/a"))
	want(t, g.send(b, browser.Request{Method: http.MethodPost, URL: g.url("/.identity/logout"), From: page}), http.StatusOK)
	if data := next(t, asked)["data"].(map[string]any); data["event"].(map[string]any)["kind"] != "logout" {
		t.Errorf("the service was told %v", data)
	}
}

// I25: what an event starts never holds up what it follows, and what it could not do
// is tried again where it stood.
func TestI25FlowsOfEventsBlockNothing(t *testing.T) {
	t.Setenv("SALLYPORT_HOOK", "a secret of this very test")
	defer module.SetTryPauses(0, 0, 0)()
	release := make(chan struct{})
	url, asked := newHook(t, func(n int) (int, string) {
		if n == 1 {
			<-release
			return http.StatusBadGateway, ""
		}
		return http.StatusOK, `{"deny":"as it likes"}`
	})
	g := start(t, people(t)+strings.ReplaceAll(eventFlow, "{HOOK}", url), "protect {\nheader X-Key {user.key}\n}\nreverse_proxy {APP}")
	b := g.signedIn("/a", "alice", "alicepw") // the service has not answered yet
	close(release)
	first, second := next(t, asked), next(t, asked)
	if first["data"].(map[string]any)["run"] != second["data"].(map[string]any)["run"] {
		t.Error("the second try is another run")
	}
	landed(t, g.open(b, g.url("/a")), "/a", "corp:alice") // and its deny is its own affair
}

func TestStrangersStartNothing(t *testing.T) {
	t.Setenv("SALLYPORT_HOOK", "a secret of this very test")
	url, asked := newHook(t, func(int) (int, string) { return http.StatusOK, "{}" })
	flow := strings.ReplaceAll(strings.Replace(eventFlow, "on login session_ended logout", "on login_denied login", 1), "{HOOK}", url)
	g := start(t, people(t)+flow, "protect {\nheader X-Key {user.key}\n}\nreverse_proxy {APP}")
	p := g.signIn(newBrowser(t), "/a", "alice", "wrong")
	want(t, p, http.StatusUnauthorized)
	g.signedIn("/a", "bob", "bobpw")
	if e := next(t, asked)["data"].(map[string]any)["event"].(map[string]any); e["kind"] != "login" {
		t.Errorf("first came %v", e)
	}
}
