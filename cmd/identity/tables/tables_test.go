package tables_test

import (
	"bytes"
	"encoding/xml"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/sallyport-gateway/sallyport/cmd/identity/tables"
	_ "github.com/sallyport-gateway/sallyport/cmd/standard"
)

const caddyfile = `{
	identity {
		provider corp oidc {
			issuer {$ISSUER}
			client_id x
			client_secret {file./nowhere/secret}
		}
		keys {file./nowhere/key}
		factor totp
		flow staff {
			login corp
			when ` + "`\"admins\" in user.groups`" + ` {
				mfa totp
			}
		}
		audit file /nowhere/trail
		store file /nowhere/store
	}
}
http://app.example.com:8088 {
	protect {
		headers remote_user
		require /admin/* ` + "`\"admins\" in user.groups`" + ` "Administrators only."
		require /night/* ` + "`now.getHours() >= 22`" + `
	}
	reverse_proxy 127.0.0.1:1
}
`

const head = `config: Caddyfile
env: {ISSUER: "https://nobody.invalid"}
site: http://app.example.com:8088
people:
  alice: {name: alice, email: a@example.com, groups: [staff]}
  root: {name: root, groups: [admins]}
given: {url: /, user: alice}
cases:
`

// folder holds the config and a table.
func folder(t *testing.T, table string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"Caddyfile": caddyfile, "a.yaml": table, "notes.txt": "no table"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func run(t *testing.T, dir string) []*tables.Result {
	t.Helper()
	cases, err := tables.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := &tables.Runner{Now: time.Now}
	var all []*tables.Result
	for _, c := range cases {
		result, err := r.Run(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, result)
	}
	if r.StandIns() != 1 {
		t.Errorf("%d stand-ins, want one for the client's secret", r.StandIns())
	}
	return all
}

// expectations are what holds of each case, and the same bent so that it does not.
var expectations = []struct{ given, holds, bent string }{
	{"{}", "{decision: allowed}", "{decision: denied}"},
	{"{}", "{status: 0}", "{status: 403}"},
	{"{}", "{headers: {Remote-User: alice, X-None: null}}", "{headers: {Remote-User: bob}}"},
	{"{}", "{headers: {remote-user: [alice]}}", "{headers: {Remote-User: null}}"},
	{"{}", "{remote_user: alice}", "{remote_user: root}"},
	{"{}", "{flow: staff}", "{flow: other}"},
	{"{}", "{audit: [login]}", "{audit: []}"},
	{"{flows: [staff]}", "{audit: []}", "{audit: [login]}"},
	{"{headers: {Remote-User: x}}", "{removed: [remote-user]}", "{removed: [accept]}"},
	{"{url: /admin/x}", "{decision: denied, reason: not_allowed, text: Administrators only., page: denied, audit: [login, denied]}", "{text: Nobody.}"},
	{"{url: /admin/x}", "{reason: not_allowed}", "{reason: condition_error}"},
	{"{url: /admin/x}", "{rule: \"Caddyfile:23\"}", "{rule: \"Caddyfile:22\"}"},
	{"{url: /admin/x}", "{page: denied}", "{page: error}"},
	{"{user: root}", "{decision: denied, reason: not_enrolled, page: error, audit: [login_denied]}", "{audit: [denied]}"},
	{"{user: root, factors: [totp]}", "{decision: factor_asked, page: factor, factors: totp}", "{factors: []}"},
	{"{user: root, factors: [totp]}", "{audit: []}", "{audit: [login]}"},
	{"{user: root, evidence: [{}, {method: totp, age: 1m}]}", "{decision: allowed}", "{decision: factor_asked}"},
	{"{user: null}", "{decision: login_needed, status: 303}", "{status: 401}"},
	{"{url: /night/x, time: 2026-01-02T22:00:00Z}", "{decision: allowed}", "{decision: denied}"},
	{"{url: /night/x, time: 2026-01-02T21:59:59Z}", "{decision: denied}", "{decision: allowed}"},
	{"{readings: {device: {score: 40}}, flows: [staff]}", "{risk: {score: 40, level: medium}}", "{risk: {score: 41}}"},
	{"{readings: {device: {score: 40}}, flows: [staff]}", "{risk: {level: medium}}", "{risk: {level: low}}"},
	{"{}", "{decision: allowed}", "{risk: {level: low}}"},
	{"{url: \"http://app.example.com:8088/\"}", "{decision: allowed}", "{decision: not_covered}"},
	{"{url: \"http://other.example.com:8088/\"}", "{decision: not_covered}", "{decision: allowed}"},
}

func TestEveryExpectationCanFail(t *testing.T) {
	var holds, bent strings.Builder
	for _, e := range expectations {
		holds.WriteString("- {name: holds, given: " + e.given + ", expect: " + e.holds + "}\n")
		bent.WriteString("- {name: bent, given: " + e.given + ", expect: " + e.bent + "}\n")
	}
	for i, r := range run(t, folder(t, head+holds.String())) {
		if len(r.Differs) > 0 {
			t.Errorf("%v: %q", expectations[i], r.Differs)
		}
	}
	for i, r := range run(t, folder(t, head+bent.String())) {
		if len(r.Differs) != 1 {
			t.Errorf("%v: %q, want one difference", expectations[i], r.Differs)
		}
	}
	if os.Getenv("ISSUER") != "" {
		t.Error("the table's environment is left behind")
	}
}

func TestWhatCannotBeMeantIsNamed(t *testing.T) {
	for table, want := range map[string]string{
		"":                                "holds no cases: nothing would be tested",
		"cases: []":                       "holds no cases",
		"case: []":                        "field case not found",
		head + "- {given: {}}":            "a.yaml:9: the case has no name",
		head + "- {name: x}":              "a.yaml:9: the case expects nothing, so it could not fail",
		head + "- {name: x, expect: {}}":  "expects nothing",
		head + "- {name: x, expects: {}}": "a case has no field 'expects' (did you mean 'expect'?); there are: expect, given, name",
		head + "- {name: x, expect: {desision: allowed}}":                          "expect has no field 'desision' (did you mean 'decision'?)",
		head + "- {name: x, given: {usr: alice}, expect: {decision: allowed}}":     "given has no field 'usr' (did you mean 'user'?)",
		head + "- {name: x, given: {user: bob}, expect: {decision: allowed}}":      "people has nobody called 'bob'; there are: alice, root",
		head + "- {name: x, given: {evidence: [{age: 3}]}, expect: {status: x}}":   "expect: json: cannot unmarshal string",
		head + "- {name: x, expect: {decision: allowed}}\n---\ncases: []":          "second document",
		"cases:\n- {name: x, expect: {decision: allowed}}":                         "a.yaml:2: given has no url",
		head + "- {name: x, given: {evidence: [{methd: x}]}, expect: {status: 0}}": "unknown field \"methd\"",
		head + "- [1]": "a.yaml:9",
	} {
		dir := folder(t, table)
		_, err := tables.Read(filepath.Join(dir, "a.yaml"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", table, err, want)
		}
	}
	if _, err := tables.Read("/nowhere"); err == nil {
		t.Error("a folder that is not there")
	}
}

func TestABrokenConfigIsNoResult(t *testing.T) {
	for text, want := range map[string]string{
		strings.Replace(caddyfile, "login corp", "login corb", 1): "no provider is called 'corb'",
		"localhost:1 {\n}": "has no identity app",
		strings.Replace(caddyfile, "{$ISSUER}", "", 1): "Caddyfile:4",
	} {
		dir := folder(t, head+"- {name: x, expect: {decision: allowed}}")
		if err := os.WriteFile(filepath.Join(dir, "Caddyfile"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cases, err := tables.Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (&tables.Runner{Now: time.Now}).Run(t.Context(), cases[0]); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestJUnit(t *testing.T) {
	results := run(t, folder(t, head+"- {name: \"a <b> & c\", expect: {decision: allowed}}\n- {name: d, expect: {decision: denied}}\n"))
	var b bytes.Buffer
	if err := tables.JUnit(&b, results); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Cases    []struct {
			Name    string `xml:"name,attr"`
			Line    int    `xml:"line,attr"`
			Failure *struct {
				Message string `xml:"message,attr"`
			} `xml:"failure"`
		} `xml:"testsuite>testcase"`
	}
	if err := xml.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Tests != 2 || got.Failures != 1 || len(got.Cases) != 2 || got.Cases[0].Name != "a <b> & c" || got.Cases[0].Failure != nil ||
		got.Cases[1].Line != 10 || got.Cases[1].Failure == nil || got.Cases[1].Failure.Message != "decision is 'allowed', want 'denied'" {
		t.Errorf("%+v\n%s", got, b.String())
	}
}

// The examples' own tables say what the examples do.
func TestTablesOfTheExamples(t *testing.T) {
	files, err := filepath.Glob("../../../examples/*/tests.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no tables", err)
	}
	for _, f := range files {
		cases, err := tables.Read(f)
		if err != nil {
			t.Error(err)
			continue
		}
		r := &tables.Runner{Now: time.Now}
		for _, c := range cases {
			result, err := r.Run(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if len(result.Differs) > 0 {
				t.Errorf("%s:%d %s: %s", c.File, c.Line, c.Name, strings.Join(slices.Concat(result.Differs), "; "))
			}
		}
	}
}
