package module

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"unicode"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
)

// confirm is the step that says what is about to be done, and takes what else it needs.
type confirm struct {
	// again: it asks a second time, behind the proof, and wants a box ticked.
	again bool
}

// maxFactorName is the longest name of a factor, in characters.
const maxFactorName = 40

// Enter asks.
func (c confirm) Enter(ctx context.Context, x *flows.Execution) (flows.Outcome, error) {
	p, err := c.Show(ctx, x)
	if err != nil {
		return nil, err
	}
	return flows.Ask(p), nil
}

// Show draws the page.
func (c confirm) Show(_ context.Context, x *flows.Execution) (flows.Page, error) {
	a := x.Action
	if a == nil {
		return flows.Page{}, errors.New("a run without an action has nothing to confirm")
	}
	p := flows.Page{Kind: a.Do, Submit: a.Do}
	p.Widgets = append(p.Widgets, flows.Note{Code: a.Do})
	if a.Title != "" {
		p.Widgets = append(p.Widgets, flows.Table{Rows: []flows.Row{{Name: a.Do, Value: a.Title}}})
	}
	switch {
	case c.again:
		p.Kind = "erase_again"
		p.Widgets = []flows.Widget{flows.Note{Code: p.Kind}, flows.Check{Name: "sure", Label: "erase_sure"}}
	case a.Do == "factor_name":
		p.Submit = "save"
		p.Widgets = append(p.Widgets, flows.Field{Name: "name", Label: "factor_called", Value: a.Value, Max: maxFactorName, Optional: true, Autocomplete: "off", Autofocus: true})
	}
	return p, nil
}

// Resume takes the answer.
func (c confirm) Resume(ctx context.Context, x *flows.Execution, in flows.Input) (flows.Outcome, error) {
	if c.again && in.Value("sure") == "" {
		return c.Enter(ctx, x)
	}
	if x.Action != nil && x.Action.Do == "factor_name" {
		x.Action.Value = plainName(in.Value("name"))
	}
	return flows.Continue(), nil
}

// plainName is a name as it may stand in a page, a message and a terminal.
func plainName(s string) string {
	s = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if audit.Forges(r) && !unicode.IsSpace(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))), " ")
	if r := []rune(s); len(r) > maxFactorName {
		s = strings.TrimSpace(string(r[:maxFactorName]))
	}
	return s
}

// handOut is the step that gives a person what is kept of them.
type handOut struct{}

// Enter writes the trail first (I25).
func (h handOut) Enter(ctx context.Context, x *flows.Execution) (flows.Outcome, error) {
	v, err := visitOf(x)
	if err != nil {
		return nil, err
	}
	p, err := h.Show(ctx, x)
	if err != nil {
		return nil, err
	}
	if _, err := v.app.trail.Before(ctx, v.accountEvent(audit.DataExported, x)); err != nil {
		return nil, err
	}
	return flows.Ask(p), nil
}

// Show draws the page, with what is kept now.
func (handOut) Show(ctx context.Context, x *flows.Execution) (flows.Page, error) {
	v, err := visitOf(x)
	if err != nil {
		return flows.Page{}, err
	}
	data, err := v.app.export(ctx, x.User)
	if err != nil {
		return flows.Page{}, err
	}
	b, err := json.MarshalIndent(data, "", "  ")
	if err != nil {
		return flows.Page{}, err
	}
	return flows.Page{Kind: "download", Submit: "done", Widgets: []flows.Widget{
		flows.Note{Code: "download"},
		flows.Download{Label: "download_file", Name: "my-data.json", Type: "application/json", Data: append(b, '\n')},
	}}, nil
}

// Resume goes back.
func (handOut) Resume(context.Context, *flows.Execution, flows.Input) (flows.Outcome, error) {
	return flows.Continue(), nil
}

var (
	_ flows.Container = (*fork)(nil)
	_ flows.Producer  = signedIn{}
	_ flows.Shower    = confirm{}
	_ flows.Shower    = handOut{}
)
