// Package session holds what a finished Execution becomes: a ticket in the
// browser, a card and a body in the store, and the keys that seal them
// (invariants I13–I16).
package session

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
)

// Keyring is the cluster's keys: the first seals, all open (B20). Every purpose
// has a key of its own, derived by HKDF-SHA256 (RFC 5869).
type Keyring struct {
	secrets [][]byte
	mu      sync.Mutex
	derived map[string][]derived
}

type derived struct {
	id   [4]byte
	aead cipher.AEAD
	mac  []byte
}

// MinSecret is the least length of a cluster key in bytes.
const MinSecret = 16

// ErrSealed says that something sealed cannot be opened: forged, foreign, for
// another purpose, or sealed by a key that is no longer in the ring.
var ErrSealed = errors.New("sealed value cannot be opened")

// NewKeyring makes a ring of one or more secrets of at least 16 bytes each.
func NewKeyring(secrets ...[]byte) (*Keyring, error) {
	if len(secrets) == 0 {
		return nil, errors.New("a keyring needs at least one key")
	}
	for i, s := range secrets {
		if len(s) < MinSecret {
			return nil, fmt.Errorf("key %d has %d bytes; at least %d are needed", i+1, len(s), MinSecret)
		}
	}
	return &Keyring{secrets: secrets, derived: map[string][]derived{}}, nil
}

func (k *Keyring) derive(purpose string) ([]derived, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if d, ok := k.derived[purpose]; ok {
		return d, nil
	}
	out := make([]derived, len(k.secrets))
	for i, s := range k.secrets {
		b, err := hkdf.Key(sha256.New, s, nil, "sallyport "+purpose, 68)
		if err != nil {
			return nil, fmt.Errorf("deriving a key: %w", err)
		}
		out[i].mac = b[32:64]
		copy(out[i].id[:], b[64:])
		if out[i].aead, err = gcm(b[:32]); err != nil {
			return nil, err
		}
	}
	if len(k.derived) < 64 { // purposes are constants of ours; the bound is for safety
		k.derived[purpose] = out
	}
	return out, nil
}

func gcm(key []byte) (cipher.AEAD, error) {
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(b)
}

// Seal encrypts with the first key. ad is authenticated, not sealed: it names
// where the value belongs, so that it opens nowhere else (I08).
func (k *Keyring) Seal(purpose, ad string, plain []byte) ([]byte, error) {
	d, err := k.derive(purpose)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 4+12, 4+12+len(plain)+16)
	copy(out, d[0].id[:])
	if _, err := rand.Read(out[4:16]); err != nil {
		return nil, err
	}
	return d[0].aead.Seal(out, out[4:16], plain, []byte(ad)), nil
}

// Open decrypts with whichever key sealed it; ErrSealed otherwise.
func (k *Keyring) Open(purpose, ad string, sealed []byte) ([]byte, error) {
	ds, err := k.derive(purpose)
	if err != nil {
		return nil, err
	}
	if len(sealed) < 4+12+16 {
		return nil, ErrSealed
	}
	for _, d := range ds {
		if string(sealed[:4]) != string(d.id[:]) {
			continue
		}
		if plain, err := d.aead.Open(nil, sealed[4:16], sealed[16:], []byte(ad)); err == nil {
			return plain, nil
		}
	}
	return nil, ErrSealed
}

// Hashes are keyed hashes of data, one per key of the ring: write the first,
// look for all.
func (k *Keyring) Hashes(purpose, data string) ([]string, error) {
	ds, err := k.derive(purpose)
	if err != nil {
		return nil, err
	}
	out := make([]string, len(ds))
	for i, d := range ds {
		m := hmac.New(sha256.New, d.mac)
		m.Write([]byte(data))
		out[i] = base64.RawURLEncoding.EncodeToString(m.Sum(nil)[:16])
	}
	return out, nil
}

// Derive gives n bytes of key material per key of the ring, for a library that
// wants keys of its own (gorilla/securecookie).
func (k *Keyring) Derive(purpose string, n int) ([][]byte, error) {
	out := make([][]byte, len(k.secrets))
	for i, s := range k.secrets {
		b, err := hkdf.Key(sha256.New, s, nil, "sallyport derive "+purpose, n)
		if err != nil {
			return nil, fmt.Errorf("deriving a key: %w", err)
		}
		out[i] = b
	}
	return out, nil
}
