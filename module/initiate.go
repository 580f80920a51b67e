package module

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/sallyport-gateway/sallyport/flows"
)

// maxHint is the longest login_hint taken along; it travels in the run's cookie.
const maxHint = 256

// initiated reads a login that a provider or another site began (OIDC Core §4): iss
// picks the provider, target_link_uri is followed if it is an address of ours, and
// login_hint goes along. It can do no more than a link to /.identity/login.
func (v *visit) initiated(l *login, q url.Values) {
	iss := one(q, "iss")
	if iss == "" {
		return
	}
	if !q.Has("return_to") {
		l.returnTo = v.returnTo(one(q, "target_link_uri"))
	}
	if hint := one(q, "login_hint"); len(hint) <= maxHint {
		l.hint = hint
	}
	p := v.app.find(func(p *flows.Provider) bool {
		g, ok := p.Guest.(flows.Initiator)
		return ok && g.Initiates(iss)
	})
	if p != nil && l.provider == "" {
		l.provider = p.Name
	}
}

// initiatePosted takes the same as a form (§4 wants both). Being cross-site it brings
// no Lax cookies, so it goes on as the GET it could have been.
func (v *visit) initiatePosted() error {
	values, status, err := v.readForm()
	if err == nil && one(values, "iss") == "" {
		status, err = http.StatusBadRequest, errors.New("a login begun by a form names no iss")
	}
	if err != nil {
		return v.refuseStranger(status, flows.ReasonInvalidAnswer, err)
	}
	q := url.Values{}
	for _, name := range []string{"iss", "target_link_uri", "login_hint"} {
		if s := one(values, name); s != "" {
			q.Set(name, s)
		}
	}
	to := "/.identity/login?" + q.Encode()
	if len(to) > maxReturn {
		return v.refuseStranger(http.StatusBadRequest, flows.ReasonTooLarge, errors.New("a login begun by a form is too long"))
	}
	return v.redirect(v.place.origin + to)
}
