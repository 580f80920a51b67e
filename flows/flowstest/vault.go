package flowstest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// Vault is a flows.Vault over a map. Nothing in it is sealed.
type Vault struct {
	now func() time.Time

	mu      sync.Mutex
	down    bool
	writes  int
	entries map[string]vaultEntry
}

type vaultEntry struct {
	val   []byte
	until time.Time // zero: for ever
	index []string
}

// NewVault makes an empty one.
func NewVault(now func() time.Time) *Vault {
	return &Vault{now: now, entries: map[string]vaultEntry{}}
}

// SetDown makes every call answer flows.ErrUnavailable, or no longer.
func (v *Vault) SetDown(down bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.down = down
}

// Writes counts successful writes.
func (v *Vault) Writes() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.writes
}

// Get answers a copy of a living entry.
func (v *Vault) Get(ctx context.Context, key string) ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.usable(ctx); err != nil {
		return nil, err
	}
	e, ok := v.living(key)
	if !ok {
		return nil, flows.ErrNotFound
	}
	return slices.Clone(e.val), nil
}

// Create writes only if there is nothing. A ttl of 0 keeps the entry for ever.
func (v *Vault) Create(ctx context.Context, key string, val []byte, ttl time.Duration, index ...string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.usable(ctx); err != nil {
		return err
	}
	if _, ok := v.living(key); ok {
		return flows.ErrExists
	}
	v.put(key, val, ttl, index)
	return nil
}

// Update calls fn under the lock and writes what it answers.
func (v *Vault) Update(ctx context.Context, key string, fn func(old []byte) (flows.Change, error)) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.usable(ctx); err != nil {
		return err
	}
	var old []byte
	if e, ok := v.living(key); ok {
		old = slices.Clone(e.val)
	}
	c, err := fn(old)
	if err != nil {
		return err
	}
	switch c.Kind {
	case flows.KeepIt:
	case flows.SetIt:
		v.put(key, c.Val, c.TTL, c.Index)
	case flows.RemoveIt:
		delete(v.entries, key)
		v.writes++
	}
	return nil
}

// Members lists living keys of an index in order.
func (v *Vault) Members(ctx context.Context, index, after string, n int) ([]string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.usable(ctx); err != nil {
		return nil, err
	}
	var keys []string
	for k := range v.entries {
		if e, ok := v.living(k); ok && k > after && slices.Contains(e.index, index) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys[:min(n, len(keys))], nil
}

func (v *Vault) usable(ctx context.Context) error {
	if v.down {
		return flows.ErrUnavailable
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", flows.ErrUnavailable, err)
	}
	return nil
}

func (v *Vault) living(key string) (vaultEntry, bool) {
	e, ok := v.entries[key]
	if !ok || (!e.until.IsZero() && !v.now().Before(e.until)) {
		return vaultEntry{}, false
	}
	return e, true
}

func (v *Vault) put(key string, val []byte, ttl time.Duration, index []string) {
	e := vaultEntry{val: append([]byte{}, val...), index: slices.Clone(index)}
	if ttl > 0 {
		e.until = v.now().Add(ttl)
	}
	v.entries[key] = e
	v.writes++
}

var _ flows.Vault = (*Vault)(nil)
