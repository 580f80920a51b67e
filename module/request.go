package module

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"

	"github.com/sallyport-gateway/sallyport/flows/audit"
)

// newID is the id of an event, a page or a run: 130 random bits.
func newID() string { return rand.Text() }

// isNavigation reports whether a person's browser asks for a page in its top
// window: only then is it sent anywhere (B04).
func isNavigation(r *http.Request) bool {
	h := r.Header
	if h.Get("X-Requested-With") != "" || h.Get("Upgrade") != "" || r.Method == http.MethodConnect || r.Method == http.MethodOptions {
		return false
	}
	if isPrefetch(h) {
		return false
	}
	if m := h.Get("Sec-Fetch-Mode"); m != "" && m != "navigate" {
		return false
	}
	if d := h.Get("Sec-Fetch-Dest"); d != "" && d != "document" {
		return false
	}
	return acceptsHTML(h)
}

// isWindow reports a navigation of a browser that shows pages to a person and
// says so by everything it sends, a language among it: only there a page may
// stand between our redirect and the provider. Programs that imitate a
// navigation, and browsers of before Fetch Metadata, are redirected straight on.
func isWindow(r *http.Request) bool {
	h := r.Header
	return r.Method == http.MethodGet && isNavigation(r) && h.Get("Sec-Fetch-Mode") == "navigate" &&
		h.Get("Sec-Fetch-Dest") == "document" && h.Get("Accept-Language") != ""
}

func isPrefetch(h http.Header) bool {
	return strings.Contains(h.Get("Sec-Purpose"), "prefetch") || strings.EqualFold(h.Get("Purpose"), "prefetch") || strings.EqualFold(h.Get("X-Moz"), "prefetch")
}

func acceptsHTML(h http.Header) bool {
	a := strings.Join(h.Values("Accept"), ",")
	return strings.Contains(a, "text/html") || strings.Contains(a, "application/xhtml+xml")
}

// isFrame reports a navigation of an iframe, which must open the login in the top window.
func isFrame(h http.Header) bool {
	switch h.Get("Sec-Fetch-Dest") {
	case "iframe", "frame", "embed", "object", "fencedframe":
		return h.Get("Sec-Fetch-Mode") == "navigate"
	}
	return false
}

// sameOrigin reports whether a request was made by a page of ours (I11):
// Sec-Fetch-Site, or without it an equal Origin.
func (v *visit) sameOrigin() bool {
	if s := v.r.Header.Get("Sec-Fetch-Site"); s != "" {
		return s == "same-origin"
	}
	return strings.EqualFold(v.r.Header.Get("Origin"), v.place.origin)
}

// ownOrTyped reports a GET that our own pages made, or that the person typed.
func (v *visit) ownOrTyped() bool {
	switch v.r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "":
		u, err := url.Parse(v.r.Header.Get("Referer"))
		return err == nil && u.Host != "" && strings.EqualFold(u.Scheme+"://"+canonicalHost(u.Host, u.Scheme), v.place.origin)
	}
	return false
}

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

// noPath reports a target without a path that rules could judge (RFC 9112 §3.2).
// `x:http://app/admin` is sent on as `http://app/admin`, which applications must
// accept and take /admin from; a star and an authority match no path at all.
func noPath(r *http.Request) bool {
	u := r.URL
	return u.Opaque != "" || u.Path == "" && r.Method == http.MethodConnect || u.Path != "" && u.Path[0] != '/'
}

// webSocketByConnect reports a WebSocket as HTTP/2 and HTTP/3 begin it (RFC 8441, RFC
// 9220), told by Caddy's reverse_proxy.
func webSocketByConnect(r *http.Request) bool {
	return r.Method == http.MethodConnect &&
		(r.ProtoMajor == 3 && r.Proto == "websocket" || r.ProtoMajor == 2 && r.Header.Get(":protocol") == "websocket")
}

// tunnels reports any other CONNECT: what goes through a tunnel passes no rule (P6), and
// the application would not hear what it is for.
func tunnels(r *http.Request) bool { return r.Method == http.MethodConnect && !webSocketByConnect(r) }

// asSent is the request as reverse_proxy sends it on: a WebSocket is a GET, and rules
// about GET, or about upgrades, are about that one (P13).
func asSent(r *http.Request) *http.Request {
	if !webSocketByConnect(r) {
		return r
	}
	c := new(http.Request)
	*c = *r
	c.Method, c.Header = http.MethodGet, r.Header.Clone()
	c.Header["Connection"], c.Header["Upgrade"] = []string{"Upgrade"}, []string{"websocket"}
	return c
}

// otherAddresses are headers from which applications behind IIS, and frameworks
// that once stood there, take the path instead of the request line: rules would
// have judged another (P7). No request brings them; `header_up` can write them.
var otherAddresses = []string{"X-Original-URL", "X-Rewrite-URL"}

// rawPath is the path as it stood in the request line.
func (v *visit) rawPath(asked original) string {
	for _, uri := range [...]string{asked.uri, v.r.RequestURI} {
		if uri != "" && uri[0] == '/' {
			if i := strings.IndexByte(uri, '?'); i >= 0 {
				return uri[:i]
			}
			return uri
		}
	}
	return v.r.URL.EscapedPath()
}

// badRawPath names what strict_paths refuses in the raw target (P8): everything
// that some back end reads as another path than our matchers do.
func badRawPath(raw string) string {
	if plainPath(raw) {
		return ""
	}
	if i := strings.IndexByte(raw, ';'); i >= 0 {
		// Nothing but the session parameter, and in it nothing that anybody decodes.
		if sessionParameter(raw) != i || strings.ContainsFunc(raw[i+len(";jsessionid="):], func(r rune) bool { return !sessionByte(r) }) {
			return "path parameter"
		}
		raw = raw[:i]
	}
	lower := strings.ToLower(raw)
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '\\':
			return "backslash"
		case c < ' ' || c == 0x7f:
			return "control character"
		case c == '%':
			if i+2 >= len(raw) {
				return "broken escape"
			}
			switch lower[i+1 : i+3] {
			case "5c":
				return "escaped backslash"
			case "2f":
				return "escaped slash"
			case "2e":
				if dotSegment(lower) {
					return "dot segment"
				}
			case "3b":
				return "escaped path parameter"
			case "25":
				return "double encoding"
			case "7f":
				return "control character"
			}
			if lower[i+1] == '0' || lower[i+1] == '1' {
				return "control character"
			}
			if overlong(lower[i:]) {
				return "overlong encoding"
			}
		}
	}
	switch {
	case strings.Contains(strings.NewReplacer("%3a", ":", "%24", "$").Replace(lower), "::$"):
		return "stream name" // NTFS: /admin::$INDEX_ALLOCATION/ is /admin/
	case strings.Contains(raw, "//"):
		return "empty segment"
	case dotSegment(lower):
		return "dot segment"
	}
	return ""
}

// sessionByte is what session ids are made of, with the names of nodes behind them.
func sessionByte(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._~!:+*@", r)
}

// overlong reports that an escape begins a UTF-8 sequence longer than its
// character needs (RFC 3629 §3): old decoders make a slash or a dot of it.
func overlong(lower string) bool {
	next := ""
	if len(lower) >= 6 && lower[3] == '%' {
		next = lower[4:6]
	}
	switch lower[1:3] {
	case "c0", "c1":
		return true
	case "e0":
		return next >= "80" && next < "a0"
	case "f0":
		return next >= "80" && next < "90"
	case "f8", "fc":
		return next >= "80" && next < "c0"
	}
	return false
}

// plainPath is the quick answer for almost every request.
func plainPath(raw string) bool {
	prev := byte(0)
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case c == '%' || c == ';' || c == ':' || c == '\\' || c < ' ' || c == 0x7f:
			return false
		case c == '/' && prev == '/':
			return false
		case c == '.' && prev == '/':
			return false
		}
		prev = c
	}
	return true
}

func dotSegment(lower string) bool {
	for seg := range strings.SplitSeq(lower, "/") {
		seg = strings.ReplaceAll(seg, "%2e", ".")
		if trimmed := strings.TrimRight(seg, " "); trimmed == "." || trimmed == ".." || strings.HasPrefix(seg, "..") && strings.Trim(seg, ".") == "" {
			return true
		}
	}
	return false
}

// event begins an audit event with what is known of this request.
func (v *visit) event(kind audit.Kind) audit.Event {
	e := audit.Event{ID: newID(), Time: Now(), Kind: kind, Method: v.r.Method, Host: v.place.host, Path: v.r.URL.Path}
	e.IP = v.ip()
	v.number(&e)
	if v.p != nil {
		e.Flow = v.p.Flow
	}
	if s := v.session; s != nil {
		e.User, e.Name, e.Provider, e.Session = s.User.Key, s.User.Name, s.User.Provider, s.ID()
		e.Person = s.User
	}
	return e
}
