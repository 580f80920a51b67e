// Package file appends the audit trail to a file, one JSON object a line.
package file

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/adapters/internal/place"
	"github.com/sallyport-gateway/sallyport/flows/audit"
)

func init() { caddy.RegisterModule(new(Sink)) }

// Sink appends every event to a file. The file is opened at the first event,
// and anew when it was moved or removed, so logrotate needs no signal. Its lines are a
// hash chain that the cluster's key signs; one process writes one file.
type Sink struct {
	audit.SinkOptions

	// The file; created with mode 0600, its directory with 0700. Placeholders are
	// resolved when the config is loaded.
	Path string `json:"path"`
	// Whether an entry is on disk (fsync) before what it grants takes effect.
	// Entries that arrive together share one fsync. Default: true.
	Sync *bool `json:"sync,omitempty"`
	// How many bytes a file has before it is put aside and another begun; default: it
	// is never put aside by size.
	RollSize int64 `json:"roll_size,omitempty"`
	// How old a file gets before it is put aside; default: it is never put aside by age.
	RollInterval caddy.Duration `json:"roll_interval,omitempty"`
	// How many files that were put aside are kept; default: all.
	RollKeep int `json:"roll_keep,omitempty"`
	// How long files that were put aside are kept; default: for ever.
	RollKeepFor caddy.Duration `json:"roll_keep_for,omitempty"`

	out  *appender
	set  settings
	path string // resolved; the key in the pool
	held bool   // whether this config counts in the pool
}

// pool shares one appender by path, so that no two configs tear each other's lines.
var pool = caddy.NewUsagePool()

// CaddyModule returns the Caddy module information.
func (*Sink) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.audit.file", New: func() caddy.Module { return new(Sink) }}
}

// Provision resolves the path. It opens nothing (I17).
func (s *Sink) Provision(ctx caddy.Context) error {
	if s.Path == "" {
		return errors.New("audit file: path is required")
	}
	path, err := caddy.NewReplacer().ReplaceOrErr(s.Path, true, true)
	if err != nil {
		return fmt.Errorf("audit file: path: %w", err)
	}
	if path == "" || strings.HasSuffix(path, string(filepath.Separator)) {
		return fmt.Errorf("audit file: path %s names no file", s.Path)
	}
	if path, err = filepath.Abs(path); err != nil {
		return fmt.Errorf("audit file: path: %w", err)
	}
	s.set.sync = s.Sync == nil || *s.Sync
	s.set.roll = roll{s.RollSize, time.Duration(s.RollInterval), s.RollKeep, time.Duration(s.RollKeepFor)}
	s.set.warn = func(what string, err error) { ctx.Logger().Warn(what, zap.String("path", path), zap.Error(err)) }
	v, _, err := pool.LoadOrNew(path, func() (caddy.Destructor, error) { return &appender{book: book{path: path}}, nil })
	if err != nil {
		return err
	}
	s.out, s.path, s.held = v.(*appender), path, true
	return nil
}

// SetClock gives the sink its time, before the first entry.
func (s *Sink) SetClock(now func() time.Time) { s.set.now = now }

// SetNotary gives the sink who signs its checkpoints.
func (s *Sink) SetNotary(n audit.Notary) { s.set.notary = n }

// Validate refuses a path that can never be our file, and limits that mean nothing.
func (s *Sink) Validate() error {
	r := s.set.roll
	switch {
	case r.size < 0 || r.interval < 0 || r.keep < 0 || r.keepFor < 0:
		return errors.New("audit file: a limit is negative")
	case (r.keep > 0 || r.keepFor > 0) && r.size == 0 && r.interval == 0:
		return errors.New("audit file: roll_keep and roll_keep_for want roll_size or roll_interval: nothing is put aside")
	}
	if err := place.Check(s.path); err != nil {
		return fmt.Errorf("audit file: %w", err)
	}
	return nil
}

// Cleanup lets go of the file; the last one closes it.
func (s *Sink) Cleanup() error {
	if !s.held {
		return nil
	}
	s.held = false
	_, err := pool.Delete(s.path)
	return err
}

// Write returns once the entry is in the file and, unless sync is off, on disk.
func (s *Sink) Write(ctx context.Context, e audit.Event) error {
	if s.out == nil {
		return errors.New("audit file: not provisioned")
	}
	line, err := e.Line()
	if err != nil {
		return err
	}
	if err := s.out.append(ctx, line, &s.set); err != nil {
		return fmt.Errorf("audit file: %w", err)
	}
	return nil
}

// Interface guards
var (
	_ audit.Sink            = (*Sink)(nil)
	_ caddy.Provisioner     = (*Sink)(nil)
	_ caddy.Validator       = (*Sink)(nil)
	_ caddy.CleanerUpper    = (*Sink)(nil)
	_ caddyfile.Unmarshaler = (*Sink)(nil)
)
