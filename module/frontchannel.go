package module

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// framePage is all that a provider's frame shows.
const framePage = "<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\"><title>Signed out</title>\n"

// frontchannelLogout serves OIDC Front-Channel Logout 1.0 §2: a provider's page
// loads it in a frame. Any page can do the same and nothing is signed, so what
// ends is decided by what cannot be guessed: the sessions of exactly the sid that
// an ID token of this provider brought us, never those of the browser at hand,
// whose cookies are not even looked at (I10, O7). A stranger's sid costs no write.
func (v *visit) frontchannelLogout(name string) error {
	p := v.app.provider(name)
	if p == nil {
		return v.refuseMachine(http.StatusBadRequest, fmt.Errorf("no provider is called %q", name))
	}
	fc, ok := p.Guest.(flows.FrontchannelLogout)
	if !ok {
		return v.refuseMachine(http.StatusBadRequest, fmt.Errorf("provider %s has no front-channel logout", name))
	}
	q, err := url.ParseQuery(v.r.URL.RawQuery)
	if err != nil {
		return v.refuseMachine(http.StatusBadRequest, errors.New("the query cannot be read"))
	}
	if d := v.r.Header.Get("Sec-Fetch-Dest"); d != "" && !isFrame(v.r.Header) || isPrefetch(v.r.Header) {
		return v.refuseMachine(http.StatusBadRequest, fmt.Errorf("loaded as %q, not in a frame", d))
	}
	sid := one(q, "sid")
	framer, err := fc.VerifyFrame(v.r.Context(), one(q, "iss"), sid)
	if flows.ReasonOf(err) == flows.ReasonProviderDown {
		return v.unavailable(err)
	}
	if err != nil {
		return v.refuseMachine(http.StatusBadRequest, err)
	}
	// The provider's page may be gone before its frames have loaded.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(v.r.Context()), 10*time.Second)
	defer cancel()
	known, err := v.app.sessionsOf(ctx, p, sid)
	if err == nil && len(known) == 0 {
		return v.refuseMachine(http.StatusBadRequest, errors.New("no login brought this sid"))
	}
	if err == nil {
		_, _, err = v.app.endSID(ctx, p, sid)
	}
	if err != nil {
		return v.unavailable(err)
	}
	h := v.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors "+framer)
	h.Set("Cache-Control", "no-store") // §3
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	v.w.WriteHeader(http.StatusOK)
	_, err = io.WriteString(v.w, framePage)
	return err
}
