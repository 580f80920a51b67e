package policy

import (
	"maps"
	"slices"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
)

// set is a set of dotted names.
type set map[string]bool

func union(a, b set) set {
	if len(b) == 0 {
		return a
	}
	out := maps.Clone(b)
	maps.Copy(out, a)
	return out
}

func both(a, b set) set {
	out := set{}
	for n := range a {
		if b[n] {
			out[n] = true
		}
	}
	return out
}

// readsOf lists the names an expression reads without having tested them by
// has(), and those that are surely there when it is true or false. Names are cut
// to root and attribute: "user.department".
func (e *Env) readsOf(x ast.Expr) (reads []string, whenTrue, whenFalse set) {
	r := &reader{env: e, out: set{}}
	r.visit(x, nil, nil)
	whenTrue, whenFalse = r.tests(x, nil)
	return slices.Sorted(maps.Keys(r.out)), whenTrue, whenFalse
}

type reader struct {
	env *Env
	out set
}

// name is the dotted name of a direct field of one of our objects.
func name(e ast.Expr, bound []string) (root, full string) {
	if e.Kind() != ast.SelectKind {
		return "", ""
	}
	root = rootOf(e.AsSelect().Operand(), bound)
	return root, root + "." + e.AsSelect().FieldName()
}

// tests are the names known to be there when e is true, and when it is false.
func (r *reader) tests(e ast.Expr, bound []string) (whenTrue, whenFalse set) {
	if root, full := name(e, bound); root != "" {
		switch u := r.env.named[e.AsSelect().FieldName()]; {
		case root == "policy" && u != nil:
			return u.whenTrue, u.whenFalse
		case e.AsSelect().IsTestOnly():
			return set{full: true}, nil
		}
		return nil, nil
	}
	if e.Kind() != ast.CallKind {
		return nil, nil
	}
	args := e.AsCall().Args()
	switch e.AsCall().FunctionName() {
	case operators.LogicalNot:
		t, f := r.tests(args[0], bound)
		return f, t
	case operators.LogicalAnd:
		t0, f0 := r.tests(args[0], bound)
		t1, f1 := r.tests(args[1], bound)
		return union(t0, t1), both(f0, f1)
	case operators.LogicalOr:
		t0, f0 := r.tests(args[0], bound)
		t1, f1 := r.tests(args[1], bound)
		return both(t0, t1), union(f0, f1)
	}
	return nil, nil
}

// visit collects what is read where the names in safe are known to be there.
// && and || do not care for the order of their sides (CEL): has() guards from either.
func (r *reader) visit(e ast.Expr, bound []string, safe set) {
	switch e.Kind() {
	case ast.IdentKind:
		if e.AsIdent() == "now" && !slices.Contains(bound, "now") {
			r.out["now"] = true
		}
	case ast.SelectKind:
		r.field(e, bound, safe)
	case ast.CallKind:
		r.call(e.AsCall(), bound, safe)
	case ast.ComprehensionKind:
		c := e.AsComprehension()
		inner := append(slices.Clone(bound), c.AccuVar(), c.IterVar())
		if c.HasIterVar2() {
			inner = append(inner, c.IterVar2())
		}
		r.visit(c.IterRange(), bound, safe)
		r.visit(c.AccuInit(), bound, safe)
		for _, part := range []ast.Expr{c.LoopCondition(), c.LoopStep(), c.Result()} {
			r.visit(part, inner, safe)
		}
	default:
		for _, c := range children(e) {
			r.visit(c, bound, safe)
		}
	}
}

func (r *reader) field(e ast.Expr, bound []string, safe set) {
	root, full := name(e, bound)
	if root == "" {
		r.visit(e.AsSelect().Operand(), bound, safe)
		return
	}
	if u := r.env.named[e.AsSelect().FieldName()]; root == "policy" && u != nil {
		for _, n := range u.reads {
			if !safe[n] {
				r.out[n] = true
			}
		}
		return
	}
	if !e.AsSelect().IsTestOnly() && !safe[full] {
		r.out[full] = true
	}
}

func (r *reader) call(c ast.CallExpr, bound []string, safe set) {
	args := c.Args()
	switch c.FunctionName() {
	case operators.LogicalAnd:
		t0, _ := r.tests(args[0], bound)
		t1, _ := r.tests(args[1], bound)
		r.visit(args[0], bound, union(safe, t1))
		r.visit(args[1], bound, union(safe, t0))
	case operators.LogicalOr:
		_, f0 := r.tests(args[0], bound)
		_, f1 := r.tests(args[1], bound)
		r.visit(args[0], bound, union(safe, f1))
		r.visit(args[1], bound, union(safe, f0))
	case operators.Conditional:
		t, f := r.tests(args[0], bound)
		r.visit(args[0], bound, safe)
		r.visit(args[1], bound, union(safe, t))
		r.visit(args[2], bound, union(safe, f))
	default:
		if c.IsMemberFunction() {
			r.visit(c.Target(), bound, safe)
		}
		for _, a := range args {
			r.visit(a, bound, safe)
		}
	}
}
