package set

import (
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
	"github.com/sallyport-gateway/sallyport/flows/policy"
)

func bound(t *testing.T, in string) *Set {
	t.Helper()
	env, err := policy.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := new(Set)
	if err := s.UnmarshalCaddyfile(caddyfile.NewTestDispenser(in)); err != nil {
		t.Fatal(err)
	}
	r := flowstest.NewRegistry()
	r.OnExpression = env.Expression
	if err := s.Bind(r); err != nil {
		t.Fatal(err)
	}
	return s
}

func run() *flows.Execution {
	return &flows.Execution{User: &flows.User{Key: "corp:a1", Name: "alice", Attributes: map[string]any{"department": "R&D"}}}
}

func TestSetComputesAnAttribute(t *testing.T) {
	t.Parallel()
	s := bound(t, "set department `user.department.lowerAscii()`")
	flowstest.TestStep(t, s, run)
	x := run()
	before := x.User
	o, err := s.Enter(t.Context(), x)
	if v, _ := x.User.Attribute("department"); err != nil || flowstest.Look(o).Kind != "continue" || v != "r&d" {
		t.Errorf("%v, %v, %v", v, o, err)
	}
	if before.Attributes["department"] != "R&D" {
		t.Error("it changed the user that others share")
	}
	if s.Produces()[0] != "user.department" || s.SourceLine() != "Testfile:1" {
		t.Errorf("%+v", s)
	}
}

func TestI22SetThatErrsEndsTheFlow(t *testing.T) {
	t.Parallel()
	for in, x := range map[string]*flows.Execution{
		"set a `user.nothing`": run(),
		"set a `null`":         run(),
		"set a `1`":            {},
	} {
		s := bound(t, in)
		o, err := s.Enter(t.Context(), x)
		got := flowstest.Look(o)
		if err != nil || got.Kind != "deny" || got.Denial.Reason != flows.ReasonConditionError || got.Denial.Err == nil || got.Denial.Source != "Testfile:1" {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
		if x.User != nil && x.User.Attributes["a"] != nil {
			t.Errorf("%s left %v", in, x.User.Attributes["a"])
		}
	}
}

// A set in front of every login would be lost, and one that reads its own name
// takes it from the provider.
func TestI22SetInTheDataflow(t *testing.T) {
	t.Parallel()
	if _, err := flows.Compile("staff", "d", []flows.Step{bound(t, "set a `1`")}); err == nil || !strings.Contains(err.Error(), "before a login step surely ran") {
		t.Errorf("%v", err)
	}
	own := []flows.Step{known{}, bound(t, "set department `user.department.lowerAscii()`")}
	if _, err := flows.Compile("staff", "d", own); err != nil {
		t.Error(err)
	}
	early := []flows.Step{known{}, bound(t, "set b `user.a`"), bound(t, "set a `1`")}
	if _, err := flows.Compile("staff", "d", early); err == nil || !strings.Contains(err.Error(), "test it with has(user.a)") {
		t.Errorf("%v", err)
	}
}

type known struct{ flows.Step }

func (known) Produces() []string { return []string{"user"} }

func TestSetCaddyfile(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`set`:                       "set takes an attribute and an expression in quotes, not 0 words",
		`set a`:                     "not 1 words",
		`set a b c`:                 "not 3 words",
		`set a ""`:                  "the expression is empty",
		`set groups "[]"`:           "user.groups is reserved",
		`set key "'corp:root'"`:     "user.key is reserved",
		`set claims "{}"`:           "user.claims is reserved",
		`set user.a "1"`:            "'user.a' cannot name an attribute",
		`set "a b" "1"`:             "cannot name an attribute",
		"set a \"1\" {\n\tforce\n}": "set has no block, but there is 'force'",
	} {
		if err := new(Set).UnmarshalCaddyfile(caddyfile.NewTestDispenser(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
	for _, name := range flows.ReservedAttributes {
		if (&Set{Attribute: name, CEL: "1"}).Validate() == nil {
			t.Errorf("user.%s can be set by JSON", name)
		}
	}
}
