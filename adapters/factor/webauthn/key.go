package webauthn

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/sallyport-gateway/sallyport/flows"
)

// key is what a record keeps of one.
type key struct {
	ID        []byte `json:"id"`
	PublicKey []byte `json:"public_key"`
	// RPID is the domain it signs for.
	RPID string `json:"rp_id"`
	// Model names the make (AAGUID); zero where the browser keeps it to itself.
	Model      []byte   `json:"model,omitempty"`
	Transports []string `json:"transports,omitempty"`
	// Synced: copies of it may be on other devices of the person, and BackedUp: there are.
	Synced   bool `json:"synced,omitempty"`
	BackedUp bool `json:"backed_up,omitempty"`
	// Count is how often it says that it was used; many say 0 always.
	Count uint32 `json:"count"`
	// Last is the challenge it answered last: one answer is good once (I09).
	Last string `json:"last,omitempty"`
}

func newKey(c *webauthn.Credential, rpID, challenge string) key {
	k := key{
		ID: c.ID, PublicKey: c.PublicKey, RPID: rpID, Model: c.Authenticator.AAGUID, Count: c.Authenticator.SignCount,
		Synced: c.Flags.BackupEligible, BackedUp: c.Flags.BackupState, Last: challenge,
	}
	for _, t := range c.Transport {
		k.Transports = append(k.Transports, string(t))
	}
	return k
}

func (k *key) credential() webauthn.Credential {
	c := webauthn.Credential{ID: k.ID, PublicKey: k.PublicKey}
	c.Flags.BackupEligible, c.Flags.BackupState = k.Synced, k.BackedUp
	c.Authenticator.AAGUID, c.Authenticator.SignCount = k.Model, k.Count
	for _, t := range k.Transports {
		c.Transport = append(c.Transport, protocol.AuthenticatorTransport(t))
	}
	return c
}

// amr is what a use of it proves (RFC 8176 §2): that a key is at hand, which stays
// in one device or not, and with a PIN or a finger a second kind.
func (k *key) amr(verified bool) []string {
	amr := []string{"hwk"}
	if k.Synced {
		amr[0] = "swk"
	}
	if verified {
		amr = append(amr, "mfa")
	}
	return amr
}

// person is somebody with the keys that are good for one domain.
type person struct {
	handle []byte
	user   *flows.User
	keys   []key
	// ids are those of the records, beside keys.
	ids []string
}

func (p *person) WebAuthnID() []byte          { return p.handle }
func (p *person) WebAuthnName() string        { return p.user.Name }
func (p *person) WebAuthnDisplayName() string { return cmp.Or(p.user.DisplayName, p.user.Name) }

func (p *person) WebAuthnCredentials() (all []webauthn.Credential) {
	for _, k := range p.keys {
		all = append(all, k.credential())
	}
	return all
}

// record finds the one of a key.
func (p *person) record(id []byte) (k key, record string) {
	for i := range p.keys {
		if bytes.Equal(p.keys[i].ID, id) {
			return p.keys[i], p.ids[i]
		}
	}
	return key{}, ""
}

// personOf reads the records of somebody.
func personOf(c *flows.Challenge, rpID string) (*person, error) {
	p := &person{user: c.User}
	for _, r := range c.Records {
		var k key
		if err := json.Unmarshal(r.Data, &k); err != nil {
			return nil, fmt.Errorf("webauthn: record %s: %w", r.ID, err)
		}
		handle, err := base64.RawURLEncoding.DecodeString(r.Handle)
		if err != nil || len(handle) == 0 {
			return nil, fmt.Errorf("webauthn: record %s: no handle", r.ID)
		}
		p.handle = handle
		if k.RPID == rpID {
			p.keys, p.ids = append(p.keys, k), append(p.ids, r.ID)
		}
	}
	return p, nil
}
