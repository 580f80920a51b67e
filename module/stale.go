package module

import (
	"encoding/base32"
	"encoding/binary"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
	"github.com/sallyport-gateway/sallyport/module/pages"
)

// stale answers a login page or callback whose pending login is gone (B07):
// who is signed in goes on; who is not gets one fresh login, then a page with a button.
func (v *visit) stale(returnTo, saved string, attempt int) error {
	returnTo = v.safeReturn(returnTo)
	if v.session != nil {
		return v.landAt(returnTo, saved)
	}
	if v.problem != nil && !gone(v.problem) {
		return v.unavailable(v.problem)
	}
	// Who was sent away a moment ago and comes back with no cookie at all will do
	// so for ever: the page names that, instead of a button that leads in a circle (B08).
	if attempt+1 >= maxAttempts || attempt > 0 && len(v.cookies) == 0 {
		return v.loop(v.homeOf(returnTo))
	}
	id := v.countStranger(flows.ReasonStaleLogin, errors.New("no login of this browser waits here")) // anybody can ask for that (I25)
	if attempt == 0 && isNavigation(v.r) && v.r.Method == http.MethodGet {
		if left, err := v.freshAt(returnTo, saved, attempt+1); left {
			return err
		}
		if g, err := v.gateOf(returnTo); err == nil {
			v.p = g
			return v.startLogin(login{flow: g.program, returnTo: returnTo, saved: saved, attempt: 1})
		}
	}
	v.show(http.StatusBadRequest, pages.View{Kind: pages.KindStale, Reason: flows.ReasonStaleLogin, ID: id, Link: loginURL(returnTo)})
	return nil
}

// noPending answers for a page whose pending login this browser does not hold.
// Its name tells when it was made: who was sent here a moment ago, and for the
// second time or without a single cookie, will never hold one (B08).
func (v *visit) noPending(id string) error {
	attempt := v.attempts()
	if v.session == nil && v.r.Method == http.MethodGet && justMade(id) && (attempt > 0 || len(v.cookies) == 0) {
		return v.loop("/")
	}
	q := v.r.URL.Query()
	return v.stale(v.returnTo(q.Get("return_to")), q.Get("saved"), attempt)
}

func justMade(id string) bool {
	b, err := base32.HexEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ToUpper(id))
	if !validPendingID(id) || err != nil {
		return false
	}
	age := Now().Sub(time.Unix(int64(binary.BigEndian.Uint32(b)), 0))
	return age > -loopWindow && age < loopWindow
}

// loop ends a chain of logins that brought no session, with the likely cause.
func (v *visit) loop(home string) error {
	e := v.event(audit.LoginDenied)
	e.Reason = flows.ReasonLoop
	cause, values := v.loopCause()
	e.Detail = cause
	v.app.trail.Note(e)
	v.app.log.Warn("login loop stopped", zap.String("id", e.ID), zap.String("cause", cause), zap.String("host", v.place.host))
	v.clearRecent()
	v.show(http.StatusForbidden, pages.View{Kind: pages.KindError, Reason: flows.ReasonLoop, Cause: cause, Values: values, ID: e.ID, Link: home})
	return nil
}

// loopCause is the likeliest reason, as the code of its text, with what the text names.
func (v *visit) loopCause() (string, map[string]string) {
	domain, host := v.app.Session.Domain, v.place.host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	switch {
	case domain != "" && !below(host, domain):
		return "host_outside", map[string]string{"host": host, "domain": domain}
	case !v.place.secure && !Loopback(v.place.host):
		return "plain_http", nil
	case !v.sendsCookies():
		return "cookies_missing", nil
	case v.problem != nil:
		return "clock", nil
	}
	return "session_lost", nil
}

// sendsCookies reports whether any cookie of ours came back.
func (v *visit) sendsCookies() bool {
	ours := false
	for _, line := range v.cookies {
		for pair := range strings.SplitSeq(line, ";") {
			name, _, _ := strings.Cut(strings.TrimSpace(pair), "=")
			ours = ours || v.app.ownCookies().Has(name)
		}
	}
	return ours
}
