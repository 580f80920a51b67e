package flows

import (
	"fmt"
	"maps"
	"regexp"
	"strings"
)

// UserKey is `<realm>:<subject>`, the key of everything that is stored about a
// person. It never contains what somebody typed (I04).
type UserKey string

// User is the person as a flow knows them. A User is never changed after the
// Execution adopted it; `set` works on a copy.
type User struct {
	Key      UserKey `json:"key,omitempty"`
	Realm    string  `json:"realm,omitempty"`
	Provider string  `json:"provider,omitempty"`
	Subject  string  `json:"subject,omitempty"`
	// Transient says that the subject is good for this login only, as a transient NameID
	// is: nothing that lasts is kept under the key (I04).
	Transient   bool   `json:"transient,omitempty"`
	Name        string `json:"name,omitempty"`
	DisplayName string `json:"display_name,omitempty"`
	// Email is filled only if somebody vouched for it (I06).
	Email  string   `json:"email,omitempty"`
	Groups []string `json:"groups,omitempty"`
	// Attributes are everything else, by name: string, bool, float64, []any or map[string]any.
	Attributes map[string]any `json:"attributes,omitempty"`
	// Claims are the raw claims the provider sent.
	Claims map[string]any `json:"claims,omitempty"`
	// Derived are the attributes that steps gave, in order.
	Derived []Derived `json:"derived,omitempty"`
}

// Attribute returns the value of a name as policies and headers see it, and
// whether there is one. Reserved names come first; an empty reserved value is missing.
func (u *User) Attribute(name string) (any, bool) {
	if u == nil {
		return nil, false
	}
	str := func(s string) (any, bool) { return s, s != "" }
	switch name {
	case "key":
		return str(string(u.Key))
	case "realm":
		return str(u.Realm)
	case "provider":
		return str(u.Provider)
	case "subject":
		return str(u.Subject)
	case "name":
		return str(u.Name)
	case "display_name":
		return str(u.DisplayName)
	case "email":
		return str(u.Email)
	case "groups":
		return u.Groups, len(u.Groups) > 0
	}
	v, ok := u.Attributes[name]
	return v, ok && v != nil
}

// Lookup follows a dotted path into attributes, or with claims. in front into the raw
// claims; nil is nothing.
func (u *User) Lookup(path string) any {
	if u == nil {
		return nil
	}
	if claim, ok := strings.CutPrefix(path, "claims."); ok {
		return walk(u.Claims, claim)
	}
	if v, ok := u.Attribute(path); ok {
		return v
	}
	if !strings.Contains(path, ".") {
		return nil
	}
	return walk(u.Attributes, path)
}

// Vouched is Lookup for what somebody vouches for: the provider, or the directory
// it was looked up in. It is nothing where a step gave the attribute, since then a
// person may have typed it, and nothing where the provider's own standard claim has
// that value and does not say that it verified it (OpenID Connect Core §5.1; I06).
func (u *User) Vouched(path string) any {
	v := u.Lookup(path)
	if v == nil {
		return nil
	}
	for _, d := range u.Derived {
		if d.Directory == "" && (d.Name == path || strings.HasPrefix(path, d.Name+".")) {
			return nil
		}
	}
	for _, claim := range []string{"email", "phone_number"} {
		if s, ok := v.(string); ok && s == u.Claims[claim] && s != u.Email && !isTrue(u.Claims[claim+"_verified"]) {
			return nil
		}
	}
	return v
}

// isTrue: some providers send booleans as text.
func isTrue(v any) bool { return v == true || v == "true" }

// walk follows a dotted path through nested maps. Names may hold dots
// themselves (https://example.com/roles): the longest that exists wins.
func walk(m map[string]any, path string) any {
	if v, ok := m[path]; ok {
		return v
	}
	for i := len(path) - 1; i > 0; i-- {
		if path[i] != '.' {
			continue
		}
		if inner, ok := m[path[:i]].(map[string]any); ok {
			if v := walk(inner, path[i+1:]); v != nil {
				return v
			}
		}
	}
	return nil
}

// ReservedAttributes are the names of a User that no claim mapping and no
// `set` may overwrite by accident: they have a meaning of their own.
var ReservedAttributes = []string{"key", "realm", "provider", "subject", "name", "display_name", "email", "groups", "claims"}

var validName = regexp.MustCompile(`^[a-z0-9_-]+$`)

// ValidName reports whether s may name a provider, a realm, a flow or a policy (I04).
func ValidName(s string) bool { return validName.MatchString(s) }

// MakeUserKey joins realm and subject (I04). The realm cannot contain a colon,
// so the first colon always ends it and two people never share a key.
func MakeUserKey(realm, subject string) (UserKey, error) {
	if !ValidName(realm) {
		return "", fmt.Errorf("realm %q must match [a-z0-9_-]+", realm)
	}
	if subject == "" || strings.ContainsRune(subject, 0) {
		return "", fmt.Errorf("realm %s: empty or malformed subject", realm)
	}
	return UserKey(realm + ":" + subject), nil
}

// AsVouched is the user as providers told of them, without what steps of a flow gave
// since: those run again.
func (u *User) AsVouched() *User {
	v := *u
	v.Attributes = maps.Clone(u.Attributes)
	for _, d := range u.Derived {
		delete(v.Attributes, d.Name)
	}
	v.Derived = nil
	return &v
}
