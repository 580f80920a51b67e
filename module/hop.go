package module

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
)

// With a portal all flows run on its host. An application's host keeps what it
// always keeps of a login, in the same cookie of the same browser, and sends the
// browser away with a hop; it comes back with a code (handover.go).

// hop is what an application's host tells the portal. It travels sealed: the
// address to come back to and the flow of its route are the gateway's own words,
// whoever carries them (I01).
type hop struct {
	Origin   string `json:"o"`
	ReturnTo string `json:"r"`
	Flow     string `json:"f"`
	Pending  string `json:"i"`
	// Nonce is in the cookie of the login on the application's host, and comes back
	// with the code: another browser can do nothing with it.
	Nonce    string       `json:"n"`
	Saved    string       `json:"k,omitempty"`
	Provider string       `json:"p,omitempty"`
	Hint     string       `json:"h,omitempty"`
	Anew     bool         `json:"w,omitempty"`
	Attempt  int          `json:"a,omitempty"`
	Drill    *flows.Drill `json:"d,omitempty"`
	Expires  int64        `json:"e"`
	// Rose is since when the risk of the session is higher than its flow found it.
	Rose time.Time `json:"s,omitzero"`
	// StepUp is what the person has to prove there.
	StepUp *flows.StepUp `json:"u,omitempty"`
}

// away reports whether this host is an application's, whose flows run on the portal.
func (v *visit) away() bool { return v.app.portal != nil && v.place.origin != v.app.portal.origin }

func (v *visit) onPortal() bool { return v.app.portal != nil && v.place.origin == v.app.portal.origin }

// leaveForPortal begins a login on an application's host: this browser's nonce
// stays here, in the sealed cookie of the pending login.
func (v *visit) leaveForPortal(l login) error {
	if !v.app.handsTo(v.place.origin) {
		v.app.log.Error("no login at an address that the portal may not hand sessions to; write it into portal { origins … }")
		return v.refuse(http.StatusForbidden, flows.ReasonUnknownHost, "", "", fmt.Errorf("%s is none of the portal's origins", v.place.origin))
	}
	now := Now()
	x := v.begun(l, now)
	before := *x
	return v.hopWith(newPendingID(now), x, &before)
}

// onward sends a browser to the portal that holds a login of this host already.
func (v *visit) onward(id string, x *flows.Execution) error {
	if _, ok := v.app.programs[x.Flow]; !ok { // the flow follows from the route, as it is now
		g, err := v.gateOf(x.ReturnTo)
		if err != nil {
			return v.stale(x.ReturnTo, x.Saved, x.Attempt)
		}
		x.Flow = g.Flow
	}
	if kept := v.r.URL.Query().Get("kept"); kept == x.ID && x.Saved == "" {
		x.Saved = kept
	}
	if x.Attempt = max(x.Attempt, v.attempts()); x.Attempt >= maxAttempts {
		return v.loop("/")
	}
	return v.hopWith(id, x, nil)
}

// attempts is how many logins in a row brought nothing, as our own redirects say.
func (v *visit) attempts() int {
	return min(max(number(v.r.URL.Query().Get("a")), 0), maxAttempts)
}

func (v *visit) hopWith(id string, x, detour *flows.Execution) error {
	k, err := v.app.keys.ring(v.r.Context())
	if err != nil {
		return v.unavailable(err)
	}
	b, err := json.Marshal(hop{
		Origin: v.place.origin, ReturnTo: x.ReturnTo, Flow: x.Flow, Pending: id, Nonce: x.Token, Saved: x.Saved,
		Provider: x.Provider, Hint: x.Hint, Anew: x.Fresh, Attempt: x.Attempt, Drill: x.Drill, Expires: x.Expires.Unix(),
		StepUp: x.StepUp, Rose: x.Rose,
	})
	if err != nil {
		return v.failed(x, err)
	}
	sealed, err := k.Seal("hop", v.app.portal.origin, b)
	if err != nil {
		return v.unavailable(err)
	}
	x.Wait = nil
	a := &answer{v: v, id: id, x: x, detour: detour}
	return a.Redirect(v.app.portal.origin + "/.identity/login?hop=" + base64.RawURLEncoding.EncodeToString(sealed))
}

func (v *visit) openHop(text string) (h hop, err error) {
	k, err := v.app.keys.ring(v.r.Context())
	if err != nil {
		return h, err
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(sealed) > 8<<10 {
		return h, flowsession.ErrSealed
	}
	b, err := k.Open("hop", v.app.portal.origin, sealed)
	if err != nil {
		return h, err
	}
	return h, json.Unmarshal(b, &h)
}

// takeHop takes up a hop on the portal: who is signed in here and finished the
// flow is handed over at once, anybody else goes through what is missing (I01).
func (v *visit) takeHop(text string) error {
	h, err := v.openHop(text)
	switch {
	case errors.Is(err, flows.ErrUnavailable):
		return v.unavailable(err)
	case err != nil:
		return v.refuse(http.StatusBadRequest, flows.ReasonStaleLogin, "", "", errors.New("a hop that is not ours"))
	case !v.app.handsTo(h.Origin):
		return v.refuse(http.StatusForbidden, flows.ReasonUnknownHost, "", "", fmt.Errorf("%s is none of the portal's origins", h.Origin))
	case isPrefetch(v.r.Header):
		return v.unauthorized()
	}
	if v.due() {
		v.renew()
	}
	if v.problem != nil && !gone(v.problem) {
		return v.unavailable(v.problem)
	}
	prog, ok := v.app.programs[h.Flow]
	if !ok || Now().Unix() > h.Expires { // a bookmark, or of a config that is no more
		return v.stale(h.Origin+safePath(h.ReturnTo), h.Saved, h.Attempt)
	}
	p := v.gateFor(prog)
	v.p = p
	to := &flows.Hop{Origin: h.Origin, Pending: h.Pending, Nonce: h.Nonce, Saved: h.Saved}
	returnTo := h.Origin + safePath(h.ReturnTo)
	if v.app.provider(h.Provider) == nil {
		h.Provider = ""
	}
	if h.StepUp != nil && v.session != nil {
		v.logWithout("step-up for an application", http.StatusSeeOther)
		return v.stepUp(stepUp{StepUp: *h.StepUp, base: prog, returnTo: returnTo, hop: to})
	}
	l := login{flow: prog, returnTo: returnTo, anew: h.Anew, provider: h.Provider, hint: h.Hint, attempt: h.Attempt, hop: to, drill: h.Drill, stepUp: h.StepUp, rose: h.Rose}
	if !h.Anew && h.Provider == "" && p.gate.gate.SignedIn(v.facts()) && v.riskRead(h.Flow) {
		switch err := v.challenge(&l); {
		case err != nil:
			return v.unavailable(err)
		case !l.anew && l.rose.IsZero():
			return v.handOver(h.Flow, to, returnTo, h.Attempt)
		}
	}
	v.logWithout("login for an application", http.StatusSeeOther)
	return v.startLogin(l)
}

// elsewhere answers a login on the portal that wants to end at another origin: an
// application begins its logins itself, so that they are bound to its browser.
// It reports false for what stays here.
func (v *visit) elsewhere(q url.Values) (bool, error) {
	want := q.Get("return_to")
	if !q.Has("return_to") && q.Has("iss") {
		want = q.Get("target_link_uri")
	}
	if want == "" || want[0] == '/' || v.returnTo(want) != "/" || strings.TrimRight(want, "/") == v.place.origin {
		return false, nil
	}
	app, path, ok := v.app.application(want)
	if !ok {
		return true, v.refuse(http.StatusBadRequest, flows.ReasonUnknownHost, "", "", errors.New("the return address is of none of the portal's origins"))
	}
	return true, v.redirect(app + v.app.loginAt(path, q))
}

// loginAt is the login of an application's host with what else was asked for.
func (a *App) loginAt(path string, q url.Values) string {
	on := url.Values{"return_to": {path}}
	for _, name := range []string{"provider", "iss", "login_hint", drillParam} {
		if s := one(q, name); s != "" && len(s) <= maxHint {
			on.Set(name, s)
		}
	}
	return "/.identity/login?" + on.Encode()
}

// freshAt begins a login once more at the application's host; false: it is not elsewhere.
func (v *visit) freshAt(returnTo, saved string, attempt int) (bool, error) {
	origin, path := v.split(returnTo)
	if origin == v.place.origin {
		return false, nil
	}
	q := url.Values{"return_to": {path}, "a": {strconv.Itoa(attempt)}}
	if validKey(saved) {
		q.Set("saved", saved)
	}
	return true, v.redirect(origin + "/.identity/login?" + q.Encode())
}
