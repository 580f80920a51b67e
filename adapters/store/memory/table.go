package memory

import (
	"container/heap"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// sweepStep is how many expired entries one write removes at most. Two would
// keep up with any load; more makes the table shrink soon after a burst.
const sweepStep = 8

// table is the shared state. Expired entries are removed by later writes, a
// few at a time, so that no goroutine has to be ended.
type table struct {
	mu      sync.RWMutex
	now     func() time.Time
	entries map[string]*entry
	indexes map[string]*members
	dying   deadlines
}

type entry struct {
	key   string
	val   []byte
	index []string
	until time.Time // zero: for ever
	slot  int       // in dying; -1: not there
}

func newTable() *table {
	return &table{entries: map[string]*entry{}, indexes: map[string]*members{}}
}

// Destruct does nothing: the garbage collector takes the table once the last
// request that uses it is done. It only makes the table a value of the pool.
func (t *table) Destruct() error { return nil }

func (t *table) setClock(now func() time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now = now
}

func (t *table) time() (time.Time, error) {
	t.mu.RLock()
	now := t.now
	t.mu.RUnlock()
	if now == nil {
		return time.Time{}, fmt.Errorf("store memory: %w: no clock was set", flows.ErrUnavailable)
	}
	return now(), nil
}

func (t *table) get(key string, now time.Time) ([]byte, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	e := t.living(key, now)
	if e == nil {
		return nil, flows.ErrNotFound
	}
	return clone(e.val), nil
}

func (t *table) create(key string, c flows.Change, now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.living(key, now) != nil {
		return flows.ErrExists
	}
	return t.apply(key, c, now)
}

func (t *table) update(key string, fn func(old []byte) (flows.Change, error), now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock() // deferred: fn is the caller's and may panic
	var old []byte
	if e := t.living(key, now); e != nil {
		old = clone(e.val)
	}
	c, err := fn(old)
	if err != nil {
		return err
	}
	return t.apply(key, c, now)
}

func (t *table) members(index, after string, n int, now time.Time) []string {
	t.mu.Lock() // not RLock: listing may sort the index
	defer t.mu.Unlock()
	m := t.indexes[index]
	if m == nil || n <= 0 {
		return nil
	}
	var out []string
	for _, key := range m.behind(after) {
		if t.living(key, now) != nil {
			out = append(out, key)
		}
		if len(out) == n {
			break
		}
	}
	return out
}

// living is the entry of a key if its time has not passed.
func (t *table) living(key string, now time.Time) *entry {
	e := t.entries[key]
	if e == nil || e.expired(now) {
		return nil
	}
	return e
}

func (e *entry) expired(now time.Time) bool { return !e.until.IsZero() && !now.Before(e.until) }

func (t *table) apply(key string, c flows.Change, now time.Time) error {
	switch c.Kind {
	case flows.KeepIt:
		return nil
	case flows.SetIt:
		if c.TTL < 0 {
			return errTTL
		}
		t.remove(key)
		t.put(key, c, now)
	case flows.RemoveIt:
		t.remove(key)
	default:
		return fmt.Errorf("store memory: unknown change %d", c.Kind)
	}
	for range sweepStep {
		if len(t.dying) == 0 || !t.dying[0].expired(now) {
			break
		}
		t.remove(t.dying[0].key)
	}
	return nil
}

func (t *table) put(key string, c flows.Change, now time.Time) {
	e := &entry{key: key, val: clone(c.Val), index: slices.Clone(c.Index), slot: -1}
	if c.TTL > 0 {
		e.until = now.Add(c.TTL)
		heap.Push(&t.dying, e)
	}
	t.entries[key] = e
	for _, name := range e.index {
		m := t.indexes[name]
		if m == nil {
			m = &members{keys: map[string]struct{}{}}
			t.indexes[name] = m
		}
		m.add(key)
	}
}

func (t *table) remove(key string) {
	e := t.entries[key]
	if e == nil {
		return
	}
	delete(t.entries, key)
	if e.slot >= 0 {
		heap.Remove(&t.dying, e.slot)
	}
	for _, name := range e.index {
		if m := t.indexes[name]; m != nil && m.drop(key) == 0 {
			delete(t.indexes, name)
		}
	}
}

// clone copies; an empty value stays a value and does not become "nothing".
func clone(b []byte) []byte { return append(make([]byte, 0, len(b)), b...) }
