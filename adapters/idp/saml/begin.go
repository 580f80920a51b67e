package saml

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/beevik/etree"

	"github.com/sallyport-gateway/sallyport/flows"
)

// pending is what Finish gets back of Begin, as JSON. It travels sealed. What
// was asked for stands here, because a request need not be signed: who carries it
// could take a wish out of it.
type pending struct {
	// ID is that of the AuthnRequest: the answer's InResponseTo.
	ID string `json:"id"`
	// Callback is the ACS the answer was asked to (Recipient, Destination), Entity our
	// name in the request (Audience).
	Callback string `json:"callback"`
	Entity   string `json:"entity"`
	// Issuer is the provider that was asked.
	Issuer string `json:"issuer"`
	// ACR are the context classes that were asked for: the answer must have one of
	// them. Empty: none was.
	ACR []string `json:"acr,omitempty"`
	// MaxAge in seconds that was asked for; -1: none.
	MaxAge int64 `json:"max_age"`
	// Fresh: the person had to prove themselves again after Begun.
	Fresh bool  `json:"fresh,omitempty"`
	Begun int64 `json:"begun"`
}

// Begin sends the browser to the provider with an AuthnRequest: by redirect if
// the provider takes one, else by a form.
func (s *SAML) Begin(ctx context.Context, start flows.Start) (flows.Outcome, []byte, error) {
	m, err := s.peer(ctx)
	if err != nil {
		return nil, nil, err
	}
	if start.CallbackURL == "" || start.Handle == "" {
		return nil, nil, flows.Refuse(flows.ReasonInternal, errors.New("begin without callback or handle"))
	}
	key, err := s.requestKey(ctx, m)
	if err != nil {
		return nil, nil, err
	}
	pend := pending{
		ID: newID(), Callback: start.CallbackURL, Entity: s.entityID(baseOf(start.CallbackURL)), Issuer: m.EntityID,
		ACR: s.contexts(start), MaxAge: seconds(start.MaxAge), Fresh: start.Fresh || s.ForceAuthn, Begun: s.now().Unix(),
	}
	private, err := json.Marshal(pend)
	if err != nil {
		return nil, nil, flows.Refuse(flows.ReasonInternal, err)
	}
	to, ok := by(m.SSO, redirectBinding)
	if !ok {
		to = m.SSO[0]
	}
	out, err := parcel{
		field: "SAMLRequest", el: s.authnRequest(pend, to.Location), relay: start.Handle, to: to.Location, by: to.Binding, key: key,
	}.outcome()
	if err != nil {
		return nil, nil, flows.Refuse(flows.ReasonInternal, err)
	}
	return out, private, nil
}

// requestKey is what signs AuthnRequests; nil: nothing does.
func (s *SAML) requestKey(ctx context.Context, m *idp) (*spKey, error) {
	if !s.SignRequests && !m.WantSigned {
		return nil, nil
	}
	return s.signer(ctx)
}

func (s *SAML) signer(ctx context.Context) (*spKey, error) {
	keys, err := s.spKeys(ctx)
	if err != nil {
		return nil, err
	}
	return &keys[0], nil
}

// contexts are what the flow insists on, else what is configured.
func (s *SAML) contexts(start flows.Start) []string {
	if len(start.ACR) > 0 {
		return start.ACR
	}
	return s.AuthnContext
}

func seconds(d time.Duration) int64 {
	if d < 0 {
		return -1
	}
	return int64(d / time.Second)
}

// authnRequest is SAML Core §3.4.1. Formats and context classes stand there only
// when somebody asks for them: many providers refuse what they do not know.
func (s *SAML) authnRequest(p pending, destination string) *etree.Element {
	el := message("AuthnRequest", p.ID, time.Unix(p.Begun, 0), destination, p.Entity)
	el.CreateAttr("ProtocolBinding", postBinding)
	el.CreateAttr("AssertionConsumerServiceURL", p.Callback)
	// SAML has no max_age: who may only be trusted for a while is asked again.
	if p.Fresh || p.MaxAge >= 0 {
		el.CreateAttr("ForceAuthn", "true")
	}
	policy := el.CreateElement("samlp:NameIDPolicy")
	if s.NameIDFormat != "" {
		policy.CreateAttr("Format", s.NameIDFormat)
	}
	policy.CreateAttr("AllowCreate", "true")
	if len(p.ACR) > 0 {
		wanted := el.CreateElement("samlp:RequestedAuthnContext")
		wanted.CreateAttr("Comparison", "exact")
		for _, class := range p.ACR {
			child(wanted, "saml:AuthnContextClassRef", class)
		}
	}
	return el
}
