// Package file appends the audit trail to a file, one JSON object a line.
package file

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows/audit"
)

func init() { caddy.RegisterModule(new(Sink)) }

// Sink appends every event to a file. The file is opened at the first event,
// and anew when it was moved or removed, so logrotate needs no signal.
type Sink struct {
	// The file; created with mode 0600, its directory with 0700. Placeholders are
	// resolved when the config is loaded.
	Path string `json:"path"`
	// Whether an entry is on disk (fsync) before what it grants takes effect.
	// Entries that arrive together share one fsync. Default: true.
	Sync *bool `json:"sync,omitempty"`

	out  *appender
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
func (s *Sink) Provision(caddy.Context) error {
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
	v, _, err := pool.LoadOrNew(path, func() (caddy.Destructor, error) { return &appender{path: path}, nil })
	if err != nil {
		return err
	}
	s.out, s.path, s.held = v.(*appender), path, true
	return nil
}

// Validate refuses a path that is a directory.
func (s *Sink) Validate() error {
	if info, err := os.Stat(s.path); err == nil && info.IsDir() {
		return fmt.Errorf("audit file: path %s is a directory", s.path)
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
	if err := s.out.append(ctx, line, s.Sync == nil || *s.Sync); err != nil {
		return fmt.Errorf("audit file: %w", err)
	}
	return nil
}

// UnmarshalCaddyfile sets up the sink from Caddyfile tokens. Syntax:
//
//	audit file <path> {
//	    sync on|off
//	}
func (s *Sink) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	if !d.AllArgs(&s.Path) {
		return d.Err("audit file takes exactly one path")
	}
	if s.Path == "" {
		return d.Err("audit file: the path is empty")
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "sync":
			if s.Sync != nil {
				return d.Err("audit file: sync is written twice")
			}
			var word string
			if !d.AllArgs(&word) || (word != "on" && word != "off") {
				return d.Err("audit file: sync is on or off")
			}
			on := word == "on"
			s.Sync = &on
		default:
			return d.Errf("audit file has no option '%s'; there is: sync", d.Val())
		}
		if d.NextBlock(nesting + 1) {
			return d.Errf("audit file: sync has no options, found '%s'", d.Val())
		}
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
