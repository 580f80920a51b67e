package module

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// triesFor outlasts every window and wait; what is locked stays so for that long.
const triesFor = 30 * 24 * time.Hour

func triesName(user flows.UserKey, factor string) string {
	return "tries\x00" + string(user) + "\x00" + factor
}

// Reserve counts one try where all nodes see it.
func (e enrolments) Reserve(ctx context.Context, user flows.UserKey, factor string) (wait time.Duration, err error) {
	now := Now()
	err = e.vault().Update(ctx, triesName(user, factor), func(old []byte) (flows.Change, error) {
		var t flows.Tally
		if old != nil {
			if err := json.Unmarshal(old, &t); err != nil {
				return flows.Keep(), err
			}
		}
		if t, wait = t.Reserve(flows.LimitFactor, now); wait > 0 {
			return flows.Keep(), nil
		}
		b, err := json.Marshal(t)
		return flows.Set(b, triesFor), err
	})
	return wait, err
}

// Proved forgets the counted tries.
func (e enrolments) Proved(ctx context.Context, user flows.UserKey, factor string) error {
	return e.vault().Update(ctx, triesName(user, factor), func(old []byte) (flows.Change, error) {
		if old == nil {
			return flows.Keep(), nil
		}
		return flows.Remove(), nil
	})
}

// lockedUntil is when a tally lets the next try through; zero: now.
func lockedUntil(t flows.Tally) time.Time {
	now := Now()
	switch {
	case t.Total >= flows.MaxTries:
		return t.Last.Add(triesFor).UTC()
	case t.Until.After(now):
		return t.Until.UTC()
	}
	return time.Time{}
}

func (a *App) triesAt(ctx context.Context, user flows.UserKey, factor string) (t flows.Tally, err error) {
	b, err := a.factorVault().Get(ctx, triesName(user, factor))
	if errors.Is(err, flows.ErrNotFound) {
		return t, nil
	}
	if err != nil {
		return t, err
	}
	return t, json.Unmarshal(b, &t)
}
