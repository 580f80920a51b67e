package module

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// backlog is work that waits to be done beside requests: notices to people, flows that
// events started. It outlives the config it was made by, and is lost with the process.
type backlog[T any] struct {
	mu      sync.Mutex
	waiting []T
	workers int
}

const (
	backlogWorkers = 4                // at once
	backlogWaiting = 1024             // what comes on top is dropped
	tryTimeout     = 30 * time.Second // of one try
	tryFor         = 5 * time.Minute  // from the first to the last
)

// tryPauses are before each try. Who is away for longer than that is given up.
var tryPauses = []time.Duration{0, 5 * time.Second, 30 * time.Second, 2 * time.Minute}

// add queues one; false means that there are too many. work does what next answers
// until there is nothing.
func (q *backlog[T]) add(one T, work func()) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) >= backlogWaiting {
		return false
	}
	q.waiting = append(q.waiting, one)
	if q.workers < backlogWorkers {
		q.workers++
		go work() // it ends by itself
	}
	return true
}

// next takes what waits the longest; false ends the worker.
func (q *backlog[T]) next() (one T, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.workers--
		return one, false
	}
	one, q.waiting = q.waiting[0], q.waiting[1:]
	return one, true
}

// persist tries until it worked, never will, or ctx ends.
func persist(ctx context.Context, try func(context.Context) error) error {
	err := ctx.Err()
	for _, pause := range tryPauses {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
		if err = tryOnce(ctx, try); !errors.Is(err, flows.ErrUnavailable) {
			return err
		}
	}
	return err
}

func tryOnce(ctx context.Context, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	return try(ctx)
}
