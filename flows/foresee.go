package flows

import (
	"context"
	"errors"
	"slices"
)

// Foreseer is a Step that can tell what its Enter would answer, and does nothing: it
// sends, writes, counts and keeps nothing. A step whose Enter does more than read is
// one, or it is Outward (I26).
type Foreseer interface {
	// Foresee may change x as Enter would. Of an outcome that waits only what the person
	// would be asked is looked at: a page's kind and choices, and Env.Asked.
	Foresee(ctx context.Context, x *Execution) (Outcome, error)
}

// Foreseen is one step on the way of a run that was only thought through.
type Foreseen struct {
	Step Step
	// Conditions are those that the step asked, in the order written, up to the one that decided.
	Conditions []Judged
	// LeftOut says that the step was not run, since it would do something.
	LeftOut bool
	// Took is the block that was taken; -1: none, or the step has no blocks.
	Took int
	// Waits is the outcome if the run would wait here, Denied if it would end here.
	Waits  Outcome
	Denied *Denial
	// Err is what the step could not tell.
	Err error
}

// Judged is what came of one condition: it held, it did not, or it could not be told (I22).
type Judged struct {
	Source string
	Holds  bool
	Err    error
}

// errForeseen says that nobody waits for the run.
var errForeseen = errors.New("a run that was only thought through")

// Foresee runs x from its first step to where it would need the browser, end or fail, and
// does nothing that anybody could notice (I26): the same program, steps and conditions
// as in Advance, without what steps do to others. It answers the way, and whether the
// flow would end with the person let in. x is used up: it continues nothing.
func (p *Program) Foresee(ctx context.Context, x *Execution) (way []Foreseen, finished bool, err error) {
	m := &move{p: p, x: x}
	for m.out == nil && x.PC < len(p.ops) {
		if err := ctx.Err(); err != nil {
			return way, false, err
		}
		cur := p.ops[x.PC]
		if cur.step == nil {
			x.PC = cur.end
			continue
		}
		f := Foreseen{Step: cur.step, Took: -1, Conditions: judgedBy(cur.step, x)}
		at := x.PC
		o, leftOut, err := foresee(ctx, cur.step, x)
		if f.LeftOut = leftOut; err == nil {
			err = m.take(o, nil)
		}
		if err != nil {
			f.Err = err
			return append(way, f), false, nil
		}
		f.look(m.out, cur, at, x.PC)
		way = append(way, f)
	}
	if m.out == nil && x.User == nil {
		return way, false, errForeseen
	}
	return way, m.out == nil, nil
}

// foresee asks a step what it would answer. What would do something and cannot tell is
// left out; readings that a risk step would ask for are those that were given.
func foresee(ctx context.Context, s Step, x *Execution) (o Outcome, leftOut bool, err error) {
	if f, ok := s.(Foreseer); ok {
		o, err = f.Foresee(ctx, x)
		return o, false, err
	}
	if p, ok := s.(Producer); ok && slices.Contains(p.Produces(), "risk") {
		if x.Readings == nil {
			x.Readings = map[string]Reading{}
		}
		return Continue(), true, nil
	}
	if _, outward := s.(Outward); outward {
		return Continue(), true, nil
	}
	o, err = s.Enter(ctx, x)
	return o, false, err
}

func (f *Foreseen) look(out Outcome, cur op, from, to int) {
	if d, ok := out.(denyOutcome); ok {
		f.Denied = &d.denial
		return
	}
	if f.Waits = out; out != nil {
		return
	}
	if i := slices.Index(cur.entry, to); i >= 0 && from != to {
		f.Took = i
	}
}

// judgedBy asks the conditions of a step before it does, up to the first that holds or
// cannot be told: a container takes that one's block, and others have one only.
func judgedBy(s Step, x *Execution) (list []Judged) {
	c, ok := s.(Consumer)
	if !ok {
		return nil
	}
	for _, n := range c.Conditions() {
		cond, ok := n.(Condition)
		if !ok {
			continue
		}
		holds, err := cond.Holds(x.Facts())
		if list = append(list, Judged{n.Source(), holds, err}); holds || err != nil {
			break
		}
	}
	return list
}

// PageOf is the page of an outcome that asks; nil of any other.
func PageOf(o Outcome) *Page {
	if a, ok := o.(askOutcome); ok {
		return &a.page
	}
	return nil
}
