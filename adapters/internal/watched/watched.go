// Package watched loads files again when they changed, and never a broken or
// half-written one in place of a good one.
package watched

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// Every is the time between two looks at a file.
const Every = 5 * time.Second

// File is one file and what takes its content.
type File struct {
	path string
	max  int64
	take func(content []byte) error

	mu sync.Mutex
	// have is how the file looked that was taken or refused last, met how it looked last.
	have, met stamp
}

// stamp tells one state of a file from another; zero: there is none.
type stamp struct {
	size    int64
	changed time.Time
}

// Open reads a file of at most max bytes and hands it to take, which keeps nothing of
// it when it answers an error, which names the file.
func Open(path string, max int64, take func(content []byte) error) (*File, error) {
	f := &File{path: path, max: max, take: take}
	s, err := f.stat()
	if err != nil {
		return nil, err
	}
	b, err := f.read()
	if err != nil {
		return nil, err
	}
	f.have, f.met = s, s
	return f, take(b)
}

// Look loads the file if it is another one than before and looks the same as at the
// last look: one that somebody is writing waits. It answers true when it was taken,
// and an error once for each state of the file that was not.
func (f *File) Look() (taken bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, err := f.stat()
	if s == f.have {
		return false, nil
	}
	if s != f.met {
		f.met = s
		return false, nil
	}
	if err == nil {
		var b []byte
		b, err = f.read()
		if again, _ := f.stat(); again != s { // written while it was read
			f.met = again
			return false, nil
		}
		if err == nil {
			err = f.take(b)
		}
	}
	f.have = s
	return err == nil, err
}

func (f *File) stat() (stamp, error) {
	info, err := os.Stat(f.path)
	switch {
	case err != nil:
		return stamp{}, err
	case !info.Mode().IsRegular():
		return stamp{}, fmt.Errorf("%s is no regular file", f.path)
	}
	return stamp{info.Size(), info.ModTime()}, nil
}

func (f *File) read() ([]byte, error) {
	r, err := os.Open(f.path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, f.max+1))
	if err == nil && int64(len(b)) > f.max {
		err = fmt.Errorf("%s is longer than %d bytes", f.path, f.max)
	}
	return b, err
}

// Keep looks at files until ctx ends, and tells what came of each that changed.
func Keep(ctx context.Context, files []*File, told func(path string, err error)) {
	if len(files) == 0 {
		return
	}
	t := time.NewTicker(Every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			for _, f := range files {
				if taken, err := f.Look(); taken || err != nil {
					told(f.path, err)
				}
			}
		}
	}
}
