package file

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sallyport-gateway/sallyport/flows/audit"
)

// appender writes lines to one file for all configs that name it. What waits
// while one fsync runs shares the next.
type appender struct {
	mu      sync.Mutex
	queue   []*line
	writing bool
	closed  bool
	idle    chan struct{} // closed when nobody drains

	// These belong to the one goroutine that drains.
	book
}

// line is one entry; without a text it asks for a checkpoint. Whoever moves its state
// off waiting decides: it is written, or its caller gave up and it never will be.
type line struct {
	text  []byte
	set   *settings
	state atomic.Int32
	done  chan error
}

// settings are those of the config that an entry comes from.
type settings struct {
	sync   bool
	roll   roll
	notary audit.Notary
	now    func() time.Time
	warn   func(string, error)
}

const (
	waiting int32 = iota
	running
	abandoned
)

const (
	maxBatch = 256
	// signEvery and signAfter are when a checkpoint comes: so many entries, or so long
	// after an entry.
	signEvery = 1000
	signAfter = 10 * time.Second
	// signLimit is how long the cluster's key is waited for, endLimit what Destruct waits.
	signLimit = 2 * time.Second
	endLimit  = 5 * time.Second
)

func (a *appender) append(ctx context.Context, text []byte, set *settings) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l := &line{text: text, set: set, done: make(chan error, 1)}
	a.mu.Lock()
	a.queue = append(a.queue, l)
	a.wake()
	a.mu.Unlock()
	select {
	case err := <-l.done:
		return err
	case <-ctx.Done():
		l.state.CompareAndSwap(waiting, abandoned)
		// Not waiting for a hanging disk: an entry too many is harmless, a grant without one is not.
		return ctx.Err()
	}
}

// wake has somebody drain the queue. a.mu is held.
func (a *appender) wake() {
	if !a.writing {
		a.writing, a.idle = true, make(chan struct{})
		go a.drain()
	}
}

func (a *appender) drain() {
	for {
		a.mu.Lock()
		n := min(len(a.queue), maxBatch)
		if n == 0 && a.closed && a.unsigned > 0 { // the last word of a file that is closed
			a.mu.Unlock()
			a.finish()
			continue
		}
		if n == 0 {
			a.queue, a.writing = nil, false
			if a.closed {
				a.shut() // a request of an old config wrote after Destruct
			}
			close(a.idle)
			a.mu.Unlock()
			return
		}
		batch := a.queue[:n:n]
		a.queue = a.queue[n:]
		a.mu.Unlock()
		a.write(batch)
	}
}

func (a *appender) write(batch []*line) {
	set := batch[len(batch)-1].set
	err := a.ready(set)
	var written []*line
	sync := false
	for _, l := range batch {
		if !l.state.CompareAndSwap(waiting, running) {
			continue
		}
		if l.text == nil {
			a.timed = false
		}
		lineErr := err
		if lineErr == nil {
			lineErr = a.entry(l.text)
		}
		if lineErr != nil {
			l.done <- lineErr
			continue
		}
		sync = sync || l.set.sync
		written = append(written, l)
	}
	if err == nil && a.unsigned >= signEvery {
		a.sign(set, audit.Checkpoint{})
	}
	if sync {
		if err = a.flush(); err != nil {
			// What a failed fsync lost is not reported a second time: start anew.
			a.shut()
		}
	}
	a.keep(set)
	for _, l := range written {
		l.done <- err
	}
	if a.unsigned > 0 && !a.timed {
		a.timed = true
		time.AfterFunc(signAfter, func() { a.ask(set) })
	}
}

// ask has the lines signed that are not yet. A closed file was signed at its end.
func (a *appender) ask(set *settings) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.closed {
		a.queue = append(a.queue, &line{set: set, done: make(chan error, 1)})
		a.wake()
	}
}

func (b *book) flush() error {
	if b.file == nil {
		return nil
	}
	err := b.file.Sync()
	if errors.Is(err, syscall.EINVAL) {
		return nil // a pipe or a terminal has no disk
	}
	return err
}

// finish signs what is not yet, once: who cannot does not try for ever.
func (a *appender) finish() {
	a.sign(a.set, audit.Checkpoint{})
	if a.flush() == nil {
		a.keep(a.set)
	}
	a.unsigned = 0
}

// Destruct closes the file, behind what still waits and a last checkpoint. What is
// appended later is written all the same: it opens the file and closes it again.
func (a *appender) Destruct() error {
	a.mu.Lock()
	a.closed = true
	a.wake()
	idle := a.idle
	a.mu.Unlock()
	limit := time.NewTimer(endLimit)
	defer limit.Stop()
	select {
	case <-idle:
	case <-limit.C:
		return os.ErrDeadlineExceeded
	}
	return nil
}
