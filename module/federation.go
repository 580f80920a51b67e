package module

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/module/pages"
)

// federation serves /.identity/<type>/<provider>/<what>: the addresses of providers
// that speak in whole signed messages (SAML).
func (v *visit) federation(p *flows.Provider, what string) error {
	switch what {
	case "acs":
		if r, ok := p.Guest.(flows.Receiver); ok {
			return v.methodUnlogged("answer of a provider", func() error { return v.consumer(p, r) }, http.MethodPost, http.MethodGet)
		}
	case "slo":
		if l, ok := p.Guest.(flows.LogoutPeer); ok {
			return v.methodUnlogged("logout at a provider", func() error { return v.singleLogout(p, l) }, http.MethodGet, http.MethodPost)
		}
	default:
		if d, ok := p.Guest.(flows.Publisher); ok {
			return v.method(func() error { return v.introduce(p, d, what) }, http.MethodGet, http.MethodHead)
		}
	}
	return v.noPage()
}

// folder is where a provider's addresses are on this origin.
func (v *visit) folder(p *flows.Provider) string {
	return v.ownOrigin() + "/.identity/" + p.Type + "/" + p.Name
}

// callbackURL is the redirect URI of a provider on this origin.
func (v *visit) callbackURL(provider string) string {
	if p := v.receiver(provider); p != nil {
		return v.folder(p) + "/acs"
	}
	return v.place.origin + "/.identity/callback/" + provider
}

// receiver is the provider of that name if it answers in whole messages, else nil.
func (v *visit) receiver(name string) *flows.Provider {
	p := v.app.provider(name)
	if p == nil {
		return nil
	}
	if _, ok := p.Guest.(flows.Receiver); !ok {
		return nil
	}
	return p
}

// introduce answers one of a provider's documents about us.
func (v *visit) introduce(p *flows.Provider, d flows.Publisher, name string) error {
	doc, err := d.Publish(v.r.Context(), name, v.folder(p))
	switch {
	case errors.Is(err, flows.ErrNotFound):
		return v.noPage()
	case err != nil && errors.Is(err, context.Canceled):
		return nil
	case err != nil:
		return v.unavailable(fmt.Errorf("provider %s: %w", p.Name, err))
	}
	v.w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	return v.publish(doc)
}

// consumer takes a provider's answer. Being a cross-site POST it brings no cookies:
// what it says is verified without them and then waits for the GET that has them
// (I10). Nothing is granted here, and no cookie is looked at.
func (v *visit) consumer(p *flows.Provider, r flows.Receiver) error {
	if v.r.Method == http.MethodGet {
		return v.bookmarked()
	}
	if v.away() { // its Recipient is the portal, where the login waits, too
		return v.refuseStranger(http.StatusBadRequest, flows.ReasonInvalidAnswer, fmt.Errorf("an answer of provider %s at %s: they go to the portal", p.Name, v.place.origin))
	}
	values, status, err := v.posted()
	if err != nil {
		return v.refuseStranger(status, messageReason(status), err)
	}
	got, err := r.Receive(v.r.Context(), flows.Callback{Provider: p.Name, URL: v.folder(p) + "/acs", Method: v.r.Method, Values: values})
	if err != nil {
		return v.notReceived(p, err)
	}
	switch err := v.unused(got.Once); {
	case flows.ReasonOf(err) == flows.ReasonReplayed:
		return v.notReceived(p, err)
	case err != nil:
		return v.unavailable(err)
	}
	return v.park(p, got)
}

// posted reads a message that came as a form, and as nothing but a form.
func (v *visit) posted() (url.Values, int, error) {
	if v.r.URL.RawQuery != "" {
		return nil, http.StatusBadRequest, errors.New("parameters in the query of a form")
	}
	return v.readMessage()
}

func messageReason(status int) flows.Reason {
	if status == http.StatusRequestEntityTooLarge {
		return flows.ReasonTooLarge
	}
	return flows.ReasonInvalidAnswer
}

// notReceived answers a message that a provider's guest did not take.
func (v *visit) notReceived(p *flows.Provider, err error) error {
	err = fmt.Errorf("provider %s: %w", p.Name, err)
	reason := flows.ReasonOf(err)
	switch {
	case errors.Is(err, context.Canceled):
		return nil
	case reason == flows.ReasonProviderDown, reason == flows.ReasonStoreDown, errors.Is(err, flows.ErrUnavailable):
		return v.unavailable(err)
	}
	return v.refuseStranger(refusedWith(reason), reason, err)
}

// refusedWith is the status of a refused message. What we could not make sense of
// is the sender's fault as well: a message of theirs never makes it a 5xx (S13).
func refusedWith(reason flows.Reason) int {
	switch reason {
	case flows.ReasonTooLarge:
		return http.StatusRequestEntityTooLarge
	case flows.ReasonNotAllowed, flows.ReasonIssuerChanged, flows.ReasonProviderRefused, flows.ReasonAssuranceNotMet:
		return http.StatusForbidden
	}
	return http.StatusBadRequest
}

// bookmarked answers a person at an address that is for providers only (B07).
func (v *visit) bookmarked() error {
	if v.session != nil {
		return v.home("/")
	}
	v.w.Header().Set("Allow", http.MethodPost)
	v.show(http.StatusMethodNotAllowed, pages.View{Kind: pages.KindStale, Reason: flows.ReasonStaleLogin, Link: loginURL("/")})
	return nil
}
