// Package vault is the sealed key space in which a guest, or a part of the hall,
// keeps what is its own: names are hashed and values sealed by the cluster's keys,
// so that neither the store nor another guest can read them (I27).
package vault

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/session"
)

// Vault is one key space.
type Vault struct {
	// Space keeps it apart from all others.
	Space string
	// Store is where it is kept.
	Store flows.Store
	// Keys are the cluster's.
	Keys func(context.Context) (*session.Keyring, error)
}

// name hides both space and name: what a guest keys by may be personal.
func (v *Vault) name(ctx context.Context, key string) ([]string, error) {
	k, err := v.Keys(ctx)
	if err != nil {
		return nil, err
	}
	hs, err := k.Hashes("vault name", v.Space+"\x00"+key)
	if err != nil {
		return nil, err
	}
	for i := range hs {
		hs[i] = "v/" + hs[i]
	}
	return hs, nil
}

// Get brings what it finds under the newest key: an entry that is read and never
// changed would be gone with the older one (B20). That it could not be brought there
// now does not keep anybody from reading it.
func (v *Vault) Get(ctx context.Context, key string) ([]byte, error) {
	val, newest, err := v.Find(ctx, key)
	if err == nil && !newest {
		if names, err := v.name(ctx, key); err == nil {
			_ = v.carryOver(ctx, key, names)
		}
	}
	return val, err
}

// Find is Get, and says whether the entry is named with the newest key: one that
// is not would be forgotten with the older one.
func (v *Vault) Find(ctx context.Context, key string) (val []byte, newest bool, err error) {
	names, err := v.name(ctx, key)
	if err != nil {
		return nil, false, err
	}
	for i, n := range names {
		b, err := v.Store.Get(ctx, n)
		if err == nil {
			val, err = v.open(ctx, key, b)
			return val, i == 0, err
		}
		if !errors.Is(err, flows.ErrNotFound) {
			return nil, false, err
		}
	}
	return nil, false, flows.ErrNotFound
}

// Remove deletes an entry under all of its names, the oldest first: one under an
// older key would be found again.
func (v *Vault) Remove(ctx context.Context, key string) error {
	names, err := v.name(ctx, key)
	if err != nil {
		return err
	}
	for _, n := range slices.Backward(names) {
		if err := v.Store.Update(ctx, n, func([]byte) (flows.Change, error) { return flows.Remove(), nil }); err != nil {
			return err
		}
	}
	return nil
}

func (v *Vault) open(ctx context.Context, key string, b []byte) ([]byte, error) {
	k, err := v.Keys(ctx)
	if err != nil {
		return nil, err
	}
	return k.Open("vault", v.Space+"\x00"+key, b)
}

func (v *Vault) seal(ctx context.Context, key string, b []byte) ([]byte, error) {
	k, err := v.Keys(ctx)
	if err != nil {
		return nil, err
	}
	return k.Seal("vault", v.Space+"\x00"+key, b)
}

// Create makes an entry that is not there, under the newest key.
func (v *Vault) Create(ctx context.Context, key string, val []byte, ttl time.Duration, index ...string) error {
	if _, err := v.Get(ctx, key); err == nil {
		return flows.ErrExists
	}
	names, err := v.name(ctx, key)
	if err != nil {
		return err
	}
	sealed, err := v.seal(ctx, key, val)
	if err != nil {
		return err
	}
	return v.Store.Create(ctx, names[0], sealed, ttl, v.indexes(index)...)
}

// indexes are the names in the store of indexes of this space.
func (v *Vault) indexes(index []string) []string {
	out := make([]string, len(index))
	for i, s := range index {
		out[i] = "v/" + v.Space + "/" + s
	}
	return out
}

// Update changes an entry by fn, which sees it in clear; what it removes is gone
// under all of its names.
func (v *Vault) Update(ctx context.Context, key string, fn func(old []byte) (flows.Change, error)) error {
	names, err := v.name(ctx, key)
	if err != nil {
		return err
	}
	k, err := v.Keys(ctx)
	if err != nil {
		return err
	}
	if err := v.carryOver(ctx, key, names); err != nil {
		return err
	}
	ad, removed := v.Space+"\x00"+key, false
	err = v.Store.Update(ctx, names[0], func(old []byte) (flows.Change, error) {
		var plain []byte
		if old != nil {
			if plain, err = k.Open("vault", ad, old); err != nil {
				return flows.Keep(), err
			}
		}
		c, err := fn(plain)
		removed = err == nil && c.Kind == flows.RemoveIt
		if err != nil || c.Kind != flows.SetIt {
			return c, err
		}
		sealed, err := k.Seal("vault", ad, c.Val)
		if err != nil {
			return flows.Keep(), err
		}
		return flows.Set(sealed, c.TTL, v.indexes(c.Index)...), nil
	})
	if err != nil || !removed || len(names) == 1 {
		return err
	}
	return v.Remove(ctx, key)
}

// carryOver brings an entry that was named with an older key under the name it
// has now, sealed with the newest, so that rotating keys forgets nothing (B20, I05).
func (v *Vault) carryOver(ctx context.Context, key string, names []string) error {
	if _, err := v.Store.Get(ctx, names[0]); !errors.Is(err, flows.ErrNotFound) {
		return err
	}
	for _, n := range names[1:] {
		b, err := v.Store.Get(ctx, n)
		if errors.Is(err, flows.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		plain, err := v.open(ctx, key, b)
		if err != nil {
			return err
		}
		anew, err := v.seal(ctx, key, plain)
		if err != nil {
			return err
		}
		if err := v.Store.Create(ctx, names[0], anew, 0); err != nil && !errors.Is(err, flows.ErrExists) {
			return err
		}
		return nil
	}
	return nil
}

// Members lists the keys of an index of this space.
func (v *Vault) Members(ctx context.Context, index, after string, n int) ([]string, error) {
	return v.Store.Members(ctx, v.indexes([]string{index})[0], after, n)
}

var _ flows.Vault = (*Vault)(nil)
