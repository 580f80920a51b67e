package headers

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

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
	if o.Encode == "utf8_uri_twice" { // see flows.HeaderOptions.ForLogin
		o.Encode, o.Single = "utf8_uri", true
		e := newEncoder(&o, true)
		only = e.list([]string{only}, flows.LongestHeader)
		values, n = []string{only}, 1
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
	switch e.mode {
	case "percent", "base64", "utf8_uri", "lcp_uri":
		return false
	case "hex":
		if looksHex(v) {
			return false
		}
	}
	if (e.o.Quote != "" || e.wrapped()) && !e.single {
		return false
	}
	return e.plain(v)
}

// wrapped: the separator also stands before the first value and behind the last.
func (e *encoder) wrapped() bool { return e.o.Wrap != nil && *e.o.Wrap }

// plain reports that no byte of a value needs attention.
func (e *encoder) plain(v string) bool {
	if v[0] == ' ' || v[len(v)-1] == ' ' || e.mode == "rfc2047" && strings.Contains(v, "=?") {
		return false
	}
	for i := range len(v) {
		if c := v[i]; c < ' ' || c > '~' || e.marked(c) || c == '%' && !e.single && e.mode != "hex" && hexPair(v[i+1:]) {
			return false
		}
	}
	return true
}

// looksHex: a plain "0x61646d696e" must not read like the encoded "admin".
func looksHex(v string) bool { return len(v) >= 2 && v[0] == '0' && v[1]|0x20 == 'x' }

// hexPair: a list's plain "a%2Cb" must not read like the encoded "a,b".
func hexPair(s string) bool {
	return len(s) >= 2 && strings.IndexByte(hexDigits, s[0]) >= 0 && strings.IndexByte(hexDigits, s[1]) >= 0
}

func (e *encoder) list(values []string, limit int) string {
	var b strings.Builder
	wrap := e.wrapped() && !e.single
	if wrap { // blanks at the very ends of a header are nobody's
		b.WriteString(strings.TrimLeft(e.join, " "))
	}
	first := true
	for _, v := range values {
		if v == "" {
			continue
		}
		if b.Len() > limit {
			break // refused anyway: a huge list costs no more than its limit
		}
		if !first {
			b.WriteString(e.join)
		}
		first = false
		if !e.single {
			b.WriteString(e.o.Quote)
		}
		e.value(&b, v)
		if !e.single {
			b.WriteString(e.o.Quote)
		}
	}
	if wrap {
		b.WriteString(strings.TrimRight(e.join, " "))
	}
	return b.String()
}

func (e *encoder) value(b *strings.Builder, v string) {
	switch {
	case e.mode == "base64":
		b.WriteString(base64.StdEncoding.EncodeToString([]byte(v)))
	case e.mode == "hex":
		if !looksHex(v) && e.plain(v) {
			b.WriteString(v)
			return
		}
		b.WriteString("0x" + hex.EncodeToString([]byte(v)))
	case e.mode == "rfc2047" && !e.plain(v):
		words(b, v)
	case e.mode == "rfc2047" || e.asIs(v):
		b.WriteString(v)
	default:
		e.escape(b, v)
	}
}
