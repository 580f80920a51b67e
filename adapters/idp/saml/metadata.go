package saml

import (
	"context"
	"crypto/x509"
	"errors"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// idp is what we need of an identity provider's metadata. It is never changed
// once it is published: who holds one may keep it.
type idp struct {
	EntityID string
	SSO, SLO []endpoint
	// Certs are the keys it signs with, in the order of the document; never empty.
	Certs []*x509.Certificate
	// Scopes are the domains it may assert scoped attributes of (shibmd:Scope),
	// lower case; empty: the document does not say.
	Scopes []string
	// WantSigned: it wants AuthnRequests signed.
	WantSigned bool
	// ValidUntil is when the document stops being good; zero: it does not say.
	ValidUntil time.Time
}

// endpoint is an address of the provider (SAML Metadata §2.2.2).
type endpoint struct {
	Binding, Location string
	// ResponseLocation is where answers go; empty: to Location.
	ResponseLocation string
}

// peer answers the last good metadata at once; without one, flows.Refuse of
// ReasonProviderDown.
func (s *SAML) peer(context.Context) (*idp, error) {
	return nil, flows.Refuse(flows.ReasonProviderDown, errors.New("no metadata yet"))
}
