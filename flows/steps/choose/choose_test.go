package choose

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

func init() { caddy.RegisterModule(probe{}) }

// probe is a step of this test only: it notes that it ran.
type probe struct {
	Note string `json:"note,omitempty"`
}

func (probe) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.steps.choose_test_probe", New: func() caddy.Module { return new(probe) }}
}

func (p *probe) Enter(_ context.Context, x *flows.Execution) (flows.Outcome, error) {
	x.SetAttribute("ran", p.Note)
	return flows.Continue(), nil
}

func load(t *testing.T, reg *flowstest.Registry, in string) (*Choose, error) {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	t.Cleanup(cancel)
	m, err := ctx.LoadModuleByID("identity.steps.choose", json.RawMessage(in))
	if err != nil {
		return nil, err
	}
	return m.(*Choose), m.(*Choose).Bind(reg)
}

func two(more string) string {
	step := func(note string) string { return fmt.Sprintf(`{"step":"choose_test_probe","note":%q}`, note) }
	return `{"options":[{"name":"staff","label":"I work here","steps":[` + step("S") + `]},{"name":"guest","steps":[` + step("G") + `]},{"name":"neither"}]` + more + `}`
}

func run() *flows.Execution {
	return &flows.Execution{Flow: "f", Digest: "d", User: &flows.User{Key: "corp:1", Name: "x"}}
}

func input(x *flows.Execution, option string) *flows.Input {
	return &flows.Input{Step: x.Wait.Step, Serial: x.Wait.Serial, Values: map[string][]string{"option": {option}}}
}

func TestChooseTakesWhatIsChosen(t *testing.T) {
	t.Parallel()
	reg := flowstest.NewRegistry()
	c, err := load(t, reg, two(""))
	if err != nil {
		t.Fatal(err)
	}
	flowstest.TestStep(t, c, run)
	p, err := flows.Compile("f", "d", []flows.Step{c})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ option, want string }{{"staff", "S"}, {"guest", "G"}, {"neither", ""}} {
		x := run()
		if out, _, err := p.Advance(t.Context(), x, nil); err != nil || flowstest.Look(out).Kind != "ask" {
			t.Fatal(out, err)
		}
		if out, fin, err := p.Advance(t.Context(), x, input(x, "admin")); err != nil || fin != nil || flowstest.Look(out).Kind != "ask" {
			t.Fatal("an option that is none was taken", out, err)
		}
		_, fin, err := p.Advance(t.Context(), x, input(x, tc.option))
		if got, _ := x.User.Attributes["ran"].(string); err != nil || fin == nil || got != tc.want {
			t.Errorf("%s: ran %q (%v)", tc.option, got, err)
		}
	}
	if reg.VaultOf("choose").Writes() > 0 {
		t.Error("a choice is kept that nobody wants remembered")
	}
}

func TestChooseRemembers(t *testing.T) {
	t.Parallel()
	reg := flowstest.NewRegistry()
	c, err := load(t, reg, two(`,"remember":"24h"`))
	if err != nil {
		t.Fatal(err)
	}
	flowstest.TestKeeper(t, c, "corp:1", func() { choose(t, c, run(), "guest") })
	choose(t, c, run(), "guest")
	enter := func(c *Choose, x *flows.Execution) flowstest.Seen {
		o, err := c.Enter(t.Context(), x)
		if err != nil {
			t.Fatal(err)
		}
		return flowstest.Look(o)
	}
	if seen := enter(c, run()); seen.Kind != "take" || seen.Block != 1 {
		t.Errorf("not remembered: %+v", seen)
	}
	other := run()
	other.User.Key = "corp:2"
	if seen := enter(c, other); seen.Kind != "ask" {
		t.Errorf("one person's choice is another's: %+v", seen)
	}
	changed, err := load(t, reg, strings.Replace(two(`,"remember":"24h"`), "neither", "both", 1))
	if err != nil {
		t.Fatal(err)
	}
	if seen := enter(changed, run()); seen.Kind != "ask" {
		t.Errorf("the choice between other things is remembered: %+v", seen)
	}
	transient := run()
	transient.User.Transient = true
	if seen := enter(c, transient); seen.Kind != "ask" {
		t.Errorf("I04: somebody else's choice is remembered: %+v", seen)
	}
	reg.Forward(24 * time.Hour)
	if seen := enter(c, run()); seen.Kind != "ask" {
		t.Errorf("remembered for too long: %+v", seen)
	}
	for i := range maxChosen + 3 {
		other, err := load(t, reg, strings.Replace(two(`,"remember":"24h"`), "neither", fmt.Sprintf("n%d", i), 1))
		if err != nil {
			t.Fatal(err)
		}
		reg.Forward(time.Second)
		choose(t, other, run(), "guest")
	}
	if list, err := c.Export(t.Context(), "corp:1"); err != nil || len(list) != maxChosen {
		t.Errorf("%d choices are kept, %v", len(list), err)
	}
}

func choose(t *testing.T, c *Choose, x *flows.Execution, option string) {
	t.Helper()
	o, err := c.Resume(t.Context(), x, flows.Input{Values: map[string][]string{"option": {option}}})
	if seen := flowstest.Look(o); err != nil || seen.Kind != "take" {
		t.Fatal(seen, err)
	}
}

func TestChooseIsRefusedAtLoad(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{}`:                              "has 0 options",
		`{"options":[null,{"name":"a"}]}`: "option 0 of choose is null",
		`{"options":[{"name":"a"},{"name":"a"}]}`:                          "'a' twice",
		`{"options":[{"name":"A"},{"name":"b"}]}`:                          "cannot name an option",
		`{"options":[{"name":"a","steps":[{"step":"nix"}]},{"name":"b"}]}`: "option a",
		`{"options":[{"name":"a"},{"name":"b"}],"remember":-1}`:            "negative",
	} {
		if _, err := load(t, flowstest.NewRegistry(), in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
	if err := new(Choose).UnmarshalCaddyfile(caddyfile.NewTestDispenser("choose {\noption a\noption b\n}")); err == nil {
		t.Error("it was read without the front door")
	}
}
