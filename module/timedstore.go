package module

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport-gateway/sallyport/flows"
)

// timedStore measures the store. What is answered from the cache never gets
// here, so a cached request pays nothing for it.
type timedStore struct {
	flows.Store
	seconds *prometheus.HistogramVec
}

func (s timedStore) Get(ctx context.Context, key string) ([]byte, error) {
	if t := thinks(ctx); t != nil && t.offline {
		return nil, flows.ErrNotFound
	}
	begin := time.Now()
	b, err := s.Store.Get(ctx, key)
	s.took("get", begin, err)
	return b, err
}

func (s timedStore) Create(ctx context.Context, key string, val []byte, ttl time.Duration, index ...string) error {
	if thinks(ctx) != nil {
		return errThinking
	}
	begin := time.Now()
	err := s.Store.Create(ctx, key, val, ttl, index...)
	s.took("create", begin, err)
	return err
}

func (s timedStore) Update(ctx context.Context, key string, fn func(old []byte) (flows.Change, error)) error {
	if thinks(ctx) != nil {
		return errThinking
	}
	begin := time.Now()
	var refused error
	err := s.Store.Update(ctx, key, func(old []byte) (flows.Change, error) {
		var c flows.Change
		c, refused = fn(old)
		return c, refused
	})
	if refused != nil && errors.Is(err, refused) { // the caller's own no: the store did its work
		s.took("update", begin, nil)
	} else {
		s.took("update", begin, err)
	}
	return err
}

func (s timedStore) Members(ctx context.Context, index, after string, n int) ([]string, error) {
	if t := thinks(ctx); t != nil && t.offline {
		return nil, nil
	}
	begin := time.Now()
	keys, err := s.Store.Members(ctx, index, after, n)
	s.took("members", begin, err)
	return keys, err
}

// took is by the wall's clock: tests turn the hall's.
func (s timedStore) took(operation string, begin time.Time, err error) {
	outcome := "error"
	switch {
	case err == nil:
		outcome = "ok"
	case errors.Is(err, flows.ErrNotFound):
		outcome = "not_found"
	case errors.Is(err, flows.ErrExists):
		outcome = "exists"
	case errors.Is(err, context.Canceled):
		outcome = "canceled"
	case errors.Is(err, flows.ErrUnavailable):
		outcome = "unavailable"
	}
	s.seconds.WithLabelValues(operation, outcome).Observe(time.Since(begin).Seconds())
}
