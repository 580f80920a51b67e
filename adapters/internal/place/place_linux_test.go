package place

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// TestCheckPermission looks as somebody else, whoever runs the test.
func TestCheckPermission(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	closed := filepath.Join(dir, "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o400); err != nil {
		t.Fatal(err)
	}
	for d := dir; d != os.TempDir() && len(d) > 1; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(closed, 0); err != nil {
		t.Fatal(err)
	}
	errs := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with what it was made to be
		syscall.RawSyscall(syscall.SYS_SETFSUID, 65534, 0, 0)
		errs <- Check(filepath.Join(dir, "file"))
		errs <- Check(filepath.Join(closed, "file"))
	}()
	for range 2 {
		if err := <-errs; err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("%v, want permission denied", err)
		}
	}
}
