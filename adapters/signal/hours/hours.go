// Package hours is the signal that learns at which hours a person signs in, and tells
// when another one is unusual.
package hours

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"
	_ "time/tzdata" // a container may have no zones

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() {
	caddy.RegisterModule(new(Signal))
}

const (
	usualAfter = 10
	// halfLife is after how long a login counts half: habits change.
	halfLife = 60 * 24 * time.Hour
	// usual is the share of logins, in the hour and those beside it, that is usual: 10 %.
	usual = 0.1
)

// Signal keeps, of each person, how many logins there were in each hour of the day, on
// working days and on weekends apart; old ones count less and less. An hour scores 0 if
// a tenth of their logins fell into it or the hours beside it, and 100 if none did.
type Signal struct {
	// The time zone that hours and weekends are of, such as Europe/Paris; default UTC.
	Zone string `json:"zone,omitempty"`
	// How many logins are needed before it knows anything; default 10.
	After int `json:"after,omitempty"`
	flows.SignalOptions

	zone *time.Location
}

// CaddyModule returns the Caddy module information.
func (*Signal) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.signals.hours", New: func() caddy.Module { return new(Signal) }}
}

// Provision finds the zone.
func (s *Signal) Provision(caddy.Context) (err error) {
	s.zone, err = s.check()
	return err
}

func (s *Signal) check() (*time.Location, error) {
	if s.After < 0 || s.After > 1000 {
		return nil, fmt.Errorf("after is a number of logins up to 1000, not %d", s.After)
	}
	z, err := time.LoadLocation(s.Zone)
	if err != nil || s.Zone == "Local" { // nodes may differ in it
		return nil, fmt.Errorf("zone '%s' is no time zone such as Europe/Paris", s.Zone)
	}
	return z, nil
}

// habit is what is known of a person: a weight for each hour of working days and, behind
// them, of weekends, as of a time, and of how many logins that was learned.
type habit struct {
	At    int64     `json:"t"`
	Of    int       `json:"n"`
	Hours []float64 `json:"h"`
}

func read(learned json.RawMessage) (h habit, err error) {
	if len(learned) > 0 {
		if err := json.Unmarshal(learned, &h); err != nil {
			return habit{}, fmt.Errorf("reading the hours of a person: %w", err)
		}
	}
	if len(h.Hours) != 48 {
		h = habit{Hours: make([]float64, 48)}
	}
	for _, w := range h.Hours {
		if !(w >= 0 && w < 1e6) {
			return habit{}, fmt.Errorf("reading the hours of a person: %g is no weight", w)
		}
	}
	return h, nil
}

// faded is the habit as of now.
func (h habit) faded(now time.Time) habit {
	past := max(now.Sub(time.Unix(h.At, 0)), 0)
	keep := math.Exp2(-float64(past) / float64(halfLife))
	f := habit{At: max(now.Unix(), h.At), Of: min(max(h.Of, 0), 1e6), Hours: make([]float64, 48)}
	for i, w := range h.Hours {
		f.Hours[i] = math.Round(w*keep*1000) / 1000
	}
	if sum(f.Hours) < 0.5 { // all but forgotten
		f.Of = 0
	}
	return f
}

// day answers the hours of the kind of day, and the one of now.
func (h habit) day(now time.Time) (hours []float64, hour int) {
	if d := now.Weekday(); d == time.Saturday || d == time.Sunday {
		return h.Hours[24:], now.Hour()
	}
	return h.Hours[:24], now.Hour()
}

func sum(all []float64) (s float64) {
	for _, x := range all {
		s += x
	}
	return s
}

// Read compares the hour with those of the person.
func (s *Signal) Read(_ context.Context, f *flows.Facts, learned json.RawMessage) (flows.Reading, error) {
	h, err := read(learned)
	if err != nil {
		return flows.Reading{}, err
	}
	h = h.faded(f.Now)
	after := s.After
	if after == 0 {
		after = usualAfter
	}
	if f.User == nil || h.Of < after {
		return flows.UnknownReading("too few logins of this person are known"), nil
	}
	hours, hour := h.day(f.Now.In(s.zone))
	share, all := hours[(hour+23)%24]+hours[hour]+hours[(hour+1)%24], sum(hours)
	if all > 0 {
		share /= all
	}
	score := int(math.Round(100 * (1 - min(share/usual, 1))))
	if score == 0 {
		return flows.Reading{}, nil
	}
	return flows.Reading{Score: score, Reason: flows.ReasonUnusualTime, Text: f.Now.In(s.zone).Format("Mon 15:04 MST")}, nil
}

// Learn counts the hour.
func (s *Signal) Learn(f *flows.Facts, learned json.RawMessage) (json.RawMessage, error) {
	h, err := read(learned)
	if err != nil {
		h, _ = read(nil) // what cannot be read is of no use to anybody
	}
	h = h.faded(f.Now)
	hours, hour := h.day(f.Now.In(s.zone))
	hours[hour] = min(hours[hour]+1, 1e4)
	h.Of++
	return json.Marshal(h)
}

// UnmarshalCaddyfile sets up the signal from Caddyfile tokens. Syntax:
//
//	hours {
//	    zone  <zone>
//	    after <logins>
//	}
func (s *Signal) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the name of the module
	if d.NextArg() {
		return d.Errf("hours takes no argument, but got '%s'", d.Val())
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word, args := d.Val(), d.RemainingArgs()
		switch {
		case word != "zone" && word != "after":
			return d.Errf("hours has no option '%s'; there are: after, zone", word)
		case len(args) != 1 || args[0] == "":
			return d.ArgErr()
		case word == "zone" && s.Zone != "", word == "after" && s.After != 0:
			return d.Errf("%s is written twice", word)
		case word == "zone":
			s.Zone = args[0]
		default:
			n, err := strconv.Atoi(args[0])
			if err != nil || n < 1 {
				return d.Errf("after '%s' is no number of logins", args[0])
			}
			s.After = n
		}
		if _, err := s.check(); err != nil {
			return d.WrapErr(err)
		}
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner     = (*Signal)(nil)
	_ caddyfile.Unmarshaler = (*Signal)(nil)
	_ flows.Learner         = (*Signal)(nil)
)
