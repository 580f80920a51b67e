package oidc

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	oidclib "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/sallyport-gateway/sallyport/flows"
)

// pending is what Finish gets back of Begin. It travels sealed.
type pending struct {
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier"`
	Callback string `json:"callback"`
	// ACR is what the flow insists on; empty: nothing is.
	ACR []string `json:"acr,omitempty"`
	// MaxAge in seconds that was asked for; -1: none.
	MaxAge int64 `json:"max_age"`
	// Fresh: the person had to prove themselves again after Begun.
	Fresh bool `json:"fresh,omitempty"`
	// Insist: the answer must say when they did.
	Insist bool  `json:"insist,omitempty"`
	Begun  int64 `json:"begun"`
}

// Begin sends the browser to the provider: code flow, PKCE S256, nonce and
// state, each of at least 128 random bits.
func (p *Provider) Begin(ctx context.Context, s flows.Start) (flows.Outcome, []byte, error) {
	m, err := p.metadata(ctx)
	if err != nil {
		return nil, nil, err
	}
	if s.CallbackURL == "" || s.Handle == "" {
		return nil, nil, flows.Refuse(flows.ReasonInternal, errors.New("begin without callback or handle"))
	}
	pend := pending{
		Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Callback: s.CallbackURL,
		ACR: s.ACR, MaxAge: p.maxAge(s.MaxAge), Fresh: s.Fresh, Insist: s.Insist, Begun: p.now().Unix(),
	}
	if s.Insist {
		pend.ACR = p.wanted(s.ACR)
	}
	private, err := json.Marshal(pend)
	if err != nil {
		return nil, nil, flows.Refuse(flows.ReasonInternal, err)
	}
	opts := []oauth2.AuthCodeOption{oidclib.Nonce(pend.Nonce), oauth2.S256ChallengeOption(pend.Verifier)}
	for k, v := range p.wishes(s, pend.MaxAge) {
		if v != "" {
			opts = append(opts, oauth2.SetAuthURLParam(k, v))
		}
	}
	return flows.Redirect(p.oauth(m, s.CallbackURL).AuthCodeURL(s.Handle, opts...)), private, nil
}

// Initiates reports whether a login begun elsewhere is for this provider.
func (p *Provider) Initiates(iss string) bool {
	if m := p.src.last(); m != nil {
		return p.issues(m, iss)
	}
	return iss == p.issuer
}

// wishes are the optional parameters of OIDC Core §3.1.2.1.
func (p *Provider) wishes(s flows.Start, maxAge int64) map[string]string {
	acr := p.wanted(s.ACR)
	w := map[string]string{"acr_values": strings.Join(acr, " "), "prompt": p.Prompt, "login_hint": s.LoginHint}
	if maxAge >= 0 {
		w["max_age"] = strconv.FormatInt(maxAge, 10)
	}
	if s.Fresh {
		w["prompt"] = freshPrompt(p.Prompt)
	}
	if s.Fresh && s.Insist { // so that auth_time is in the answer (OIDC Core §2)
		w["max_age"] = "0"
	}
	if p.as.asks != nil {
		p.as.asks(w, acr)
	}
	return w
}

// wanted are the contexts asked for: the flow's, else those configured.
func (p *Provider) wanted(acr []string) []string {
	if len(acr) == 0 {
		return p.ACRValues
	}
	return acr
}

// freshPrompt adds login; none would contradict it.
func freshPrompt(configured string) string {
	out := []string{"login"}
	for _, w := range strings.Fields(configured) {
		if w != "login" && w != "none" {
			out = append(out, w)
		}
	}
	return strings.Join(out, " ")
}

// maxAge is the stricter of the flow's wish and the configuration, in seconds; -1 for none.
func (p *Provider) maxAge(wanted time.Duration) int64 {
	age := int64(-1)
	if p.MaxAge > 0 {
		age = int64(time.Duration(p.MaxAge) / time.Second)
	}
	if wanted >= 0 {
		if w := int64(wanted / time.Second); age < 0 || w < age {
			age = w
		}
	}
	return age
}

// Handle finds the state of an answer. It stands there once, or the answer is refused.
func (p *Provider) Handle(c flows.Callback) (string, error) {
	if err := singular(c.Values); err != nil {
		return "", flows.Refuse(flows.ReasonInvalidAnswer, err)
	}
	state := first(c.Values, "state")
	if state == "" {
		return "", flows.Refuse(flows.ReasonInvalidAnswer, errors.New("answer without state"))
	}
	return state, nil
}

// answerParams are the protocol parameters of an answer. Twice the same one
// would let two readers see two answers (O8).
var answerParams = []string{
	"code", "state", "iss", "error", "error_description", "error_uri", "session_state",
	"id_token", "access_token", "token_type", "expires_in", "scope", "response",
}

func singular(values map[string][]string) error {
	for _, name := range answerParams {
		if n := len(values[name]); n > 1 {
			return fmt.Errorf("parameter %s stands %d times in the answer", name, n)
		}
	}
	return nil
}

func first(values map[string][]string, name string) string {
	if v := values[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// Interface guard.
var _ flows.Initiator = (*Provider)(nil)
