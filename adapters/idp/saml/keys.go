package saml

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"errors"

	"github.com/sallyport-gateway/sallyport/flows"
)

// spKey is one of our own keys.
type spKey struct {
	Key  *rsa.PrivateKey
	Cert *x509.Certificate
}

// spKeys are our own keys, at least one: the first signs, all decrypt.
func (s *SAML) spKeys(context.Context) ([]spKey, error) {
	return nil, flows.Refuse(flows.ReasonInternal, errors.New("no key"))
}
