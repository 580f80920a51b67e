package module

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

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

// consumeMark makes a mark under every key of the ring: while keys are rotated,
// any two nodes that read each other's cookies share one, and one of them loses (I09, B20).
func (v *visit) consumeMark(ctx context.Context, m flows.Mark) error {
	k, err := v.app.keys.ring(ctx)
	if err != nil {
		return err
	}
	names, err := k.Hashes("mark", m.Space+"\x00"+m.ID)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, h := range names {
		err = v.app.store.Create(ctx, "m/"+h, []byte{1}, max(m.Until.Sub(Now()), 0)+time.Minute)
		if errors.Is(err, flows.ErrExists) {
			return flows.Refuse(flows.ReasonReplayed, fmt.Errorf("%s was used before", m.Space))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
