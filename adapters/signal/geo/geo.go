// Package geo is the signal that knows where addresses are, by databases in MaxMind's
// format, and finds places unusual.
package geo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/adapters/internal/watched"
	"github.com/sallyport-gateway/sallyport/flows"
)

func init() {
	caddy.RegisterModule(new(Signal))
}

// Signal says whether people come from a usual country. Conditions read geo.country,
// geo.city and geo.asn from what it knows, whether a risk step reads it or not.
type Signal struct {
	// The files, in MaxMind's format with MaxMind's fields: country, city, ASN. Each thing
	// is taken from the first that knows it. They are read again when they changed.
	Databases []string `json:"databases"`
	// Countries (ISO 3166-1: FR) that people come from: others score 100, these 0. Default:
	// the countries that each person signed in from before are theirs.
	Usual []string `json:"usual,omitempty"`
	// Countries and networks (AS64496) that score 100, whoever it is.
	Risky []string `json:"risky,omitempty"`
	flows.SignalOptions

	held  []string // paths of databases, in the pool
	all   []*database
	asns  []uint
	files []*watched.File
	log   *zap.Logger
}

// CaddyModule returns the Caddy module information.
func (*Signal) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.signals.geo", New: func() caddy.Module { return new(Signal) }}
}

// Provision opens the databases; those that the config before had stay in memory.
func (s *Signal) Provision(ctx caddy.Context) error {
	if err := s.check(); err != nil {
		return err
	}
	s.log = ctx.Logger()
	for _, path := range s.Databases {
		db, key, err := borrow(path)
		if err != nil {
			return fmt.Errorf("database: %w", err)
		}
		s.held, s.all, s.files = append(s.held, key), append(s.all, db), append(s.files, db.file)
	}
	for _, r := range s.Risky {
		if n, ok := asn(r); ok {
			s.asns = append(s.asns, n)
		}
	}
	return nil
}

var country = regexp.MustCompile(`^[A-Z]{2}$`)

func asn(text string) (uint, bool) {
	digits, ok := strings.CutPrefix(text, "AS")
	n, err := strconv.ParseUint(digits, 10, 32)
	return uint(n), ok && err == nil && n > 0
}

func (s *Signal) check() error {
	if len(s.Databases) == 0 {
		return errors.New("geo needs a database, such as: database /var/lib/GeoIP/GeoLite2-City.mmdb")
	}
	for _, c := range s.Usual {
		if !country.MatchString(c) {
			return fmt.Errorf("usual '%s' is no country such as FR", c)
		}
	}
	for _, r := range s.Risky {
		if _, ok := asn(r); !ok && !country.MatchString(r) {
			return fmt.Errorf("risky '%s' is neither a country such as FR nor a network such as AS64496", r)
		}
		if slices.Contains(s.Usual, r) {
			return fmt.Errorf("%s cannot be usual and risky", r)
		}
	}
	return nil
}

// Cleanup lets go of the databases.
func (s *Signal) Cleanup() error {
	for _, key := range s.held {
		_, _ = pool.Delete(key)
	}
	s.held = nil
	return nil
}

// Warm reads databases again that changed, until ctx ends.
func (s *Signal) Warm(ctx context.Context) {
	watched.Keep(ctx, s.files, func(path string, err error) {
		if err != nil {
			s.log.Error("a database of places is not usable, the old one stays", zap.String("file", path), zap.Error(err))
			return
		}
		s.log.Info("read a database of places again", zap.String("file", path))
	})
}

// Locate puts together what the databases know of an address.
func (s *Signal) Locate(ip string) (p flows.Place, known bool) {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return p, false
	}
	a = a.Unmap().WithZone("")
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return p, false
	}
	for _, db := range s.all {
		p.Fill(db.place(a))
	}
	return p, p != flows.Place{}
}

// of is the place of a request.
func (s *Signal) of(f *flows.Facts) (flows.Place, bool) {
	if f.Request == nil {
		return flows.Place{}, false
	}
	return s.Locate(f.Request.IP)
}

// Read compares the country with the configured ones, or with those of the person.
func (s *Signal) Read(_ context.Context, f *flows.Facts, learned json.RawMessage) (flows.Reading, error) {
	p, known := s.of(f)
	switch {
	case known && s.isRisky(p):
		return flows.Reading{Score: 100, Reason: flows.ReasonRiskyPlace, Text: where(p)}, nil
	case p.Country == "":
		return flows.UnknownReading("the country of the address is not known"), nil
	case len(s.Usual) > 0 && !slices.Contains(s.Usual, p.Country):
		return flows.Reading{Score: 100, Reason: flows.ReasonUnusualCountry, Text: where(p)}, nil
	case len(s.Usual) > 0:
		return flows.Reading{Text: where(p)}, nil
	}
	seen, err := read(learned)
	switch {
	case err != nil:
		return flows.Reading{}, err
	case f.User == nil || len(seen) == 0:
		return flows.UnknownReading("no country of this person is known yet"), nil
	case !seen.has(p.Country, f.Now):
		return flows.Reading{Score: 100, Reason: flows.ReasonNewCountry, Text: where(p)}, nil
	}
	return flows.Reading{Text: where(p)}, nil
}

func (s *Signal) isRisky(p flows.Place) bool {
	return p.Country != "" && slices.Contains(s.Risky, p.Country) || p.ASN != 0 && slices.Contains(s.asns, p.ASN)
}

// where is for the trail.
func where(p flows.Place) string {
	if p.ASN == 0 {
		return p.Country
	}
	return strings.TrimSpace(p.Country + " AS" + strconv.FormatUint(uint64(p.ASN), 10))
}

// UnmarshalCaddyfile sets up the signal from Caddyfile tokens. Syntax:
//
//	geo {
//	    database <file>...
//	    usual    <country>...
//	    risky    <country|AS...>...
//	}
func (s *Signal) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the name of the module
	if d.NextArg() {
		return d.Errf("geo takes no argument, but got '%s'", d.Val())
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word, args := d.Val(), d.RemainingArgs()
		if len(args) == 0 {
			return d.ArgErr()
		}
		switch word {
		case "database":
			s.Databases = append(s.Databases, args...)
		case "usual":
			s.Usual = append(s.Usual, args...)
		case "risky":
			s.Risky = append(s.Risky, args...)
		default:
			return d.Errf("geo has no option '%s'; there are: database, risky, usual", word)
		}
	}
	if err := s.check(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner     = (*Signal)(nil)
	_ caddy.CleanerUpper    = (*Signal)(nil)
	_ caddyfile.Unmarshaler = (*Signal)(nil)
	_ flows.Learner         = (*Signal)(nil)
	_ flows.Locator         = (*Signal)(nil)
)
