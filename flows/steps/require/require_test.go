package require

import (
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
	"github.com/sallyport-gateway/sallyport/flows/policy"
)

func registry(t *testing.T) *flowstest.Registry {
	t.Helper()
	env, err := policy.New(map[string]policy.Source{"admins": {CEL: `"admins" in user.groups`}})
	if err != nil {
		t.Fatal(err)
	}
	r := flowstest.NewRegistry()
	r.OnCondition = env.Condition
	return r
}

func bound(t *testing.T, in string) *Require {
	t.Helper()
	r := new(Require)
	if err := r.UnmarshalCaddyfile(caddyfile.NewTestDispenser(in)); err != nil {
		t.Fatal(err)
	}
	if err := r.Validate(); err != nil {
		t.Fatal(err)
	}
	if err := r.Bind(registry(t)); err != nil {
		t.Fatal(err)
	}
	return r
}

func run(groups ...string) func() *flows.Execution {
	u := &flows.User{Key: "corp:a1", Name: "alice", Groups: groups}
	return func() *flows.Execution { return &flows.Execution{User: u} }
}

func TestI22RequireDeniesWhatFailsAndWhatErrs(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in   string
		run  func() *flows.Execution
		want flows.Reason // "" goes on
	}{
		{`require admins "Only they."`, run("admins"), ""},
		{`require admins "Only they."`, run("staff"), flows.ReasonNotAllowed},
		{"require `\"staff\" in user.groups` \"Only they.\"", run("staff"), ""},
		{"require `user.dept == \"x\"` \"Only they.\"", run("staff"), flows.ReasonConditionError},
		{"require `!(user.dept == \"x\")` \"Only they.\"", run("staff"), flows.ReasonConditionError},
		{`require admins "Only they."`, func() *flows.Execution { return new(flows.Execution) }, flows.ReasonConditionError},
	} {
		r := bound(t, tc.in)
		flowstest.TestStep(t, r, tc.run)
		o, err := r.Enter(t.Context(), tc.run())
		got := flowstest.Look(o)
		if tc.want == "" {
			if err != nil || got.Kind != "continue" {
				t.Errorf("%s: %+v, %v", tc.in, got, err)
			}
			continue
		}
		if err != nil || got.Kind != "deny" || got.Denial.Reason != tc.want || got.Denial.Text != "Only they." || got.Denial.Source != "Testfile:1" {
			t.Errorf("%s: %+v, %v", tc.in, got, err)
		}
		if (got.Denial.Err != nil) != (tc.want == flows.ReasonConditionError) {
			t.Errorf("%s: %v", tc.in, got.Denial.Err)
		}
	}
}

func TestRequireCaddyfile(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]Require{
		`require admins`:                 {Policy: "admins"},
		`require "admins"`:               {CEL: "admins"},
		"require `risk.score < 3` Sorry": {CEL: "risk.score < 3", Text: "Sorry"},
	} {
		var r Require
		want.Source = "Testfile:1"
		if err := r.UnmarshalCaddyfile(caddyfile.NewTestDispenser(in)); err != nil || r != want {
			t.Errorf("%s: %+v, %v", in, r, err)
		}
	}
	for in, want := range map[string]string{
		`require`:                  "require wants a condition",
		`require ""`:               "the condition is empty",
		`require admins a b`:       "'b' is too much",
		"require admins {\n\tx\n}": "require has no block, but there is 'x'",
	} {
		if err := new(Require).UnmarshalCaddyfile(caddyfile.NewTestDispenser(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
	for _, r := range []*Require{{}, {Policy: "a", CEL: "true"}} {
		if r.Validate() == nil {
			t.Errorf("%+v is valid", r)
		}
	}
	r := &Require{Policy: "admin", Source: "Caddyfile:4"}
	if err := r.Bind(registry(t)); err == nil || err.Error() != "Caddyfile:4: no policy is called 'admin'; there are: admins" {
		t.Errorf("%v", err)
	}
	if got := r.Reaches(); len(got) != 1 || got[0] != "policy:admin" {
		t.Errorf("reaches %v", got)
	}
	if got := (&Require{CEL: "true"}).Reaches(); got != nil {
		t.Errorf("reaches %v", got)
	}
	if c := bound(t, "require admins").Conditions(); len(c) != 1 || c[0].Reads()[0] != "user.groups" || c[0].Source() != "Testfile:1" {
		t.Errorf("%v", c)
	}
}
