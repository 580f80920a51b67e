package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/url"

	"cel.dev/cel-go/common/types/ref"
)

// body reads the request's body if it says it is of this type.
func (v *view) body(want string) ([]byte, error) {
	r := v.request()
	if r.Body == nil {
		return nil, errNoBody
	}
	var ct string
	if lines := r.Header["Content-Type"]; len(lines) == 1 {
		ct = lines[0]
	}
	if got, _, err := mime.ParseMediaType(ct); err != nil || got != want {
		return nil, fmt.Errorf("the body is %q, not %s", ct, want)
	}
	return r.Body()
}

func (v *view) form() (ref.Val, error) {
	b, err := v.body("application/x-www-form-urlencoded")
	if err != nil {
		return nil, fmt.Errorf("request.form: %w", err)
	}
	vals, err := url.ParseQuery(string(b))
	if err != nil {
		return nil, fmt.Errorf("request.form: %w", err)
	}
	return once("request.form", vals), nil
}

func (v *view) json() (any, error) {
	b, err := v.body("application/json")
	if err != nil {
		return nil, fmt.Errorf("request.json: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	val, err := jsonValue(d, 0)
	if err != nil {
		return nil, fmt.Errorf("request.json: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("request.json: something follows the value")
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
	return obj, err
}
