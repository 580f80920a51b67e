package headers

import (
	"errors"
	"fmt"
	"strings"
)

// foldTable maps every byte to its alias class: letters in lower case, digits
// as they are, everything else '-'. CGI, WSGI, PHP and FastCGI make an
// underscore of the hyphen, and some of every other character, so that all
// these spellings read as one name there.
var foldTable = func() (t [256]byte) {
	for i := range t {
		switch c := byte(i); {
		case c >= 'A' && c <= 'Z':
			t[i] = c + 'a' - 'A'
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
			t[i] = c
		default:
			t[i] = '-'
		}
	}
	return t
}()

// Fold returns the alias class of a header name: X-Remote-User, x_remote.user
// and X~Remote~User are one; so are SM_USER and SM-USER.
func Fold(name string) string {
	b := make([]byte, len(name))
	for i := range len(name) {
		b[i] = foldTable[name[i]]
	}
	return string(b)
}

// sameClass reports whether two names are aliases; it allocates nothing.
func sameClass(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if foldTable[a[i]] != foldTable[b[i]] {
			return false
		}
	}
	return true
}

// inClass reports whether a name is in one of the given classes.
func inClass(folded []string, name string) bool {
	for _, f := range folded {
		if sameClass(f, name) {
			return true
		}
	}
	return false
}

// reserved are classes that belong to the connection, the framing or the proxy
// itself (RFC 9110 §7.6.1): nobody may send or own them.
var reserved = map[string]string{
	"host": "", "connection": "", "content-length": "", "transfer-encoding": "", "trailer": "", "te": "",
	"upgrade": "", "keep-alive": "", "proxy-connection": "", "proxy-authenticate": "", "proxy-authorization": "",
	"expect": "", "content-type": "", "content-encoding": "", "range": "", "http2-settings": "",
	"proxy":      " (CGI would read it as HTTP_PROXY)",
	"cookie":     " (the application's own cookies are in it)",
	"set-cookie": " (it is no request header)",
	// The proxy writes these from what trusted_proxies says (B12).
	"x-forwarded-for": " (reverse_proxy writes it)", "x-forwarded-host": " (reverse_proxy writes it)",
	"x-forwarded-proto": " (reverse_proxy writes it)",
}

// ValidateName says why a header may not be sent: it is no token (RFC 9110
// §5.1), or it frames the message.
func ValidateName(name string) error {
	if name == "" {
		return errors.New("empty header name")
	}
	for i := range len(name) {
		if !tokenByte(name[i]) {
			return fmt.Errorf("header name %q: %q is not allowed in a name (RFC 9110 §5.1)", name, name[i])
		}
	}
	if why, ok := reserved[Fold(name)]; ok {
		return fmt.Errorf("header %s cannot be set: it belongs to the connection%s", name, why)
	}
	return nil
}

// ValidateOwned says why a name or a family ("Prefix*") may not be stripped
// from every request.
func ValidateOwned(name string) error {
	prefix, family := strings.CutSuffix(name, "*")
	if !family {
		return ValidateName(name)
	}
	if len(prefix) < 2 {
		return fmt.Errorf("header family %q: at least two characters must stand before *", name)
	}
	for i := range len(prefix) {
		if !tokenByte(prefix[i]) || prefix[i] == '*' {
			return fmt.Errorf("header family %q: %q is not allowed in a name (RFC 9110 §5.1)", name, prefix[i])
		}
	}
	p := Fold(prefix)
	for r := range reserved {
		if strings.HasPrefix(r, p) {
			return fmt.Errorf("header family %q would take %s away", name, r)
		}
	}
	return nil
}

func isToken(s string) bool {
	for i := range len(s) {
		if !tokenByte(s[i]) {
			return false
		}
	}
	return s != ""
}

func tokenByte(c byte) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		return true
	}
	return strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}
