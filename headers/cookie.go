package headers

import (
	"iter"
	"net/http"
	"slices"
	"strings"
)

// ScanCookie yields every value that a request's Cookie lines have for a name, in
// order, as it was sent. It allocates nothing, and it does not stop at the
// first: of several cookies with one name only one may be ours (B4).
func ScanCookie(lines []string, name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, line := range lines {
			for from := 0; name != ""; {
				i := strings.Index(line[from:], name)
				if i < 0 {
					break
				}
				i += from
				from = i + len(name)
				if from >= len(line) || line[from] != '=' || !beginsPair(line, i) {
					from = i + 1
					continue
				}
				value, _, _ := strings.Cut(line[from+1:], ";")
				if !yield(trimRight(value)) {
					return
				}
			}
		}
	}
}

// beginsPair reports that nothing but blanks stands between the start of a pair and i.
func beginsPair(line string, i int) bool {
	for i > 0 && blank(line[i-1]) {
		i--
	}
	return i == 0 || line[i-1] == ';'
}

// CleanCookies removes the gateway's own cookies from a request; those of the
// application keep their order, spacing and bytes (B03). Pairs end at every
// semicolon, quoted or not, as browsers write them (RFC 6265 §4.2.1): an
// application must not be able to hide our ticket between two quotes of its
// own cookies. Without a cookie of ours nothing is allocated. lines are what h has
// for Cookie; room may hold what is left of them.
func CleanCookies(h http.Header, lines []string, own func(name string) bool, room ...string) {
	for i, l := range lines {
		start, end := firstOwn(l, own)
		if start < 0 {
			continue
		}
		kept := append(room[:0], lines[:i]...) // never lines itself: it may be captured elsewhere
		kept = withLine(kept, dropOwn(l, start, end, own))
		for _, l := range lines[i+1:] {
			if start, end := firstOwn(l, own); start >= 0 {
				l = dropOwn(l, start, end, own)
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

// firstOwn finds the first pair of ours, without its semicolons; -1 if there is none.
func firstOwn(line string, own func(string) bool) (start, end int) {
	for start <= len(line) {
		end = len(line)
		if i := strings.IndexByte(line[start:], ';'); i >= 0 {
			end = start + i
		}
		if own(cookieName(line[start:end])) {
			return start, end
		}
		start = end + 1
	}
	return -1, -1
}

// dropOwn cuts whole pairs out, each with the semicolon before it; what is
// first afterwards loses only its leading blanks. The first pair of ours is
// known; the usual line has no other, and costs one copy at most.
func dropOwn(line string, start, end int, own func(string) bool) string {
	switch {
	case end == len(line):
		line = line[:max(start-1, 0)]
	case hasOwn(line[end+1:], own):
		return dropAll(line, own)
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

func hasOwn(line string, own func(string) bool) bool {
	start, _ := firstOwn(line, own)
	return start >= 0
}

// dropAll is dropOwn for any number of ours, in one pass however many there are.
func dropAll(line string, own func(string) bool) string {
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
	if i := strings.IndexByte(pair, '='); i >= 0 {
		pair = pair[:i]
	}
	return trimRight(pair)
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

// trimRight also trims control characters, which some readers skip.
func trimRight(s string) string {
	for s != "" && blank(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}
