package module

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
)

// readMessage reads a form that may hold a whole signed message.
func (v *visit) readMessage() (url.Values, int, error) {
	if typ, _, _ := mime.ParseMediaType(v.r.Header.Get("Content-Type")); typ != "application/x-www-form-urlencoded" {
		return nil, http.StatusUnsupportedMediaType, fmt.Errorf("a form is expected, not %q", typ)
	}
	b, err := v.ownBody(maxMessage)
	if err != nil {
		return nil, bodyStatus(err), fmt.Errorf("reading a message: %w", err)
	}
	values, err := url.ParseQuery(string(b))
	if err != nil {
		return nil, http.StatusBadRequest, fmt.Errorf("reading a message: %w", err)
	}
	return values, 0, nil
}

// readForm reads a form or a JSON object of strings, at most 64 KiB.
func (v *visit) readForm() (url.Values, int, error) {
	b, err := v.ownBody(maxBody)
	if err != nil {
		return nil, bodyStatus(err), fmt.Errorf("reading a form: %w", err)
	}
	typ, _, _ := mime.ParseMediaType(v.r.Header.Get("Content-Type"))
	switch typ {
	case "application/x-www-form-urlencoded":
		values, err := url.ParseQuery(string(b))
		if err != nil {
			return nil, http.StatusBadRequest, fmt.Errorf("reading a form: %w", err)
		}
		return values, 0, nil
	case "application/json":
		var m map[string]any
		if err := json.Unmarshal(b, &m); err != nil {
			return nil, http.StatusBadRequest, fmt.Errorf("reading JSON: %w", err)
		}
		values := url.Values{}
		for k, x := range m {
			switch x := x.(type) {
			case string:
				values.Set(k, x)
			case float64:
				values.Set(k, strconv.FormatFloat(x, 'f', -1, 64))
			default:
				return nil, http.StatusBadRequest, fmt.Errorf("field %s is neither text nor a number", k)
			}
		}
		return values, 0, nil
	}
	return nil, http.StatusUnsupportedMediaType, fmt.Errorf("a form is expected, not %q", typ)
}

func one(v url.Values, name string) string {
	if len(v[name]) != 1 {
		return ""
	}
	return v[name][0]
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return n
}

func equalToken(a, b string) bool {
	return b != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}
