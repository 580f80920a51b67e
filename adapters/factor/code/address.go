package code

import (
	"fmt"
	"net/mail"
	"regexp"
	"strings"
	"unicode"

	"github.com/sallyport-gateway/sallyport/flows"
)

// address is where codes of a kind go: one attribute, and fixed text around it.
type address struct{ kind, before, path, after string }

var addressForm = regexp.MustCompile(`^([^{}]*)\{user\.([^{}\s]+)\}([^{}]*)$`)

func parseAddress(kind, text string) (address, error) {
	if text == "" {
		text = map[string]string{"email": "{user.email}", "sms": "{user.phone}"}[kind]
	}
	m := addressForm.FindStringSubmatch(text)
	if m == nil || strings.ContainsFunc(text, unicode.IsControl) {
		return address{}, fmt.Errorf("factor %s: to '%s' must hold one {user.<attribute>}, and no other placeholder", kind, text)
	}
	return address{kind, m[1], m[2], m[3]}, nil
}

// of is the address of a person; "" where nobody vouches for one.
func (a address) of(u *flows.User) string {
	values, _ := flows.Strings(u.Vouched(a.path))
	if len(values) != 1 || values[0] == "" {
		return ""
	}
	v := values[0]
	if a.kind == "sms" {
		if v = number(v); v == "" {
			return ""
		}
		return a.before + v + a.after
	}
	v = a.before + v + a.after
	if m, err := mail.ParseAddress(v); err != nil || m.Address != v || strings.ContainsFunc(v, unicode.IsControl) {
		return ""
	}
	return v
}

// number is a telephone number in one spelling, or "": spellings must not multiply
// what is sent to it.
func number(s string) string {
	s = strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \u00a0-./()", r) {
			return -1
		}
		return r
	}, s)
	digits := strings.TrimPrefix(s, "+")
	if len(digits) < 6 || len(digits) > 15 || strings.Trim(digits, "0123456789") != "" { // E.164 §6.2.1
		return ""
	}
	return s
}

// masked shows a person which address it is, and nobody else what it is.
func masked(kind, to string) string {
	if kind == "sms" {
		return "•••" + to[max(0, len(to)-2):]
	}
	at := strings.LastIndexByte(to, '@')
	if at < 0 {
		at = len(to)
	}
	for i := range to[:at] {
		if i > 0 {
			return to[:i] + "•••" + to[at:]
		}
	}
	return "•••" + to[at:]
}

// key names an address in a budget, whatever the case it is written in.
func key(to string) string { return "to\x00" + strings.ToLower(to) }
