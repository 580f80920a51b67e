// Package form is the step that asks people for what nobody else knows of them.
package form

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() {
	caddy.RegisterModule(Form{})
}

// Form asks for the attributes that are missing, and is passed by in silence if none
// is. What people type about themselves is their own word: it never becomes a name, an
// address, a group or another reserved attribute, and never replaces what a provider
// or an earlier step said, unless it is told to. Answers are kept for the next login,
// at most 64 and 16 KiB of a person, until the person erases them.
type Form struct {
	// What stands above the fields; default: the page's own words.
	Title string `json:"title,omitempty"`
	// A text to read before them; default: none.
	Text string `json:"text,omitempty"`
	// What is asked for. At least one, at most 32.
	Fields []*Field `json:"fields,omitempty"`
	// The answers replace what a provider or an earlier step said; default: nobody is
	// asked for what is known.
	Overwrite bool `json:"overwrite,omitempty"`
	// The file and line it was written at.
	Source string `json:"source,omitempty"`

	notes flows.Notes[answer]
	now   func() time.Time
}

// maxFields is how many a page takes.
const maxFields = 32

// CaddyModule returns the Caddy module information.
func (Form) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.steps.form", New: func() caddy.Module { return new(Form) }}
}

// Validate refuses what does not depend on other guests.
func (f *Form) Validate() error {
	switch {
	case len(f.Fields) == 0:
		return errors.New("form asks for nothing; as in: field department text \"Department\"")
	case len(f.Fields) > maxFields:
		return fmt.Errorf("form has %d fields; at most %d fit on a page", len(f.Fields), maxFields)
	}
	seen := map[string]bool{}
	for i, d := range f.Fields {
		if d == nil {
			return fmt.Errorf("field %d of form is null", i)
		}
		if seen[d.Attribute] {
			return fmt.Errorf("form asks for user.%s twice", d.Attribute)
		}
		seen[d.Attribute] = true
		if err := d.validate(); err != nil {
			return err
		}
	}
	return nil
}

// Bind takes the place where answers are kept.
func (f *Form) Bind(r flows.Registry) error {
	f.notes, f.now = flows.Notes[answer]{Vault: r.Vault("form"), What: "answers"}, r.Now
	for _, d := range f.Fields {
		if err := d.compile(); err != nil {
			return err
		}
	}
	return nil
}

// kept is the private state while the page is shown: nothing in it is worth turning back.
type kept struct {
	// Ask are the attributes that are asked for.
	Ask []string `json:"ask"`
}

// Enter gives the user what they answered before, and asks for the rest.
func (f *Form) Enter(ctx context.Context, x *flows.Execution) (flows.Outcome, error) {
	if x.User == nil {
		return nil, errors.New("form: nobody has signed in yet")
	}
	known, err := f.answers(ctx, x.User)
	if err != nil {
		return nil, err
	}
	var k kept
	for _, d := range f.Fields {
		if _, said := x.User.Attribute(d.Attribute); said && !f.Overwrite {
			continue
		}
		a, answered := known[d.Attribute]
		v, problem := d.judge(a.Text)
		if !answered || problem != "" { // what was allowed then may not be allowed now
			k.Ask = append(k.Ask, d.Attribute)
			continue
		}
		f.give(x, d, v)
	}
	if len(k.Ask) == 0 {
		return flows.Continue(), nil
	}
	return flows.Ask(f.page(x, k, nil, nil)), x.Keep(k)
}

// Resume takes the answers: all of them, or the page again.
func (f *Form) Resume(ctx context.Context, x *flows.Execution, in flows.Input) (flows.Outcome, error) {
	var k kept
	if ok, err := x.Kept(&k); err != nil || !ok {
		return nil, errors.Join(err, errors.New("form waits without state"))
	}
	typed, problems := map[string]string{}, map[string]string{}
	values := map[string]any{}
	for _, d := range f.asked(k) {
		typed[d.Attribute] = d.tidy(in.Value(d.Attribute))
		v, problem := d.judge(typed[d.Attribute])
		if problem != "" {
			problems[d.Attribute] = problem
		}
		values[d.Attribute] = v
	}
	if len(problems) > 0 {
		return flows.Ask(f.page(x, k, typed, problems)), x.Keep(k)
	}
	if err := f.keep(ctx, x, typed); err != nil {
		return nil, err
	}
	for _, d := range f.asked(k) {
		f.give(x, d, values[d.Attribute])
	}
	return flows.Continue(), nil
}

// Show draws the page again.
func (f *Form) Show(_ context.Context, x *flows.Execution) (flows.Page, error) {
	var k kept
	if ok, err := x.Kept(&k); err != nil || !ok {
		return flows.Page{}, errors.Join(err, errors.New("form waits without state"))
	}
	return f.page(x, k, nil, nil), nil
}

func (f *Form) asked(k kept) (list []*Field) {
	for _, d := range f.Fields {
		for _, name := range k.Ask {
			if name == d.Attribute {
				list = append(list, d)
			}
		}
	}
	return list
}

// give makes an answer an attribute; an empty one is none.
func (f *Form) give(x *flows.Execution, d *Field, v any) {
	if v != nil {
		x.SetDerived(flows.Derived{Name: d.Attribute, Source: f.Source}, v)
	}
}

// page asks; what was typed stands there again, with what is wrong with it above.
func (f *Form) page(x *flows.Execution, k kept, typed, problems map[string]string) flows.Page {
	p := flows.Page{Kind: "form", Submit: "continue"}
	if f.Title != "" {
		p.Widgets = append(p.Widgets, flows.Heading{Text: f.Title})
	}
	if f.Text != "" {
		p.Widgets = append(p.Widgets, flows.Note{Text: f.Text})
	}
	if len(problems) > 0 {
		p.Problem = flows.ReasonInvalidField
	}
	first := true // the focus is on the first that is wrong, else on the first
	for _, d := range f.asked(k) {
		value, again := typed[d.Attribute]
		if !again {
			value = d.known(x.User)
		}
		problem := problems[d.Attribute]
		here := first && (problem != "" || len(problems) == 0)
		first = first && !here
		p.Widgets = append(p.Widgets, d.widget(value, problem, here))
	}
	return p
}

// Produces are the attributes that nobody gets past without.
func (f *Form) Produces() []string { return f.names(false) }

// MayProduce are those that may stay empty.
func (f *Form) MayProduce() []string { return f.names(true) }

func (f *Form) names(optional bool) (names []string) {
	for _, d := range f.Fields {
		if d.Optional == optional {
			names = append(names, "user."+d.Attribute)
		}
	}
	return names
}

// Conditions say that somebody must have signed in before.
func (f *Form) Conditions() []flows.Named { return []flows.Named{needsUser(f.Source)} }

type needsUser string

func (needsUser) Reads() []string  { return []string{"user.key"} }
func (n needsUser) Source() string { return string(n) }

// SourceLine is the file and line.
func (f *Form) SourceLine() string { return f.Source }

var (
	_ flows.Resumer         = (*Form)(nil)
	_ flows.Shower          = (*Form)(nil)
	_ flows.Binder          = (*Form)(nil)
	_ flows.Producer        = (*Form)(nil)
	_ flows.Perhaps         = (*Form)(nil)
	_ flows.Consumer        = (*Form)(nil)
	_ flows.Keeper          = (*Form)(nil)
	_ flows.Sourced         = (*Form)(nil)
	_ caddy.Validator       = (*Form)(nil)
	_ caddyfile.Unmarshaler = (*Form)(nil)
)
