package flows

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Template is a text with attributes of the user in it, {user.<attribute>}, and
// whatever else its place knows of.
type Template struct {
	texts, names []string // texts[0] names[0] texts[1] …
}

var placeholder = regexp.MustCompile(`\{([a-z]+(?:\.[^{}\s]+)?)\}`)

// ParseTemplate reads one; others are the names that may stand there beside user.*.
func ParseTemplate(text string, others ...string) (Template, error) {
	var t Template
	at := 0
	for _, m := range placeholder.FindAllStringSubmatchIndex(text, -1) {
		name := text[m[2]:m[3]]
		if !strings.HasPrefix(name, "user.") && !slices.Contains(others, name) {
			return Template{}, unknownPlaceholder(text, others)
		}
		t.texts, t.names, at = append(t.texts, text[at:m[0]]), append(t.names, name), m[1]
	}
	t.texts = append(t.texts, text[at:])
	for _, s := range t.texts {
		if strings.ContainsAny(s, "{}") {
			return Template{}, unknownPlaceholder(text, others)
		}
	}
	return t, nil
}

func unknownPlaceholder(text string, others []string) error {
	known := "{user.<attribute>}"
	for _, o := range others {
		known += ", {" + o + "}"
	}
	return fmt.Errorf("'%s': there are placeholders %s and no others", text, known)
}

// Reads are the attributes in it, as user.<attribute>.
func (t Template) Reads() (names []string) {
	for _, n := range t.names {
		if strings.HasPrefix(n, "user.") {
			names = append(names, n)
		}
	}
	return names
}

// Of fills in the user's attributes, and tells whether each is there with one value;
// other answers the rest, and may be nil where nothing else is allowed.
func (t Template) Of(u *User, other func(name string) string) (text string, whole bool) {
	var b strings.Builder
	whole = true
	for i, name := range t.names {
		b.WriteString(t.texts[i])
		path, ours := strings.CutPrefix(name, "user.")
		switch values, _ := Strings(u.Lookup(path)); {
		case !ours && other != nil:
			b.WriteString(other(name))
		case len(values) == 1 && values[0] != "":
			b.WriteString(values[0])
		default:
			whole = false
		}
	}
	b.WriteString(t.texts[len(t.texts)-1])
	return b.String(), whole
}
