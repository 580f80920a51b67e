package module

import (
	"net/url"
	"strings"
)

// returnTo makes a return address safe: a path on this origin, or "/" (B1).
// What a browser would read as another host, and what leads into the gateway's
// own pages, is not followed.
func (v *visit) returnTo(s string) string {
	if rest, ok := strings.CutPrefix(s, v.place.origin); ok && (rest == "" || rest[0] == '/' || rest[0] == '?') {
		s = rest
		if s == "" || s[0] == '?' {
			s = "/" + s
		}
	}
	return safePath(s)
}

func safePath(s string) string {
	if s == accountPath {
		return s
	}
	if len(s) > 16<<10 || len(s) == 0 || s[0] != '/' || len(s) > 1 && (s[1] == '/' || s[1] == '\\') {
		return "/"
	}
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] == 0x7f || s[i] == '\\' {
			return "/"
		}
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || strings.HasPrefix(u.Path, "//") {
		return "/"
	}
	// A browser resolves dot segments, escaped ones too, and may come to our pages by them.
	if u.Path == "/.identity" || strings.HasPrefix(u.Path, "/.identity/") || dotSegment(strings.ToLower(u.EscapedPath())) {
		return "/"
	}
	u.Fragment, u.RawFragment = "", ""
	return u.String()
}

// application splits the address of an application into its origin and a path
// there. The origin must stand there letter by letter as we write it ourselves, so
// that no other reading of the address leads anywhere else.
func (a *App) application(address string) (origin, path string, ok bool) {
	i := strings.Index(address, "://")
	if i < 0 {
		return "", "", false
	}
	origin, path = address, "/"
	if j := strings.IndexAny(address[i+3:], "/?#"); j >= 0 {
		origin, path = address[:i+3+j], address[i+3+j:]
	}
	if !a.handsTo(origin) {
		return "", "", false
	}
	if path[0] != '/' {
		path = "/" + path
	}
	return origin, safePath(path), true
}

// safeReturn is safePath for what may also be, on the portal, an application's address.
func (v *visit) safeReturn(to string) string {
	if v.onPortal() {
		if app, path, ok := v.app.application(to); ok {
			return app + path
		}
	}
	return safePath(to)
}

// split is where a return address leads: the origin, and a path there.
func (v *visit) split(to string) (origin, path string) {
	if to = v.safeReturn(to); to[0] == '/' {
		return v.place.origin, to
	}
	origin, path, _ = v.app.application(to)
	return origin, path
}

// homeOf is the front page of where a return address leads.
func (v *visit) homeOf(to string) string {
	if origin, _ := v.split(to); origin != v.place.origin {
		return origin + "/"
	}
	return "/"
}
