package flows

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Mapping is for dialects whose headers the operator chose.
type Mapping struct {
	// Attributes are headers filled from attributes of the user.
	Attributes []MappedAttribute `json:"attributes,omitempty"`
}

// MappedAttribute is one header and where its value comes from.
type MappedAttribute struct {
	// Header is sent in exactly this case.
	Header string `json:"header"`
	// Attribute is the name of an attribute, or a dotted path into a nested one; claims.<path> reads the raw claims.
	Attribute string `json:"attribute"`
}

// Words are its words.
func (*Mapping) Words() []string { return []string{"attribute"} }

// Repeats is so.
func (*Mapping) Repeats(string) bool { return true }

// SetOption reads `attribute <Header> <attribute>`; {user.department} may stand for department.
func (m *Mapping) SetOption(word string, args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("%s takes a header and an attribute, got %d arguments", word, len(args))
	}
	m.Attributes = append(m.Attributes, MappedAttribute{args[0], attributeName(args[1])})
	return nil
}

// Validate refuses names that are none.
func (m *Mapping) Validate() error {
	for i, a := range m.Attributes {
		if !token(a.Header) {
			return fmt.Errorf("attribute %s: %q is no header name (RFC 9110 §5.1)", a.Header, a.Header)
		}
		if a.Attribute == "" || strings.ContainsAny(a.Attribute, "{} ") || strings.HasSuffix(a.Attribute, ".") {
			return fmt.Errorf("attribute %s: '%s' is no attribute; a text with placeholders is a line `header %s …` of protect", a.Header, a.Attribute, a.Header)
		}
		for _, b := range m.Attributes[:i] {
			if Alias(a.Header) == Alias(b.Header) {
				return fmt.Errorf("attribute %s is written twice; many applications cannot tell %s from it", a.Header, b.Header)
			}
		}
	}
	return nil
}

// Names are the headers.
func (m *Mapping) Names() (names []string) {
	for _, a := range m.Attributes {
		names = append(names, a.Header)
	}
	return names
}

// Write writes the headers; what names a person is kept apart (I06).
func (m *Mapping) Write(u *User, w HeaderWriter, o HeaderOptions) error {
	for _, a := range m.Attributes {
		if !Wants(w, a.Header) {
			continue
		}
		values, list := Strings(u.Lookup(a.Attribute))
		opts := o
		opts.Single = !list
		if !list && len(values) == 1 && slices.Contains(naming, a.Attribute) {
			opts = o.ForLogin(values[0])
		}
		if err := w.Set(a.Header, values, opts); err != nil {
			return err
		}
	}
	return nil
}

// naming are the attributes that say which person it is.
var naming = []string{"key", "subject", "name", "email", "dn", "user_dn"}

// errNothingMapped is for dialects that have no header of their own.
var errNothingMapped = errors.New("no header is mapped: add a line `attribute <Header> <attribute>`")

// Mapped refuses a mapping without a header.
func (m *Mapping) Mapped() error {
	if len(m.Attributes) == 0 {
		return errNothingMapped
	}
	return nil
}

// Leaving is how an old system's sessions ended, as configured.
type Leaving struct {
	// Logout are paths of the application that end the session, exact or with * at either end.
	Logout []string `json:"logout,omitempty"`
	// ClearCookie are cookies of the old system that are cleared when the session ends.
	ClearCookie []string `json:"clear_cookie,omitempty"`
}

// Words are its words.
func (*Leaving) Words() []string { return []string{"logout", "clear_cookie"} }

// Repeats is never so.
func (*Leaving) Repeats(string) bool { return false }

// SetOption reads `logout <path>…` and `clear_cookie <name>…`.
func (l *Leaving) SetOption(word string, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("%s takes at least one argument", word)
	}
	if word == "logout" {
		l.Logout = append(l.Logout, args...)
	} else {
		l.ClearCookie = append(l.ClearCookie, args...)
	}
	return nil
}

// Validate refuses paths that would end every session, and what is no path or cookie.
func (l *Leaving) Validate() error {
	for _, p := range l.Logout {
		if err := ValidLeavePath(p); err != nil {
			return fmt.Errorf("logout: %w", err)
		}
	}
	for _, c := range l.ClearCookie {
		if !token(c) {
			return fmt.Errorf("clear_cookie: %q is no cookie name (RFC 6265 §4.1.1)", c)
		}
	}
	return nil
}

// ValidLeavePath says why a path cannot end sessions.
func ValidLeavePath(p string) error {
	inner := strings.TrimPrefix(strings.TrimSuffix(p, "*"), "*")
	switch {
	case !strings.HasPrefix(p, "/") && !strings.HasPrefix(p, "*"):
		return fmt.Errorf("'%s' is no path: it must begin with / or *", p)
	case strings.Trim(inner, "/") == "":
		return fmt.Errorf("'%s' would end every session", p)
	case strings.ContainsAny(inner, "*?#{} \\") || strings.ContainsFunc(inner, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("'%s': a path here is exact or has one * at either end", p)
	}
	return nil
}

// Leave joins what is configured to what the old system had by default.
func (l *Leaving) Leave(cookies []string, paths ...LeavePath) Leave {
	out := Leave{Paths: slices.Clone(paths), Cookies: slices.Clone(cookies)}
	for _, p := range l.Logout {
		out.Paths = append(out.Paths, LeavePath{Path: p})
	}
	for _, c := range l.ClearCookie {
		if !slices.Contains(out.Cookies, c) {
			out.Cookies = append(out.Cookies, c)
		}
	}
	return out
}

// token is RFC 9110 §5.6.2.
func token(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0:
			return false
		}
	}
	return s != ""
}

// Alias makes one spelling of all that an application may read as one name.
func Alias(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			return r
		}
		return '-'
	}, name)
}
