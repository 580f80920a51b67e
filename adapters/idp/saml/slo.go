package saml

import (
	"context"
	"errors"

	"github.com/sallyport-gateway/sallyport/flows"
)

// LogoutRequest asks the provider to end the login there, too.
func (s *SAML) LogoutRequest(context.Context, flows.Grant, string, string) (flows.Outcome, error) {
	return nil, nil
}

// ReceiveLogout verifies a logout request or the answer to one of ours.
func (s *SAML) ReceiveLogout(context.Context, flows.Callback) (flows.LogoutMessage, error) {
	return flows.LogoutMessage{}, flows.Refuse(flows.ReasonInvalidAnswer, errors.New("not yet"))
}

// AnswerLogout makes the LogoutResponse.
func (s *SAML) AnswerLogout(context.Context, flows.LogoutMessage, bool) (flows.Outcome, error) {
	return nil, flows.Refuse(flows.ReasonInternal, errors.New("not yet"))
}
