package jwt

import "fmt"

// At follows a dotted path. A claim that has the very name, dots and all, comes
// first: many claims are named by URLs.
func At(claims map[string]any, path string) any {
	if v, ok := claims[path]; ok {
		return v
	}
	for i := len(path) - 1; i > 0; i-- { // the longest name that is there, then inside
		if path[i] != '.' {
			continue
		}
		if inner, ok := claims[path[:i]].(map[string]any); ok {
			return At(inner, path[i+1:])
		}
	}
	return nil
}

// Texts makes a list of texts; one text is a list of one. Anything else in it is
// an error, not silently fewer groups.
func Texts(v any) ([]string, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		return []string{v}, nil
	case []any:
		out := make([]string, 0, len(v))
		for _, e := range v {
			s, ok := e.(string)
			if !ok {
				return nil, fmt.Errorf("the list holds a %T", e)
			}
			out = append(out, s)
		}
		return out, nil
	}
	return nil, fmt.Errorf("is a %T, not a list", v)
}
