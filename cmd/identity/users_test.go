package identity

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// typed is run with something typed.
func (g *gateway) typed(in string, args ...string) (string, error) {
	cmd := &cobra.Command{Use: "identity", SilenceUsage: true, SilenceErrors: true}
	addCommands(cmd)
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetIn(strings.NewReader(in))
	cmd.SetArgs(append(args, "--address", g.admin))
	err := cmd.Execute()
	return out.String(), err
}

func TestUsersAndDevices(t *testing.T) {
	g := start(t)
	alice, bob := g.signIn("alice"), g.signIn("bob")
	in := func(b *browser.Browser, name string) bool {
		p, err := b.Open("http://" + g.site + "/")
		if err != nil {
			t.Fatal(err)
		}
		return p.Has("hello " + name)
	}
	var me struct {
		Key      string `json:"key"`
		Sessions []any  `json:"sessions"`
	}
	if err := json.Unmarshal([]byte(g.runs("users", "export", "people:alice")), &me); err != nil || me.Key != "people:alice" || len(me.Sessions) != 1 {
		t.Errorf("the export: %v %+v", err, me)
	}
	if out := g.runs("users", "disable", "people:alice", "--reason", "left\x1b[2J"); out != "disabled, sessions ended: 1\n" || in(alice, "alice") || !in(bob, "bob") {
		t.Errorf("disabling: %s", out)
	}
	if out := g.runs("users", "disabled"); !strings.Contains(out, "people:alice") || !strings.Contains(out, "left?[2J") || strings.Count(out, "\n") != 2 {
		t.Errorf("the list:\n%s", out)
	}
	if out := g.runs("users", "disabled", "--json"); !strings.HasPrefix(out, `{"user":"people:alice"`) || strings.Count(out, "\n") != 1 {
		t.Errorf("the list for programs:\n%s", out)
	}
	if out := g.runs("users", "enable", "people:alice"); out != "enabled\n" {
		t.Errorf("enabling: %s", out)
	}
	alice = g.signIn("alice")

	if out, err := g.typed("no\n", "users", "erase", "people:alice"); err == nil || !strings.Contains(out, "people:alice") || !in(alice, "alice") {
		t.Errorf("erasing without a yes: %v %s", err, out)
	}
	if out, err := g.typed("yes\n", "users", "erase", "people:alice"); err != nil || !strings.HasSuffix(out, "erased, sessions ended: 1\n") || in(alice, "alice") {
		t.Errorf("erasing: %v %s", err, out)
	}
	if out := g.runs("devices", "list", "people:bob"); !strings.HasPrefix(out, "ID ") || strings.Count(out, "\n") != 1 {
		t.Errorf("devices:\n%s", out)
	}
	if out := g.runs("devices", "forget", "people:bob", "--all"); out != "forgotten: 0\n" {
		t.Errorf("forgetting all: %s", out)
	}
	if out, err := g.typed("", "revoke", "--all"); err == nil || !in(bob, "bob") {
		t.Errorf("ending all without a yes: %v %s", err, out)
	}
	if out := g.runs("revoke", "--all", "--yes"); out != "ended: 1\n" || in(bob, "bob") {
		t.Errorf("ending all: %s", out)
	}
	for want, args := range map[string][]string{
		"nothing is kept of":       {"users", "export", "people:nobody"},
		"nothing is kept of peop":  {"users", "erase", "people:nobody", "--yes"},
		"is not disabled":          {"users", "enable", "people:bob"},
		"'bob' is no user key":     {"users", "disable", "bob"},
		"no command 'show'":        {"users", "show"},
		"no trusted browser":       {"devices", "forget", "people:bob", "x"},
		"or --all":                 {"devices", "forget", "people:bob"},
		"of their browsers, or":    {"devices", "forget", "people:bob", "x", "--all"},
		"forget, list":             {"devices", "x"},
		"wants the id of a sessio": {"revoke", "--all", "--user", "people:bob"},
	} {
		if out, err := g.run(args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("identity %q: want an error with %q, got %v\n%s", args, want, err, out)
		}
	}
}

func TestFlowsAsTextAndGraph(t *testing.T) {
	g := start(t)
	out := g.runs("flows")
	for _, want := range []string{
		"flow default  Caddyfile:", "  login  Caddyfile:", "provider:people sets user\n", "flow guarded", "  ← protect  Caddyfile:", "127.0.0.1",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the tree has no %q:\n%s", want, out)
		}
	}
	if out := g.runs("flows", "--dot"); !strings.HasPrefix(out, "digraph flows {\n") || !strings.Contains(out, `"default/start" -> "default/0" [label=""];`) || !strings.HasSuffix(out, "}\n}\n") {
		t.Errorf("the graph:\n%s", out)
	}
	var doc struct{ Flows []any }
	if err := json.Unmarshal([]byte(g.runs("flows", "--json")), &doc); err != nil || len(doc.Flows) != 2 {
		t.Errorf("as JSON: %v %v", err, doc)
	}
}

// The tree has what is in a block below its condition, and a block with nothing in it.
func TestTreeOfBlocks(t *testing.T) {
	g := &graph{Flows: []flowOf{{
		Name: "a", Source: "Caddyfile:1",
		Nodes: []node{{ID: "a/start", Kind: "start"}, {ID: "a/end", Kind: "end"}, {ID: "a/0", Kind: "when", Source: "Caddyfile:2"}, {ID: "a/0.0.0", Kind: "deny\x1b"}, {ID: "a/1", Kind: "use", Flow: "b"}},
		Edges: []edge{{"a/start", "a/0", ""}, {"a/0", "a/0.0.0", "x == \"1\""}, {"a/0", "a/1", "else"}, {"a/1", "a/end", ""}},
	}}}
	want := "flow a  Caddyfile:1\n  when  Caddyfile:2\n    x == \"1\":\n      deny?\n    else:\n  use  b\n"
	if got := g.tree(); got != want {
		t.Errorf("want\n%s\ngot\n%s", want, got)
	}
	if dot := g.dot(); !strings.Contains(dot, `[label="x == \"1\""]`) {
		t.Errorf("the graph:\n%s", dot)
	}
}
