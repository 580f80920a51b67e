package module_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/adapters/factor/webauthn/webauthntest"
	"github.com/sallyport-gateway/sallyport/adapters/idp/local"
	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/module"
)

func init() { caddy.RegisterModule(new(leaving)) }

// leaving is a list of people whose accounts end at the time in their attribute `leaves`,
// as those of a directory do.
type leaving struct{ local.Provider }

func (*leaving) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.providers.leaving", New: func() caddy.Module { return new(leaving) }}
}

func leaves(u *flows.User) time.Time {
	text, _ := u.Attributes["leaves"].(string)
	at, _ := time.Parse(time.RFC3339, text)
	return at
}

func (l *leaving) VerifyPassword(ctx context.Context, name, password string) (flows.Proof, error) {
	p, err := l.Provider.VerifyPassword(ctx, name, password)
	p.NotAfter = leaves(&p.User)
	return p, err
}

func (l *leaving) Vouch(ctx context.Context, subject string) (flows.User, time.Time, error) {
	u, _, err := l.Provider.Vouch(ctx, subject)
	return u, leaves(&u), err
}

// Whoever speaks for the holder of a passkey says until when: the session ends with the
// account, as one of the password does.
func TestB16APasskeysSessionEndsWithTheAccount(t *testing.T) {
	clock, op, app := newClock(t), newOP(t), streaming(t)
	lines := fmt.Sprintf("provider corp leaving {\nuser alice %s {\nleaves %s\n}\n}\n", hashOf(t, "alicepw"), clock.Now().Add(2*time.Hour).Format(time.RFC3339)) +
		asked(t, "idp", op, "realm corp") + "session {\nidle 10h\nlifetime 12h\n}\nfactor webauthn\nflow staff {\nlogin corp passkey\n}\nflow setup {\nlogin idp\nmfa webauthn\n}\n"
	g := start(t, lines, "protect /setup setup {\nheader X-Key {user.key}\n}\nprotect staff {\nheader X-Key {user.key}\n}\nhandle /stream/* {\nreverse_proxy "+app+" {\nflush_interval -1\n}\n}\nhandle {\nreverse_proxy {APP}\n}")
	op.SetUser(map[string]any{"sub": "alice", "preferred_username": "alice", "amr": []string{"mfa"}})
	a := &webauthntest.Authenticator{Verifies: true}
	landed(t, makes(t, g.open(newBrowser(t), g.local("/setup")), a, ""), "/setup", "corp:alice")
	b := newBrowser(t)
	landed(t, uses(t, g.open(b, g.local("/a")), a), "/a", "corp:alice")
	s := g.listensOn("localhost", b, "/stream/x", false)
	explained, err := theApp(t).Explain(t.Context(), module.ExplainCase{URL: g.local("/a"), User: &module.ExplainUser{Key: "corp:alice"}, Flows: []string{"staff"}})
	if err != nil || explained.Decision != "allowed" {
		t.Fatalf("explained: %+v, %v", explained, err)
	}
	clock.Advance(time.Hour + 50*time.Minute)
	want(t, g.open(b, g.local("/a")), http.StatusOK)
	s.goesOn(t, "while the account is good")
	clock.Advance(11 * time.Minute)
	s.cut(t, "after the account's end")
	if p := g.open(b, g.local("/a")); p.Has("X-Key") || !strings.Contains(p.URL, "/.identity/flow") {
		t.Errorf("after the account's end: %d at %s\n%s", p.Status, p.URL, p.Text())
	}
}
