package watched

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func write(t *testing.T, path, text string, at int) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	when := time.Unix(int64(1_700_000_000+at), 0)
	if err := os.Chtimes(path, when, when); err != nil {
		t.Fatal(err)
	}
}

func TestFileIsTakenWhenItIsWhole(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "list")
	write(t, path, "one", 0)
	have := ""
	f, err := Open(path, 10, func(b []byte) error {
		if string(b) == "broken" {
			return errors.New("broken")
		}
		have = string(b)
		return nil
	})
	if err != nil || have != "one" {
		t.Fatalf("%q, %v", have, err)
	}
	for i, step := range []struct {
		name, write string
		at          int
		want        string
		taken, err  bool
	}{
		{"as it was", "", 0, "one", false, false},
		{"being written", "tw", 1, "one", false, false},
		{"still", "two", 1, "one", false, false},
		{"whole", "", 0, "two", true, false},
		{"broken", "broken", 2, "two", false, false},
		{"said once", "", 0, "two", false, true},
		{"and no more", "", 0, "two", false, false},
		{"mended", "three", 3, "two", false, false},
		{"taken", "", 0, "three", true, false},
		{"too long", "12345678901", 4, "three", false, false},
		{"refused", "", 0, "three", false, true},
		{"gone", "-", 0, "three", false, false},
		{"told", "", 0, "three", false, true},
		{"once", "", 0, "three", false, false},
		{"back", "four", 5, "three", false, false},
		{"again", "", 0, "four", true, false},
	} {
		switch step.write {
		case "":
		case "-":
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		default:
			write(t, path, step.write, step.at)
		}
		taken, err := f.Look()
		if taken != step.taken || (err != nil) != step.err || have != step.want {
			t.Errorf("%d %s: %v, %v, have %q", i, step.name, taken, err, have)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "list")
	never := func([]byte) error { t.Error("taken"); return nil }
	if _, err := Open(path, 10, never); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := Open(t.TempDir(), 10, never); err == nil {
		t.Error("a folder was read")
	}
	write(t, path, "12345678901", 0)
	if _, err := Open(path, 10, never); err == nil {
		t.Error("a long file was read")
	}
}
