package saml

import (
	"context"

	"github.com/sallyport-gateway/sallyport/flows"
)

// Publish answers our metadata.
func (s *SAML) Publish(context.Context, string, string) (flows.Document, error) {
	return flows.Document{}, flows.ErrNotFound
}
