package session_test

import (
	"sync"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows/session"
	cached "github.com/sallyport-gateway/sallyport/module/session"
)

func living(id string) *session.Session {
	return &session.Session{Card: session.Card{ID: id, Expires: time.Now().Add(time.Hour), Idle: 1 << 62}}
}

// A page asks for many things at once, and after a restart all of them load the
// session: what the cache holds of it must be gone when the last ticket is.
func TestI13ParallelLoadsLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	c, err := cached.NewCache(8)
	if err != nil {
		t.Fatal(err)
	}
	for range 300 {
		k := session.NewTicket().CacheKey()
		var wg sync.WaitGroup
		begin := make(chan struct{})
		for range 64 {
			wg.Go(func() {
				<-begin
				if !c.Add(k, living("one")) {
					t.Error("refused")
				}
			})
		}
		close(begin)
		wg.Wait()
		c.End("one")
		for range 2 { // forgets its ticket, and then the session
			c.Sweep(time.Now())
		}
		if !c.Add(k, living("one")) {
			t.Fatal("the cache remembers a session that nobody holds")
		}
		c.Drop(k)
	}
}
