package flows

import (
	"context"
	"time"
)

// Store keeps bytes. Guests are `identity.stores.*`; only the hall holds one.
//
// Every method may be called concurrently. "Not there" is ErrNotFound, "could
// not ask" wraps ErrUnavailable; they are never mixed up (I16). An entry whose
// ttl passed is not there, for every method. A write that returned nil is
// durable to the degree the backend promises before the call returns.
type Store interface {
	Get(ctx context.Context, key string) ([]byte, error)
	// Create writes only if there is nothing: ErrExists otherwise. Atomic over all callers.
	Create(ctx context.Context, key string, val []byte, ttl time.Duration, index ...string) error
	// Update reads, calls fn (old is nil when there is nothing) and writes the
	// change atomically. fn is pure and may run again. fn's error is returned as it is.
	Update(ctx context.Context, key string, fn func(old []byte) (Change, error)) error
	// Members lists up to n keys of an index in order, those behind `after`.
	Members(ctx context.Context, index, after string, n int) ([]string, error)
	// Watch calls fn with keys that others changed; gap means some were missed:
	// flush what you cached. It returns when ctx ends.
	Watch(ctx context.Context, fn func(keys []string, gap bool)) error
}

// ChangeKind says what an Update does.
type ChangeKind int

// The kinds of change.
const (
	KeepIt ChangeKind = iota
	SetIt
	RemoveIt
)

// Change is the answer of an Update callback.
type Change struct {
	Kind  ChangeKind
	Val   []byte
	TTL   time.Duration
	Index []string
}

// Keep leaves the entry as it is, its ttl too.
func Keep() Change { return Change{} }

// Set writes the entry anew with this ttl and exactly these indexes.
func Set(val []byte, ttl time.Duration, index ...string) Change {
	return Change{Kind: SetIt, Val: val, TTL: ttl, Index: index}
}

// Remove deletes the entry.
func Remove() Change { return Change{Kind: RemoveIt} }

// Vault is a guest's own sealed key space: nobody else's keys can be reached
// through it, and what is written is sealed with the cluster key (I27).
type Vault interface {
	Get(ctx context.Context, key string) ([]byte, error)
	Create(ctx context.Context, key string, val []byte, ttl time.Duration, index ...string) error
	Update(ctx context.Context, key string, fn func(old []byte) (Change, error)) error
	Members(ctx context.Context, index, after string, n int) ([]string, error)
}
