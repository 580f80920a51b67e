package place

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ path, err string }{
		{path: file},
		{path: filepath.Join(dir, "new")},
		{path: filepath.Join(dir, "new", "deep")},
		{path: os.DevNull},
		{dir, "is a directory"},
		{filepath.Join(file, "x"), "not a directory"},
		{filepath.Join(file, "deep", "x"), "not a directory"},
	} {
		err := Check(tc.path)
		if (tc.err == "") != (err == nil) || err != nil && (!strings.Contains(err.Error(), tc.err) || !strings.Contains(err.Error(), tc.path)) {
			t.Errorf("%s: %v, want %q", tc.path, err, tc.err)
		}
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "kept" {
		t.Errorf("the file holds %q, %v", b, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("Check made something: %v, %v", left, err)
	}
}
