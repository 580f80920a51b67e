package lookup

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/sallyport-gateway/sallyport/flows"
)

// template is a text with attributes of the user in it.
type template struct {
	texts, paths []string // texts[0] paths[0] texts[1] …
}

var placeholder = regexp.MustCompile(`\{user\.([^{}\s]+)\}`)

func parseTemplate(text string) (template, error) {
	var t template
	at := 0
	for _, m := range placeholder.FindAllStringSubmatchIndex(text, -1) {
		t.texts, t.paths, at = append(t.texts, text[at:m[0]]), append(t.paths, text[m[2]:m[3]]), m[1]
	}
	t.texts = append(t.texts, text[at:])
	for _, s := range t.texts {
		if strings.ContainsAny(s, "{}") {
			return template{}, fmt.Errorf("'%s': there are placeholders {user.<attribute>} and no others", text)
		}
	}
	if len(t.paths) == 0 {
		return template{}, fmt.Errorf("'%s' names nothing of the user, so everybody would be the same; write {user.<attribute>}", text)
	}
	return t, nil
}

// of fills in the user's attributes; "" unless each is there with one value.
func (t template) of(u *flows.User) string {
	var b strings.Builder
	for i, path := range t.paths {
		values, _ := flows.Strings(u.Lookup(path))
		if len(values) != 1 || values[0] == "" {
			return ""
		}
		b.WriteString(t.texts[i])
		b.WriteString(values[0])
	}
	b.WriteString(t.texts[len(t.texts)-1])
	return b.String()
}

// reads are the attributes that a step in front must have set; what the provider
// may have left out finds nobody.
func (t template) reads() (names []string) {
	for _, p := range t.paths {
		names = append(names, "user."+p)
	}
	return names
}
