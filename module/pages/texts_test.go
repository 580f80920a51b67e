package pages

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// reasons reads the codes out of the source, the ground floor's and the hall's,
// so that a new one without a text fails here.
func reasons(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../*.go")
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, name := range append(files, "../../flows/reason.go") {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			v, ok := n.(*ast.ValueSpec)
			if !ok || len(v.Values) != 1 || !strings.HasPrefix(v.Names[0].Name, "Reason") {
				return true
			}
			if lit, ok := v.Values[0].(*ast.BasicLit); ok {
				if s, err := strconv.Unquote(lit.Value); err == nil {
					list = append(list, s)
				}
			}
			return true
		})
	}
	if len(list) < 20 {
		t.Fatalf("found only %d reasons: %v", len(list), list)
	}
	return list
}

func TestEveryReasonAndKindHasATextInEveryLanguage(t *testing.T) {
	t.Parallel()
	s := load(t, Options{Languages: knownLanguages()})
	want := slices.Sorted(maps.Keys(s.texts["en"]))
	for _, lang := range s.languages {
		c := s.texts[lang]
		if got := slices.Sorted(maps.Keys(c)); !slices.Equal(got, want) {
			t.Errorf("%s: other codes than en: %v", lang, difference(got, want))
		}
		for code, text := range c {
			if strings.TrimSpace(text) != text || text == "" || strings.ContainsAny(text, "<>") {
				t.Errorf("%s: %s: %q", lang, code, text)
			}
			if got, want := places.FindAllString(text, -1), places.FindAllString(s.texts["en"][code], -1); !slices.Equal(sorted(got), sorted(want)) {
				t.Errorf("%s: %s: places %v in %q, want %v", lang, code, got, text, want)
			}
		}
		for _, r := range reasons(t) {
			if c["reason."+r] == "" {
				t.Errorf("%s: reason %s has no text", lang, r)
			}
		}
		for _, k := range kinds {
			v := View{Kind: k}
			if c["heading."+string(k)] == "" {
				t.Errorf("%s: page %s has no heading", lang, k)
			}
			if k != KindAsk && c.sentence(&v) == "" {
				t.Errorf("%s: page %s has no sentence", lang, k)
			}
			if k != KindPost && k != KindSendAgain && c["link."+string(k)] == "" {
				t.Errorf("%s: page %s has no label for its link", lang, k)
			}
		}
	}
}

// places are what is filled in when a text is shown.
var places = regexp.MustCompile(`\{[a-z]+\}`)

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

// sources calls each for every file of the program that can name a text.
func sources(t *testing.T, each func(*ast.File)) {
	t.Helper()
	for _, root := range []string{"..", "../../flows", "../../adapters"} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err == nil {
				each(f)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func literal(e ast.Expr) string {
	if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
		if s, err := strconv.Unquote(lit.Value); err == nil {
			return s
		}
	}
	return ""
}

// Whatever a step puts on a page has a text, and every text is said by somebody:
// one that nobody says is translated in vain, or its code is misspelt somewhere.
func TestTextsAndCodesAreTheSame(t *testing.T) {
	t.Parallel()
	en := load(t, Options{}).texts["en"]
	said := map[string]bool{}
	prefixes := map[string]string{"Label": "label.", "Submit": "label.", "LinkLabel": "label."}
	sources(t, func(f *ast.File) {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				said[literal(n)] = true
			case *ast.KeyValueExpr:
				name, _ := n.Key.(*ast.Ident)
				if code := literal(n.Value); name != nil && code != "" && prefixes[name.Name] != "" && en[prefixes[name.Name]+code] == "" && f.Name.Name != "pages" {
					t.Errorf("%s: %s %q has no text", f.Name.Name, name.Name, code)
				}
			case *ast.CompositeLit:
				if sel, ok := n.Type.(*ast.SelectorExpr); ok && sel.Sel.Name == "Page" {
					heading(t, en, n)
				}
			}
			return true
		})
	})
	for code := range en {
		prefix, name, _ := strings.Cut(code, ".")
		if prefix == "message" { // subject and text of a kind
			name, _, _ = strings.Cut(name, ".")
		}
		if !said[code] && !said[name] && !said[strings.TrimSuffix(code, "_one")] && !said[strings.TrimSuffix(name, "_one")] {
			t.Errorf("nothing ever shows %s", code)
		}
	}
}

// heading checks that the kind of a page that a step asks has a heading.
func heading(t *testing.T, en catalogue, page *ast.CompositeLit) {
	t.Helper()
	for _, e := range page.Elts {
		kv, ok := e.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		if name, _ := kv.Key.(*ast.Ident); name != nil && name.Name == "Kind" && literal(kv.Value) != "" && en["page."+literal(kv.Value)] == "" {
			t.Errorf("page %q has no heading", literal(kv.Value))
		}
	}
}

func difference(a, b []string) []string {
	var d []string
	for _, s := range append(slices.Clone(a), b...) {
		if slices.Contains(a, s) != slices.Contains(b, s) {
			d = append(d, s)
		}
	}
	return d
}

func TestLanguageFollowsTheBrowser(t *testing.T) {
	t.Parallel()
	s := load(t, Options{Languages: []string{"en", "de", "fr"}})
	for header, want := range map[string]string{
		"": "en", "de": "de", "de-AT,de;q=0.9,en;q=0.8": "de", "DE-ch": "de", "es": "en", "es,fr;q=0.2": "fr",
		"en;q=0.1,fr;q=0.9": "fr", "*": "en", "de;q=0": "en", "de;q=x,fr;q=0.1": "fr", "de;q=NaN": "en", "de;q=2": "en", ";;,,;q=": "en",
		"it,*;q=0.5,de;q=0.4": "en",
	} {
		w := get(s, View{Kind: KindDenied}, "Accept-Language", header)
		if got := w.Header().Get("Content-Language"); got != want || !strings.Contains(w.Body.String(), `<html lang="`+want+`">`) {
			t.Errorf("%q: got %s, want %s", header, got, want)
		}
	}
	// The first of the list is for everybody whose own is not there.
	if got := get(load(t, Options{Languages: []string{"fr", "en"}}), View{Kind: KindDenied}, "Accept-Language", "de, it;q=0.9").Header().Get("Content-Language"); got != "fr" {
		t.Errorf("the first language is fr, got %s", got)
	}
	if got := get(load(t, Options{}), View{Kind: KindDenied}, "Accept-Language", "de").Header().Get("Content-Language"); got != "en" {
		t.Errorf("only en is offered, got %s", got)
	}
}

// Every kind in every language is a whole document that works by keyboard and
// is read well by a screen reader.
func TestEveryPageIsWellFormedAndAccessible(t *testing.T) {
	t.Parallel()
	s := load(t, Options{Title: "Payroll", Languages: knownLanguages()})
	for _, lang := range s.languages {
		for _, v := range samples() {
			body := get(s, v, "Accept-Language", lang).Body.String()
			name := lang + "/" + string(v.kind())
			balanced(t, name, body)
			accessible(t, name, parse(t, body))
		}
	}
}

// balanced checks that each tag that is opened is closed in its turn.
func balanced(t *testing.T, name, body string) {
	t.Helper()
	void := []string{"meta", "link", "input", "img", "br"}
	var open []string
	z := html.NewTokenizer(strings.NewReader(body))
	for {
		switch z.Next() {
		case html.ErrorToken:
			if len(open) > 0 {
				t.Errorf("%s: left open: %v", name, open)
			}
			return
		case html.StartTagToken:
			if tag := z.Token().Data; !slices.Contains(void, tag) {
				open = append(open, tag)
			}
		case html.EndTagToken:
			tag := z.Token().Data
			if len(open) == 0 || open[len(open)-1] != tag {
				t.Fatalf("%s: </%s> closes %v", name, tag, open)
			}
			open = open[:len(open)-1]
		}
	}
}

func accessible(t *testing.T, name string, doc *html.Node) {
	t.Helper()
	ids, labels, count := map[string]bool{}, map[string]bool{}, map[string]int{}
	var refs []string
	walk(doc, func(n *html.Node) {
		if n.Type != html.ElementNode {
			return
		}
		count[n.Data]++
		if id := attr(n, "id"); id != "" {
			if ids[id] {
				t.Errorf("%s: id %s twice", name, id)
			}
			ids[id] = true
		}
		if n.Data == "label" {
			labels[attr(n, "for")] = true
		}
		for _, key := range []string{"aria-describedby", "aria-labelledby"} {
			if d := attr(n, key); d != "" {
				refs = append(refs, d)
			}
		}
		if attr(n, "role") == "alert" {
			count["alert"]++
		}
		if (n.Data == "button" || n.Data == "a" || n.Data == "h1" || n.Data == "title" || n.Data == "label") && strings.TrimSpace(textOf(n)) == "" {
			t.Errorf("%s: an empty <%s>", name, n.Data)
		}
	})
	walk(doc, func(n *html.Node) {
		if n.Type == html.ElementNode && (n.Data == "input" || n.Data == "select") && attr(n, "type") != "hidden" && !labels[attr(n, "id")] {
			t.Errorf("%s: input %s has no label", name, attr(n, "name"))
		}
	})
	for _, r := range strings.Fields(strings.Join(refs, " ")) {
		if !ids[r] {
			t.Errorf("%s: described or labelled by %s, which is not there", name, r)
		}
	}
	if count["h1"] != 1 || count["main"] != 1 || count["title"] != 1 {
		t.Errorf("%s: h1 %d, main %d, title %d", name, count["h1"], count["main"], count["title"])
	}
	if slices.Contains(refs, "problem") && count["alert"] != 1 {
		t.Errorf("%s: a problem that is not announced", name)
	}
}

func textOf(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return b.String()
}
