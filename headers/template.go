package headers

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// Placeholders are what a template may name, as an error lists them.
const Placeholders = "{user.<attribute>}, {user.claims.<path>}, {session.id}, {auth.method}, {auth.acr}, {auth.amr}, {auth.age}, {auth.provider}"

// Template is the value of a header as an operator wrote it, parsed once when
// the configuration is loaded. What a claim holds is data: it is never looked
// at for placeholders again (P14).
type Template struct {
	parts []part
}

// part is a literal, or a name when lookup is set.
type part struct {
	text   string
	lookup func(*flows.Facts) any
	late   bool
}

// ParseTemplate reads text with {placeholders}; `\{` and `\}` are braces,
// and `\\{` is a backslash before a placeholder. An unknown placeholder is an error that lists those that exist.
func ParseTemplate(s string) (*Template, error) {
	t := &Template{}
	var lit strings.Builder
	flush := func() {
		if lit.Len() > 0 {
			t.parts = append(t.parts, part{text: lit.String()})
			lit.Reset()
		}
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s) && (s[i+1] == '{' || s[i+1] == '}'):
			i++
			lit.WriteByte(s[i])
		case c == '\\' && i+2 < len(s) && s[i+1] == '\\' && s[i+2] == '{': // CORP\\{user.name}
			i++
			lit.WriteByte(c)
		case c == '{':
			end := strings.IndexAny(s[i+1:], "{}")
			if end < 0 || s[i+1+end] == '{' {
				return nil, fmt.Errorf("%q: a { is not closed; write \\{ for a brace", s)
			}
			p, err := placeholder(s[i+1 : i+1+end])
			if err != nil {
				return nil, fmt.Errorf("%q: %w", s, err)
			}
			flush()
			t.parts = append(t.parts, p)
			i += 1 + end
		case c == '}':
			return nil, fmt.Errorf("%q: a } without a {; write \\} for a brace", s)
		case c < ' ' || c == 0x7f:
			return nil, fmt.Errorf("%q holds a control character", s)
		default:
			lit.WriteByte(c)
		}
	}
	flush()
	if len(t.parts) == 0 {
		return nil, fmt.Errorf("empty template")
	}
	return t, nil
}

// PerRequest reports whether the value changes from request to request.
func (t *Template) PerRequest() bool {
	for _, p := range t.parts {
		if p.late {
			return true
		}
	}
	return false
}

// Attributes are the attributes of a person that the template shows, as written
// behind "user.".
func (t *Template) Attributes() []string {
	var names []string
	for _, p := range t.parts {
		if name, ok := strings.CutPrefix(p.text, "user."); ok && p.lookup != nil {
			names = append(names, name)
		}
	}
	return names
}

// Attribute is the value of an attribute as a template finds it; nil if there is none.
func Attribute(f *flows.Facts, name string) any { return userLookup(name)(f) }

// Values evaluates the template. A placeholder that stands alone keeps its
// list; mixed with text every placeholder must have a value, or there is none,
// and a list among the text is joined by commas, its members encoded so that
// one never reads as two.
func (t *Template) Values(f *flows.Facts) (values []string, list bool) { return t.values(f, "") }

func (t *Template) values(f *flows.Facts, join string) (values []string, list bool) {
	if len(t.parts) == 1 && t.parts[0].lookup != nil {
		return flows.Strings(t.parts[0].lookup(f))
	}
	var b strings.Builder
	for _, p := range t.parts {
		if p.lookup == nil {
			b.WriteString(p.text)
			continue
		}
		v, list := flows.Strings(p.lookup(f))
		if len(v) == 0 {
			return nil, false
		}
		if !list {
			b.WriteString(v[0])
			continue
		}
		o := flows.HeaderOptions{Join: join}
		e := newEncoder(&o, false)
		b.WriteString(e.list(v, flows.LongestHeader))
	}
	return []string{b.String()}, false
}

func placeholder(name string) (part, error) {
	root, rest, dotted := strings.Cut(name, ".")
	p := part{text: name}
	switch {
	case strings.HasSuffix(name, ".") || name == "user.claims":
	case root == "user" && dotted:
		p.lookup = userLookup(rest)
	case name == "session.id":
		p.lookup = func(f *flows.Facts) any {
			if f.Session == nil {
				return nil
			}
			return f.Session.ID
		}
	case name == "auth.age":
		p.late, p.lookup = true, authAge
	case root == "auth":
		p.lookup = authLookups[rest]
	}
	if p.lookup == nil {
		return part{}, fmt.Errorf("unknown placeholder {%s}; there are: %s", name, Placeholders)
	}
	return p, nil
}

func userLookup(path string) func(*flows.Facts) any {
	return func(f *flows.Facts) any { return f.User.Lookup(path) }
}

// authLookups read the evidence. Trust in a device is no evidence about a
// person and never shows here (I03).
var authLookups = map[string]func(*flows.Facts) any{
	"method": func(f *flows.Facts) any {
		if e := f.Newest(); e != nil {
			return e.Method
		}
		return nil
	},
	"provider": func(f *flows.Facts) any {
		if e := f.Newest(); e != nil {
			return e.Provider
		}
		return nil
	},
	"acr": func(f *flows.Facts) any { return f.ACR() },
	"amr": func(f *flows.Facts) any { return f.AMR() },
}

// authAge is the age in seconds of the newest evidence.
func authAge(f *flows.Facts) any {
	e := f.Newest()
	if e == nil {
		return nil
	}
	return strconv.Itoa(int(max(f.Now.Sub(e.At), 0) / time.Second))
}
