package headers

import (
	"net/http"
	"slices"
	"strings"
)

// OwnCookies are the gateway's own cookies, by the name they are built on: it
// stands there alone or behind __Host- and __Secure-, with a port or a purpose
// behind it. Case is ignored, as some readers do.
type OwnCookies string

// Has reports whether a cookie of this name is ours.
func (o OwnCookies) Has(name string) bool {
	if name == "" || !o.mayBegin(name[0]) {
		return false
	}
	if len(name) > 2 && name[0] == '_' {
		for _, prefix := range [...]string{"__Host-", "__Secure-"} {
			if hasPrefixFold(name, prefix) {
				name = name[len(prefix):]
				break
			}
		}
	}
	if !hasPrefixFold(name, string(o)) {
		return false
	}
	rest := name[len(o):]
	return rest == "" || rest[0] == '-' || rest[0] == '.'
}

// mayBegin lets almost every cookie of an application go after one byte.
func (o OwnCookies) mayBegin(c byte) bool { return c == '_' || c|0x20 == o[0]|0x20 }

// hasPrefixFold is strings.HasPrefix that ignores case, quick for those that are equal.
func hasPrefixFold(s, prefix string) bool {
	return strings.HasPrefix(s, prefix) || len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// CookieValue is the value that a pair has for a cookie name, as it was sent; false:
// it has none for this name.
func CookieValue(pair, name string) (string, bool) {
	for pair != "" && blank(pair[0]) {
		pair = pair[1:]
	}
	if len(pair) <= len(name) || pair[len(name)] != '=' || pair[:len(name)] != name {
		return "", false
	}
	return trimRight(pair[len(name)+1:]), true
}

// Clean removes the gateway's own cookies from a request; those of the
// application keep their order, spacing and bytes (B03). Pairs end at every
// semicolon, quoted or not, as browsers write them (RFC 6265 §4.2.1): an
// application must not be able to hide our ticket between two quotes of its
// own cookies. Without a cookie of ours nothing is allocated. lines are what h has
// for Cookie; room may hold what is left of them. found is called with every pair
// of ours, in order: of several cookies with one name only one may be ours (B4).
func (o OwnCookies) Clean(h http.Header, lines []string, found func(pair string), room ...string) {
	for i, l := range lines {
		start, end := o.first(l)
		if start < 0 {
			continue
		}
		kept := append(room[:0], lines[:i]...) // never lines itself: it may be captured elsewhere
		kept = withLine(kept, o.drop(l, start, end, found))
		for _, l := range lines[i+1:] {
			if start, end := o.first(l); start >= 0 {
				l = o.drop(l, start, end, found)
			}
			kept = withLine(kept, l)
		}
		if len(kept) == 0 {
			delete(h, "Cookie")
			return
		}
		h["Cookie"] = kept
		return
	}
}

// withLine appends a line, unless no pair is left in it.
func withLine(lines []string, l string) []string {
	for i := range len(l) {
		if c := l[i]; c != ' ' && c != '\t' && c != ';' {
			return append(lines, l)
		}
	}
	return lines
}

// first finds the first pair of ours, without its semicolons; -1 if there is none.
func (o OwnCookies) first(line string) (start, end int) {
	for start <= len(line) {
		name := start
		for name < len(line) && skipped(line[name]) {
			name++
		}
		end = len(line)
		if i := strings.IndexByte(line[name:], ';'); i >= 0 {
			end = name + i
		}
		if name < end && o.mayBegin(line[name]) && o.Has(cookieName(line[name:end])) {
			return start, end
		}
		start = end + 1
	}
	return -1, -1
}

// drop cuts whole pairs out, each with the semicolon before it; what is
// first afterwards loses only its leading blanks. The first pair of ours is
// known; the usual line has no other, and costs one copy at most.
func (o OwnCookies) drop(line string, start, end int, found func(string)) string {
	if end < len(line) {
		if more, _ := o.first(line[end+1:]); more >= 0 {
			return o.dropAll(line, found)
		}
	}
	found(line[start:end])
	switch {
	case end == len(line):
		line = line[:max(start-1, 0)]
	case start == 0:
		line = line[end+1:]
	default:
		line = line[:start-1] + line[end:]
	}
	for line != "" && (line[0] == ' ' || line[0] == '\t') {
		line = line[1:]
	}
	return line
}

// dropAll is drop for any number of ours, in one pass however many there are.
func (o OwnCookies) dropAll(line string, found func(string)) string {
	var b strings.Builder
	first := true
	for more := true; more; {
		var pair string
		pair, line, more = strings.Cut(line, ";")
		if o.Has(cookieName(pair)) {
			found(pair)
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
	for pair != "" && skipped(pair[0]) {
		pair = pair[1:]
	}
	if i := strings.IndexByte(pair, '='); i >= 0 {
		pair = pair[:i]
	}
	return trimRight(pair)
}

// skipped are the bytes that readers pass over in front of a name.
func skipped(c byte) bool { return c == '=' || blank(c) }

// DropSet removes cookies of our names from an application's answer: it
// must not be able to set or clear them (I12). A nameless cookie that would be
// sent back under our name counts as ours.
func (o OwnCookies) DropSet(h http.Header) {
	lines, ok := h["Set-Cookie"]
	if !ok {
		return
	}
	kept := slices.DeleteFunc(lines, func(l string) bool {
		pair, _, _ := strings.Cut(l, ";")
		return o.Has(cookieName(pair))
	})
	if len(kept) == 0 {
		delete(h, "Set-Cookie")
		return
	}
	h["Set-Cookie"] = kept
}

func blank(c byte) bool { return c <= ' ' || c == 0x7f }

// trimRight also trims control characters, which some readers skip.
func trimRight(s string) string {
	for s != "" && blank(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}
