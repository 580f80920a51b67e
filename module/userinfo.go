package module

import (
	"errors"
	"net/http"
	"slices"

	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
	"github.com/sallyport-gateway/sallyport/headers"
)

// toldAlways are the attributes that every application may show; the others
// are those that its own `header` lines and remote_user name.
var toldAlways = []string{"name", "display_name", "email", "groups", "provider"}

// userInfo answers /.identity/userinfo for the pages of the application that
// asks: what its protect shows to it, and never a token (I07).
func (v *visit) userInfo() error {
	v.w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
	switch {
	case v.session == nil && v.problem != nil && !gone(v.problem):
		return v.unavailable(v.problem)
	case errors.Is(v.problem, flowsession.ErrRotated) && v.session == nil:
		return v.rotated()
	}
	if v.due() {
		v.renew() // it tells what the provider says now (O11)
	}
	g, err := v.gateOf(v.page())
	if err != nil || v.session == nil {
		return v.unauthorized()
	}
	v.p = g
	if !g.gate.gate.SignedIn(v.facts()) || v.routeOver() { // I01: another flow's session tells nothing here
		return v.unauthorized()
	}
	told := map[string]any{}
	for _, name := range slices.Concat(toldAlways, g.attributes) {
		if a := headers.Attribute(v.facts(), name); a != nil && a != "" {
			told[name] = a
		}
	}
	if v.session.User.Groups == nil {
		told["groups"] = []string{} // a list, always
	}
	return v.json(http.StatusOK, told)
}
