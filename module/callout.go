package module

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
)

// callOutPauses are before each try. An application that is away for longer
// than a minute does not hear of it.
var callOutPauses = []time.Duration{0, time.Second, 5 * time.Second, 20 * time.Second}

const (
	callOutTimeout = 5 * time.Second
	callOutFor     = time.Minute // from the end of the session to the last try
	callOutWorkers = 4           // at once, of one application
	callOutWaiting = 1024        // of one application; what comes on top is dropped
)

// callOut is an application that is told when a session ends that was there. Its
// address may hold a secret, anywhere but in the host: nothing else of it is ever
// logged.
type callOut struct {
	id, url string
	// name stands for it in the log: where it was written.
	name   string
	client *http.Client
	log    *zap.Logger

	mu      sync.Mutex
	waiting []*notice
	workers int
	dropped int
}

// notice is the body of a call-out. There is no signature; who needs to know that
// it is from us puts a secret into the address.
type notice struct {
	Event string `json:"event"`
	// Session is the public id, as in the trail and in dialects' headers.
	Session string `json:"session"`
	// User is what the application knows as user.name.
	User   string       `json:"user"`
	Reason flows.Reason `json:"reason"`
	Time   string       `json:"time"`

	until time.Time
}

// add queues a notice; it never waits (I25). beside runs what does.
func (c *callOut) add(n *notice, beside func(func())) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) >= callOutWaiting {
		c.dropped++
		return
	}
	n.until = time.Now().Add(callOutFor)
	c.waiting = append(c.waiting, n)
	if c.workers < callOutWorkers {
		c.workers++
		beside(c.work)
	}
}

// work tells until nothing waits.
func (c *callOut) work() {
	for {
		n, dropped := c.next()
		if dropped > 0 {
			c.log.Warn("an application was not told of the end of sessions: too many at once", zap.String("on_logout", c.name), zap.Int("sessions", dropped))
		}
		if n == nil {
			return
		}
		if err := c.tell(n); err != nil {
			c.log.Warn("an application was not told of the end of a session", zap.String("on_logout", c.name), zap.String("session", n.Session), zap.Error(err))
		} else {
			c.log.Debug("told an application of the end of a session", zap.String("on_logout", c.name), zap.String("session", n.Session))
		}
	}
}

// next takes what waits the longest, with how many were dropped since; nil ends
// the worker.
func (c *callOut) next() (n *notice, dropped int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	dropped, c.dropped = c.dropped, 0
	if len(c.waiting) == 0 {
		c.workers--
		return nil, dropped
	}
	n, c.waiting = c.waiting[0], c.waiting[1:]
	return n, dropped
}

func (c *callOut) tell(n *notice) error {
	body, err := json.Marshal(n)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithDeadline(context.Background(), n.until)
	defer cancel()
	err = ctx.Err()
	for _, pause := range callOutPauses {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
		var again bool
		if again, err = c.post(ctx, body); !again {
			return err
		}
	}
	return err
}

// post answers whether another try may go better.
func (c *callOut) post(ctx context.Context, body []byte) (again bool, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return false, errors.New("the address cannot be used") // err would quote it
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "Sallyport")
	res, err := c.client.Do(r)
	if err != nil {
		if u := new(url.Error); errors.As(err, &u) {
			err = u.Err // without the address
		}
		return true, err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 4<<10)) // for the connection to be used again
	if res.StatusCode >= 200 && res.StatusCode < 300 {
		return false, nil
	}
	again = res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests || res.StatusCode == http.StatusRequestTimeout
	return again, fmt.Errorf("it answered %d", res.StatusCode)
}
