// Package memory keeps sessions in the memory of this process: they survive a
// reload of the config, not a restart, and no other node sees them.
package memory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() { caddy.RegisterModule(new(Store)) }

// Store keeps everything in memory. All configs of one process that name it
// share one table, so that a reload logs nobody out.
type Store struct {
	table *table
	held  bool   // whether this config counts in the pool
	key   string // of the pool; tests use their own
}

// pool keeps the table while any config uses it.
var pool = caddy.NewUsagePool()

// CaddyModule returns the Caddy module information.
func (*Store) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.stores.memory", New: func() caddy.Module { return new(Store) }}
}

// Provision takes the table over from the config before, or makes one.
func (s *Store) Provision(caddy.Context) error {
	v, _, err := pool.LoadOrNew(s.key, func() (caddy.Destructor, error) { return newTable(), nil })
	if err != nil {
		return err
	}
	s.table, s.held = v.(*table), true
	return nil
}

// Cleanup lets go of the table. What is still running on this config keeps it until it is done.
func (s *Store) Cleanup() error {
	if !s.held {
		return nil
	}
	s.held = false // s.table stays: requests of this config may outlive it
	_, err := pool.Delete(s.key)
	return err
}

// SetClock tells the time. The hall calls it after loading, before use.
func (s *Store) SetClock(now func() time.Time) {
	if s.table != nil && now != nil {
		s.table.setClock(now)
	}
}

// Get answers a copy of a living entry.
func (s *Store) Get(ctx context.Context, key string) ([]byte, error) {
	now, err := s.ready(ctx)
	if err != nil {
		return nil, err
	}
	return s.table.get(key, now)
}

// Create writes only if there is nothing. A ttl of 0 keeps the entry for ever.
func (s *Store) Create(ctx context.Context, key string, val []byte, ttl time.Duration, index ...string) error {
	now, err := s.ready(ctx)
	if err != nil {
		return err
	}
	return s.table.create(key, flows.Set(val, ttl, index...), now)
}

// Update changes an entry; nobody else changes it meanwhile.
func (s *Store) Update(ctx context.Context, key string, fn func(old []byte) (flows.Change, error)) error {
	now, err := s.ready(ctx)
	if err != nil {
		return err
	}
	return s.table.update(key, fn, now)
}

// Members lists living keys of an index in byte order.
func (s *Store) Members(ctx context.Context, index, after string, n int) ([]string, error) {
	now, err := s.ready(ctx)
	if err != nil {
		return nil, err
	}
	return s.table.members(index, after, n, now), nil
}

// Watch waits for ctx: only this process changes what it keeps.
func (s *Store) Watch(ctx context.Context, _ func(keys []string, gap bool)) error {
	<-ctx.Done()
	return ctx.Err()
}

// ready answers the time. Without a table or a clock nothing is answered: an
// entry that lived for ever would be worse than none.
func (s *Store) ready(ctx context.Context) (time.Time, error) {
	if err := ctx.Err(); err != nil {
		return time.Time{}, fmt.Errorf("store memory: %w: %w", flows.ErrUnavailable, err)
	}
	if s.table == nil {
		return time.Time{}, fmt.Errorf("store memory: %w: not provisioned", flows.ErrUnavailable)
	}
	return s.table.time()
}

var errTTL = errors.New("store memory: negative ttl")

// UnmarshalCaddyfile sets up the store from Caddyfile tokens. Syntax:
//
//	store memory
func (s *Store) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	if d.NextArg() {
		return d.Errf("store memory takes no arguments, found '%s'", d.Val())
	}
	if d.NextBlock(d.Nesting()) {
		return d.Errf("store memory has no options, found '%s'", d.Val())
	}
	return nil
}

// Interface guards
var (
	_ flows.Store           = (*Store)(nil)
	_ caddy.Provisioner     = (*Store)(nil)
	_ caddy.CleanerUpper    = (*Store)(nil)
	_ caddyfile.Unmarshaler = (*Store)(nil)
)
