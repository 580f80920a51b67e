package pages

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/sallyport-gateway/sallyport/flows"
)

// Write answers a request with a page, or with JSON for a program (see
// [WantsJSON]). It sets every header a page needs; those of the caller stay,
// such as WWW-Authenticate or Set-Cookie. HEAD gets the headers only.
//
// The page is drawn before anything is sent, so a person never sees half of one.
func (s *Set) Write(w http.ResponseWriter, r *http.Request, status int, v View) {
	v.Kind = v.kind()
	h := w.Header()
	secure(h)
	if v.Kind == KindResume { // it leads to the application, which sees no address of ours otherwise either
		h.Set("Referrer-Policy", "no-referrer")
	}
	if v.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(v.RetryAfter))
	}
	lang := s.language(r.Header.Values("Accept-Language"))
	h.Set("Content-Language", lang)
	nonce := rand.Text()
	h.Set("Content-Security-Policy", policy(&v, nonce))
	// Without a policy for framing the login link would be unreachable in a frame.
	if framers(&v) == "'none'" {
		h.Set("X-Frame-Options", "DENY")
	}
	var body []byte
	var err error
	if WantsJSON(r) {
		h.Set("Content-Type", "application/json")
		d := s.document(lang, &v)
		if status == http.StatusForbidden {
			d.Error = string(flows.ReasonNotAllowed) // that it is denied; the reason says why
		}
		body, err = json.Marshal(d)
	} else {
		h.Set("Content-Type", "text/html; charset=utf-8")
		body, err = s.render(lang, nonce, &v)
	}
	if err != nil {
		// Unreachable after the rehearsal at load; still never a half page.
		h.Set("Content-Type", "text/plain; charset=utf-8")
		status, body = http.StatusInternalServerError, []byte("This page could not be shown.\n")
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
}

func secure(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Add("Vary", "Accept, Accept-Language, Cookie")
	h.Set("X-Content-Type-Options", "nosniff")
	// Not no-referrer: with it browsers send "Origin: null" on our own forms (Fetch
	// §3.2), and I11 could not tell them from another site's.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Robots-Tag", "noindex")
}

var originPattern = regexp.MustCompile(`^[A-Za-z0-9.-]+(:[0-9]{1,5})?$`)

// policy is the page's Content-Security-Policy. A script runs where there is
// something to keep or to send on, and only ours: it is named by its hash, so
// that no template can add another (B7).
func policy(v *View, nonce string) string {
	p := []string{"default-src 'none'", "style-src 'nonce-" + nonce + "'", "img-src 'self' data:", "base-uri 'none'"}
	if all := scriptsOf(v); len(all) > 0 {
		run := "script-src"
		for _, s := range all {
			run += " " + s.source
		}
		p = append(p, run)
	}
	form := "form-action 'self'"
	targets := v.FormAction
	if v.Kind == KindPost {
		targets = append([]string{v.Action}, targets...)
	}
	for _, t := range targets {
		if o := formTarget(t); o != "" {
			form += " " + o
		}
	}
	return strings.Join(append(p, form, "frame-ancestors "+framers(v)), "; ")
}

// framers are who may frame a page.
func framers(v *View) string {
	if v.Kind == KindLoginRequired {
		return "'self' http: https:"
	}
	if o := formTarget(v.Framer); v.Kind == KindPost && o != "" && strings.Contains(o, "://") {
		return o
	}
	return "'none'"
}

// formTarget is the origin of an address as a CSP source, "" if it has none:
// nothing of an address but checked bytes reaches the header.
func formTarget(s string) string {
	if s == "https:" {
		return s
	}
	// A source may leave the port open ("http://127.0.0.1:*"); an address may not.
	s, anyPort := strings.CutSuffix(s, ":*")
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || !originPattern.MatchString(u.Host) {
		return ""
	}
	origin := u.Scheme + "://" + strings.ToLower(u.Host)
	if anyPort && u.Port() == "" && u.Path == "" && u.RawQuery == "" {
		return origin + ":*"
	}
	return origin
}
