package policy

import (
	"context"
	"fmt"
	"net/textproto"
	"strings"
	"sync"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"

	"github.com/sallyport-gateway/sallyport/flows"
)

// view is one evaluation: the facts, looked up when a name is read and not before.
type view struct {
	env    *Env
	f      *flows.Facts
	known  []answer // of named policies, by index
	ctx    context.Context
	cancel context.CancelFunc
	// lists that conditions on every request read, here so that they allocate nothing.
	groups, amr words
	docs        *documents
}

// views are used again: an evaluation leaves nothing behind that looks into one.
var views = sync.Pool{New: func() any { return new(view) }}

type answer struct {
	done, ok bool
	err      error
}

var (
	_ interpreter.Activation = (*view)(nil)
	// Facts and requests of nobody; never written.
	noFacts   flows.Facts
	noRequest flows.Request
)

func newView(e *Env, f *flows.Facts) *view {
	if f == nil {
		f = &noFacts
	}
	v := views.Get().(*view)
	v.env, v.f = e, f
	return v
}

func (v *view) close() {
	if v.cancel != nil {
		v.cancel()
	}
	*v = view{}
	views.Put(v)
}

// deadline bounds this evaluation and all policies it refers to together.
func (v *view) deadline() context.Context {
	if v.ctx == nil {
		v.ctx, v.cancel = context.WithTimeout(context.Background(), timeLimit)
	}
	return v.ctx
}

// ResolveName answers CEL's question for a root name.
func (v *view) ResolveName(name string) (any, bool) {
	if name == "now" {
		return types.Timestamp{Time: v.f.Now}, true
	}
	if _, ok := objects[name]; ok {
		return v, true
	}
	return nil, false
}

// Parent of a view is nothing.
func (v *view) Parent() interpreter.Activation { return nil }

// policy evaluates a named policy, once however often it is named: a few
// policies that name each other twice would otherwise double the work at every level.
func (v *view) policy(name string) (any, error) {
	u := v.env.named[name]
	if u == nil {
		return nil, fmt.Errorf("policy %s is not loaded", name)
	}
	if v.known == nil {
		v.known = make([]answer, len(v.env.names))
	}
	a := &v.known[u.index]
	if !a.done {
		a.ok, a.err = u.holds(v)
		a.done = true
	}
	if a.err != nil {
		return nil, fmt.Errorf("policy %s: %w", name, a.err)
	}
	return types.Bool(a.ok), nil
}

func (v *view) request() *flows.Request {
	if v.f.Request == nil {
		return &noRequest
	}
	return v.f.Request
}

// login is the newest evidence that came from a provider.
func (v *view) login() flows.Evidence {
	var out flows.Evidence
	for _, e := range v.f.Evidence {
		if e.Counts() && e.Provider != "" && (out.Provider == "" || !e.At.Before(out.At)) {
			out = e
		}
	}
	return out
}

// fallback is true once any part of this login was one: what came later stands on it (I23).
func (v *view) fallback() bool {
	return flows.FellBack(v.f.Evidence)
}

// proves tells whether evidence says when the person last proved who they are:
// not what was enrolled just now, which proves nothing about who enrolled it (I03).
func proves(e *flows.Evidence) bool { return e.Counts() && e.Kind != flows.EnrolledNow }

// age is how old the newest proof is.
func (v *view) age() time.Duration {
	age := tenYears
	for i := range v.f.Evidence {
		if e := &v.f.Evidence[i]; proves(e) {
			age = min(age, max(v.f.Now.Sub(e.At), 0))
		}
	}
	return age
}

// factorAges answers for every name.
func (v *view) factorAges() ref.Val {
	one := func(name string) (ref.Val, bool) {
		age := tenYears
		for i := range v.f.Evidence {
			e := &v.f.Evidence[i]
			if proves(e) && e.Method == name {
				age = min(age, max(v.f.Now.Sub(e.At), 0))
			}
		}
		return types.Duration{Duration: age}, true
	}
	return newDict(one, func() map[ref.Val]ref.Val {
		all := map[ref.Val]ref.Val{}
		for _, e := range v.f.Evidence {
			all[types.String(e.Method)], _ = one(e.Method)
		}
		return all
	})
}

// header looks lines up by lower-case name; several are one, joined by ", " (RFC 9110 §5.3).
func (v *view) header() ref.Val {
	h := v.request().Header
	return newDict(func(name string) (ref.Val, bool) {
		lines, ok := h[textproto.CanonicalMIMEHeaderKey(name)]
		if !ok || len(lines) == 0 {
			return nil, false
		}
		return types.String(strings.Join(lines, ", ")), true
	}, func() map[ref.Val]ref.Val {
		all := map[ref.Val]ref.Val{}
		for k, lines := range h {
			all[types.String(strings.ToLower(k))] = types.String(strings.Join(lines, ", "))
		}
		return all
	})
}
