// Package velocity is the signal that counts wrong answers: of a person, from an
// address, from a network.
package velocity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() {
	caddy.RegisterModule(new(Signal))
}

// The limits that hold where none is written.
const (
	usualUser, usualAddress, usualNetwork = 5, 10, 50
	usualWindow                           = caddy.Duration(15 * time.Minute)
)

// Signal counts wrong passwords, codes and keys in a sliding window. A count that
// reaches its limit scores 100, half of it 50, and the highest of the three holds. Nodes
// that share a store count together, a few seconds late. What it keeps has a fixed size:
// names and addresses share some of it by chance, and a flood of wrong answers for more
// than 50 000 of them within a window makes everybody look a little worse.
type Signal struct {
	// Wrong answers for one person, whoever gave them; default 5.
	User int `json:"user,omitempty"`
	// Wrong answers from one address (of IPv6: one /64); default 10.
	Address int `json:"address,omitempty"`
	// Wrong answers from one network (/24, of IPv6 /56); default 50.
	Network int `json:"network,omitempty"`
	// How long a wrong answer counts; default 15m.
	Window caddy.Duration `json:"window,omitempty"`
	flows.SignalOptions

	vault flows.Vault
	now   func() time.Time
	log   *zap.Logger

	mu   sync.Mutex
	salt []byte
	// fresh are what this node counted and has not written yet, by page.
	fresh [pages]*page
}

// CaddyModule returns the Caddy module information.
func (*Signal) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.signals.velocity", New: func() caddy.Module { return new(Signal) }}
}

// Provision fills in what is not written.
func (s *Signal) Provision(ctx caddy.Context) error {
	s.log = ctx.Logger()
	for _, l := range []struct {
		n     *int
		usual int
	}{{&s.User, usualUser}, {&s.Address, usualAddress}, {&s.Network, usualNetwork}} {
		if *l.n == 0 {
			*l.n = l.usual
		}
	}
	if s.Window == 0 {
		s.Window = usualWindow
	}
	return s.check()
}

func (s *Signal) check() error {
	for _, n := range []int{s.User, s.Address, s.Network} {
		if n < 0 || n > most {
			return fmt.Errorf("velocity: %d is no number of wrong answers from 1 to %d", n, most)
		}
	}
	if w := time.Duration(s.Window); w != 0 && (w < time.Minute || w > 24*time.Hour) {
		return fmt.Errorf("velocity: window is between 1m and 24h, not %s", w)
	}
	return nil
}

// Bind takes the clock and a place for the counts.
func (s *Signal) Bind(r flows.Registry) error {
	s.now, s.vault = r.Now, r.Vault("counts in "+time.Duration(s.Window).String())
	return nil
}

// counted are the things that a wrong answer counts for, or a person is judged by.
type counted struct {
	names       []string
	ip, network string
}

// folded makes spellings of a name one, as far as that can be told without asking anybody.
func folded(name string) string { return strings.ToLower(strings.TrimSpace(name)) }

func about(names []string, ip string) counted {
	var c counted
	for _, n := range names {
		if n = "u\x00" + folded(n); len(n) > 2 && len(n) <= 1024 && !slices.Contains(c.names, n) {
			c.names = append(c.names, n)
		}
	}
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return c
	}
	a = a.Unmap().WithZone("")
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, _ := a.Prefix(bits)
	c.ip, c.network = "a\x00"+p.String(), "n\x00"+flows.Network(ip)
	return c
}

// Report counts what went wrong. It writes nothing: that is done every few seconds,
// however many there were.
func (s *Signal) Report(ctx context.Context, r *flows.Report) error {
	if r.Granted || !wrong(r.Reason) {
		return nil
	}
	salt, err := s.salted(ctx)
	if err != nil {
		return err
	}
	name := r.Name
	if r.User != "" {
		name = string(r.User)
	}
	c := about([]string{name}, r.IP)
	slot := s.slot(r.Time)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range append(c.names, c.ip, c.network) {
		if key == "" {
			continue
		}
		p, cells := placeOf(salt, key)
		if s.fresh[p] == nil {
			s.fresh[p] = new(page)
		}
		s.fresh[p].turn(slot)
		s.fresh[p].add(cells)
	}
	return nil
}

// wrong reports a guess; what else ends a login says nothing about who tries.
func wrong(r flows.Reason) bool {
	switch r {
	case flows.ReasonBadCredentials, flows.ReasonWrongCode, flows.ReasonKeyRefused, flows.ReasonTooManyTries, flows.ReasonAccountLocked:
		return true
	}
	return false
}

// Read takes the worst of the three.
func (s *Signal) Read(ctx context.Context, f *flows.Facts, _ json.RawMessage) (flows.Reading, error) {
	var c counted
	if f.Request != nil {
		c = about(nil, f.Request.IP)
	}
	if u := f.User; u != nil {
		c.names = about([]string{string(u.Key), u.Name, u.Subject, u.Email}, "").names
	}
	if len(c.names) == 0 && c.ip == "" {
		return flows.UnknownReading("there is neither a person nor an address"), nil
	}
	now := s.now()
	user := 0
	for _, n := range c.names {
		k, err := s.count(ctx, n, now)
		if err != nil {
			return flows.Reading{}, err
		}
		user += k // the same person, spelt in several ways
	}
	address, err := s.count(ctx, c.ip, now)
	if err != nil {
		return flows.Reading{}, err
	}
	network, err := s.count(ctx, c.network, now)
	if err != nil {
		return flows.Reading{}, err
	}
	score := max(share(user, s.User), share(address, s.Address), share(network, s.Network))
	if score == 0 {
		return flows.Reading{}, nil
	}
	return flows.Reading{
		Score: score, Reason: flows.ReasonManyFailures,
		Text: fmt.Sprintf("%d wrong answers for the person, %d from the address, %d from its network", user, address, network),
	}, nil
}

func share(n, limit int) int { return min(100*n/limit, 100) }

// UnmarshalCaddyfile sets up the signal from Caddyfile tokens. Syntax:
//
//	velocity {
//	    user    <wrong answers>
//	    address <wrong answers>
//	    network <wrong answers>
//	    window  <duration>
//	}
func (s *Signal) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the name of the module
	if d.NextArg() {
		return d.Errf("velocity takes no argument, but got '%s'", d.Val())
	}
	limits := map[string]*int{"user": &s.User, "address": &s.Address, "network": &s.Network}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word, args := d.Val(), d.RemainingArgs()
		switch to := limits[word]; {
		case to == nil && word != "window":
			return d.Errf("velocity has no option '%s'; there are: address, network, user, window", word)
		case len(args) != 1:
			return d.ArgErr()
		case to != nil && *to != 0, to == nil && s.Window != 0:
			return d.Errf("%s is written twice", word)
		case to != nil:
			n, err := strconv.Atoi(args[0])
			if err != nil || n < 1 {
				return d.Errf("%s '%s' is no number of wrong answers", word, args[0])
			}
			*to = n
		default:
			w, err := caddy.ParseDuration(args[0])
			if err != nil || w <= 0 {
				return d.Errf("window '%s' is no duration such as 15m", args[0])
			}
			s.Window = caddy.Duration(w)
		}
		if err := s.check(); err != nil {
			return d.WrapErr(err)
		}
	}
	return nil
}

var errDamaged = errors.New("what was counted is damaged")

// Interface guards
var (
	_ caddy.Provisioner     = (*Signal)(nil)
	_ caddyfile.Unmarshaler = (*Signal)(nil)
	_ flows.Binder          = (*Signal)(nil)
	_ flows.Reporter        = (*Signal)(nil)
)
