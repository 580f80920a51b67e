package flowstest

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

const block = 4096

// Disk is a folder whose disk a test can fill and empty.
type Disk struct {
	Dir  string
	fill func(file string) error
	free func() error
}

// Fill leaves no room but the rest of the last block of file.
func (d Disk) Fill(t testing.TB, file string) {
	t.Helper()
	if err := d.fill(file); err != nil {
		t.Fatal(err)
	}
}

// Free makes room again.
func (d Disk) Free(t testing.TB) {
	t.Helper()
	if err := d.free(); err != nil {
		t.Fatal(err)
	}
}

// OnFullDisk runs a test on a small file system of its own, where one may be mounted,
// and everywhere under a limit of the size of files: that needs no right, and a write
// that meets it is cut and fails in the same way. The limit holds for the whole
// process, so that the test must not be parallel.
func OnFullDisk(t *testing.T, run func(t *testing.T, d Disk)) {
	t.Helper()
	t.Run("limit", func(t *testing.T) { run(t, limited(t)) })
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Logf("no file system can be mounted here, the limit alone has to do: %v", err)
		return
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	ballast := filepath.Join(dir, "ballast")
	t.Run("mounted", func(t *testing.T) {
		run(t, Disk{Dir: dir, fill: func(string) error { return fillUp(ballast) }, free: func() error { return os.Remove(ballast) }})
	})
}

// IsFull says whether an error is that of a Disk without room.
func IsFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EFBIG) }

func fillUp(ballast string) error {
	f, err := os.Create(ballast)
	if err != nil {
		return err
	}
	for err == nil {
		_, err = f.Write(make([]byte, block))
	}
	if !IsFull(err) {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

func limited(t *testing.T) Disk {
	t.Helper()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	restore := func() error { return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before) }
	t.Cleanup(func() { _ = restore() })
	return Disk{Dir: t.TempDir(), free: restore, fill: func(file string) error {
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		blocks := uint64(info.Size()+block-1) / block
		return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: blocks * block, Max: before.Max})
	}}
}
