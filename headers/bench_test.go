package headers

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
)

// BrowserHeaders are what a browser sends through a proxy: twelve.
func BrowserHeaders() http.Header {
	return http.Header{
		"Accept": {"text/html"}, "Accept-Encoding": {"gzip"}, "Accept-Language": {"de"}, "Cache-Control": {"no-cache"},
		"Connection": {"keep-alive"}, "Cookie": {"a=b"}, "Referer": {"https://app.example.com/"},
		"Sec-Fetch-Dest": {"document"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Site": {"none"},
		"Upgrade-Insecure-Requests": {"1"}, "User-Agent": {"Mozilla/5.0"},
	}
}

var eightNames = []string{
	"SM_*", "SMUSER", "X-Remote-User", "Remote-User", "Remote-Groups", "X-Forwarded-User", "X-Forwarded-Email", "X-Dept",
}

func BenchmarkClean(b *testing.B) {
	s := NewStripper(eightNames)
	r := httptest.NewRequest("GET", "/", nil)
	r.Header = BrowserHeaders()
	b.ReportAllocs()
	for b.Loop() {
		s.Clean(r)
	}
}

// BenchmarkCleanManyNames: a site with hundreds of owned names costs the same.
func BenchmarkCleanManyNames(b *testing.B) {
	var names []string
	for i := range 400 {
		names = append(names, fmt.Sprintf("X-App-%d-%s", i, []string{"User", "Groups", "Mail"}[i%3]))
	}
	s := NewStripper(append(names, eightNames...))
	r := httptest.NewRequest("GET", "/", nil)
	r.Header = BrowserHeaders()
	b.ReportAllocs()
	for b.Loop() {
		s.Clean(r)
	}
}

func BenchmarkInject(b *testing.B) {
	pre := Prebuilt{fields: []Field{{"SM_USER", "alice"}, {"X-Dept", "sales"}, {"Remote-Groups", "a,b"}}}
	h := BrowserHeaders()
	b.ReportAllocs()
	for b.Loop() {
		pre.Inject(h)
	}
}

func BenchmarkCookies(b *testing.B) {
	h := http.Header{"Cookie": {"theme=dark; __Host-sallyport=" + string(make([]byte, 60)) + "; JSESSIONID=0123456789"}}
	lines := h["Cookie"]
	b.ReportAllocs()
	for b.Loop() {
		ours.Clean(h, lines, func(pair string) { _, _ = CookieValue(pair, "__Host-sallyport") })
	}
}

func BenchmarkEncodePlain(b *testing.B) {
	v := []string{"alice"}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Encode("X", v, flows.HeaderOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}
