package headers

import (
	"encoding/base64"
	"encoding/hex"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sallyport-gateway/sallyport/flows"
)

// FuzzStripper: after Clean no alias of an owned name is left anywhere, and
// everything else is as it was.
func FuzzStripper(f *testing.F) {
	for _, file := range []string{"hostile_headers.json", "refused_heads.json"} {
		for _, h := range corpus(f, file) {
			for _, l := range h.Lines {
				name, value, _ := strings.Cut(l, ":")
				f.Add(name, value, "close, "+name, name)
			}
		}
	}
	f.Add("X-Other", "v", "Upgrade,,X-Other", "X-Sum")
	s := NewStripper(ownedNames)
	f.Fuzz(func(t *testing.T, name, value, connection, trailer string) {
		h := http.Header{name: {value}, "Connection": {connection}, "X-Kept": {"1"}}
		before := h.Clone()
		r := &http.Request{Header: h, Trailer: http.Header{trailer: {value}}, ContentLength: -1}
		r.Body = io.NopCloser(&refill{r, trailer})
		s.Clean(r)
		for k, v := range h {
			if slices.Contains(foldedOwned, Fold(k)) || strings.HasPrefix(Fold(k), "sm-") {
				t.Fatalf("%q is left", k)
			}
			if k != "Connection" && !listsNames(k) && !slices.Equal(v, before[k]) {
				t.Fatalf("%q changed from %q to %q", k, before[k], v)
			}
		}
		for _, v := range h["Connection"] {
			for tok := range strings.SplitSeq(v, ",") {
				tok, _, _ = strings.Cut(tok, ";")
				if f := Fold(strings.Trim(tok, " \t")); slices.Contains(foldedOwned, f) || strings.HasPrefix(f, "sm-") {
					t.Fatalf("Connection still names %q", tok)
				}
			}
		}
		for k := range before {
			if _, ok := h[k]; !ok && !s.Owns(k) && k != "Connection" && !listsNames(k) {
				t.Fatalf("%q was taken away", k)
			}
		}
		_, _ = io.Copy(io.Discard, r.Body)
		for k := range r.Trailer {
			if slices.Contains(foldedOwned, Fold(k)) || strings.HasPrefix(Fold(k), "sm-") {
				t.Fatalf("trailer %q is left", k)
			}
		}
	})
}

var foldedOwned = func() (out []string) {
	for _, n := range ownedNames {
		out = append(out, Fold(n))
	}
	return out
}()

// refill puts the trailer back at the end of the body, as net/http does.
type refill struct {
	r    *http.Request
	name string
}

func (b *refill) Read([]byte) (int, error) {
	b.r.Trailer[b.name] = []string{"evil"}
	return 0, io.EOF
}

// FuzzEncode: no mode passes a control character or an end that can be
// trimmed, lists keep their number of members, and what claims to be
// reversible is.
func FuzzEncode(f *testing.F) {
	for i, v := range []string{"alice", "a,b", " x ", "ü%", "a%2Cb", "a\r\nb", "\xff", "=?utf-8?q?x?=", "Grüße 李", "\u0085", "50%", "", "\x00", "%25"} {
		f.Add(v, "b", i%13)
	}
	f.Fuzz(func(t *testing.T, one, two string, mode int) {
		if one == "" || two == "" || mode < 0 {
			return
		}
		all := slices.Concat(flows.HeaderEncodings, flows.DialectEncodings)
		enc := all[mode%len(all)]
		if enc == "utf8_uri_twice" { // for names only, never for lists
			return
		}
		o := flows.HeaderOptions{Encode: enc, Max: 1 << 20, Single: true}
		single, _, err := Encode("X", []string{one}, o)
		if err != nil {
			t.Fatal(err)
		}
		clean(t, single)
		list, _, err := Encode("X", []string{one, two}, flows.HeaderOptions{Encode: enc, Max: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		clean(t, list)
		members := strings.Split(list, ",")
		if len(members) != 2 {
			t.Fatalf("%q reads as %d", list, len(members))
		}
		switch enc {
		case "auto": // lists decode without knowing whether anything was encoded
			if got := unpercent(members[0]); got != one {
				t.Fatalf("list member %q decodes to %q, not %q", members[0], got, one)
			}
			if got := unpercent(single); single != one && got != one {
				t.Fatalf("%q decodes to %q, not %q", single, got, one)
			}
		case "hex":
			for _, s := range []string{single, members[0]} {
				if got := unhex(s); got != one {
					t.Fatalf("%q decodes to %q, not %q", s, got, one)
				}
			}
		case "percent", "utf8_uri":
			for _, s := range []string{single, members[0]} {
				if got, err := url.PathUnescape(s); err != nil || got != one {
					t.Fatalf("%q decodes to %q, not %q (%v)", s, got, one, err)
				}
				if got, err := url.QueryUnescape(s); enc == "percent" && (err != nil || got != one) {
					t.Fatalf("%q decodes as a form to %q, not %q (%v)", s, got, one, err)
				}
			}
		case "base64":
			if got, err := base64.StdEncoding.DecodeString(members[0]); err != nil || string(got) != one {
				t.Fatalf("%q decodes to %q, not %q (%v)", members[0], got, one, err)
			}
		case "rfc2047":
			if got, err := new(mime.WordDecoder).DecodeHeader(single); err != nil || got != one && utf8.ValidString(one) {
				t.Fatalf("%q decodes to %q, not %q (%v)", single, got, one, err)
			}
		}
	})
}

func clean(t *testing.T, v string) {
	t.Helper()
	for i := range len(v) {
		if v[i] < ' ' || v[i] == 0x7f {
			t.Fatalf("%q holds a control character", v)
		}
	}
	if v != strings.TrimSpace(v) {
		t.Fatalf("%q can be trimmed", v)
	}
}

// unpercent decodes as a lenient reader: what is no %XX stays.
func unpercent(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && hexPair(s[i+1:]) {
			c, _ := url.PathUnescape(s[i : i+3])
			b.WriteString(c)
			i += 2
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// FuzzCleanCookies: ours are found and gone for every reader, the others byte-identical.
func FuzzCleanCookies(f *testing.F) {
	for _, s := range []string{
		"a=1; __Host-sallyport=x; b=2", "__Host-sallyport=x", `a="; __Host-sallyport=x; b="`, "=sallyport=1", ";;; sallyport ;", "a=\xff;sallyport\t=1",
		"sallyport=1;sallyport=2", " = = sallyport", "a;b;c", "",
	} {
		f.Add(s, "app=1")
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		h := http.Header{"Cookie": {one, two}}
		var found []string
		ours.Clean(h, h["Cookie"], func(pair string) { found = append(found, pair) })
		var left []string
		for _, l := range h["Cookie"] {
			for p := range strings.SplitSeq(l, ";") {
				if ours.Has(cookieName(p)) {
					t.Fatalf("%q still holds %q", l, p)
				}
				left = append(left, p)
			}
		}
		for _, c := range (&http.Request{Header: h}).Cookies() {
			if ours.Has(c.Name) {
				t.Fatalf("net/http still reads %s from %q", c.Name, h["Cookie"])
			}
		}
		var want, mine []string
		for _, l := range []string{one, two} {
			for p := range strings.SplitSeq(l, ";") {
				if ours.Has(cookieName(p)) {
					mine = append(mine, p)
				} else {
					want = append(want, p)
				}
			}
		}
		if !slices.Equal(found, mine) {
			t.Fatalf("in %q and %q were found %q, want %q", one, two, found, mine)
		}
		blankPair := func(p string) bool { return strings.Trim(p, " \t") == "" }
		trim := func(p []string) []string {
			p = slices.DeleteFunc(p, blankPair)
			for i := range p {
				p[i] = strings.TrimLeft(p[i], " \t") // only the first of a line may lose blanks
			}
			return p
		}
		if got := trim(left); !slices.Equal(got, trim(want)) {
			t.Fatalf("%q and %q became %q", one, two, h["Cookie"])
		}
	})
}

func unhex(s string) string {
	if digits, ok := strings.CutPrefix(s, "0x"); ok {
		b, _ := hex.DecodeString(digits)
		return string(b)
	}
	return s
}

// FuzzDialectLists: what the lists of the old systems look like, read by those who
// know of escapes and by those who do not: one value never reads as two (P14).
func FuzzDialectLists(f *testing.F) {
	on := true
	lists := []struct {
		name  string
		o     flows.HeaderOptions
		reads []func(string) int
	}{
		{"webseal", flows.HeaderOptions{Encode: "utf8_uri", Quote: `"`}, []func(string) int{splits(`","`, "", false), quoted}},
		{"webseal, bin", flows.HeaderOptions{Encode: "lcp_bin", Quote: `"`}, []func(string) int{splits(`","`, "", false), quoted}},
		{"shibboleth", flows.HeaderOptions{Encode: "raw", Join: ";", Escape: `\`, Sparing: true}, []func(string) int{splits(";", `\`, false), splits(";", `\`, true)}},
		{"escape", flows.HeaderOptions{Join: ";", Escape: `\`}, []func(string) int{splits(";", `\`, true)}},
		{"f5", flows.HeaderOptions{Encode: "hex", Join: " | ", Wrap: &on}, []func(string) int{splits("|", "", false)}},
		{"okta_ag", flows.HeaderOptions{Join: ":", Wrap: &on}, []func(string) int{splits(":", "", false)}},
		{"mellon", flows.HeaderOptions{Encode: "raw", Join: ";"}, []func(string) int{splits(";", "", false)}},
	}
	for i, v := range []string{"a", `a\`, `\;`, `\\;b`, `a"b`, `","`, "a|b", " | ", ":a:", "0x61", "Grüße 李", "a\r\nb", " ", `CORP\alice`} {
		f.Add(v, "b", i)
	}
	f.Fuzz(func(t *testing.T, one, two string, which int) {
		if one == "" || two == "" || which < 0 {
			return
		}
		l := lists[which%len(lists)]
		v, _, err := Encode("X", []string{one, two, one}, l.o)
		if flows.ReasonOf(err) == flows.ReasonHeaderTooLong {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		clean(t, v)
		if l.o.Wrap != nil {
			mark := strings.TrimSpace(l.o.Join)
			if !strings.HasPrefix(v, mark) || !strings.HasSuffix(v, mark) {
				t.Fatalf("%s: %q is not wrapped", l.name, v)
			}
			v = v[1 : len(v)-1]
		}
		for i, read := range l.reads {
			if n := read(v); n != 3 {
				t.Fatalf("%s: reader %d reads %q as %d values", l.name, i, v, n)
			}
		}
	})
}

// splits counts the parts between separators. One behind an escape is none; pairs
// says that an escape may itself be escaped.
func splits(sep, escape string, pairs bool) func(string) int {
	return func(s string) int {
		n := 1
		for i := 0; i < len(s); i++ {
			switch {
			case escape != "" && pairs && strings.HasPrefix(s[i:], escape):
				i++
			case strings.HasPrefix(s[i:], sep) && (escape == "" || pairs || i == 0 || s[i-1:i] != escape):
				n++
				i += len(sep) - 1
			}
		}
		return n
	}
}

// quoted counts strings in quotes, for a reader who takes a backslash for an escape.
func quoted(s string) (n int) {
	inside := false
	for i := 0; i < len(s); i++ {
		switch {
		case inside && s[i] == '\\':
			i++
		case s[i] == '"':
			if inside = !inside; inside {
				n++
			}
		}
	}
	return n
}
