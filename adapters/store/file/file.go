// Package file keeps sessions in one bbolt file: they survive reload, restart
// and a killed process. One process at a time may have the file open.
package file

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/adapters/internal/place"
	"github.com/sallyport-gateway/sallyport/flows"
)

func init() { caddy.RegisterModule(new(Store)) }

// Store keeps everything in one file, opened at first use. All configs of one
// process that name the same path share the open file.
type Store struct {
	// The file; created with mode 0600, its directory with 0700, when first used.
	// Placeholders are resolved when the config is loaded. Default:
	// `sallyport.db` in Caddy's data directory.
	Path string `json:"path,omitempty"`

	db   *handle
	path string // resolved; the key in the pool
	held bool   // whether this config counts in the pool
}

// pool keeps a file open while any config uses it: a reload provisions the new
// config while the old one still serves, and bbolt locks the file exclusively.
var pool = caddy.NewUsagePool()

// CaddyModule returns the Caddy module information.
func (*Store) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.stores.file", New: func() caddy.Module { return new(Store) }}
}

// Provision resolves the path. It opens nothing: `validate` runs beside a live server (I17).
func (s *Store) Provision(caddy.Context) error {
	path := filepath.Join(caddy.AppDataDir(), "sallyport.db")
	if s.Path != "" {
		var err error
		if path, err = caddy.NewReplacer().ReplaceOrErr(s.Path, true, true); err != nil {
			return fmt.Errorf("store file: path: %w", err)
		}
		if path == "" {
			return fmt.Errorf("store file: path %s is empty", s.Path)
		}
	}
	if strings.HasSuffix(path, string(filepath.Separator)) {
		return fmt.Errorf("store file: path %s names a directory, not a file", path)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("store file: path: %w", err)
	}
	v, _, err := pool.LoadOrNew(path, func() (caddy.Destructor, error) { return newHandle(path), nil })
	if err != nil {
		return err
	}
	s.db, s.path, s.held = v.(*handle), path, true
	return nil
}

// Validate refuses a path that can never be our file.
func (s *Store) Validate() error {
	if info, err := os.Stat(s.path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("store file: path %s is no regular file", s.path)
	}
	if err := place.Check(s.path); err != nil {
		return fmt.Errorf("store file: %w", err)
	}
	return nil
}

// Cleanup lets go of the file; the last one closes it.
func (s *Store) Cleanup() error {
	if !s.held {
		return nil
	}
	s.held = false
	_, err := pool.Delete(s.path)
	return err
}

// Retain keeps the file open beyond Cleanup, until release is called: the hall
// holds it for requests in flight of a config that was replaced (I17).
func (s *Store) Retain() (release func()) {
	path, db := s.path, s.db
	if _, _, err := pool.LoadOrNew(path, func() (caddy.Destructor, error) { return db, nil }); err != nil {
		return func() {}
	}
	return sync.OnceFunc(func() { _, _ = pool.Delete(path) })
}

// SetClock tells the time. The hall calls it after loading, before use.
func (s *Store) SetClock(now func() time.Time) {
	if s.db != nil && now != nil {
		s.db.now.Store(&now)
	}
}

// UnmarshalCaddyfile sets up the store from Caddyfile tokens. Syntax:
//
//	store file [<path>]
func (s *Store) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	if d.NextArg() {
		if s.Path = d.Val(); s.Path == "" {
			return d.Err("store file: the path is empty")
		}
	}
	if d.NextArg() {
		return d.Errf("store file takes one path, found '%s' behind it", d.Val())
	}
	if d.NextBlock(d.Nesting()) {
		return d.Errf("store file has no options, found '%s'; the path stands on the line itself", d.Val())
	}
	return nil
}

// Interface guards
var (
	_ flows.Store           = (*Store)(nil)
	_ caddy.Provisioner     = (*Store)(nil)
	_ caddy.Validator       = (*Store)(nil)
	_ caddy.CleanerUpper    = (*Store)(nil)
	_ caddyfile.Unmarshaler = (*Store)(nil)
)
