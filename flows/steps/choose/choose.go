// Package choose is the step that lets people pick one of its blocks.
package choose

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() {
	caddy.RegisterModule(Choose{})
}

// Choose asks which of its options it is to be and takes the steps of that one. The
// person decides alone: what must hold for everybody stands outside of it.
type Choose struct {
	// What stands above the buttons; default: the page's own words.
	Question string `json:"question,omitempty"`
	// The buttons, in this order; at least two, at most 16.
	Options []*Option `json:"options,omitempty"`
	// How long a choice holds for the next logins of the same person, who must have
	// signed in before the step; default: everybody is asked each time. Other options,
	// or another question, ask again, and so does erasing it on the account page.
	Remember caddy.Duration `json:"remember,omitempty"`
	// The file and line it was written at.
	Source string `json:"source,omitempty"`

	read   reader
	blocks [][]flows.Step
	notes  flows.Notes[chosen]
	now    func() time.Time
}

// Option is one of the buttons and the steps behind it.
type Option struct {
	// Its name, which programs answer and the store keeps.
	Name string `json:"name"`
	// What stands on the button; default: the name.
	Label string `json:"label,omitempty"`
	// A second, smaller line; default: none.
	Detail string `json:"detail,omitempty"`
	// The steps that are taken; none goes on behind the whole choose.
	StepsRaw []json.RawMessage `json:"steps,omitempty" caddy:"namespace=identity.steps inline_key=step"`

	steps []flows.Step
}

const maxOptions = 16

// CaddyModule returns the Caddy module information.
func (Choose) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.steps.choose", New: func() caddy.Module { return new(Choose) }}
}

// Provision loads the steps of all options.
func (c *Choose) Provision(ctx caddy.Context) error {
	for i, o := range c.Options {
		if o == nil {
			return fmt.Errorf("option %d of choose is null", i)
		}
		o.steps = nil
		if len(o.StepsRaw) == 0 {
			continue
		}
		mods, err := ctx.LoadModule(o, "StepsRaw")
		if err != nil {
			return fmt.Errorf("choose: option %s: %w", o.Name, err)
		}
		for _, m := range mods.([]any) {
			s, ok := m.(flows.Step)
			if !ok {
				return fmt.Errorf("choose: option %s: %T is no step", o.Name, m)
			}
			o.steps = append(o.steps, s)
		}
	}
	return nil
}

// Validate refuses what does not depend on other guests.
func (c *Choose) Validate() error {
	switch n := len(c.Options); {
	case n < 2:
		return fmt.Errorf("choose has %d options; there must be two to choose from", n)
	case n > maxOptions:
		return fmt.Errorf("choose has %d options; at most %d fit on a page", n, maxOptions)
	case c.Remember < 0:
		return errors.New("choose: remember must not be negative")
	}
	for i, o := range c.Options {
		switch {
		case !flows.ValidName(o.Name):
			return fmt.Errorf("choose: '%s' cannot name an option: [a-z0-9_-]+", o.Name)
		case slices.ContainsFunc(c.Options[:i], func(p *Option) bool { return p.Name == o.Name }):
			return fmt.Errorf("choose has option '%s' twice", o.Name)
		}
	}
	return nil
}

// Bind takes the place where choices are kept. The steps inside are bound by whoever
// binds this one.
func (c *Choose) Bind(r flows.Registry) error {
	c.notes, c.now, c.blocks = flows.Notes[chosen]{Vault: r.Vault("choose"), What: "choices"}, r.Now, nil
	for _, o := range c.Options {
		c.blocks = append(c.blocks, o.steps)
	}
	return nil
}

// Enter takes what the person chose before, or asks.
func (c *Choose) Enter(ctx context.Context, x *flows.Execution) (flows.Outcome, error) {
	i, err := c.chosen(ctx, x.User)
	if err != nil {
		return nil, err
	}
	if i >= 0 {
		return flows.Take(i), nil
	}
	return flows.Ask(c.page()), nil
}

// Resume takes the choice; what is none of the options shows the page again.
func (c *Choose) Resume(ctx context.Context, x *flows.Execution, in flows.Input) (flows.Outcome, error) {
	i := c.index(in.Value("option"))
	if i < 0 {
		return flows.Ask(c.page()), nil
	}
	return flows.Take(i), c.keep(ctx, x.User, c.Options[i].Name)
}

// Show draws the page again.
func (c *Choose) Show(context.Context, *flows.Execution) (flows.Page, error) { return c.page(), nil }

func (c *Choose) page() flows.Page {
	p := flows.Page{Kind: "option"}
	if c.Question != "" {
		p.Widgets = append(p.Widgets, flows.Heading{Text: c.Question})
	} else {
		p.Widgets = append(p.Widgets, flows.Note{Code: "option"})
	}
	for _, o := range c.Options {
		label := o.Label
		if label == "" {
			label = o.Name
		}
		p.Widgets = append(p.Widgets, flows.Choice{Name: "option", Value: o.Name, Label: label, Detail: o.Detail})
	}
	return p
}

func (c *Choose) index(name string) int {
	return slices.IndexFunc(c.Options, func(o *Option) bool { return o.Name == name })
}

// Blocks are those of the options; one of them is always taken.
func (c *Choose) Blocks() ([][]flows.Step, bool) { return c.blocks, true }

// Labels are the names of the options.
func (c *Choose) Labels() []string {
	out := make([]string, len(c.Options))
	for i, o := range c.Options {
		out[i] = o.Name
	}
	return out
}

// Conditions say that somebody must have signed in before, if it is remembered for them.
func (c *Choose) Conditions() []flows.Named {
	if c.Remember == 0 {
		return nil
	}
	return []flows.Named{needsUser(c.Source)}
}

type needsUser string

func (needsUser) Reads() []string  { return []string{"user.key"} }
func (n needsUser) Source() string { return string(n) }

// SourceLine is the file and line.
func (c *Choose) SourceLine() string { return c.Source }

var (
	_ flows.Container       = (*Choose)(nil)
	_ flows.Labelled        = (*Choose)(nil)
	_ flows.Resumer         = (*Choose)(nil)
	_ flows.Shower          = (*Choose)(nil)
	_ flows.Binder          = (*Choose)(nil)
	_ flows.Consumer        = (*Choose)(nil)
	_ flows.Keeper          = (*Choose)(nil)
	_ flows.Sourced         = (*Choose)(nil)
	_ caddy.Provisioner     = (*Choose)(nil)
	_ caddy.Validator       = (*Choose)(nil)
	_ caddyfile.Unmarshaler = (*Choose)(nil)
)
