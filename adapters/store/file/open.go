package file

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"syscall"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// openFile opens or makes the file; what it hands out can be used at once.
func openFile(path string) (db *bolt.DB, f *os.File, err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	fresh := false
	err = guard(func() (err error) {
		db, err = bolt.Open(path, 0o600, &bolt.Options{
			Timeout:      lockTimeout,
			FreelistType: bolt.FreelistMapType,
			OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
				var err error
				if f, err = os.OpenFile(name, flag, mode); err != nil {
					return nil, err
				}
				info, err := f.Stat()
				if err == nil && !info.Mode().IsRegular() {
					err = errors.New("no regular file")
				}
				if err != nil {
					_ = f.Close()
					return nil, err
				}
				fresh = info.Size() == 0
				return f, nil
			},
		})
		if err != nil {
			return err
		}
		return db.Update(makeBuckets)
	})
	if err == nil && fresh {
		err = syncDir(dir)
	}
	if err != nil {
		discard(db, f)
		if errors.Is(err, bolterrors.ErrTimeout) {
			err = errLocked
		}
		return nil, nil, err
	}
	return db, f, nil
}

// syncDir makes the file's name as durable as what is in it.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) || runtime.GOOS == "windows" {
		return nil // a file system that cannot do it keeps names in its own way
	}
	return err
}

// guard turns bbolt's panics into errors: it asserts on pages that make no
// sense, and a file that somebody cut short faults when its pages are read.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = &brokenError{p}
		}
	}()
	return fn()
}

// brokenError is what bbolt panicked with. The handle cannot be used any more:
// its locks may be held.
type brokenError struct{ what any }

func (e *brokenError) Error() string { return fmt.Sprintf("the file is damaged: %v", e.what) }

// discard closes what may be beyond closing: the file first, so that nothing
// more is written and its lock is free, then bbolt's memory, by a goroutine
// that may wait for ever on a mutex that a panic left.
func discard(db *bolt.DB, f *os.File) {
	if f != nil {
		unlock(f)
		_ = f.Close()
	}
	if db != nil {
		go func() { _ = guard(db.Close) }()
	}
}
