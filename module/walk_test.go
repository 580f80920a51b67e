package module_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// The commonest job: an application behind protect, a login, its headers.
func TestMainJobWalks(t *testing.T) {
	g := start(t, people(t), "protect {\nheaders siteminder\n}\nreverse_proxy {APP}")
	b := browser.New()
	defer b.Close()
	p := g.signIn(b, "/payroll/report?id=7", "alice", "alicepw")
	if p.Status != http.StatusOK || !strings.HasSuffix(p.URL, "/payroll/report?id=7") {
		t.Fatalf("landed at %s with %d, hops %v\n%s", p.URL, p.Status, b.Hops, p.Body)
	}
	if got := header(p.Body, "SM_USER"); len(got) != 1 || got[0] != "alice" {
		t.Errorf("SM_USER: want alice, got %q in\n%s", got, p.Body)
	}
	if strings.Contains(p.Body, "sallyport") {
		t.Errorf("the gateway's cookie reached the application:\n%s", p.Body)
	}
	e := g.events("login", 1)[0]
	if e["user"] != "corp:alice" {
		t.Errorf("login event: %v", e)
	}
	// The event names the session that came of it, by its public id (I13).
	if s := g.open(b, g.url("/.identity/session")); !s.Has(`"id":"` + e["session"].(string) + `"`) {
		t.Errorf("event %v, session %s", e, s.Body)
	}
}
