package flows_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

// sends talks to others and must not be run; foresees says what it would answer.
type sends struct{ ran *int }

func (s sends) Enter(context.Context, *flows.Execution) (flows.Outcome, error) {
	*s.ran++
	return flows.Continue(), nil
}
func (sends) Outward() {}

type foresees struct {
	sends
	o   flows.Outcome
	err error
}

func (f foresees) Foresee(context.Context, *flows.Execution) (flows.Outcome, error) {
	return f.o, f.err
}

func (f foresees) Resume(context.Context, *flows.Execution, flows.Input) (flows.Outcome, error) {
	return flows.Continue(), nil
}

// What does something is left out, what can tell is asked, and nothing is run (I26).
func TestI26ForesightRunsNothing(t *testing.T) {
	t.Parallel()
	ran := 0
	page := flows.Page{Kind: "factor"}
	steps := []flows.Step{
		login(),
		mark{"user"},
		sends{&ran},
		sends{&ran},
		foresees{sends{&ran}, flows.Continue(), nil},
		foresees{sends{&ran}, flows.Ask(page), nil},
		stop{"never"},
	}
	p, err := flows.Compile("staff", "d", steps)
	if err != nil {
		t.Fatal(err)
	}
	x := &flows.Execution{Flow: "staff", Digest: "d"}
	way, finished, err := p.Foresee(t.Context(), x)
	if err != nil || finished || ran != 0 || len(way) != 6 {
		t.Fatalf("%d steps, finished %v, %d ran, %v", len(way), finished, ran, err)
	}
	if !way[2].LeftOut || !way[3].LeftOut || way[4].LeftOut {
		t.Errorf("%+v", way)
	}
	if got := flows.PageOf(way[5].Waits); got == nil || got.Kind != "factor" || flows.PageOf(way[4].Waits) != nil {
		t.Errorf("it waits with %+v", got)
	}
	steps[5] = foresees{sends{&ran}, nil, errors.New("down")}
	if p, err = flows.Compile("staff", "d", steps); err != nil {
		t.Fatal(err)
	}
	way, finished, err = p.Foresee(t.Context(), &flows.Execution{Flow: "staff", Digest: "d"})
	if err != nil || finished || way[5].Err == nil {
		t.Errorf("%+v, %v", way, err)
	}
}

// For steps that only read, foresight goes the way that a run goes.
func TestForesightGoesTheWayOfTheRun(t *testing.T) {
	t.Parallel()
	seen := map[bool]int{}
	for seed := range uint64(5000) {
		steps := append([]flows.Step{login(), mark{"user"}}, variables(rand.New(rand.NewPCG(seed, 26)), 3)...)
		p, err := flows.Compile("staff", "d", append(steps, setter{"a"}, setter{"b"}))
		if err != nil {
			continue
		}
		x := &flows.Execution{Flow: "staff", Digest: "d"}
		out, fin, err := p.Advance(t.Context(), x, nil)
		if err != nil {
			t.Fatal(err)
		}
		y := &flows.Execution{Flow: "staff", Digest: "d"}
		way, finished, err := p.Foresee(t.Context(), y)
		if err != nil || finished != (fin != nil) || x.PC != y.PC {
			t.Fatalf("seed %d: finished %v at %d, foreseen %v at %d, %v", seed, fin != nil, x.PC, finished, y.PC, err)
		}
		last := way[len(way)-1]
		if out != nil && (last.Denied == nil || last.Denied.Reason != flowstest.Look(out).Denial.Reason) {
			t.Fatalf("seed %d: %+v, foreseen %+v", seed, flowstest.Look(out), last)
		}
		for _, f := range way {
			if c, ok := f.Step.(choose); ok && f.Denied == nil && f.Took != c.take {
				t.Fatalf("seed %d: took %d, foreseen %d", seed, c.take, f.Took)
			}
		}
		seen[finished]++
	}
	if seen[true] < 100 || seen[false] < 100 {
		t.Errorf("the test sees too little: %v", seen)
	}
}
