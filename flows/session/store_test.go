package session_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
	"github.com/sallyport-gateway/sallyport/flows/session"
)

// double is a store in a map. It runs every callback twice, as a store that
// lost a race does, and reports callbacks that answer something else the
// second time (I16). Tests look into it, steal it and switch it off.
type double struct {
	t     testing.TB
	clock *flowstest.Clock
	mu    sync.Mutex
	rows  map[string]row
	// down answers every call, before anything is looked at.
	down error
	// refuse answers single calls: "get c/", by a prefix of operation and key.
	refuse map[string]error
	// before runs ahead of a write, once, outside the lock: somebody was faster.
	before func(key string)
}

type row struct {
	val   []byte
	until time.Time
	index []string
}

func (d *double) fail(op, key string) error {
	if d.down != nil {
		return d.down
	}
	for p, err := range d.refuse {
		if len(p) <= len(op+" "+key) && (op + " " + key)[:len(p)] == p {
			return err
		}
	}
	return nil
}

func (d *double) living(key string) ([]byte, bool) {
	r, ok := d.rows[key]
	if !ok || !r.until.IsZero() && !d.clock.Now().Before(r.until) {
		return nil, false
	}
	return r.val, true
}

func (d *double) Get(_ context.Context, key string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.fail("get", key); err != nil {
		return nil, err
	}
	v, ok := d.living(key)
	if !ok {
		return nil, flows.ErrNotFound
	}
	return bytes.Clone(v), nil
}

func (d *double) ahead(key string) {
	d.mu.Lock()
	f := d.before
	d.mu.Unlock()
	if f != nil {
		f(key)
	}
}

func (d *double) Create(_ context.Context, key string, val []byte, ttl time.Duration, index ...string) error {
	d.ahead(key)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.fail("create", key); err != nil {
		return err
	}
	if _, ok := d.living(key); ok {
		return flows.ErrExists
	}
	return d.put(key, flows.Set(val, ttl, index...))
}

func (d *double) put(key string, c flows.Change) error {
	if c.TTL <= 0 {
		d.t.Errorf("%.2s… is written with a ttl of %s: it would stay for ever", key, c.TTL)
	}
	d.rows[key] = row{bytes.Clone(c.Val), d.clock.Now().Add(c.TTL), slices.Clone(c.Index)}
	return nil
}

func (d *double) Update(_ context.Context, key string, fn func([]byte) (flows.Change, error)) error {
	d.ahead(key)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.fail("update", key); err != nil {
		return err
	}
	old, ok := d.living(key)
	arg := func() []byte {
		if !ok {
			return nil
		}
		return bytes.Clone(old)
	}
	a, errA := fn(arg())
	b, errB := fn(arg())
	if !errors.Is(errA, errB) && !errors.Is(errB, errA) || a.Kind != b.Kind || a.TTL != b.TTL || !slices.Equal(a.Index, b.Index) || len(a.Val) != len(b.Val) {
		d.t.Errorf("the callback of %.2s… is not pure: %v %v %v %d %v, then %v %v %v %d %v", key, a.Kind, a.TTL, a.Index, len(a.Val), errA, b.Kind, b.TTL, b.Index, len(b.Val), errB)
	}
	if errB != nil {
		return errB
	}
	switch b.Kind {
	case flows.KeepIt:
	case flows.SetIt:
		return d.put(key, b)
	case flows.RemoveIt:
		delete(d.rows, key)
	}
	return nil
}

func (d *double) Members(_ context.Context, index, after string, n int) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.fail("members", index); err != nil {
		return nil, err
	}
	var out []string
	for _, k := range slices.Sorted(maps.Keys(d.rows)) {
		if _, ok := d.living(k); ok && k > after && slices.Contains(d.rows[k].index, index) && len(out) < n {
			out = append(out, k)
		}
	}
	return out, nil
}

func (d *double) Watch(ctx context.Context, _ func([]string, bool)) error {
	<-ctx.Done()
	return ctx.Err()
}

// set changes how the double behaves.
func (d *double) set(f func(*double)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f(d)
}

// stolen is everything a thief of the store has: keys, values, indexes.
func (d *double) stolen() map[string]row {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.rows)
}

func (d *double) bytes() []byte {
	var b bytes.Buffer
	for k, r := range d.stolen() {
		fmt.Fprintf(&b, "%s\x00%s\x00%s\n", k, r.val, r.index)
	}
	return b.Bytes()
}

// rig is a manager on a double.
type rig struct {
	*session.Manager
	t     testing.TB
	store *double
	clock *flowstest.Clock
	ring  *session.Keyring
}

func newRig(t testing.TB) *rig {
	t.Helper()
	c := flowstest.NewClock()
	r := &rig{t: t, clock: c, store: &double{t: t, clock: c, rows: map[string]row{}, refuse: map[string]error{}}}
	r.ring = ring(t, "cluster-key-one-0123")
	r.Manager = &session.Manager{Store: r.store, Now: c.Now, Keys: func(context.Context) (*session.Keyring, error) { return r.ring, nil }}
	return r
}

func ring(t testing.TB, secrets ...string) *session.Keyring {
	t.Helper()
	var b [][]byte
	for _, s := range secrets {
		b = append(b, []byte(s))
	}
	k, err := session.NewKeyring(b...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}
