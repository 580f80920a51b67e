package geo

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
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
	if c == nil { // null
		c = countries{}
	}
	return c, nil
}

func (c countries) has(country string, now time.Time) bool {
	last, ok := c[country]
	return ok && now.Sub(time.Unix(last*86400, 0)) <= forget
}

// Learn notes the country; of too many the one that is longest ago is forgotten.
func (s *Signal) Learn(f *flows.Facts, learned json.RawMessage) (json.RawMessage, error) {
	c, err := read(learned)
	if err != nil {
		c, learned = countries{}, nil // what cannot be read is of no use to anybody
	}
	p, _ := s.of(f)
	if p.Country == "" {
		return learned, nil
	}
	delete(c, p.Country)
	names := slices.SortedFunc(maps.Keys(c), func(a, b string) int { return cmp.Or(cmp.Compare(c[b], c[a]), cmp.Compare(a, b)) })
	for i, name := range names {
		if i >= maxCountries-1 || !c.has(name, f.Now) || !country.MatchString(name) {
			delete(c, name)
		}
	}
	c[p.Country] = day(f.Now)
	return json.Marshal(c)
}
