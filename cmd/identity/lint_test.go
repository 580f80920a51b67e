package identity

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/sallyport-gateway/sallyport/module"
)

// good is a configuration in which there is nothing to find; the cases change one thing.
const good = `{
	storage file_system {DIR}
	identity {
		provider people local {
			user alice $2a$10$7EqJtq98hPqEX7fNZaFWoOHi4tN9gfGWBpCp4mZAtVG2bPWcT5f.q
		}
		policy admins ` + "`\"admins\" in user.groups`" + `
		store memory
		flow staff {
			login people
			when admins {
				set rank ` + "`\"high\"`" + `
			}
			else {
				set rank ` + "`\"low\"`" + `
			}
		}
	}
}

app.example.com {
	protect staff {
		headers remote_user
		public /public/*
		require /admin/* admins
	}
	reverse_proxy 10.0.0.7:8080
}
`

// linted runs `identity lint` on a Caddyfile.
func linted(t *testing.T, text string, args ...string) (file, out string, err error) {
	t.Helper()
	dir := t.TempDir()
	file = filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "{DIR}", dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := &cobra.Command{Use: "identity", SilenceUsage: true, SilenceErrors: true}
	addCommands(cmd)
	var w bytes.Buffer
	cmd.SetOut(&w)
	cmd.SetArgs(append([]string{"lint", "--config", file}, args...))
	err = cmd.Execute()
	return file, w.String(), err
}

// lintCase is one change of good and what is found then, at the line with the mark "# here".
type lintCase struct {
	old, new string
	severity module.Severity
	words    string
}

var lintCases = map[string][]lintCase{
	"unreachable_step": {
		{"\t\t\tlogin people\n", "\t\t\tlogin people\n\t\t\tdeny \"No.\"\n", module.LintError, "this when never runs: what is behind the deny at Caddyfile:11"},
		{"when admins {\n\t\t\t\tset rank `\"high\"`\n", "when `1 > 2` {\n\t\t\t\tset rank `\"high\"` # here\n", module.LintError, "never holds"},
		{"when admins {\n\t\t\t\tset rank `\"high\"`\n\t\t\t}\n\t\t\telse {\n\t\t\t\tset rank `\"low\"`\n", "when `true` {\n\t\t\t\tset rank `\"high\"`\n\t\t\t}\n\t\t\telse {\n\t\t\t\tset rank `\"low\"` # here\n", module.LintError, "always holds"},
		{"else {\n\t\t\t\tset rank `\"low\"`\n\t\t\t}\n", "else {\n\t\t\t\tdeny\n\t\t\t\tset rank `\"low\"` # here\n\t\t\t}\n", module.LintError, "this set never runs"},
		{"\t\t\twhen admins {\n", "\t\t\twhen admins {\n\t\t\t\tdeny\n\t\t\t}\n\t\t\telse {\n\t\t\t\tdeny\n\t\t\t}\n\t\t\twhen admins { # here\n", module.LintError, "this when never runs"},
		{"\t\t\tlogin people\n", "\t\t\tlogin people\n\t\t\trequire `false`\n", module.LintError, "this when never runs"},
	},
	"never_holds": {
		{"require /admin/* admins", "require /admin/* `false` # here", module.LintError, "this require can never hold"},
		{"\t\t\tlogin people\n", "\t\t\tlogin people\n\t\t\trequire `1 == 2` \"No.\" # here\n", module.LintError, "this require can never hold"},
	},
	"always_holds": {
		{"require /admin/* admins", "require /admin/* `true` # here", module.LintWarning, "this require always holds"},
	},
	"no_effect": {
		{"public /public/*", "public /admin/free # here", module.LintWarning, "this public has no effect: the require at Caddyfile:"},
		{"public /public/*", "optional /home # here\n\t\trequire admins", module.LintWarning, "this optional has no effect"},
	},
	"shadowed_protect": {
		{"\treverse_proxy", "\tprotect staff # here\n\treverse_proxy", module.LintError, "is never asked: the one at Caddyfile:22"},
	},
	"unreached_login": {
		{"\tprotect staff {\n\t\theaders remote_user\n\t\tpublic /public/*\n\t\trequire /admin/* admins\n\t}\n", "\thandle /app/* {\n\t\tprotect staff { # here\n\t\t\trequire admins\n\t\t}\n\t}\n", module.LintError, "nobody can sign in at app.example.com"},
	},
	"header_not_stripped": {
		{"\treverse_proxy 10.0.0.7:8080\n}\n", "\treverse_proxy 10.0.0.7:8080\n}\n\nold.example.com {\n\treverse_proxy 10.0.0.7:8080 # here\n}\n", module.LintError, "10.0.0.7:8080 is reached without protect here, and the protect at Caddyfile:22"},
		{"\treverse_proxy 10.0.0.7:8080\n}\n", "\treverse_proxy 10.0.0.7:8080\n}\n\nold.example.com {\n\treverse_proxy { # here\n\t\tto 10.0.0.8:1 10.0.0.7:8080\n\t}\n}\n", module.LintError, "is reached without protect here, and"},
	},
	"by_passed": {
		{"\treverse_proxy 10.0.0.7:8080\n}\n", "\treverse_proxy 10.0.0.7:8080\n}\n\nother.example.com {\n\treverse_proxy 10.0.0.9:8080 # here\n}\n", module.LintWarning, "10.0.0.9:8080 is reached without protect here"},
	},
	"secret_in_clear": {
		{"\t\tstore memory\n", "\t\tstore memory\n\t\tkeys 0123456789abcdef0123456789abcdef # here\n", module.LintWarning, "keys"},
		{"\t\tpolicy", "\t\tprovider entra oidc {\n\t\t\tissuer https://login.example.com\n\t\t\tclient_id x\n\t\t\tclient_secret hunter2hunter2 # here\n\t\t}\n\t\tpolicy", module.LintWarning, "client_secret"},
		{"\t\trequire", "\t\ton_logout https://:hunter2@app.example.com/bye # here\n\t\trequire", module.LintWarning, "on_logout"},
	},
	"unused": {
		{"\t\tpolicy", "\t\tprovider other local { # here\n\t\t\tuser bob $2a$10$7EqJtq98hPqEX7fNZaFWoOHi4tN9gfGWBpCp4mZAtVG2bPWcT5f.q\n\t\t}\n\t\tpolicy", module.LintWarning, "provider other is never used"},
		{"\t\tpolicy", "\t\tpolicy office `request.ip == \"1.2.3.4\"` # here\n\t\tpolicy", module.LintWarning, "policy office is never used"},
		{"\t\tpolicy", "\t\tfactor totp # here\n\t\tpolicy", module.LintWarning, "factor totp is never used"},
		{"\t\tpolicy", "\t\tmessenger desk log # here\n\t\tmessenger post log\n\t\tpolicy", module.LintWarning, "messenger desk is never used"},
		{"\t\tflow staff", "\t\tflow more { # here\n\t\t\tlogin people\n\t\t}\n\t\tflow staff", module.LintWarning, "flow more is never used"},
		{"\t\tpolicy", "\t\tsignal gone device # here\n\t\tpolicy", module.LintWarning, "signal gone is never used"},
		{"\t\tpolicy", "\t\tdialect ours remote_user { # here\n\t\t}\n\t\tpolicy", module.LintWarning, "dialect ours is never used"},
	},
	"long_session": {
		{"\t\tstore memory\n", "\t\tstore memory\n\t\tsession {\n\t\t\tlifetime 48h # here\n\t\t}\n", module.LintWarning, "a session lasts 48h"},
	},
	"insecure_http": {
		{"\t\tstore memory\n", "\t\tstore memory\n\t\tsession {\n\t\t\tinsecure_http # here\n\t\t}\n", module.LintWarning, "plain http"},
	},
}

func TestLintFinds(t *testing.T) {
	if _, out, err := linted(t, good); err != nil || out != "nothing found\n" {
		t.Fatalf("in a good configuration: %v\n%s", err, out)
	}
	for code, cases := range lintCases {
		for i, c := range cases {
			t.Run(fmt.Sprintf("%s/%d", code, i), func(t *testing.T) {
				if !strings.Contains(good, c.old) {
					t.Fatalf("%q is not in it", c.old)
				}
				text := strings.Replace(good, c.old, c.new, 1)
				_, out, err := linted(t, text, "--json")
				if errors.Is(err, errLint) != (c.severity == module.LintError) || err != nil && !errors.Is(err, errLint) {
					t.Errorf("the exit: %v", err)
				}
				f, ok := finding(t, out, code)
				if !ok {
					t.Fatalf("not found among\n%s", out)
				}
				if f.Severity != c.severity || !strings.Contains(f.What, c.words) || f.Why == "" || f.How == "" || strings.Contains(out, "hunter2") {
					t.Errorf("got %+v", f)
				}
				if want := marked(text); f.Source != want && want != "" || f.Source == "" {
					t.Errorf("want it at %s, got %s", want, f.Source)
				}
			})
		}
	}
}

func finding(t *testing.T, out, code string) (f module.Finding, ok bool) {
	t.Helper()
	for l := range strings.Lines(out) {
		if err := json.Unmarshal([]byte(l), &f); err != nil {
			t.Fatalf("%v: %s", err, l)
		}
		if f.Code == code {
			return f, true
		}
	}
	return f, false
}

// marked is the line with the mark.
func marked(text string) string {
	n := 0
	for l := range strings.Lines(text) {
		if n++; strings.Contains(l, "# here") {
			return fmt.Sprintf("Caddyfile:%d", n)
		}
	}
	return ""
}

// What looks like a finding and is none.
func TestLintIsSilent(t *testing.T) {
	for what, c := range map[string][2]string{
		"a public below a require that is narrower": {"public /public/*", "public /*"},
		"protect off is a base":                     {"\treverse_proxy 10.0.0.7:8080\n}\n", "\treverse_proxy 10.0.0.7:8080\n}\n\nold.example.com {\n\tprotect off\n\treverse_proxy 10.0.0.7:8080\n}\n"},
		"a protect with a matcher before another":   {"\tprotect staff {", "\tprotect /a staff\n\tprotect staff {"},
		"a policy that another one reads":           {"\t\tpolicy", "\t\tpolicy staff `\"staff\" in user.groups`\n\t\tpolicy"},
		"a secret by its placeholder":               {"\t\tstore memory\n", "\t\tstore memory\n\t\tkeys {env.LINT_KEY}\n"},
		"a signal that is read":                     {"\t\t\tlogin people\n", "\t\t\tlogin people\n\t\t\trisk known\n"},
		"a provider of programs":                    {"\t\trequire", "\t\tapi machines\n\t\trequire"},
		"a flow of an event":                        {"\t\tflow staff", "\t\tflow told {\n\t\t\ton login\n\t\t\tset seen `true`\n\t\t}\n\t\tflow staff"},
		"a flow that another one uses":              {"\t\tflow staff {\n\t\t\tlogin people", "\t\tflow more {\n\t\t\tlogin people\n\t\t}\n\t\tflow staff {\n\t\t\tuse more"},
		"a require that cannot be told":             {"require /admin/* admins", "require /admin/* `has(user.x) && user.x == user.x`\n\t\trequire /a admins"},
		"a require before the rest of the flow":     {"\t\t\tlogin people\n", "\t\t\tlogin people\n\t\t\trequire admins\n"},
	} {
		t.Setenv("LINT_KEY", "0123456789abcdef0123456789abcdef")
		text := strings.Replace(good, c[0], c[1], 1)
		if strings.HasPrefix(what, "a signal") {
			text = strings.Replace(text, "\t\tpolicy", "\t\tsignal known device\n\t\tpolicy", 1)
		}
		if strings.HasPrefix(what, "a provider") {
			text = strings.Replace(text, "\t\tpolicy", "\t\tprovider machines bearer {\n\t\t\tissuer https://login.example.com\n\t\t\taudience payroll\n\t\t}\n\t\tpolicy", 1)
		}
		if strings.HasPrefix(what, "a policy") {
			text = strings.Replace(text, "`\"admins\" in user.groups`", "`policy.staff && \"admins\" in user.groups`", 1)
		}
		if _, out, err := linted(t, text); err != nil || out != "nothing found\n" {
			t.Errorf("%s: %v\n%s", what, err, out)
		}
	}
}

func TestLintOfOtherFiles(t *testing.T) {
	_, out, err := linted(t, strings.Replace(good, "\t\tpolicy", "\t\tpolicy office `true`\n\t\tpolicy", 1), "--strict")
	if !errors.Is(err, errLint) || !strings.Contains(out, "Caddyfile:7: warning: policy office is never used [unused]\n\twhy: ") || !strings.Contains(out, "\n\thow: ") {
		t.Errorf("strict: %v\n%s", err, out)
	}
	if _, _, err := linted(t, "{\n}\n:80 {\n\trespond hello\n}\n"); err == nil || !strings.Contains(err.Error(), "no identity app") {
		t.Errorf("nothing of ours: %v", err)
	}
	if _, _, err := linted(t, strings.Replace(good, "protect staff", "protect nosuch", 1)); err == nil || !strings.Contains(err.Error(), "nosuch") {
		t.Errorf("what does not load: %v", err)
	}
	// The same as JSON, of which nothing says the file.
	dir := t.TempDir()
	file := filepath.Join(dir, "Caddyfile")
	text := strings.Replace(strings.ReplaceAll(good, "{DIR}", dir), "\t\tpolicy", "\t\tfactor totp\n\t\tpolicy", 1)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	config, _, err := adapted(file, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "caddy.json"), config, 0o600); err != nil {
		t.Fatal(err)
	}
	found, err := lintFile(filepath.Join(dir, "caddy.json"), "")
	if err != nil || len(found) != 1 || found[0].Code != "unused" {
		t.Errorf("as JSON: %v %+v", err, found)
	}
	if _, err := lintFile(filepath.Join(dir, "nosuch"), ""); err == nil {
		t.Error("a file that is not there")
	}
	// A line of an imported file is where it is found.
	if err := os.WriteFile(filepath.Join(dir, "more.conf"), []byte("# more\npolicy office `request.ip == \"1.2.3.4\"`\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text = strings.Replace(strings.ReplaceAll(good, "{DIR}", dir), "\t\tpolicy", "\t\timport more.conf\n\t\tpolicy", 1)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if found, err = lintFile(file, ""); err != nil || len(found) != 1 || found[0].Source != "more.conf:2" {
		t.Errorf("of an import: %v %+v", err, found)
	}
}
