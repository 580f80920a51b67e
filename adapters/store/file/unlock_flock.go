//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package file

import (
	"os"
	"syscall"
)

// unlock gives up bbolt's lock. Closing the file is not enough: a memory map
// that a panic left behind keeps the open file, and its flock, alive.
func unlock(f *os.File) { _ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }
