package browser

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// Page is one answer.
type Page struct {
	Browser *Browser
	URL     string
	Status  int
	Header  http.Header
	Body    string
}

// Path is path and query of the page's address.
func (p *Page) Path() string {
	u, err := url.Parse(p.URL)
	if err != nil {
		return ""
	}
	return u.RequestURI()
}

// Has reports whether the page's source holds text.
func (p *Page) Has(text string) bool { return strings.Contains(p.Body, text) }

// Text is what a person reads: the source without tags, scripts and styles,
// blanks folded.
func (p *Page) Text() string {
	var b strings.Builder
	var walk func(*html.Node)
	walk = func(n *html.Node) {
		if n.DataAtom == atom.Script || n.DataAtom == atom.Style {
			return
		}
		if n.Type == html.TextNode {
			b.WriteString(n.Data + " ")
		}
		for c := range n.ChildNodes() {
			walk(c)
		}
	}
	if doc, err := html.Parse(strings.NewReader(p.Body)); err == nil {
		walk(doc)
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// Resolve makes a link of this page absolute.
func (p *Page) Resolve(link string) (string, error) {
	base, err := url.Parse(p.URL)
	if err != nil {
		return "", err
	}
	u, err := base.Parse(link)
	if err != nil {
		return "", err
	}
	u.Fragment = ""
	return u.String(), nil
}

// Links are the href of all links, made absolute.
func (p *Page) Links() []string {
	var out []string
	p.each(atom.A, func(n *html.Node) {
		if l, err := p.Resolve(attr(n, "href")); err == nil {
			out = append(out, l)
		}
	})
	return out
}

// Click follows the first link whose address holds part.
func (p *Page) Click(part string) (*Page, error) {
	for _, l := range p.Links() {
		if strings.Contains(l, part) {
			return p.Browser.Navigate(Request{Method: http.MethodGet, URL: l, From: p})
		}
	}
	return nil, fmt.Errorf("%s: no link holds %q; there are: %v", p.URL, part, p.Links())
}

// Form is a form with its fields as a browser would fill them before a person does.
type Form struct {
	Page   *Page
	Action string
	Method string
	Fields url.Values
	// Buttons are name and value of the submit buttons that have a name.
	Buttons []Button
}

// Button is one submit button.
type Button struct{ Name, Value, Label string }

// Forms are the forms of the page.
func (p *Page) Forms() []*Form {
	var out []*Form
	p.each(atom.Form, func(n *html.Node) {
		f := &Form{Page: p, Method: strings.ToUpper(attr(n, "method")), Fields: url.Values{}}
		if f.Method == "" {
			f.Method = http.MethodGet
		}
		action := attr(n, "action")
		if action == "" {
			action = p.URL
		}
		f.Action, _ = p.Resolve(action)
		fill(f, n)
		if id := attr(n, "id"); id != "" {
			others(f, n, id)
		}
		out = append(out, f)
	})
	return out
}

// fill adds the fields and buttons in a form, but for those that belong to another one.
func fill(f *Form, n *html.Node) {
	for c := range n.Descendants() {
		if owner := attr(c, "form"); owner == "" || owner == attr(n, "id") {
			f.add(c)
		}
	}
}

// others adds what stands outside of a form and names it as its own.
func others(f *Form, n *html.Node, id string) {
	root := n
	for root.Parent != nil {
		root = root.Parent
	}
	for c := range root.Descendants() {
		if attr(c, "form") == id && !slices.Contains(slices.Collect(c.Ancestors()), n) {
			f.add(c)
		}
	}
}

func (f *Form) add(c *html.Node) {
	name, value := attr(c, "name"), attr(c, "value")
	switch c.DataAtom {
	case atom.Button:
		if name != "" {
			f.Buttons = append(f.Buttons, Button{name, value, inner(c)})
		}
	case atom.Textarea:
		f.Fields.Add(name, inner(c))
	case atom.Select:
		f.Fields.Add(name, selected(c))
	case atom.Input:
		switch t := strings.ToLower(attr(c, "type")); {
		case name == "" || t == "reset" || t == "button" || t == "image":
		case t == "submit":
			f.Buttons = append(f.Buttons, Button{name, value, value})
		case (t == "checkbox" || t == "radio") && !hasAttr(c, "checked"):
		default:
			f.Fields.Add(name, value)
		}
	}
}

// selected is the value of the chosen line of a list, without one the first.
func selected(n *html.Node) (value string) {
	first := true
	for c := range n.Descendants() {
		if c.DataAtom == atom.Option && (first || hasAttr(c, "selected")) {
			value, first = attr(c, "value"), false
		}
	}
	return value
}

// FormWith is the first form that has this field or button.
func (p *Page) FormWith(name string) (*Form, error) {
	for _, f := range p.Forms() {
		if _, ok := f.Fields[name]; ok {
			return f, nil
		}
		for _, b := range f.Buttons {
			if b.Name == name {
				return f, nil
			}
		}
	}
	return nil, fmt.Errorf("%s (%d): no form has a field %q: %.300s", p.URL, p.Status, name, p.Text())
}

// Fill finds the form with the first named field, sets name, value, … and sends it.
func (p *Page) Fill(pairs ...string) (*Page, error) {
	if len(pairs) == 0 || len(pairs)%2 != 0 {
		return nil, fmt.Errorf("fill: names and values come in pairs: %q", pairs)
	}
	f, err := p.FormWith(pairs[0])
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(pairs); i += 2 {
		f.Fields.Set(pairs[i], pairs[i+1])
	}
	return f.Submit()
}

// Submit sends the form and follows the redirects.
func (f *Form) Submit() (*Page, error) {
	r := Request{Method: f.Method, URL: f.Action, From: f.Page}
	if f.Method == http.MethodPost {
		r.Body = f.Fields.Encode()
		r.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	} else {
		u, err := url.Parse(f.Action)
		if err != nil {
			return nil, err
		}
		u.RawQuery = f.Fields.Encode()
		r.URL = u.String()
	}
	return f.Page.Browser.Navigate(r)
}

func (p *Page) each(a atom.Atom, visit func(*html.Node)) {
	doc, err := html.Parse(strings.NewReader(p.Body))
	if err != nil {
		return
	}
	for n := range doc.Descendants() {
		if n.DataAtom == a {
			visit(n)
		}
	}
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func hasAttr(n *html.Node, key string) bool {
	for _, a := range n.Attr {
		if a.Key == key {
			return true
		}
	}
	return false
}

func inner(n *html.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			b.WriteString(c.Data)
		}
	}
	return strings.TrimSpace(b.String())
}
