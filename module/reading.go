package module

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// Other programs read a path in other ways than our matchers do (P8). What
// strict_paths lets through may still have several readings: a rule that closes
// holds if any of them matches, one that opens only if all do.

// maxScripts bounds the readings of one path.
const maxScripts = 16

var (
	errReadings  = errors.New("the path can be read in too many ways")
	errOtherGate = errors.New("other programs read the path as one that another protect guards")
)

// scripts are endings of files that take the rest of a path as path info.
var scripts = []string{"php", "php3", "php4", "php5", "php7", "php8", "phtml", "phar", "cgi", "fcgi", "pl", "py", "rb", "asp", "aspx", "ashx", "asmx", "jsp", "cfm", "dll", "exe"}

func isScript(segment string) bool {
	i := strings.LastIndexByte(segment, '.')
	return i >= 0 && len(segment)-i <= 6 && slices.Contains(scripts, strings.ToLower(segment[i+1:]))
}

// oddPath reports whether a decoded path has more than one reading; almost none has.
func oddPath(path string) bool {
	start, dot := 0, false
	for i := 0; i < len(path); i++ {
		switch path[i] {
		case ';', '#', '?':
			return true
		case '.':
			dot = true
		case '/':
			if i > 0 && (path[i-1] == '.' || path[i-1] == ' ') || dot && isScript(path[start:i]) {
				return true
			}
			start, dot = i+1, false
		}
	}
	return path == "" || path[len(path)-1] == '.' || path[len(path)-1] == ' '
}

// sessionParameter finds the `;jsessionid=…` that a servlet container adds to
// the last segment for a browser without cookies; -1 if there is none.
func sessionParameter(path string) int {
	i := strings.LastIndexByte(path, ';')
	const name = ";jsessionid="
	if i < 0 || len(path)-i < len(name) || !strings.EqualFold(path[i:i+len(name)], name) || strings.IndexByte(path[i:], '/') >= 0 {
		return -1
	}
	return i
}

// readings are the path as it is matched, which is without a session parameter,
// and what others may take it for. `http://host` is sent on as a request for /.
func readings(path string) (matched string, others []string, err error) {
	matched = path
	if matched == "" {
		return "/", nil, nil
	}
	if i := sessionParameter(path); i >= 0 {
		matched = path[:i]
	}
	all := []string{matched}
	add := func(p string) {
		if p == "" || p[0] != '/' {
			p = "/" + p
		}
		if !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	if i := strings.IndexAny(matched, "#?"); i >= 0 { // decoded twice, the path ends here
		add(matched[:i])
	}
	for _, p := range slices.Clone(all) { // servlet containers
		add(eachSegment(p, func(s string) string { s, _, _ = strings.Cut(s, ";"); return s }))
	}
	for _, p := range slices.Clone(all) { // Windows
		add(eachSegment(p, trimSegment))
	}
	for _, p := range slices.Clone(all) { // path info: PHP, CGI, ASP
		segments := strings.Split(p, "/")
		found := 0
		for i, s := range segments[:len(segments)-1] {
			if !isScript(s) {
				continue
			}
			if found++; found > maxScripts {
				return matched, nil, errReadings
			}
			rest := strings.Join(segments[i+1:], "/")
			add(strings.Join(segments[:i+1], "/")) // the script runs, whatever stands behind it
			add(rest)
			add(strings.Join(segments[:i], "/") + "/" + rest)
		}
	}
	return matched, all[1:], nil
}

func eachSegment(path string, f func(string) string) string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		segments[i] = f(s)
	}
	return strings.Join(segments, "/")
}

func trimSegment(s string) string {
	if s == "." || s == ".." {
		return s
	}
	return strings.TrimRight(s, ". ")
}

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

// readPath prepares the request as rules see it, in every reading.
func (v *visit) readPath(r *http.Request) {
	r = asSent(r)
	v.asked, v.other = r, nil
	if !oddPath(r.URL.Path) {
		return
	}
	matched, others, err := readings(r.URL.Path)
	v.other = &otherReadings{err: err}
	if matched != r.URL.Path {
		v.asked = withPath(r, matched)
	}
	for _, p := range others {
		v.other.requests = append(v.other.requests, withPath(r, p))
	}
}

// otherReadings are what else a path may be read as; err: there are too many.
type otherReadings struct {
	requests []*http.Request
	err      error
}

// withPath is the request for another path, for matchers only.
func withPath(r *http.Request, path string) *http.Request {
	c, u := new(http.Request), new(url.URL)
	*c, *u = *r, *r.URL
	u.Path, u.RawPath = path, ""
	if i := sessionParameter(r.URL.RawPath); i >= 0 && strings.HasPrefix(r.URL.Path, path+";") {
		u.RawPath = r.URL.RawPath[:i]
	}
	c.URL = u
	return c
}

// matches asks a rule's matchers in every reading of the path (I19).
func (v *visit) matches(sets caddyhttp.MatcherSets, closes bool) (bool, error) {
	if v.other == nil {
		return sets.AnyMatchWithError(v.asked)
	}
	if v.other.err != nil {
		return false, v.other.err
	}
	hit, err := sets.AnyMatchWithError(v.asked)
	for _, r := range v.other.requests {
		if err != nil || hit == closes {
			break
		}
		hit, err = sets.AnyMatchWithError(r)
	}
	return hit, err
}

// otherGate covers paths that Caddy's routes read in one way and an application
// in another. A session parameter is ignored by matching, so the gate of the
// path without it judges; where any other reading belongs to another gate, the
// request is refused.
func (v *visit) otherGate(r *http.Request, from original) (*Protect, error) {
	if !oddPath(from.url.Path) {
		return nil, nil //nolint:nilnil // no other gate
	}
	asked := *r
	asked.Method, asked.URL, asked.RequestURI = from.method, from.url, from.uri
	matched, others, err := readings(asked.URL.Path)
	if err != nil {
		return nil, err
	}
	own := v.askRoutesAs(&asked).found
	gate := own
	if matched != asked.URL.Path {
		if g := v.askRoutesAs(withPath(&asked, matched)).found; g != nil {
			gate = g
		}
	}
	for _, p := range others {
		if g := v.askRoutesAs(withPath(&asked, p)).found; v.p.strict && g != nil && g != gate {
			return nil, errOtherGate
		}
	}
	if gate == own {
		return nil, nil //nolint:nilnil // the routes find it themselves
	}
	return gate, nil
}

// logWithout keeps a request out of the access log whose address, or that of
// its answer, holds a code, state or token (P15); this line stands in for it.
func (v *visit) logWithout(what string, status int, fields ...zap.Field) {
	caddyhttp.SetVar(v.r.Context(), caddyhttp.LogSkipVar, true)
	v.app.log.Info(what, append(fields, zap.String("client_ip", v.ip()), zap.String("method", v.r.Method),
		zap.String("host", v.place.host), zap.String("path", v.r.URL.Path), zap.Int("status", status))...)
}
