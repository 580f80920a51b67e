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
