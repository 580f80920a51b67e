package audit

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Forges reports whether a rune could make one entry look like another to
// somebody who reads the trail on a terminal (P15): line ends, control
// characters of both sets (U+009B starts an escape sequence, too), and marks
// that turn or hide text.
func Forges(r rune) bool {
	if r < 0x7F {
		return r < ' '
	}
	return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}

// Clean writes what Forges, and bytes that are no UTF-8, as visible escapes.
func Clean(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, Forges) {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case Forges(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Line is the event as one line of JSON with its line end. What Forges is
// escaped the JSON way, so a parser reads the value as it was.
func (e Event) Line() ([]byte, error) {
	raw, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encoding audit entry %s: %w", Clean(e.ID), err)
	}
	line := make([]byte, 0, len(raw)+1)
	for i := 0; i < len(raw); {
		r, size := utf8.DecodeRune(raw[i:])
		switch {
		case !Forges(r):
			line = append(line, raw[i:i+size]...)
		case r > 0xFFFF: // JSON knows 16 bits: a pair of surrogates
			r -= 0x10000
			line = fmt.Appendf(line, `\u%04x\u%04x`, 0xD800+r>>10, 0xDC00+r&0x3FF)
		default:
			line = fmt.Appendf(line, `\u%04x`, r)
		}
		i += size
	}
	return append(line, '\n'), nil
}
