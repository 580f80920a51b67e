package flows_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// trace is what ran, kept in the Execution itself so that it survives serialising.
func note(x *flows.Execution, what string) {
	if x.User == nil {
		x.User = &flows.User{Key: "corp:a1", Name: "alice"}
	}
	old, _ := x.User.Attributes["trace"].(string)
	x.SetAttribute("trace", old+what+" ")
}

func traceOf(x *flows.Execution) string {
	if x.User == nil {
		return ""
	}
	s, _ := x.User.Attributes["trace"].(string)
	return s
}

// mark goes on; stop denies; ask waits times times; choose takes a block.
type mark struct{ name string }

func (m mark) Enter(_ context.Context, x *flows.Execution) (flows.Outcome, error) {
	note(x, m.name)
	return flows.Continue(), nil
}

type stop struct{ name string }

func (s stop) Enter(_ context.Context, x *flows.Execution) (flows.Outcome, error) {
	note(x, s.name)
	return flows.Deny(flows.Denial{Reason: flows.ReasonNotAllowed, Text: s.name}), nil
}

func (stop) Terminates() bool { return true }

type ask struct {
	name  string
	times int
}

func (a ask) Enter(_ context.Context, x *flows.Execution) (flows.Outcome, error) {
	note(x, a.name)
	return a.again(x, 1)
}

func (a ask) Resume(_ context.Context, x *flows.Execution, in flows.Input) (flows.Outcome, error) {
	var n int
	if ok, err := x.Kept(&n); !ok || err != nil {
		return nil, fmt.Errorf("state lost: %v", err)
	}
	note(x, fmt.Sprintf("%s=%s", a.name, in.Value("v")))
	if n < a.times {
		return a.again(x, n+1)
	}
	return flows.Continue(), nil
}

func (a ask) again(x *flows.Execution, n int) (flows.Outcome, error) {
	if err := x.Keep(n); err != nil {
		return nil, err
	}
	switch n % 3 {
	case 0:
		return flows.Post("https://idp.example.com/", nil), nil
	case 1:
		return flows.Ask(flows.Page{Kind: a.name}), nil
	}
	return flows.Redirect("https://idp.example.com/"), nil
}

type choose struct {
	name   string
	take   int
	all    bool
	blocks [][]flows.Step
}

func (c choose) Enter(_ context.Context, x *flows.Execution) (flows.Outcome, error) {
	note(x, fmt.Sprintf("%s>%d", c.name, c.take))
	return flows.Take(c.take), nil
}

func (c choose) Blocks() ([][]flows.Step, bool) { return c.blocks, c.all }

// interpret is the reference: what the steps mean, by plain recursion. True means the flow goes on.
func interpret(steps []flows.Step, answer string, out *[]string) bool {
	for _, s := range steps {
		switch s := s.(type) {
		case mark:
			*out = append(*out, s.name)
		case stop:
			*out = append(*out, s.name)
			return false
		case ask:
			*out = append(*out, s.name)
			for range s.times {
				*out = append(*out, s.name+"="+answer)
			}
		case choose:
			*out = append(*out, fmt.Sprintf("%s>%d", s.name, s.take))
			if s.take >= 0 && !interpret(s.blocks[s.take], answer, out) {
				return false
			}
		}
	}
	return true
}

// tree makes a random block; empty ones are common.
func tree(rng *rand.Rand, depth int, n *int) []flows.Step {
	steps := []flows.Step{}
	for range rng.IntN(4) {
		*n++
		name := fmt.Sprint("s", *n)
		switch k := rng.IntN(10); {
		case k < 3:
			steps = append(steps, mark{name})
		case k < 4:
			steps = append(steps, stop{name})
		case k < 6 || depth == 0:
			steps = append(steps, ask{name, 1 + rng.IntN(3)})
		default:
			c := choose{name: name, all: rng.IntN(2) == 0}
			for range rng.IntN(4) {
				c.blocks = append(c.blocks, tree(rng, depth-1, n))
			}
			c.take = rng.IntN(len(c.blocks)+1) - 1
			if c.take < 0 {
				c.all = false
			}
			steps = append(steps, c)
		}
	}
	return steps
}

// drive runs a program to its end, answering every wait. With resume set the
// Execution is serialised at every wait, and other input is tried first.
func drive(t *testing.T, p *flows.Program, x *flows.Execution, resume bool) (trace []string, finished bool) {
	t.Helper()
	var in *flows.Input
	for range 1000 {
		out, fin, err := p.Advance(t.Context(), x, in)
		if err != nil {
			t.Fatalf("%v after %q", err, traceOf(x))
		}
		if (out == nil) == (fin == nil) {
			t.Fatalf("outcome %v and finished %v", out, fin)
		}
		if fin != nil {
			if fin.Execution() != x {
				t.Fatal("finished another execution")
			}
			return strings.Fields(traceOf(x)), true
		}
		if x.Wait == nil {
			return strings.Fields(traceOf(x)), false // denied
		}
		if resume {
			x = thaw(t, x)
			refuseOthers(t, p, x)
		}
		in = &flows.Input{Step: x.Wait.Step, Serial: x.Wait.Serial, Values: map[string][]string{"v": {"yes"}}}
	}
	t.Fatal("it never ends")
	return nil, false
}

func thaw(t testing.TB, x *flows.Execution) *flows.Execution {
	t.Helper()
	b, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	again := new(flows.Execution)
	if err := json.Unmarshal(b, again); err != nil {
		t.Fatal(err)
	}
	return again
}

// refuseOthers gives a waiting execution input that is not for it.
func refuseOthers(t *testing.T, p *flows.Program, x *flows.Execution) {
	t.Helper()
	before, _ := json.Marshal(x)
	w := *x.Wait
	for _, in := range []*flows.Input{nil, {}, {Step: w.Step + 1, Serial: w.Serial}, {Step: w.Step, Serial: w.Serial - 1}, {Step: w.Step, Serial: w.Serial + 1}} {
		if out, fin, err := p.Advance(t.Context(), x, in); err != flows.ErrWrongInput || out != nil || fin != nil { //nolint:errorlint // exactly this
			t.Fatalf("input %+v: %v %v %v", in, out, fin, err)
		}
	}
	if after, _ := json.Marshal(x); string(after) != string(before) {
		t.Fatalf("wrong input changed\n%s\nto\n%s", before, after)
	}
}

func TestEngineEqualsRecursiveInterpreter(t *testing.T) {
	t.Parallel()
	var ended, denied, empty, waited int
	for seed := range uint64(6000) {
		rng := rand.New(rand.NewPCG(seed, 28))
		n := 0
		steps := append([]flows.Step{mark{"first"}}, tree(rng, 4, &n)...)
		p, err := flows.Compile("staff", "d1", steps)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		goesOn := interpret(steps, "yes", &want)
		for _, resume := range []bool{false, true} {
			x := &flows.Execution{Flow: "staff", Digest: "d1"}
			got, finished := drive(t, p, x, resume)
			if finished != goesOn || !slices.Equal(got, want) {
				t.Fatalf("seed %d, resumed %v:\ngot  %v %v\nwant %v %v", seed, resume, got, finished, want, goesOn)
			}
		}
		if goesOn {
			ended++
		} else {
			denied++
		}
		empty += emptyTaken(steps)
		if strings.Contains(strings.Join(want, " "), "=yes") {
			waited++
		}
	}
	if min(ended, denied, empty, waited) < 1000 {
		t.Errorf("ended %d, denied %d, empty blocks taken %d, waited %d: the test sees too little", ended, denied, empty, waited)
	}
}

func emptyTaken(steps []flows.Step) (n int) {
	for _, s := range steps {
		if c, ok := s.(choose); ok {
			if c.take >= 0 && len(c.blocks[c.take]) == 0 {
				n++
			}
			for _, b := range c.blocks {
				n += emptyTaken(b)
			}
		}
	}
	return n
}

// The one that bit before: when X { } else { deny }, with X true.
func TestEngineTakenEmptyBlockDoesNotFallIntoTheNext(t *testing.T) {
	t.Parallel()
	for name, steps := range map[string][]flows.Step{
		"last":   {mark{"a"}, choose{"w", 0, true, [][]flows.Step{{}, {stop{"no"}}}}},
		"middle": {mark{"a"}, choose{"w", 1, true, [][]flows.Step{{stop{"no"}}, {}, {stop{"no"}}}}, mark{"b"}},
		"nested": {mark{"a"}, choose{"w", 0, true, [][]flows.Step{{choose{"v", 0, true, [][]flows.Step{{}, {stop{"no"}}}}}, {stop{"no"}}}}},
		"none":   {mark{"a"}, choose{"w", -1, false, [][]flows.Step{{stop{"no"}}}}},
	} {
		p, err := flows.Compile("staff", "d", steps)
		if err != nil {
			t.Fatal(err)
		}
		if got, finished := drive(t, p, &flows.Execution{Flow: "staff", Digest: "d"}, true); !finished || slices.Contains(got, "no") {
			t.Errorf("%s: %v %v", name, got, finished)
		}
	}
}
