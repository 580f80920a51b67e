// Package jwt is what the rooms that are handed signed tokens share: the keys that
// verify them, and a reader that takes them one way only.
package jwt

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	oidclib "github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

// Signatures are the algorithms accepted on tokens. "none" and the symmetric ones are
// never among them (RFC 8725 §3.1).
var Signatures = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// CheckAlg refuses an algorithm that a word of the configuration names.
func CheckAlg(word, alg string) error {
	if slices.Contains(Signatures, alg) {
		return nil
	}
	return fmt.Errorf("%s '%s' is not accepted; there are: %s", word, alg, strings.Join(Signatures, ", "))
}

const (
	unknownKeyPause = time.Minute      // between two fetches for keys we do not know
	noKeysPause     = 15 * time.Second // between two tries while there are no keys at all
	keysAge         = time.Hour        // keys are looked at again after this
	keysLast        = 24 * time.Hour   // keys that could not be renewed for so long die
	oldKeysLast     = 5 * time.Minute  // a provider that turns its rotation back fails no login
	fetchMax        = 10 * time.Second // one fetch
	maxKeys         = 100
)

// MinRSABits is the shortest RSA key that is used.
const MinRSABits = 2048

var (
	errUnknownKey = errors.New("signed by none of the provider's keys")
	// ErrKeysDown: the provider's keys cannot be fetched, so nothing is said of a token.
	ErrKeysDown = errors.New("the provider's keys cannot be fetched")
)

// Keys are the provider's published keys. The library's own refetches for
// every unknown key, so that anybody can make us flood the provider (O5); this
// one asks once a minute, refuses meanwhile, and keeps what it has when
// the provider's key endpoint dies.
type Keys struct {
	// Locate finds where they are before each fetch; nil: where Use said.
	Locate func(ctx context.Context, c *http.Client) (url string, err error)

	mu      sync.Mutex
	url     string
	client  *http.Client
	now     func() time.Time
	keys    []jose.JSONWebKey
	at      time.Time         // when keys were fetched
	old     []jose.JSONWebKey // what keys replaced, good until oldTill
	oldTill time.Time
	tried   time.Time
	unknown struct{ stranger, provider time.Time } // last fetch for an unknown key, by who sent the token
	err     error                                  // of the last fetch
	flight  *flight
}

// Lend gives the newest configuration's client and clock to keys that outlive it.
func (k *Keys) Lend(c *http.Client, now func() time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.client, k.now = c, now
}

// Use follows the discovery document; keys stay until new ones are there.
func (k *Keys) Use(url string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.url = url
}

// Verify answers the payload of a signed token; stranger: anybody may have sent it.
func (k *Keys) Verify(ctx context.Context, jwt string, stranger bool) ([]byte, error) {
	jws, err := parseJWS(jwt)
	if err != nil {
		return nil, err
	}
	keys, err := k.current(ctx)
	if err != nil {
		return nil, err
	}
	if payload, ok := tryKeys(jws, keys); ok {
		return payload, nil
	}
	if payload, ok := tryKeys(jws, k.replaced(jws)); ok {
		return payload, nil
	}
	// Perhaps the provider rotated just now (OIDC Core §10.1.1).
	if keys, err = k.renewed(ctx, stranger); err != nil {
		return nil, err
	}
	if payload, ok := tryKeys(jws, keys); ok {
		return payload, nil
	}
	return nil, errUnknownKey
}

// Witness is one use of a key set that remembers its error, which the library
// turns into text.
type Witness struct {
	Keys *Keys
	// Stranger: whoever likes may have sent the token.
	Stranger bool
	Err      error
}

// VerifySignature implements oidc.KeySet.
func (w *Witness) VerifySignature(ctx context.Context, jwt string) (payload []byte, err error) {
	payload, w.Err = w.Keys.Verify(ctx, jwt, w.Stranger)
	return payload, w.Err
}

func parseJWS(jwt string) (*jose.JSONWebSignature, error) {
	algs := make([]jose.SignatureAlgorithm, len(Signatures))
	for i, a := range Signatures {
		algs[i] = jose.SignatureAlgorithm(a)
	}
	jws, err := jose.ParseSignedCompact(jwt, algs)
	if err != nil {
		return nil, fmt.Errorf("malformed token: %w", err)
	}
	return jws, nil
}

// tryKeys verifies against the keys of the token's kid, or against all when it
// has none. Keys in the token's own header (jwk, x5c, jku) are never looked at.
func tryKeys(jws *jose.JSONWebSignature, keys []jose.JSONWebKey) ([]byte, bool) {
	h := jws.Signatures[0].Protected
	for i := range keys {
		k := &keys[i]
		if (h.KeyID != "" && k.KeyID != h.KeyID) || (k.Algorithm != "" && k.Algorithm != h.Algorithm) {
			continue
		}
		if payload, err := jws.Verify(k.Key); err == nil {
			return payload, true
		}
	}
	return nil, false
}

// current answers the keys at hand. Old ones are renewed behind the scenes; they
// are good while the provider does not answer, but not for ever.
func (k *Keys) current(ctx context.Context) ([]jose.JSONWebKey, error) {
	k.mu.Lock()
	now := k.now()
	age := now.Sub(k.at)
	switch {
	case len(k.keys) > 0 && age < keysLast:
		if age > keysAge && k.flight == nil && now.Sub(k.tried) >= unknownKeyPause {
			k.begin(ctx)
		}
		defer k.mu.Unlock()
		return k.keys, nil
	case k.flight == nil && now.Sub(k.tried) < noKeysPause:
		defer k.mu.Unlock()
		if k.err != nil {
			return nil, k.err
		}
		return nil, ErrKeysDown
	}
	f := k.begin(ctx)
	k.mu.Unlock()
	return k.wait(ctx, f)
}

// replaced are keys published a moment ago, for tokens that name their key.
func (k *Keys) replaced(jws *jose.JSONWebSignature) []jose.JSONWebKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	if jws.Signatures[0].Protected.KeyID == "" || k.now().After(k.oldTill) {
		return nil
	}
	return k.old
}

// renewed fetches because of a key we do not know, at most once a minute for
// strangers and once for the provider's own answers: a stranger's tokens must not
// keep logins waiting for new keys. Everyone in between is refused: it fails closed.
func (k *Keys) renewed(ctx context.Context, stranger bool) ([]jose.JSONWebKey, error) {
	k.mu.Lock()
	f, last := k.flight, &k.unknown.provider
	if stranger {
		last = &k.unknown.stranger
	}
	if f == nil {
		now := k.now()
		if now.Sub(*last) < unknownKeyPause {
			k.mu.Unlock()
			return nil, errUnknownKey
		}
		*last = now
		f = k.begin(ctx)
	}
	k.mu.Unlock()
	return k.wait(ctx, f)
}

// Prefetch has the keys there before the first login.
func (k *Keys) Prefetch(ctx context.Context) {
	k.mu.Lock()
	fresh := len(k.keys) > 0 && k.now().Sub(k.at) < keysAge
	recent := k.flight == nil && !k.tried.IsZero() && k.now().Sub(k.tried) < noKeysPause
	if fresh || recent {
		k.mu.Unlock()
		return
	}
	f := k.begin(ctx)
	k.mu.Unlock()
	_, _ = k.wait(ctx, f)
}

// Health is the error of the newest fetch; nil when it went well, or there was none yet.
func (k *Keys) Health() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err
}

var _ oidclib.KeySet = (*Witness)(nil)
