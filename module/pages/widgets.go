package pages

import (
	"html/template"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/sallyport-gateway/sallyport/flows"
)

// Input is one widget as a template sees it.
type Input struct {
	// Type is field, secret, code, select, check, choices, choice, note, heading, table,
	// terms, download, qr, codes or credential.
	Type, ID, Name, Value, Label, Detail, Autocomplete string
	Autofocus, Checked                                 bool
	// Optional is the word for it; empty: it must be filled in.
	Optional string
	// Problem is what is wrong with it, DescribedBy the id of the words about that: its
	// own, or those above the form. Invalid: it is what to mend.
	Problem, DescribedBy string
	Invalid              bool
	// Kind is the HTML type of a field, Max its most characters; 0: any.
	Kind string
	Max  int
	// Digits is how many a code has; 0: letters and digits.
	Digits int
	// Image is what a camera reads (qr), Codes are to be written down (codes).
	Image template.HTML
	Codes []string
	// Options are the lines of a select, Rows those of a table; their names are translated.
	Options []Option
	Rows    []flows.Row
	// Paragraphs are terms, Link where they stand in full.
	Paragraphs      []string
	Link, LinkLabel string
	// Choices are buttons that belong together, Under the id of the line that says what for.
	Choices []Input
	Under   string
	// Key is what the browser is to do with a key (credential).
	Key *Key
}

// Option is one line of a select.
type Option struct {
	Value, Label string
	Selected     bool
}

func (c catalogue) widgets(d *Data, p *flows.Page) {
	d.Problem = c.problem(p)
	if p.Wait > 0 {
		d.Wait = seconds(c, "body.retry", p.Wait)
	}
	if d.Problem != "" || d.Wait != "" {
		d.Trouble = c["label.trouble"]
	}
	d.Auto = p.Auto
	if p.Submit != "" {
		d.Submit, d.SubmitLabel = p.Submit, c.label(p.Submit)
	}
	named := false
	for _, w := range p.Widgets {
		named = named || c.input(w).Problem != ""
	}
	under := "heading"
	for i, w := range p.Widgets {
		in := c.input(w)
		in.ID = "w" + strconv.Itoa(i)
		switch in.Type {
		case "":
		case "choice":
			d.choice(in, under)
		case "credential":
			if in.Key.Default = d.Submit == ""; in.Key.Default {
				d.Inputs = append(d.Inputs, in)
			} else {
				d.choice(in, under) // beside a form it is one more way
			}
		case "heading":
			under = in.ID
			d.Inputs = append(d.Inputs, in)
		default:
			d.Files = d.Files || in.Type == "download"
			d.blame(&in, named)
			d.Inputs = append(d.Inputs, in)
		}
	}
}

// blame ties what is wrong to the field that it is about. Where no field is named,
// it may be any of the page, and the one with the focus is what to mend.
func (d *Data) blame(in *Input, named bool) {
	switch {
	case in.Problem != "":
		in.DescribedBy, in.Invalid = in.ID+"-problem", true
	case d.Trouble != "" && !named:
		in.DescribedBy, in.Invalid = "problem", in.Autofocus && d.Problem != "" && d.Wait == ""
	}
}

// choice adds a button: where it was put on a page of choices, else behind the
// submit button. Browsers press the first button of a form when somebody presses
// Enter in a field, and that must be the one that submits it.
func (d *Data) choice(in Input, under string) {
	if d.Submit != "" {
		d.Choices = append(d.Choices, in)
		return
	}
	if n := len(d.Inputs); n == 0 || d.Inputs[n-1].Type != "choices" {
		d.Inputs = append(d.Inputs, Input{Type: "choices", Under: under})
	}
	last := &d.Inputs[len(d.Inputs)-1]
	last.Choices = append(last.Choices, in)
}

// input is a widget as a template sees it; without a Type it is not shown.
func (c catalogue) input(w flows.Widget) Input {
	switch w := w.(type) {
	case flows.Field:
		return Input{Type: "field", Name: w.Name, Value: w.Value, Label: c.label(w.Label), Kind: fieldKind(w.Type), Max: w.Max, Optional: c.optional(w.Optional), Problem: c.wrong(w.Problem), Autocomplete: w.Autocomplete, Autofocus: w.Autofocus}
	case flows.Secret:
		return Input{Type: "secret", Name: w.Name, Label: c.label(w.Label), Autocomplete: w.Autocomplete, Autofocus: w.Autofocus}
	case flows.Code:
		return Input{Type: "code", Name: w.Name, Label: c.label(w.Label), Digits: w.Digits, Autocomplete: autofill(w), Autofocus: w.Autofocus}
	case flows.Select:
		return Input{Type: "select", Name: w.Name, Label: c.label(w.Label), Options: c.options(w), Optional: c.optional(w.Optional), Problem: c.wrong(w.Problem), Autofocus: w.Autofocus}
	case flows.Check:
		return Input{Type: "check", Name: w.Name, Label: c.counted(w.Label, w.Count), Checked: w.Checked, Optional: c.optional(w.Optional), Problem: c.wrong(w.Problem), Autofocus: w.Autofocus}
	case flows.Choice:
		return Input{Type: "choice", Name: w.Name, Value: w.Value, Label: c.label(w.Label), Detail: c.detail(w)}
	case flows.QR:
		return Input{Type: "qr", Label: c.label(w.Label), Value: w.Manual, Image: qrImage(w.Text)}
	case flows.Codes:
		return Input{Type: "codes", Label: c.label(w.Label), Codes: w.Codes}
	case flows.Credential:
		return Input{Type: "credential", Name: w.Name, Label: c.label(w.Label), Key: c.key(w)}
	case flows.Download:
		return Input{Type: "download", Name: w.Name, Label: c.label(w.Label)}
	}
	return c.reading(w)
}

// detail is the second line of a choice.
func (c catalogue) detail(w flows.Choice) string {
	if w.Again && w.Detail == "" {
		return c["label.chosen_last"]
	}
	return w.Detail
}

// reading is a widget that only says something.
func (c catalogue) reading(w flows.Widget) Input {
	switch w := w.(type) {
	case flows.Note:
		if text := c.note(w); text != "" {
			return Input{Type: "note", Label: text}
		}
	case flows.Heading:
		if text := c.headline(w); text != "" {
			return Input{Type: "heading", Label: text}
		}
	case flows.Table:
		if len(w.Rows) > 0 {
			return Input{Type: "table", Label: c.label(w.Label), Rows: c.rows(w.Rows)}
		}
	case flows.Terms:
		in := Input{Type: "terms", Label: w.Title, Paragraphs: paragraphs(w.Text), Link: safeLink(w.URL), LinkLabel: c["label.read_in_full"]}
		if w.Version != "" {
			in.Detail = strings.ReplaceAll(c["label.version"], "{version}", w.Version)
		}
		return in
	}
	return Input{}
}

// fieldKind is the HTML type of a field: one of those that hold a line of text.
func fieldKind(s string) string {
	if slices.Contains([]string{"email", "tel", "number", "date", "url"}, s) {
		return s
	}
	return "text"
}

// counted is a label with a number in it.
func (c catalogue) counted(code string, n int) string {
	if n == 0 {
		return c.label(code)
	}
	return seconds(c, "label."+code, n)
}

func (c catalogue) optional(is bool) string {
	if is {
		return c["label.optional"]
	}
	return ""
}

// wrong is what is wrong with a field.
func (c catalogue) wrong(code string) string {
	if t := c["note."+code]; t != "" {
		return t
	}
	return code
}

// options are the lines of a select, before them one for none: where none may be
// chosen, or nothing is chosen yet and the first must not be by accident.
func (c catalogue) options(w flows.Select) []Option {
	chosen := slices.ContainsFunc(w.Options, func(e flows.Entry) bool { return e.Value == w.Value })
	var list []Option
	switch {
	case slices.ContainsFunc(w.Options, func(e flows.Entry) bool { return e.Value == "" }):
	case w.Optional:
		list = append(list, Option{Label: c["label.none"]})
	case !chosen:
		list = append(list, Option{Label: c["label.choose_one"]})
	}
	for _, e := range w.Options {
		list = append(list, Option{Value: e.Value, Label: c.label(e.Label), Selected: e.Value == w.Value})
	}
	return list
}

func (c catalogue) headline(w flows.Heading) string {
	if w.Text != "" {
		return w.Text
	}
	return c.label(w.Label)
}

// rows are for reading before a decision: nothing in a value turns its text around.
func (c catalogue) rows(rows []flows.Row) []flows.Row {
	list := make([]flows.Row, len(rows))
	for i, r := range rows {
		list[i] = flows.Row{Name: upright(c.label(r.Name)), Value: upright(r.Value)}
	}
	return list
}

// upright shows where somebody put a sign that changes the direction of text
// (UAX #9 §2): an amount or an account must not read as another.
func upright(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Bidi_Control, r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// paragraphs splits a text at its blank lines; other line breaks stay in it.
func paragraphs(text string) (list []string) {
	var lines []string
	end := func() {
		if len(lines) > 0 {
			list, lines = append(list, strings.Join(lines, "\n")), nil
		}
	}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			end()
			continue
		}
		lines = append(lines, line)
	}
	end()
	return list
}

// autofill is the token of a code's field. What is not made of digits comes off a
// list: a password manager would put the app's code there.
func autofill(w flows.Code) string {
	if w.Digits == 0 {
		return "off"
	}
	return "one-time-code"
}
