package browser

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Jar keeps cookies as a browser does: by host and not by port (RFC 6265 §8.5),
// which is what makes a gateway and an IdP on one loopback address interesting.
type Jar struct {
	// Lost drops every cookie, as a browser that refuses cookies.
	Lost bool
	// Refuses drops the cookies whose names end so, as a browser does whose owner wants
	// none of that kind.
	Refuses string
	all     []stored
}

type stored struct {
	*http.Cookie
	host    string
	expires time.Time
}

// Set keeps what a response from u set.
func (j *Jar) Set(u *url.URL, cookies []*http.Cookie) {
	if j.Lost {
		return
	}
	for _, c := range cookies {
		if j.Refuses != "" && strings.HasSuffix(c.Name, j.Refuses) {
			continue
		}
		if c.Path == "" || c.Path[0] != '/' {
			c.Path = "/"
		}
		host := u.Hostname()
		if c.Domain != "" {
			host = strings.TrimPrefix(c.Domain, ".")
		}
		if !acceptable(u, c) {
			continue
		}
		j.all = slices.DeleteFunc(j.all, func(s stored) bool {
			return s.host == host && s.Name == c.Name && s.Path == c.Path
		})
		s := stored{Cookie: c, host: host, expires: c.Expires}
		if c.MaxAge > 0 {
			s.expires = time.Now().Add(time.Duration(c.MaxAge) * time.Second)
		}
		if c.MaxAge < 0 || (!s.expires.IsZero() && s.expires.Before(time.Now())) {
			continue
		}
		j.all = append(j.all, s)
	}
}

// acceptable refuses what browsers refuse: prefixes whose promise is not kept.
func acceptable(u *url.URL, c *http.Cookie) bool {
	switch {
	case strings.HasPrefix(c.Name, "__Host-"):
		return u.Scheme == "https" && c.Secure && c.Domain == "" && c.Path == "/"
	case strings.HasPrefix(c.Name, "__Secure-"):
		return u.Scheme == "https" && c.Secure
	}
	return true
}

// Cookies are those that would be sent to address, the longer paths first.
func (j *Jar) Cookies(address string) []*http.Cookie {
	u, err := url.Parse(address)
	if err != nil {
		return nil
	}
	return j.match(u)
}

// Clone copies the jar: the thief's copy, or the tab of yesterday.
func (j *Jar) Clone() *Jar { return &Jar{Lost: j.Lost, Refuses: j.Refuses, all: slices.Clone(j.all)} }

// Clear forgets everything.
func (j *Jar) Clear() { j.all = nil }

func (j *Jar) match(u *url.URL) []*http.Cookie {
	var out []*http.Cookie
	for _, s := range j.all {
		host := u.Hostname()
		if host != s.host && (s.Domain == "" || !strings.HasSuffix(host, "."+s.host)) {
			continue
		}
		if s.Secure && u.Scheme != "https" && host != "localhost" {
			continue
		}
		if !s.expires.IsZero() && s.expires.Before(time.Now()) {
			continue
		}
		path := u.Path
		if path == "" {
			path = "/"
		}
		if path == s.Path || strings.HasPrefix(path, strings.TrimSuffix(s.Path, "/")+"/") {
			out = append(out, s.Cookie)
		}
	}
	slices.SortStableFunc(out, func(a, b *http.Cookie) int { return len(b.Path) - len(a.Path) })
	return out
}

func (j *Jar) header(u *url.URL, method, site string) string {
	var pairs []string
	for _, c := range j.match(u) {
		crossSite := site == "cross-site"
		if crossSite && c.SameSite == http.SameSiteStrictMode {
			continue
		}
		// Lax, also when nothing is said: only safe navigations bring it across sites.
		if crossSite && c.SameSite != http.SameSiteNoneMode && method != http.MethodGet && method != http.MethodHead {
			continue
		}
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	return strings.Join(pairs, "; ")
}
