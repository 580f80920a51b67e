package call

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The most that is taken of an answer.
const (
	maxAnswer = 64 << 10
	maxText   = 500  // characters that a person reads
	maxValue  = 2000 // bytes of one attribute
	maxList   = 100
)

// answer is what a service said.
type answer struct {
	deny       bool
	text       string
	branch     int // -1: none
	attributes map[string]any
}

// parse reads an answer. Member names are compared exactly, and those that are not
// known are not looked at; each that is must be as it should. No error holds what the
// service wrote: it goes into a log.
func (c *Call) parse(body []byte) (answer, error) {
	a := answer{branch: -1}
	if len(body) > maxAnswer {
		return a, fmt.Errorf("its answer is longer than %d KiB", maxAnswer>>10)
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(body, &m); err != nil || m == nil {
		return a, errors.New("its answer is no JSON object")
	}
	if raw, there := m["deny"]; there {
		if err := a.readDeny(raw); err != nil || a.deny {
			return a, err
		}
	}
	if raw, there := m["branch"]; there {
		var name string
		if json.Unmarshal(raw, &name) != nil || c.branch(name) < 0 {
			return a, errors.New("it chose a branch that there is not")
		}
		a.branch = c.branch(name)
	}
	var given map[string]json.RawMessage
	if raw, there := m["attributes"]; there {
		if err := json.Unmarshal(raw, &given); err != nil {
			return a, errors.New("its attributes are no JSON object")
		}
	}
	a.attributes = map[string]any{}
	for _, name := range c.Attributes {
		raw, there := given[name]
		v, ok := value(raw)
		if !there || !ok {
			return a, fmt.Errorf("it does not give %s as a text, a number, true or false, or a list of texts", name)
		}
		a.attributes[name] = v
	}
	return a, nil
}

// readDeny reads true, false or a text for the person.
func (a *answer) readDeny(raw json.RawMessage) error {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return errors.New("its deny cannot be read")
	}
	switch v := v.(type) {
	case bool:
		a.deny = v
	case string:
		if !readable(v, maxText) {
			return errors.New("its text is too long or has control characters")
		}
		a.deny, a.text = true, v
	default:
		return errors.New("its deny is neither true nor false nor a text")
	}
	return nil
}

// value reads an attribute.
func value(raw json.RawMessage) (any, bool) {
	var v any
	if len(raw) == 0 || json.Unmarshal(raw, &v) != nil {
		return nil, false
	}
	switch v := v.(type) {
	case bool:
		return v, true
	case float64:
		return v, !math.IsInf(v, 0)
	case string:
		return v, readable(v, maxValue)
	case []any:
		for _, e := range v {
			if s, ok := e.(string); !ok || !readable(s, maxValue) {
				return nil, false
			}
		}
		return v, len(v) <= maxList
	}
	return nil, false
}

func readable(s string, longest int) bool {
	return len(s) <= longest && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}
