package pages

import (
	"encoding/base64"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/sallyport-gateway/sallyport/flows"
)

// widgetTypes reads the closed set out of the source, so that a new widget that
// nobody draws fails here.
func widgetTypes(t *testing.T) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "../../flows/page.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Name.Name == "widget" && fn.Recv != nil {
			list = append(list, fn.Recv.List[0].Type.(*ast.Ident).Name)
		}
	}
	if len(list) < 14 {
		t.Fatalf("found only %v", list)
	}
	return list
}

func TestEveryWidgetIsDrawn(t *testing.T) {
	t.Parallel()
	s := load(t, Options{})
	samples := map[string]flows.Widget{}
	for _, w := range samples0() {
		samples[reflect.TypeOf(w).Name()] = w
	}
	empty := get(s, ask()).Body.Len()
	for _, name := range widgetTypes(t) {
		w, ok := samples[name]
		if !ok {
			t.Errorf("the samples have no %s", name)
			continue
		}
		if got := get(s, ask(w)).Body.Len(); got <= empty {
			t.Errorf("%s is not drawn as HTML", name)
		}
		if got := s.texts["en"].jsonWidget(w); got.Type != strings.ToLower(name) {
			t.Errorf("%s is %q as JSON", name, got.Type)
		}
	}
}

func samples0() []flows.Widget { return samples()[0].Page.Widgets }

func ask(widgets ...flows.Widget) View {
	return View{Kind: KindAsk, Action: "/.identity/flow", Token: "token", Step: 1, Serial: 2, Page: &flows.Page{Kind: "password", Submit: "continue", Widgets: widgets}}
}

// node is the first element that match accepts, on a page with these widgets.
func node(t *testing.T, v View, match func(*html.Node) bool) *html.Node {
	t.Helper()
	var found *html.Node
	walk(parse(t, get(load(t, Options{}), v).Body.String()), func(n *html.Node) {
		if found == nil && n.Type == html.ElementNode && match(n) {
			found = n
		}
	})
	return found
}

func named(name string) func(*html.Node) bool {
	return func(n *html.Node) bool { return attr(n, "name") == name }
}

func has(n *html.Node, key string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == key })
}

func TestAFieldSaysWhatItTakes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		w                       flows.Widget
		element, kind, max, tag string
		required                bool
	}{
		{flows.Field{Name: "x"}, "input", "text", "", "x", true},
		{flows.Field{Name: "x", Type: "email", Max: 254, Optional: true}, "input", "email", "254", "x (optional)", false},
		{flows.Field{Name: "x", Type: "tel"}, "input", "tel", "", "x", true},
		{flows.Field{Name: "x", Type: "number"}, "input", "number", "", "x", true},
		{flows.Field{Name: "x", Type: "date"}, "input", "date", "", "x", true},
		{flows.Field{Name: "x", Type: "url"}, "input", "url", "", "x", true},
		{flows.Field{Name: "x", Type: "hidden"}, "input", "text", "", "x", true},
		{flows.Field{Name: "x", Type: "file"}, "input", "text", "", "x", true},
		{flows.Check{Name: "x"}, "input", "checkbox", "", "x", true},
		{flows.Check{Name: "x", Optional: true}, "input", "checkbox", "", "x (optional)", false},
		{flows.Select{Name: "x"}, "select", "", "", "x", true},
		{flows.Select{Name: "x", Optional: true}, "select", "", "", "x (optional)", false},
	} {
		v := reflect.New(reflect.TypeOf(tc.w)).Elem()
		v.Set(reflect.ValueOf(tc.w))
		v.FieldByName("Label").SetString("x")
		page := ask(v.Interface().(flows.Widget))
		n := node(t, page, named("x"))
		if n == nil || n.Data != tc.element || attr(n, "type") != tc.kind || attr(n, "maxlength") != tc.max || has(n, "required") != tc.required {
			t.Errorf("%+v: got %+v", tc.w, n)
		}
		if l := node(t, page, func(n *html.Node) bool { return n.Data == "label" }); textOf(l) != tc.tag {
			t.Errorf("%+v: label %q", tc.w, textOf(l))
		}
	}
}

// Nothing is chosen by accident: the first line of a list is for none until
// somebody has chosen.
func TestASelectIsChosenOnPurpose(t *testing.T) {
	t.Parallel()
	lines := []flows.Entry{{Value: "a", Label: "A"}, {Value: "b", Label: "continue"}}
	for _, tc := range []struct {
		w    flows.Select
		want string
	}{
		{flows.Select{Options: lines}, "=Please choose a=A b=Continue"},
		{flows.Select{Options: lines, Value: "gone"}, "=Please choose a=A b=Continue"},
		{flows.Select{Options: lines, Value: "b"}, "a=A *b=Continue"},
		{flows.Select{Options: lines, Value: "b", Optional: true}, "=None a=A *b=Continue"},
		{flows.Select{Options: append([]flows.Entry{{Label: "All"}}, lines...)}, "*=All a=A b=Continue"},
	} {
		tc.w.Name, tc.w.Label = "x", "x"
		var got []string
		for o := range node(t, ask(tc.w), named("x")).ChildNodes() {
			if o.Data != "option" {
				continue
			}
			line := attr(o, "value") + "=" + textOf(o)
			if has(o, "selected") {
				line = "*" + line
			}
			got = append(got, line)
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%+v: got %q, want %q", tc.w, got, tc.want)
		}
	}
}

// Who presses Enter in a field sends what they typed: the first button of its
// form is the one that submits it, whatever stands in between.
func TestEnterSubmits(t *testing.T) {
	t.Parallel()
	v := ask(flows.Choice{Name: "other", Value: "1", Label: "Other"}, flows.Download{Label: "File", Name: "f"}, flows.Field{Name: "x", Label: "x"})
	first := node(t, v, func(n *html.Node) bool { return n.Data == "button" && attr(n, "form") == "" })
	if attr(first, "name") != "" || textOf(first) != "Continue" {
		t.Errorf("Enter presses %q", textOf(first))
	}
}

// On a page of choices each stands below the heading it was put under.
func TestChoicesStandWhereTheyWerePut(t *testing.T) {
	t.Parallel()
	v := ask(
		flows.Heading{Text: "One"}, flows.Choice{Name: "a", Value: "1", Label: "A"}, flows.Choice{Name: "a", Value: "2", Label: "B"},
		flows.Heading{Text: "Two"}, flows.Choice{Name: "a", Value: "3", Label: "C"},
	)
	v.Page.Submit = ""
	var order []string
	walk(parse(t, get(load(t, Options{}), v).Body.String()), func(n *html.Node) {
		switch {
		case n.Data == "h2" || n.Data == "button":
			order = append(order, textOf(n))
		case attr(n, "role") == "group":
			order = append(order, "group of "+attr(n, "aria-labelledby"))
		}
	})
	if got := strings.Join(order, ", "); got != "One, group of w0, A, B, Two, C" {
		t.Errorf("got %s", got)
	}
}

func TestTheTitleSaysThatSomethingIsWrong(t *testing.T) {
	t.Parallel()
	v := ask(flows.Field{Name: "x", Label: "x"}, flows.Field{Name: "y", Label: "y", Autofocus: true})
	title := func() string { return textOf(node(t, v, func(n *html.Node) bool { return n.Data == "title" })) }
	invalid := func(name string) bool { return has(node(t, v, named(name)), "aria-invalid") }
	if got := title(); got != "Sign in" || invalid("y") {
		t.Errorf("without a problem: %q, invalid %v", got, invalid("y"))
	}
	v.Page.Problem = flows.ReasonBadCredentials
	if got := title(); got != "Error: Sign in" || invalid("x") || !invalid("y") {
		t.Errorf("with one: %q, invalid %v, %v", got, invalid("x"), invalid("y"))
	}
	v.Page.Problem, v.Page.Wait = flows.ReasonTooManyTries, 4
	if got := title(); got != "Error: Sign in" || invalid("y") {
		t.Errorf("while waiting: %q, invalid %v", got, invalid("y"))
	}
}

// What is wrong with a field is read out with it, and with no other.
func TestAProblemBelongsToItsField(t *testing.T) {
	t.Parallel()
	v := ask(
		flows.Field{Name: "x", Label: "x"}, flows.Field{Name: "y", Label: "y", Problem: "Like <AB12>."},
		flows.Select{Name: "s", Label: "s", Problem: "totp_scan"}, flows.Check{Name: "c", Label: "c", Problem: "Needed."},
	)
	v.Page.Problem = flows.ReasonInvalidAnswer
	for name, want := range map[string]string{
		"x": "", "y": "Like <AB12>.", "s": "Scan this with an authenticator app, then type the six digits it shows.", "c": "Needed.",
	} {
		n := node(t, v, named(name))
		id := attr(n, "aria-describedby")
		got := ""
		if id != "" {
			got = textOf(node(t, v, func(n *html.Node) bool { return attr(n, "id") == id }))
		}
		if got != want || has(n, "aria-invalid") != (want != "") {
			t.Errorf("%s: %q (%s), invalid %v; want %q", name, got, id, has(n, "aria-invalid"), want)
		}
	}
}

func TestTermsAreReadByKeyboard(t *testing.T) {
	t.Parallel()
	text := "\r\n first\r\nline \n\n\n \n<b>second</b>\n"
	v := ask(flows.Terms{Title: "House rules", Version: "3", Text: text, URL: "https://a.example/rules"})
	box := node(t, v, func(n *html.Node) bool { return attr(n, "class") == "terms" })
	if attr(box, "tabindex") != "0" || attr(box, "aria-labelledby") != "w0" {
		t.Errorf("got %v", box.Attr)
	}
	var got []string
	for p := range box.ChildNodes() {
		if p.Data == "p" {
			got = append(got, textOf(p))
		}
	}
	if !slices.Equal(got, []string{"first\nline", "<b>second</b>"}) {
		t.Errorf("paragraphs %q", got)
	}
	if h := node(t, v, func(n *html.Node) bool { return attr(n, "id") == "w0" }); textOf(h) != "House rules Version 3" {
		t.Errorf("title %q", textOf(h))
	}
	if a := node(t, v, func(n *html.Node) bool { return n.Data == "a" }); attr(a, "href") != "https://a.example/rules" || attr(a, "rel") != "noopener" {
		t.Errorf("link %v", a)
	}
}

// A file is not in the page: browsers keep data: addresses in their list of downloads.
func TestAFileIsHandedOverAndNotKept(t *testing.T) {
	t.Parallel()
	d := flows.Download{Label: "Save", Name: "codes.txt", Type: "text/plain; charset=utf-8", Data: []byte("AAAA-BBBB")}
	body := get(load(t, Options{}), ask(d)).Body.String()
	if strings.Contains(body, "AAAA") || strings.Contains(body, base64.StdEncoding.EncodeToString(d.Data)) {
		t.Error("the page holds the file")
	}
	for _, name := range []string{"codes.txt", "../../etc/passwd", "a\r\nSet-Cookie: x=y", `a";b`, "", "Würzburg.txt", hostile[7]} {
		for _, typ := range []string{"text/plain", "text/html\r\nX: y", "", "text"} {
			d.Name, d.Type = name, typ
			w := httptest.NewRecorder()
			WriteFile(w, d)
			h := w.Header()
			if h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(h.Get("Content-Security-Policy"), "sandbox") || w.Body.String() != "AAAA-BBBB" || w.Code != http.StatusOK {
				t.Errorf("%q: %v", name, h)
			}
			if c := h.Get("Content-Disposition"); !strings.HasPrefix(c, "attachment") || strings.ContainsAny(c, "\r\n/") {
				t.Errorf("%q: %q", name, c)
			}
			if want := map[bool]string{true: "text/plain", false: "application/octet-stream"}[typ == "text/plain"]; h.Get("Content-Type") != want {
				t.Errorf("%q: type %q", typ, h.Get("Content-Type"))
			}
		}
	}
}

func TestProgramsGetTheNewWidgets(t *testing.T) {
	t.Parallel()
	c := load(t, Options{}).texts["en"]
	for _, tc := range []struct {
		w    flows.Widget
		want string
	}{
		{flows.Field{Name: "x", Label: "email", Type: "email", Max: 9, Optional: true}, `{"type":"field","name":"x","label":"email","input":"email","max":9,"optional":true,"text":"E-mail address"}`},
		{flows.Select{Name: "x", Label: "L", Value: "a", Options: []flows.Entry{{Value: "a", Label: "continue"}}}, `{"type":"select","name":"x","label":"L","value":"a","options":[{"value":"a","label":"continue","text":"Continue"}],"text":"L"}`},
		{flows.Check{Name: "x", Label: "L", Checked: true}, `{"type":"check","name":"x","label":"L","value":"1","checked":true,"text":"L"}`},
		{flows.Heading{Label: "continue"}, `{"type":"heading","label":"continue","text":"Continue"}`},
		{flows.Table{Rows: []flows.Row{{Name: "code", Value: "<1>"}}}, `{"type":"table","rows":[{"name":"code","value":"\u003c1\u003e","text":"Code"}]}`},
		{flows.Terms{Title: "T", Version: "3", Text: "a\n\nb", URL: "javascript:x"}, `{"type":"terms","label":"T","version":"3","text":"a\n\nb"}`},
		{flows.Download{Label: "L", Name: "f", Type: "text/plain", Data: []byte("x")}, `{"type":"download","name":"f","label":"L","media":"text/plain","data":"eA==","text":"L"}`},
	} {
		if got, err := json.Marshal(c.jsonWidget(tc.w)); err != nil || string(got) != tc.want {
			t.Errorf("got  %s (%v)\nwant %s", got, err, tc.want)
		}
	}
}

// What is decided on reads as it is: a sign that turns text around is shown as one.
func TestNothingTurnsATableAround(t *testing.T) {
	t.Parallel()
	v := ask(flows.Table{Rows: []flows.Row{{Name: "pa\u202eyee", Value: "ED\u202e059\u2066 EUR\u200f"}, {Name: "x", Value: "זהב\nΩ"}}})
	var got []string
	walk(parse(t, get(load(t, Options{}), v).Body.String()), func(n *html.Node) {
		if n.Type == html.ElementNode && (n.Data == "th" || n.Data == "bdi") {
			got = append(got, textOf(n))
		}
	})
	if want := []string{"pa\ufffdyee", "ED\ufffd059\ufffd EUR\ufffd", "x", "זהב\nΩ"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
