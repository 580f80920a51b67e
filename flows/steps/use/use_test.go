package use

import (
	"context"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

type known struct{}

func (known) Enter(_ context.Context, x *flows.Execution) (flows.Outcome, error) {
	x.User = &flows.User{Key: "corp:a1", Name: "alice"}
	return flows.Continue(), nil
}
func (known) Produces() []string { return []string{"user"} }

type ends struct{ known }

func (ends) Enter(context.Context, *flows.Execution) (flows.Outcome, error) {
	return flows.Deny(flows.Denial{Reason: flows.ReasonNotAllowed}), nil
}

func TestUseRunsTheOtherFlowInItsPlace(t *testing.T) {
	t.Parallel()
	r := flowstest.NewRegistry()
	r.Flows = map[string][]flows.Step{"onboarding": {known{}}, "empty": {}, "closed": {ends{}}}
	bound := func(name string) *Use {
		u := new(Use)
		if err := u.UnmarshalCaddyfile(caddyfile.NewTestDispenser("use " + name)); err != nil {
			t.Fatal(err)
		}
		if err := u.Bind(r); err != nil {
			t.Fatal(err)
		}
		flowstest.TestStep(t, u, func() *flows.Execution { return new(flows.Execution) })
		return u
	}
	if got := bound("onboarding"); got.Reaches()[0] != "flow:onboarding" || got.SourceLine() != "Testfile:1" {
		t.Errorf("%+v", got)
	}
	for name, tc := range map[string]struct {
		steps  []flows.Step
		finish bool
	}{
		"used":        {[]flows.Step{bound("onboarding")}, true},
		"used, empty": {[]flows.Step{bound("onboarding"), bound("empty")}, true},
		"denied":      {[]flows.Step{bound("onboarding"), bound("closed")}, false},
	} {
		p, err := flows.Compile("staff", "d", tc.steps)
		if err != nil {
			t.Fatal(err)
		}
		out, fin, err := p.Advance(t.Context(), &flows.Execution{Flow: "staff", Digest: "d"}, nil)
		if err != nil || (fin != nil) != tc.finish || fin == nil && flowstest.Look(out).Kind != "deny" {
			t.Errorf("%s: %v %v %v", name, out, fin, err)
		}
	}
}

func TestUseCaddyfile(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`use`:             "use takes the name of one flow, not 0 words",
		`use a b`:         "not 2 words",
		`use "A b"`:       "cannot name a flow",
		"use a {\n\tx\n}": "use has no block, but there is 'x'",
	} {
		if err := new(Use).UnmarshalCaddyfile(caddyfile.NewTestDispenser(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
	u := &Use{Flow: "nowhere", Source: "Caddyfile:5"}
	if err := u.Bind(flowstest.NewRegistry()); err == nil || !strings.HasPrefix(err.Error(), "Caddyfile:5: use: no flow is called 'nowhere'") {
		t.Errorf("%v", err)
	}
	if (&Use{}).Validate() == nil {
		t.Error("a use of nothing is valid")
	}
}
