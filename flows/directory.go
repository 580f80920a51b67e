package flows

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"
)

// Attributes are what a directory knows of somebody, by name: string, bool,
// float64, []any or map[string]any.
type Attributes map[string]any

// At follows a dotted path; names may hold dots themselves.
func (a Attributes) At(path string) any { return walk(a, path) }

// Directory is a guest `identity.directories.*`: where more is known of people.
type Directory interface {
	// Find answers what is known of the one whose attribute by has a value. The value
	// is one and nothing else, whatever is in it; the answer is the caller's own.
	//
	// ErrNotFound says that there is nobody, ErrAmbiguous that there are several. What
	// could not be asked wraps ErrUnavailable, and what is known in part only is an
	// error, too: a part is never taken for the whole (B24).
	Find(ctx context.Context, by, value string) (Attributes, error)
}

// Selective is a Directory that does not find people by every attribute.
type Selective interface {
	// FindsBy answers nil where it finds people by an attribute, else what it needs.
	// It is asked when a config is loaded.
	FindsBy(by string) error
}

// FindsBy refuses an attribute that a directory does not find people by.
func FindsBy(d Directory, by string) error {
	if s, ok := d.(Selective); ok {
		return s.FindsBy(by)
	}
	return nil
}

// ErrAmbiguous: a directory knows several who could be meant, so it means nobody.
var ErrAmbiguous = errors.New("ambiguous")

// Perhaps is a Step that may set names, or may not: what reads one of them must
// test it by has() (I22).
type Perhaps interface{ MayProduce() []string }

// mostFound bounds the memory of one FindCache.
const mostFound = 10000

// FindCache keeps answers of a directory for a while; that somebody is not there is
// one, too. What could not be asked is none: do not put it in.
type FindCache struct {
	ttl time.Duration
	mu  sync.Mutex
	all map[string]found
}

type found struct {
	attributes Attributes
	err        error
	until      time.Time
}

// NewFindCache makes one; without a time to live it keeps nothing.
func NewFindCache(ttl time.Duration) *FindCache { return &FindCache{ttl: ttl, all: map[string]found{}} }

// Get answers what was put in, and whether anything was; the attributes are the caller's own.
func (c *FindCache) Get(value string, now time.Time) (Attributes, error, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, ok := c.all[value]
	if !ok || !now.Before(a.until) {
		return nil, nil, false
	}
	return maps.Clone(a.attributes), a.err, true
}

// Put keeps an answer, or an error that is one.
func (c *FindCache) Put(value string, a Attributes, err error, now time.Time) {
	if c.ttl <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.all) >= mostFound {
		maps.DeleteFunc(c.all, func(_ string, a found) bool { return !now.Before(a.until) })
	}
	if len(c.all) >= mostFound {
		clear(c.all)
	}
	c.all[value] = found{maps.Clone(a), err, now.Add(c.ttl)}
}
