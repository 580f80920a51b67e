package saml

import (
	"context"
	"errors"

	"github.com/sallyport-gateway/sallyport/flows"
)

// pending is what Finish gets back of Begin, as JSON. It travels sealed.
type pending struct {
	// ID is that of the AuthnRequest: the answer's InResponseTo.
	ID string `json:"id"`
	// Callback is the ACS the answer was asked to (Recipient, Destination), Entity our
	// name in the request (Audience).
	Callback string `json:"callback"`
	Entity   string `json:"entity"`
	// Issuer is the provider that was asked.
	Issuer string `json:"issuer"`
	// ACR are the context classes that the flow insists on; empty: nothing is.
	ACR []string `json:"acr,omitempty"`
	// MaxAge in seconds that was asked for; -1: none.
	MaxAge int64 `json:"max_age"`
	// Fresh: the person had to prove themselves again after Begun.
	Fresh bool  `json:"fresh,omitempty"`
	Begun int64 `json:"begun"`
}

// Begin sends the browser to the provider with an AuthnRequest.
func (s *SAML) Begin(context.Context, flows.Start) (flows.Outcome, []byte, error) {
	return nil, nil, flows.Refuse(flows.ReasonInternal, errors.New("not yet"))
}
