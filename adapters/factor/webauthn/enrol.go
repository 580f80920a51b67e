package webauthn

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/sallyport-gateway/sallyport/flows"
)

const (
	// handleSize is that of the random name a key knows its owner by (WebAuthn §14.6.1).
	handleSize = 32
	// maxName is what a person may call a key, in characters.
	maxName = 64
)

// BeginEnrol asks for a new key, of an authenticator that has none for this person.
func (w *WebAuthn) BeginEnrol(_ context.Context, c *flows.Challenge) error {
	return w.beginEnrol(c, nil)
}

// beginEnrol asks under a handle that was tried already: an authenticator replaces
// what it made for it.
func (w *WebAuthn) beginEnrol(c *flows.Challenge, handle []byte) error {
	rp, err := w.party(c.Origin)
	if err != nil {
		return err
	}
	p, err := personOf(c, rp.Config.RPID)
	if err != nil {
		return err
	}
	if len(p.handle) == 0 {
		p.handle = handle
	}
	if len(p.handle) == 0 {
		p.handle = make([]byte, handleSize)
		_, _ = rand.Read(p.handle) // never fails
	}
	var have []protocol.CredentialDescriptor
	for _, k := range p.WebAuthnCredentials() {
		have = append(have, k.Descriptor())
	}
	creation, session, err := rp.BeginRegistration(p,
		webauthn.WithExclusions(have), webauthn.WithCredentialParameters(webauthn.CredentialParametersRecommendedL3()))
	if err != nil {
		return fmt.Errorf("webauthn: %w", err)
	}
	return keep(c, session, creation.Response)
}

// DrawEnrol asks for a name and has the browser make the key.
func (w *WebAuthn) DrawEnrol(c *flows.Challenge) flows.Page {
	s, _ := kept(c) // an empty page is not taken for set up: Enrol refuses it
	return flows.Page{Kind: "webauthn_enrol", Widgets: []flows.Widget{
		flows.Note{Code: "webauthn_create"},
		flows.Field{Name: "name", Label: "key_name", Optional: true, Max: maxName, Autocomplete: "off"},
		flows.Credential{Name: field, Label: "create_key", Create: true, Options: s.Options},
	}}
}

// Enrol takes the key over if it was made for this challenge, here and for this person.
func (w *WebAuthn) Enrol(_ context.Context, c *flows.Challenge, in flows.Input) (flows.Record, []string, error) {
	s, err := kept(c)
	if err != nil {
		return flows.Record{}, nil, err
	}
	rp, err := w.party(c.Origin)
	if err != nil {
		return flows.Record{}, nil, err
	}
	p, err := personOf(c, rp.Config.RPID)
	if err != nil {
		return flows.Record{}, nil, err
	}
	if err := w.beginEnrol(c, s.Session.UserID); err != nil { // the challenge is spent
		return flows.Record{}, nil, err
	}
	p.handle = s.Session.UserID
	answer := in.Value(field)
	if answer == "" || len(answer) > maxAnswer || c.Now.After(s.Until) {
		return flows.Record{}, nil, refused(errors.New("no answer, or one that is too long or too late"))
	}
	a, err := protocol.ParseCredentialCreationResponseBytes([]byte(answer))
	if err != nil {
		return flows.Record{}, nil, refused(err)
	}
	made, err := rp.CreateCredential(p, s.Session, a)
	if err != nil {
		return flows.Record{}, nil, refused(err)
	}
	if _, record := p.record(made.ID); record != "" {
		return flows.Record{}, nil, refused(errors.New("the key is set up already"))
	}
	k := newKey(made, rp.Config.RPID, s.Session.Challenge)
	b, err := json.Marshal(k)
	return flows.Record{Data: b, Name: name(in.Value("name")), Handle: base64.RawURLEncoding.EncodeToString(p.handle)}, k.amr(made.Flags.UserVerified), err
}

// name is what the person calls the key, within reason.
func name(s string) string {
	s = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || !unicode.IsPrint(r) && r != ' ' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, ""))), " ")
	if utf8.RuneCountInString(s) > maxName {
		return string([]rune(s)[:maxName])
	}
	return s
}
