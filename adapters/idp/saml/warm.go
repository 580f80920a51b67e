package saml

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/adapters/internal/patience"
)

// Warm keeps the provider's metadata at hand until ctx or this configuration
// ends: read at once, retried after 1 s to 60 s while it cannot be had, looked at
// again as often as it says, or every hour. The hall runs it beside everything
// else; without it the first login begins it.
func (s *SAML) Warm(ctx context.Context) {
	if s.src == nil || !s.warming.CompareAndSwap(false, true) {
		return
	}
	defer s.warming.Store(false)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.done, cancel)()
	s.keepFresh(ctx, patience.Pause)
}

// keepWarm begins Warm when the hall did not.
func (s *SAML) keepWarm() {
	if !s.warming.Load() && s.done != nil && s.done.Err() == nil {
		go s.Warm(s.done)
	}
}

// keepFresh is the loop of Warm; wait answers false when it is over.
func (s *SAML) keepFresh(ctx context.Context, wait func(context.Context, time.Duration) bool) {
	retry := firstRetry
	_ = s.src.restore(ctx) // a login asks again
	for {
		next := s.src.untilStale()
		if next <= 0 {
			if err := s.src.discover(ctx); err == nil {
				retry, next = firstRetry, s.src.untilStale()
			} else if ctx.Err() == nil {
				what := "provider is not available: its metadata cannot be used"
				if s.src.last() != nil {
					what = "provider's metadata cannot be used; the last good one stays"
				}
				s.log.Warn(what, zap.String("metadata", s.source), zap.Duration("retry_in", retry), zap.Error(err))
				next, retry = retry, min(2*retry, lastRetry)
			}
		}
		if !wait(ctx, max(next, firstRetry)) {
			return
		}
	}
}

// untilStale is how long the metadata at hand stays fresh; 0 when it should be read.
func (s *source) untilStale() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.good == nil || s.err != nil || s.changed() {
		return 0
	}
	if !isURL(s.place) {
		return shortestAge // a look at a file costs nothing
	}
	now := s.now()
	age := metadataAge
	if s.good.Cache > 0 {
		age = min(max(s.good.Cache, shortestAge), longestAge)
	}
	if !s.good.ValidUntil.IsZero() { // well before it ends
		age = min(age, max(shortestAge, s.good.ValidUntil.Sub(s.at)/2))
	}
	return max(0, age-now.Sub(s.at))
}
