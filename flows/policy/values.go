package policy

import (
	"errors"
	"reflect"
	"slices"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// words is a list of strings whose `in` compares Go strings: 300 groups cost no
// allocation. It is part of a view and ends with it; CEL's own list is made when
// somebody does anything else with it.
type words struct {
	s     []string
	whole traits.Lister
}

func (v *view) list(w *words, s []string) ref.Val {
	w.s, w.whole = s, nil
	return w
}

func (w *words) lister() traits.Lister {
	if w.whole == nil {
		w.whole = types.NewStringList(types.DefaultTypeAdapter, w.s)
	}
	return w.whole
}

// Contains implements `in`.
func (w *words) Contains(v ref.Val) ref.Val {
	if s, ok := v.(types.String); ok {
		return types.Bool(slices.Contains(w.s, string(s)))
	}
	return w.lister().Contains(v)
}

// Add implements traits.Adder.
func (w *words) Add(other ref.Val) ref.Val { return w.lister().Add(other) }

// Get implements traits.Indexer.
func (w *words) Get(i ref.Val) ref.Val { return w.lister().Get(i) }

// Iterator implements traits.Iterable.
func (w *words) Iterator() traits.Iterator { return w.lister().Iterator() }

// Size implements traits.Sizer.
func (w *words) Size() ref.Val { return types.Int(len(w.s)) }

// Equal implements ref.Val.
func (w *words) Equal(other ref.Val) ref.Val { return w.lister().Equal(other) }

// Type implements ref.Val.
func (w *words) Type() ref.Type { return types.ListType }

// Value implements ref.Val.
func (w *words) Value() any { return w.lister().Value() }

// ConvertToType implements ref.Val.
func (w *words) ConvertToType(t ref.Type) ref.Val { return w.lister().ConvertToType(t) }

// ConvertToNative implements ref.Val.
func (w *words) ConvertToNative(t reflect.Type) (any, error) { return w.lister().ConvertToNative(t) }

var _ traits.Lister = (*words)(nil)

// dict is a map that looks names up when they are asked for, and is built only
// when somebody walks over it.
type dict struct {
	find func(string) (ref.Val, bool)
	all  func() map[ref.Val]ref.Val
}

var _ traits.Mapper = (*dict)(nil)

func newDict(find func(string) (ref.Val, bool), all func() map[ref.Val]ref.Val) *dict {
	return &dict{find, all}
}

func (d *dict) whole() traits.Mapper { return types.NewRefValMap(types.DefaultTypeAdapter, d.all()) }

// Find implements traits.Mapper.
func (d *dict) Find(k ref.Val) (ref.Val, bool) {
	s, ok := k.(types.String)
	if !ok {
		return nil, false
	}
	return d.find(string(s))
}

// Get implements traits.Indexer.
func (d *dict) Get(k ref.Val) ref.Val {
	v, ok := d.Find(k)
	if !ok && v == nil {
		return types.NewErr("no such key: %v", k)
	}
	return v
}

// Contains implements `in`.
func (d *dict) Contains(k ref.Val) ref.Val {
	v, ok := d.Find(k)
	if types.IsError(v) {
		return v
	}
	return types.Bool(ok)
}

// Iterator implements traits.Iterable.
func (d *dict) Iterator() traits.Iterator { return d.whole().Iterator() }

// Size implements traits.Sizer.
func (d *dict) Size() ref.Val { return d.whole().Size() }

// Equal implements ref.Val.
func (d *dict) Equal(other ref.Val) ref.Val { return d.whole().Equal(other) }

// Type implements ref.Val.
func (d *dict) Type() ref.Type { return types.MapType }

// Value implements ref.Val.
func (d *dict) Value() any { return d.all() }

// ConvertToType implements ref.Val.
func (d *dict) ConvertToType(t ref.Type) ref.Val { return d.whole().ConvertToType(t) }

// ConvertToNative implements ref.Val.
func (d *dict) ConvertToNative(reflect.Type) (any, error) {
	return nil, errors.New("not a native value")
}
