package flows

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// givenFirst tells whether names of a root are known before any step ran.
func givenFirst(root string) bool {
	switch root {
	case "request", "now", "device", "geo", "policy":
		return true
	}
	return false
}

// checkReads refuses a condition that reads a name which may not be there yet
// (I22): CEL's || and && would absorb the error at run time. A flow over a session
// knows its user from the first step.
func checkReads(p *Program, steps []Step) (err error) {
	p.sets = map[string]bool{}
	settable(steps, p.sets)
	p.after, _, err = dataflow{p.sets}.walk(map[string]bool{"user": p.Over}, steps)
	return err
}

// Knows refuses a condition about requests behind this flow which reads a name that the
// flow may set and does not surely set: && and || would absorb the error (I22). Somebody
// who finished the flow is there, and so is their session.
func (p *Program) Knows(cond Named) error {
	for _, n := range cond.Reads() {
		root, _, _ := strings.Cut(n, ".")
		switch {
		case root == "risk" && !p.after["risk"]:
			return fmt.Errorf("%s is read, but flow %s does not surely run a risk step", n, p.Name)
		case root == "user" && p.sets[n] && !p.after[n]:
			return fmt.Errorf("%s is read, but flow %s does not surely set it; test it with has(%s)", n, p.Name, n)
		}
	}
	return nil
}

// SignsIn reports whether a flow may make somebody known. One that does not can only
// run over a session.
func SignsIn(steps []Step) bool {
	for s := range AllSteps(steps) {
		if p, ok := s.(Producer); ok && slices.Contains(p.Produces(), "user") {
			return true
		}
	}
	return false
}

// dataflow knows every user.* name that some `set` of the whole flow sets: those
// are judged one by one, while other attributes come from the provider.
type dataflow struct{ set map[string]bool }

// walk follows a block and returns what is surely known behind it, and whether
// it surely ends the flow: then nothing behind it runs.
func (d dataflow) walk(have map[string]bool, steps []Step) (after map[string]bool, ends bool, err error) {
	after = maps.Clone(have)
	if after == nil {
		after = map[string]bool{}
	}
	for _, s := range steps {
		if c, ok := s.(Consumer); ok {
			for _, cond := range c.Conditions() {
				if err := d.reads(cond, after); err != nil {
					return nil, false, err
				}
			}
		}
		if t, ok := s.(Terminator); ok && t.Terminates() {
			return after, true, nil
		}
		if p, ok := s.(Producer); ok {
			for _, n := range p.Produces() {
				after[n] = true
			}
		}
		if c, ok := s.(Container); ok {
			if after, ends, err = d.branches(after, c); ends || err != nil {
				return after, ends, err
			}
		}
	}
	return after, false, nil
}

// branches intersects what the blocks surely set. A block that ends the flow
// has no say; a container that may take none adds nothing.
func (d dataflow) branches(have map[string]bool, c Container) (map[string]bool, bool, error) {
	blocks, all := c.Blocks()
	var common map[string]bool
	for _, b := range blocks {
		after, ends, err := d.walk(have, b)
		switch {
		case err != nil:
			return nil, false, err
		case ends:
		case common == nil:
			common = after
		default:
			maps.DeleteFunc(common, func(n string, _ bool) bool { return !after[n] })
		}
	}
	switch {
	case !all || len(blocks) == 0:
		return have, false, nil
	case common == nil:
		return have, true, nil // every block ended
	}
	return common, false, nil
}

// settable collects the names that steps set. One that a step reads itself, as
// in `set department user.department.lowerAscii()`, comes from the provider.
func settable(steps []Step, out map[string]bool) {
	for s := range AllSteps(steps) {
		if p, ok := s.(Producer); ok {
			for _, n := range p.Produces() {
				if !readsItself(s, n) {
					out[n] = true
				}
			}
		}
		if p, ok := s.(Perhaps); ok {
			for _, n := range p.MayProduce() {
				out[n] = true
			}
		}
	}
}

func readsItself(s Step, name string) bool {
	c, ok := s.(Consumer)
	return ok && slices.ContainsFunc(c.Conditions(), func(n Named) bool { return slices.Contains(n.Reads(), name) })
}

func (d dataflow) reads(cond Named, have map[string]bool) error {
	for _, n := range cond.Reads() {
		root, _, _ := strings.Cut(n, ".")
		switch {
		case givenFirst(root):
		case root == "session":
			return fmt.Errorf("%s: %s is not there while a flow runs; test it with has(%s)", cond.Source(), n, n)
		case root == "risk" && !have["risk"]:
			return fmt.Errorf("%s: %s is read before a risk step surely ran", cond.Source(), n)
		case root == "risk":
		case !have["user"]:
			return fmt.Errorf("%s: %s is read before a login step surely ran", cond.Source(), n)
		case d.set[n] && !have[n]:
			return fmt.Errorf("%s: %s is read where no earlier step surely set it; test it with has(%s)", cond.Source(), n, n)
		}
	}
	return nil
}
