package http

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// maxKept bounds the answers that are kept.
const maxKept = 4096

// cache keeps answers for as long as the configuration says, by the facts they are about.
type cache struct {
	keep time.Duration

	mu  sync.Mutex
	all map[[sha256.Size]byte]kept
}

type kept struct {
	reading flows.Reading
	until   time.Time
}

func (c *cache) get(facts []byte, now time.Time) (flows.Reading, bool) {
	if c.keep <= 0 {
		return flows.Reading{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.all[sha256.Sum256(facts)]
	return k.reading, ok && now.Before(k.until)
}

func (c *cache) put(facts []byte, r flows.Reading, now time.Time) {
	if c.keep <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.all) >= maxKept {
		for k, v := range c.all {
			if !now.Before(v.until) {
				delete(c.all, k)
			}
		}
	}
	if c.all == nil || len(c.all) >= maxKept { // it is asked again, that is all
		c.all = map[[sha256.Size]byte]kept{}
	}
	c.all[sha256.Sum256(facts)] = kept{r, now.Add(c.keep)}
}
