package file

import (
	"cmp"
	"context"
	"errors"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
)

const (
	// maxBatch bounds what one transaction holds in memory.
	maxBatch   = 256
	sweepEvery = time.Minute
	sweepStep  = 256
)

// task is one write. Whoever moves its state off waiting decides: the writer
// runs it, or the caller gave up and it never runs.
type task struct {
	fn    func(buckets) error
	state atomic.Int32
	err   error // its own, not the transaction's
	done  chan error
}

const (
	waiting int32 = iota
	running
	abandoned
)

// write queues fn for the next transaction and waits until it is on disk.
//
// All that waits goes into one transaction as soon as the one before is synced:
// nobody waits for a timer, and under load one fsync serves up to 256 writes.
// bbolt's own Batch is not used: it commits on a goroutine of its own, where a
// panic about a damaged page would end the process, and runs everything again
// when one caller refuses.
func (h *handle) write(ctx context.Context, fn func(buckets) error) error {
	if err := ctx.Err(); err != nil {
		return h.unavailable(err)
	}
	if _, err := h.open(ctx); err != nil {
		return err
	}
	t := &task{fn: fn, done: make(chan error, 1)}
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return h.unavailable(errClosed)
	}
	h.queue = append(h.queue, t)
	if !h.writing {
		h.writing = true
		h.busy.Add(1)
		go h.drain()
	}
	h.mu.Unlock()
	select {
	case err := <-t.done:
		return err
	case <-ctx.Done():
		if t.state.CompareAndSwap(waiting, abandoned) {
			return h.unavailable(ctx.Err())
		}
		return <-t.done // it runs: fn may not outlive this call
	}
}

// errLeft is the answer when somebody's callback ended the writer's goroutine.
var errLeft = errors.New("a callback called runtime.Goexit")

// drain writes until the queue is empty. Another goroutine goes on if a
// callback ends this one, as t.Fatal does in a test.
func (h *handle) drain() {
	empty := false
	defer func() {
		if empty {
			h.busy.Done()
		} else {
			go h.drain()
		}
	}()
	for {
		h.mu.Lock()
		n := min(len(h.queue), maxBatch)
		if n == 0 {
			h.queue, h.writing, empty = nil, false, true
			h.mu.Unlock()
			return
		}
		batch := h.queue[:n:n]
		h.queue = h.queue[n:]
		h.mu.Unlock()
		h.commit(batch)
	}
}

func (h *handle) commit(batch []*task) {
	live := batch[:0]
	for _, t := range batch {
		if t.state.CompareAndSwap(waiting, running) {
			live = append(live, t)
		}
	}
	if len(live) == 0 {
		return
	}
	err := h.unavailable(errLeft)
	defer func() {
		for _, t := range live {
			t.done <- cmp.Or(err, t.err)
		}
	}()
	err = h.transact(live)
}

// errUnchanged rolls a transaction back that has nothing to write.
var errUnchanged = errors.New("unchanged")

// transact runs the tasks in one transaction: all are on disk, or none is.
func (h *handle) transact(tasks []*task) error {
	h.mu.Lock()
	db := h.db
	h.mu.Unlock()
	if db == nil {
		var err error
		if db, err = h.open(context.Background()); err != nil {
			return err
		}
	}
	now, err := h.clock()
	if err != nil {
		return err
	}
	err = guard(func() error {
		return db.Update(func(tx *bolt.Tx) error {
			b, err := bucketsOf(tx, now)
			if err != nil {
				return err
			}
			for _, t := range tasks {
				switch err := t.fn(b); {
				case errors.Is(err, errBroken):
					t.err = h.unavailable(err) // one broken entry is not everybody's trouble
				case err != nil:
					return err
				}
			}
			if !*b.dirty {
				return errUnchanged
			}
			return nil
		})
	})
	if err != nil && !errors.Is(err, errUnchanged) {
		// Whether a failed write reached the disk is unknown, and bbolt's memory
		// may disagree with the file: start from the file again.
		h.drop(db, err)
		return h.unavailable(err)
	}
	return nil
}

// sweep removes what expired, a step at a time, so that no login waits for it.
func (h *handle) sweep() {
	defer h.busy.Done()
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-h.over:
			return
		case <-tick.C:
			h.sweepAll()
		}
	}
}

func (h *handle) sweepAll() {
	ctx, cancel := context.WithTimeout(context.Background(), sweepEvery/2)
	defer cancel()
	for {
		n := 0
		err := h.write(ctx, func(b buckets) (err error) {
			n, err = b.sweep(sweepStep)
			return err
		})
		if err != nil || n < sweepStep {
			return // the next tick tries again
		}
	}
}
