package geo

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/sallyport-gateway/sallyport/adapters/internal/watched"
	"github.com/sallyport-gateway/sallyport/flows"
)

// maxFile bounds what is read into memory: a database of all cities has some 100 MiB.
const maxFile = 2 << 30

// pool keeps databases from one config to the next, by file.
var pool = caddy.NewUsagePool()

// database is one file in memory. A file that is mapped instead would take the process
// with it when somebody cuts it short.
type database struct {
	file   *watched.File
	reader atomic.Pointer[maxminddb.Reader]
}

// Destruct implements caddy.Destructor; what still reads it holds on to the memory.
func (*database) Destruct() error { return nil }

func borrow(path string) (*database, string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, "", err
	}
	v, _, err := pool.LoadOrNew(path, func() (caddy.Destructor, error) {
		db := new(database)
		db.file, err = watched.Open(path, maxFile, func(content []byte) error {
			if err := db.take(content); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			return nil
		})
		return db, err
	})
	if err != nil {
		return nil, "", err
	}
	return v.(*database), path, nil
}

// kinds are parts of the types of databases that hold what is read here.
var kinds = []string{"City", "Country", "Enterprise", "ASN", "ISP", "Insights"}

// take puts a database in place of the one before. The first is not read to its end,
// which takes seconds: what is broken in it is unknown.
func (db *database) take(content []byte) error {
	r, err := open(content)
	if err != nil {
		return err
	}
	if db.reader.Load() != nil {
		for n := range r.Networks() {
			if err := n.Decode(new(record)); err != nil {
				return fmt.Errorf("the database is damaged: %w", err)
			}
		}
	}
	db.reader.Store(r)
	return nil
}

func open(content []byte) (*maxminddb.Reader, error) {
	r, err := maxminddb.OpenBytes(content)
	if err != nil {
		return nil, fmt.Errorf("no whole database in MaxMind's format: %w", err)
	}
	for _, k := range kinds {
		if strings.Contains(r.Metadata.DatabaseType, k) {
			return r, nil
		}
	}
	return nil, fmt.Errorf("'%s' is no database of countries, cities or networks", printable(r.Metadata.DatabaseType))
}

// record is what is read of an entry.
type record struct {
	Country struct {
		ISO string `maxminddb:"iso_code"`
	} `maxminddb:"country"`
	City struct {
		Names struct {
			English string `maxminddb:"en"`
		} `maxminddb:"names"`
	} `maxminddb:"city"`
	Location struct {
		Latitude  *float64 `maxminddb:"latitude"`
		Longitude *float64 `maxminddb:"longitude"`
		Radius    uint     `maxminddb:"accuracy_radius"`
	} `maxminddb:"location"`
	ASN uint `maxminddb:"autonomous_system_number"`
}

// place is what this database knows; what cannot be read is not known.
func (db *database) place(a netip.Addr) flows.Place {
	p, _ := find(db.reader.Load(), a)
	return p
}

var errNoPlace = errors.New("the entry holds what is no place")

func find(r *maxminddb.Reader, a netip.Addr) (p flows.Place, err error) {
	var e record
	if err := r.Lookup(a).Decode(&e); err != nil {
		return p, err
	}
	p.ASN = e.ASN
	if e.Country.ISO != "" && !country.MatchString(e.Country.ISO) {
		return p, errNoPlace
	}
	p.Country, p.City = e.Country.ISO, printable(e.City.Names.English)
	l := &e.Location
	if l.Latitude == nil || l.Longitude == nil {
		return p, nil
	}
	if !(math.Abs(*l.Latitude) <= 90 && math.Abs(*l.Longitude) <= 180) { // NaN, too
		return p, errNoPlace
	}
	p.Latitude, p.Longitude, p.Radius, p.Placed = *l.Latitude, *l.Longitude, min(l.Radius, 20_000), true
	return p, nil
}

// printable keeps what a database says out of the way of terminals and logs.
func printable(s string) string {
	if len(s) > 100 {
		s = s[:100]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
}
