package sallyport_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// flowstest.Skip decides who may skip, for all: any other skip would go unseen in CI.
func TestOneHelperSkips(t *testing.T) {
	t.Parallel()
	for _, name := range append(sources(t), testSources(t)...) {
		if name == "flows/flowstest/skip.go" {
			continue
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range skips(file) {
			t.Errorf("%s: use flowstest.Skip, with which CI=true fails", set.Position(call.Pos()))
		}
	}
}

func TestASkipIsFound(t *testing.T) {
	t.Parallel()
	for _, call := range []string{"t.Skip()", "tb.Skipf(\"\")", "b.SkipNow()"} {
		file, err := parser.ParseFile(token.NewFileSet(), "", "package x\nfunc x() { if true { "+call+" } }", parser.SkipObjectResolution)
		if err != nil || len(skips(file)) != 1 {
			t.Errorf("%s: not found, %v", call, err)
		}
	}
}

// skips are the calls of Skip, Skipf and SkipNow of a testing.T, B, F or TB.
func skips(file *ast.File) (found []ast.Node) {
	ast.Inspect(file, func(n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		if !ok || !slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, s.Sel.Name) {
			return true
		}
		if of, ok := s.X.(*ast.Ident); ok && slices.Contains(strings.Fields("t b f tb"), of.Name) {
			found = append(found, n)
		}
		return true
	})
	return found
}
