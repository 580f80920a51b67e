package headers

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sallyport-gateway/sallyport/flows"
)

// DefaultMax is the longest header value in bytes when `max` says nothing.
const DefaultMax = 4096

// Values turns any attribute into the values of a header; see [flows.Strings].
func Values(v any) []string {
	s, _ := flows.Strings(v)
	return s
}

// Text is an attribute as one line of text, for placeholders and logs: UTF-8 as
// it is, but no control character and no way to make two groups of one.
func Text(v any) string {
	values, list := flows.Strings(v)
	value, _, _ := Encode("", values, flows.HeaderOptions{Encode: "raw", Single: !list, Max: 1 << 30})
	return value
}

// Encode makes one header value of zero or more values under the rules of o.
// present is false if there is no value and nothing stands in for it. Too long
// a value is a refusal header_too_long, naming the header; it is never cut.
//
// Whatever the mode: control characters never pass, blanks at the ends of a
// value are written so that nobody can trim them away (" admin" is not
// "admin"), and a separator inside a value is never a separator.
func Encode(name string, values []string, o flows.HeaderOptions) (value string, present bool, err error) {
	n, only := 0, ""
	for _, v := range values {
		if v != "" {
			n, only = n+1, v
		}
	}
	if n == 0 {
		switch o.Missing {
		case "", "omit":
			return "", false, nil
		case "empty":
			return "", true, nil
		}
		values, n, only, o.Single = []string{o.Missing}, 1, o.Missing, true
	}
	e := newEncoder(&o, n == 1 && o.Single)
	limit := o.Max
	if limit <= 0 {
		limit = DefaultMax
	}
	if n == 1 && e.asIs(only) { // the common case copies nothing
		value = only
	} else {
		value = e.list(values, limit)
	}
	if len(value) > limit {
		return "", false, flows.Refuse(flows.ReasonHeaderTooLong, fmt.Errorf("header %s is longer than %d bytes", name, limit))
	}
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", false, fmt.Errorf("header %s: %w", name, errControl)
	}
	return value, true, nil
}

// errControl guards the promise; no mode lets one through.
var errControl = errors.New("a control character was left in the value")

// encoder writes values in one mode.
type encoder struct {
	o      *flows.HeaderOptions
	mode   string
	join   string
	single bool
	// marks are the bytes that must not appear inside a value of a list.
	marks [2]uint64
}

func newEncoder(o *flows.HeaderOptions, single bool) encoder {
	e := encoder{o: o, mode: o.Encode, join: o.Join, single: single}
	if e.mode == "" {
		e.mode = "auto"
	}
	if e.join == "" {
		e.join = ","
	}
	if single {
		return e
	}
	e.mark(o.Quote)
	e.mark(o.Escape)
	if marks := strings.Trim(e.join, " "); marks != "" {
		e.mark(strings.ReplaceAll(marks, " ", "")) // the blank of ", " separates nothing by itself
	} else {
		e.mark(" ")
	}
	return e
}

func (e *encoder) mark(s string) {
	for i := range len(s) {
		e.marks[s[i]>>6&1] |= 1 << (s[i] & 63)
	}
}

func (e *encoder) marked(c byte) bool { return c < 0x80 && e.marks[c>>6]&(1<<(c&63)) != 0 }

// asIs reports that a value goes out untouched, whatever the mode's details.
func (e *encoder) asIs(v string) bool {
	if e.mode == "percent" || e.mode == "base64" || e.o.Quote != "" && !e.single {
		return false
	}
	if v[0] == ' ' || v[len(v)-1] == ' ' || e.mode == "rfc2047" && strings.Contains(v, "=?") {
		return false
	}
	for i := range len(v) {
		if c := v[i]; c < ' ' || c > '~' || e.marked(c) || c == '%' && !e.single && hexPair(v[i+1:]) {
			return false
		}
	}
	return true
}

// hexPair: a list's plain "a%2Cb" must not read like the encoded "a,b".
func hexPair(s string) bool {
	return len(s) >= 2 && strings.IndexByte(hexDigits, s[0]) >= 0 && strings.IndexByte(hexDigits, s[1]) >= 0
}

const hexDigits = "0123456789abcdefABCDEF"

func (e *encoder) list(values []string, limit int) string {
	var b strings.Builder
	for _, v := range values {
		if v == "" {
			continue
		}
		if b.Len() > limit {
			break // refused anyway: a huge list costs no more than its limit
		}
		if b.Len() > 0 {
			b.WriteString(e.join)
		}
		if !e.single {
			b.WriteString(e.o.Quote)
		}
		e.value(&b, v)
		if !e.single {
			b.WriteString(e.o.Quote)
		}
	}
	return b.String()
}

func (e *encoder) value(b *strings.Builder, v string) {
	switch {
	case e.mode == "base64":
		b.WriteString(base64.StdEncoding.EncodeToString([]byte(v)))
	case e.asIs(v):
		b.WriteString(v)
	case e.mode == "rfc2047":
		words(b, v)
	default:
		e.escape(b, v)
	}
}

// What becomes of one character.
type fate int

const (
	keep fate = iota
	percent
	oneByte  // latin1
	question // ascii: what does not fit is lost
)

// escape writes a value that cannot go as it is. As soon as one byte of it is
// percent-encoded, % is too, so that decoding has one answer.
func (e *encoder) escape(b *strings.Builder, v string) {
	inner := strings.Trim(v, " ")
	if e.mode != "auto" && e.mode != "percent" {
		inner = strings.TrimFunc(v, unicode.IsSpace)
	}
	start := strings.Index(v, inner)
	end := start + len(inner)
	at := func(i int) (part string, f fate) {
		r, n := utf8.DecodeRuneInString(v[i:])
		switch {
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
		encoded = f == percent || part == "%" && !e.single && hexPair(v[i+1:])
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
	case f == percent || part == "%" && encoded:
		for i := range len(part) {
			const upper = "0123456789ABCDEF"
			b.WriteByte('%')
			b.WriteByte(upper[part[i]>>4])
			b.WriteByte(upper[part[i]&15])
		}
	default:
		if e.o.Escape != "" && len(part) == 1 && e.marked(part[0]) {
			b.WriteString(e.o.Escape)
		}
		b.WriteString(part)
	}
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
	default: // raw; U+0085, U+2028 and U+2029 end a line for many readers
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
