package module

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/sallyport-gateway/sallyport/flows"
)

// backchannelLogout serves OIDC Back-Channel Logout 1.0 §2.5: a provider tells
// us, without any browser, that a login is over (O6).
func (v *visit) backchannelLogout(name string) error {
	p := v.app.provider(name)
	if p == nil {
		return v.refuseMachine(http.StatusBadRequest, fmt.Errorf("no provider is called %q", name))
	}
	bc, ok := p.Guest.(flows.BackchannelLogout)
	if !ok {
		return v.refuseMachine(http.StatusBadRequest, fmt.Errorf("provider %s has no back-channel logout", name))
	}
	if !strings.HasPrefix(v.r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return v.refuseMachine(http.StatusBadRequest, errors.New("a form is expected"))
	}
	values, _, err := v.readForm()
	if err != nil {
		return v.refuseMachine(bodyStatus(err), err)
	}
	claim, err := bc.VerifyLogout(v.r.Context(), one(values, "logout_token"))
	if err != nil {
		return v.refuseMachine(bodyStatus(err), err)
	}
	if _, _, err := v.endClaimed(p, claim); err != nil {
		if errors.Is(err, flows.ErrExists) || flows.ReasonOf(err) == flows.ReasonReplayed {
			return v.refuseMachine(bodyStatus(err), err)
		}
		return v.unavailable(err)
	}
	v.w.Header().Set("Cache-Control", "no-store")
	v.w.WriteHeader(http.StatusOK)
	return nil
}
