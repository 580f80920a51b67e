package deny

import (
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

func TestDenyEndsTheFlow(t *testing.T) {
	t.Parallel()
	d := new(Deny)
	if err := d.UnmarshalCaddyfile(caddyfile.NewTestDispenser(`deny "Please use the office network."`)); err != nil {
		t.Fatal(err)
	}
	flowstest.TestStep(t, d, func() *flows.Execution { return new(flows.Execution) })
	o, err := d.Enter(t.Context(), new(flows.Execution))
	want := flows.Denial{Reason: flows.ReasonNotAllowed, Text: "Please use the office network.", Source: "Testfile:1"}
	if got := flowstest.Look(o); err != nil || got.Kind != "deny" || got.Denial != want {
		t.Errorf("%+v, %v", got, err)
	}
	if d.SourceLine() != "Testfile:1" || !d.Terminates() {
		t.Errorf("%+v", d)
	}
}

func TestDenyCaddyfile(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`deny`:             "",
		`deny Sorry`:       "",
		`deny not here`:    "'here' is too much",
		"deny {\n\tx\n}":   "deny has no block, but there is 'x'",
		"deny a {\n\tx\n}": "deny has no block",
	} {
		err := new(Deny).UnmarshalCaddyfile(caddyfile.NewTestDispenser(in))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
}
