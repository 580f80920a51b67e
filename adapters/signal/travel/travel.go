// Package travel is the signal that tells when somebody is farther from their last
// logins than anybody travels in the time between.
package travel

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() {
	caddy.RegisterModule(new(Signal))
}

const (
	usualSpeed = 900 // km/h, of an airliner
	// usualNear is how far is never too far, in km: databases of places are that wrong.
	usualNear = 100
	// remembered is how many logins are compared with.
	remembered = 5
)

// Signal compares where a login comes from with where the last five came from. A
// signal of type geo must stand beside it, with a database of cities.
type Signal struct {
	// The speed in km/h that nobody is faster than; default 900, an airliner.
	Speed int `json:"speed,omitempty"`
	// The distance in km that is never too far; default 100.
	Near int `json:"near,omitempty"`
	flows.SignalOptions
}

// CaddyModule returns the Caddy module information.
func (*Signal) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.signals.travel", New: func() caddy.Module { return new(Signal) }}
}

// Validate refuses speeds that are none.
func (s *Signal) Validate() error {
	if s.Speed < 0 || s.Near < 0 {
		return fmt.Errorf("travel: speed and near must be positive")
	}
	return nil
}

// NeedsPlaces says that a signal that knows places must be there.
func (*Signal) NeedsPlaces() {}

// login is one that went well. Places are kept no finer than they are needed: to a
// tenth of a degree, 11 km.
type login struct {
	At        int64   `json:"t"`
	Latitude  float64 `json:"lat"`
	Longitude float64 `json:"lon"`
	Radius    uint    `json:"r"`
	Country   string  `json:"c,omitempty"`
}

// rounding is how far a rounded place may be from the place, in km.
const rounding = 8

func at(p flows.Place, now time.Time) login {
	round := func(x float64) float64 { return math.Round(x*10) / 10 }
	return login{now.Unix(), round(p.Latitude), round(p.Longitude), p.Radius, p.Country}
}

func read(learned json.RawMessage) (all []login, err error) {
	if len(learned) == 0 {
		return nil, nil
	}
	if err := json.Unmarshal(learned, &all); err != nil {
		return nil, fmt.Errorf("reading the last places of a person: %w", err)
	}
	return all[max(len(all)-remembered, 0):], nil
}

// Read compares with each of the last logins; one that is too far away is enough.
func (s *Signal) Read(_ context.Context, f *flows.Facts, learned json.RawMessage) (flows.Reading, error) {
	p := f.Place()
	if !p.Placed {
		return flows.UnknownReading("where the address is is not known"), nil
	}
	last, err := read(learned)
	if err != nil {
		return flows.Reading{}, err
	}
	if f.User == nil || len(last) == 0 {
		return flows.UnknownReading("no place of this person is known yet"), nil
	}
	for _, l := range last {
		gap := l.gap(p)
		if gap <= float64(s.near()) {
			continue
		}
		hours := max(f.Now.Sub(time.Unix(l.At, 0)).Hours(), 0) // clocks of nodes differ
		if gap > hours*float64(s.speed()) {
			return flows.Reading{Score: 100, Reason: flows.ReasonImpossibleTravel, Text: says(l, p, gap, hours)}, nil
		}
	}
	return flows.Reading{}, nil
}

func (s *Signal) speed() int {
	if s.Speed == 0 {
		return usualSpeed
	}
	return s.Speed
}

func (s *Signal) near() int {
	if s.Near == 0 {
		return usualNear
	}
	return s.Near
}

// says is for the trail: countries, no places.
func says(l login, p flows.Place, gap, hours float64) string {
	country := func(c string) string {
		if len(c) != 2 {
			return "?"
		}
		return c
	}
	d := time.Duration(hours * float64(time.Hour)).Round(time.Minute)
	return country(l.Country) + " to " + country(p.Country) + ", " + strconv.Itoa(int(gap)) + " km in " + d.String()
}

// gap is the least distance in km between where somebody was and where they are: both
// are circles.
func (l login) gap(p flows.Place) float64 {
	d := distance(l.Latitude, l.Longitude, p.Latitude, p.Longitude) - float64(l.Radius) - float64(p.Radius) - rounding
	if math.IsNaN(d) {
		return 0
	}
	return max(d, 0)
}

// distance is that of a great circle, in km (haversine).
func distance(lat1, lon1, lat2, lon2 float64) float64 {
	const earth, degree = 6371, math.Pi / 180
	a := math.Sin((lat2 - lat1) * degree / 2)
	b := math.Sin((lon2 - lon1) * degree / 2)
	h := a*a + math.Cos(lat1*degree)*math.Cos(lat2*degree)*b*b
	return 2 * earth * math.Asin(math.Sqrt(min(max(h, 0), 1)))
}

// Learn notes where the login came from, of the last five.
func (s *Signal) Learn(f *flows.Facts, learned json.RawMessage) (json.RawMessage, error) {
	all, err := read(learned)
	if err != nil {
		all, learned = nil, nil // what cannot be read is of no use to anybody
	}
	p := f.Place()
	if !p.Placed {
		return learned, nil
	}
	all = append(all, at(p, f.Now))
	return json.Marshal(all[max(len(all)-remembered, 0):])
}

// UnmarshalCaddyfile sets up the signal from Caddyfile tokens. Syntax:
//
//	travel {
//	    speed <km/h>
//	    near  <km>
//	}
func (s *Signal) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the name of the module
	if d.NextArg() {
		return d.Errf("travel takes no argument, but got '%s'", d.Val())
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word, args := d.Val(), d.RemainingArgs()
		to := map[string]*int{"speed": &s.Speed, "near": &s.Near}[word]
		switch {
		case to == nil:
			return d.Errf("travel has no option '%s'; there are: near, speed", word)
		case len(args) != 1:
			return d.ArgErr()
		case *to != 0:
			return d.Errf("%s is written twice", word)
		}
		n, err := strconv.Atoi(args[0])
		if err != nil || n <= 0 || n > 100_000 {
			return d.Errf("%s '%s' is no number such as 900", word, args[0])
		}
		*to = n
	}
	return nil
}

// Interface guards
var (
	_ caddy.Validator       = (*Signal)(nil)
	_ caddyfile.Unmarshaler = (*Signal)(nil)
	_ flows.Learner         = (*Signal)(nil)
	_ flows.Placer          = (*Signal)(nil)
)
