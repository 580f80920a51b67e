// Package network is the signal that finds an address in lists of networks.
package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/adapters/internal/watched"
	"github.com/sallyport-gateway/sallyport/flows"
)

func init() {
	caddy.RegisterModule(new(Signal))
}

// Signal says whether an address is in a list. The network that is written most
// precisely decides; of two that are the same, the risky one.
type Signal struct {
	// Addresses and networks (10.0.0.0/8) that score 0.
	Trusted []string `json:"trusted,omitempty"`
	// Files of such, one in a line, with comments behind # or ;. They are read again when they changed.
	TrustedFiles []string `json:"trusted_files,omitempty"`
	// Addresses and networks that score 100.
	Risky []string `json:"risky,omitempty"`
	// Files of such.
	RiskyFiles []string `json:"risky_files,omitempty"`
	// What scores that is in no list. Default: 100 where there are trusted lists only, else 0.
	Other *int `json:"other,omitempty"`
	flows.SignalOptions

	lists []*list
	other int
	files []*watched.File
	log   *zap.Logger
}

// list is one line or file; what it holds is replaced as a whole.
type list struct {
	risky bool
	table atomic.Pointer[table]
}

// maxFile bounds a file; the longest lists of the Internet have a few MiB.
const maxFile = 64 << 20

// CaddyModule returns the Caddy module information.
func (*Signal) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.signals.network", New: func() caddy.Module { return new(Signal) }}
}

// Provision reads the lists. A file that cannot be read, or holds what is no network,
// is an error.
func (s *Signal) Provision(ctx caddy.Context) error {
	if err := s.check(); err != nil {
		return err
	}
	s.log = ctx.Logger()
	for _, in := range []struct {
		lines, files []string
		risky        bool
	}{{s.Trusted, s.TrustedFiles, false}, {s.Risky, s.RiskyFiles, true}} {
		t, err := tableOf(in.lines)
		if err != nil {
			return err
		}
		l := &list{risky: in.risky}
		l.table.Store(t)
		s.lists = append(s.lists, l)
		for _, path := range in.files {
			if err := s.open(path, in.risky); err != nil {
				return err
			}
		}
	}
	switch {
	case s.Other != nil:
		s.other = *s.Other
	case len(s.Risky)+len(s.RiskyFiles) == 0:
		s.other = 100
	}
	return nil
}

func (s *Signal) open(path string, risky bool) error {
	l := &list{risky: risky}
	f, err := watched.Open(path, maxFile, func(content []byte) error {
		t, err := parse(path, content)
		if err == nil {
			l.table.Store(t)
		}
		return err
	})
	s.lists, s.files = append(s.lists, l), append(s.files, f)
	return err
}

func (s *Signal) check() error {
	if len(s.Trusted)+len(s.TrustedFiles)+len(s.Risky)+len(s.RiskyFiles) == 0 {
		return errors.New("network has no list, such as: trusted 10.0.0.0/8")
	}
	if s.Other != nil && (*s.Other < 0 || *s.Other > 100) {
		return fmt.Errorf("other is a score from 0 to 100, not %d", *s.Other)
	}
	for _, lines := range [][]string{s.Trusted, s.Risky} {
		if _, err := tableOf(lines); err != nil {
			return err
		}
	}
	return nil
}

// Warm reads files again that changed, until ctx ends. A broken one is not taken.
func (s *Signal) Warm(ctx context.Context) {
	watched.Keep(ctx, s.files, func(path string, err error) {
		if err != nil {
			s.log.Error("a list of networks is not usable, the old one stays", zap.String("file", path), zap.Error(err))
			return
		}
		s.log.Info("read a list of networks again", zap.String("file", path))
	})
}

// Read looks the address up.
func (s *Signal) Read(_ context.Context, f *flows.Facts, _ json.RawMessage) (flows.Reading, error) {
	if f.Request == nil {
		return flows.UnknownReading("there is no address"), nil
	}
	a, err := netip.ParseAddr(f.Request.IP)
	if err != nil {
		return flows.UnknownReading("there is no address"), nil
	}
	switch bits, risky := s.find(a.Unmap().WithZone("")); {
	case bits >= 0 && risky:
		return flows.Reading{Score: 100, Reason: flows.ReasonRiskyNetwork}, nil
	case bits >= 0 || s.other == 0:
		return flows.Reading{}, nil
	}
	return flows.Reading{Score: s.other, Reason: flows.ReasonOutsideNetwork}, nil
}

// find answers how precisely the address is in a list, -1: in none, and in which kind.
func (s *Signal) find(a netip.Addr) (bits int, risky bool) {
	bits = -1
	for _, l := range s.lists {
		if n := l.table.Load().find(a); n > bits || n == bits && n >= 0 && l.risky {
			bits, risky = n, l.risky
		}
	}
	return bits, risky
}

// Interface guards
var (
	_ caddy.Provisioner     = (*Signal)(nil)
	_ caddyfile.Unmarshaler = (*Signal)(nil)
	_ flows.Signal          = (*Signal)(nil)
)
