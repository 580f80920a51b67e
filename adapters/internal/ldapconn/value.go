package ldapconn

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"
)

// GUID is the text of an objectGUID, as Windows writes it: the first three parts
// are little-endian ([MS-DTYP] 2.3.4.2).
func GUID(b []byte) (string, error) {
	if len(b) != 16 {
		return "", fmt.Errorf("objectGUID has %d bytes, not 16", len(b))
	}
	var o [16]byte
	binary.BigEndian.PutUint32(o[0:], binary.LittleEndian.Uint32(b[0:]))
	binary.BigEndian.PutUint16(o[4:], binary.LittleEndian.Uint16(b[4:]))
	binary.BigEndian.PutUint16(o[6:], binary.LittleEndian.Uint16(b[6:]))
	copy(o[8:], b[8:])
	s := hex.EncodeToString(o[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:], nil
}

var guidForm = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)

// guidBytes reads a GUID as Windows writes it, or in Base64, as onPremisesImmutableId
// of Entra is.
func guidBytes(text string) (string, bool) {
	if b, err := base64.StdEncoding.DecodeString(text); err == nil && len(b) == 16 {
		return string(b), true
	}
	if !guidForm.MatchString(text) {
		return "", false
	}
	b, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil {
		return "", false
	}
	slices.Reverse(b[0:4])
	slices.Reverse(b[4:6])
	slices.Reverse(b[6:8])
	return string(b), true
}

// SID is the text of an objectSid ([MS-DTYP] 2.4.2.1 and 2.4.2.2).
func SID(b []byte) (string, error) {
	if len(b) < 8 || b[0] != 1 || len(b) != 8+4*int(b[1]) {
		return "", fmt.Errorf("objectSid has %d bytes and is none", len(b))
	}
	authority := uint64(binary.BigEndian.Uint16(b[2:]))<<32 | uint64(binary.BigEndian.Uint32(b[4:]))
	s := "S-1-" + strconv.FormatUint(authority, 10)
	for at := 8; at < len(b); at += 4 {
		s += "-" + strconv.FormatUint(uint64(binary.LittleEndian.Uint32(b[at:])), 10)
	}
	return s, nil
}

func sidBytes(text string) (string, bool) {
	parts := strings.Split(text, "-")
	if len(parts) < 3 || len(parts) > 3+15 || parts[0] != "S" || parts[1] != "1" {
		return "", false
	}
	authority, err := strconv.ParseUint(parts[2], 10, 48)
	if err != nil {
		return "", false
	}
	b := binary.BigEndian.AppendUint64(nil, authority)
	b[0], b[1] = 1, byte(len(parts)-3)
	for _, p := range parts[3:] {
		n, err := strconv.ParseUint(p, 10, 32)
		if err != nil {
			return "", false
		}
		b = binary.LittleEndian.AppendUint32(b, uint32(n))
	}
	return string(b), true
}

// CommonName is the cn a DN begins with, or the value of whatever it begins with.
func CommonName(dn string) (string, error) {
	d, err := ldap.ParseDN(dn)
	if err != nil || len(d.RDNs) == 0 {
		return "", fmt.Errorf("%q is no DN: %w", dn, err)
	}
	first := d.RDNs[0].Attributes
	for _, a := range first {
		if strings.EqualFold(a.Type, "cn") {
			return a.Value, nil
		}
	}
	return first[0].Value, nil
}

// Name is CanonicalDN and CommonName of a DN at once; most need no parser.
func Name(dn string) (canonical, cn string, err error) {
	if cn, ok := plain(dn); ok {
		return strings.ToLower(dn), cn, nil
	}
	if canonical, err = CanonicalDN(dn); err != nil {
		return "", "", err
	}
	cn, err = CommonName(dn)
	return canonical, cn, err
}

// plain reads the first value of a DN in which every byte stands for itself
// (RFC 4514 §2.4) and no name has several parts.
func plain(dn string) (first string, ok bool) {
	for rest, more := dn, true; more; {
		var rdn string
		rdn, rest, more = strings.Cut(rest, ",")
		name, value, _ := strings.Cut(rdn, "=")
		if !dnName(name) || value == "" || value[0] == ' ' || value[len(value)-1] == ' ' {
			return "", false
		}
		for i := range len(value) {
			if c := value[i]; !alphanumeric(c) && c != ' ' && c != '-' && c != '_' && c != '.' {
				return "", false
			}
		}
		if first == "" {
			first = value
		}
	}
	return first, true
}

func dnName(s string) bool {
	for i := range len(s) {
		if !alphanumeric(s[i]) {
			return false
		}
	}
	return s != ""
}

func alphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// CanonicalDN is one spelling for all of a DN. "" has none.
func CanonicalDN(dn string) (string, error) {
	d, err := ldap.ParseDN(dn)
	if err != nil {
		return "", err
	}
	if len(d.RDNs) == 0 {
		return "", fmt.Errorf("the DN is empty")
	}
	return strings.ToLower(d.String()), nil
}

var attributeForm = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9-]*|[0-9]+(\.[0-9]+)+)(;[A-Za-z0-9-]+)*$`)

// AttributeName reports whether a text may name an attribute (RFC 4512 §2.5).
func AttributeName(s string) bool { return len(s) <= 128 && attributeForm.MatchString(s) }

// bytesOnly are attributes that are no texts, even if some value looks like one.
var bytesOnly = []string{"objectguid", "objectsid", "ms-ds-consistencyguid"}

// secretWords are parts of the names of attributes that hold passwords or keys:
// what the servers let us read of them goes nowhere.
var secretWords = []string{"password", "passwd", "pwd", "secret", "privatekey", "unicodepwd", "hash", "krbprincipalkey", "supplementalcredentials", "otp", "recoveryinformation"}

// longestValue is the longest text that is taken as an attribute: pictures and
// certificates are none.
const longestValue = 4096

// Attributes are the entry's texts under their own names: one is a text, several
// are a list. Secrets, options (;lang-de) and what
// is no text are left out.
func Attributes(e *ldap.Entry) map[string]any {
	out := map[string]any{}
	for _, a := range e.Attributes {
		if a.Name == "" || !AttributeName(a.Name) || strings.Contains(a.Name, ";") || hidden(a.Name) {
			continue
		}
		if v, ok := Texts(a, false); ok {
			out[a.Name] = v
		}
	}
	return out
}

func hidden(name string) bool {
	name = strings.ToLower(name)
	return slices.Contains(bytesOnly, name) || slices.ContainsFunc(secretWords, func(w string) bool { return strings.Contains(name, w) })
}

// Texts are an attribute's values as they stand in a user; false where there is
// none, or one is no text.
func Texts(a *ldap.EntryAttribute, list bool) (any, bool) {
	if a == nil || len(a.Values) == 0 {
		return nil, false
	}
	for _, v := range a.Values {
		if len(v) > longestValue || !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
			return nil, false
		}
	}
	if len(a.Values) == 1 && !list {
		return a.Values[0], true
	}
	out := make([]any, len(a.Values))
	for i, v := range a.Values {
		out[i] = v
	}
	return out, true
}

// Values are all values of an attribute, whatever the case of its name.
func Values(e *ldap.Entry, name string) []string { return e.GetEqualFoldAttributeValues(name) }

// Attribute finds one by its name, whatever its case.
func Attribute(e *ldap.Entry, name string) *ldap.EntryAttribute { return find(e, name) }
