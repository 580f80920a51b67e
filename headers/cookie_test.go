package headers

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

const ours = OwnCookies("sallyport")

// nobody asks what was found.
func nobody(string) {}

// TestB03AppCookiesByteIdentical: what the application gets is what it would
// have got without a gateway.
func TestB03AppCookiesByteIdentical(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		in, want []string
	}{
		{"none of ours", []string{"a=1; b=2"}, []string{"a=1; b=2"}},
		{"only ours", []string{"__Host-sallyport=abc"}, nil},
		{"first", []string{"__Host-sallyport=abc; a=1; b=2"}, []string{"a=1; b=2"}},
		{"middle", []string{"a=1; __Host-sallyport=abc; b=2"}, []string{"a=1; b=2"}},
		{"last", []string{"a=1; b=2; __Host-sallyport=abc"}, []string{"a=1; b=2"}},
		{"several", []string{"__Host-sallyport=1; a=1; __Host-sallyport=2; __Host-sallyport-login=3; b=2; sallyport=4"}, []string{"a=1; b=2"}},
		{"odd spacing stays", []string{"a=1;b=2;  c=3 ;__Host-sallyport=x;d = 4"}, []string{"a=1;b=2;  c=3 ;d = 4"}},
		{"trailing semicolon stays", []string{"a=1; __Host-sallyport=x;"}, []string{"a=1;"}},
		{"empty pairs stay", []string{"a=1;; ;b=2; __Host-sallyport=x"}, []string{"a=1;; ;b=2"}},
		{"quoted values", []string{`a="x y, \"z\""; __Host-sallyport=x; b="=;"`}, []string{`a="x y, \"z\""; b="=;"`}},
		{"no value", []string{"flag; __Host-sallyport=x; other="}, []string{"flag; other="}},
		{"equal signs in a value", []string{"a=b=c==; __Host-sallyport=x=="}, []string{"a=b=c=="}},
		{"odd bytes", []string{"a=\xff\xfe,[]{}%&; __Host-sallyport=x; ü=é"}, []string{"a=\xff\xfe,[]{}%&; ü=é"}},
		{"two lines", []string{"a=1; __Host-sallyport=x", "b=2"}, []string{"a=1", "b=2"}},
		{"a line of ours alone", []string{"a=1", "__Host-sallyport=x", "b=2"}, []string{"a=1", "b=2"}},
		{"our name in a value", []string{"a=__Host-sallyport; b=__Host-sallyport=1"}, []string{"a=__Host-sallyport; b=__Host-sallyport=1"}},
		{"longer and shorter names", []string{"__Host-sallyport2=1; x__Host-sallyport=2; __Host-sally=3"}, []string{"__Host-sallyport2=1; x__Host-sallyport=2; __Host-sally=3"}},
		{"another case is ours to some readers", []string{"__host-sallyport=1; a=1; SALLYPORT=2"}, []string{"a=1"}},
		{"with a port or a purpose", []string{"__Secure-sallyport-8443=1; a=1; sallyport.x=2"}, []string{"a=1"}},
		{"ours without a value", []string{"a=1; __Host-sallyport"}, []string{"a=1"}},
		{"ours with blanks", []string{"a=1;\t__Host-sallyport =x"}, []string{"a=1"}},
		{"nameless trick", []string{"=__Host-sallyport=x; a=1; ==  =sallyport=y"}, []string{"a=1"}},
		// An application must not hide our ticket in its own quotes, to get it sent.
		{"ours between quotes", []string{`a="; __Host-sallyport=secret; b="`}, []string{`a="; b="`}},
		{"only separators are left", []string{"; __Host-sallyport=x ; ;"}, nil},
	} {
		h := http.Header{"Cookie": slices.Clone(tc.in), "X-Other": {"1"}}
		kept := h["Cookie"]
		ours.Clean(h, h["Cookie"], nobody)
		got, ok := h["Cookie"]
		if !slices.Equal(got, tc.want) || ok != (tc.want != nil) {
			t.Errorf("%s: %q became %q, want %q", tc.name, tc.in, got, tc.want)
		}
		if !slices.Equal(kept, tc.in) {
			t.Errorf("%s: the captured slice was changed: %q", tc.name, kept)
		}
	}
}

// TestB03ByARealServer: what two HTTP servers make of it on the wire.
func TestB03ByARealServer(t *testing.T) {
	t.Parallel()
	up := newRawUpstream(t)
	forward := newGateway(t, up.addr, nil, nil).Config.Handler
	gw := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ours.Clean(r.Header, r.Header["Cookie"], nobody)
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(gw.Close)
	const app = `theme="dark, very"; JSESSIONID=0001:node=1; flag; x=%20; é=ü`
	send(t, gw, "GET / HTTP/1.1\r\nHost: a\r\nCookie: __Host-sallyport=t; "+app+"; __Host-sallyport-login=u\r\n\r\n")
	if got := up.last(t); !slices.Contains(got, "Cookie: "+app) {
		t.Errorf("the application got %q", got)
	}
	send(t, gw, "GET / HTTP/1.1\r\nHost: a\r\nCookie: __Host-sallyport=t\r\n\r\n")
	if got := up.last(t); slices.ContainsFunc(got, func(l string) bool { return strings.HasPrefix(strings.ToLower(l), "cookie") }) {
		t.Errorf("an empty Cookie header arrived: %q", got)
	}
}

func TestCleanCookiesAllocatesNothing(t *testing.T) {
	none := http.Header{"Cookie": {"a=1; b=2; c=\"3\"", "d=4"}}
	if n := testing.AllocsPerRun(100, func() { ours.Clean(none, none["Cookie"], nobody) }); n != 0 {
		t.Errorf("none of ours: %v allocations", n)
	}
	only := http.Header{}
	line := []string{"__Host-sallyport=abc"}
	if n := testing.AllocsPerRun(100, func() { only["Cookie"] = line; ours.Clean(only, only["Cookie"], nobody) }); n != 0 {
		t.Errorf("only ours: %v allocations", n)
	}
}

// TestB4AllCookiesAreFound: a sibling domain may have tossed one before ours.
func TestB4AllCookiesAreFound(t *testing.T) {
	t.Parallel()
	h := http.Header{"Cookie": {
		"__Host-sallyport=evil; a=1;__Host-sallyport=\"q\" ;b", "x__Host-sallyport=no; __Host-sallyport2=no; __Host-sallyport=good=",
		"__Host-sallyport; =__Host-sallyport=no; __host-sallyport=no; __Host-sallyport =no; __Host-sallyport=",
		"a=1; __Host-sallyport=alone; b=2", "__Host-sallyport=last",
	}}
	want := []string{"evil", `"q"`, "good=", "", "alone", "last"}
	var got []string
	ours.Clean(h, h["Cookie"], func(pair string) {
		if v, ok := CookieValue(pair, "__Host-sallyport"); ok {
			got = append(got, v)
		}
	})
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestI12UpstreamCannotSetOurCookies: neither set nor cleared, by any trick
// that a browser would send back under our name.
func TestI12UpstreamCannotSetOurCookies(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		line string
		drop bool
	}{
		{"__Host-sallyport=evil; Path=/; Secure", true},
		{"__Host-sallyport=; Max-Age=0", true},
		{"  __Host-sallyport = evil", true},
		{"\t__Host-sallyport=evil", true},
		{"=__Host-sallyport=evil; Path=/", true},
		{" = __Host-sallyport=evil", true},
		{"==sallyport=evil", true},
		{"sallyport", true},
		{"=sallyport", true},
		{"sallyport;", true},
		{"\x01sallyport=evil", true},
		{"sallyport\x7f=evil", true},
		{"app=1; Path=/", false},
		{"app=__Host-sallyport=1", false},
		{"__host-sallyport=1", true},
		{"_sallyport=1", false},
		{"__Host-sallyport2=1", false},
		{"flag", false},
		{"", false},
		{"app=1; __Host-sallyport=attribute", false},
	} {
		h := http.Header{"Set-Cookie": {"first=1", tc.line, "last=2"}}
		ours.DropSet(h)
		want := []string{"first=1", tc.line, "last=2"}
		if tc.drop {
			want = []string{"first=1", "last=2"}
		}
		if !slices.Equal(h["Set-Cookie"], want) {
			t.Errorf("Set-Cookie: %q: left %q, want %q", tc.line, h["Set-Cookie"], want)
		}
	}
	h := http.Header{"Set-Cookie": {"sallyport=1"}}
	if ours.DropSet(h); len(h) != 0 {
		t.Errorf("an empty Set-Cookie stays: %v", h)
	}
}
