package module_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"
)

// landing is where a browser goes that is at base and is sent to a Location: a
// reading of the URL Standard §4.4 for http and https, apart from net/url, which
// reads addresses as servers do. Another scheme is its own host.
type landing struct{ host, path, query string }

func browse(base landing, location string) landing {
	s := strings.TrimFunc(location, func(r rune) bool { return r <= ' ' })
	s = strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(s)
	s, _, _ = strings.Cut(s, "#")
	scheme, rest := schemeOf(s)
	ours, _, _ := strings.Cut(base.host, "://")
	slash := func(i int) bool { return i < len(rest) && (rest[i] == '/' || rest[i] == '\\') }
	switch {
	case scheme != "" && scheme != "http" && scheme != "https":
		return landing{host: scheme + ":"}
	case scheme != "" && (scheme != ours || slash(0) && slash(1)), scheme == "" && slash(0) && slash(1):
		if scheme == "" {
			scheme = ours
		}
		return authority(scheme, rest)
	}
	// Relative, and `http:x` at an http page is relative, too.
	path, query, has := strings.Cut(rest, "?")
	switch {
	case path == "" && !has:
		return base
	case path == "":
		path = base.path
	case !slash(0):
		path = base.path[:strings.LastIndexByte(base.path, '/')+1] + path
	}
	return landing{base.host, resolve(path), query}
}

func schemeOf(s string) (scheme, rest string) {
	for i := range len(s) {
		switch c := s[i] | 0x20; {
		case c >= 'a' && c <= 'z':
		case i > 0 && (s[i] >= '0' && s[i] <= '9' || strings.IndexByte("+-.", s[i]) >= 0):
		case i > 0 && s[i] == ':':
			return strings.ToLower(s[:i]), s[i+1:]
		default:
			return "", s
		}
	}
	return "", s
}

// authority reads what stands behind any number of slashes.
func authority(scheme, rest string) landing {
	rest = strings.TrimLeft(rest, `/\`)
	host := rest
	if i := strings.IndexAny(rest, `/\?`); i >= 0 {
		host = rest[:i]
	}
	path, query, _ := strings.Cut(rest[len(host):], "?")
	host = strings.ToLower(host[strings.LastIndexByte(host, '@')+1:])
	if h, err := url.PathUnescape(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimSuffix(host, ":"), map[string]string{"http": ":80", "https": ":443"}[scheme])
	return landing{scheme + "://" + host, resolve(path), query}
}

// resolve takes dot segments out, escaped ones too.
func resolve(path string) string {
	path = strings.ReplaceAll(path, `\`, "/")
	var out []string
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, s := range segments {
		dots := strings.ReplaceAll(strings.ToLower(s), "%2e", ".")
		last := i == len(segments)-1
		switch {
		case dots == ".." && len(out) > 0:
			out = out[:len(out)-1]
			fallthrough
		case dots == "." || dots == "..":
			if last {
				out = append(out, "")
			}
		default:
			out = append(out, s)
		}
	}
	return "/" + strings.Join(out, "/")
}

func TestB1TheCheckerReadsAsBrowsersDo(t *testing.T) {
	here := landing{"http://app.test:81", "/.identity/login", ""}
	for location, want := range map[string]landing{
		"/a":                                 {"http://app.test:81", "/a", ""},
		"/a?b=//c#d":                         {"http://app.test:81", "/a", "b=//c"},
		"":                                   here,
		"?x":                                 {"http://app.test:81", "/.identity/login", "x"},
		"x":                                  {"http://app.test:81", "/.identity/x", ""},
		"../x":                               {"http://app.test:81", "/x", ""},
		"/a/%2E%2e/b/./c/.":                  {"http://app.test:81", "/b/c/", ""},
		"/..//evil.example":                  {"http://app.test:81", "//evil.example", ""},
		"//evil.example":                     {"http://evil.example", "/", ""},
		`/\evil.example`:                     {"http://evil.example", "/", ""},
		`\\evil.example`:                     {"http://evil.example", "/", ""},
		"/\t/evil.example":                   {"http://evil.example", "/", ""},
		"\x01 \n//evil.example":              {"http://evil.example", "/", ""},
		"////evil.example/a":                 {"http://evil.example", "/a", ""},
		"http:evil.example":                  {"http://app.test:81", "/.identity/evil.example", ""},
		"http:/evil.example":                 {"http://app.test:81", "/evil.example", ""},
		"https:evil.example":                 {"https://evil.example", "/", ""},
		"https:/evil.example":                {"https://evil.example", "/", ""},
		`https:\\evil.example\x`:             {"https://evil.example", "/x", ""},
		"HTTP://EVIL.example:80?x":           {"http://evil.example", "/", "x"},
		"http://app.test:81@evil.example/x":  {"http://evil.example", "/x", ""},
		`http://evil.example\@app.test:81/x`: {"http://evil.example", "/@app.test:81/x", ""},
		"http://evil.example#@app.test:81/x": {"http://evil.example", "/", ""},
		"http://evil%2Eexample":              {"http://evil.example", "/", ""},
		"java\nscript:alert(1)":              {host: "javascript:"},
		"x.y+z:":                             {host: "x.y+z:"},
		"http://app.test:81/a/../b":          {"http://app.test:81", "/b", ""},
	} {
		if got := browse(here, location); got != want {
			t.Errorf("%q: %+v, want %+v", location, got, want)
		}
	}
	if !slices.Equal([]string{resolve(""), resolve("/.."), resolve("/a/.."), resolve(`\a\..\b`)}, []string{"/", "/", "/", "/b"}) {
		t.Error("dot segments")
	}
}
