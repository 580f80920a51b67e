package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	bolt "go.etcd.io/bbolt"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

var bg = context.Background()

func open(t testing.TB, path string, clock *flowstest.Clock) *Store {
	t.Helper()
	s := &Store{Path: path}
	if err := s.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	s.SetClock(clock.Now)
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

func closeStore(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Cleanup(); err != nil {
		t.Error(err)
	}
}

func create(t testing.TB, s *Store, key string) {
	t.Helper()
	if err := s.Create(bg, key, []byte("v"+key), time.Hour, "i"); err != nil {
		t.Fatal(err)
	}
}

func want(t testing.TB, s *Store, key string) {
	t.Helper()
	if v, err := s.Get(bg, key); err != nil || string(v) != "v"+key {
		t.Errorf("Get(%q) = %q, %v", key, v, err)
	}
}

func wantDown(t testing.TB, err error, parts ...string) {
	t.Helper()
	if !errors.Is(err, flows.ErrUnavailable) || errors.Is(err, flows.ErrNotFound) {
		t.Errorf("got %v, want ErrUnavailable", err)
		return
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("%q does not say %q", err, p)
		}
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	flowstest.TestStore(t, func(t *testing.T, clock *flowstest.Clock) flows.Store {
		return open(t, filepath.Join(t.TempDir(), "s.db"), clock)
	})
}

func TestI17ProvisionOpensNothing(t *testing.T) {
	t.Parallel()
	clock, dir := flowstest.NewClock(), t.TempDir()
	s := open(t, filepath.Join(dir, "deep", "s.db"), clock)
	if _, err := os.Stat(filepath.Join(dir, "deep")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Provision made the directory: %v", err)
	}
	create(t, s, "a")
	for path, mode := range map[string]os.FileMode{"deep": 0o700, "deep/s.db": 0o600} {
		info, err := os.Stat(filepath.Join(dir, path))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: mode %v, %v; want %v", path, info.Mode(), err, mode)
		}
	}
}

func TestB18FileStoreSurvivesReload(t *testing.T) {
	t.Parallel()
	clock, path := flowstest.NewClock(), filepath.Join(t.TempDir(), "s.db")
	before := open(t, path, clock)
	create(t, before, "a")
	after := open(t, filepath.Dir(path)+"/./s.db", clock) // another spelling, the same file
	want(t, after, "a")
	closeStore(t, before)
	create(t, after, "b")
	want(t, before, "b") // a request that still runs on the old config
	closeStore(t, before)
	create(t, after, "c")
}

func TestB18FileStoreSurvivesRestart(t *testing.T) {
	t.Parallel()
	clock, path := flowstest.NewClock(), filepath.Join(t.TempDir(), "s.db")
	first := open(t, path, clock)
	create(t, first, "a")
	closeStore(t, first)
	_, err := first.Get(bg, "a")
	wantDown(t, err, "closed")
	second := open(t, path, clock)
	want(t, second, "a")
	if keys, err := second.Members(bg, "i", "", 9); err != nil || len(keys) != 1 {
		t.Errorf("Members = %v, %v", keys, err)
	}
}

func TestLockedFileIsUnavailableThenRecovers(t *testing.T) {
	t.Parallel()
	clock, path := flowstest.NewClock(), filepath.Join(t.TempDir(), "s.db")
	other, err := bolt.Open(path, 0o600, nil) // flock holds between open files, so this stands for another process
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, path, clock)
	begin := time.Now()
	err = s.Create(bg, "a", nil, time.Minute)
	wantDown(t, err, path, "another process")
	if took := time.Since(begin); took > 4*time.Second {
		t.Errorf("a locked file held the caller for %v", took)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = s.Get(bg, "a")
	wantDown(t, err, "another process") // remembered: nobody waits two seconds again at once
	clock.Advance(retryAfter)
	create(t, s, "a")
	want(t, s, "a")
}

func TestWaitingForTheLockEndsWithTheContext(t *testing.T) {
	t.Parallel()
	clock, path := flowstest.NewClock(), filepath.Join(t.TempDir(), "s.db")
	other, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	s := open(t, path, clock)
	ctx, cancel := context.WithTimeout(bg, 10*time.Millisecond)
	defer cancel()
	_, err = s.Get(ctx, "a")
	wantDown(t, err, path)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the context's error", err)
	}
}

func TestUnusableDirectoryRecovers(t *testing.T) {
	t.Parallel()
	clock, dir := flowstest.NewClock(), t.TempDir()
	blocker := filepath.Join(dir, "data")
	s := open(t, filepath.Join(blocker, "s.db"), clock)
	if err := os.WriteFile(blocker, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(); err == nil || !strings.Contains(err.Error(), blocker) {
		t.Errorf("a path below a file: %v", err)
	}
	_, err := s.Get(bg, "a")
	wantDown(t, err, blocker)
	if err := os.Remove(blocker); err != nil {
		t.Fatal(err)
	}
	clock.Advance(retryAfter)
	create(t, s, "a")
	want(t, s, "a")
}

func TestReadOnlyDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s.db")
	if os.Geteuid() == 0 { // who may write everywhere but here
		path = "/proc/sallyport/s.db"
	}
	s := open(t, path, flowstest.NewClock())
	wantDown(t, s.Create(bg, "a", nil, time.Minute), path)
}

func TestDamagedFiles(t *testing.T) {
	t.Parallel()
	whole := wholeFile(t)
	for name, damage := range map[string]func([]byte) []byte{
		"text":           func([]byte) []byte { return []byte(strings.Repeat("no database\n", 4096)) },
		"one byte":       func([]byte) []byte { return []byte{0} },
		"cut short":      func(b []byte) []byte { return b[:3*os.Getpagesize()] },
		"only the metas": func(b []byte) []byte { return b[:2*os.Getpagesize()] },
		"zeroed pages":   func(b []byte) []byte { clear(b[2*os.Getpagesize():]); return b },
		"garbage pages": func(b []byte) []byte {
			for i := range b[2*os.Getpagesize():] {
				b[2*os.Getpagesize()+i] = byte(i*7 + i>>8)
			}
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock, path := flowstest.NewClock(), filepath.Join(t.TempDir(), "s.db")
			if err := os.WriteFile(path, damage(bytes.Clone(whole)), 0o600); err != nil {
				t.Fatal(err)
			}
			s := open(t, path, clock)
			_, err := s.Get(bg, "k007")
			wantDown(t, err, path)
			wantDown(t, s.Create(bg, "new", nil, time.Minute), path)
			_, err = s.Members(bg, "i", "", 9)
			wantDown(t, err, path)
			// The operator repairs it in place: the store works again without a restart.
			if err := os.WriteFile(path, whole, 0o600); err != nil {
				t.Fatal(err)
			}
			clock.Advance(brokenAfter)
			want(t, s, "k007")
			create(t, s, "new")
			want(t, s, "new")
		})
	}
}

func TestDamagedWhileOpen(t *testing.T) {
	t.Parallel()
	clock, path := flowstest.NewClock(), filepath.Join(t.TempDir(), "s.db")
	if err := os.WriteFile(path, wholeFile(t), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, path, clock)
	want(t, s, "k007")
	if err := os.Truncate(path, 0); err != nil { // its mapped pages fault now
		t.Fatal(err)
	}
	_, err := s.Get(bg, "k007")
	wantDown(t, err, path)
	wantDown(t, s.Create(bg, "new", nil, time.Minute), path)
	clock.Advance(brokenAfter)
	create(t, s, "new")
	want(t, s, "new")
}

// wholeFile is a store with entries on many pages.
func wholeFile(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "whole.db")
	s := open(t, path, flowstest.NewClock())
	err := s.db.write(bg, func(b buckets) error {
		for i := range 500 {
			key := fmt.Sprintf("k%03d", i)
			if err := b.apply(key, flows.Set([]byte("v"+key), time.Hour, "i", "u"+key)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSweep(t *testing.T) {
	t.Parallel()
	clock := flowstest.NewClock()
	s := open(t, filepath.Join(t.TempDir(), "s.db"), clock)
	err := s.db.write(bg, func(b buckets) error {
		for i := range 3*sweepStep + 5 {
			ttl := time.Minute
			if i%100 == 0 {
				ttl = time.Hour
			}
			if err := b.apply(fmt.Sprint(i), flows.Set(nil, ttl, "i", fmt.Sprint("u", i))); err != nil {
				return err
			}
		}
		return b.apply("for ever", flows.Set(nil, 0, "i"))
	})
	if err != nil {
		t.Fatal(err)
	}
	clock.Advance(time.Minute)
	s.db.sweepAll()
	living := (3*sweepStep+5+99)/100 + 1
	err = s.db.view(bg, func(b buckets) error {
		for name, got := range map[string]int{"data": b.data.Stats().KeyN, "expiry": b.expiry.Stats().KeyN + 1, "index": b.index.Stats().KeyN/2 + 1} {
			if got != living {
				t.Errorf("%s: %d entries are left, want the %d living", name, got, living)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestNoClockAnswersNothing(t *testing.T) {
	t.Parallel()
	s := &Store{Path: filepath.Join(t.TempDir(), "s.db")}
	if err := s.Cleanup(); err != nil {
		t.Fatal(err) // after a failed Provision
	}
	_, err := s.Get(bg, "a")
	wantDown(t, err, "not provisioned")
	if err := s.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	wantDown(t, s.Create(bg, "a", nil, time.Minute), "no clock")
}

func TestTooLongNamesAreRefusedAlone(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "s.db"), flowstest.NewClock())
	long := strings.Repeat("x", maxName+1)
	if err := s.Create(bg, long, nil, time.Minute); err == nil || errors.Is(err, flows.ErrUnavailable) {
		t.Errorf("a long key: %v", err)
	}
	if err := s.Create(bg, "a", nil, time.Minute, long); err == nil || errors.Is(err, flows.ErrUnavailable) {
		t.Errorf("a long index: %v", err)
	}
	longest := long[1:]
	if err := s.Create(bg, longest, nil, time.Minute, longest); err != nil {
		t.Errorf("the longest names: %v", err)
	}
	if keys, err := s.Members(bg, longest, "", 9); err != nil || len(keys) != 1 {
		t.Errorf("Members of the longest: %d, %v", len(keys), err)
	}
}

func TestCaddyfile(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ in, path, err string }{
		{in: "file"},
		{in: "file /var/lib/s.db", path: "/var/lib/s.db"},
		{in: `file ""`, err: "the path is empty"},
		{in: "file a b", err: "takes one path, found 'b'"},
		{in: "file a {\n path b\n}", err: "has no options, found 'path'"},
	} {
		s := new(Store)
		err := s.UnmarshalCaddyfile(caddyfile.NewTestDispenser(tc.in))
		if (err == nil) != (tc.err == "") || (err != nil && !strings.Contains(err.Error(), tc.err)) || (err == nil && s.Path != tc.path) {
			t.Errorf("%q: path %q, %v; want %q, %q", tc.in, s.Path, err, tc.path, tc.err)
		}
	}
}

func TestPaths(t *testing.T) {
	data := t.TempDir()
	t.Setenv("XDG_DATA_HOME", data)
	t.Setenv("STORE_DIR", "/srv/x")
	t.Setenv("EMPTY", "")
	for _, tc := range []struct{ path, want string }{
		{"", filepath.Join(data, "caddy", "sallyport.db")},
		{"{env.STORE_DIR}/a/../s.db", "/srv/x/s.db"},
		{"{env.EMPTY}", ""},
		{"/srv/dir/", ""},
	} {
		s := &Store{Path: tc.path}
		err := s.Provision(caddy.Context{})
		if (err != nil) != (tc.want == "") || s.path != tc.want {
			t.Errorf("%q: %q, %v; want %q", tc.path, s.path, err, tc.want)
		}
		closeStore(t, s)
	}
	if err := (&Store{path: data}).Validate(); err == nil {
		t.Error("a directory was taken for a file")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(nil))
	f.Add((&entry{val: []byte("v")}).encode())
	f.Add((&entry{until: 1 << 50, index: [][]byte{[]byte("i"), {}}, val: []byte("v")}).encode())
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decode(b)
		if err != nil {
			return
		}
		again, err := decode(e.encode())
		if err != nil || again.until != e.until || len(again.index) != len(e.index) || !bytes.Equal(again.val, e.val) {
			t.Errorf("%x: %+v, then %+v, %v", b, e, again, err)
		}
	})
}
