// Package patience says how long a login waits for what its provider publishes when
// nothing of it is at hand yet: a few seconds while the provider may only just be
// starting, as we are, and hardly at all once it is known to be down.
package patience

import (
	"context"
	"time"
)

const (
	// Login is how long a login waits.
	Login = 5 * time.Second
	// Down is how long it waits for its one try at a provider that is known to be down.
	Down = 2 * time.Second
	// Known is how long every try must have failed for that.
	Known = 10 * time.Second
	// Pace is the least time between the beginnings of two tries by logins, however
	// many there are: strangers drive no storm against a provider.
	Pace = time.Second
)

// Tries is how trying to fetch something went until now.
type Tries struct {
	// Err is of the newest try; nil: it went well, is under way, or there was none.
	Err error
	// Ago is how long ago that one began.
	Ago time.Duration
	// Failing is how long ago the first began of those that failed in a row.
	Failing time.Duration
}

// Look is how it went until now: tried is when the newest try began, failed when the
// first did of those that failed in a row, err what came of the newest.
func Look(now, tried, failed time.Time, underWay bool, err error) (t Tries) {
	if !underWay && !tried.IsZero() {
		t.Err, t.Ago = err, now.Sub(tried)
	}
	if !failed.IsZero() {
		t.Failing = now.Sub(failed)
	}
	return t
}

// JustFailed is the error of a try that is too young for another one.
func (t Tries) JustFailed() error {
	if t.Ago < Pace {
		return t.Err
	}
	return nil
}

// Wait tries until a try goes well or the time is over, and answers why none did. try
// joins one that is under way, and gives up with its context; pause is Pause, unless a
// test is in a hurry.
func Wait(ctx context.Context, look func() Tries, try func(context.Context) error, pause func(context.Context, time.Duration) bool) error {
	limit, down := Login, look().Failing >= Known
	if down {
		limit = Down
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := look().JustFailed()
		if err == nil {
			err = try(ctx)
		}
		if err == nil || down || !pause(ctx, Pace-look().Ago) {
			return err
		}
	}
}

// Pause waits for d; false when ctx ended before.
func Pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
