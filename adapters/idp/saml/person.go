package saml

import (
	"errors"
	"slices"
	"strings"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

// usual is where the reserved attributes come from unless `attribute` says
// otherwise: the first that is there. The name is the NameID, and nothing takes
// its place.
var usual = map[string][]string{
	"display_name": {"displayName"},
	"email":        {"mail", "email"},
	"groups":       {"groups", "isMemberOf", "memberOf"},
}

// attributeFor finds the attribute that fills one of ours; nil if there is none.
func (s *SAML) attributeFor(list []attribute, attr string) (*attribute, error) {
	if called, ok := s.Attributes[attr]; ok {
		return find(list, called)
	}
	for _, called := range usual[attr] {
		if a, err := find(list, called); a != nil || err != nil {
			return a, err
		}
	}
	return nil, nil
}

// user makes the person of a verified assertion.
func (s *SAML) user(f *facts) (flows.User, error) {
	if err := overage(f.Attributes); err != nil {
		return flows.User{}, err
	}
	u := flows.User{Attributes: map[string]any{}, Claims: map[string]any{}}
	if err := s.identify(&u, f); err != nil {
		return flows.User{}, err
	}
	for attr, to := range map[string]func(*attribute){
		"display_name": func(a *attribute) { u.DisplayName = a.first() },
		"email":        func(a *attribute) { u.Email = s.email(a) },
		"groups":       func(a *attribute) { u.Groups = slices.Clone(a.Values) },
	} {
		a, err := s.attributeFor(f.Attributes, attr)
		if err != nil {
			return flows.User{}, invalidf("%s: %w", attr, err)
		}
		if a != nil {
			to(a)
		}
	}
	return u, s.fill(&u, f.Attributes)
}

// identify fills subject and name. A transient NameID is somebody for one login
// only, so it never is a name that others know (I04).
func (s *SAML) identify(u *flows.User, f *facts) error {
	var err error
	if called := s.Attributes["subject"]; called != "" {
		if u.Subject, err = one(f.Attributes, "subject", called); err == nil && u.Subject == "" {
			err = invalidf("the provider did not send %q, which is the subject", called)
		}
	} else {
		u.Subject, err = f.named()
		u.Transient = f.NameID != nil && f.NameID.Format == transient
	}
	if err != nil {
		return err
	}
	if called := s.Attributes["name"]; called != "" {
		u.Name, err = one(f.Attributes, "name", called)
		return err
	}
	if f.NameID != nil && f.NameID.Format != transient {
		u.Name = f.NameID.Value
	}
	return nil
}

// named is the NameID as a subject.
func (f *facts) named() (string, error) {
	n := f.NameID
	switch {
	case n == nil:
		return "", invalidf("the provider sent no NameID; `subject` can name another identifier")
	case n.Format == persistent && n.NameQualifier != "" && n.NameQualifier != f.Issuer:
		// The same value of two qualifiers is two people (SAML Core §8.3.7).
		return "", invalidf("the NameID is qualified by %q, not by the provider; `subject` can name another identifier", outbound.Clip(n.NameQualifier, 200))
	}
	return n.Value, nil
}

// one is the single value of a mapped attribute, fit to be an identifier; ""
// when it was not sent.
func one(list []attribute, attr, called string) (string, error) {
	a, err := find(list, called)
	switch {
	case err != nil:
		return "", invalidf("%s: %w", attr, err)
	case a == nil || len(a.Values) == 0:
		return "", nil
	case len(a.Values) > 1:
		return "", invalidf("%s: attribute %q has %d values", attr, outbound.Clip(a.Name, 100), len(a.Values))
	}
	if err := plain(a.Values[0]); err != nil {
		return "", invalidf("%s: attribute %q %w", attr, outbound.Clip(a.Name, 100), err)
	}
	return a.Values[0], nil
}

func (a *attribute) first() string {
	if len(a.Values) == 0 {
		return ""
	}
	return a.Values[0]
}

// email is filled only where the operator lets this provider vouch for it (I06):
// SAML has no word for a verified address. Two @ read differently to different
// eyes, so such an address is nobody's.
func (s *SAML) email(a *attribute) string {
	mail := a.first()
	if !s.Trusts("email") {
		return ""
	}
	if _, ok := flows.DomainOf(mail); !ok || plain(mail) != nil {
		return ""
	}
	return mail
}

// fill makes attributes and claims: claims by Name as they were sent,
// attributes also by their short names, and mapped ones from there or not at all.
func (s *SAML) fill(u *flows.User, list []attribute) error {
	for i := range list {
		a := &list[i]
		u.Claims[a.Name] = a.value()
		if a.Opaque {
			continue
		}
		for _, called := range []string{a.Name, friendlyNames[a.Name], a.Friendly} {
			if called == "" || slices.Contains(flows.ReservedAttributes, called) {
				continue
			}
			if b, err := find(list, called); err == nil && b == a {
				u.Attributes[called] = a.value()
			}
		}
	}
	for attr, called := range s.Attributes {
		if slices.Contains(flows.ReservedAttributes, attr) {
			continue
		}
		delete(u.Attributes, attr)
		a, err := find(list, called)
		if err != nil {
			return invalidf("%s: %w", attr, err)
		}
		if a != nil && a.value() != nil {
			u.Attributes[attr] = a.value()
		}
	}
	return nil
}

// value is one text, or a list of them; nil without any.
func (a *attribute) value() any {
	switch len(a.Values) {
	case 0:
		return nil
	case 1:
		return a.Values[0]
	}
	out := make([]any, len(a.Values))
	for i, v := range a.Values {
		out[i] = v
	}
	return out
}

// overage notices that the provider sent a link in the place of the groups,
// because there are too many (B24): none would be taken for the truth.
func overage(list []attribute) error {
	for _, a := range list {
		if a.Name == "http://schemas.microsoft.com/claims/groups.link" {
			return invalid(errors.New("group overage: the provider left out the groups because there are too many; limit them at the provider or map another attribute"))
		}
	}
	return nil
}

// classes are the RFC 8176 methods that standard context classes stand for.
var classes = map[string][]string{
	classPrefix + "Password":                            {"pwd"},
	classPrefix + "PasswordProtectedTransport":          {"pwd"},
	classPrefix + "X509":                                {"swk"},
	classPrefix + "SoftwarePKI":                         {"swk"},
	classPrefix + "TLSClient":                           {"swk"},
	classPrefix + "Smartcard":                           {"sc"},
	classPrefix + "SmartcardPKI":                        {"sc", "hwk"},
	classPrefix + "TimeSyncToken":                       {"otp"},
	classPrefix + "Kerberos":                            {"wia"},
	classPrefix + "MobileTwoFactorContract":             {"mfa"},
	classPrefix + "MobileTwoFactorUnregistered":         {"mfa"},
	"urn:federation:authentication:windows":             {"wia"},
	"https://refeds.org/profile/mfa":                    {"mfa"},
	"https://refeds.org/profile/sfa":                    {"pwd"},
	"http://schemas.microsoft.com/claims/multipleauthn": {"mfa"},
}

const classPrefix = "urn:oasis:names:tc:SAML:2.0:ac:classes:"

// methods are the amr of a login: of its class, and of what Entra lists besides.
func (f *facts) methods() []string {
	refs := []string{f.Class}
	if a, err := find(f.Attributes, "authnmethodsreferences"); err == nil && a != nil {
		refs = append(refs, a.Values...)
	}
	var out []string
	for _, ref := range refs {
		for _, m := range classes[strings.TrimSpace(ref)] {
			if !slices.Contains(out, m) {
				out = append(out, m)
			}
		}
	}
	return out
}
