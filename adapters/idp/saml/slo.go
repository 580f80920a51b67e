package saml

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/beevik/etree"

	"github.com/sallyport-gateway/sallyport/flows"
)

const (
	statusSuccess   = "urn:oasis:names:tc:SAML:2.0:status:Success"
	statusResponder = "urn:oasis:names:tc:SAML:2.0:status:Responder"
	statusPartial   = "urn:oasis:names:tc:SAML:2.0:status:PartialLogout"
	userLogout      = "urn:oasis:names:tc:SAML:2.0:logout:user"
)

// logoutLife is how long a LogoutRequest of ours is good.
const logoutLife = 5 * time.Minute

// LogoutRequest asks the provider to end the login there, too, and with it those
// of its other service providers. It is always signed. Nil: the provider has no
// single logout, or it is switched off, or nobody can be named.
func (s *SAML) LogoutRequest(ctx context.Context, g flows.Grant, _, state string) (flows.Outcome, error) {
	if s.SingleLogout != nil && !*s.SingleLogout {
		return nil, nil
	}
	var who grant
	if err := json.Unmarshal(g.Tokens, &who); err != nil || who.NameID.Value == "" || who.Entity == "" {
		return nil, nil
	}
	m, err := s.peer(ctx)
	if err != nil {
		return nil, err
	}
	to, ok := logoutAddress(m, redirectBinding)
	if !ok || m.EntityID != g.Issuer {
		return nil, nil
	}
	key, err := s.signer(ctx)
	if err != nil {
		return nil, err
	}
	out, err := parcel{
		field: "SAMLRequest", el: s.logoutRequest(who, state, to.Location), relay: state, to: to.Location, by: to.Binding, key: key,
	}.outcome()
	if err != nil {
		return nil, flows.Refuse(flows.ReasonInternal, err)
	}
	return out, nil
}

// logoutAddress is where the provider takes logout messages, if it does: by the
// preferred binding, else by the other.
func logoutAddress(m *idp, preferred string) (endpoint, bool) {
	if e, ok := by(m.SLO, preferred); ok {
		return e, true
	}
	if len(m.SLO) == 0 {
		return endpoint{}, false
	}
	return m.SLO[0], true
}

// logoutRequest is SAML Core §3.7.1.
func (s *SAML) logoutRequest(who grant, state, destination string) *etree.Element {
	now := s.now()
	el := message("LogoutRequest", logoutID(state), now, destination, who.Entity)
	el.CreateAttr("NotOnOrAfter", xmlTime(now.Add(logoutLife)))
	el.CreateAttr("Reason", userLogout)
	name := child(el, "saml:NameID", who.NameID.Value)
	for _, a := range []struct{ name, value string }{
		{"Format", who.NameID.Format}, {"NameQualifier", who.NameID.NameQualifier}, {"SPNameQualifier", who.NameID.SPNameQualifier},
	} {
		if a.value != "" {
			name.CreateAttr(a.name, a.value)
		}
	}
	for _, index := range who.Sessions {
		child(el, "samlp:SessionIndex", index)
	}
	return el
}

// logoutID is the ID of the LogoutRequest that was given this state, which is
// random and used once. The answer brings both back, so nothing is kept to
// compare them, on whichever node it arrives.
func logoutID(state string) string {
	if state == "" {
		return newID()
	}
	sum := sha256.Sum256([]byte("sallyport saml logout\x00" + state))
	return "_" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// asked is what AnswerLogout needs to know of a request.
type asked struct {
	ID      string `json:"id"`
	Relay   string `json:"relay,omitempty"`
	Binding string `json:"binding"`
	Entity  string `json:"entity"`
}

// AnswerLogout makes the LogoutResponse (SAML Core §3.7.2). It is always signed.
func (s *SAML) AnswerLogout(ctx context.Context, lm flows.LogoutMessage, complete bool) (flows.Outcome, error) {
	var a asked
	if err := json.Unmarshal(lm.Private, &a); err != nil || a.ID == "" {
		return nil, flows.Refuse(flows.ReasonInternal, errors.New("a logout that nobody asked for"))
	}
	m, err := s.peer(ctx)
	if err != nil {
		return nil, err
	}
	to, ok := logoutAddress(m, a.Binding)
	if !ok {
		return nil, flows.Refuse(flows.ReasonInvalidAnswer, fmt.Errorf("metadata of %s names no usable SingleLogoutService for the answer", m.EntityID))
	}
	key, err := s.signer(ctx)
	if err != nil {
		return nil, err
	}
	el := message("LogoutResponse", newID(), s.now(), to.answerTo(), a.Entity)
	el.CreateAttr("InResponseTo", a.ID)
	code := el.CreateElement("samlp:Status").CreateElement("samlp:StatusCode")
	code.CreateAttr("Value", statusSuccess)
	if !complete { // the second code says more of the first (SAML Core §3.2.2.2, §3.7.3)
		code.CreateAttr("Value", statusResponder)
		code.CreateElement("samlp:StatusCode").CreateAttr("Value", statusPartial)
	}
	out, err := parcel{field: "SAMLResponse", el: el, relay: a.Relay, to: to.answerTo(), by: to.Binding, key: key}.outcome()
	if err != nil {
		return nil, flows.Refuse(flows.ReasonInternal, err)
	}
	return out, nil
}
