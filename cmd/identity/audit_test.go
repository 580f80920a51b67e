package identity

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"golang.org/x/crypto/bcrypt"

	"github.com/sallyport-gateway/sallyport/module"
)

// trail is a gateway with two people and one rule, whose configuration a test changes.
type trail struct {
	*gateway
	dir, hash, file string
}

func startTrail(t *testing.T, options string) *trail {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte("pw"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	g := &trail{gateway: &gateway{t: t, site: listenable(t), admin: listenable(t)}, dir: t.TempDir(), hash: string(hash)}
	g.file = filepath.Join(g.dir, "audit.jsonl")
	t.Cleanup(func() { _ = caddy.Stop() })
	g.load(g.text(options, "require /admin/* `\"admins\" in user.groups`", ""))
	return g
}

func (g *trail) text(options, rules, steps string) string {
	return fmt.Sprintf(`{
	admin %s
	persist_config off
	auto_https off
	storage file_system %s
	identity {
		provider people local {
			user alice %s {
				groups admins
				email alice@example.com
			}
			user bob %s {
				groups staff
				email bob@example.com
			}
		}
		flow default {
			login people
			%s
		}
		store file %s
		audit file %s {
			roll_size 3KiB
			%s
		}
	}
}
http://%s {
	protect {
		%s
	}
	respond "hello {http.auth.user.id}"
}
`, g.admin, g.dir, g.hash, g.hash, steps, filepath.Join(g.dir, "store.db"), g.file, options, g.site, rules)
}

func (g *trail) load(text string) {
	g.t.Helper()
	cfg, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	if err == nil {
		err = caddy.Load(cfg, true)
	}
	if err != nil {
		g.t.Fatal(err)
	}
}

// asks is what people do: alice and bob sign in, and both ask for what admins may see.
func (g *trail) asks() {
	g.t.Helper()
	for name, status := range map[string]int{"alice": http.StatusOK, "bob": http.StatusForbidden} {
		p, err := g.signIn(name).Open("http://" + g.site + "/admin/x")
		if err != nil || p.Status != status {
			g.t.Fatalf("%s: %v %d", name, err, p.Status)
		}
	}
}

// stop ends the gateway, so that everything is written and signed.
func (g *trail) stop() {
	g.t.Helper()
	if err := caddy.Stop(); err != nil {
		g.t.Fatal(err)
	}
}

// TestAuditVerify: the files of a gateway are whole, also behind a restart, and a change
// of one byte is not.
func TestAuditVerify(t *testing.T) {
	g := startTrail(t, "")
	g.asks()
	out := g.runs("audit", "verify", g.file)
	if strings.Count(out, "\n") != 1 || !strings.Contains(out, ": whole, lines 1 to ") {
		t.Errorf("running: %s", out)
	}
	g.stop()
	g.load(g.text("", "", ""))
	g.asksAgain()
	g.stop()
	g.load(g.text("", "", ""))
	out = g.runs("audit", "verify", g.file)
	if strings.Count(out, "chain ") != 1 || strings.Contains(out, "in 1 files") {
		t.Errorf("behind a restart: %s", out)
	}
	var answer struct {
		Whole struct {
			Entries, Signed int
			To              uint64
		}
	}
	if err := json.Unmarshal([]byte(g.runs("audit", "verify", "--json", g.file)), &answer); err != nil || answer.Whole.Entries < 5 || answer.Whole.Signed < 4 {
		t.Errorf("as JSON: %v %+v", err, answer)
	}

	files, err := filepath.Glob(filepath.Join(g.dir, "audit*"))
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(text), `"kind":"login"`)
	changed := []byte(string(text[:at]) + `"kind":"logon"` + string(text[at+len(`"kind":"login"`):]))
	if err := os.WriteFile(files[0], changed, 0o600); err != nil {
		t.Fatal(err)
	}
	line := 1 + strings.Count(string(text[:at]), "\n")
	_, err = g.run("audit", "verify", g.file)
	if want := fmt.Sprintf("%s:%d: changed: ", files[0], line); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("changed: %v, want %s", err, want)
	}
	if out, err := g.run("audit", "verify", "--json", g.file); err == nil || !strings.Contains(out, fmt.Sprintf(`"line":%d,"why":"changed"`, line)) {
		t.Errorf("changed: %s, %v", out, err)
	}
	if err := os.WriteFile(files[0], text, 0o600); err != nil {
		t.Fatal(err)
	}
	const another = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	for want, args := range map[string][]string{
		"not the cluster's":       {"--key", another, g.file},
		"'x' is no key":           {"--key", "x", g.file},
		"no such file":            {"--unsigned", g.file + ".nonesuch"},
		"requires at least 1 arg": {},
	} {
		if out, err := g.run(append([]string{"audit", "verify"}, args...)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s\n%s", args, err, want, out)
		}
	}
	nobody := &gateway{t: t, admin: listenable(t)}
	if _, err := nobody.run("audit", "verify", g.file); err == nil || !strings.Contains(err.Error(), "--unsigned") {
		t.Errorf("nobody to ask for the keys: %v", err)
	}
	if _, err := nobody.run("audit", "verify", "--unsigned", g.file); err != nil {
		t.Error(err)
	}
}

func (g *trail) asksAgain() {
	g.signIn("alice")
	g.signIn("bob")
}

// TestReplay: the same configuration decides the same, a changed one is told apart, and
// what the trail does not have is not guessed.
func TestReplay(t *testing.T) {
	g := startTrail(t, "")
	g.asks()
	g.stop()
	files, err := filepath.Glob(filepath.Join(g.dir, "audit*"))
	if err != nil {
		t.Fatal(err)
	}
	replay := func(rules, steps string, more ...string) (string, error) {
		t.Helper()
		config := filepath.Join(t.TempDir(), "Caddyfile")
		if err := os.WriteFile(config, []byte(g.text("", rules, steps)), 0o600); err != nil {
			t.Fatal(err)
		}
		return g.run(append(append([]string{"replay", "--config", config, "--adapter", "caddyfile"}, more...), files...)...)
	}
	for name, tc := range map[string]struct {
		rules, steps, says, err string
		holds                   []string
	}{
		"the same":            {"require /admin/* `\"admins\" in user.groups`", "", "3 decisions: 3 the same, 0 would differ, 0 cannot", "", nil},
		"staff, too":          {"require /admin/* `\"staff\" in user.groups`", "", "3 decisions: 2 the same, 1 would differ", "1 of 3", []string{"denied -> let_in", "people:bob", "/admin/x", "Caddyfile:30"}},
		"nobody gets in":      {"require /* `\"boss\" in user.groups`", "", "3 decisions: 1 the same, 2 would differ", "2 of 3", []string{"let_in -> denied", "people:alice"}},
		"a step that refuses": {"require /admin/* `\"admins\" in user.groups`", "require `\"admins\" in user.groups`", "1 would differ", "1 of 3", []string{"let_in -> denied", "people:bob"}},
		"another attribute":   {"require /admin/* `user.email.endsWith(\"@example.com\")`", "", "1 cannot be made again", "", []string{"user.email was not kept: no condition read it then"}},
		"a header":            {"require /admin/* `\"x\" in request.header`", "", "1 cannot be made again", "", []string{"request.header is not kept"}},
	} {
		out, err := replay(tc.rules, tc.steps)
		if !strings.Contains(out, tc.says) || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		for _, want := range tc.holds {
			if !strings.Contains(out, want) {
				t.Errorf("%s: not told: %s\n%s", name, want, out)
			}
		}
	}
	out, err := replay("require /admin/* `\"staff\" in user.groups`", "", "--json")
	var r module.Replayed
	first, last, _ := strings.Cut(out, "\n")
	if err == nil || json.Unmarshal([]byte(first), &r) != nil || r.User != "people:bob" || r.Was != "denied" || r.Is != "let_in" || !strings.Contains(last, `"differ":1`) {
		t.Errorf("as JSON: %v\n%s", err, out)
	}
}

func TestReplayOfMaskedTrail(t *testing.T) {
	g := startTrail(t, "mask attributes drop\n\t\t\tmask user name hash\n\t\t\tmask address truncate")
	g.asks()
	g.stop()
	text, err := os.ReadFile(g.file)
	if err != nil || strings.Contains(string(text), "alice") || strings.Contains(string(text), "127.0.0.1\"") || strings.Contains(string(text), "staff") {
		t.Fatalf("%v: not masked: %s", err, text)
	}
	config := filepath.Join(t.TempDir(), "Caddyfile")
	if err := os.WriteFile(config, []byte(g.text("", "require /admin/* `\"staff\" in user.groups`", "")), 0o600); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(g.dir, "audit*"))
	out, err := g.run(append([]string{"replay", "--config", config, "--adapter", "caddyfile"}, files...)...)
	if err != nil || strings.Count(out, "cannot be made again: attributes masked") != 1 || !strings.Contains(out, "3 decisions: 2 the same, 0 would differ, 1 cannot") {
		t.Errorf("%v\n%s", err, out)
	}
}
