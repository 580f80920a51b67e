package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// names checks every name of a parsed expression against what exists, turns
// user["x-y"] into a field, and notes the policies and loops in it.
type names struct {
	env      *Env
	info     *ast.SourceInfo
	errs     *common.Errors
	policies []string
	loops    bool
}

// typeNames are identifiers that CEL itself knows.
var typeNames = []string{"bool", "bytes", "double", "duration", "google", "int", "list", "map", "net", "null_type", "string", "timestamp", "type", "uint"}

func (n *names) report(e ast.Expr, format string, args ...any) {
	n.errs.ReportErrorAtID(e.ID(), n.info.GetStartLocation(e.ID()), "%s", fmt.Sprintf(format, args...))
}

func (n *names) visit(e ast.Expr, bound []string) {
	switch e.Kind() {
	case ast.IdentKind:
		n.ident(e, bound)
	case ast.SelectKind:
		sel := e.AsSelect()
		if root := rootOf(sel.Operand(), bound); root != "" {
			n.field(e, root, sel.FieldName())
			return
		}
		n.visit(sel.Operand(), bound)
	case ast.CallKind:
		n.call(e, bound)
	case ast.ComprehensionKind:
		n.loop(e.AsComprehension(), bound)
	case ast.StructKind:
		n.report(e, "a condition cannot make a %s", e.AsStruct().TypeName())
	default:
		for _, c := range children(e) {
			n.visit(c, bound)
		}
	}
}

// rootOf is the object that an expression is, "" for anything else.
func rootOf(e ast.Expr, bound []string) string {
	if e.Kind() != ast.IdentKind || slices.Contains(bound, e.AsIdent()) {
		return ""
	}
	name := strings.TrimPrefix(e.AsIdent(), ".")
	if _, ok := objects[name]; ok {
		return name
	}
	return ""
}

func (n *names) ident(e ast.Expr, bound []string) {
	name := strings.TrimPrefix(e.AsIdent(), ".")
	switch {
	case slices.Contains(bound, e.AsIdent()), name == "now", slices.Contains(typeNames, name):
	case objects[name] != nil:
		n.report(e, "'%s' cannot be used as a whole; name what you want of it%s", name, n.fieldsOf(name))
	default:
		n.report(e, "unknown name '%s'; there are: %s", name, strings.Join(append(slices.Sorted(maps.Keys(objects)), "now"), ", "))
	}
}

func (n *names) field(e ast.Expr, root, field string) {
	switch root {
	case "user":
		return
	case "policy":
		if !slices.Contains(n.env.names, field) {
			n.report(e, "%s", n.env.unknown(field))
			return
		}
		n.policies = append(n.policies, field)
	default:
		if _, ok := objects[root][field]; !ok {
			n.report(e, "'%s' has no '%s'%s", root, field, n.fieldsOf(root))
		}
	}
}

func (n *names) fieldsOf(root string) string {
	fields := slices.Sorted(maps.Keys(objects[root]))
	if root == "policy" {
		fields = n.env.names
	}
	if len(fields) == 0 {
		return ""
	}
	return "; there are: " + root + "." + strings.Join(fields, ", "+root+".")
}

func (n *names) call(e ast.Expr, bound []string) {
	c := e.AsCall()
	if c.FunctionName() == operators.Index && len(c.Args()) == 2 {
		if root := rootOf(c.Args()[0], bound); root != "" {
			n.index(e, root, c.Args()[1])
			return
		}
	}
	if c.IsMemberFunction() {
		n.member(e, c, bound)
	}
	for _, a := range c.Args() {
		n.visit(a, bound)
	}
}

// index makes user["x-y"] the same as a field of that name.
func (n *names) index(e ast.Expr, root string, key ast.Expr) {
	if key.Kind() == ast.LiteralKind {
		if s, ok := key.AsLiteral().(types.String); ok {
			fac := ast.NewExprFactory()
			e.SetKindCase(fac.NewSelect(e.ID(), fac.NewIdent(key.ID(), root), string(s)))
			n.field(e, root, string(s))
			return
		}
	}
	n.report(e, "the name in %s[…] must be written out", root)
}

func (n *names) member(e ast.Expr, c ast.CallExpr, bound []string) {
	t := c.Target()
	if t.Kind() == ast.IdentKind && n.env.cel.HasFunction(t.AsIdent()+"."+c.FunctionName()) {
		return // a function in a name space: ip.isCanonical(…)
	}
	// Two values from outside multiply here: 64 KiB in 64 KiB is 4 GiB.
	grows := map[string]int{"replace": 1, "join": 0}
	if i, ok := grows[c.FunctionName()]; ok && len(c.Args()) > i && c.Args()[i].Kind() != ast.LiteralKind {
		n.report(e, "what %s inserts must be written out", c.FunctionName())
	}
	n.visit(t, bound)
}

func (n *names) loop(c ast.ComprehensionExpr, bound []string) {
	n.loops = true
	n.visit(c.IterRange(), bound)
	n.visit(c.AccuInit(), bound)
	inner := append(slices.Clone(bound), c.AccuVar())
	n.visit(c.Result(), inner)
	inner = append(inner, c.IterVar())
	if c.HasIterVar2() {
		inner = append(inner, c.IterVar2())
	}
	n.visit(c.LoopCondition(), inner)
	n.visit(c.LoopStep(), inner)
}

// children are the parts of lists and maps.
func children(e ast.Expr) []ast.Expr {
	var out []ast.Expr
	switch e.Kind() {
	case ast.ListKind:
		out = e.AsList().Elements()
	case ast.MapKind:
		for _, en := range e.AsMap().Entries() {
			out = append(out, en.AsMapEntry().Key(), en.AsMapEntry().Value())
		}
	case ast.StructKind, ast.UnspecifiedExprKind, ast.CallKind, ast.ComprehensionKind, ast.IdentKind, ast.LiteralKind, ast.SelectKind:
	}
	return out
}
