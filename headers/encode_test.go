package headers

import (
	"encoding/json"
	"errors"
	"math"
	"mime"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
)

// TestB23ExactBytes: `Grüße 李` in every mode, byte by byte.
func TestB23ExactBytes(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"":        "Gr%C3%BC%C3%9Fe %E6%9D%8E",
		"auto":    "Gr%C3%BC%C3%9Fe %E6%9D%8E",
		"raw":     "Gr\xc3\xbc\xc3\x9fe \xe6\x9d\x8e",
		"percent": "Gr%C3%BC%C3%9Fe%20%E6%9D%8E",
		"base64":  "R3LDvMOfZSDmnY4=",
		"rfc2047": "=?UTF-8?B?R3LDvMOfZSDmnY4=?=",
		"latin1":  "Gr\xfc\xdfe %E6%9D%8E",
		"ascii":   "Gr??e ?",
		// Those of single old systems.
		"hex":            "0x4772c3bcc39f6520e69d8e",
		"utf8_uri":       "Gr%C3%BC%C3%9Fe%20%E6%9D%8E",
		"utf8_uri_twice": "Gr%25C3%25BC%25C3%259Fe%2520%25E6%259D%258E",
		"utf8_bin":       "Gr\xc3\xbc\xc3\x9fe \xe6\x9d\x8e",
		"lcp_uri":        "Gr%FC%DFe%20?",
		"lcp_bin":        "Gr\xfc\xdfe ?",
	}
	for _, mode := range slices.Concat([]string{""}, flows.HeaderEncodings, flows.DialectEncodings) {
		got, present, err := Encode("X", []string{"Grüße 李"}, flows.HeaderOptions{Encode: mode, Single: true})
		if err != nil || !present || got != want[mode] {
			t.Errorf("encode %q: %q, %v; want %q", mode, got, err, want[mode])
		}
	}
}

// TestB23Values: one value, all modes; "" stands for the value as it is.
func TestB23Values(t *testing.T) {
	t.Parallel()
	modes := []string{"auto", "raw", "percent", "base64", "rfc2047", "latin1", "ascii"}
	for _, tc := range []struct {
		in   string
		want [7]string
	}{
		{"alice", [7]string{"", "", "", "YWxpY2U=", "", "", ""}},
		{"alice@example.com", [7]string{"", "", "", "YWxpY2VAZXhhbXBsZS5jb20=", "", "", ""}},
		{"Doe, John", [7]string{"", "", "Doe,%20John", "RG9lLCBKb2hu", "", "", ""}},
		{"100%", [7]string{"", "", "100%25", "MTAwJQ==", "", "", ""}},
		{"a+b", [7]string{"", "", "a%2Bb", "YSti", "", "", ""}},
		{"ü%", [7]string{"%C3%BC%25", "", "%C3%BC%25", "w7wl", "=?UTF-8?B?w7wl?=", "\xfc%", "?%"}},
		{" a ", [7]string{"%20a%20", "%20a%20", "%20a%20", "IGEg", "=?UTF-8?B?IGEg?=", "%20a%20", "?a?"}},
		{"  ", [7]string{"%20%20", "%20%20", "%20%20", "ICA=", "=?UTF-8?B?ICA=?=", "%20%20", "??"}},
		{"a\r\nX-Evil: 1", [7]string{"a%0D%0AX-Evil: 1", "a%0D%0AX-Evil: 1", "a%0D%0AX-Evil:%201", "YQ0KWC1FdmlsOiAx", "=?UTF-8?B?YQ0KWC1FdmlsOiAx?=", "a%0D%0AX-Evil: 1", "a??X-Evil: 1"}},
		{"a\x00\x7f", [7]string{"a%00%7F", "a%00%7F", "a%00%7F", "YQB/", "=?UTF-8?B?YQB/?=", "a%00%7F", "a??"}},
		{"a\tb", [7]string{"a%09b", "a%09b", "a%09b", "YQli", "=?UTF-8?B?YQli?=", "a%09b", "a?b"}},
		// NEL and LINE SEPARATOR end a line for many readers.
		{"a\u0085b\u2028", [7]string{"a%C2%85b%E2%80%A8", "a%C2%85b%E2%80%A8", "a%C2%85b%E2%80%A8", "YcKFYuKAqA==", "=?UTF-8?B?YcKFYuKAqA==?=", "a%C2%85b%E2%80%A8", "a?b?"}},
		{"=?utf-8?q?admin?=", [7]string{"", "", "", "PT91dGYtOD9xP2FkbWluPz0=", "=?UTF-8?B?PT91dGYtOD9xP2FkbWluPz0=?=", "", ""}},
		{"\xff", [7]string{"%FF", "%FF", "%FF", "/w==", "=?UTF-8?B?/w==?=", "%FF", "?"}},
		{"{env.HOME}", [7]string{"", "", "", "e2Vudi5IT01FfQ==", "", "", ""}},
	} {
		for i, mode := range modes {
			want := tc.want[i]
			if want == "" {
				want = tc.in
			}
			got, _, err := Encode("X", []string{tc.in}, flows.HeaderOptions{Encode: mode, Single: true})
			if err != nil || got != want {
				t.Errorf("%s of %q: %q, %v; want %q", mode, tc.in, got, err, want)
			}
		}
	}
}

// TestP14OneGroupNeverReadsAsTwo: separators, and what looks encoded, inside members.
func TestP14OneGroupNeverReadsAsTwo(t *testing.T) {
	t.Parallel()
	on := true
	for _, tc := range []struct {
		name string
		in   []string
		o    flows.HeaderOptions
		want string
	}{
		{"plain", []string{"a", "b c"}, flows.HeaderOptions{}, "a,b c"},
		{"comma inside", []string{"a,admins", "b"}, flows.HeaderOptions{}, "a%2Cadmins,b"},
		{"one member", []string{"a,admins"}, flows.HeaderOptions{}, "a%2Cadmins"},
		{"no list", []string{"a,admins"}, flows.HeaderOptions{Single: true}, "a,admins"},
		{"several are always a list", []string{"a,b", "c"}, flows.HeaderOptions{Single: true}, "a%2Cb,c"},
		{"looks encoded", []string{"a%2Cb", "a,b"}, flows.HeaderOptions{}, "a%252Cb,a%2Cb"},
		{"percent stays where it means nothing", []string{"50%", "%zz"}, flows.HeaderOptions{}, "50%,%zz"},
		{"percent beside what is encoded", []string{"50%,"}, flows.HeaderOptions{}, "50%25%2C"},
		{"blanks at the ends", []string{" a", "b "}, flows.HeaderOptions{}, "%20a,b%20"},
		{"empty members say nothing", []string{"", "a", ""}, flows.HeaderOptions{}, "a"},
		{"caret", []string{"a^b", "c,d"}, flows.HeaderOptions{Join: "^"}, "a%5Eb^c,d"},
		{"blank as separator", []string{"a b", "c"}, flows.HeaderOptions{Join: " "}, "a%20b c"},
		{"comma and blank", []string{"a,b", "c d"}, flows.HeaderOptions{Join: ", "}, "a%2Cb, c d"},
		{"two bars", []string{"a|", "|b"}, flows.HeaderOptions{Join: "||"}, "a%7C||%7Cb"},
		{"raw", []string{"ü,x", "ö%"}, flows.HeaderOptions{Encode: "raw"}, "ü%2Cx,ö%"},
		{"percent", []string{"a,b", "c%"}, flows.HeaderOptions{Encode: "percent"}, "a%2Cb,c%25"},
		{"base64", []string{"a,b", "c"}, flows.HeaderOptions{Encode: "base64"}, "YSxi,Yw=="},
		{"rfc2047", []string{"a,b", "c"}, flows.HeaderOptions{Encode: "rfc2047"}, "=?UTF-8?B?YSxi?=,c"},
		{"latin1", []string{"ü,b", "ü"}, flows.HeaderOptions{Encode: "latin1"}, "\xfc%2Cb,\xfc"},
		{"ascii", []string{"ü,b", "c"}, flows.HeaderOptions{Encode: "ascii"}, "?%2Cb,c"},
		{"quotes", []string{"g one", `g"two`}, flows.HeaderOptions{Quote: `"`}, `"g one","g%22two"`},
		{"quotes hide no comma", []string{`a","b`}, flows.HeaderOptions{Quote: `"`}, `"a%22%2C%22b"`},
		{"escape", []string{"a;b", "c"}, flows.HeaderOptions{Join: ";", Escape: `\`}, `a\;b;c`},
		{"escape escaped", []string{`a\`, "b"}, flows.HeaderOptions{Join: ";", Escape: `\`}, `a\\;b`},
		{"escape but sparing", []string{`CORP\alice`, `a;b`, `c\`, `\;d`, `e\\;`, `f\\g`}, flows.HeaderOptions{Join: ";", Escape: `\`, Sparing: true}, `CORP\alice;a\;b;c%5C;%5C\;d;e%5C%5C\;;f\\g`},
		{"a backslash in front of a quote", []string{`a\`, `b\c`, `\\`}, flows.HeaderOptions{Quote: `"`}, `"a%5C","b\c","%5C%5C"`},
		{"wrapped", []string{"a", "b:c"}, flows.HeaderOptions{Join: ":", Wrap: &on}, ":a:b%3Ac:"},
		{"wrapped, one member", []string{"a"}, flows.HeaderOptions{Join: ":", Wrap: &on}, ":a:"},
		{"wrapped, no list", []string{"a:b"}, flows.HeaderOptions{Join: ":", Wrap: &on, Single: true}, "a:b"},
		{"wrapped with blanks", []string{"a", "b"}, flows.HeaderOptions{Join: " | ", Wrap: &on}, "| a | b |"},
		{"wrapped and quoted", []string{"a", "b"}, flows.HeaderOptions{Join: ":", Quote: "'", Wrap: &on}, ":'a':'b':"},
		{"hex", []string{"a", "b|c", "ü", "0x61", " d", "50%"}, flows.HeaderOptions{Join: " | ", Encode: "hex"}, "a | 0x627c63 | 0xc3bc | 0x30783631 | 0x2064 | 50%"},
		{"quoted words", []string{"a b", "ü"}, flows.HeaderOptions{Encode: "rfc2047", Quote: "'"}, "'a b','=?UTF-8?B?w7w=?='"},
		{"utf8_uri", []string{"g one", `g"two`, "100%", "a+b"}, flows.HeaderOptions{Encode: "utf8_uri", Quote: `"`}, `"g%20one","g%22two","100%25","a+b"`},
		{"lcp_uri", []string{"ü李", "\u0085", "\xff"}, flows.HeaderOptions{Encode: "lcp_uri"}, "%FC?,%85,?"},
		{"lcp_bin", []string{"ü李", "a\n", "\xff"}, flows.HeaderOptions{Encode: "lcp_bin"}, "\xfc?,a%0A,?"},
		{"escape and percent", []string{"ü;%"}, flows.HeaderOptions{Join: ";", Escape: `\`}, `%C3%BC\;%25`},
	} {
		if err := tc.o.Validate(flows.DialectEncodings...); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		got, _, err := Encode("X", tc.in, tc.o)
		if err != nil || got != tc.want {
			t.Errorf("%s: %q became %q, %v; want %q", tc.name, tc.in, got, err, tc.want)
		}
	}
}

func TestB24TooLongIsRefused(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		in   []string
		o    flows.HeaderOptions
		ok   bool
	}{
		{"default max", []string{strings.Repeat("a", 4096)}, flows.HeaderOptions{}, true},
		{"one over", []string{strings.Repeat("a", 4097)}, flows.HeaderOptions{}, false},
		{"own max", []string{"abcde"}, flows.HeaderOptions{Max: 4}, false},
		{"higher max", []string{strings.Repeat("a", 9000)}, flows.HeaderOptions{Max: 9000}, true},
		{"bytes as they go out", []string{"üü"}, flows.HeaderOptions{Max: 11}, false},
		{"a list as a whole", slices.Repeat([]string{"group"}, 1000), flows.HeaderOptions{}, false},
		{"literal for missing", nil, flows.HeaderOptions{Missing: "NOT_FOUND", Max: 3}, false},
	} {
		v, _, err := Encode("X-Groups", tc.in, tc.o)
		if (err == nil) != tc.ok {
			t.Errorf("%s: error %v", tc.name, err)
		}
		if tc.ok {
			continue
		}
		var r *flows.Refusal
		if !errors.As(err, &r) || r.Reason != flows.ReasonHeaderTooLong || !strings.Contains(err.Error(), "X-Groups") || v != "" {
			t.Errorf("%s: %q, %v is no refusal that names the header", tc.name, v, err)
		}
	}
}

func TestMissing(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		missing string
		present bool
		want    string
	}{
		{"", false, ""}, {"omit", false, ""}, {"empty", true, ""}, {"NOT_FOUND", true, "NOT_FOUND"}, {"none, really", true, "none, really"}, {"—", true, "%E2%80%94"},
	} {
		for _, in := range [][]string{nil, {}, {""}, {"", ""}} {
			got, present, err := Encode("X", in, flows.HeaderOptions{Missing: tc.missing})
			if err != nil || present != tc.present || got != tc.want {
				t.Errorf("missing %q of %q: %q, %v, %v", tc.missing, in, got, present, err)
			}
		}
	}
}

// TestRFC2047Words: no word over 75 characters, none with half a character.
func TestRFC2047Words(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("Grüße 李 ", 30)
	got, _, err := Encode("X", []string{long}, flows.HeaderOptions{Encode: "rfc2047", Single: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range strings.Split(got, " ") {
		if len(w) > 75 {
			t.Errorf("word of %d characters", len(w))
		}
		if part, err := new(mime.WordDecoder).Decode(w); err != nil || !strings.Contains(long, part) || strings.Contains(part, "\ufffd") {
			t.Errorf("%q: %q, %v", w, part, err)
		}
	}
	if back, err := new(mime.WordDecoder).DecodeHeader(got); err != nil || back != long {
		t.Errorf("reads back as %q, %v", back, err)
	}
}

// TestB22Values: any attribute, any shape.
func TestB22Values(t *testing.T) {
	t.Parallel()
	var decoded map[string]any
	if err := json.Unmarshal([]byte(`{
		"text":"a","empty":"","true":true,"false":false,"int":42,"big":12345678901234567000,"neg":-7,"zero":0,"float":1.5,"small":0.000001,
		"list":["a",1,true,null,"",{"k":[1]},["x","y"]],"none":[],"null":null,"nulls":[null,""],"nested":{"b":{"c":"<&>"},"a":[1,2]}}`), &decoded); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		in   any
		want []string
	}{
		{"text", decoded["text"], []string{"a"}},
		{"empty text", decoded["empty"], nil},
		{"true", decoded["true"], []string{"true"}},
		{"false", decoded["false"], []string{"false"}},
		{"integer", decoded["int"], []string{"42"}},
		{"integer without exponent", decoded["big"], []string{"12345678901234567000"}},
		{"negative", decoded["neg"], []string{"-7"}},
		{"zero", decoded["zero"], []string{"0"}},
		{"float", decoded["float"], []string{"1.5"}},
		{"small float", decoded["small"], []string{"0.000001"}},
		{"not a number", math.NaN(), nil},
		{"infinite", math.Inf(1), nil},
		{"json.Number", json.Number("98765432109876543210"), []string{"98765432109876543210"}},
		{"json.Number with exponent", json.Number("1e3"), []string{"1000"}},
		{"int", 7, []string{"7"}},
		{"int64", int64(-8), []string{"-8"}},
		{"uint64", uint64(1 << 63), []string{"9223372036854775808"}},
		{"user key", flows.UserKey("corp:1"), []string{"corp:1"}},
		{"mixed list", decoded["list"], []string{"a", "1", "true", `{"k":[1]}`, `["x","y"]`}},
		{"empty list", decoded["none"], nil},
		{"list of nothing", decoded["nulls"], nil},
		{"[]string", []string{"x", "", "y"}, []string{"x", "y"}},
		{"null", decoded["null"], nil},
		{"missing", decoded["nosuch"], nil},
		{"nested", decoded["nested"], []string{`{"a":[1,2],"b":{"c":"<&>"}}`}},
		{"unencodable", func() {}, nil},
	} {
		if got := Values(tc.in); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	for want, in := range map[string]any{
		"a%2Cb,c": []any{"a,b", "c"}, "Doe, Jöhn": "Doe, Jöhn", "a%0D%0Ab": "a\r\nb", "": nil, strings.Repeat("x", 9000): strings.Repeat("x", 9000),
	} {
		if got := Text(in); got != want {
			t.Errorf("Text(%v) = %q, want %q", in, got, want)
		}
	}
}

func TestHeaderOptionsRefuse(t *testing.T) {
	t.Parallel()
	for _, o := range []flows.HeaderOptions{
		{Encode: "utf8"},
		{Max: -1},
		{Max: 1 << 20},
		{Join: "a"},
		{Join: "1"},
		{Join: "%"},
		{Join: "\n"},
		{Join: "·"},
		{Join: "+", Encode: "base64"},
		{Join: " ", Encode: "rfc2047"},
		{Join: "?", Encode: "rfc2047"},
		{Missing: "a\r\nb"},
		{Quote: ","},
		{Escape: ","},
		{Escape: `"`, Quote: `"`},
		{Escape: `\\`},
		{Join: "---------"},
	} {
		if o.Validate() == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
	for word, args := range map[string][]string{"join": {}, "max": {"x"}, "encode": {"raw", "b"}, "missing": {""}, "quote": {"a"}} {
		var o flows.HeaderOptions
		if known, err := o.SetOption(word, args); !known || err == nil {
			t.Errorf("%s %q is accepted", word, args)
		}
	}
	var o flows.HeaderOptions
	if _, err := o.SetOption("max", []string{"0"}); err == nil {
		t.Error("max 0 is accepted")
	}
	if known, _ := o.SetOption("nosuch", nil); known {
		t.Error("nosuch is known")
	}
}
