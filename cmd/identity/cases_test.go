package identity

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

const tested = `{
	identity {
		provider people local {
			user alice $2a$04$xxxxxxxxxxxxxxxxxxxxxuIkn3AQ1uUGQrYhZ0SCPy5zYt4vO8J0W {
				groups staff
			}
		}
	}
}
http://app.example.com {
	protect {
		require /admin/* ` + "`\"admins\" in user.groups`" + `
	}
	respond ok
}
`

const twoCases = `site: http://app.example.com
given: {user: alice, url: /}
people: {alice: {name: alice, groups: [staff]}}
cases:
- {name: in, expect: {decision: allowed}}
- {name: "no \u001b[31m admin", given: {url: /admin/}, expect: {decision: allowed}}
`

// caseRun is `sallyport identity test args…` in a folder of its own.
func caseRun(t *testing.T, table string, args ...string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	for name, text := range map[string]string{"Caddyfile": tested, "cases.yaml": table} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := &cobra.Command{Use: "identity", SilenceErrors: true}
	addCommands(cmd)
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(append([]string{"test"}, args...))
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestCasesAreRunAgainstTheConfigThatIsThere(t *testing.T) {
	out, err := caseRun(t, twoCases, "cases.yaml", "--junit", "out.xml")
	if err == nil || err.Error() != "1 of 2 cases failed" {
		t.Errorf("%v", err)
	}
	const want = "FAIL cases.yaml:6 no ?[31m admin\n     decision is 'denied', want 'allowed'\n"
	if out != want {
		t.Errorf("%q, want %q", out, want)
	}
	if b, err := os.ReadFile("out.xml"); err != nil || !strings.Contains(string(b), `tests="2" failures="1"`) {
		t.Errorf("%v\n%s", err, b)
	}
}

func TestCasesThatPass(t *testing.T) {
	table := strings.Replace(twoCases, "given: {url: /admin/}, expect: {decision: allowed}", "given: {url: /admin/}, expect: {decision: denied}", 1)
	if out, err := caseRun(t, table, "."); err != nil || out != "2 cases, as expected\n" {
		t.Errorf("%v %q", err, out)
	}
	out, err := caseRun(t, table, ".", "-v")
	if err != nil || strings.Count(out, "ok   cases.yaml:") != 2 {
		t.Errorf("%v %q", err, out)
	}
	out, err = caseRun(t, table, "cases.yaml", "--json")
	var line struct {
		Passed      bool
		Line        int
		Explanation struct{ Decision string }
	}
	if err != nil || json.Unmarshal([]byte(strings.Split(out, "\n")[1]), &line) != nil || !line.Passed || line.Line != 6 || line.Explanation.Decision != "denied" {
		t.Errorf("%v %+v %s", err, line, out)
	}
}

func TestCasesWithoutAConfig(t *testing.T) {
	for args, want := range map[string]string{
		"cases.yaml --config nowhere": "nowhere",
		"nowhere.yaml":                "nowhere.yaml",
		"cases.yaml -a nothing":       "no config adapter is called 'nothing'",
	} {
		if out, err := caseRun(t, twoCases, strings.Fields(args)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v %s", args, err, out)
		}
	}
}
