package flows

import (
	"fmt"
	"slices"
	"strings"
)

// InScope refuses a name or address outside of what the provider may assert. With
// a scope, the name or, if the name is no address, the e-mail must be in it, and
// whatever looks like an address must be. Two @ are refused: systems do not
// agree which of them counts (O9, CVE-2026-40574).
func (o *ProviderOptions) InScope(u *User) error {
	if len(o.Scope) == 0 {
		return nil
	}
	addressed := false
	for _, s := range []string{u.Name, u.Email} {
		if !strings.Contains(s, "@") {
			continue
		}
		domain, ok := DomainOf(s)
		if !ok || !slices.ContainsFunc(o.Scope, func(want string) bool { return LowerASCII(strings.TrimPrefix(want, "@")) == domain }) {
			return fmt.Errorf("%q is outside of its scope %s", s, strings.Join(o.Scope, " "))
		}
		addressed = true
	}
	if !addressed {
		return fmt.Errorf("neither name %q nor an e-mail address is inside of its scope %s", u.Name, strings.Join(o.Scope, " "))
	}
	return nil
}

// DomainOf returns the lower-cased domain of something with exactly one @.
func DomainOf(address string) (string, bool) {
	local, domain, ok := strings.Cut(address, "@")
	if !ok || local == "" || domain == "" || strings.Contains(domain, "@") || strings.ContainsAny(address, " \t\r\n\x00") {
		return "", false
	}
	return LowerASCII(domain), true
}

// LowerASCII lower-cases ASCII only: Unicode folds letters into others (the Kelvin
// sign into k), which would let a look-alike domain pass for the real one.
func LowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
