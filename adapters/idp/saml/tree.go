package saml

import (
	"fmt"
	"strings"

	"github.com/beevik/etree"
)

// attr is an attribute without a namespace, and whether it is there.
func attr(el *etree.Element, name string) (string, bool) {
	for _, a := range el.Attr {
		if a.Space == "" && a.Key == name {
			return a.Value, true
		}
	}
	return "", false
}

func attrOf(el *etree.Element, name string) string {
	v, _ := attr(el, name)
	return v
}

// is reports an element's expanded name.
func is(el *etree.Element, ns, tag string) bool { return el.Tag == tag && el.NamespaceURI() == ns }

// children are the child elements of one name.
func children(el *etree.Element, ns, tag string) []*etree.Element {
	var out []*etree.Element
	for _, c := range el.ChildElements() {
		if is(c, ns, tag) {
			out = append(out, c)
		}
	}
	return out
}

// only is the one child of this name; an error if there are none or several.
func only(el *etree.Element, ns, tag string) (*etree.Element, error) {
	list := children(el, ns, tag)
	if len(list) != 1 {
		return nil, fmt.Errorf("%d %s in %s", len(list), tag, el.Tag)
	}
	return list[0], nil
}

// text is the text of an element that holds nothing else: part of a text is
// never taken for the whole.
func text(el *etree.Element) (string, error) {
	var b strings.Builder
	for _, c := range el.Child {
		t, ok := c.(*etree.CharData)
		if !ok {
			return "", fmt.Errorf("%s holds more than text", el.Tag)
		}
		b.WriteString(t.Data)
	}
	return b.String(), nil
}

// compact is text without the blanks that may stand in base64.
func compact(el *etree.Element) (string, error) {
	s, err := text(el)
	if err != nil {
		return "", err
	}
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == '\t' || r == '\r' || r == '\n' {
			return -1
		}
		return r
	}, s), nil
}

// detach copies an element with the namespaces that are in force where it stands.
func detach(el *etree.Element) *etree.Element {
	out := el.Copy()
	have := map[string]bool{}
	note := func(a etree.Attr) (string, bool) {
		switch {
		case a.Space == "xmlns":
			return "xmlns:" + a.Key, true
		case a.Space == "" && a.Key == "xmlns":
			return "xmlns", true
		}
		return "", false
	}
	for _, a := range el.Attr {
		if name, ok := note(a); ok {
			have[name] = true
		}
	}
	for p := el.Parent(); p != nil; p = p.Parent() {
		for _, a := range p.Attr {
			if name, ok := note(a); ok && !have[name] {
				have[name] = true
				out.Attr = append(out.Attr, etree.Attr{Space: a.Space, Key: a.Key, Value: a.Value})
			}
		}
	}
	return out
}
