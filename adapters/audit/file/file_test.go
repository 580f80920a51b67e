package file

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows/audit"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

func open(t testing.TB, path string) *Sink {
	t.Helper()
	return opened(t, &Sink{Path: path})
}

func opened(t testing.TB, s *Sink) *Sink {
	t.Helper()
	if s.set.now == nil {
		s.SetClock(func() time.Time { return flowstest.Start })
	}
	if err := s.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeSink(t, s) })
	return s
}

func closeSink(t testing.TB, s *Sink) {
	t.Helper()
	if err := s.Cleanup(); err != nil {
		t.Error(err)
	}
}

func write(t testing.TB, s *Sink, id string) {
	t.Helper()
	if err := s.Write(context.Background(), flowstest.AuditEvent(id)); err != nil {
		t.Fatal(err)
	}
}

// read are the entries of a file, without its checkpoints.
func read(path string) (string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	var entries strings.Builder
	for line := range strings.Lines(string(b)) {
		if !strings.HasPrefix(line, `{"kind":"checkpoint",`) {
			entries.WriteString(line)
		}
	}
	return entries.String(), err
}

func wantIDs(t testing.TB, path string, want ...string) {
	t.Helper()
	text, err := read(path)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(text) {
		var e audit.Event
		if err := json.Unmarshal([]byte(line), &e); err == nil {
			got = append(got, e.ID)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s holds %q, want %q", filepath.Base(path), got, want)
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	flowstest.TestSink(t, func(t *testing.T) flowstest.Sink {
		path := filepath.Join(t.TempDir(), "audit.log")
		return flowstest.Sink{Sink: open(t, path), Written: func() (string, error) { return read(path) }}
	})
}

func TestP15LogForgingRoundTrip(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	s := open(t, path)
	want := flowstest.AuditEvent("e-1")
	want.Name = "eve\"}\n{\"id\":\"forged\"}\x1b[2J\u009b\u2028\u202e\U000e0041"
	if err := s.Write(context.Background(), want); err != nil {
		t.Fatal(err)
	}
	text, err := read(path)
	if err != nil || strings.Count(text, "\n") != 1 {
		t.Fatalf("%q, %v; want one line", text, err)
	}
	var got audit.Event
	if err := json.Unmarshal([]byte(text), &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("a parser reads %+v, %v; want %+v", got, err, want)
	}
}

func TestI17ProvisionOpensNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "deep", "audit.log"))
	if _, err := os.Stat(filepath.Join(dir, "deep")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Provision made the directory: %v", err)
	}
	write(t, s, "a")
	for path, mode := range map[string]os.FileMode{"deep": 0o700, "deep/audit.log": 0o600} {
		info, err := os.Stat(filepath.Join(dir, path))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: mode %v, %v; want %v", path, info.Mode(), err, mode)
		}
	}
}

func TestI25FullDiskIsAnError(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/dev/full"); err != nil {
		flowstest.Skip(t, "/dev/full is missing: this is no Linux")
	}
	trail := audit.NewTrail(nil, open(t, "/dev/full"))
	defer trail.Close()
	receipt, err := trail.Before(context.Background(), flowstest.AuditEvent("a"))
	if !errors.Is(err, audit.ErrDown) || receipt.Valid() {
		t.Errorf("a full disk: %v, receipt %v; want ErrDown and none", err, receipt.Valid())
	}
}

func TestUnwritableDirectoryRecovers(t *testing.T) {
	t.Parallel()
	blocker := filepath.Join(t.TempDir(), "log")
	path := filepath.Join(blocker, "audit.log")
	s := open(t, path)
	if err := os.WriteFile(blocker, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(); err == nil || !strings.Contains(err.Error(), blocker) {
		t.Errorf("a path below a file: %v", err)
	}
	if err := s.Write(context.Background(), flowstest.AuditEvent("a")); err == nil {
		t.Error("written below a file")
	}
	if err := os.Remove(blocker); err != nil {
		t.Fatal(err)
	}
	write(t, s, "b")
	wantIDs(t, path, "b")
}

func TestRotation(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	s := open(t, path)
	write(t, s, "a")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write(t, s, "b")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write(t, s, "c")
	if err := os.Truncate(path, 0); err != nil { // copytruncate
		t.Fatal(err)
	}
	write(t, s, "d")
	wantIDs(t, path+".1", "a")
	wantIDs(t, path, "d")
}

func TestHalfALineOfACrashStaysAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	if err := os.WriteFile(path, []byte("{\"id\":\"whole\"}\n{\"id\":\"ha"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	write(t, s, "a")
	write(t, s, "b")
	wantIDs(t, path, "whole", "a", "b")
}

func TestReloadSharesTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	before := open(t, path)
	write(t, before, "a")
	after := open(t, path)
	if before.out != after.out {
		t.Error("two configs have two appenders for one file")
	}
	closeSink(t, before)
	closeSink(t, before)
	write(t, after, "b")
	closeSink(t, after)
	write(t, before, "c") // a request that outlived both
	wantIDs(t, path, "a", "b", "c")
	before.out.mu.Lock()
	defer before.out.mu.Unlock()
	if !before.out.writing && before.out.file != nil {
		t.Error("a late entry left the file open")
	}
}

func TestCaddyfile(t *testing.T) {
	t.Parallel()
	on, off := true, false
	for _, tc := range []struct {
		in, path string
		sync     *bool
		err      string
	}{
		{in: "file /var/log/a", path: "/var/log/a"},
		{in: "file a {\n sync off\n}", path: "a", sync: &off},
		{in: "file a {\n sync on\n}", path: "a", sync: &on},
		{in: "file", err: "exactly one path"},
		{in: "file a b", err: "exactly one path"},
		{in: `file ""`, err: "the path is empty"},
		{in: "file a {\n sync maybe\n}", err: "sync is on or off"},
		{in: "file a {\n sync\n}", err: "sync is on or off"},
		{in: "file a {\n sync on\n sync on\n}", err: "written twice"},
		{in: "file a {\n sync on {\n x\n }\n}", err: "sync has no options, found 'x'"},
		{in: "file a {\n roll_keep 3\n}", path: "a"},
		{in: "file a {\n roll_size 10\n roll_interval 1d\n roll_keep_for 90d\n}", path: "a"},
		{in: "file a {\n roll_size much\n}", err: "roll_size wants a size such as 100MiB, not 'much'"},
		{in: "file a {\n roll_keep 0\n}", err: "roll_keep wants a number"},
		{in: "file a {\n roll_interval\n}", err: "roll_interval wants a duration"},
		{in: "file a {\n rotate daily\n}", err: "no option 'rotate'; there are: roll_interval, roll_keep, roll_keep_for, roll_size, sync"},
	} {
		s := new(Sink)
		err := s.UnmarshalCaddyfile(caddyfile.NewTestDispenser(tc.in))
		if (err == nil) != (tc.err == "") || (err != nil && !strings.Contains(err.Error(), tc.err)) {
			t.Errorf("%q: %v, want %q", tc.in, err, tc.err)
		}
		if err == nil && (s.Path != tc.path || !reflect.DeepEqual(s.Sync, tc.sync)) {
			t.Errorf("%q: %+v", tc.in, s)
		}
	}
}

func TestPathIsRequired(t *testing.T) {
	t.Setenv("EMPTY", "")
	for _, path := range []string{"", "{env.EMPTY}", "/srv/dir/"} {
		s := &Sink{Path: path}
		if err := s.Provision(caddy.Context{}); err == nil || !strings.Contains(err.Error(), "path") {
			t.Errorf("%q: %v", path, err)
		}
		closeSink(t, s)
	}
	if err := (&Sink{path: t.TempDir()}).Validate(); err == nil {
		t.Error("a directory was taken for a file")
	}
}

func BenchmarkWrite(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "audit.log"))
	b.ReportAllocs()
	for b.Loop() {
		write(b, s, "a")
	}
}
