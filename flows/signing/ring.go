package signing

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// ring is what is known of one algorithm's keys. It is immutable.
type ring struct {
	keys  []*key // by period
	again time.Time
}

func periodOf(t time.Time) int64 { return t.Unix() / int64(Period/time.Second) }

func startOf(period int64) time.Time { return time.Unix(period*int64(Period/time.Second), 0) }

// signing is the newest key that verifiers had the time to learn of; where none is,
// as at the very beginning, the oldest that is not over.
func (r *ring) signing(now time.Time) *key {
	oldest := r.keys[len(r.keys)-1]
	for i := len(r.keys) - 1; i >= 0; i-- {
		k := r.keys[i]
		if !now.Before(k.over()) {
			break
		}
		if !now.Before(k.begins()) {
			return k
		}
		oldest = k
	}
	return oldest
}

// over is when a key signs nothing any more, whatever became of its successor: so it
// is still published, as the last but one, when its last token ends.
func (k *key) over() time.Time { return startOf(k.period + 2).Add(Lead) }

// begins is when a key takes over from the one before it.
func (k *key) begins() time.Time {
	start, known := startOf(k.period), k.made.Add(Lead)
	if known.After(start) {
		return known
	}
	return start
}

// public are the keys whose tokens may still be good, and those that come.
func (r *ring) public(now time.Time) (out []flows.PublicKey) {
	for i, k := range r.keys {
		if i+1 < len(r.keys) && !now.Before(r.keys[i+1].begins().Add(keep)) {
			continue
		}
		out = append(out, k.PublicKey)
	}
	return out
}

// ring is what is known of an algorithm, asked of the vault when it is time to. If
// the vault cannot answer, what is known goes on being good.
func (k *Keys) ring(ctx context.Context, i int) (*ring, error) {
	now := k.Now()
	if r := k.rings[i].Load(); r.fresh(now) {
		return r, nil
	}
	old := k.rings[i].Load()
	if !k.mu.TryLock() {
		if old != nil && len(old.keys) > 0 {
			return old, nil // somebody else is asking
		}
		k.mu.Lock()
	}
	defer k.mu.Unlock()
	if old = k.rings[i].Load(); old.fresh(now) {
		return old, nil
	}
	r, err := k.load(ctx, flows.SigningAlgorithms[i], k.used[i].Load(), now)
	switch {
	case err == nil:
	case old != nil && len(old.keys) > 0:
		r = &ring{old.keys, now.Add(again)}
	default:
		return nil, fmt.Errorf("keys of %s: %w", flows.SigningAlgorithms[i], err)
	}
	k.rings[i].Store(r)
	return r, nil
}

func (r *ring) fresh(now time.Time) bool { return r != nil && now.Before(r.again) }

// load asks for the keys of the two last periods, the present and, when it is near,
// the next. Those of the past are never made: they signed, if there are any.
func (k *Keys) load(ctx context.Context, algorithm string, used bool, now time.Time) (*ring, error) {
	period := periodOf(now)
	next := startOf(period + 1)
	r := &ring{again: now.Add(again)}
	if used {
		r.again = now.Add(look)
	}
	upTo := period
	if near := next.Add(-Lead); now.Before(near) {
		r.until(near)
	} else {
		r.until(next)
		upTo++
	}
	for p := period - 2; p <= upTo; p++ {
		key, err := k.find(ctx, algorithm, p, now)
		if errors.Is(err, flows.ErrNotFound) && used && p >= period {
			key, err = k.make(ctx, algorithm, p, now)
		}
		if errors.Is(err, flows.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		r.keys = append(r.keys, key)
	}
	return r, nil
}

// until brings the next look forward.
func (r *ring) until(t time.Time) {
	if t.Before(r.again) {
		r.again = t
	}
}

func nameOf(algorithm string, period int64) string { return fmt.Sprintf("%s/%d", algorithm, period) }

// gone is when nothing of a key is needed any more, however late its successor was made.
func gone(period int64) time.Time { return startOf(period + 3) }

// find gets a key. The first time it is sealed anew, so that it outlives the cluster
// key that sealed it (B20).
func (k *Keys) find(ctx context.Context, algorithm string, period int64, now time.Time) (*key, error) {
	name := nameOf(algorithm, period)
	b, err := k.Vault.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	if !k.sealed[name] {
		err := k.Vault.Update(ctx, name, func(old []byte) (flows.Change, error) {
			if old == nil {
				return flows.Keep(), nil
			}
			return flows.Set(old, gone(period).Sub(now)), nil
		})
		if err != nil {
			return nil, err
		}
		k.sealedNow(name)
	}
	return parse(algorithm, period, b)
}

func (k *Keys) sealedNow(name string) {
	if k.sealed == nil {
		k.sealed = map[string]bool{}
	}
	k.sealed[name] = true
}

// make makes a key for all nodes: who comes second takes that of the first.
func (k *Keys) make(ctx context.Context, algorithm string, period int64, now time.Time) (*key, error) {
	b, err := newStored(algorithm, now)
	if err != nil {
		return nil, err
	}
	name := nameOf(algorithm, period)
	switch err := k.Vault.Create(ctx, name, b, gone(period).Sub(now)); {
	case errors.Is(err, flows.ErrExists):
		return k.find(ctx, algorithm, period, now)
	case err != nil:
		return nil, err
	}
	k.sealedNow(name)
	return parse(algorithm, period, b)
}
