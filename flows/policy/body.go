package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// documents are what was read of a request's query and body, once an evaluation: a loop
// that asks for a field each time must not parse 64 KiB each time.
type documents struct {
	query, form, json document
}

type document struct {
	read bool
	val  ref.Val
	err  error
}

func (v *view) document(of func(*documents) *document, read func() (ref.Val, error)) (any, error) {
	if v.docs == nil {
		v.docs = new(documents)
	}
	d := of(v.docs)
	if !d.read {
		d.val, d.err = read()
		d.read = true
	}
	return d.val, d.err
}

func (v *view) query() (any, error) {
	return v.document(func(d *documents) *document { return &d.query }, func() (ref.Val, error) {
		q, err := url.ParseQuery(v.request().Query)
		if err != nil {
			return nil, fmt.Errorf("request.query: %w", err)
		}
		return once("request.query", q), nil
	})
}

func (v *view) form() (any, error) {
	return v.document(func(d *documents) *document { return &d.form }, func() (ref.Val, error) {
		b, err := v.body("application/x-www-form-urlencoded")
		if err != nil {
			return nil, fmt.Errorf("request.form: %w", err)
		}
		vals, err := url.ParseQuery(string(b))
		if err != nil {
			return nil, fmt.Errorf("request.form: %w", err)
		}
		return once("request.form", vals), nil
	})
}

func (v *view) json() (any, error) {
	return v.document(func(d *documents) *document { return &d.json }, func() (ref.Val, error) {
		b, err := v.body("application/json")
		if err != nil {
			return nil, fmt.Errorf("request.json: %w", err)
		}
		val, err := readJSON(b)
		if err != nil {
			return nil, fmt.Errorf("request.json: %w", err)
		}
		return types.DefaultTypeAdapter.NativeToValue(val), nil
	})
}

// body reads the request's body if it says it is of this type, and nothing that another
// program would have to decode first: what is packed hides what it says.
func (v *view) body(want string) ([]byte, error) {
	r := v.request()
	if r.Body == nil {
		return nil, errNoBody
	}
	for _, packed := range r.Header["Content-Encoding"] {
		if packed != "" && !strings.EqualFold(packed, "identity") {
			return nil, fmt.Errorf("the body has a content encoding, %q", packed)
		}
	}
	var ct string
	if lines := r.Header["Content-Type"]; len(lines) == 1 {
		ct = lines[0]
	}
	got, params, err := mime.ParseMediaType(ct)
	if err != nil || got != want {
		return nil, fmt.Errorf("the body is %q, not %s", ct, want)
	}
	if c := params["charset"]; c != "" && !strings.EqualFold(c, "utf-8") {
		return nil, fmt.Errorf("the body is in %q, not utf-8", c)
	}
	return r.Body()
}

func readJSON(b []byte) (any, error) {
	if !utf8.Valid(b) {
		return nil, errors.New("it is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	val, err := jsonValue(d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the value")
	}
	return val, nil
}

// jsonValue reads one value and refuses doubled keys: parsers disagree about
// which one counts (RFC 8259 §4), so the application might read the other.
func jsonValue(d *json.Decoder, depth int) (any, error) {
	if depth > 64 {
		return nil, errors.New("nested too deeply")
	}
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('['):
		list := []any{}
		for d.More() {
			e, err := jsonValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, e)
		}
		_, err = d.Token()
		return list, err
	case json.Delim('{'):
		return jsonObject(d, depth)
	}
	return t, nil
}

func jsonObject(d *json.Decoder, depth int) (any, error) {
	obj := map[string]any{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		k, _ := t.(string)
		if _, twice := obj[k]; twice {
			return nil, fmt.Errorf("key %q occurs twice", k)
		}
		if obj[k], err = jsonValue(d, depth+1); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return exact(obj), err
}

// exact shows the keys of an object in their own spelling. A name that occurs in another
// one, too, or only there, is an error on access: some programs ignore case, and would
// read what we did not look at.
func exact(obj map[string]any) ref.Val {
	spelled := make(map[string]int, len(obj))
	for k := range obj {
		spelled[foldCase(k)]++
	}
	value := func(v any) ref.Val { return types.DefaultTypeAdapter.NativeToValue(v) }
	return newDict(func(name string) (ref.Val, bool) {
		val, there := obj[name]
		switch n := spelled[foldCase(name)]; {
		case n == 0:
			return nil, false
		case n == 1 && there:
			return value(val), true
		}
		return types.NewErr("request.json: '%s' occurs in another spelling", name), false
	}, func() map[ref.Val]ref.Val {
		all := make(map[ref.Val]ref.Val, len(obj))
		for k, val := range obj {
			all[types.String(k)] = value(val)
		}
		return all
	})
}

// once shows names that occur once. One that occurs again, or in another spelling, is an
// error on access: the application may well take the value that we did not look at.
func once(what string, vals url.Values) ref.Val {
	spelled := make(map[string]int, len(vals))
	for name, got := range vals {
		spelled[Folded(name)] += len(got)
	}
	one := func(name string) (ref.Val, bool) {
		switch got, n := vals[name], spelled[Folded(name)]; {
		case n == 0:
			return nil, false
		case n == 1 && len(got) == 1:
			return types.String(got[0]), true
		}
		return types.NewErr("%s: '%s' occurs more than once, or in another spelling", what, name), false
	}
	return newDict(one, func() map[ref.Val]ref.Val {
		all := map[ref.Val]ref.Val{}
		for k := range vals {
			all[types.String(k)], _ = one(k)
		}
		return all
	})
}

// Folded is the name of a field as the least strict of programs read it: PHP takes blanks,
// dots and brackets for something else, others ignore case.
func Folded(name string) string {
	name, _, _ = strings.Cut(strings.TrimLeft(name, " "), "[")
	name, _, _ = strings.Cut(name, "\x00")
	return strings.Map(func(r rune) rune {
		if r == '.' || r == ' ' {
			return '_'
		}
		return foldRune(r)
	}, name)
}

func foldCase(name string) string { return strings.Map(foldRune, name) }

// foldRune is the least of the runes that are the same but for case.
func foldRune(r rune) rune {
	if r < 'A' { // folds with nothing
		return r
	}
	least := r
	for o := unicode.SimpleFold(r); o != r; o = unicode.SimpleFold(o) {
		least = min(least, o)
	}
	return least
}
