package file

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/flows/audit"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

// notary signs with a key of its own, or is down.
type notary struct {
	mu   sync.Mutex
	down error
	head audit.Head
}

var key = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))

func (n *notary) Signer(context.Context) (func([]byte) []byte, ed25519.PublicKey, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return func(m []byte) []byte { return ed25519.Sign(key, m) }, key.Public().(ed25519.PublicKey), n.down
}

func (n *notary) Keep(h audit.Head) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.head = h
}

func (n *notary) last() audit.Head {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.head
}

// verified reads files as `identity audit verify` does.
func verified(t testing.TB, n *notary, files ...string) (audit.Whole, error) {
	t.Helper()
	h := n.last()
	v := &audit.Verifier{Keys: []ed25519.PublicKey{key.Public().(ed25519.PublicKey)}, Heads: map[string]audit.Head{h.Chain: h}}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := v.Verify(filepath.Base(name), f); err != nil {
			return audit.Whole{}, err
		}
	}
	return v.End()
}

func signing(t testing.TB, s *Sink, n *notary) *Sink {
	s.SetNotary(n)
	return opened(t, s)
}

// I8: a file that was closed and opened again is one chain, signed to its end.
func TestI8ChainSurvivesARestart(t *testing.T) {
	t.Parallel()
	path, n := filepath.Join(t.TempDir(), "audit.log"), new(notary)
	for i := range 3 {
		s := signing(t, &Sink{Path: path}, n)
		write(t, s, fmt.Sprint("a", i))
		write(t, s, fmt.Sprint("b", i))
		closeSink(t, s)
	}
	wantIDs(t, path, "a0", "b0", "a1", "b1", "a2", "b2")
	w, err := verified(t, n, path)
	if err != nil || w.Entries != 6 || w.Signed != 4 || w.Unsigned != 0 || w.To != n.last().Seq {
		t.Errorf("%+v %v, signed %+v", w, err, n.last())
	}
	text, _ := os.ReadFile(path)
	lines := strings.SplitAfter(string(text), "\n")
	if err := os.WriteFile(path, []byte(strings.Join(lines[:len(lines)-3], "")), 0o600); err != nil { // while it is down
		t.Fatal(err)
	}
	if _, err := verified(t, n, path); err == nil || !strings.Contains(err.Error(), "cut") {
		t.Errorf("cut: %v", err)
	}
}

func TestRollsOver(t *testing.T) {
	t.Parallel()
	dir, n := t.TempDir(), new(notary)
	path := filepath.Join(dir, "audit.jsonl")
	now := atomic.Int64{}
	now.Store(flowstest.Start.Unix())
	s := &Sink{Path: path, RollSize: 1500, RollInterval: caddy.Duration(time.Hour)}
	s.SetClock(func() time.Time { return time.Unix(now.Load(), 0) })
	signing(t, s, n)
	var ids []string
	for i := range 9 {
		ids = append(ids, fmt.Sprint("e", i))
		write(t, s, ids[i])
		if i == 7 {
			now.Add(3600)
		}
	}
	all := append(Rolled(path), path)
	if len(all) < 4 || len(all) > 8 {
		t.Fatalf("%d files: %q", len(all), all)
	}
	closeSink(t, s)
	var got []string
	for _, f := range all {
		if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 || info.Size() > 3500 {
			t.Errorf("%s: %v %v", f, info, err)
		}
		whole, _ := os.ReadFile(f)
		if lines := strings.Split(strings.TrimSpace(string(whole)), "\n"); !strings.HasPrefix(lines[0], `{"kind":"checkpoint"`) || !strings.HasPrefix(lines[len(lines)-1], `{"kind":"checkpoint"`) {
			t.Errorf("%s does not begin and end with a checkpoint", f)
		}
		text, _ := read(f)
		for l := range strings.Lines(text) {
			got = append(got, strings.Split(l, `"`)[3])
		}
	}
	if strings.Join(got, " ") != strings.Join(ids, " ") {
		t.Errorf("the files hold %q", got)
	}
	if w, err := verified(t, n, all...); err != nil || w.Entries != 9 || w.Unsigned != 0 {
		t.Errorf("%+v %v", w, err)
	}
	if _, err := verified(t, n, append(all[:1:1], all[2:]...)...); err == nil || !strings.Contains(err.Error(), "removed") {
		t.Errorf("without one of them: %v", err)
	}
}

func TestRollKeep(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		s    Sink
		left int
	}{
		"by number": {Sink{RollKeep: 2}, 2},
		"by age":    {Sink{RollKeepFor: caddy.Duration(90 * time.Minute)}, 2},
		"all":       {Sink{}, 4},
	} {
		path := filepath.Join(t.TempDir(), "audit.jsonl")
		other := filepath.Join(filepath.Dir(path), "audit-notes.jsonl")
		if err := os.WriteFile(other, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		now := atomic.Int64{}
		now.Store(flowstest.Start.Unix())
		s := &tc.s
		s.Path, s.RollSize = path, 10
		s.SetClock(func() time.Time { return time.Unix(now.Load(), 0) })
		n := new(notary)
		signing(t, s, n)
		for i := range 5 {
			write(t, s, fmt.Sprint(i))
			now.Add(3600)
		}
		closeSink(t, s)
		left := Rolled(path)
		if _, err := os.Stat(other); err != nil || len(left) != tc.left {
			t.Errorf("%s: %q left; %v", name, left, err)
		}
		if w, err := verified(t, n, append(left, path)...); err != nil || w.Entries != tc.left+1 {
			t.Errorf("%s: %+v %v", name, w, err)
		}
	}
}

// Others may move or empty the file, and crashes leave pieces: the chain says so and goes on.
func TestChainAfterOthers(t *testing.T) {
	t.Parallel()
	dir, n := t.TempDir(), new(notary)
	path := filepath.Join(dir, "audit.log")
	if err := os.WriteFile(path, []byte("{\"id\":\"old\"}\n{\"id\":\"ol"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := signing(t, &Sink{Path: path}, n)
	write(t, s, "a")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write(t, s, "b")
	copied, err := os.ReadFile(path)
	if err == nil {
		err = errors.Join(os.WriteFile(path+".2", copied, 0o600), os.Truncate(path, 0))
	}
	if err != nil {
		t.Fatal(err)
	}
	write(t, s, "c")
	closeSink(t, s)
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(`{"id":"torn","ki`)
	}
	if err != nil || f.Close() != nil {
		t.Fatal(err)
	}
	s = signing(t, &Sink{Path: path}, n)
	write(t, s, "d")
	closeSink(t, s)
	w, err := verified(t, n, path+".1", path+".2", path)
	if err != nil || w.Entries != 4 || w.Torn != 1 || w.From != 1 {
		t.Errorf("%+v %v", w, err)
	}
	text, _ := os.ReadFile(path)
	if err := os.WriteFile(path, bytes.Replace(text, []byte("torn"), []byte("worn"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := verified(t, n, path+".1", path+".2", path); err == nil {
		t.Error("a piece of a line can be changed")
	}
}

func TestI25NoKeyKeepsNobodyOut(t *testing.T) {
	t.Parallel()
	path, n := filepath.Join(t.TempDir(), "audit.log"), &notary{down: errors.New("storage is down")}
	s := signing(t, &Sink{Path: path}, n)
	write(t, s, "a")
	n.mu.Lock()
	n.down = nil
	n.mu.Unlock()
	write(t, s, "b")
	closeSink(t, s)
	if w, err := verified(t, n, path); err != nil || w.Entries != 2 || w.Signed != 1 || w.Unsigned != 0 {
		t.Errorf("%+v %v", w, err)
	}
}

// C11: a full disk is an error, leaves no piece of a line, and is over when there is room.
func TestC11FullDisk(t *testing.T) { flowstest.OnFullDisk(t, fullDisk) }

func fullDisk(t *testing.T, d flowstest.Disk) {
	path, n := filepath.Join(d.Dir, "audit.log"), new(notary)
	s := signing(t, &Sink{Path: path}, n)
	write(t, s, "first")
	d.Fill(t, path)
	var err error
	kept := 1
	for range 200 { // to the end of the block
		if err = s.Write(t.Context(), flowstest.AuditEvent("x")); err != nil {
			break
		}
		kept++
	}
	if !flowstest.IsFull(err) {
		t.Fatalf("a full disk: %v", err)
	}
	trail := audit.NewTrail(nil, s)
	defer trail.Close()
	if r, err := trail.Before(t.Context(), flowstest.AuditEvent("login")); !errors.Is(err, audit.ErrDown) || r.Valid() {
		t.Errorf("%v %v", r, err)
	}
	d.Free(t)
	write(t, s, "last")
	closeSink(t, s)
	if w, err := verified(t, n, path); err != nil || w.Entries != kept+1 || w.Torn != 0 || w.Unsigned != 0 {
		t.Errorf("%+v %v, %d kept", w, err, kept)
	}
}

// BenchmarkEvents is the trail under load: what arrives together shares one fsync.
func BenchmarkEvents(b *testing.B) {
	for _, sync := range []bool{true, false} {
		b.Run(fmt.Sprintf("sync=%v", sync), func(b *testing.B) {
			s := &Sink{Path: filepath.Join(b.TempDir(), "audit.log"), Sync: &sync}
			signing(b, s, new(notary))
			e := flowstest.AuditEvent("e")
			b.ReportAllocs()
			b.SetParallelism(128)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := s.Write(context.Background(), e); err != nil {
						b.Error(err)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
