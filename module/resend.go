package module

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
	"github.com/sallyport-gateway/sallyport/module/pages"
)

// The reasons why something that was kept is not sent.
const (
	ReasonAlreadySent  flows.Reason = "already_sent"
	ReasonNotKept      flows.Reason = "not_kept"
	ReasonAnothersSent flows.Reason = "anothers_request"
)

// replay is what this request was swapped for: one that was kept.
type replay struct {
	// approval is the step_up's that it waited for, "" for none.
	approval string
	body     []byte
}

// heldField is the only field of the form that sends a kept request: a marker, in
// whose place the gateway puts the request.
const heldField = "identity_held"

// waits reports that a login ends with a kept request, or did once, and not with an
// address that the browser keeps.
func (v *visit) waits(id string) bool {
	_, _, ok := v.holds(id)
	_, used := v.app.shared.held.Get(id)
	return ok || used
}

// sendAgain is where a login ends that a kept request waited for: a page that posts
// the marker to the request's own address.
func (v *visit) sendAgain(id string) error {
	if isPrefetch(v.r.Header) {
		return v.unauthorized()
	}
	h, err := v.ownHeld(id)
	if err != nil {
		return v.notResent(id, err)
	}
	v.show(http.StatusOK, pages.View{
		Kind: pages.KindSendAgain, Action: h.Target, Fields: []flows.FormField{{Name: heldField, Value: id}}, FormAction: v.formTargets(),
	})
	return nil
}

// ownHeld is what this browser sent and its person may send now.
func (v *visit) ownHeld(id string) (*heldRequest, error) {
	switch {
	case v.session == nil && v.problem != nil && !gone(v.problem):
		return nil, v.problem
	case v.session == nil:
		return nil, errNotHeld
	}
	h, err := v.openHeld(id)
	if err == nil && h.User != v.session.User.Key {
		v.app.shared.held.Drop(id)
		return nil, flows.Refuse(ReasonAnothersSent, fmt.Errorf("what was kept is of %s", h.User))
	}
	return h, err
}

// notResent says why what was kept is not sent. Whether it was sent before is said
// as it is: who sends a transfer twice pays twice.
func (v *visit) notResent(id string, err error) error {
	status, reason := http.StatusGone, ReasonNotKept
	switch {
	case errors.Is(err, errNotHeld):
		return v.signInThenSend(nil)
	case errors.Is(err, errHeldUsed):
		status, reason = http.StatusConflict, ReasonAlreadySent
	case errors.Is(err, errHeldGone):
	case flows.ReasonOf(err) == ReasonAnothersSent:
		status, reason = http.StatusForbidden, ReasonAnothersSent
	default:
		return v.unavailable(err)
	}
	e := v.event(audit.Denied)
	e.Reason, e.Detail = reason, err.Error()
	v.app.trail.Note(e)
	view := pages.View{Kind: pages.KindError, Reason: reason, ID: e.ID, Link: "/", LinkLabel: "continue"}
	if reason != ReasonAlreadySent { // who may have paid is not led to the form once more
		_, view.Link, _ = v.holds(id)
		view.LinkLabel = "back_to_form"
	}
	v.show(status, view)
	return nil
}

// marker is the id of a kept request that this one stands for; "" for all others,
// whose bodies nobody looks at unless they are as long as a marker.
func (v *visit) marker() string {
	const length = len(heldField) + 1 + 26
	r := v.r
	if r.Method != http.MethodPost || r.ContentLength != int64(length) || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return ""
	}
	b, err := v.wholeBody(int64(length))
	if err != nil {
		return ""
	}
	name, id, _ := strings.Cut(string(b), "=")
	if name != heldField || !validKey(id) {
		return ""
	}
	return id
}

// swap puts the kept request in the place of its marker: used up first, so that it
// is forwarded at most once, and then judged as any other (I21). It answers true
// when there was nothing to send.
func (v *visit) swap(id string, asked *original) (bool, error) {
	if !v.sameOrigin() {
		return true, v.refuse(http.StatusForbidden, flows.ReasonCrossSite, "", "", errors.New("form from another site"))
	}
	h, err := v.ownHeld(id)
	if err == nil && (h.Target != v.target() || !v.sameGate(h, asked)) {
		err = errHeldGone // the form was not ours, or the routes are others now
	}
	if err == nil && !v.app.shared.held.Take(id) {
		err = errHeldUsed
	}
	if err != nil {
		return true, v.notResent(id, err)
	}
	v.app.shared.metrics.held.WithLabelValues("sent").Inc()
	h.into(v.r)
	asked.method = h.Method
	v.replay = &replay{approval: h.Approval, body: h.body}
	var clear recorder
	http.SetCookie(&clear, &http.Cookie{Name: v.heldName(id), Path: "/", MaxAge: -1, Secure: v.place.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	v.out.own = clear.Header()
	return false, nil
}

// sameGate reports whether the routes lead the kept request to the gate that its
// marker comes to: they may look at its method and headers, and some have chosen
// already. If neither finds another, no mixture of the two does.
func (v *visit) sameGate(h *heldRequest, asked *original) bool {
	like := *v.r
	like.URL, like.RequestURI = asked.url, asked.uri
	marker := v.askRoutesAs(&like).found
	like.Header = v.r.Header.Clone()
	h.into(&like)
	return v.askRoutesAs(&like).found == marker
}

// into makes a request the kept one.
func (h *heldRequest) into(r *http.Request) {
	for _, name := range heldHeaders {
		delete(r.Header, name)
		if s, ok := h.Header[name]; ok {
			r.Header[name] = []string{s}
		}
	}
	r.Header["Content-Length"] = []string{strconv.Itoa(len(h.body))}
	r.Method, r.ContentLength = h.Method, int64(len(h.body))
	r.Body = io.NopCloser(bytes.NewReader(h.body))
	r.TransferEncoding, r.Trailer = nil, nil
}
