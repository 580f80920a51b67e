package webauthn

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/sallyport-gateway/sallyport/flows"
)

const (
	// field is where the answer of a browser is.
	field = "credential"
	// maxAnswer is longer than any key's: certificates were not asked for.
	maxAnswer = 16 << 10
	// lasts is how long a challenge can be answered.
	lasts = 10 * time.Minute
)

// state is what is kept of a challenge. Without options there is nothing to answer.
type state struct {
	Session webauthn.SessionData `json:"session"`
	Options json.RawMessage      `json:"options,omitempty"`
	Until   time.Time            `json:"until"`
}

func keep(c *flows.Challenge, session *webauthn.SessionData, options any) error {
	b, err := json.Marshal(options)
	if err != nil {
		return fmt.Errorf("webauthn: options: %w", err)
	}
	return c.Keep(state{Session: *session, Options: b, Until: c.Now.Add(lasts)})
}

// kept is the challenge that can be answered now.
func kept(c *flows.Challenge) (s state, err error) {
	if err = c.Kept(&s); err != nil || len(s.Options) == 0 {
		return s, errors.New("webauthn: nothing was asked for")
	}
	return s, nil
}

// refused is what a person sees of an answer that is not good, whatever is wrong with it.
func refused(err error) error {
	var e *protocol.Error
	if errors.As(err, &e) {
		err = fmt.Errorf("%w: %s", err, e.DevInfo)
	}
	return flows.Refuse(flows.ReasonKeyRefused, fmt.Errorf("%w: %w", flows.ErrCredentials, err))
}

// Begin asks for one of the person's keys; without a person, for any that knows who
// it belongs to, and verifies them.
func (w *WebAuthn) Begin(_ context.Context, c *flows.Challenge) error {
	rp, err := w.party(c.Origin)
	if errors.Is(err, errNoDomain) {
		return c.Keep(state{})
	}
	if err != nil {
		return err
	}
	if c.User == nil {
		a, session, err := rp.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
		if err != nil {
			return fmt.Errorf("webauthn: %w", err)
		}
		return keep(c, session, a.Response)
	}
	p, err := personOf(c, rp.Config.RPID)
	switch {
	case err != nil:
		return err
	case len(p.keys) == 0: // they are for another host
		return c.Keep(state{})
	}
	a, session, err := rp.BeginLogin(p)
	if err != nil {
		return fmt.Errorf("webauthn: %w", err)
	}
	return keep(c, session, a.Response)
}

// Draw asks for the key, or says that none is any good here.
func (w *WebAuthn) Draw(c *flows.Challenge) flows.Page {
	s, err := kept(c)
	switch {
	case err != nil:
		return flows.Page{Kind: "webauthn", Widgets: []flows.Widget{flows.Note{Code: "webauthn_elsewhere"}}}
	case len(s.Session.UserID) == 0:
		return flows.Page{Kind: "passkey", Widgets: []flows.Widget{
			flows.Note{Code: "passkey_use"},
			flows.Credential{Name: field, Label: "use_passkey", Options: s.Options},
		}}
	}
	return flows.Page{Kind: "webauthn", Widgets: []flows.Widget{
		flows.Note{Code: "webauthn_use"},
		flows.Credential{Name: field, Label: "use_key", Options: s.Options},
	}}
}

// Holder is the handle in an answer.
func (w *WebAuthn) Holder(in flows.Input) (handle string, there bool) {
	answer := in.Value(field)
	if answer == "" {
		return "", false
	}
	var a struct {
		Response struct {
			UserHandle protocol.URLEncodedBase64 `json:"userHandle"`
		} `json:"response"`
	}
	if len(answer) > maxAnswer || json.Unmarshal([]byte(answer), &a) != nil {
		return "", true
	}
	return base64.RawURLEncoding.EncodeToString(a.Response.UserHandle), true
}

// Verify judges a signature. Right or wrong, the challenge is spent (M7).
func (w *WebAuthn) Verify(ctx context.Context, c *flows.Challenge, in flows.Input) (flows.Verdict, error) {
	s, err := kept(c)
	if err != nil {
		return flows.Verdict{}, refused(err)
	}
	next := *c
	if len(s.Session.UserID) == 0 {
		next.User = nil
	}
	if err := w.Begin(ctx, &next); err != nil {
		return flows.Verdict{}, err
	}
	c.State = next.State
	rp, err := w.party(c.Origin)
	if err != nil {
		return flows.Verdict{}, err
	}
	p, err := personOf(c, rp.Config.RPID)
	if err != nil {
		return flows.Verdict{}, err
	}
	return judge(rp, p, s, c.Now, in)
}

func judge(rp *webauthn.WebAuthn, p *person, s state, now time.Time, in flows.Input) (flows.Verdict, error) {
	answer := in.Value(field)
	if answer == "" || len(answer) > maxAnswer || now.After(s.Until) {
		return flows.Verdict{}, refused(errors.New("no answer, or one that is too long or too late"))
	}
	a, err := protocol.ParseCredentialRequestResponseBytes([]byte(answer))
	if err != nil {
		return flows.Verdict{}, refused(err)
	}
	if len(s.Session.UserID) == 0 {
		_, _, err = rp.ValidatePasskeyLogin(func(_, _ []byte) (webauthn.User, error) { return p, nil }, s.Session, a)
	} else {
		_, err = rp.ValidateLogin(p, s.Session, a)
	}
	if err != nil {
		return flows.Verdict{}, refused(err)
	}
	k, record := p.record(a.RawID)
	data := a.Response.AuthenticatorData
	return flows.Verdict{
		Record: record, AMR: k.amr(data.Flags.HasUserVerified()),
		Use: func(old flows.Record) (flows.Record, error) {
			return note(old, s.Session.Challenge, data.Counter, data.Flags.HasBackupState())
		},
	}, nil
}

// note writes a use into the record as it is now. A counter that goes back says that
// there are two of the key (WebAuthn §7.2, step 22): who of them this is, nobody can
// tell, so neither gets in by it.
func note(r flows.Record, challenge string, count uint32, backedUp bool) (flows.Record, error) {
	var k key
	if err := json.Unmarshal(r.Data, &k); err != nil {
		return r, fmt.Errorf("webauthn: record %s: %w", r.ID, err)
	}
	switch {
	case k.Last == challenge:
		return r, flows.ErrReplayed
	case count <= k.Count && (count != 0 || k.Count != 0):
		return r, flows.Refuse(flows.ReasonKeyCloned, fmt.Errorf("webauthn: key %s counted %d after %d", r.ID, count, k.Count))
	}
	k.Last, k.Count, k.BackedUp = challenge, count, backedUp
	b, err := json.Marshal(k)
	r.Data = b
	return r, err
}
