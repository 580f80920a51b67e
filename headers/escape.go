package headers

import (
	"encoding/base64"
	"strings"
	"unicode"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdefABCDEF"

// What becomes of one character.
type fate int

const (
	keep fate = iota
	percent
	oneByte    // latin1
	onePercent // lcp_uri: the one byte that latin1 has for it, as %XX
	question   // ascii and code pages: what does not fit is lost
)

// escape writes a value that cannot go as it is. As soon as one byte of it is
// percent-encoded, % is too, so that decoding has one answer.
func (e *encoder) escape(b *strings.Builder, v string) {
	inner := strings.Trim(v, " ")
	switch e.mode {
	case "auto", "percent", "utf8_uri", "lcp_uri":
	default:
		inner = strings.TrimFunc(v, unicode.IsSpace)
	}
	start := strings.Index(v, inner)
	end := start + len(inner)
	at := func(i int) (part string, f fate) {
		r, n := utf8.DecodeRuneInString(v[i:])
		switch {
		case i >= start && i < end && e.misleads(v[i:]):
			return v[i : i+n], percent
		case i >= start && i < end:
			return v[i : i+n], e.fate(r, n)
		case e.mode == "ascii":
			return v[i : i+n], question
		}
		return v[i : i+n], percent
	}
	encoded := false
	for i := 0; i < len(v) && !encoded; {
		part, f := at(i)
		encoded = f == percent || f == onePercent || part == "%" && !e.single && hexPair(v[i+1:])
		i += len(part)
	}
	for i := 0; i < len(v); {
		part, f := at(i)
		e.put(b, part, f, encoded)
		i += len(part)
	}
}

func (e *encoder) put(b *strings.Builder, part string, f fate, encoded bool) {
	switch {
	case f == question:
		b.WriteByte('?')
	case f == oneByte:
		r, _ := utf8.DecodeRuneInString(part)
		b.WriteByte(byte(r))
	case f == percent || f == onePercent || part == "%" && encoded:
		if r, _ := utf8.DecodeRuneInString(part); f == onePercent {
			part = string([]byte{byte(r)})
		}
		for i := range len(part) {
			const upper = "0123456789ABCDEF"
			b.WriteByte('%')
			b.WriteByte(upper[part[i]>>4])
			b.WriteByte(upper[part[i]&15])
		}
	default:
		if e.o.Escape != "" && len(part) == 1 && e.marked(part[0]) && !(e.o.Sparing && part == e.o.Escape) {
			b.WriteString(e.o.Escape)
		}
		b.WriteString(part)
	}
}

// misleads reports that a value goes on with an escape that would read as one of
// ours: one or more of it in front of a separator or of the end (P14). To many
// readers a backslash does so in front of the closing quote, too.
func (e *encoder) misleads(v string) bool {
	switch {
	case e.single:
		return false
	case e.o.Quote != "" && e.o.Escape == "":
		return strings.Trim(v, `\`) == ""
	case !e.o.Sparing || e.o.Escape == "" || !strings.HasPrefix(v, e.o.Escape):
		return false
	}
	rest := strings.TrimLeft(v, e.o.Escape)
	return rest == "" || e.marked(rest[0])
}

// fate of one character that stands between others.
func (e *encoder) fate(r rune, n int) fate {
	if n == 1 && r < utf8.RuneSelf && e.marked(byte(r)) {
		if e.o.Escape != "" {
			return keep
		}
		return percent
	}
	visible := r >= ' ' && r <= '~'
	switch e.mode {
	case "utf8_uri", "lcp_uri":
		switch {
		case visible && r != ' ' && r != '%':
			return keep
		case e.mode == "lcp_uri" && n == 2 && r <= 0xFF:
			return onePercent
		case e.mode == "lcp_uri" && (n > 1 || r == utf8.RuneError):
			return question
		}
	case "lcp_bin":
		switch {
		case visible:
			return keep
		case n == 2 && r >= 0xA0 && r <= 0xFF:
			return oneByte
		case n > 1 && r > 0xFF || r == utf8.RuneError:
			return question
		}
	case "auto":
		if visible {
			return keep
		}
	case "percent": // a blank reads as an end, + as a blank to some
		if visible && r != ' ' && r != '%' && r != '+' {
			return keep
		}
	case "latin1":
		if visible {
			return keep
		}
		if n == 2 && r >= 0xA0 && r <= 0xFF {
			return oneByte
		}
	case "ascii":
		if visible {
			return keep
		}
		return question
	default: // raw and utf8_bin; U+0085, U+2028 and U+2029 end a line for many readers
		if visible || n > 1 && !unicode.IsControl(r) && r != 0x2028 && r != 0x2029 {
			return keep
		}
	}
	return percent
}

// words writes RFC 2047 encoded-words (B), none longer than 75 characters and
// none with half a character in it (§2, §5).
func words(b *strings.Builder, v string) {
	const most = 45 // bytes, so that 12 + base64 stay within 75
	for first := true; v != ""; first = false {
		n := 0
		for n < len(v) {
			_, size := utf8.DecodeRuneInString(v[n:])
			if n+size > most {
				break
			}
			n += size
		}
		if !first {
			b.WriteByte(' ')
		}
		b.WriteString("=?UTF-8?B?" + base64.StdEncoding.EncodeToString([]byte(v[:n])) + "?=")
		v = v[n:]
	}
}
