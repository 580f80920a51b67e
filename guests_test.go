package sallyport_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	_ "github.com/sallyport-gateway/sallyport/cmd/standard"
)

var update = flag.Bool("update", false, "write the generated part of docs/<kind>/<name>.md")

// guest is one module of the namespaces below `identity`.
type guest struct {
	id, kind, name string // identity.providers.oidc: providers, oidc
	dir            string // adapters/idp/oidc
	typ            reflect.Type
}

// inlineKeys are the JSON keys that name a guest, by kind.
var inlineKeys = map[string]string{
	"providers": "type", "directories": "type", "messengers": "type", "signals": "type", "stores": "backend", "audit": "sink", "steps": "step", "headers": "name",
	"factors": "", // the kind itself is the key
}

func guests(t *testing.T) []guest {
	t.Helper()
	var all []guest
	for _, m := range caddy.Modules() {
		parts := strings.Split(m, ".")
		if parts[0] != "identity" || len(parts) != 3 {
			continue
		}
		info, err := caddy.GetModule(m)
		if err != nil {
			t.Fatal(err)
		}
		typ := reflect.TypeOf(info.New()).Elem()
		all = append(all, guest{m, parts[1], parts[2], strings.TrimPrefix(typ.PkgPath(), modulePath+"/"), typ})
	}
	if len(all) < 5 {
		t.Fatalf("only %d guests are linked", len(all))
	}
	return all
}

// guestDirs are the folders whose code registers a module, read from the tree.
func guestDirs(t *testing.T) []string {
	t.Helper()
	var dirs []string
	for _, name := range sources(t) {
		dir := path.Dir(name)
		if on, me := floorOf(dir); on != room || me != dir || slices.Contains(dirs, dir) {
			continue
		}
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(src), "caddy.RegisterModule(") {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// TestGuestsAreLinked wants a blank import in cmd/standard for every guest of
// the tree.
func TestGuestsAreLinked(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "cmd/standard/imports.go", nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	linked := map[string]bool{}
	for _, im := range file.Imports {
		p, _ := strconv.Unquote(im.Path.Value)
		linked[strings.TrimPrefix(p, modulePath+"/")] = im.Name != nil && im.Name.Name == "_"
	}
	for _, dir := range guestDirs(t) {
		if !linked[dir] {
			t.Errorf("%s registers a guest but has no blank import in cmd/standard", dir)
		}
	}
	for _, floor := range []string{"caddyfile", "module"} {
		if !linked[floor] {
			t.Errorf("%s has no blank import in cmd/standard", floor)
		}
	}
}

// TestGuestsHaveTests wants the conformance suite of its kind called for every
// guest that has one, and a test file of every other: in its own folder, or in
// the one above that imports it.
func TestGuestsHaveTests(t *testing.T) {
	for _, dir := range guestDirs(t) {
		tests, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		above, err := filepath.Glob(filepath.Join(path.Dir(dir), "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range above {
			if imports(t, f, modulePath+"/"+dir) {
				tests = append(tests, f)
			}
		}
		if len(tests) == 0 {
			t.Errorf("%s has no test file", dir)
			continue
		}
		suites := suitesOf(dir)
		if len(suites) > 0 && !slices.ContainsFunc(tests, func(f string) bool { return calls(t, f, suites) }) {
			t.Errorf("%s does not call flowstest.%s", dir, strings.Join(suites, " or flowstest."))
		}
	}
}

func imports(t *testing.T, file, pkg string) bool {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(f.Imports, func(im *ast.ImportSpec) bool { return im.Path.Value == strconv.Quote(pkg) })
}

// suitesOf names the conformance suites of a guest's folder, if flowstest has
// any for its kind: one of them must be called.
func suitesOf(dir string) []string {
	switch path.Dir(dir) {
	case "adapters/audit":
		return []string{"TestSink"}
	case "adapters/directory":
		return []string{"TestDirectory"}
	case "adapters/factor":
		return []string{"TestFactor", "TestImplied"}
	case "adapters/messenger":
		return []string{"TestMessenger"}
	case "adapters/signal":
		return []string{"TestSignal"}
	case "adapters/store":
		return []string{"TestStore"}
	case "adapters/idp":
		return []string{"TestRedirector", "TestPasswordVerifier", "TestRequestVerifier", "TestNegotiator", "TestClientVerifier"}
	case "headers":
		return []string{"TestDialect"}
	}
	return nil
}

func calls(t *testing.T, file string, suites []string) bool {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	ast.Inspect(f, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if ok && slices.Contains(suites, sel.Sel.Name) {
			x, ok := sel.X.(*ast.Ident)
			found = found || ok && x.Name == "flowstest"
		}
		return !found
	})
	return found
}

// TestGuestsHaveGoldens wants at least one golden that adapts to each guest.
func TestGuestsHaveGoldens(t *testing.T) {
	files, err := filepath.Glob("caddyfile/testdata/*.caddyfiletest")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		_, want, _ := strings.Cut(string(b), "\n----------\n")
		var v any
		if json.Unmarshal([]byte(want), &v) == nil {
			collect(v, seen)
		}
	}
	for _, g := range guests(t) {
		if !seen[inlineKeys[g.kind]+"="+g.name] {
			t.Errorf("no golden in caddyfile/testdata mentions %s", g.id)
		}
	}
}

func collect(v any, seen map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if s, ok := e.(string); ok {
				seen[k+"="+s] = true
			}
			if kinds, ok := e.(map[string]any); ok && k == "factors" {
				for kind := range kinds {
					seen["="+kind] = true
				}
			}
			collect(e, seen)
		}
	case []any:
		for _, e := range v {
			collect(e, seen)
		}
	}
}

const (
	docBegin = "<!-- generated from the code by `go test -run Page -update .`; do not edit below -->\n"
	docEnd   = "<!-- end of the generated part -->\n"
)

// TestGuestsHavePages wants docs/<kind>/<name>.md for every guest, whose
// reference is what the comments in the code say. What stands around the
// generated part is written by hand and left alone.
func TestGuestsHavePages(t *testing.T) {
	want := map[string]bool{}
	for _, g := range guests(t) {
		page := filepath.Join("docs", g.kind, g.name+".md")
		want[page] = true
		old, err := os.ReadFile(page)
		if err != nil && !*update {
			t.Errorf("%s has no page: %v", g.id, err)
			continue
		}
		head, tail := "# "+strings.TrimPrefix(g.id, "identity.")+"\n\n", ""
		if before, after, ok := strings.Cut(string(old), docBegin); ok {
			head = before
			_, tail, _ = strings.Cut(after, docEnd)
		} else if len(old) > 0 {
			head = strings.TrimRight(string(old), "\n") + "\n\n"
		}
		fresh := head + docBegin + reference(t, g) + docEnd + tail
		if fresh == string(old) {
			continue
		}
		if !*update {
			t.Errorf("%s is not what the code says; run go test -run Page -update .", page)
			continue
		}
		if err := os.MkdirAll(filepath.Dir(page), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(page, []byte(fresh), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for kind := range inlineKeys {
		pages, _ := filepath.Glob(filepath.Join("docs", kind, "*.md"))
		for _, p := range pages {
			if !want[p] && !strings.EqualFold(filepath.Base(p), "README.md") {
				t.Errorf("%s is the page of no guest", p)
			}
		}
	}
}

// TestKindsHaveACommonPage does the same for the words that every provider, or every
// signal, takes.
func TestKindsHaveACommonPage(t *testing.T) {
	for _, k := range []struct{ one, many, options string }{
		{"provider", "providers", "ProviderOptions"}, {"signal", "signals", "SignalOptions"},
	} {
		page := "docs/" + k.many + "/README.md"
		var b strings.Builder
		b.WriteString("# All " + k.many + "\n\n" + docBegin + "\nWords that every " + k.one + " takes, whatever its type.\n")
		for _, typ := range packageDoc(t, "caddyfile").Types {
			for _, m := range typ.Methods {
				if typ.Name == "identity" && m.Name == k.one {
					_, grammar, _ := strings.Cut(m.Doc, "Syntax:")
					fmt.Fprintf(&b, "\n## Caddyfile\n\n%s", fenced(grammar))
				}
			}
		}
		fields(t, &b, guest{id: k.options}, packageDoc(t, "flows"), k.options, "## JSON", map[string]bool{})
		b.WriteString("\n" + docEnd)
		old, err := os.ReadFile(page)
		switch {
		case err == nil && string(old) == b.String():
		case *update:
			if err := os.MkdirAll(filepath.Dir(page), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(page, []byte(b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		default:
			t.Errorf("%s is not what the code says; run go test -run Page -update . (%v)", page, err)
		}
	}
}

// reference renders package sentence, grammar and JSON fields of a guest.
func reference(t *testing.T, g guest) string {
	t.Helper()
	pkg := packageDoc(t, g.dir)
	var b strings.Builder
	sentence, base := pkg.Doc, builtOn(t, g)
	for _, typ := range pkg.Types {
		if base != "" && typ.Name == g.typ.Name() {
			sentence = typ.Doc // the package's is about the other guest
		}
	}
	fmt.Fprintf(&b, "\n%s\n", strings.TrimSpace(sentence))
	fmt.Fprintf(&b, "\nModule `%s`", g.id)
	if key := inlineKeys[g.kind]; key != "" {
		fmt.Fprintf(&b, ", in JSON `\"%s\": \"%s\"`", key, g.name)
	}
	b.WriteString(".\n")
	for _, typ := range pkg.Types {
		if typ.Name != g.typ.Name() {
			continue
		}
		for _, m := range typ.Methods {
			if m.Name == "UnmarshalCaddyfile" {
				_, grammar, ok := strings.Cut(m.Doc, "Syntax:")
				if !ok {
					t.Errorf("%s: UnmarshalCaddyfile says no Syntax:", g.id)
				}
				fmt.Fprintf(&b, "\n## Caddyfile\n\n%s", fenced(grammar))
			}
		}
	}
	switch g.kind {
	case "providers":
		b.WriteString("\nBeside these, every provider takes the words of [all providers](README.md).\n")
	case "signals":
		b.WriteString("\nBeside these, every signal takes the words of [all signals](README.md).\n")
	}
	done := map[string]bool{}
	fields(t, &b, g, pkg, g.typ.Name(), "## JSON", done)
	if base != "" {
		fmt.Fprintf(&b, "\nBeside these, the fields of [%s](%s.md#json).\n", base, base)
	}
	return b.String() + "\n"
}

// builtOn is the guest of the same package that this one embeds; mostly there is none.
func builtOn(t *testing.T, g guest) string {
	t.Helper()
	for _, o := range guests(t) {
		f, ok := g.typ.FieldByName(o.typ.Name())
		if ok && f.Anonymous && o.dir == g.dir && f.Type == o.typ {
			return o.name
		}
	}
	return ""
}

func packageDoc(t *testing.T, dir string) *doc.Package {
	t.Helper()
	set := token.NewFileSet()
	//lint:ignore SA1019 one folder, no build tags
	parsed, err := parser.ParseDir(set, dir, func(f fs.FileInfo) bool { return !strings.HasSuffix(f.Name(), "_test.go") }, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parsed {
		return doc.New(p, modulePath+"/"+dir, doc.AllDecls|doc.PreserveAST)
	}
	t.Fatalf("no package in %s", dir)
	return nil
}

// fenced makes the grammar of a doc comment a code block; what follows it in
// the comment stays prose.
func fenced(grammar string) string {
	var code, prose []string
	for _, line := range strings.Split(strings.Trim(grammar, "\n"), "\n") {
		if strings.HasPrefix(line, "\t") || line == "" && len(prose) == 0 {
			code = append(code, strings.TrimPrefix(line, "\t"))
		} else {
			prose = append(prose, line)
		}
	}
	out := "```caddyfile\n" + strings.Trim(strings.Join(code, "\n"), "\n") + "\n```\n"
	if text := strings.TrimSpace(strings.Join(prose, "\n")); text != "" {
		out += "\n" + text + "\n"
	}
	return out
}

// fields lists the JSON fields of a struct and of the structs of this package
// that they lead to. A field without a comment fails: the comment is the reference.
func fields(t *testing.T, b *strings.Builder, g guest, pkg *doc.Package, name, title string, done map[string]bool) {
	t.Helper()
	if done[name] {
		return
	}
	done[name] = true
	var rows, inner []string
	for _, typ := range pkg.Types {
		if typ.Name != name {
			continue
		}
		for _, s := range typ.Decl.Specs {
			st, ok := s.(*ast.TypeSpec).Type.(*ast.StructType)
			if !ok {
				continue
			}
			for _, f := range st.Fields.List {
				if e, ok := f.Type.(*ast.SelectorExpr); ok && len(f.Names) == 0 && embeds[e.Sel.Name] != "" {
					inner = append(inner, e.Sel.Name)
					if !slices.ContainsFunc(pkg.Types, func(t *doc.Type) bool { return t.Name == e.Sel.Name }) {
						pkg.Types = append(slices.Clone(pkg.Types), packageDoc(t, embeds[e.Sel.Name]).Types...)
					}
				}
				key := jsonKey(f)
				if key == "" {
					continue
				}
				text := strings.Join(strings.Fields(f.Doc.Text()), " ")
				if text == "" {
					text = strings.Join(strings.Fields(f.Comment.Text()), " ")
				}
				if text == "" {
					t.Errorf("%s: field %s.%s has no comment", g.id, name, key)
				}
				rows = append(rows, fmt.Sprintf("| `%s` | %s | %s |", key, strings.ReplaceAll(typeName(f.Type), "|", "\\|"), strings.ReplaceAll(text, "|", "\\|")))
				if id := innerType(f.Type); id != "" {
					inner = append(inner, id)
				}
			}
		}
	}
	switch {
	case len(rows) > 0:
		fmt.Fprintf(b, "\n%s\n\n| field | type | meaning |\n| --- | --- | --- |\n%s\n", title, strings.Join(rows, "\n"))
	case len(inner) > 0:
		fmt.Fprintf(b, "\n%s\n", title)
	}
	for _, id := range inner {
		fields(t, b, g, pkg, id, "### "+id, done)
	}
}

// embeds are structs that guests embed, and the folders they are in.
var embeds = map[string]string{
	"Asserting": "flows", "HeaderOptions": "flows", "Mapping": "flows", "Leaving": "flows", "Connection": "adapters/internal/ldapconn",
}

func jsonKey(f *ast.Field) string {
	if f.Tag == nil || len(f.Names) == 0 {
		return ""
	}
	tag, err := strconv.Unquote(f.Tag.Value)
	if err != nil {
		return ""
	}
	key, _, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ",")
	if key == "-" {
		return ""
	}
	return key
}

// jsonTypes are names an operator understands for Go's.
var jsonTypes = map[string]string{
	"bool": "true/false", "int": "number", "int64": "number", "any": "anything",
	"Duration": "duration", "RawMessage": "module",
}

func typeName(e ast.Expr) string {
	name := "object"
	switch e := e.(type) {
	case *ast.Ident:
		name = e.Name
	case *ast.SelectorExpr:
		name = e.Sel.Name
	case *ast.StarExpr:
		return typeName(e.X)
	case *ast.ArrayType:
		return "list of " + typeName(e.Elt)
	case *ast.MapType:
		return "map of " + typeName(e.Value)
	}
	if known, ok := jsonTypes[name]; ok {
		return known
	}
	return name
}

// innerType is the struct of the same package that a field leads to.
func innerType(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		if ast.IsExported(e.Name) {
			return e.Name
		}
	case *ast.StarExpr:
		return innerType(e.X)
	case *ast.ArrayType:
		return innerType(e.Elt)
	case *ast.MapType:
		return innerType(e.Value)
	}
	return ""
}
