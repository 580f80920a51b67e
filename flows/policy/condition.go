package policy

import (
	"errors"
	"fmt"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/sallyport-gateway/sallyport/flows"
)

// What one evaluation may cost. Only an expression with a loop (all, exists,
// map …) can become slow; it is counted and interrupted, the others are bounded
// by their own length and run without that overhead.
const (
	costLimit  = 20_000
	timeLimit  = 35 * time.Millisecond
	regexLimit = 2000
)

// unit is one compiled text.
type unit struct {
	prog   cel.Program
	source string
	loops  bool
	fixed  bool // it names nothing
	index  int  // of a named policy: its place in Env.names
	reads  []string
	// names that are surely there when it is true or false: what it tested with has().
	whenTrue, whenFalse set
}

// Reads are the names that must be there: "user.department", "risk.score".
func (u *unit) Reads() []string { return u.reads }

// Source is the file and line.
func (u *unit) Source() string { return u.source }

func (u *unit) eval(v *view) (ref.Val, error) {
	var out ref.Val
	var err error
	if u.loops {
		ctx := v.deadline()
		if err := ctx.Err(); err != nil { // used up by the policies before this one
			return nil, fmt.Errorf("%s%w", at(u.source), err)
		}
		out, _, err = u.prog.ContextEval(ctx, v)
	} else {
		out, _, err = u.prog.Eval(v)
	}
	if err != nil {
		return nil, fmt.Errorf("%s%w", at(u.source), err)
	}
	return out, nil
}

func (u *unit) holds(v *view) (bool, error) {
	out, err := u.eval(v)
	if err != nil {
		return false, err
	}
	b, ok := out.(types.Bool)
	if !ok {
		return false, fmt.Errorf("%sthe condition is neither true nor false but %s", at(u.source), out.Type())
	}
	return bool(b), nil
}

type condition struct {
	*unit
	env *Env
}

// Holds evaluates the condition. An error denies (I22).
func (c condition) Holds(f *flows.Facts) (bool, error) {
	v := newView(c.env, f)
	ok, err := c.holds(v)
	v.close()
	return ok && err == nil, err
}

// Constant reports whether nothing that it is asked about changes it, and what it is.
func (c condition) Constant() (holds, constant bool) {
	if !c.fixed {
		return false, false
	}
	ok, err := c.Holds(new(flows.Facts))
	return ok, err == nil
}

type expression struct {
	*unit
	env *Env
}

// Value evaluates the expression to a string, bool, float64, []any or
// map[string]any; times become RFC 3339, durations as "5m0s".
func (x expression) Value(f *flows.Facts) (any, error) {
	v := newView(x.env, f)
	defer v.close()
	out, err := x.eval(v)
	if err != nil {
		return nil, err
	}
	val, err := native(out, 0)
	if err != nil {
		return nil, fmt.Errorf("%s%w", at(x.source), err)
	}
	return val, nil
}

// native copies a CEL value into what an attribute may hold, so that nothing
// of the evaluation or of another user's maps lives on in it.
func native(v ref.Val, depth int) (any, error) {
	if depth > 16 {
		return nil, errors.New("the value is nested too deeply")
	}
	switch t := v.(type) {
	case types.String:
		return string(t), nil
	case types.Bool:
		return bool(t), nil
	case types.Int:
		return float64(t), nil
	case types.Uint:
		return float64(t), nil
	case types.Double:
		return float64(t), nil
	case types.Timestamp:
		return t.UTC().Format(time.RFC3339), nil
	case types.Duration:
		return t.String(), nil
	case traits.Mapper:
		return nativeMap(t, depth)
	case traits.Lister:
		out := []any{}
		for it := t.Iterator(); it.HasNext() == types.True; {
			e, err := native(it.Next(), depth+1)
			if err != nil {
				return nil, err
			}
			out = append(out, e)
		}
		return out, nil
	}
	if types.IsError(v) {
		return nil, v.(*types.Err)
	}
	return nil, fmt.Errorf("an attribute cannot hold a %s", v.Type())
}

func nativeMap(m traits.Mapper, depth int) (any, error) {
	out := map[string]any{}
	for it := m.Iterator(); it.HasNext() == types.True; {
		k := it.Next()
		name, ok := k.(types.String)
		if !ok {
			return nil, fmt.Errorf("an attribute's map has names, not a %s", k.Type())
		}
		e, err := native(m.Get(k), depth+1)
		if err != nil {
			return nil, err
		}
		out[string(name)] = e
	}
	return out, nil
}
