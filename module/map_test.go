package module

import (
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strings"
	"testing"
)

// Who looks for something finds its file by doc.go, which names each once.
func TestTheMapNamesEveryFile(t *testing.T) {
	t.Parallel()
	doc, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	for _, item := range strings.Split(doc.Doc.Text(), "\n  - ")[1:] {
		names, _, _ := strings.Cut(item, ":")
		named = append(named, strings.Split(strings.Join(strings.Fields(names), " "), ", ")...)
	}
	slices.Sort(named)
	var files []string
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name, isGo := strings.CutSuffix(e.Name(), ".go")
		if isGo && name != "doc" && !strings.HasSuffix(name, "_test") {
			files = append(files, name)
		}
	}
	for _, name := range files {
		if !slices.Contains(named, name) {
			t.Errorf("doc.go says nothing of %s.go", name)
		}
	}
	for i, name := range named {
		switch {
		case !slices.Contains(files, name):
			t.Errorf("doc.go names %s.go, which is not there", name)
		case i > 0 && named[i-1] == name:
			t.Errorf("doc.go names %s.go twice", name)
		}
	}
}
