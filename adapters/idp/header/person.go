package header

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sallyport-gateway/sallyport/flows"
)

func (p *Provider) person(r *flows.Request) (u flows.User, err error) {
	if u.Name, err = once(r.Captured, p.User, maxName); err != nil {
		return u, err
	}
	if u.Name == "" {
		return u, fmt.Errorf("no header %s", p.User)
	}
	u.Subject, u.Attributes, u.Claims = u.Name, map[string]any{}, map[string]any{p.User: u.Name}
	for _, name := range sorted(p.Attributes) {
		a := p.Attributes[name]
		limit := maxValue
		if name == "subject" {
			limit = maxName
		}
		value, err := once(r.Captured, a.Header, limit)
		if err != nil {
			return u, err
		}
		if value == "" {
			if name == "subject" {
				return u, fmt.Errorf("no header %s", a.Header)
			}
			continue
		}
		u.Claims[a.Header] = value
		p.fill(&u, name, value, a.Separator)
	}
	return u, nil
}

func (p *Provider) fill(u *flows.User, name, value, separator string) {
	switch name {
	case "subject":
		u.Subject = value
	case "display_name":
		u.DisplayName = value
	case "email":
		if _, ok := flows.DomainOf(value); ok && p.Trusts("email") { // I06
			u.Email = value
		}
	case "groups":
		if separator == "" {
			separator = ","
		}
		u.Groups = split(value, separator)
	default:
		if separator == "" {
			u.Attributes[name] = value
			return
		}
		var list []any
		for _, s := range split(value, separator) {
			list = append(list, s)
		}
		u.Attributes[name] = list
	}
}

func split(value, separator string) []string {
	var out []string
	for s := range strings.SplitSeq(value, separator) {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// once is the value of a header that came once; "" where it did not come. Another
// spelling of the name is another sender's: a client gets past a system that removes
// its own by writing SM-USER for SM_USER.
func once(captured map[string][]string, name string, limit int) (string, error) {
	var found []string
	for spelling, values := range captured {
		if flows.Alias(spelling) != flows.Alias(name) {
			continue
		}
		if !strings.EqualFold(spelling, name) {
			return "", fmt.Errorf("header %s came in another spelling, too", name)
		}
		found = append(found, values...)
	}
	switch {
	case len(found) == 0:
		return "", nil
	case len(found) > 1:
		return "", fmt.Errorf("header %s came %d times", name, len(found))
	case len(found[0]) > limit:
		return "", fmt.Errorf("header %s has %d bytes, at most %d are believed", name, len(found[0]), limit)
	case !utf8.ValidString(found[0]) || strings.ContainsFunc(found[0], unicode.IsControl):
		return "", fmt.Errorf("header %s is no text", name)
	}
	return strings.TrimSpace(found[0]), nil
}
