package lookup

import (
	"maps"
	"sync"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// mostKept bounds a step's memory.
const mostKept = 10000

// cache keeps answers for a while; that somebody is not there is one, too.
type cache struct {
	ttl time.Duration
	mu  sync.Mutex
	all map[string]answer
}

type answer struct {
	attributes flows.Attributes
	err        error
	until      time.Time
}

func newCache(ttl time.Duration) *cache { return &cache{ttl: ttl, all: map[string]answer{}} }

func (c *cache) get(value string, now time.Time) (flows.Attributes, error, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, ok := c.all[value]
	if !ok || !now.Before(a.until) {
		return nil, nil, false
	}
	return maps.Clone(a.attributes), a.err, true
}

func (c *cache) put(value string, a flows.Attributes, err error, now time.Time) {
	if c.ttl <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.all) >= mostKept {
		maps.DeleteFunc(c.all, func(_ string, a answer) bool { return !now.Before(a.until) })
	}
	if len(c.all) >= mostKept {
		clear(c.all)
	}
	c.all[value] = answer{maps.Clone(a), err, now.Add(c.ttl)}
}
