package geo

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

const (
	maxCountries = 24
	// forget is after how long a country is new again.
	forget = 365 * 24 * time.Hour
)

// countries are those of a person, and the day (since 1970) of their last login there.
type countries map[string]int64

func day(t time.Time) int64 { return t.Unix() / 86400 }

func read(learned json.RawMessage) (countries, error) {
	c := countries{}
	if len(learned) == 0 {
		return c, nil
	}
	if err := json.Unmarshal(learned, &c); err != nil {
		return nil, fmt.Errorf("reading the countries of a person: %w", err)
	}
	return c, nil
}

func (c countries) has(country string, now time.Time) bool {
	last, ok := c[country]
	return ok && day(now)-last <= day(time.Unix(0, 0).Add(forget))
}

// Learn notes the country; of too many the one that is longest ago is forgotten.
func (s *Signal) Learn(f *flows.Facts, learned json.RawMessage) (json.RawMessage, error) {
	p, _ := s.Locate(f.Request.IP)
	if p.Country == "" {
		return learned, nil
	}
	c, err := read(learned)
	if err != nil {
		c = countries{} // what cannot be read is of no use to anybody
	}
	c[p.Country] = max(day(f.Now), c[p.Country])
	for name := range c {
		if !c.has(name, f.Now) {
			delete(c, name)
		}
	}
	for len(c) > maxCountries {
		oldest := p.Country
		for name, at := range c {
			if at < c[oldest] || at == c[oldest] && name < oldest && oldest != p.Country {
				oldest = name
			}
		}
		if oldest == p.Country { // all are of today
			for name := range c {
				if name != p.Country && (oldest == p.Country || name < oldest) {
					oldest = name
				}
			}
		}
		delete(c, oldest)
	}
	return json.Marshal(c)
}
