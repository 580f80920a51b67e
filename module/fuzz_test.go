package module

import (
	"net/http"
	"net/url"
	"os"
	"path"
	"strconv"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows/session"
)

// corpus takes one column out of a file of cases: what the tests replay, fuzzing begins with.
func corpus(f *testing.F, name string, column int) (all []string) {
	f.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		cells := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if line[0] == '#' || len(cells) <= column {
			continue
		}
		s, err := strconv.Unquote(`"` + cells[column] + `"`)
		if err != nil {
			f.Fatalf("%s: %q: %v", name, line, err)
		}
		all = append(all, s)
	}
	return all
}

// Whatever comes as a return address: what we lead to is a path on this origin (B1).
func FuzzReturnAddress(f *testing.F) {
	for _, s := range []string{"/", "/a?b=c#d", "//evil", "/\\evil", "https://evil", "https://app.example/x", "/.identity/x", "/%2f%2fevil", "/\x00", "javascript:x", "/a/../..//evil", "/ü", "/%zz", "?x", ""} {
		f.Add(s)
	}
	for _, s := range corpus(f, "redirects.txt", 1) {
		f.Add(s)
	}
	v := &visit{place: &place{origin: "https://app.example"}}
	base, _ := url.Parse("https://app.example/.identity/login")
	f.Fuzz(func(t *testing.T, s string) {
		got := v.returnTo(s)
		if got == "" || got[0] != '/' || strings.HasPrefix(got, "//") || strings.ContainsAny(got, "\\\r\n\t\x00 ") {
			t.Fatalf("%q → %q", s, got)
		}
		u, err := base.Parse(got)
		if err != nil || u.Host != "app.example" || u.Scheme != "https" || strings.HasPrefix(path.Clean(u.Path)+"/", "/.identity/") || strings.HasPrefix(u.Path, "//") {
			t.Fatalf("%q → %q → %v, %v", s, got, u, err)
		}
	})
}

// A cookie line never makes the gateway panic, and only our own names are ours.
func FuzzOwnCookieNames(f *testing.F) {
	for _, s := range []string{"__Host-sallyport", "sallyport-8080", "sallyport.p0", "sallyportx", "__Secure-Sallyport.device", "", "__Host-", "app"} {
		f.Add(s)
	}
	a := &App{Config: Config{Session: &SessionConfig{Cookie: "sallyport"}}}
	f.Fuzz(func(t *testing.T, s string) {
		if a.ownCookies().Has(s) && !strings.Contains(strings.ToLower(s), "sallyport") {
			t.Fatalf("%q counts as ours", s)
		}
		_, _ = session.ParseTicket(s)
	})
}

// A host becomes the same origin however it is spelled (P9).
func FuzzCanonicalHost(f *testing.F) {
	for _, s := range []string{"a.example", "A.Example.", "a.example:443", "[::1]:8080", "::1", "a:b:c", ":443", "a.example:", ".", "..."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once := canonicalHost(s, "https")
		if again := canonicalHost(once, "https"); again != canonicalHost(again, "https") || strings.ToLower(once) != once {
			t.Fatalf("%q → %q → %q", s, once, again)
		}
		_ = newPlace("https", s, &SessionConfig{Cookie: "sallyport"})
	})
}

// A raw path is judged without a panic, and what is judged plain holds no trick.
func FuzzRawPath(f *testing.F) {
	for _, s := range []string{"/a", "/a;jsessionid=1", "/a/..;/b", "/%2e%2e/", "//", "/%", "/%5c", "/%25", "/a.b/c..d"} {
		f.Add(s)
	}
	for _, s := range corpus(f, "paths.txt", 0) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if badRawPath(s) != "" {
			return
		}
		if strings.Contains(s, "//") || strings.Contains(s, "/../") || strings.HasSuffix(s, "/..") || strings.ContainsAny(s, "\\\x00") {
			t.Fatalf("%q passes strict_paths", s)
		}
	})
}

func TestSameOriginNeedsOurOrigin(t *testing.T) {
	v := &visit{place: &place{origin: "https://app.example"}}
	for h, want := range map[string]bool{"https://app.example": true, "https://APP.example": true, "https://evil.example": false, "null": false, "": false} {
		v.r = &http.Request{Header: http.Header{"Origin": {h}}}
		if v.sameOrigin() != want {
			t.Errorf("Origin %q: want %v", h, want)
		}
	}
}
