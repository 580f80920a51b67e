package module_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// within waits until a file holds a text: an access log's line comes behind the answer.
func within(t *testing.T, file, text string) bool {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if b, _ := os.ReadFile(file); strings.Contains(string(b), text) {
			return true
		}
	}
	return false
}

// One id finds everything of a request: the page, the event, the access log's line and
// the application's. Only a trusted proxy chooses it.
func TestCorrelation(t *testing.T) {
	access := filepath.Join(t.TempDir(), "access.log")
	site := "log {\noutput file " + access + "\n}\nprotect {\npublic /open/*\nrequire /admin/* `\"admins\" in user.groups` \"Administrators only.\"\n}\nreverse_proxy {APP}"
	g := start(t, people(t)+"correlation\n", site)
	b := g.signedIn("/a", "bob", "bobpw")
	c := ticketOf(t, g, b)
	cookie := c.Name + "=" + c.Value

	upstream := func(path string, more ...string) string {
		t.Helper()
		p := g.get(path, cookie, more...)
		want(t, p, http.StatusOK)
		if strings.Contains(p.Text(), "chosen") && !strings.Contains(path, "trusted") {
			t.Errorf("the application hears of an id that the client chose: %s", p.Text())
		}
		id := header(p.Body, "X-Request-Id")
		if len(id) != 1 || len(id[0]) < 8 {
			t.Fatalf("the application got %q", id)
		}
		return id[0]
	}
	mine := upstream("/a", "X-Request-ID", "chosen-by-client", "X_Request_ID", "chosen-by-client")
	if !within(t, access, `"correlation":"`+mine+`"`) || mine == upstream("/open/a", "X-Request-ID", "chosen-by-client") {
		t.Errorf("%s is not in the access log, or of two requests", mine)
	}

	p := g.get("/admin/x", cookie, "X-Request-ID", "chosen-by-client")
	want(t, p, http.StatusForbidden)
	e := g.events("denied", 1)[0]
	id, _ := e["id"].(string)
	if e["correlation"] != id || len(id) < 8 || !p.Has(id) || !within(t, access, `"correlation":"`+id+`"`) {
		t.Errorf("event %v, page %s", e, p.Text())
	}

	if err := g.load(people(t)+"correlation X-Trace\ntrusted_proxies static 127.0.0.0/8\n", site); err != nil {
		t.Fatal(err)
	}
	for sent, taken := range map[string]bool{"chosen-by-proxy:1": true, "short": false, "with blank and more": false, "<script>alert(1)</script>": false, strings.Repeat("x", 129): false} {
		p := g.get("/admin/x", cookie, "X-Trace", sent)
		want(t, p, http.StatusForbidden)
		if p.Has(sent) != taken {
			t.Errorf("%s taken: %v", sent, !taken)
		}
	}
	denied := g.events("denied", 6)
	found := 0
	for _, e := range denied {
		if e["correlation"] == "chosen-by-proxy:1" && e["id"] != "chosen-by-proxy:1" {
			found++ // what a proxy chose is no event's own id: it may come twice
		}
	}
	if found != 1 {
		t.Errorf("%v", denied)
	}
	p = g.get("/open/trusted", cookie, "X-Trace", "chosen-by-proxy:2")
	if got := header(p.Body, "X-Trace"); len(got) != 1 || got[0] != "chosen-by-proxy:2" {
		t.Errorf("upstream: %q", got)
	}
}

func init() { caddy.RegisterModule(new(recorder)) }

// recorder subscribes to Caddy's events, and may hang or panic.
type recorder struct{}

var recorded struct {
	sync.Mutex
	events []caddy.Event
	hang   chan struct{}
	panics bool
}

func (*recorder) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.recorder", New: func() caddy.Module { return new(recorder) }}
}

func (*recorder) UnmarshalCaddyfile(d *caddyfile.Dispenser) error { d.Next(); return nil }

func (*recorder) Handle(_ context.Context, e caddy.Event) error {
	recorded.Lock()
	hang, panics := recorded.hang, recorded.panics
	recorded.events = append(recorded.events, e)
	recorded.Unlock()
	if hang != nil {
		<-hang
	}
	if panics {
		panic("a subscriber")
	}
	return caddy.ErrEventAborted
}

// Who subscribes to Caddy's events hears of logins and refusals, decides nothing, holds
// nobody up and is told no secret.
func TestCaddyEvents(t *testing.T) {
	site := "protect {\nrequire /admin/* `\"admins\" in user.groups`\n}\nreverse_proxy {APP}"
	g := start(t, people(t)+"store memory\naudit log\n}\nevents {\non identity.login recorder\non identity.denied recorder", site)
	of := func(name string, n int) (got []caddy.Event) {
		t.Helper()
		for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			got = nil
			recorded.Lock()
			for _, e := range recorded.events {
				if e.Name() == name {
					got = append(got, e)
				}
			}
			recorded.Unlock()
			if len(got) >= n {
				return got
			}
		}
		t.Fatalf("%d %s, want %d", len(got), name, n)
		return nil
	}
	b := g.signedIn("/a", "bob", "bobpw")
	login := of("identity.login", 1)[0]
	if login.Data["user"] != "corp:bob" || login.Data["kind"] != "login" || login.Data["id"] == "" || login.Origin() == nil || login.Origin().CaddyModule().ID != "identity" {
		t.Errorf("%+v from %v", login.Data, login.Origin())
	}
	for name, v := range login.Data {
		if s, ok := v.(string); !ok || strings.Contains(s, "bobpw") || name == "name" || name == "detail" || name == "show" {
			t.Errorf("told: %s %v", name, v)
		}
	}
	recorded.Lock()
	recorded.hang = make(chan struct{})
	recorded.panics = true
	recorded.Unlock()
	for range 10 { // more than there are workers
		want(t, g.open(b, g.url("/admin/x\u202e")), http.StatusForbidden)
	}
	close(recorded.hang)
	if e := of("identity.denied", 10)[0]; e.Data["reason"] != "not_allowed" || e.Data["path"] != "/admin/x?" {
		t.Errorf("%+v", e.Data)
	}
	want(t, g.open(b, g.url("/a")), http.StatusOK)
}
