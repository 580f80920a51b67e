// Package webauthntest is an authenticator and its browser in Go, for tests: it
// makes keys and signs with them as Web Authentication says, or otherwise.
package webauthntest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
)

// Authenticator holds keys. It asks nobody anything.
type Authenticator struct {
	// Verifies: it knows by a PIN or a finger who holds it.
	Verifies bool
	// Syncs: its keys are copied to other devices, and count nothing.
	Syncs bool

	keys []*key
}

type key struct {
	id, handle []byte
	rpID       string
	private    *ecdsa.PrivateKey
	count      uint32
}

// Answer is what is about to be signed and sent; a test may bend it.
type Answer struct {
	// Type, Challenge, Origin, Cross and Top are the client's data.
	Type, Challenge, Origin, Top string
	Cross                        bool
	// RPID, Flags and Count are the authenticator's.
	RPID  string
	Flags byte
	Count uint32
	// ID names the key, Handle its owner; nil leaves the handle out.
	ID, Handle []byte
	// Algorithm is the one a new key says it is for (COSE).
	Algorithm int
	// Format and Statement are of the attestation.
	Format    string
	Statement map[string]any
	// Signed changes the signature.
	Signed func([]byte) []byte
	// Sent changes the JSON.
	Sent func(map[string]any)
}

// The flags of authenticator data (WebAuthn §6.1).
const (
	Present  byte = 1 << 0
	Verified byte = 1 << 2
	Eligible byte = 1 << 3
	BackedUp byte = 1 << 4
	attested byte = 1 << 6
)

const es256 = -7

// options are of both kinds.
type options struct {
	Challenge string `json:"challenge"`
	RPID      string `json:"rpId"`
	RP        struct {
		ID string `json:"id"`
	} `json:"rp"`
	User struct {
		ID string `json:"id"`
	} `json:"user"`
	Allow   []descriptor `json:"allowCredentials"`
	Exclude []descriptor `json:"excludeCredentials"`
	Verify  string       `json:"userVerification"`
}

type descriptor struct {
	ID string `json:"id"`
}

func names(list []descriptor, id []byte) bool {
	return slices.ContainsFunc(list, func(d descriptor) bool { return d.ID == encode(id) })
}

// The refusals of a browser.
var (
	// ErrNotAllowed: no key fits, or nobody was verified (NotAllowedError).
	ErrNotAllowed = errors.New("not allowed")
	// ErrExcluded: there is a key already (InvalidStateError).
	ErrExcluded = errors.New("excluded")
)

// Create makes a key on a page of an origin and answers the credential as JSON.
func (a *Authenticator) Create(raw []byte, origin string, bend ...func(*Answer)) (string, error) {
	o, err := read(raw)
	if err != nil {
		return "", err
	}
	if slices.ContainsFunc(a.keys, func(k *key) bool { return names(o.Exclude, k.id) }) {
		return "", ErrExcluded
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	k := &key{id: random(32), handle: decode(o.User.ID), rpID: o.RP.ID, private: private}
	b := a.answer("webauthn.create", o, k, origin)
	b.Flags |= attested
	for _, f := range bend {
		f(b)
	}
	public, err := private.PublicKey.Bytes() // 4, x, y
	if err != nil {
		return "", err
	}
	cose, err := webauthncbor.Marshal(map[int]any{1: 2, 3: b.Algorithm, -1: 1, -2: public[1:33], -3: public[33:]})
	if err != nil {
		return "", err
	}
	data := append(b.data(), make([]byte, 16)...) // the model is nobody's business
	data = binary.BigEndian.AppendUint16(data, uint16(len(b.ID)))
	data = append(append(data, b.ID...), cose...)
	object, err := webauthncbor.Marshal(map[string]any{"fmt": b.Format, "attStmt": b.Statement, "authData": data})
	if err != nil {
		return "", err
	}
	// It keeps one for each person of a domain (CTAP 2.1 §6.1.2).
	a.keys = slices.DeleteFunc(a.keys, func(o *key) bool { return o.rpID == k.rpID && bytes.Equal(o.handle, k.handle) })
	a.keys = append(a.keys, k)
	return b.send(map[string]any{"clientDataJSON": encode(b.client()), "attestationObject": encode(object), "transports": []string{"internal"}})
}

// Get signs with a key on a page of an origin and answers the credential as JSON.
func (a *Authenticator) Get(raw []byte, origin string, bend ...func(*Answer)) (string, error) {
	o, err := read(raw)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(a.keys, func(k *key) bool { return k.rpID == o.RPID && (len(o.Allow) == 0 || names(o.Allow, k.id)) })
	if i < 0 || o.Verify == "required" && !a.Verifies {
		return "", ErrNotAllowed
	}
	k := a.keys[i]
	if !a.Syncs {
		k.count++
	}
	b := a.answer("webauthn.get", o, k, origin)
	for _, f := range bend {
		f(b)
	}
	data, client := b.data(), b.client()
	hash := sha256.Sum256(client)
	sum := sha256.Sum256(append(slices.Clone(data), hash[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, k.private, sum[:])
	if err != nil {
		return "", err
	}
	if b.Signed != nil {
		signature = b.Signed(signature)
	}
	response := map[string]any{"clientDataJSON": encode(client), "authenticatorData": encode(data), "signature": encode(signature)}
	if b.Handle != nil {
		response["userHandle"] = encode(b.Handle)
	}
	return b.send(response)
}

// Clone is a copy of the authenticator and its keys.
func (a *Authenticator) Clone() *Authenticator {
	c := &Authenticator{Verifies: a.Verifies, Syncs: a.Syncs}
	for _, k := range a.keys {
		same := *k
		c.keys = append(c.keys, &same)
	}
	return c
}

func (a *Authenticator) answer(typ string, o *options, k *key, origin string) *Answer {
	b := &Answer{
		Type: typ, Challenge: o.Challenge, Origin: origin, RPID: k.rpID, Flags: Present, Count: k.count,
		ID: k.id, Handle: k.handle, Algorithm: es256, Format: "none", Statement: map[string]any{},
	}
	if a.Verifies && o.Verify != "discouraged" {
		b.Flags |= Verified
	}
	if a.Syncs {
		b.Flags |= Eligible | BackedUp
	}
	return b
}

// data is that of the authenticator.
func (b *Answer) data() []byte {
	rp := sha256.Sum256([]byte(b.RPID))
	return binary.BigEndian.AppendUint32(append(rp[:], b.Flags), b.Count)
}

func (b *Answer) client() []byte {
	c := map[string]any{"type": b.Type, "challenge": b.Challenge, "origin": b.Origin, "crossOrigin": b.Cross}
	if b.Top != "" {
		c["topOrigin"] = b.Top
	}
	out, _ := json.Marshal(c)
	return out
}

func (b *Answer) send(response map[string]any) (string, error) {
	c := map[string]any{
		"id": encode(b.ID), "rawId": encode(b.ID), "type": "public-key", "response": response,
		"authenticatorAttachment": "platform", "clientExtensionResults": map[string]any{},
	}
	if b.Sent != nil {
		b.Sent(c)
	}
	out, err := json.Marshal(c)
	return string(out), err
}

func read(raw []byte) (*options, error) {
	var o options
	if err := json.Unmarshal(raw, &o); err != nil {
		return nil, fmt.Errorf("options: %w", err)
	}
	if o.Challenge == "" {
		return nil, errors.New("options without a challenge")
	}
	return &o, nil
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func decode(s string) []byte {
	b, _ := base64.RawURLEncoding.DecodeString(s)
	return b
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}
