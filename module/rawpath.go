package module

import (
	"net/http"
	"strings"
)

// noPath reports a target without a path that rules could judge (RFC 9112 §3.2).
// `x:http://app/admin` is sent on as `http://app/admin`, which applications must
// accept and take /admin from; a star and an authority match no path at all.
func noPath(r *http.Request) bool {
	u := r.URL
	return u.Opaque != "" || u.Path == "" && r.Method == http.MethodConnect || u.Path != "" && u.Path[0] != '/'
}

// webSocketByConnect reports a WebSocket as HTTP/2 and HTTP/3 begin it (RFC 8441, RFC
// 9220), as Caddy's reverse_proxy tells one.
func webSocketByConnect(r *http.Request) bool {
	return r.Method == http.MethodConnect &&
		(r.ProtoMajor == 3 && r.Proto == "websocket" || r.ProtoMajor == 2 && r.Header.Get(":protocol") == "websocket")
}

// tunnels reports any other CONNECT: what goes through a tunnel passes no rule (P6), and
// the application would not hear what it is for.
func tunnels(r *http.Request) bool { return r.Method == http.MethodConnect && !webSocketByConnect(r) }

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
