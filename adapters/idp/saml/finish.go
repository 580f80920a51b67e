package saml

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

const pendingMax = time.Hour // older logins are not continued; marks of requests live as long

// Finish compares a verified answer with the pending login of this browser. An
// answer that was not received before is verified here.
func (s *SAML) Finish(ctx context.Context, c flows.Callback, private []byte) (flows.Proof, error) {
	f, err := s.answer(ctx, c)
	if err != nil {
		return flows.Proof{}, err
	}
	now := s.now()
	if !now.Before(f.Until) {
		return flows.Proof{}, invalidf("the answer expired")
	}
	asked := pending{MaxAge: -1, ACR: s.AuthnContext}
	if f.InResponseTo != "" || len(private) > 0 {
		if asked, err = s.continued(f, private); err != nil {
			return flows.Proof{}, invalid(err)
		}
	} else if !s.IDPInitiated {
		return flows.Proof{}, invalidf("the provider began this login by itself; `idp_initiated on` would allow that")
	}
	if err := s.assured(f, asked); err != nil {
		return flows.Proof{}, flows.Refuse(flows.ReasonAssuranceNotMet, err)
	}
	return s.proof(f)
}

// answer is what Receive verified, or verifies it now.
func (s *SAML) answer(ctx context.Context, c flows.Callback) (*facts, error) {
	if c.Received == nil {
		return s.facts(ctx, c)
	}
	var f facts
	if err := json.Unmarshal(c.Received, &f); err != nil || f.Issuer == "" || f.ID == "" {
		return nil, flows.Refuse(flows.ReasonInternal, errors.New("received answer cannot be read"))
	}
	return &f, nil
}

// continued opens the pending login and compares whom it asked for what.
func (s *SAML) continued(f *facts, private []byte) (pending, error) {
	var p pending
	if err := json.Unmarshal(private, &p); err != nil {
		return p, errors.New("pending login cannot be read")
	}
	age := s.now().Sub(time.Unix(p.Begun, 0))
	switch {
	case p.ID == "" || p.Callback == "" || p.Issuer == "" || p.Entity == "":
		return p, errors.New("pending login is incomplete")
	case age > pendingMax || age < -time.Minute:
		return p, fmt.Errorf("pending login is %s old", age.Round(time.Second))
	case subtle.ConstantTimeCompare([]byte(f.InResponseTo), []byte(p.ID)) != 1:
		return p, fmt.Errorf("the answer is to request %q, not to that of this login", outbound.Clip(f.InResponseTo, 100))
	case f.Issuer != p.Issuer:
		return p, fmt.Errorf("%q answered, asked was %q", outbound.Clip(f.Issuer, 200), p.Issuer)
	case f.ACS != p.Callback || f.Entity != p.Entity:
		return p, fmt.Errorf("answer came to %q, asked for was %q", outbound.Clip(f.ACS, 200), p.Callback)
	}
	if len(p.ACR) == 0 {
		p.ACR = s.AuthnContext
	}
	return p, nil
}

// assured: what was asked about the login at the provider is what it says.
func (s *SAML) assured(f *facts, asked pending) error {
	if asked.MaxAge >= 0 {
		if age := s.now().Sub(f.At); age > time.Duration(asked.MaxAge)*time.Second+s.skew() {
			return fmt.Errorf("login at the provider is %s old, asked were %d s", age.Round(time.Second), asked.MaxAge)
		}
	}
	if asked.Fresh && f.At.Before(time.Unix(asked.Begun, 0).Add(-s.skew())) {
		return errors.New("the provider did not ask again")
	}
	if len(asked.ACR) > 0 && !slices.Contains(asked.ACR, f.Class) {
		return fmt.Errorf("context class is %q, asked were %q", outbound.Clip(f.Class, 200), asked.ACR)
	}
	return nil
}

// proof puts together what was verified.
func (s *SAML) proof(f *facts) (flows.Proof, error) {
	user, err := s.user(f)
	if err != nil {
		return flows.Proof{}, err
	}
	ev := flows.Evidence{Method: "saml", AMR: f.methods(), ACR: f.Class, At: f.At}
	once := []flows.Mark{f.once()}
	if f.InResponseTo == "" {
		ev.Kind = flows.IDPInitiated
	} else {
		once = append(once, flows.Mark{Space: "saml.request", ID: f.InResponseTo, Until: s.now().Add(pendingMax)})
	}
	p := flows.Proof{User: user, Evidence: []flows.Evidence{ev}, Issuer: f.Issuer, NotAfter: f.NotAfter, Once: once}
	if len(f.Sessions) > 0 {
		p.SID = f.Sessions[0]
	}
	if f.NameID == nil {
		return p, nil // nobody can be named in a LogoutRequest
	}
	p.LogoutKeys = proofKeys(*f.NameID, f.Sessions, f.Issuer, f.Entity)
	if p.Tokens, err = json.Marshal(grant{NameID: *f.NameID, Sessions: f.Sessions, Entity: f.Entity}); err != nil {
		return flows.Proof{}, flows.Refuse(flows.ReasonInternal, err)
	}
	return p, nil
}

// once is the mark of the assertion. One assertion, one login (S6): whoever issued
// it counts, not where it came to.
func (f *facts) once() flows.Mark {
	return flows.Mark{Space: "saml.assertion", ID: f.Issuer + "\x00" + f.ID, Until: f.Until}
}
