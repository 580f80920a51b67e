package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/oauth2"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

const (
	finishMax   = 12 * time.Second // all of Finish: token, keys, UserInfo
	pendingMax  = time.Hour        // older logins are not continued; marks live as long
	maxCode     = 8 << 10
	maxIDToken  = 256 << 10 // 5,000 groups by name (C22)
	clockSkew   = time.Minute
	maxTokenAge = 24 * time.Hour // an ID token from the token endpoint is seconds old
)

// Finish verifies the answer: who it is from, the code, the ID token and, when
// configured, UserInfo. Every error is a Refusal.
func (p *Provider) Finish(ctx context.Context, c flows.Callback, private []byte) (flows.Proof, error) {
	ctx, cancel := context.WithTimeout(ctx, finishMax)
	defer cancel()
	pend, err := p.continued(c, private)
	if err != nil {
		return flows.Proof{}, invalid(err)
	}
	m, err := p.metadata(ctx)
	if err != nil {
		return flows.Proof{}, err
	}
	code, err := p.answer(m, c)
	if err != nil {
		return flows.Proof{}, err
	}
	tok, err := p.exchange(ctx, m, pend.Callback, code, pend.Verifier)
	if err != nil {
		return flows.Proof{}, err
	}
	raw, id, err := p.idToken(ctx, m, tok)
	if err != nil {
		return flows.Proof{}, err
	}
	if p.as.acr != nil {
		id.acr = p.as.acr(id.claims, p.wanted(pend.ACR))
	}
	if err := p.bound(id, pend); err != nil {
		return flows.Proof{}, err
	}
	if err := p.admit(id); err != nil {
		return flows.Proof{}, err
	}
	claims, err := p.withUserInfo(ctx, m, tok, id)
	if err != nil {
		return flows.Proof{}, err
	}
	return p.proof(ctx, m, tok, raw, id, claims, pend)
}

// invalid refuses what the far side sent.
func invalid(err error) error { return flows.Refuse(flows.ReasonInvalidAnswer, err) }

func invalidf(format string, args ...any) error { return invalid(fmt.Errorf(format, args...)) }

// continued opens the pending login and compares where the answer came to: a
// code is good for exactly the redirect URI it was asked for.
func (p *Provider) continued(c flows.Callback, private []byte) (pending, error) {
	var pend pending
	if err := json.Unmarshal(private, &pend); err != nil {
		return pend, errors.New("pending login cannot be read")
	}
	age := p.now().Sub(time.Unix(pend.Begun, 0))
	switch {
	case pend.Nonce == "" || pend.Verifier == "" || pend.Callback == "":
		return pend, errors.New("pending login is incomplete")
	case age > pendingMax || age < -clockSkew:
		return pend, fmt.Errorf("pending login is %s old", age.Round(time.Second))
	case c.URL != pend.Callback:
		return pend, fmt.Errorf("answer came to %q, asked for was %q", outbound.Clip(c.URL, 200), pend.Callback)
	}
	return pend, singular(c.Values)
}

// answer judges the parameters the browser carried and returns the code.
func (p *Provider) answer(m *metadata, c flows.Callback) (string, error) {
	iss, there := c.Values["iss"]
	switch { // RFC 9207 §2.4: first, so that nobody else's answer or error is believed (mix-up)
	case there && (len(iss) != 1 || !p.issues(m, iss[0])):
		return "", invalidf("answer names issuer %q, asked was %q", outbound.Clip(first(c.Values, "iss"), 200), m.Issuer)
	case !there && m.SendsIssuer:
		return "", invalidf("answer without iss, which %s promises", m.Issuer)
	}
	code, problem := first(c.Values, "code"), first(c.Values, "error")
	_, isError := c.Values["error"]
	_, isCode := c.Values["code"]
	switch {
	case isError && isCode:
		return "", invalidf("answer holds both code and error")
	case isError:
		return "", refused(problem, first(c.Values, "error_description"))
	case code == "":
		return "", invalidf("answer without code")
	case len(code) > maxCode:
		return "", invalidf("code of %d bytes", len(code))
	case c.Values["id_token"] != nil || c.Values["access_token"] != nil:
		return "", invalidf("answer holds tokens that were not asked for") // code flow only
	}
	return code, nil
}

// refused translates the provider's no (RFC 6749 §4.1.2.1, OIDC Core §3.1.2.6).
func refused(code, description string) error {
	err := fmt.Errorf("provider answered %q %q", outbound.Clip(code, 60), outbound.Clip(description, 200))
	switch code {
	case "temporarily_unavailable":
		return flows.Refuse(flows.ReasonProviderDown, err)
	case "unmet_authentication_requirements":
		return flows.Refuse(flows.ReasonAssuranceNotMet, err)
	}
	return flows.Refuse(flows.ReasonProviderRefused, err)
}

// proof puts together what was verified.
func (p *Provider) proof(ctx context.Context, m *metadata, tok *oauth2.Token, raw string, id *idToken, claims map[string]any, pend pending) (flows.Proof, error) {
	user, err := p.person(ctx, id, claims)
	if err != nil {
		return flows.Proof{}, err
	}
	at := id.authTime
	if at.IsZero() {
		at = p.now()
	}
	ev := flows.Evidence{Method: "oidc", AMR: p.methods(id.claims["amr"]), ACR: id.acr, At: at}
	tokens, err := p.keep(tok, raw, id, ev)
	if err != nil {
		return flows.Proof{}, err
	}
	return flows.Proof{
		User: user, Evidence: []flows.Evidence{ev}, Issuer: p.bindsTo(m), SID: id.sid, Tokens: tokens, Stale: p.stale(tok),
		// One answer, one login: the nonce is unique to this one (I09).
		Once: []flows.Mark{{Space: "oidc.login", ID: pend.Nonce, Until: p.now().Add(pendingMax)}},
	}, nil
}
