package oidc

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/adapters/internal/patience"
)

// Warm keeps the provider's discovery document and keys at hand until ctx or
// this configuration ends: fetched at once, retried after 1 s to 60 s while the
// provider is down, looked at again every hour. The hall runs it beside everything else;
// without it the first login begins it.
func (p *Provider) Warm(ctx context.Context) {
	if p.src == nil || !p.warming.CompareAndSwap(false, true) {
		return
	}
	defer p.warming.Store(false)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.done, cancel)()
	p.keepFresh(ctx, pause)
}

// keepWarm begins Warm when the hall did not.
func (p *Provider) keepWarm() {
	if !p.warming.Load() && p.done != nil && p.done.Err() == nil {
		go p.Warm(p.done)
	}
}

// keepFresh is the loop of Warm; wait answers false when it is over.
func (p *Provider) keepFresh(ctx context.Context, wait func(context.Context, time.Duration, <-chan struct{}) bool) {
	retry := firstRetry
	for {
		next := p.src.untilStale()
		if next <= 0 {
			if err := p.src.discover(ctx); err == nil {
				p.src.keys.Prefetch(ctx)
				retry, next = firstRetry, metadataAge
			} else if ctx.Err() == nil {
				p.log.Warn("provider is not available", zap.String("issuer", p.issuer), zap.Duration("retry_in", retry), zap.Error(err))
				next, retry = retry, min(2*retry, lastRetry)
			}
		}
		if !wait(ctx, next, p.src.poke) {
			return
		}
	}
}

// untilStale is how long the document at hand stays fresh; 0 when it should be fetched.
func (s *source) untilStale() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.good == nil || s.err != nil {
		return 0
	}
	return max(0, metadataAge-s.now().Sub(s.at))
}

// pause waits for d, or less when poked. A poke waits the shortest time, too:
// it must not turn a broken provider into a storm of fetches.
func pause(ctx context.Context, d time.Duration, poke <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	case <-poke:
		return patience.Pause(ctx, min(d, firstRetry))
	}
}
