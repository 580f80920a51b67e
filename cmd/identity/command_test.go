package identity

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	"github.com/spf13/cobra"
	"golang.org/x/crypto/bcrypt"

	_ "github.com/sallyport-gateway/sallyport/cmd/standard"
	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// gateway is a Caddy in this process with two people and one provider that is down.
type gateway struct {
	t           *testing.T
	site, admin string
}

func start(t *testing.T) *gateway {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte("pw"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{t: t, site: listenable(t), admin: listenable(t)}
	dir := t.TempDir()
	text := fmt.Sprintf(`{
	admin %s
	persist_config off
	auto_https off
	storage file_system %s
	identity {
		provider people local {
			user alice %s
			user bob %s
		}
		provider gone oidc {
			issuer http://%s
			client_id x
			client_secret y
			health_interval 1s
		}
		flow default {
			login people
		}
		flow guarded {
			login gone {
				fallback people
			}
		}
		store memory
		audit file %s
	}
}
http://%s {
	protect
	protect /guarded/* guarded
	respond "hello {http.auth.user.id}"
}
`, g.admin, dir, hash, hash, listenable(t), filepath.Join(dir, "audit.jsonl"), g.site)
	cfg, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })
	if err := caddy.Load(cfg, true); err != nil {
		t.Fatal(err)
	}
	return g
}

func listenable(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (g *gateway) signIn(name string) *browser.Browser {
	g.t.Helper()
	b := browser.New()
	g.t.Cleanup(b.Close)
	p, err := b.Open("http://" + g.site + "/")
	if err != nil {
		g.t.Fatal(err)
	}
	if p, err = p.Fill("username", name, "password", "pw"); err != nil || !p.Has("hello "+name) {
		g.t.Fatalf("sign-in of %s: %v at %s: %s", name, err, p.URL, p.Text())
	}
	return b
}

// run is `sallyport identity args…`.
func (g *gateway) run(args ...string) (string, error) {
	cmd := &cobra.Command{Use: "identity", SilenceUsage: true, SilenceErrors: true}
	addCommands(cmd)
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(append(args, "--address", g.admin))
	err := cmd.Execute()
	return out.String(), err
}

func (g *gateway) runs(args ...string) string {
	g.t.Helper()
	out, err := g.run(args...)
	if err != nil {
		g.t.Fatalf("identity %q: %v\n%s", args, err, out)
	}
	return out
}

func TestCommand(t *testing.T) {
	g := start(t)
	alice, alice2, bob := g.signIn("alice"), g.signIn("alice"), g.signIn("bob")
	signedIn := func(b *browser.Browser, name string) bool {
		p, err := b.Open("http://" + g.site + "/")
		if err != nil {
			t.Fatal(err)
		}
		return p.Status == http.StatusOK && p.Has("hello "+name)
	}

	out := g.runs("sessions")
	if lines := strings.Split(strings.TrimSpace(out), "\n"); len(lines) != 4 || !strings.HasPrefix(lines[0], "ID ") ||
		strings.Count(out, "people:alice") != 2 || strings.Count(out, "people:bob") != 1 {
		t.Errorf("sessions:\n%s", out)
	}
	var s session
	if err := json.Unmarshal([]byte(g.runs("sessions", "--user", "people:bob", "--json")), &s); err != nil || s.User != "people:bob" || s.ID == "" {
		t.Fatalf("sessions of bob as JSON: %v %+v", err, s)
	}
	if out := g.runs("sessions", "--user", "people:nobody"); strings.Count(out, "\n") != 1 {
		t.Errorf("sessions of nobody:\n%s", out)
	}

	if out := g.runs("revoke", s.ID); out != "ended: 1\n" || signedIn(bob, "bob") || !signedIn(alice, "alice") {
		t.Errorf("revoking bob's session: %s", out)
	}
	if out := g.runs("revoke", "--user", "people:alice"); out != "ended: 2\n" || signedIn(alice, "alice") || signedIn(alice2, "alice") {
		t.Errorf("revoking alice: %s", out)
	}
	if out := g.runs("sessions"); strings.Count(out, "\n") != 1 {
		t.Errorf("left over:\n%s", out)
	}

	if out := g.runs("release", "Alice"); out != "released from people:alice, sessions ended: 0\n" {
		t.Errorf("releasing alice's name: %s", out)
	}

	if out := g.runs("factors", "list", "people:alice"); !strings.HasPrefix(out, "ID ") || strings.Count(out, "\n") != 1 {
		t.Errorf("factors of alice:\n%s", out)
	}
	if out := g.runs("factors", "reset", "people:alice"); out != "removed: 0\n" {
		t.Errorf("resetting alice: %s", out)
	}

	out = g.runs("providers")
	for deadline := time.Now().Add(time.Minute); !strings.Contains(out, "gone    oidc   no ") && time.Now().Before(deadline); out = g.runs("providers") {
		runtime.Gosched() // it was not found missing yet
	}
	if !strings.Contains(out, "people  local  yes") || !strings.Contains(out, "gone    oidc   no ") {
		t.Errorf("providers:\n%s", out)
	}
	if out := g.runs("providers", "--json"); strings.Count(out, "\n") != 2 || !strings.Contains(out, `{"name":"people","type":"local","healthy":true}`) {
		t.Errorf("providers as JSON:\n%s", out)
	}

	out = g.runs("drill", "gone", "--user", "bob", "--for", "5m")
	link := out[strings.LastIndex(strings.TrimSpace(out), "\n")+1:]
	p, err := browser.New().Open("http://" + g.site + strings.TrimSpace(link) + "&return_to=/guarded/x")
	if err == nil && p.Has("password") {
		p, err = p.Fill("username", "bob", "password", "pw")
	}
	if err != nil || !p.Has("hello bob") {
		t.Errorf("by the link of %q: %v %s", out, err, p.Text())
	}
	if out = g.runs("providers"); !strings.Contains(out, "bob until ") {
		t.Errorf("providers:\n%s", out)
	}
	var d drill
	if err := json.Unmarshal([]byte(g.runs("drill", "gone", "--user", "alice", "--json")), &d); err != nil || d.User != "alice" || d.Until.Before(time.Now().Add(9*time.Minute)) {
		t.Errorf("a drill as JSON: %v %+v", err, d)
	}
	if out := g.runs("drill", "--end", d.ID); out != "ended\n" || strings.Contains(g.runs("providers"), "alice until ") {
		t.Errorf("ending a drill: %s", out)
	}

	out = g.runs("explain", "http://"+g.site+"/guarded/x", "--attribute", "name=carol", "--groups", "staff", "--evidence", "password,3m", "--reading", "device=30", "--time", "2026-11-26T03:00:00Z")
	if !strings.HasPrefix(out, "decision   login needed\n") || !strings.Contains(out, "user       gone:carol, groups staff (from: input)") && !strings.Contains(out, "people:carol") ||
		!strings.Contains(out, " login: waits: login `gone`") || !strings.Contains(out, "risk       30, medium") {
		t.Errorf("explained:\n%s", out)
	}
	if out = g.runs("explain", "http://"+g.site+"/", "--user", "people:alice"); !strings.HasPrefix(out, "decision   allowed") {
		t.Errorf("explained:\n%s", out)
	}
	if out = g.runs("explain", "http://"+g.site+"/", "--json"); !strings.Contains(out, `"decision":"login_needed"`) {
		t.Errorf("explained:\n%s", out)
	}

	for want, args := range map[string][]string{
		"wants the address of a request": {"explain"},
		"one of these":                   {"explain", "http://x/", "--user", "people:bob", "--session", "x"},
		"--time is as":                   {"explain", "http://x/", "--time", "now"},
		"--reading is":                   {"explain", "http://x/", "--reading", "device=much"},
		"--evidence is":                  {"explain", "http://x/", "--evidence", "totp,soon"},
		"--header is":                    {"explain", "http://x/", "--header", "x"},
		"--attribute is":                 {"explain", "http://x/", "--attribute", "x"},
		"one or the other":               {"explain", "http://x/", "--case", "-"},
		"url is an address":              {"explain", "x"},
		"wants a provider and --user":    {"drill", "gone"},
		"for a provider called 'peo'":    {"drill", "peo", "--user", "x"},
		"no drill has this id":           {"drill", "--end", d.ID},
		"and nothing else":               {"drill", "gone", "--end", d.ID},
		"no session has this id":         {"revoke", s.ID},
		"wants the id of a session":      {"revoke"},
		"or --user":                      {"revoke", s.ID, "--user", "people:bob"},
		"'bob' is no user key":           {"sessions", "--user", "bob"},
		`unknown command "x"`:            {"providers", "x"},
		"accepts at most 1 arg":          {"revoke", "a", "b"},
		"belongs to nobody":              {"release", "alice"},
		"accepts 1 arg":                  {"release"},
		"'bob' is no":                    {"factors", "reset", "bob"},
		"'' is no user key":              {"factors", "reset", ""},
		"no command 'show'":              {"factors", "show"},
	} {
		if out, err := g.run(args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("identity %q: want an error with %q, got %v\n%s", args, want, err, out)
		}
	}
	if _, err := (&gateway{t: t, admin: listenable(t)}).run("sessions"); err == nil {
		t.Error("nobody listens, and it is no error")
	}
}

// TestTableIsInert: names are chosen by people, and a terminal obeys its escapes.
func TestTableIsInert(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	row, _ := json.Marshal(session{ID: "x", Name: "a\x1b[2J\r\nb\tc\u202e", IP: ""})
	if err := printSessions(&out, []json.RawMessage{row}, false); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "a?[2J??b?c?") || strings.Count(out.String(), "\n") != 2 {
		t.Errorf("%q", out.String())
	}
	out.Reset()
	one, _ := json.Marshal(factor{ID: "x", Factor: "totp", Name: "my\x1b[2Jphone", Tries: 50, LockedUntil: time.Unix(1, 0)})
	two, _ := json.Marshal(factor{ID: "y", Agent: "Mozilla\x1b[2J", Until: time.Unix(2, 0)})
	if err := printFactors(&out, []json.RawMessage{one}, []json.RawMessage{two}, false); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "my?[2Jphone") || !strings.Contains(out.String(), "Mozilla?[2J") || !strings.Contains(out.String(), "1970-01-01T00:00:01Z") {
		t.Errorf("%q", out.String())
	}
}
