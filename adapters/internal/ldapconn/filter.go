package ldapconn

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// Filter is an LDAP filter (RFC 4515) with {names} where values go.
type Filter struct {
	texts, names []string // texts[0] names[0] texts[1] …
}

var placeholder = regexp.MustCompile(`\{([A-Za-z_][A-Za-z0-9_.;-]*)\}`)

// ParseFilter reads a filter. A value may only stand where a value does: never in
// the place of an attribute or an operator.
func ParseFilter(text string) (*Filter, error) {
	text = strings.TrimSpace(text)
	f, at := new(Filter), 0
	for _, m := range placeholder.FindAllStringSubmatchIndex(text, -1) {
		before := text[:m[0]]
		if open := strings.LastIndexAny(before, "()"); open < 0 || !strings.Contains(before[open:], "=") {
			return nil, fmt.Errorf("filter '%s': %s stands where no value does", text, text[m[0]:m[1]])
		}
		f.texts, f.names, at = append(f.texts, text[at:m[0]]), append(f.names, text[m[2]:m[3]]), m[1]
	}
	f.texts = append(f.texts, text[at:])
	for _, t := range f.texts {
		if strings.ContainsAny(t, "{}") {
			return nil, fmt.Errorf("filter '%s': a brace that is none of a {name} is written \\7b or \\7d", text)
		}
	}
	if _, err := ldap.CompileFilter(f.With(func(string) string { return "x" })); err != nil {
		return nil, fmt.Errorf("filter '%s': %w", text, errors.Unwrap(err))
	}
	return f, nil
}

// Names are the placeholders, in order.
func (f *Filter) Names() []string { return f.names }

// With fills in the values. Every byte that could mean anything to a filter is
// escaped, so whatever somebody types is a value and nothing else (RFC 4515 §3).
func (f *Filter) With(value func(name string) string) string {
	var b strings.Builder
	for i, name := range f.names {
		b.WriteString(f.texts[i])
		b.WriteString(ldap.EscapeFilter(value(name)))
	}
	b.WriteString(f.texts[len(f.texts)-1])
	return b.String()
}

// Anybody is the filter for all who could be meant: where a value goes, any will do.
func (f *Filter) Anybody() string {
	text := strings.Join(f.texts, "\x00")
	for {
		at := strings.IndexByte(text, 0)
		if at < 0 {
			return text
		}
		open, end := strings.LastIndexByte(text[:at], '('), at+strings.IndexByte(text[at:], ')')
		name := text[open+1 : open+1+strings.IndexAny(text[open+1:at], "=~<>:")]
		if name == "" { // (:rule:={name}): any attribute
			name = "objectClass"
		}
		text = text[:open] + "(" + name + "=*)" + text[end+1:]
	}
}

// Equals is the filter for a value of an attribute as we write it: a GUID or a SID is
// bytes to the server. False: it can be no value of it.
func Equals(attribute, value string) (filter string, ok bool) {
	switch strings.ToLower(attribute) {
	case "objectguid", "ms-ds-consistencyguid":
		value, ok = guidBytes(value)
	case "objectsid":
		value, ok = sidBytes(value)
	default:
		ok = value != ""
	}
	return "(" + attribute + "=" + ldap.EscapeFilter(value) + ")", ok
}
