package flowstest

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
)

// StepRun makes a fresh Execution that the step can be entered with. Every call
// answers an equal one, but the User may be shared between them: no step may change it.
type StepRun func() *flows.Execution

// TestStep is what every step promises, whatever it does: one value serves all
// runs concurrently; it answers exactly one outcome, and only one it may answer;
// what waits can resume and keeps its state where it serialises; a shared user is
// never changed. The step is bound.
func TestStep(t testing.TB, s flows.Step, begin StepRun) {
	t.Helper()
	for _, problem := range checkStep(t.Context(), s, begin) {
		t.Error(problem)
	}
}

// checkStep lists what is wrong.
func checkStep(ctx context.Context, s flows.Step, begin StepRun) []string {
	c := &stepSuite{ctx: ctx, step: s, begin: begin}
	c.shape()
	seen, x := c.enter()
	c.outcome(seen)
	c.sharedUser()
	c.sameAgain(seen, x)
	c.concurrent()
	c.survives(seen, x)
	return c.problems
}

type stepSuite struct {
	ctx      context.Context
	step     flows.Step
	begin    StepRun
	problems []string
}

func (c *stepSuite) say(problem string) { c.problems = append(c.problems, problem) }

// shape checks what the step says of itself.
func (c *stepSuite) shape() {
	if k, ok := c.step.(flows.Container); ok {
		first, all := k.Blocks()
		if again, all2 := k.Blocks(); len(first) != len(again) || all != all2 {
			c.say("its blocks differ from call to call: a position would mean another step")
		}
		if all && len(first) == 0 {
			c.say("it always takes a block, but has none")
		}
	}
	if p, ok := c.step.(flows.Producer); ok {
		for _, n := range p.Produces() {
			if n != "user" && n != "risk" && !strings.HasPrefix(n, "user.") {
				c.say("it produces " + n + ", which is no name of a user or risk")
			}
		}
	}
	if k, ok := c.step.(flows.Consumer); ok {
		for _, n := range k.Conditions() {
			if n == nil || reflect.ValueOf(n).Kind() == reflect.Pointer && reflect.ValueOf(n).IsNil() {
				c.say("one of its conditions is nil: was it bound?")
			}
		}
	}
}

func (c *stepSuite) enter() (Seen, *flows.Execution) {
	x := c.begin()
	o, err := c.step.Enter(c.ctx, x)
	if (o == nil) == (err == nil) {
		c.say("it must answer exactly one of an outcome and an error")
	}
	return Look(o), x
}

// outcome checks that the answer is one this kind of step may give.
func (c *stepSuite) outcome(seen Seen) {
	k, container := c.step.(flows.Container)
	_, resumes := c.step.(flows.Resumer)
	_, ends := c.step.(flows.Terminator)
	switch seen.Kind {
	case "ask", "redirect", "post":
		if !resumes {
			c.say("it waits (" + seen.Kind + ") but cannot resume")
		}
	case "continue":
		if container {
			c.say("a container must take a block")
		}
	case "take":
		if !container {
			c.say("it takes a block but has none")
			break
		}
		blocks, all := k.Blocks()
		if seen.Block < -1 || seen.Block >= len(blocks) || seen.Block == -1 && all {
			c.say("it takes a block that is not there")
		}
	case "deny":
		if seen.Denial.Reason == "" {
			c.say("it denies without a reason")
		}
	}
	if ends && c.step.(flows.Terminator).Terminates() && seen.Kind != "deny" {
		c.say("it says that it ends the flow, but does not")
	}
}

// sharedUser looks whether Enter wrote through the user that others read, too.
func (c *stepSuite) sharedUser() {
	x := c.begin()
	if x.User == nil {
		return
	}
	before, kept := snapshot(x.User), x.User
	if _, err := c.step.Enter(c.ctx, x); err == nil && snapshot(kept) != before {
		c.say("it changed a user that others share; a step works on a copy")
	}
}

// sameAgain enters an equal run: what belongs to a run is kept in the run.
func (c *stepSuite) sameAgain(seen Seen, x *flows.Execution) {
	again, y := c.enter()
	if again.Kind != seen.Kind || again.Block != seen.Block {
		c.say("an equal run got " + again.Kind + " after " + seen.Kind + ": the step keeps state of its own")
	}
	if snapshot(x.User) != snapshot(y.User) {
		c.say("an equal run ended with another user: the step keeps state of its own")
	}
}

// concurrent enters many runs at once; run it with -race.
func (c *stepSuite) concurrent() {
	var wg sync.WaitGroup
	kinds := make([]string, 8)
	for i := range kinds {
		x := c.begin()
		wg.Go(func() {
			o, err := c.step.Enter(c.ctx, x)
			if err != nil {
				kinds[i] = "error"
				return
			}
			kinds[i] = Look(o).Kind
		})
	}
	wg.Wait()
	for _, k := range kinds {
		if k != kinds[0] {
			c.say("runs at the same time got " + k + " and " + kinds[0])
			return
		}
	}
}

// survives serialises what Enter left and resumes it, as another node would.
func (c *stepSuite) survives(seen Seen, x *flows.Execution) {
	b, err := json.Marshal(x)
	if err != nil {
		c.say("what it left in the run does not serialise: " + err.Error())
		return
	}
	there := new(flows.Execution)
	if err := json.Unmarshal(b, there); err != nil {
		c.say("what it left in the run cannot be read back: " + err.Error())
		return
	}
	r, ok := c.step.(flows.Resumer)
	if !ok || seen.Kind != "ask" && seen.Kind != "redirect" && seen.Kind != "post" {
		return
	}
	here := c.resume(r, x)
	there.Env = x.Env
	if far := c.resume(r, there); far != here {
		c.say("resumed on another node it answers " + far + ", here " + here + ": state was not kept in the run")
	}
}

// resume answers with an empty form; a refusal is an answer, too.
func (c *stepSuite) resume(r flows.Resumer, x *flows.Execution) string {
	o, err := r.Resume(c.ctx, x, flows.Input{})
	if err != nil {
		var refused *flows.Refusal
		if errors.As(err, &refused) {
			return string(refused.Reason)
		}
		return "error"
	}
	if o == nil {
		c.say("resumed, it answers nothing")
	}
	return Look(o).Kind
}

func snapshot(u *flows.User) string {
	b, _ := json.Marshal(u)
	return string(b)
}
