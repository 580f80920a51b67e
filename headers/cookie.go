package headers

import (
	"iter"
	"net/http"
	"slices"
	"strings"
)

// ScanCookie yields every value that a request has for a cookie name, in
// order, as it was sent. It allocates nothing, and it does not stop at the
// first: of several cookies with one name only one may be ours (B4).
func ScanCookie(h http.Header, name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, line := range h["Cookie"] {
			for line != "" {
				var pair string
				pair, line, _ = strings.Cut(line, ";")
				pair = trimBlanks(pair)
				if len(pair) <= len(name) || pair[len(name)] != '=' || pair[:len(name)] != name {
					continue
				}
				if !yield(pair[len(name)+1:]) {
					return
				}
			}
		}
	}
}

// CleanCookies removes the gateway's own cookies from a request; those of the
// application keep their order, spacing and bytes (B03). Pairs end at every
// semicolon, quoted or not, as browsers write them (RFC 6265 §4.2.1): an
// application must not be able to hide our ticket between two quotes of its
// own cookies. Without a cookie of ours nothing is allocated.
func CleanCookies(h http.Header, own func(name string) bool) {
	lines := h["Cookie"]
	first := slices.IndexFunc(lines, func(l string) bool { return hasOwn(l, own) })
	if first < 0 {
		return
	}
	var kept []string
	for i, l := range lines {
		if i == first || i > first && hasOwn(l, own) {
			l = dropOwn(l, own)
		}
		if strings.Trim(l, " \t;") != "" {
			if kept == nil { // a new slice: the old one may be captured elsewhere
				kept = make([]string, 0, len(lines)-i)
			}
			kept = append(kept, l)
		}
	}
	if len(kept) == 0 {
		delete(h, "Cookie")
		return
	}
	h["Cookie"] = kept
}

func hasOwn(line string, own func(string) bool) bool {
	for more := true; more; {
		var pair string
		pair, line, more = strings.Cut(line, ";")
		if own(cookieName(pair)) {
			return true
		}
	}
	return false
}

// dropOwn cuts whole pairs out, each with the semicolon before it; what is
// first afterwards loses only its leading blanks.
func dropOwn(line string, own func(string) bool) string {
	var b strings.Builder
	first := true
	for more := true; more; {
		var pair string
		pair, line, more = strings.Cut(line, ";")
		if own(cookieName(pair)) {
			continue
		}
		if first {
			first, pair = false, strings.TrimLeft(pair, " \t")
			b.Grow(len(pair) + 1 + len(line))
		} else {
			b.WriteByte(';')
		}
		b.WriteString(pair)
	}
	return b.String()
}

// cookieName is the name a reader may see in a pair. Leading equal signs are
// skipped: a nameless cookie whose value is "name=value" is sent as if it had
// that name (RFC 6265bis §5.7).
func cookieName(pair string) string {
	for pair != "" && (pair[0] == '=' || blank(pair[0])) {
		pair = pair[1:]
	}
	name, _, _ := strings.Cut(pair, "=")
	return trimBlanks(name)
}

// DropSetCookie removes cookies of our names from an application's answer: it
// must not be able to set or clear them (I12). A nameless cookie that would be
// sent back under our name counts as ours.
func DropSetCookie(h http.Header, own func(name string) bool) {
	lines, ok := h["Set-Cookie"]
	if !ok {
		return
	}
	kept := slices.DeleteFunc(lines, func(l string) bool {
		pair, _, _ := strings.Cut(l, ";")
		return own(cookieName(pair))
	})
	if len(kept) == 0 {
		delete(h, "Set-Cookie")
		return
	}
	h["Set-Cookie"] = kept
}

func blank(c byte) bool { return c <= ' ' || c == 0x7f }

// trimBlanks also trims control characters, which some readers skip.
func trimBlanks(s string) string {
	for s != "" && blank(s[0]) {
		s = s[1:]
	}
	for s != "" && blank(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}
