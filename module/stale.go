package module

import (
	"net/http"
	"strings"

	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/module/pages"
)

// stale answers a login page or callback whose pending login is gone (B07):
// who is signed in goes on; who is not gets one fresh login, then a page with a button.
func (v *visit) stale(returnTo string, attempt int) error {
	returnTo = safePath(returnTo)
	if v.session != nil {
		return v.home(returnTo)
	}
	if v.problem != nil && !gone(v.problem) {
		return v.unavailable(v.problem)
	}
	// Who was sent away a moment ago and comes back with no cookie at all will do
	// so for ever: the page names that, instead of a button that leads in a circle (B08).
	if attempt+1 >= maxAttempts || attempt > 0 && len(v.cookies) == 0 {
		return v.loop()
	}
	e := v.event(auditLoginDenied)
	e.Reason = flows.ReasonStaleLogin
	v.app.trail.Note(e)
	if attempt == 0 && isNavigation(v.r) && v.r.Method == http.MethodGet {
		if g, err := v.gateOf(returnTo); err == nil {
			v.p = g
			return v.startLogin(login{flow: g.program, returnTo: returnTo, attempt: 1})
		}
	}
	v.show(http.StatusBadRequest, pages.View{Kind: pages.KindStale, Reason: flows.ReasonStaleLogin, ID: e.ID, Link: loginURL(returnTo)})
	return nil
}

// loop ends a chain of logins that brought no session, with the likely cause.
func (v *visit) loop() error {
	e := v.event(auditLoginDenied)
	e.Reason = flows.ReasonLoop
	e.Detail = v.loopCause()
	v.app.trail.Note(e)
	v.app.log.Warn("login loop stopped", zap.String("id", e.ID), zap.String("cause", e.Detail), zap.String("host", v.place.host))
	v.clearRecent()
	v.show(http.StatusForbidden, pages.View{Kind: pages.KindError, Reason: flows.ReasonLoop, Text: e.Detail, ID: e.ID, Link: "/"})
	return nil
}

func (v *visit) loopCause() string {
	switch {
	case len(v.cookies) == 0:
		return "The browser does not send our cookies back."
	case v.app.Session.Domain != "" && !strings.HasSuffix("."+v.place.host, "."+strings.TrimPrefix(v.app.Session.Domain, ".")):
		return "The host " + v.place.host + " is not below the cookie domain " + v.app.Session.Domain + "."
	case !v.place.secure && !loopback(v.place.host):
		return "The page is served over plain http."
	case v.problem != nil:
		return "The session is not found where it should be; a clock may be wrong."
	}
	return "The sign-in succeeded, but the session cookie did not come back."
}
