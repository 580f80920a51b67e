package when

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
	"github.com/sallyport-gateway/sallyport/flows/policy"
)

func init() { caddy.RegisterModule(probe{}) }

// probe is a step of this test only: it notes that it ran.
type probe struct {
	Note string `json:"note,omitempty"`
}

func (probe) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.steps.when_test_probe", New: func() caddy.Module { return new(probe) }}
}

func (p *probe) Enter(_ context.Context, x *flows.Execution) (flows.Outcome, error) {
	x.SetAttribute("ran", p.Note)
	return flows.Continue(), nil
}

type known struct{}

func (known) Enter(_ context.Context, x *flows.Execution) (flows.Outcome, error) {
	return flows.Continue(), nil
}
func (known) Produces() []string { return []string{"user"} }

func load(t *testing.T, in string) (*When, error) {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	t.Cleanup(cancel)
	m, err := ctx.LoadModuleByID("identity.steps.when", json.RawMessage(in))
	if err != nil {
		return nil, err
	}
	w := m.(*When)
	env, err := policy.New(map[string]policy.Source{"admins": {CEL: `"admins" in user.groups`}})
	if err != nil {
		t.Fatal(err)
	}
	r := flowstest.NewRegistry()
	r.OnCondition = env.Condition
	return w, w.Bind(r)
}

func step(note string) string { return fmt.Sprintf(`{"step":"when_test_probe","note":%q}`, note) }

// chain is: admins → A; staff → nothing; [else].
func chain(rest string) string {
	return `{"branches":[{"if":{"policy":"admins"},"steps":[` + step("A") + `]},{"if":{"cel":"\"staff\" in user.groups"},"source":"Caddyfile:6"}],"source":"Caddyfile:3"` + rest + `}`
}

func TestWhenTakesTheFirstThatHolds(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rest, group, want string
		all               bool
	}{
		{``, "admins", "A", false},
		{``, "staff", "", false},
		{``, "guests", "", false},
		{`,"else":[` + step("E") + `]`, "admins", "A", true},
		{`,"else":[` + step("E") + `]`, "staff", "", true}, // a taken empty block, not the else
		{`,"else":[` + step("E") + `]`, "guests", "E", true},
		{`,"else":[]`, "guests", "", true},
	} {
		w, err := load(t, chain(tc.rest))
		if err != nil {
			t.Fatal(err)
		}
		if blocks, all := w.Blocks(); all != tc.all || len(blocks) != 2+map[bool]int{true: 1}[tc.all] {
			t.Errorf("%s: %d blocks, all %v", tc.rest, len(blocks), all)
		}
		u := &flows.User{Key: "corp:a1", Name: "alice", Groups: []string{tc.group}}
		begin := func() *flows.Execution { return &flows.Execution{Flow: "staff", Digest: "d", User: u} }
		flowstest.TestStep(t, w, begin)
		p, err := flows.Compile("staff", "d", []flows.Step{known{}, w})
		if err != nil {
			t.Fatal(err)
		}
		x := begin()
		_, fin, err := p.Advance(t.Context(), x, nil)
		if got, _ := x.User.Attributes["ran"].(string); err != nil || fin == nil || got != tc.want {
			t.Errorf("%s, %s: ran %q, want %q (%v)", tc.rest, tc.group, got, tc.want, err)
		}
	}
}

// I22: a condition that cannot be told ends the flow; it is not the else.
func TestI22WhenThatErrsEndsTheFlow(t *testing.T) {
	t.Parallel()
	w, err := load(t, `{"branches":[{"if":{"cel":"user.dept == \"x\""},"source":"Caddyfile:4"},{"if":{"cel":"true"}}],"else":[`+step("E")+`]}`)
	if err != nil {
		t.Fatal(err)
	}
	o, err := w.Enter(t.Context(), &flows.Execution{User: &flows.User{Key: "corp:a1"}})
	got := flowstest.Look(o)
	if err != nil || got.Kind != "deny" || got.Denial.Reason != flows.ReasonConditionError || got.Denial.Source != "Caddyfile:4" || got.Denial.Err == nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestWhenIsRefusedAtLoad(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{}`:                  "at least one branch",
		`{"branches":[null]}`: "branch 0 is null",
		`{"branches":[{}]}`:   "branch 0 of when wants either a policy or CEL",
		`{"branches":[{"if":{"cel":"true","policy":"admins"}}]}`:             "either a policy or CEL",
		`{"branches":[{"if":{"policy":"admin"}}],"source":"Caddyfile:3"}`:    "Caddyfile:3: no policy is called 'admin'; there are: admins",
		`{"branches":[{"if":{"cel":"usr.x"}}],"source":"Caddyfile:3"}`:       "unknown name 'usr'",
		`{"branches":[{"if":{"cel":"true"},"steps":[{"step":"nonesuch"}]}]}`: "branch 0",
		`{"branches":[{"if":{"cel":"true"}}],"else":[{"step":"nonesuch"}]}`:  "else",
		`{"branches":[{"if":{"cel":"true"},"stpes":[]}]}`:                    "stpes",
	} {
		if _, err := load(t, in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
	w, err := load(t, chain(""))
	if err != nil || len(w.Reaches()) != 1 || w.Reaches()[0] != "policy:admins" || len(w.Conditions()) != 2 || w.Conditions()[0].Source() != "Caddyfile:3" || w.SourceLine() != "Caddyfile:3" {
		t.Errorf("%+v, %v", w, err)
	}
}
