// Package fields reads what stands in the query and the body of a request so strictly
// that whatever it answers is what every other program reads there (I20).
package fields

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/policy"
)

// MaxShown is the longest value that is shown to a person.
const MaxShown = 200

// Fields are what a person may read of a request before they approve it: all that
// stands in the query and on the first level of the body, in the order it came.
type Fields struct {
	all []field
	// opaque: there is a body that is neither a form nor JSON.
	opaque bool
}

type field struct {
	name, value string
	// scalar: it is one value, and no list or object.
	scalar bool
}

func unclear(format string, args ...any) error {
	return flows.Refuse(flows.ReasonUnclearFields, fmt.Errorf(format, args...))
}

// Of reads query and body strictly: what two parsers may read in two ways is an
// error.
func Of(query, contentType string, body []byte) (*Fields, error) {
	f := new(Fields)
	if err := f.form(query); err != nil {
		return nil, err
	}
	if len(body) == 0 {
		return f, nil
	}
	typ, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		f.opaque = true
		return f, nil
	}
	switch typ {
	case "application/x-www-form-urlencoded":
		if c := params["charset"]; c != "" && !strings.EqualFold(c, "utf-8") {
			return nil, unclear("a form in %q", c)
		}
		return f, f.form(string(body))
	case "application/json":
		if c := params["charset"]; c != "" && !strings.EqualFold(c, "utf-8") {
			return nil, unclear("JSON in %q", c)
		}
		return f, f.json(body)
	}
	f.opaque = true
	return f, nil
}

// form adds what stands in a query or form. A semicolon separates for some programs
// and for others not, so it is refused with what is malformed.
func (f *Fields) form(text string) error {
	if _, err := url.ParseQuery(text); err != nil {
		return unclear("a query or form that can be read in two ways")
	}
	for pair := range strings.SplitSeq(text, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err == nil {
			value, err = url.QueryUnescape(value)
		}
		if err != nil {
			return unclear("a query or form that can be read in two ways")
		}
		f.all = append(f.all, field{name, value, true})
	}
	return nil
}

// json adds the keys of an object. Doubled keys are refused at every depth: parsers
// disagree about which one counts (RFC 8259 §4).
func (f *Fields) json(body []byte) error {
	if !utf8.Valid(body) {
		return unclear("JSON that is no UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	v, err := strictValue(d, 0)
	if err != nil {
		return unclear("JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return unclear("something follows the JSON")
	}
	top, ok := v.([]field)
	if !ok {
		f.opaque = true // a list, or one value: it has no fields
		return nil
	}
	f.all = append(f.all, top...)
	return nil
}

// strictValue reads one value: the fields of an object, a string of what is one
// value, or nil of a list.
func strictValue(d *json.Decoder, depth int) (any, error) {
	if depth > 64 {
		return nil, errors.New("nested too deeply")
	}
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Delim:
		if t == '[' {
			for d.More() {
				if _, err := strictValue(d, depth+1); err != nil {
					return nil, err
				}
			}
			_, err = d.Token()
			return nil, err
		}
		return strictObject(d, depth)
	case string:
		return t, nil
	case json.Number:
		return t.String(), nil // as it is written: nobody's rounding
	case bool:
		return strconv.FormatBool(t), nil
	}
	return nil, nil
}

func strictObject(d *json.Decoder, depth int) ([]field, error) {
	list := []field{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		k, _ := t.(string)
		if slices.ContainsFunc(list, func(o field) bool { return o.name == k }) {
			return nil, fmt.Errorf("key %q occurs twice", k)
		}
		v, err := strictValue(d, depth+1)
		if err != nil {
			return nil, err
		}
		s, scalar := v.(string)
		list = append(list, field{k, s, scalar})
	}
	_, err := d.Token()
	return list, err
}

// Overridden refuses a field by which frameworks take another method.
func (f *Fields) Overridden() error {
	if slices.ContainsFunc(f.all, func(o field) bool { return policy.Folded(o.name) == policy.Folded("_method") }) {
		return flows.Refuse(flows.ReasonNotApprovable, errors.New("a field _method names another method"))
	}
	return nil
}

// Only answers the value of a field that occurs exactly once, in this very spelling.
// A second one that some programs take for the same is refused, too: `Amount`,
// `amount[]` (I20).
func (f *Fields) Only(name string) (string, error) {
	if f.opaque {
		return "", unclear("the body is neither a form nor a JSON object, and %s may stand in it", name)
	}
	var found *field
	for i := range f.all {
		o := &f.all[i]
		switch {
		case o.name == name && found == nil:
			found = o
		case policy.Folded(o.name) == policy.Folded(name):
			return "", unclear("%s occurs more than once, or in another spelling", name)
		}
	}
	switch {
	case found == nil:
		return "", unclear("%s is missing", name)
	case !found.scalar:
		return "", unclear("%s is not one value", name)
	case len(found.value) > MaxShown || !utf8.ValidString(found.value):
		return "", unclear("%s is too long to be shown, or no text", name)
	case strings.ContainsFunc(found.value, func(r rune) bool { return !unicode.IsGraphic(r) }):
		return "", unclear("%s holds characters that hide or turn text", name)
	}
	return found.value, nil
}
