package saml

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/adapters/internal/patience"
	"github.com/sallyport-gateway/sallyport/flows"
)

// sources survive reloads: the last good metadata, by where it comes from and
// our own name there.
var sources = caddy.NewUsagePool()

const (
	firstRetry  = time.Second      // after the first failed try
	lastRetry   = time.Minute      // the longest wait between two tries
	metadataAge = time.Hour        // a good document is looked at again after this, unless it says
	shortestAge = time.Minute      // whatever it says
	longestAge  = 24 * time.Hour   // whatever it says
	documentMax = 10 * time.Second // one try
	pinnedFor   = 100 * 365 * 24 * time.Hour
)

// source is one provider's published state. It implements caddy.Destructor.
type source struct {
	place string // a URL or a file

	mu       sync.Mutex
	client   *http.Client
	now      func() time.Time
	vault    flows.Vault
	was      []string // entityIDs it may have had before
	good     *idp
	at       time.Time // when good was read from its place; zero: it came from the store
	restored bool      // the store was asked
	tried    time.Time
	failed   time.Time // when the first try began of those that failed in a row; zero: the newest did not
	seen     stamp     // of the file that was read last
	err      error     // of the newest try; nil when it went well
	flight   *flight
}

// flight is one running try that everyone waits for.
type flight struct {
	done chan struct{}
	err  error
}

var errNotAsked = errors.New("metadata was not asked for yet")

func (s *SAML) acquire() error {
	key := s.source + "\x00" + s.entity
	v, _, err := sources.LoadOrNew(key, func() (caddy.Destructor, error) {
		return &source{place: s.source, err: errNotAsked}, nil
	})
	if err != nil {
		return err
	}
	s.src, s.held = v.(*source), key
	return nil
}

func (s *SAML) release() error {
	if s.held == "" {
		return nil
	}
	key := s.held
	s.held = ""
	_, err := sources.Delete(key)
	return err
}

// Destruct has nothing to close.
func (s *source) Destruct() error { return nil }

// lend gives the newest configuration's client, clock and vault to the shared state.
func (s *source) lend(c *http.Client, now func() time.Time, v flows.Vault, was []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.client, s.now, s.vault, s.was = c, now, v, was
}

// last is the last good metadata; nil when there never was any, or when it was
// good only until before now.
func (s *source) last() *idp {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.good == nil || s.good.expired(s.now()) {
		return nil
	}
	return s.good
}

// health is the error of the newest try, or that its result expired since.
func (s *source) health() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil && s.good != nil && s.good.expired(s.now()) {
		return fmt.Errorf("metadata of %s was valid until %s", s.good.EntityID, s.good.ValidUntil.UTC().Format(time.RFC3339))
	}
	return s.err
}

// discover reads the document once for all who wait. ctx bounds the wait, not the
// work: one browser that goes away must not fail the others.
func (s *source) discover(ctx context.Context) error {
	s.mu.Lock()
	f := s.flight
	if f == nil && s.good != nil && s.err == nil && !s.at.IsZero() && s.now().Sub(s.at) < time.Second && !s.changed() {
		s.mu.Unlock()
		return nil // a flight landed between the caller's look and this one
	}
	if f == nil {
		f = &flight{done: make(chan struct{})}
		s.flight = f
		s.tried = s.now()
		go s.fetch(context.WithoutCancel(ctx), f)
	}
	s.mu.Unlock()
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return fmt.Errorf("metadata from %s: %w", s.place, ctx.Err())
	}
}

func (s *source) fetch(ctx context.Context, f *flight) {
	ctx, cancel := context.WithTimeout(ctx, documentMax)
	defer cancel()
	m, saw, err := s.read(ctx)
	if err == nil {
		err = s.keep(ctx, m)
	}
	if err != nil {
		err = fmt.Errorf("metadata from %s: %w", s.place, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = saw
	if s.err = err; err == nil { // a bad document never replaces a good one
		s.at, s.failed = s.now(), time.Time{}
		if s.good == nil || !s.good.says(m) { // who looks for news finds the old one
			s.good = m
		}
	} else if s.failed.IsZero() {
		s.failed = s.tried
	}
	f.err, s.flight = err, nil
	close(f.done)
}

// peer answers the last good metadata at once. Without any a login waits for it.
func (s *SAML) peer(ctx context.Context) (*idp, error) {
	s.keepWarm()
	if err := s.src.restore(ctx); err != nil && s.src.last() == nil {
		return nil, flows.Refuse(flows.ReasonStoreDown, fmt.Errorf("reading kept metadata: %w", err))
	}
	s.src.lookAgain(ctx)
	if m := s.src.last(); m != nil {
		return m, nil
	}
	if err := patience.Wait(ctx, s.src.tries, s.src.discover, s.pause); err != nil {
		return nil, unavailable(err)
	}
	if m := s.src.last(); m != nil {
		return m, nil
	}
	return nil, unavailable(s.src.health())
}

// unavailable is why there is nobody to ask.
func unavailable(err error) error {
	var r *flows.Refusal
	switch {
	case errors.As(err, &r):
		return flows.Refuse(r.Reason, err)
	case errors.Is(err, flows.ErrUnavailable):
		return flows.Refuse(flows.ReasonStoreDown, err)
	}
	return flows.Refuse(flows.ReasonProviderDown, err)
}

// lookAgain reads a file anew that changed; one that is no good leaves the last
// good one in its place.
func (s *source) lookAgain(ctx context.Context) {
	s.mu.Lock()
	changed := s.good != nil && s.changed()
	s.mu.Unlock()
	if changed && s.tries().JustFailed() == nil {
		_ = s.discover(ctx) // Health and the log tell
	}
}

// tries is how reading the metadata went until now.
func (s *source) tries() patience.Tries {
	s.mu.Lock()
	defer s.mu.Unlock()
	return patience.Look(s.now(), s.tried, s.failed, s.flight != nil, s.err)
}

// again looks for metadata newer than m, for a signature by a key that m does
// not know: keys are rolled over between two looks. It asks at most once a
// minute, because anybody can send such a signature, and answers nil if there is
// nothing newer.
func (s *SAML) again(ctx context.Context, m *idp) *idp {
	if newer := s.src.last(); newer != nil && newer != m {
		return newer
	}
	s.src.mu.Lock()
	soon := !s.src.tried.IsZero() && s.src.now().Sub(s.src.tried) < time.Minute
	s.src.mu.Unlock()
	if soon {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience.Login)
	defer cancel()
	if s.src.discover(ctx) != nil {
		return nil
	}
	if newer := s.src.last(); newer != m {
		return newer
	}
	return nil
}

// Health answers nil when the newest look at the metadata went well.
func (s *SAML) Health() error { return s.src.health() }
