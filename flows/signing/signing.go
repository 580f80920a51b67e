// Package signing makes the gateway's signed tokens (JWT, RFC 7519) and keeps the
// keys for them: sealed in the store, the same on all nodes, another every month.
package signing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

const (
	// Period is how long a key signs.
	Period = 30 * 24 * time.Hour
	// Lead is how long before its first signature a key is published. It is longer
	// than any verifier keeps keys without asking anew.
	Lead = 24 * time.Hour
	// MaxAge is how long verifiers may keep keys without asking anew.
	MaxAge = time.Hour
	// keep is how long a key is published after its last signature: as long as the
	// longest token, and for clocks that go wrong.
	keep = flows.LongestTTL + time.Hour
	// look is how often the vault is asked whether anything is new.
	look = time.Hour
	// again is when it is asked anew after it could not answer, and for algorithms
	// that this configuration does not use.
	again = time.Minute
)

// Keys sign and verify. Nodes with one vault have the same: which key signs follows
// from the time alone, and who needs a key first makes it for all.
type Keys struct {
	// Vault keeps the private keys.
	Vault flows.Vault
	// Now is the time.
	Now func() time.Time
	// Home is the origin of the portal, which then is the issuer for all applications.
	Home string

	used  [3]atomic.Bool
	rings [3]atomic.Pointer[ring]
	mu    sync.Mutex
	// sealed are keys that were sealed anew, by their name in the vault; guarded by mu.
	sealed map[string]bool
}

// Use says that an algorithm is signed with, before any request.
func (k *Keys) Use(algorithm string) error {
	i := slices.Index(flows.SigningAlgorithms, algorithm)
	if i < 0 {
		return fmt.Errorf("no algorithm is called '%s'; there are: %v", algorithm, flows.SigningAlgorithms)
	}
	k.used[i].Store(true)
	return nil
}

// Prepare has the keys ready that sign and will sign, making those that nobody has
// made yet. It is cheap while there is nothing to do.
func (k *Keys) Prepare(ctx context.Context) error {
	for i := range k.used {
		if !k.used[i].Load() {
			continue
		}
		if _, err := k.ring(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// Public are the keys that verify now or may soon, also of algorithms that another
// configuration uses or used. An error is that of Prepare.
func (k *Keys) Public(ctx context.Context) ([]flows.PublicKey, error) {
	var out []flows.PublicKey
	now := k.Now()
	for i := range k.rings {
		r, err := k.ring(ctx, i)
		if err != nil && k.used[i].Load() {
			return nil, err
		}
		if r != nil {
			out = append(out, r.public(now)...)
		}
	}
	return out, nil
}

// errNotPrepared is a mistake of the hall's.
var errNotPrepared = errors.New("there is no key to sign with")

// Issuer is the portal, or the application's own origin.
func (k *Keys) Issuer(f *flows.Facts) string {
	if k.Home != "" {
		return k.Home
	}
	return f.Origin()
}

// Sign makes the compact form of a token; Prepare must have succeeded before.
func (k *Keys) Sign(t flows.Token) (string, error) {
	i := slices.Index(flows.SigningAlgorithms, t.Algorithm)
	if i < 0 {
		return "", fmt.Errorf("no algorithm is called '%s'", t.Algorithm)
	}
	r := k.rings[i].Load()
	if r == nil || len(r.keys) == 0 {
		return "", errNotPrepared
	}
	return compact(r.signing(t.Issued), t)
}

// compact is the form of RFC 7515 §7.1.
func compact(by *key, t flows.Token) (string, error) {
	out, enc, err := t.Unsigned(by.ID)
	if err != nil {
		return "", err
	}
	sig, err := by.sign(out)
	if err != nil {
		return "", fmt.Errorf("signing a token: %w", err)
	}
	return string(enc.AppendEncode(append(out, '.'), sig)), nil
}

var _ flows.Signer = (*Keys)(nil)
