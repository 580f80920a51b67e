package module

import (
	"net/http"
	"net/url"
	"slices"

	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
)

// singleLogout serves a provider's logout through the browser (SAML Profiles §4.4),
// both ways: its request ends sessions here, its answer ends a logout begun here.
// Whose sessions end is what the verified message says, and never what the browser
// at hand shows (I10): a cross-site POST brings no cookies, and a GET could be
// anybody's.
func (v *visit) singleLogout(p *flows.Provider, peer flows.LogoutPeer) error {
	values, status, err := url.Values(nil), http.StatusBadRequest, error(nil)
	query := ""
	if v.r.Method == http.MethodPost {
		values, status, err = v.posted()
	} else {
		query = v.r.URL.RawQuery
		values, err = url.ParseQuery(query)
	}
	if err != nil {
		return v.refuseStranger(status, messageReason(status), err)
	}
	m, err := peer.ReceiveLogout(v.r.Context(), flows.Callback{Provider: p.Name, URL: v.folder(p) + "/slo", Method: v.r.Method, Values: values, Query: query})
	if err != nil {
		return v.notReceived(p, err)
	}
	if m.Claim == nil {
		return v.logoutAnswered(p, m)
	}
	return v.logoutAsked(p, peer, m)
}

// logoutAsked ends the sessions that a verified request names and tells the
// provider what came of it.
func (v *visit) logoutAsked(p *flows.Provider, peer flows.LogoutPeer, m flows.LogoutMessage) error {
	ended, complete, err := v.endClaimed(p, *m.Claim)
	switch {
	case flows.ReasonOf(err) == flows.ReasonReplayed:
		return v.refuseStranger(http.StatusBadRequest, flows.ReasonReplayed, err)
	case err != nil:
		return v.unavailable(err)
	}
	if v.session != nil && slices.Contains(ended, v.session.ID()) {
		v.clearCookies(v.w)
		v.clearPending()
		v.session = nil
	}
	out, err := peer.AnswerLogout(v.r.Context(), m, complete)
	if err != nil || out == nil {
		v.app.log.Warn("provider not told what came of its logout", zap.String("provider", p.Name), zap.Error(err))
		v.signedOut()
		return nil
	}
	return out.Accept(&leaving{v: v, framed: true})
}

// logoutAnswered ends a logout that began here: everything ended before the person
// left, so the answer changes nothing. It goes on to where the browser's cookies
// are, which a cross-site POST does not bring.
func (v *visit) logoutAnswered(p *flows.Provider, m flows.LogoutMessage) error {
	q := url.Values{"state": {m.State}}
	if m.Failed {
		q.Set(stillParam, p.Name)
	}
	return v.redirect(v.place.origin + "/.identity/logout?" + q.Encode())
}
