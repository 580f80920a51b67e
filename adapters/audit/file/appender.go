package file

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
)

// appender writes lines to one file for all configs that name it. What waits
// while one fsync runs shares the next.
type appender struct {
	path string

	mu      sync.Mutex
	queue   []*line
	writing bool
	closed  bool

	// These belong to the one goroutine that drains.
	file *os.File
	torn bool // the file ends in the middle of a line
}

// line is one entry. Whoever moves its state off waiting decides: it is
// written, or its caller gave up and it never will be.
type line struct {
	text  []byte
	sync  bool
	state atomic.Int32
	done  chan error
}

const (
	waiting int32 = iota
	running
	abandoned
)

const maxBatch = 256

func (a *appender) append(ctx context.Context, text []byte, sync bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l := &line{text: text, sync: sync, done: make(chan error, 1)}
	a.mu.Lock()
	a.queue = append(a.queue, l)
	if !a.writing {
		a.writing = true
		go a.drain()
	}
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

func (a *appender) drain() {
	for {
		a.mu.Lock()
		n := min(len(a.queue), maxBatch)
		if n == 0 {
			a.queue, a.writing = nil, false
			if a.closed {
				a.shut() // a request of an old config wrote after Destruct
			}
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
	err := a.ready()
	var written []*line
	sync := false
	for _, l := range batch {
		if !l.state.CompareAndSwap(waiting, running) {
			continue
		}
		lineErr := err
		if lineErr == nil {
			lineErr = a.put(l.text)
		}
		if lineErr != nil {
			l.done <- lineErr
			continue
		}
		sync = sync || l.sync
		written = append(written, l)
	}
	if sync {
		if err = a.file.Sync(); errors.Is(err, syscall.EINVAL) {
			err = nil // a pipe or a terminal has no disk
		}
		if err != nil {
			// What a failed fsync lost is not reported a second time: start anew.
			a.shut()
		}
	}
	for _, l := range written {
		l.done <- err
	}
}

// put writes one line by one write, so that appenders of other processes cannot tear it.
func (a *appender) put(text []byte) error {
	if a.torn {
		text = append([]byte{'\n'}, text...)
	}
	n, err := a.file.Write(text)
	if n > 0 {
		a.torn = text[n-1] != '\n'
	}
	return err
}

// ready opens the file, and again if the path now names another or none (rotation).
func (a *appender) ready() error {
	if a.file != nil {
		now, err := os.Stat(a.path)
		open, openErr := a.file.Stat()
		if err == nil && openErr == nil && os.SameFile(now, open) {
			return nil
		}
		a.shut()
	}
	dir := filepath.Dir(a.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(a.path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	a.file, a.torn = f, cutShort(f)
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync() // a new file's name is to be as durable as its lines; not every file system can
		_ = d.Close()
	}
	return nil
}

// cutShort reports whether a regular file ends in the middle of a line, as
// after a crash: the next entry must not grow together with it.
func cutShort(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return false
	}
	last := make([]byte, 1)
	if _, err := f.ReadAt(last, info.Size()-1); err != nil && !errors.Is(err, io.EOF) {
		return false
	}
	return last[0] != '\n'
}

func (a *appender) shut() {
	if a.file != nil {
		_ = a.file.Close()
		a.file = nil
	}
}

// Destruct closes the file, behind what still waits. What is appended later is
// written all the same: it opens the file and closes it again.
func (a *appender) Destruct() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	if !a.writing {
		a.shut()
	}
	return nil
}
