package memory

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

func open(t *testing.T, clock *flowstest.Clock) *Store {
	t.Helper()
	s := &Store{key: t.Name()}
	if err := s.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	s.SetClock(clock.Now)
	t.Cleanup(func() {
		if err := s.Cleanup(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestConformance(t *testing.T) {
	t.Parallel()
	flowstest.TestStore(t, func(t *testing.T, clock *flowstest.Clock) flows.Store { return open(t, clock) })
}

func TestB18MemoryStoreSurvivesReload(t *testing.T) {
	t.Parallel()
	ctx, clock := context.Background(), flowstest.NewClock()
	before := open(t, clock)
	if err := before.Create(ctx, "a", []byte("1"), time.Minute); err != nil {
		t.Fatal(err)
	}
	after := open(t, clock) // the new config is provisioned while the old one serves
	if err := before.Cleanup(); err != nil {
		t.Fatal(err)
	}
	if v, err := after.Get(ctx, "a"); err != nil || string(v) != "1" {
		t.Errorf("after the reload: %q, %v", v, err)
	}
	if v, err := before.Get(ctx, "a"); err != nil || string(v) != "1" {
		t.Errorf("a request still running on the old config: %q, %v", v, err)
	}
	if err := before.Cleanup(); err != nil { // twice must not let go of the new config's
		t.Fatal(err)
	}
	if n, ok := pool.References(after.key); !ok || n != 1 {
		t.Errorf("%d references, want the new config's one", n)
	}
}

func TestSweepKeepsUpWithWrites(t *testing.T) {
	t.Parallel()
	ctx, clock := context.Background(), flowstest.NewClock()
	s := open(t, clock)
	for i := range 1000 {
		if err := s.Create(ctx, fmt.Sprint("old", i), nil, time.Minute, "i", fmt.Sprint("u", i)); err != nil {
			t.Fatal(err)
		}
	}
	clock.Advance(time.Minute)
	for i := range 1000/sweepStep + 1 {
		if err := s.Create(ctx, fmt.Sprint("new", i), nil, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := len(s.table.entries), 1000/sweepStep+1; got != want {
		t.Errorf("%d entries are left, want the %d living", got, want)
	}
	if got := len(s.table.indexes); got != 0 {
		t.Errorf("%d indexes are left, want none", got)
	}
}

func TestTouchLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	ctx, clock := context.Background(), flowstest.NewClock()
	s := open(t, clock)
	for range 100 {
		err := s.Update(ctx, "a", func([]byte) (flows.Change, error) { return flows.Set(nil, time.Hour), nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := len(s.table.dying); got != 1 {
		t.Errorf("%d deadlines for one entry", got)
	}
}

func TestNoClockAnswersNothing(t *testing.T) {
	t.Parallel()
	s := &Store{key: t.Name()}
	if err := s.Cleanup(); err != nil {
		t.Fatal(err) // after a failed Provision
	}
	if _, err := s.Get(context.Background(), "a"); !errors.Is(err, flows.ErrUnavailable) {
		t.Errorf("before Provision: %v, want ErrUnavailable", err)
	}
	if err := s.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Cleanup() }()
	if err := s.Create(context.Background(), "a", nil, time.Minute); !errors.Is(err, flows.ErrUnavailable) {
		t.Errorf("without a clock: %v, want ErrUnavailable", err)
	}
}

func TestCaddyfile(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ in, err string }{
		{in: "memory"},
		{in: "memory 5", err: "takes no arguments, found '5'"},
		{in: "memory {\n size 5\n}", err: "has no options, found 'size'"},
	} {
		err := new(Store).UnmarshalCaddyfile(caddyfile.NewTestDispenser(tc.in))
		if (err == nil) != (tc.err == "") || (err != nil && !strings.Contains(err.Error(), tc.err)) {
			t.Errorf("%q: %v, want %q", tc.in, err, tc.err)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	s := benchmarked(b)
	if err := s.Create(context.Background(), "a", make([]byte, 1024), time.Hour); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Get(context.Background(), "a"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCreate(b *testing.B) {
	s, val, i := benchmarked(b), make([]byte, 1024), 0
	b.ReportAllocs()
	for b.Loop() {
		i++
		if err := s.Create(context.Background(), fmt.Sprint(i), val, time.Hour, "i"); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarked(b *testing.B) *Store {
	s := &Store{key: b.Name()}
	if err := s.Provision(caddy.Context{}); err != nil {
		b.Fatal(err)
	}
	s.SetClock(flowstest.NewClock().Now)
	b.Cleanup(func() { _ = s.Cleanup() })
	return s
}
