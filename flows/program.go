package flows

import (
	"context"
	"errors"
	"fmt"
)

// Program is a flow made ready to run: its blocks laid out one behind the
// other, so that a position is one number that serialises.
type Program struct {
	Name string
	// Digest covers everything the flow reaches (I28).
	Digest string
	// Over says that the flow can only run over a session.
	Over bool
	ops  []op
	// sets are the names of user.* that a step may set, after those that are surely known behind it.
	sets, after map[string]bool
}

// op is a step, or (with no step) a jump to where a block's container ends.
type op struct {
	step  Step
	entry []int // of a container: where its blocks begin
	end   int   // of a container: behind all of its blocks; of a jump: where to
	all   bool  // of a container: it always takes a block
}

// Compile lays out the steps and checks that no condition reads a name that
// may not have been produced yet (I22).
func Compile(name, digest string, steps []Step) (*Program, error) {
	return compile(&Program{Name: name, Digest: digest}, steps)
}

// CompileOver is Compile for a flow that runs over a session: somebody is known in it
// from the first step.
func CompileOver(name, digest string, steps []Step) (*Program, error) {
	return compile(&Program{Name: name, Digest: digest, Over: true}, steps)
}

func compile(p *Program, steps []Step) (*Program, error) {
	p.lay(steps)
	if err := checkReads(p, steps); err != nil {
		return nil, fmt.Errorf("flow %s: %w", p.Name, err)
	}
	return p, nil
}

// lay writes a block. Every block of a container ends with a jump of its own:
// so a taken empty block is one jump, and cannot fall into the next block.
func (p *Program) lay(steps []Step) {
	for _, s := range steps {
		at := len(p.ops)
		p.ops = append(p.ops, op{step: s})
		c, ok := s.(Container)
		if !ok {
			continue
		}
		blocks, all := c.Blocks()
		entry, jumps := make([]int, len(blocks)), make([]int, len(blocks))
		for i, b := range blocks {
			entry[i] = len(p.ops)
			p.lay(b)
			jumps[i] = len(p.ops)
			p.ops = append(p.ops, op{})
		}
		p.ops[at].entry, p.ops[at].end, p.ops[at].all = entry, len(p.ops), all
		for _, j := range jumps {
			p.ops[j].end = len(p.ops)
		}
	}
}

// ErrWrongInput says that input named another step or serial than the one that
// waits: show the current page, run nothing (I28).
var ErrWrongInput = errors.New("input is not for the waiting step")

// Advance runs the Execution until it needs the browser, ends or fails. With
// input it resumes the waiting step, without it goes on from where it is; an
// Execution that waits is not moved by nil input.
//
// Exactly one of three is returned: an outcome for the browser (Ask, Redirect,
// Post, Deny), a Finished, or an error.
func (p *Program) Advance(ctx context.Context, x *Execution, in *Input) (Outcome, *Finished, error) {
	if x.Flow != p.Name || x.Digest != p.Digest {
		return nil, nil, fmt.Errorf("execution of %s/%s cannot run on program %s/%s", x.Flow, x.Digest, p.Name, p.Digest)
	}
	if x.PC < 0 || x.PC > len(p.ops) {
		return nil, nil, fmt.Errorf("position %d is outside flow %s", x.PC, p.Name)
	}
	m := &move{p: p, x: x}
	if err := m.mayEnter(ctx); err != nil {
		return nil, nil, err
	}
	if x.Wait != nil {
		if in == nil || in.Step != x.Wait.Step || in.Serial != x.Wait.Serial || x.Wait.Step != x.PC {
			return nil, nil, ErrWrongInput
		}
		if x.PC == len(p.ops) {
			return nil, nil, fmt.Errorf("flow %s has no step %d to wait at", p.Name, x.PC)
		}
		r, ok := p.ops[x.PC].step.(Resumer)
		if !ok {
			return nil, nil, fmt.Errorf("step %d of flow %s waits but cannot resume", x.PC, p.Name)
		}
		o, err := r.Resume(ctx, x, *in)
		if err := m.take(ctx, o, err); err != nil {
			return nil, nil, err
		}
	}
	for m.out == nil && x.PC < len(p.ops) {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		cur := p.ops[x.PC]
		if cur.step == nil {
			x.PC = cur.end
			continue
		}
		o, err := x.enter(ctx, cur.step)
		if err := m.take(ctx, o, err); err != nil {
			return nil, nil, err
		}
	}
	if m.out != nil {
		return m.out, nil, nil
	}
	if x.User == nil {
		return nil, nil, fmt.Errorf("flow %s ended without a user", p.Name)
	}
	return nil, &Finished{x}, nil
}

// StepAt is the step at a position; nil where there is none.
func (p *Program) StepAt(pc int) Step {
	if pc < 0 || pc >= len(p.ops) {
		return nil
	}
	return p.ops[pc].step
}

// ErrNoPage says that the Execution waits for a provider, not for a page.
var ErrNoPage = errors.New("nothing to show")

// Show answers the page of the waiting step and moves nothing (I28).
func (p *Program) Show(ctx context.Context, x *Execution) (Page, error) {
	if x.Flow != p.Name || x.Digest != p.Digest || x.Wait == nil || x.Wait.Step != x.PC || x.PC < 0 || x.PC >= len(p.ops) {
		return Page{}, ErrNoPage
	}
	s, ok := p.ops[x.PC].step.(Shower)
	if !ok {
		return Page{}, ErrNoPage
	}
	return s.Show(ctx, x)
}

// move interprets one outcome: what the browser must see ends the advance.
type move struct {
	p   *Program
	x   *Execution
	out Outcome
	// entered is whoever was let in by this advance.
	entered UserKey
}

// mayEnter asks of somebody who is known now, before any further step does something
// for them.
func (m *move) mayEnter(ctx context.Context) error {
	if m.x.User == nil || m.x.Env.MayEnter == nil || m.x.User.Key == m.entered {
		return nil
	}
	if err := m.x.Env.MayEnter(ctx, m.x.User.Key); err != nil {
		return err
	}
	m.entered = m.x.User.Key
	return nil
}

func (m *move) take(ctx context.Context, o Outcome, err error) error {
	if err != nil {
		return err
	}
	if o == nil {
		return fmt.Errorf("step %d of flow %s answered nothing", m.x.PC, m.p.Name)
	}
	m.x.Wait = nil
	if err := o.Accept(m); err != nil {
		return err
	}
	return m.mayEnter(ctx)
}

// wait marks where the Execution waits; every wait has a serial of its own.
func (m *move) wait(o Outcome, page *Page) error {
	if _, ok := m.p.ops[m.x.PC].step.(Resumer); !ok {
		return fmt.Errorf("step %d of flow %s asks but cannot resume", m.x.PC, m.p.Name)
	}
	m.x.Serial++
	m.x.Wait = &Wait{Step: m.x.PC, Serial: m.x.Serial, Page: page}
	m.out = o
	return nil
}

func (m *move) Continue() error {
	if c := m.p.ops[m.x.PC]; c.entry != nil {
		return fmt.Errorf("container %d of flow %s must take a block", m.x.PC, m.p.Name)
	}
	delete(m.x.Private, m.x.PC)
	m.x.PC++
	return nil
}

func (m *move) Take(block int) error {
	c := m.p.ops[m.x.PC]
	delete(m.x.Private, m.x.PC)
	switch {
	case c.entry == nil:
		return fmt.Errorf("step %d of flow %s has no blocks to take", m.x.PC, m.p.Name)
	case block == -1 && !c.all:
		m.x.PC = c.end
	case block >= 0 && block < len(c.entry):
		m.x.PC = c.entry[block]
	default:
		return fmt.Errorf("step %d of flow %s took block %d of %d", m.x.PC, m.p.Name, block, len(c.entry))
	}
	return nil
}

func (m *move) Ask(p Page) error { return m.wait(Ask(p), &p) }

func (m *move) Redirect(url string) error { return m.wait(Redirect(url), nil) }

func (m *move) Post(url string, fields []FormField) error { return m.wait(Post(url, fields), nil) }

func (m *move) Deny(d Denial) error { m.out = Deny(d); return nil }
