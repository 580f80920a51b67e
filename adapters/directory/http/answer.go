package http

import (
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/sallyport-gateway/sallyport/flows"
)

// person finds the one object in an answer.
func person(all any, path, by, value string) (flows.Attributes, error) {
	at, more := all, partial(all)
	for _, name := range steps(path) {
		switch in := at.(type) {
		case map[string]any:
			at, more = in[name], more || partial(in)
		case []any:
			n, err := strconv.Atoi(name)
			if err != nil {
				return nil, unavailable(fmt.Errorf("json_path %s: '%s' is no place in a list", path, name))
			}
			if len(in) > 1 {
				return nil, fmt.Errorf("%w: the service answers %d", flows.ErrAmbiguous, len(in))
			}
			if at = nil; n >= 0 && n < len(in) {
				at = in[n]
			}
		case nil:
			return nil, flows.ErrNotFound
		default:
			return nil, unavailable(fmt.Errorf("json_path %s: there is no '%s' in a %T", path, name, at))
		}
	}
	if list, ok := at.([]any); ok {
		switch len(list) {
		case 0:
			return nil, flows.ErrNotFound
		case 1:
			at = list[0]
		default:
			return nil, fmt.Errorf("%w: the service answers %d", flows.ErrAmbiguous, len(list))
		}
	}
	switch one := at.(type) {
	case nil:
		return nil, flows.ErrNotFound
	case map[string]any:
		if more {
			return nil, fmt.Errorf("%w: the service has more to say than it answers at once", flows.ErrAmbiguous)
		}
		// A service that knows no such parameter may answer somebody.
		if is, ok := one[by].(string); ok && !strings.EqualFold(is, value) {
			return nil, unavailable(errors.New("the service answers about somebody else"))
		}
		return maps.Clone(one), nil
	}
	return nil, unavailable(fmt.Errorf("json_path %s leads to a %T, not to a person", path, at))
}

// partial reports that an object is one page of several (OData, SCIM).
func partial(v any) bool {
	m, ok := v.(map[string]any)
	if !ok {
		return false
	}
	next, _ := m["@odata.nextLink"].(string)
	total, _ := m["totalResults"].(float64)
	return next != "" || total > 1
}

// steps reads value.0, $.value[0] and value[0] alike.
func steps(path string) []string {
	path = strings.TrimPrefix(strings.TrimPrefix(path, "$"), ".")
	path = strings.NewReplacer("[", ".", "]", "").Replace(path)
	return strings.FieldsFunc(path, func(r rune) bool { return r == '.' })
}
