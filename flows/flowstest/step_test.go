package flowstest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
)

var sharedUser = &flows.User{Key: "corp:a1", Name: "alice", Groups: []string{"staff"}, Attributes: map[string]any{"dept": "x"}}

func beginRun() *flows.Execution {
	return &flows.Execution{Flow: "staff", Digest: "d", User: sharedUser, Env: flows.Env{Now: Start}}
}

type entering func(*flows.Execution) (flows.Outcome, error)

func (f entering) Enter(_ context.Context, x *flows.Execution) (flows.Outcome, error) { return f(x) }

// asking waits and keeps its state in the run, or (broken) in itself.
type asking struct {
	broken bool
	mine   sync.Map
}

func (a *asking) Enter(_ context.Context, x *flows.Execution) (flows.Outcome, error) {
	if a.broken {
		a.mine.Store(x, true)
		return flows.Ask(flows.Page{Kind: "code"}), nil
	}
	return flows.Ask(flows.Page{Kind: "code"}), x.Keep("sent")
}

func (a *asking) Resume(_ context.Context, x *flows.Execution, _ flows.Input) (flows.Outcome, error) {
	var s string
	_, mine := a.mine.Load(x)
	if ok, err := x.Kept(&s); err != nil || !ok && !mine {
		return nil, errors.New("nothing was sent")
	}
	return flows.Continue(), nil
}

type boxed struct {
	entering
	blocks [][]flows.Step
	all    bool
}

func (b boxed) Blocks() ([][]flows.Step, bool) { return b.blocks, b.all }

type ending struct{ entering }

func (ending) Terminates() bool { return true }

type making struct {
	entering
	names []string
}

func (m making) Produces() []string { return m.names }

func answers(o flows.Outcome) entering {
	return func(*flows.Execution) (flows.Outcome, error) { return o, nil }
}

func TestStepSuiteLetsGoodStepsPass(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]flows.Step{
		"continue": answers(flows.Continue()),
		"ask":      &asking{},
		"take":     boxed{answers(flows.Take(0)), [][]flows.Step{{}}, true},
		"none":     boxed{answers(flows.Take(-1)), nil, false},
		"deny":     ending{answers(flows.Deny(flows.Denial{Reason: flows.ReasonNotAllowed}))},
		"set": making{func(x *flows.Execution) (flows.Outcome, error) {
			x.SetAttribute("dept", "y")
			return flows.Continue(), nil
		}, []string{"user.dept"}},
		"error": entering(func(*flows.Execution) (flows.Outcome, error) { return nil, errors.New("x") }),
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); TestStep(t, s, beginRun) })
	}
}

// A suite that lets everything pass proves nothing.
func TestStepSuiteFindsBrokenSteps(t *testing.T) {
	t.Parallel()
	var count atomic.Int64
	own := func() *flows.Execution { // not the shared user: this one gets broken
		x := beginRun()
		u := *sharedUser
		u.Attributes = map[string]any{"dept": "x"}
		x.User = &u
		return x
	}
	for name, tc := range map[string]struct {
		step flows.Step
		want string
	}{
		"nothing":           {answers(nil), "exactly one"},
		"both":              {entering(func(*flows.Execution) (flows.Outcome, error) { return flows.Continue(), errors.New("x") }), "exactly one"},
		"asks only":         {answers(flows.Ask(flows.Page{})), "cannot resume"},
		"redirects only":    {answers(flows.Redirect("https://x/")), "cannot resume"},
		"takes without":     {answers(flows.Take(0)), "has none"},
		"takes too far":     {boxed{answers(flows.Take(1)), [][]flows.Step{{}}, false}, "not there"},
		"none of all":       {boxed{answers(flows.Take(-1)), [][]flows.Step{{}}, true}, "not there"},
		"container goes":    {boxed{answers(flows.Continue()), [][]flows.Step{{}}, true}, "must take a block"},
		"all of nothing":    {boxed{answers(flows.Take(-1)), nil, true}, "has none"},
		"denies silently":   {answers(flows.Deny(flows.Denial{})), "without a reason"},
		"ends not":          {ending{answers(flows.Continue())}, "but does not"},
		"produces nonsense": {making{answers(flows.Continue()), []string{"request.path"}}, "no name of a user"},
		"state of its own":  {&asking{broken: true}, "not kept in the run"},
		"counts runs": {entering(func(*flows.Execution) (flows.Outcome, error) {
			if count.Add(1) == 1 {
				return flows.Continue(), nil
			}
			return flows.Deny(flows.Denial{Reason: flows.ReasonInternal}), nil
		}), "keeps state of its own"},
		"writes through the user": {entering(func(x *flows.Execution) (flows.Outcome, error) {
			x.User.Attributes["dept"] = "y"
			return flows.Continue(), nil
		}), "works on a copy"},
		"keeps what cannot be kept": {entering(func(x *flows.Execution) (flows.Outcome, error) {
			x.SetAttribute("fn", func() {})
			return flows.Continue(), nil
		}), "does not serialise"},
	} {
		found := strings.Join(checkStep(t.Context(), tc.step, own), "\n")
		if !strings.Contains(found, tc.want) {
			t.Errorf("%s: found %q, want %q", name, found, tc.want)
		}
	}
}
