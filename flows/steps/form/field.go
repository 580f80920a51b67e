package form

import (
	"fmt"
	"math"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sallyport-gateway/sallyport/flows"
)

// Field is one attribute that is asked for.
type Field struct {
	// The attribute, as in user.<name>; reserved names cannot be asked for.
	Attribute string `json:"attribute"`
	// What may be answered: text, email, tel, url, date (2026-12-31), number, select (one
	// of the options) or check (a box to tick). A number becomes a number, a box true or
	// false, everything else text.
	Type string `json:"type"`
	// What stands beside it; default: the name of the attribute.
	Label string `json:"label,omitempty"`
	// It may stay empty; then the user does not get the attribute. A box that is not
	// optional must be ticked.
	Optional bool `json:"optional,omitempty"`
	// A regular expression (RE2) that the whole answer must match; default: none.
	Pattern string `json:"pattern,omitempty"`
	// What is said when it does not; default: the page's own words.
	Hint string `json:"hint,omitempty"`
	// The most characters; default 200, at most 2000.
	Max int `json:"max,omitempty"`
	// What a select may choose from.
	Options []string `json:"options,omitempty"`

	pattern *regexp.Regexp
}

const (
	defaultMax = 200
	largestMax = 2000
	maxOptions = 500
)

var (
	types          = []string{"text", "email", "tel", "url", "date", "number", "select", "check"}
	validAttribute = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)
	number         = regexp.MustCompile(`^-?[0-9]{1,15}(\.[0-9]{1,15})?$`)
	telephone      = regexp.MustCompile(`^\+?[0-9][0-9 ()./-]{2,29}$`)
)

// wrong are the codes of what is said of an answer that is none of its type.
var wrong = map[string]string{
	"email": "field_email", "tel": "field_tel", "url": "field_url", "date": "field_date",
	"number": "field_number", "select": "field_select", "check": "field_required",
}

// ours are fields that every page of the hall sends.
var ours = []string{"token", "step", "serial", "kept"}

func (d *Field) validate() error {
	switch {
	case !validAttribute.MatchString(d.Attribute):
		return fmt.Errorf("form: '%s' cannot name an attribute: letters, digits, _ and -", d.Attribute)
	case slices.Contains(flows.ReservedAttributes, d.Attribute):
		return fmt.Errorf("form: user.%s is reserved, as are: %s: what people type is nobody's word for it", d.Attribute, strings.Join(flows.ReservedAttributes, ", "))
	case slices.Contains(ours, d.Attribute):
		return fmt.Errorf("form: a field cannot be called '%s', the page has one of that name; nor: %s", d.Attribute, strings.Join(ours, ", "))
	case !slices.Contains(types, d.Type):
		return fmt.Errorf("form: field %s cannot be '%s'; there are: %s", d.Attribute, d.Type, strings.Join(types, ", "))
	case d.Max < 0 || d.Max > largestMax:
		return fmt.Errorf("form: field %s: max is at most %d", d.Attribute, largestMax)
	case d.Type == "select" && len(d.Options) == 0:
		return fmt.Errorf("form: field %s has nothing to choose from; as in: options sales finance", d.Attribute)
	case d.Type != "select" && len(d.Options) > 0:
		return fmt.Errorf("form: only a select has options; field %s is %s", d.Attribute, d.Type)
	case len(d.Options) > maxOptions:
		return fmt.Errorf("form: field %s has %d options; at most %d are offered", d.Attribute, len(d.Options), maxOptions)
	case (d.Type == "select" || d.Type == "check") && (d.Pattern != "" || d.Max != 0):
		return fmt.Errorf("form: field %s is %s: it takes neither pattern nor max", d.Attribute, d.Type)
	case d.Hint != "" && d.Pattern == "":
		return fmt.Errorf("form: field %s has a hint but no pattern", d.Attribute)
	}
	for i, o := range d.Options {
		if o == "" || utf8.RuneCountInString(o) > defaultMax || slices.Contains(d.Options[:i], o) {
			return fmt.Errorf("form: field %s: option '%s' is empty, too long or there twice", d.Attribute, o)
		}
	}
	return d.compile()
}

// compile reads the pattern, which speaks of the whole answer as in HTML.
func (d *Field) compile() (err error) {
	if d.Pattern == "" {
		return nil
	}
	if _, err = regexp.Compile(d.Pattern); err == nil {
		d.pattern, err = regexp.Compile("^(?:" + d.Pattern + ")$")
	}
	if err != nil {
		return fmt.Errorf("form: field %s: pattern: %w", d.Attribute, err)
	}
	return nil
}

func (d *Field) max() int {
	if d.Max == 0 {
		return defaultMax
	}
	return d.Max
}

// tidy takes away what people do not see that they typed.
func (d *Field) tidy(typed string) string {
	if d.Type == "select" {
		return typed
	}
	return strings.TrimSpace(typed)
}

// judge answers what an answer is worth as an attribute, nil for an empty one, or
// the code of what is wrong with it. Whatever a browser checked is checked again.
func (d *Field) judge(typed string) (v any, problem string) {
	if typed == "" {
		switch {
		case !d.Optional:
			return nil, "field_required"
		case d.Type == "check":
			return false, ""
		}
		return nil, ""
	}
	switch {
	case utf8.RuneCountInString(typed) > d.max() && d.Type != "select":
		return nil, "field_long"
	case !utf8.ValidString(typed) || strings.ContainsFunc(typed, unicode.IsControl):
		return nil, "field_text"
	}
	if v, ok := d.value(typed); !ok {
		return nil, wrong[d.Type]
	} else if d.pattern != nil && !d.pattern.MatchString(typed) {
		return nil, "field_pattern"
	} else {
		return v, ""
	}
}

func (d *Field) value(typed string) (any, bool) {
	switch d.Type {
	case "email":
		a, err := mail.ParseAddress(typed)
		return typed, err == nil && a.Address == typed && len(typed) <= 254
	case "tel":
		return typed, telephone.MatchString(typed)
	case "url":
		u, err := url.Parse(typed)
		return typed, err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil
	case "date":
		_, err := time.Parse(time.DateOnly, typed)
		return typed, err == nil
	case "number":
		n, err := strconv.ParseFloat(typed, 64)
		return n, err == nil && number.MatchString(typed) && !math.IsInf(n, 0)
	case "select":
		return typed, slices.Contains(d.Options, typed)
	case "check":
		return true, typed == "1"
	}
	return typed, true
}

// known is what stands in the field at first: what is known already, where the
// answer may replace it.
func (d *Field) known(u *flows.User) string {
	v, _ := u.Attribute(d.Attribute)
	switch v := v.(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case bool:
		if v && d.Type == "check" {
			return "1"
		}
	}
	return ""
}

// widget is the field, with what is wrong with its answer. The first that is wrong has the focus.
func (d *Field) widget(value, problem string, first bool) flows.Widget {
	if problem == "field_pattern" && d.Hint != "" {
		problem = d.Hint
	}
	label := d.Label
	if label == "" {
		label = d.Attribute
	}
	switch d.Type {
	case "select":
		w := flows.Select{Name: d.Attribute, Label: label, Value: value, Optional: d.Optional, Problem: problem, Autofocus: first}
		for _, o := range d.Options {
			w.Options = append(w.Options, flows.Entry{Value: o, Label: o})
		}
		return w
	case "check":
		return flows.Check{Name: d.Attribute, Label: label, Checked: value == "1", Optional: d.Optional, Problem: problem, Autofocus: first}
	}
	w := flows.Field{Name: d.Attribute, Label: label, Value: value, Type: d.Type, Optional: d.Optional, Max: d.max(), Problem: problem, Autofocus: first}
	if d.Type == "email" || d.Type == "tel" || d.Type == "url" {
		w.Autocomplete = d.Type
	}
	return w
}
