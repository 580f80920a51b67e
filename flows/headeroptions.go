package flows

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// HeaderOptions say how values become one header. The zero value is the default of the contract:
// joined by ",", a separator inside a value percent-encoded, `encode auto`, `missing omit`, 4096 bytes.
type HeaderOptions struct {
	// Join stands between the values of a list. Default ",".
	Join string `json:"join,omitempty"`
	// Encode is auto, raw, percent, base64, rfc2047, latin1 or ascii.
	Encode string `json:"encode,omitempty"`
	// Missing is omit, empty or a literal text.
	Missing string `json:"missing,omitempty"`
	// Max is the longest value in bytes; longer is refused, never cut. Default 4096.
	Max int `json:"max,omitempty"`
	// Quote wraps every value of a list.
	Quote string `json:"quote,omitempty"`
	// Escape precedes a separator inside a value instead of percent-encoding it.
	Escape string `json:"escape,omitempty"`
	// Wrap puts the separator before the first and behind the last value of a list,
	// too. Default: as the old system did; false where nothing else is said.
	Wrap *bool `json:"wrap,omitempty"`
	// Single says that the value is no list, such as a DN: a separator inside it means
	// nothing. Set by who writes the header, never configured.
	Single bool `json:"-"`
	// Sparing says that Escape precedes separators only, and that Escape itself is
	// percent-encoded where it would read as preceding one. Never configured, either.
	Sparing bool `json:"-"`
}

// HeaderEncodings are the values of `encode`.
var HeaderEncodings = []string{"auto", "raw", "percent", "base64", "rfc2047", "latin1", "ascii"}

// DialectEncodings are further ones that single old systems had; only their
// dialects take them.
var DialectEncodings = []string{"hex", "utf8_uri", "utf8_uri_twice", "utf8_bin", "lcp_uri", "lcp_bin"}

// HeaderOptionWords are the words of a block of header options.
var HeaderOptionWords = []string{"join", "encode", "missing", "max", "quote", "escape", "wrap"}

// LongestHeader is the highest `max` that may be configured, in bytes.
const LongestHeader = 64 << 10

// SetOption sets one option from a configuration line: its word and its
// arguments. known is false if the word is none of HeaderOptionWords. more are
// encodings beyond HeaderEncodings.
func (o *HeaderOptions) SetOption(word string, args []string, more ...string) (known bool, err error) {
	if !slices.Contains(HeaderOptionWords, word) {
		return false, nil
	}
	if len(args) != 1 {
		return true, fmt.Errorf("%s takes exactly one argument, got %d", word, len(args))
	}
	arg := args[0]
	if arg == "" {
		return true, fmt.Errorf("%s must not be empty", word)
	}
	switch word {
	case "join":
		o.Join = arg
	case "encode":
		o.Encode = arg
	case "missing":
		o.Missing = arg
	case "quote":
		o.Quote = arg
	case "escape":
		o.Escape = arg
	case "wrap":
		on, err := onOff(word, arg)
		if err != nil {
			return true, err
		}
		o.Wrap = &on
	case "max":
		n, err := strconv.Atoi(arg)
		if err != nil {
			return true, fmt.Errorf("max must be a number of bytes, got %q", arg)
		}
		if n < 1 {
			return true, fmt.Errorf("max must be at least 1, got %d", n)
		}
		o.Max = n
	}
	return true, o.Validate(more...)
}

func onOff(word, arg string) (bool, error) {
	if arg != "on" && arg != "off" {
		return false, fmt.Errorf("%s must be on or off, got '%s'", word, arg)
	}
	return arg == "on", nil
}

// ValueOptions gives a dialect that is based on another access to its options.
func (o *HeaderOptions) ValueOptions() *HeaderOptions { return o }

// Or fills what o leaves open from the defaults of a dialect or of a block around it.
func (o HeaderOptions) Or(d HeaderOptions) HeaderOptions {
	for _, t := range []struct{ to, from *string }{
		{&o.Join, &d.Join}, {&o.Encode, &d.Encode}, {&o.Missing, &d.Missing}, {&o.Quote, &d.Quote}, {&o.Escape, &d.Escape},
	} {
		if *t.to == "" {
			*t.to = *t.from
		}
	}
	if o.Max == 0 {
		o.Max = d.Max
	}
	if o.Wrap == nil {
		o.Wrap = d.Wrap
	}
	o.Sparing = o.Sparing || d.Sparing
	return o
}

// Validate refuses options that would make two lists of values look alike.
// more are encodings beyond HeaderEncodings.
func (o *HeaderOptions) Validate(more ...string) error {
	if all := slices.Concat(HeaderEncodings, more); o.Encode != "" && !slices.Contains(all, o.Encode) {
		return fmt.Errorf("unknown encoding %q; there are: %s", o.Encode, strings.Join(all, ", "))
	}
	if o.Max < 0 || o.Max > LongestHeader {
		return fmt.Errorf("max must be between 1 and %d bytes, got %d", LongestHeader, o.Max)
	}
	for _, m := range []struct{ word, text string }{{"join", o.Join}, {"quote", o.Quote}, {"escape", o.Escape}} {
		if err := markError(m.text, o.Encode); err != nil {
			return fmt.Errorf("%s %q: %w", m.word, m.text, err)
		}
	}
	if strings.ContainsFunc(o.Missing, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("missing %q holds a control character", o.Missing)
	}
	join := o.Join
	if join == "" {
		join = ","
	}
	switch {
	case o.Quote != "" && strings.ContainsAny(o.Quote, join):
		return fmt.Errorf("quote %q and join %q share a character", o.Quote, join)
	case o.Escape != "" && strings.ContainsAny(o.Escape, join+o.Quote):
		return fmt.Errorf("escape %q shares a character with join %q or quote %q", o.Escape, join, o.Quote)
	case len(o.Escape) > 1:
		return fmt.Errorf("escape %q must be one character", o.Escape)
	case o.Wrap != nil && *o.Wrap && strings.Trim(join, " ") == "":
		return fmt.Errorf("wrap needs a join that is more than blanks: they would be trimmed away")
	}
	return nil
}

// markError says why a text cannot separate, wrap or escape values: what an
// encoding writes must never be mistaken for a mark.
func markError(mark, encode string) error {
	taken := "%"
	switch encode { // hex uses no mark: letters and digits only
	case "base64":
		taken = "%+/="
	case "rfc2047":
		taken = "%+/=? "
	}
	if len(mark) > 8 {
		return fmt.Errorf("longer than 8 characters")
	}
	for i := range len(mark) {
		switch c := mark[i]; {
		case c < ' ' || c > '~':
			return fmt.Errorf("only printable ASCII can be a mark")
		case c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			return fmt.Errorf("a letter or digit cannot be a mark")
		case c == ' ' && strings.Trim(mark, " ") != "": // " | " is told apart by its bar
		case strings.IndexByte(taken, c) >= 0:
			return fmt.Errorf("%q is used by the encoding itself", c)
		}
	}
	return nil
}

// ForLogin returns the options for a header that names a person to an
// application: `encode ascii` and the code pages lose what does not fit, and two
// people would look alike (I06), so such a name is percent-encoded instead.
func (o HeaderOptions) ForLogin(name string) HeaderOptions {
	o.Single = true
	odd := func(r rune) bool { return r < ' ' || r > '~' }
	wide := func(r rune) bool { return r > 0xFF }
	switch {
	case o.Encode == "ascii" && (strings.ContainsFunc(name, odd) || name != strings.TrimSpace(name)):
		o.Encode = "auto"
	case o.Encode == "lcp_bin" && (strings.ContainsFunc(name, wide) || !utf8.ValidString(name)):
		o.Encode = "utf8_uri"
	case o.Encode == "lcp_uri" && (strings.ContainsFunc(name, wide) || !utf8.ValidString(name)):
		// Who decodes it once would take the bytes for others of the code page.
		o.Encode = "utf8_uri_twice"
	}
	return o
}

// Chooser is a HeaderWriter that takes only some names for now. A dialect may
// ask before it computes a value, but it need not.
type Chooser interface{ Wants(name string) bool }

// Wants reports whether a writer takes a name; one that is no Chooser takes all.
func Wants(w HeaderWriter, name string) bool {
	c, ok := w.(Chooser)
	return !ok || c.Wants(name)
}

// Strings turns any attribute into the values of a header (B22): text, bools
// and numbers (never with an exponent) as they are, the members of a list each
// by itself, anything nested as compact JSON. Nothing and empty text are no
// value. list says that it was a list, however many members it had.
func Strings(v any) (values []string, list bool) {
	switch v := v.(type) {
	case nil:
		return nil, false
	case []string:
		for _, s := range v {
			if s != "" {
				values = append(values, s)
			}
		}
		return values, true
	case []any:
		for _, e := range v {
			if s := text(e); s != "" {
				values = append(values, s)
			}
		}
		return values, true
	}
	if s := text(v); s != "" {
		return []string{s}, false
	}
	return nil, false
}

// First is the first value of an attribute, for headers that hold one.
func First(v any) string {
	if s, _ := Strings(v); len(s) > 0 {
		return s[0]
	}
	return ""
}

func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case UserKey:
		return string(v)
	case bool:
		return strconv.FormatBool(v)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return ""
		}
		return strconv.FormatFloat(v, 'f', -1, 64)
	case int:
		return strconv.Itoa(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case uint64:
		return strconv.FormatUint(v, 10)
	case json.Number:
		if f, err := v.Float64(); err == nil && strings.ContainsAny(v.String(), "eE") {
			return text(f)
		}
		return v.String()
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(v) != nil {
		return ""
	}
	return strings.TrimSuffix(b.String(), "\n")
}
