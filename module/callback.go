package module

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/module/pages"
)

// callback serves /.identity/callback/<provider>.
func (v *visit) callback(name string) error {
	if v.redirector(name) == nil {
		return v.refuse(http.StatusNotFound, ReasonNoPage, "", "", fmt.Errorf("no provider %q takes a callback", name))
	}
	values, err := url.ParseQuery(v.r.URL.RawQuery)
	if err != nil {
		return v.refuse(http.StatusBadRequest, flows.ReasonInvalidAnswer, "", "", errors.New("malformed query"))
	}
	if v.r.Method == http.MethodPost {
		if len(values) > 0 {
			return v.refuse(http.StatusBadRequest, flows.ReasonInvalidAnswer, "", "", errors.New("parameters in query and form"))
		}
		var status int
		if values, status, err = v.readForm(); err != nil {
			return v.refuse(status, flows.ReasonInvalidAnswer, "", "", err)
		}
		return v.carry(name, values)
	}
	return v.answered(name, http.MethodGet, values)
}

// redirector is the provider of a callback address, nil if there is none. Who
// answers in whole messages has an address of its own.
func (v *visit) redirector(name string) flows.Redirector {
	p := v.app.provider(name)
	if p == nil {
		return nil
	}
	if _, ok := p.Guest.(flows.Receiver); ok {
		return nil
	}
	red, _ := p.Guest.(flows.Redirector)
	return red
}

// answered takes a provider's answer, with the browser's own cookies at hand.
func (v *visit) answered(name, method string, values url.Values) error {
	red := v.redirector(name)
	if red == nil {
		return v.refuse(http.StatusNotFound, ReasonNoPage, "", "", fmt.Errorf("no provider %q takes a callback", name))
	}
	cb := flows.Callback{Provider: name, URL: v.callbackURL(name), Method: method, Values: values}
	handle, err := red.Handle(cb)
	if err != nil {
		return v.refuseStranger(http.StatusBadRequest, flows.ReasonInvalidAnswer, err)
	}
	return v.resumeCallback(name, handle, cb)
}

// resumeCallback finds the pending login an answer belongs to.
func (v *visit) resumeCallback(name, handle string, cb flows.Callback) error {
	st, err := v.openHandle(handle)
	if errors.Is(err, flows.ErrUnavailable) {
		return v.unavailable(err)
	}
	if err != nil {
		if v.session != nil {
			return v.home("/")
		}
		id := v.countStranger(flows.ReasonStaleLogin, errors.New("state is not ours"))
		v.show(http.StatusBadRequest, pages.View{Kind: pages.KindStale, Reason: flows.ReasonStaleLogin, ID: id, Link: loginURL("/")})
		return nil
	}
	if st.Provider != "" && st.Provider != name { // a short handle leaves that to the step, which knows whom it asked
		return v.refuseNoted(http.StatusBadRequest, flows.ReasonProviderMismatch, "", "", fmt.Errorf("the login was begun at %s and answered at %s", st.Provider, name))
	}
	x, err := v.loadPending(st.Pending)
	if errors.Is(err, errNoPending) || err == nil && (x.Wait == nil || x.Wait.Serial != st.Serial) {
		return v.stale(st.ReturnTo, st.Saved, st.Attempt)
	}
	if err != nil {
		return v.unavailable(err)
	}
	digest := x.Digest
	p, ok := v.program(x)
	if !ok || digest != p.Digest { // the flow changed on the way: once more, without an error page (B18)
		if !ok {
			return v.stale(st.ReturnTo, st.Saved, st.Attempt)
		}
		return v.advance(st.Pending, p, x, nil)
	}
	return v.advance(st.Pending, p, x, &flows.Input{Step: x.Wait.Step, Serial: x.Wait.Serial, Callback: &cb})
}
