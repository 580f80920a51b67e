package saml

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/beevik/etree"
	samllib "github.com/crewjam/saml"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

// attribute is one of the person's, as the provider names it.
type attribute struct {
	Name     string   `json:"name"`
	Friendly string   `json:"friendly,omitempty"`
	Values   []string `json:"values"`
	// Opaque: some value is no text, so the others are not all of it.
	Opaque bool `json:"opaque,omitempty"`
}

// attributes reads the AttributeStatements. One that stands twice is one with
// the values of both.
func (m *reception) attributes(el *etree.Element, _ *samllib.Assertion, f *facts) error {
	at := map[string]int{}
	for _, st := range children(el, nsSAML, "AttributeStatement") {
		for _, a := range st.ChildElements() {
			if !is(a, nsSAML, "Attribute") {
				return fmt.Errorf("%s in an AttributeStatement", outbound.Clip(a.Tag, 40)) // EncryptedAttribute: part would be missing
			}
			name := attrOf(a, "Name")
			if name == "" {
				return errors.New("an Attribute without Name")
			}
			i, there := at[name]
			if !there {
				i, at[name] = len(f.Attributes), len(f.Attributes)
				f.Attributes = append(f.Attributes, attribute{Name: name, Friendly: attrOf(a, "FriendlyName")})
			}
			f.Attributes[i].add(a)
		}
	}
	for i := range f.Attributes {
		m.scope(&f.Attributes[i])
	}
	return nil
}

// scoped are the attributes whose values say behind their @ whose they are.
var scoped = []string{"eduPersonPrincipalName", "eduPersonScopedAffiliation", "eduPersonUniqueId", "subject-id", "pairwise-id"}

// scope drops values of a scope that the provider's metadata does not grant it
// (S9; SAML2Int SDP-SP17). Metadata without scopes grants all.
func (m *reception) scope(a *attribute) {
	if len(m.peer.Scopes) == 0 || !slices.Contains(scoped, friendlyNames[a.Name]) {
		return
	}
	a.Values = slices.DeleteFunc(a.Values, func(v string) bool {
		domain, ok := flows.DomainOf(v)
		return !ok || !slices.Contains(m.peer.Scopes, domain)
	})
}

func (a *attribute) add(el *etree.Element) {
	for _, v := range el.ChildElements() {
		if !is(v, nsSAML, "AttributeValue") {
			a.Opaque = true
			continue
		}
		if isNil(v) {
			continue
		}
		s, err := valueOf(v)
		if err != nil {
			a.Opaque = true
			continue
		}
		a.Values = append(a.Values, s)
	}
}

func isNil(el *etree.Element) bool {
	for _, a := range el.Attr {
		if a.Key == "nil" && a.NamespaceURI() == nsXSI {
			return a.Value == "true" || a.Value == "1"
		}
	}
	return false
}

// valueOf is the text of a value, or of the NameID in it (eduPersonTargetedID).
func valueOf(el *etree.Element) (string, error) {
	if kids := el.ChildElements(); len(kids) == 1 && is(kids[0], nsSAML, "NameID") {
		for _, c := range el.Child {
			if t, ok := c.(*etree.CharData); ok && !t.IsWhitespace() {
				return "", errors.New("text beside a NameID")
			}
		}
		return text(kids[0])
	}
	return text(el)
}

// plain refuses a name that two systems would read as two: HTTP cuts blanks off
// the ends of a header, terminals and logs act on control characters.
func plain(s string) error {
	switch {
	case s == "":
		return errors.New("is empty")
	case len(s) > 1024:
		return fmt.Errorf("of %d bytes, at most 1024 are read", len(s))
	case strings.ContainsRune(s, utf8.RuneError):
		return errors.New("holds an unreadable character")
	case strings.ContainsFunc(s, unicode.IsControl):
		return errors.New("holds a control character")
	}
	head, _ := utf8.DecodeRuneInString(s)
	tail, _ := utf8.DecodeLastRuneInString(s)
	if blank(head) || blank(tail) {
		return errors.New("begins or ends with a blank")
	}
	return nil
}

// blank is what nobody sees: spaces of every width and invisible format characters.
func blank(r rune) bool { return unicode.IsSpace(r) || !unicode.IsGraphic(r) }

// friendlyNames are the usual short names of what providers call by OID or URL:
// eduPerson and X.500 (MACE-Dir), Active Directory and Entra.
var friendlyNames = map[string]string{
	"urn:oid:0.9.2342.19200300.100.1.1":             "uid",
	"urn:oid:0.9.2342.19200300.100.1.3":             "mail",
	"urn:oid:2.5.4.3":                               "cn",
	"urn:oid:2.5.4.4":                               "sn",
	"urn:oid:2.5.4.42":                              "givenName",
	"urn:oid:2.5.4.10":                              "o",
	"urn:oid:2.5.4.11":                              "ou",
	"urn:oid:2.5.4.12":                              "title",
	"urn:oid:2.5.4.20":                              "telephoneNumber",
	"urn:oid:2.16.840.1.113730.3.1.241":             "displayName",
	"urn:oid:2.16.840.1.113730.3.1.3":               "employeeNumber",
	"urn:oid:2.16.840.1.113730.3.1.39":              "preferredLanguage",
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.1":              "eduPersonAffiliation",
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.2":              "eduPersonNickname",
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.5":              "eduPersonPrimaryAffiliation",
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.6":              "eduPersonPrincipalName",
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.7":              "eduPersonEntitlement",
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.9":              "eduPersonScopedAffiliation",
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.10":             "eduPersonTargetedID",
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.11":             "eduPersonAssurance",
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.13":             "eduPersonUniqueId",
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.16":             "eduPersonOrcid",
	"urn:oid:1.3.6.1.4.1.5923.1.5.1.1":              "isMemberOf",
	"urn:oid:1.3.6.1.4.1.25178.1.2.9":               "schacHomeOrganization",
	"urn:oid:1.3.6.1.4.1.25178.1.2.14":              "schacPersonalUniqueCode",
	"urn:oasis:names:tc:SAML:attribute:pairwise-id": "pairwise-id",
	"urn:oasis:names:tc:SAML:attribute:subject-id":  "subject-id",

	"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn":                       "upn",
	"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress":              "mail",
	"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/givenname":                 "givenName",
	"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/surname":                   "sn",
	"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name":                      "name",
	"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier":            "nameidentifier",
	"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/privatepersonalidentifier": "privatepersonalidentifier",
	"http://schemas.xmlsoap.org/claims/CommonName":                                    "cn",
	"http://schemas.xmlsoap.org/claims/EmailAddress":                                  "mail",
	"http://schemas.xmlsoap.org/claims/Group":                                         "groups",
	"http://schemas.xmlsoap.org/claims/UPN":                                           "upn",
	"http://schemas.microsoft.com/ws/2008/06/identity/claims/groups":                  "groups",
	"http://schemas.microsoft.com/ws/2008/06/identity/claims/role":                    "role",
	"http://schemas.microsoft.com/ws/2008/06/identity/claims/windowsaccountname":      "windowsaccountname",
	"http://schemas.microsoft.com/ws/2008/06/identity/claims/primarysid":              "primarysid",
	"http://schemas.microsoft.com/ws/2008/06/identity/claims/primarygroupsid":         "primarygroupsid",
	"http://schemas.microsoft.com/ws/2008/06/identity/claims/groupsid":                "groupsid",
	"http://schemas.microsoft.com/ws/2008/06/identity/claims/authenticationmethod":    "authenticationmethod",
	"http://schemas.microsoft.com/ws/2008/06/identity/claims/authenticationinstant":   "authenticationinstant",
	"http://schemas.microsoft.com/ws/2008/06/identity/claims/wids":                    "wids",
	"http://schemas.microsoft.com/identity/claims/displayname":                        "displayName",
	"http://schemas.microsoft.com/identity/claims/objectidentifier":                   "objectidentifier",
	"http://schemas.microsoft.com/identity/claims/tenantid":                           "tenantid",
	"http://schemas.microsoft.com/identity/claims/identityprovider":                   "identityprovider",
	"http://schemas.microsoft.com/claims/authnmethodsreferences":                      "authnmethodsreferences",
}

// find is the attribute that an operator means: by its Name, else by its usual
// short name, else by the FriendlyName the provider gave it. Several by one short
// name are nobody's: which one is meant would be a guess.
func find(list []attribute, called string) (*attribute, error) {
	for _, by := range []func(*attribute) string{
		func(a *attribute) string { return a.Name },
		func(a *attribute) string { return friendlyNames[a.Name] },
		func(a *attribute) string { return a.Friendly },
	} {
		var found *attribute
		for i := range list {
			if by(&list[i]) != called {
				continue
			}
			if found != nil {
				return nil, fmt.Errorf("two attributes may be meant by %q: %q and %q", called, outbound.Clip(found.Name, 100), outbound.Clip(list[i].Name, 100))
			}
			found = &list[i]
		}
		if found != nil {
			if found.Opaque {
				return nil, fmt.Errorf("attribute %q holds more than text", called)
			}
			return found, nil
		}
	}
	return nil, nil
}
