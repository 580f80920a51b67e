package saml

import (
	"context"
	"errors"

	"github.com/sallyport-gateway/sallyport/flows"
)

// Handle finds the RelayState of an answer.
func (s *SAML) Handle(flows.Callback) (string, error) {
	return "", flows.Refuse(flows.ReasonInvalidAnswer, errors.New("not yet"))
}

// Receive verifies what can be verified without knowing the browser.
func (s *SAML) Receive(context.Context, flows.Callback) (flows.Received, error) {
	return flows.Received{}, flows.Refuse(flows.ReasonInvalidAnswer, errors.New("not yet"))
}

// Finish compares a verified answer with the pending login.
func (s *SAML) Finish(context.Context, flows.Callback, []byte) (flows.Proof, error) {
	return flows.Proof{}, flows.Refuse(flows.ReasonInvalidAnswer, errors.New("not yet"))
}
