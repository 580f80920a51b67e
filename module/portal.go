package module

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/module/pages"
)

// maxBody is the largest body the gateway's own addresses read; maxMessage that of
// those where providers speak in whole signed messages.
const (
	maxBody    = 64 << 10
	maxMessage = 256 << 10
)

// portal serves /.identity/*, the gateway's own addresses on every host.
func (v *visit) portal() error {
	path := strings.TrimPrefix(v.r.URL.Path, "/.identity")
	v.readPath(v.r)
	v.hurry()
	if parts := strings.Split(path, "/"); len(parts) == 4 {
		if p := v.app.provider(parts[2]); p != nil && p.Type == parts[1] {
			return v.federation(p, parts[3])
		}
	}
	name := ""
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		path, name = path[:i], path[i+1:]
	}
	switch path {
	case "/callback":
		return v.methodUnlogged("callback", func() error { return v.callback(name) }, http.MethodGet, http.MethodPost)
	case "/frontchannel-logout":
		return v.methodUnlogged("front-channel logout", func() error { return v.frontchannelLogout(name) }, http.MethodGet)
	case "/backchannel-logout":
		return v.method(func() error { return v.backchannelLogout(name) }, http.MethodPost)
	}
	if name == "" {
		switch path {
		case "/handover":
			if v.away() {
				return v.methodUnlogged("handover", v.handover, http.MethodGet)
			}
		case "/login":
			return v.method(v.login, http.MethodGet, http.MethodPost)
		case "/flow":
			if v.r.URL.Query().Has("h") {
				return v.methodUnlogged("answer taken up", v.flow, http.MethodGet, http.MethodPost)
			}
			return v.method(v.flow, http.MethodGet, http.MethodPost)
		case "/account":
			return v.method(v.account, http.MethodGet, http.MethodPost)
		case "/step-up":
			return v.method(v.stepUpPage, http.MethodGet)
		case "/approval":
			return v.method(v.approvalPage, http.MethodGet)
		case "/logout":
			return v.method(v.logout, http.MethodGet, http.MethodPost)
		case "/session":
			return v.method(v.sessionInfo, http.MethodGet)
		case "/userinfo":
			return v.method(v.userInfo, http.MethodGet)
		case "/jwks.json":
			return v.method(v.jwks, http.MethodGet, http.MethodHead)
		}
	}
	if found, err := v.keyDocument(); found || err != nil {
		return err
	}
	return v.noPage()
}

func (v *visit) noPage() error {
	return v.refuseStranger(http.StatusNotFound, ReasonNoPage, errors.New("nothing is at this address"))
}

// ReasonNoPage is the answer under /.identity/ where nothing is.
const ReasonNoPage flows.Reason = "no_such_page"

// method answers others than those allowed. HEAD runs nothing: it must not
// consume a code (security.md 0.2, callback-head).
func (v *visit) method(serve func() error, allowed ...string) error {
	for _, m := range allowed {
		if v.r.Method == m {
			return serve()
		}
	}
	v.w.Header().Set("Allow", strings.Join(allowed, ", "))
	v.w.Header().Set("Cache-Control", "no-store")
	if v.r.Method == http.MethodHead {
		v.w.WriteHeader(http.StatusOK)
		return nil
	}
	v.w.WriteHeader(http.StatusMethodNotAllowed)
	return nil
}

// methodUnlogged is method for addresses that hold what no access log may.
func (v *visit) methodUnlogged(what string, serve func() error, allowed ...string) error {
	rec := caddyhttp.NewResponseRecorder(v.w, nil, nil)
	v.w = rec
	caddyhttp.SetVar(v.r.Context(), caddyhttp.LogSkipVar, true) // also when a guest panics
	err := v.method(serve, allowed...)
	v.logWithout(what, rec.Status())
	return err
}

// show writes one of our pages.
func (v *visit) show(status int, view pages.View) {
	if view.ID != "" && v.correlation != nil {
		view.ID = v.correlation.id // it finds the event, too, and all the rest
	}
	v.app.pages.Write(v.w, v.r, status, view)
}

func (v *visit) showError(status int, reason flows.Reason, text, id string) {
	kind := errorPage(status, reason)
	view := pages.View{Kind: kind, Reason: reason, Text: text, ID: id}
	if v.session != nil {
		view.User = v.session.User.Name
		if kind == pages.KindDenied {
			view.Link = "/.identity/logout" // labelled "use another account"
		}
	}
	if status == http.StatusServiceUnavailable {
		view.RetryAfter = 5
	}
	v.show(status, view)
}

// errorPage is the kind of page that says no.
func errorPage(status int, reason flows.Reason) pages.Kind {
	if status == http.StatusForbidden && reason == flows.ReasonNotAllowed {
		return pages.KindDenied
	}
	return pages.KindError
}

// redirect is always 303: a POST must not be sent again to where we lead.
func (v *visit) redirect(to string) error {
	h := v.w.Header()
	h.Set("Location", to)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	v.w.WriteHeader(http.StatusSeeOther)
	return nil
}

// home leads to a path on this origin, absolute so that nothing can reinterpret it.
func (v *visit) home(path string) error { return v.redirect(v.place.origin + safePath(path)) }

func loginURL(returnTo string) string {
	return "/.identity/login?" + url.Values{"return_to": {returnTo}}.Encode()
}

// unauthorized tells a program where a person can sign in; it sets no cookie.
func (v *visit) unauthorized() error {
	h := v.w.Header()
	h.Set("WWW-Authenticate", "Sallyport")
	v.offerSchemes()
	h.Set("Cache-Control", "no-store")
	if isFrame(v.r.Header) && acceptsHTML(v.r.Header) {
		v.show(http.StatusUnauthorized, pages.View{Kind: pages.KindLoginRequired, Reason: flows.ReasonLoginRequired, Link: loginURL(v.returnTo(v.wanted()))})
		return nil
	}
	return v.json(http.StatusUnauthorized, map[string]any{"error": flows.ReasonLoginRequired, "login_url": loginURL(v.page())})
}

// page is the one of this origin that a request says it comes from, or "/".
func (v *visit) page() string {
	ref := v.r.Header.Get("Referer")
	if strings.HasPrefix(ref, "/") { // no browser sends that
		return "/"
	}
	return v.returnTo(ref)
}

func (v *visit) json(status int, body any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	h := v.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	v.w.WriteHeader(status)
	if v.r.Method != http.MethodHead {
		_, _ = v.w.Write(append(b, '\n'))
	}
	return nil
}

// rotated answers a request that was under way with a ticket replaced a moment
// ago: a retry brings the new one (I13).
func (v *visit) rotated() error {
	h := v.w.Header()
	h.Set("Retry-After", "1")
	h.Set("WWW-Authenticate", "Sallyport")
	if isNavigation(v.r) && v.r.Method == http.MethodGet {
		h.Set("Refresh", "1")
		v.showError(http.StatusUnauthorized, flows.ReasonSessionRotated, "", "") // over by the time somebody asks
		return nil
	}
	return v.json(http.StatusUnauthorized, map[string]any{"error": flows.ReasonSessionRotated, "retry": true})
}

// exposed reports a request over plain http off loopback: there is no login, unless
// the operator said so.
func (v *visit) exposed() bool {
	return !v.place.secure && !Loopback(v.place.host) && !v.app.Session.InsecureHTTP
}

// insecure refuses a login where the request is exposed.
func (v *visit) insecure() error {
	return v.refuseStranger(http.StatusForbidden, flows.ReasonInsecure,
		errors.New("no login over plain http: if TLS ends in front of the gateway, set trusted_proxies or `url https://…` in protect"))
}

// sessionInfo answers /.identity/session; the time left is that on the route of
// the page that asks.
func (v *visit) sessionInfo() error {
	switch {
	case v.session == nil && v.problem != nil && !gone(v.problem):
		return v.unavailable(v.problem)
	case v.session == nil:
		v.w.Header().Set("WWW-Authenticate", "Sallyport")
		return v.json(http.StatusUnauthorized, map[string]any{"signed_in": false, "error": flows.ReasonLoginRequired, "login_url": loginURL(v.page())})
	}
	s := v.session
	left := s.Left(v.now)
	if g, err := v.gateOf(v.page()); err == nil { // its protect may ask sooner
		v.p = g
		if own, limited := v.routeLeft(); limited {
			left = max(min(left, own), 0)
		}
	}
	return v.json(http.StatusOK, map[string]any{
		"signed_in": true, "since": s.Card.Started.UTC().Format(time.RFC3339), "seconds_left": int(left.Seconds()), "id": s.ID(),
	})
}
