package module

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/module/pages"
)

// A login that its provider began by itself belongs to no browser: anybody can
// have another person's browser bring their own answer, so that this person works
// in a foreign account (login CSRF, S8). So the person is asked by name first, and
// a session of somebody else is never replaced.

// arrivedParam marks the address of the page that asks.
const arrivedParam = "arrived"

// askFor is how long the page may stand open.
const askFor = 5 * time.Minute

func (v *visit) arrivedName() string { return v.sideNameBelow(arrivedParam) }

// arrive binds the answer to this browser and shows the page at an address that
// can be loaded again.
func (v *visit) arrive(c *crossing) error {
	if v.exposed() {
		return v.insecure()
	}
	h := newID()
	c.Token, c.Expires = newID(), Now().Add(askFor).Unix()
	if err := v.keepCrossing(h, c, askFor); err != nil {
		return v.unavailable(err)
	}
	v.sideCookie(v.arrivedName(), h, "/.identity", int(askFor.Seconds()))
	return v.redirect(v.place.origin + "/.identity/flow?" + arrivedParam)
}

// arrival serves the page that asks (GET) and takes its answer (POST).
func (v *visit) arrival() error {
	if v.r.Method == http.MethodPost && !v.sameOrigin() {
		return v.refuse(http.StatusForbidden, flows.ReasonCrossSite, "", "", errors.New("form from another site"))
	}
	h := v.sideValue(v.arrivedName())
	if !validKey(h) {
		return v.stale("/", "", 0)
	}
	c, err := v.seeCrossing(h)
	switch {
	case errors.Is(err, errNoCrossing):
		return v.stale("/", "", 0)
	case err != nil:
		return v.unavailable(err)
	case c.Received == nil || v.receiver(c.Provider) == nil:
		return v.stale("/", "", 0)
	}
	if v.r.Method != http.MethodPost {
		return v.askArrival(c)
	}
	values, status, err := v.readForm()
	if err != nil {
		return v.refuse(status, flows.ReasonInvalidAnswer, "", "", err)
	}
	if !equalToken(one(values, "token"), c.Token) {
		return v.refuse(http.StatusForbidden, flows.ReasonCrossSite, "", "", errors.New("form without the page's token"))
	}
	if other, err := v.othersSession(c); err != nil || other {
		return v.notArrived(c, err)
	}
	if c, err = v.takeCrossing(h); errors.Is(err, errNoCrossing) { // pressed twice
		return v.stale("/", "", 0)
	} else if err != nil {
		return v.unavailable(err)
	}
	v.sideCookie(v.arrivedName(), "", "/.identity", -1)
	return v.goOn(c)
}

// askArrival asks whether to go on, unless that is decided already.
func (v *visit) askArrival(c *crossing) error {
	if other, err := v.othersSession(c); err != nil || other {
		return v.notArrived(c, err)
	}
	v.show(http.StatusOK, pages.View{
		Kind: pages.KindArrived, Action: "/.identity/flow?" + arrivedParam, Token: c.Token, Link: "/",
		Values: map[string]string{"name": c.Received.Name, "provider": v.app.provider(c.Provider).Title()}, FormAction: v.formTargets(),
	})
	return nil
}

// othersSession reports whether this browser is signed in as somebody else than
// the answer speaks of.
func (v *visit) othersSession(c *crossing) (bool, error) {
	if v.session == nil {
		if v.problem != nil && !gone(v.problem) {
			return false, v.problem
		}
		return false, nil
	}
	p := v.app.provider(c.Provider)
	red, ok := p.Guest.(flows.Redirector)
	if !ok {
		return false, fmt.Errorf("provider %s takes no answers", c.Provider)
	}
	proof, err := red.Finish(v.r.Context(), v.receivedBy(c), nil)
	if err != nil {
		return false, err
	}
	key, err := flows.MakeUserKey(p.Realm(), proof.User.Subject)
	if err != nil {
		return false, flows.Refuse(flows.ReasonInvalidAnswer, err)
	}
	return key != v.session.User.Key, nil
}

// notArrived says who is signed in, where that is somebody else: they sign out
// first, or stay.
func (v *visit) notArrived(c *crossing, err error) error {
	if err != nil {
		return v.notReceived(v.app.provider(c.Provider), err)
	}
	v.show(http.StatusForbidden, pages.View{
		Kind: pages.KindSomebodyElse, Reason: flows.ReasonUserMismatch, User: v.session.User.Name, Link: "/.identity/logout",
		Values: map[string]string{"name": c.Received.Name, "provider": v.app.provider(c.Provider).Title()},
	})
	return nil
}

// goOn runs the flow of the front page from its first step; its login takes the
// answer, if it is of one of its own providers (I02).
func (v *visit) goOn(c *crossing) error {
	g, err := v.gateOf("/")
	if err != nil {
		return v.refuse(http.StatusNotFound, ReasonNoPage, "", "", err)
	}
	v.p = g
	cb := v.receivedBy(c)
	return v.startLogin(login{flow: g.program, returnTo: "/", arrived: &cb, at: c.At})
}

// bareFront shows who is signed in where a login on the portal itself ends: its front
// page, if nothing behind `protect off` answers there.
func (v *visit) bareFront() {
	if v.out.wrote || v.session == nil || !v.onPortal() || v.r.URL.Path != "/" || v.r.Method != http.MethodGet || !isNavigation(v.r) {
		return
	}
	v.answering = true
	v.show(http.StatusOK, pages.View{Kind: pages.KindSignedIn, User: v.session.User.Name, Link: "/.identity/logout"})
}
