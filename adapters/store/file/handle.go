package file

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/sallyport-gateway/sallyport/flows"
)

const (
	lockTimeout = 2 * time.Second // how long another process may take to let go of the file
	retryAfter  = time.Second     // how long a refused open is remembered
	// brokenAfter is the same for a damaged file: bbolt leaves its memory map
	// behind when it panics while opening, so this must not happen every second.
	brokenAfter = 30 * time.Second
)

// handle is one file, shared by all configs that name it. It opens the file at
// first use and again after it broke.
type handle struct {
	path string
	now  atomic.Pointer[func() time.Time]
	over chan struct{} // closed by Destruct
	busy sync.WaitGroup

	mu       sync.Mutex
	db       *bolt.DB
	file     *os.File // under db, to drop its lock when bbolt no longer can
	opening  *opening
	failed   error
	failedAt time.Time
	closed   bool
	sweeping bool

	queue   []*task
	writing bool
}

// opening is one attempt that everybody waits for.
type opening struct {
	done chan struct{}
	db   *bolt.DB
	err  error
}

func newHandle(path string) *handle { return &handle{path: path, over: make(chan struct{})} }

// unavailable says which file could not be asked, and why.
func (h *handle) unavailable(err error) error {
	return fmt.Errorf("store file %s: %w: %w", h.path, flows.ErrUnavailable, err)
}

var (
	errNoClock = errors.New("no clock was set")
	errClosed  = errors.New("closed")
	errLocked  = errors.New("another process has it open")
)

func (h *handle) clock() (time.Time, error) {
	now := h.now.Load()
	if now == nil {
		return time.Time{}, h.unavailable(errNoClock)
	}
	return (*now)(), nil
}

// open answers the open file, opens it, or says why it cannot. It never waits
// longer than ctx; the attempt itself goes on for those who come later.
func (h *handle) open(ctx context.Context) (*bolt.DB, error) {
	now, err := h.clock()
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil, h.unavailable(errClosed)
	}
	if db := h.db; db != nil {
		h.mu.Unlock()
		return db, nil
	}
	if since := now.Sub(h.failedAt); h.failed != nil && since >= 0 && since < patience(h.failed) {
		err := h.failed
		h.mu.Unlock()
		return nil, err
	}
	o := h.opening
	if o == nil {
		o = &opening{done: make(chan struct{})}
		h.opening = o
		h.busy.Add(1)
		go h.attempt(o)
	}
	h.mu.Unlock()
	select {
	case <-o.done:
		return o.db, o.err
	case <-ctx.Done():
		return nil, h.unavailable(ctx.Err())
	}
}

func patience(failed error) time.Duration {
	var broken *brokenError
	if errors.As(failed, &broken) {
		return brokenAfter
	}
	return retryAfter
}

func (h *handle) attempt(o *opening) {
	defer h.busy.Done()
	db, f, err := openFile(h.path)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.opening = nil
	defer close(o.done)
	if err != nil {
		o.err = h.unavailable(err)
		h.failed = o.err
		h.failedAt, _ = h.clock() // from the end: the lock alone may have taken two seconds
		return
	}
	h.db, h.file, h.failed, o.db = db, f, nil, db
	if !h.sweeping && !h.closed {
		h.sweeping = true
		h.busy.Add(1)
		go h.sweep()
	}
}

// drop takes a handle that failed out of use; the next call opens the file anew.
func (h *handle) drop(db *bolt.DB, cause error) {
	h.mu.Lock()
	if h.db != db {
		h.mu.Unlock()
		return
	}
	f := h.file
	h.db, h.file = nil, nil
	var broken *brokenError
	if errors.As(cause, &broken) {
		// Not at once: a damaged file would be opened for every request.
		h.failed = h.unavailable(cause)
		h.failedAt, _ = h.clock()
		h.mu.Unlock()
		discard(db, f)
		return
	}
	h.mu.Unlock()
	_ = guard(db.Close)
}

// view reads. What is wrong with the file is ErrUnavailable, never "not there".
func (h *handle) view(ctx context.Context, fn func(buckets) error) error {
	if err := ctx.Err(); err != nil {
		return h.unavailable(err)
	}
	for again := true; ; again = false {
		db, err := h.open(ctx)
		if err != nil {
			return err
		}
		now, err := h.clock()
		if err != nil {
			return err
		}
		err = guard(func() error {
			return db.View(func(tx *bolt.Tx) error {
				b, err := bucketsOf(tx, now)
				if err != nil {
					return err
				}
				return fn(b)
			})
		})
		switch {
		case err == nil:
			return nil
		case errors.Is(err, bolterrors.ErrDatabaseNotOpen) && again:
			continue // a writer dropped it between open and here
		}
		var broken *brokenError
		if errors.As(err, &broken) {
			h.drop(db, err)
		}
		return h.unavailable(err)
	}
}

// Destruct ends the sweep, lets writes finish and closes the file.
func (h *handle) Destruct() error {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	close(h.over)
	h.busy.Wait()
	h.mu.Lock()
	db := h.db
	h.db, h.file = nil, nil
	h.mu.Unlock()
	if db == nil {
		return nil
	}
	return guard(db.Close)
}
