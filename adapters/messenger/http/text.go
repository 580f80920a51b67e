package http

import (
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/flows"
)

// text is a template, taken apart once: what a secret or a value holds is never
// read as a placeholder.
type text []part

// part is fixed, or the name of what is filled in.
type part struct{ fixed, name string }

// field is a Field whose secrets are resolved.
type field struct {
	name  string
	value text
}

// names are what a message fills in.
const names = "code, host, id, kind, language, subject, text, to"

// parse takes a template apart. Other placeholders are secrets: with resolve they
// are looked up, else only their form is judged.
func parse(s string, resolve bool) (t text, err error) {
	for s != "" {
		before, rest, open := strings.Cut(s, "{")
		if before != "" {
			t = append(t, part{fixed: before})
		}
		if !open {
			return t, nil
		}
		name, after, closed := strings.Cut(rest, "}")
		switch {
		case !closed:
			return nil, fmt.Errorf("'{%s' has no }", rest)
		case strings.HasPrefix(name, "env.") || strings.HasPrefix(name, "file."):
			p := part{fixed: "secret"}
			if resolve {
				if p.fixed, err = caddy.NewReplacer().ReplaceOrErr("{"+name+"}", true, true); err != nil {
					return nil, err
				}
				p.fixed = strings.TrimRight(p.fixed, "\r\n")
			}
			t = append(t, p)
		case strings.Contains(", "+names+",", ", "+name+","):
			t = append(t, part{name: name})
		default:
			return nil, fmt.Errorf("nothing fills in {%s}; there are: %s, and secrets as {env.X} or {file./abs/path}", name, names)
		}
		s = after
	}
	return t, nil
}

// of fills in a message.
func (t text) of(m flows.Message, escape func(string) string) string {
	var b strings.Builder
	for _, p := range t {
		switch p.name {
		case "":
			b.WriteString(p.fixed)
			continue
		case "to":
			p.fixed = m.To
		case "text":
			p.fixed = m.Text
		case "subject":
			p.fixed = m.Subject
		case "kind":
			p.fixed = m.Kind
		case "language":
			p.fixed = m.Language
		case "id":
			p.fixed = m.ID
		case "code":
			p.fixed = m.Secret["code"]
		case "host":
			p.fixed = m.Values["host"]
		}
		b.WriteString(escape(p.fixed))
	}
	return b.String()
}

func plain(s string) string { return s }
