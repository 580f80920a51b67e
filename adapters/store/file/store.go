package file

import (
	"context"
	"fmt"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// Get answers a copy of a living entry.
func (s *Store) Get(ctx context.Context, key string) (val []byte, err error) {
	found := false
	err = s.read(ctx, key, func(b buckets) error {
		e, err := b.get(key)
		if e != nil {
			val, found = clone(e.val), true
		}
		return err
	})
	if err == nil && !found {
		err = flows.ErrNotFound
	}
	return val, err
}

// Create writes only if there is nothing. A ttl of 0 keeps the entry for ever.
func (s *Store) Create(ctx context.Context, key string, val []byte, ttl time.Duration, index ...string) error {
	c := flows.Set(val, ttl, index...)
	if err := check(key, c); err != nil {
		return err
	}
	exists := false
	err := s.write(ctx, key, func(b buckets) error {
		e, err := b.get(key)
		if exists = e != nil; err != nil || exists {
			return err
		}
		return b.apply(key, c)
	})
	if err == nil && exists {
		err = flows.ErrExists
	}
	return err
}

// Update changes an entry; nobody else changes it meanwhile.
func (s *Store) Update(ctx context.Context, key string, fn func(old []byte) (flows.Change, error)) error {
	var refused error // fn's own, or of what it answered
	var panicked any
	err := s.write(ctx, key, func(b buckets) error {
		e, err := b.get(key)
		if err != nil {
			return err
		}
		var old []byte
		if e != nil {
			old = clone(e.val)
		}
		var c flows.Change
		if c, panicked, refused = call(fn, old); refused != nil || panicked != nil {
			return nil
		}
		if refused = check(key, c); refused != nil {
			return nil
		}
		return b.apply(key, c)
	})
	if panicked != nil {
		panic(panicked) // the caller's own, on the caller's goroutine
	}
	if err == nil {
		err = refused
	}
	return err
}

// call runs the caller's function apart, so that its panic neither ends the
// writer nor is taken for a broken file.
func call(fn func([]byte) (flows.Change, error), old []byte) (c flows.Change, panicked any, err error) {
	defer func() { panicked = recover() }()
	c, err = fn(old)
	return c, nil, err
}

// Members lists living keys of an index in byte order.
func (s *Store) Members(ctx context.Context, index, after string, n int) (keys []string, err error) {
	err = s.read(ctx, index, func(b buckets) error {
		keys = b.members(index, after, n)
		return nil
	})
	return keys, err
}

// Watch waits for ctx: bbolt's lock means that only this process changes the file.
func (s *Store) Watch(ctx context.Context, _ func(keys []string, gap bool)) error {
	<-ctx.Done()
	return ctx.Err()
}

func (s *Store) read(ctx context.Context, key string, fn func(buckets) error) error {
	if s.db == nil {
		return fmt.Errorf("store file: %w: not provisioned", flows.ErrUnavailable)
	}
	if err := checkName(key); err != nil {
		return err
	}
	return s.db.view(ctx, fn)
}

func (s *Store) write(ctx context.Context, key string, fn func(buckets) error) error {
	if s.db == nil {
		return fmt.Errorf("store file: %w: not provisioned", flows.ErrUnavailable)
	}
	if err := checkName(key); err != nil {
		return err
	}
	return s.db.write(ctx, fn)
}
