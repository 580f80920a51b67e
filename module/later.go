package module

import (
	"errors"
	"net/http"
	"os"
	"strings"

	"github.com/sallyport-gateway/sallyport/flows"
	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
	"github.com/sallyport-gateway/sallyport/headers"
	"github.com/sallyport-gateway/sallyport/module/pages"
)

// sendLater answers a form that comes without a session, or with one that does not
// do: it is kept if the browser shows that its person was signed in, and the login
// begins; else nothing is stored (I21).
func (v *visit) sendLater(anew bool) error {
	v.hurry()
	user, browser, err := v.lastKnown()
	if err != nil {
		return v.unavailable(err)
	}
	key, err := v.hold(user, browser, "")
	if err != nil {
		return v.signInThenSend(err)
	}
	return v.startLogin(login{flow: v.p.program, returnTo: v.wanted(), anew: anew, saved: key})
}

// maxTickets is how many tickets of one name are looked at.
const maxTickets = 3

// lastKnown is the person that this browser's ticket is or was good for, and the
// session's public id; "" for nobody. The ticket must open its row (I21).
func (v *visit) lastKnown() (user flows.UserKey, browser string, err error) {
	if s := v.session; s != nil {
		return s.User.Key, s.ID(), nil
	}
	tried := 0
	for _, line := range v.cookies {
		for pair := range strings.SplitSeq(line, ";") {
			text, ok := headers.CookieValue(pair, v.place.cookie)
			t, err := flowsession.ParseTicket(text)
			if !ok || err != nil || tried == maxTickets {
				continue
			}
			tried++
			c, err := v.app.sessions.Recognise(v.r.Context(), t, v.place.audience)
			switch {
			case err == nil:
				return c.User, c.ID, nil
			case !gone(err):
				return "", "", err
			}
		}
	}
	return "", "", nil
}

// signInThenSend answers a form that is not kept: the person signs in and sends it
// again. why is nil or what hold said.
func (v *visit) signInThenSend(why error) error {
	v.w.Header().Set("WWW-Authenticate", "Sallyport")
	view := pages.View{Kind: pages.KindStartAgain, Reason: flows.ReasonLoginRequired, Link: loginURL(v.page())}
	status := http.StatusUnauthorized
	switch {
	case flows.ReasonOf(why) == flows.ReasonTooLarge:
		view.Reason, view.Cause, status = flows.ReasonTooLarge, tooLongToKeep, http.StatusRequestEntityTooLarge
	case errors.Is(why, os.ErrDeadlineExceeded):
		status = http.StatusRequestTimeout
	}
	v.show(status, view)
	return nil
}
