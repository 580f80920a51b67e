package audit_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
)

// sink is a sink of a test: it may fail, or hang until its context ends or for ever.
type sink struct {
	mu   sync.Mutex
	ids  []string
	fail error
	hang chan struct{} // nil: does not hang
	deaf bool          // hangs through the end of its context, too
}

func (s *sink) Write(ctx context.Context, e audit.Event) error {
	if s.hang != nil {
		done := ctx.Done()
		if s.deaf {
			done = nil
		}
		select {
		case <-s.hang:
		case <-done:
			return ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail == nil {
		s.ids = append(s.ids, e.ID)
	}
	return s.fail
}

func (s *sink) has() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.ids, " ")
}

func TestI25TrailComesFirstForGrants(t *testing.T) {
	t.Parallel()
	ctx, event := context.Background(), audit.Event{ID: "e-1", Kind: audit.Login}
	full := errors.New("no space left on device")

	t.Run("a receipt means that every sink has it", func(t *testing.T) {
		a, b := new(sink), new(sink)
		trail := audit.NewTrail(nil, a, b)
		defer trail.Close()
		r, err := trail.Before(ctx, event)
		if err != nil || !r.Valid() || r.ID() != "e-1" {
			t.Errorf("Before = %+v, %v", r, err)
		}
		if a.has() != "e-1" || b.has() != "e-1" {
			t.Errorf("written: %q and %q", a.has(), b.has())
		}
	})
	t.Run("one failing sink is no receipt", func(t *testing.T) {
		trail := audit.NewTrail(nil, new(sink), &sink{fail: full})
		defer trail.Close()
		r, err := trail.Before(ctx, event)
		if r.Valid() || !errors.Is(err, audit.ErrDown) || !errors.Is(err, full) {
			t.Errorf("Before = %+v, %v; want no receipt, ErrDown and the cause", r, err)
		}
		if got := flows.ReasonOf(err); got != flows.ReasonAuditDown {
			t.Errorf("reason %s, want %s", got, flows.ReasonAuditDown)
		}
		if trail.Failed() != 1 {
			t.Errorf("%d failed writes counted, want 1", trail.Failed())
		}
	})
	t.Run("a hanging sink is no receipt", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			trail := audit.NewTrail(nil, &sink{hang: make(chan struct{})})
			defer trail.Close()
			begin := time.Now()
			if r, err := trail.Before(context.Background(), event); r.Valid() || !errors.Is(err, audit.ErrDown) {
				t.Errorf("Before = %+v, %v", r, err)
			}
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("a login waited %v", took)
			}
		})
	})
	t.Run("no id is no receipt", func(t *testing.T) {
		trail := audit.NewTrail(nil, new(sink))
		defer trail.Close()
		if r, err := trail.Before(ctx, audit.Event{Kind: audit.Login}); err == nil || r.Valid() {
			t.Errorf("Before = %+v, %v", r, err)
		}
	})
	t.Run("nobody can make one", func(t *testing.T) {
		if (audit.Receipt{}).Valid() {
			t.Error("the zero receipt is valid")
		}
	})
}

func TestI25TrailNeverBlocksWhatTakesAway(t *testing.T) {
	t.Parallel()
	const notes, queue = 6000, 4096
	s := &sink{hang: make(chan struct{}), deaf: true}
	trail := audit.NewTrail(nil, s)
	var noted, lost atomic.Int64
	trail.Observe(func(audit.Event) { noted.Add(1) }, func() { lost.Add(1) })
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range notes {
			trail.Note(audit.Event{ID: "n", Kind: audit.Logout})
		}
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("Note waits for a sink that hangs")
	}
	dropped := trail.Dropped()
	if dropped < notes-queue-1 || dropped > notes-queue {
		t.Errorf("%d dropped, want what is over %d and perhaps one in the sink", dropped, queue)
	}
	close(s.hang)
	trail.Close()
	if got := int64(len(strings.Fields(s.has()))); got != notes-dropped {
		t.Errorf("%d written, %d dropped, of %d", got, dropped, notes)
	}
	if noted.Load() != notes || lost.Load() != dropped {
		t.Errorf("who listens heard of %d and %d losses, want %d and %d", noted.Load(), lost.Load(), notes, dropped)
	}
}

// bomb panics on one event.
type bomb struct{ sink }

func (b *bomb) Write(ctx context.Context, e audit.Event) error {
	if e.ID == "bad" {
		panic("no good")
	}
	return b.sink.Write(ctx, e)
}

// A sink that panics is one that failed: nothing is granted, and the others and
// the next entries are written (C15).
func TestC15SinkThatPanics(t *testing.T) {
	t.Parallel()
	good, bad := new(sink), new(bomb)
	trail := audit.NewTrail(nil, bad, good)
	if r, err := trail.Before(t.Context(), audit.Event{ID: "bad"}); !errors.Is(err, audit.ErrDown) || r.Valid() {
		t.Errorf("got %v %v", r, err)
	}
	trail.Note(audit.Event{ID: "bad"})
	trail.Note(audit.Event{ID: "next"})
	trail.Close()
	if bad.has() != "next" || good.has() != "bad bad next" || trail.Failed() != 2 {
		t.Errorf("written %q and %q, %d failed", bad.has(), good.has(), trail.Failed())
	}
}

func TestNotedInOrderBeforeCloseReturns(t *testing.T) {
	t.Parallel()
	s := new(sink)
	trail := audit.NewTrail(nil, s)
	for _, id := range []string{"a", "b", "c"} {
		trail.Note(audit.Event{ID: id})
	}
	trail.Close()
	if s.has() != "a b c" {
		t.Errorf("written: %q", s.has())
	}
}

func TestNoteAfterCloseIsCounted(t *testing.T) {
	t.Parallel()
	s := new(sink)
	trail := audit.NewTrail(nil, s)
	trail.Close()
	trail.Close() // twice is harmless
	trail.Note(audit.Event{ID: "late"})
	if trail.Dropped() != 1 || s.has() != "" {
		t.Errorf("%d dropped, written %q; want 1 and nothing", trail.Dropped(), s.has())
	}
	if r, err := trail.Before(context.Background(), audit.Event{ID: "in flight"}); err != nil || !r.Valid() {
		t.Errorf("a login in flight over a reload: %v", err)
	}
}

func TestNoteRacesClose(t *testing.T) {
	t.Parallel()
	for range 50 {
		s := new(sink)
		trail := audit.NewTrail(nil, s)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 20 {
					trail.Note(audit.Event{ID: "n"})
				}
			})
		}
		wg.Go(trail.Close)
		wg.Go(trail.Close)
		wg.Wait()
		trail.Close()
		if got := len(strings.Fields(s.has())) + int(trail.Dropped()); got != 160 {
			t.Fatalf("%d written or counted of 160", got)
		}
	}
}

func TestCloseDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	for _, deaf := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := &sink{hang: make(chan struct{}), deaf: deaf}
			var mu sync.Mutex
			heard := 0
			trail := audit.NewTrail(func(error) {
				mu.Lock()
				defer mu.Unlock()
				heard++
			}, s)
			for range 100 {
				trail.Note(audit.Event{ID: "n"})
			}
			begin := time.Now()
			trail.Close()
			if took := time.Since(begin); took > 10*time.Second {
				t.Errorf("deaf %v: Close waited %v", deaf, took)
			}
			close(s.hang)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if got := len(strings.Fields(s.has())) + int(trail.Dropped()); got != 100 {
				t.Errorf("deaf %v: %d of 100 written or counted", deaf, got)
			}
			if !deaf && heard == 0 {
				t.Error("nobody heard of the writes that failed")
			}
		})
	}
}

func TestP15Clean(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":              "",
		"Grüße 李":       "Grüße 李",
		"a\nb":          `a\u000ab`,
		"\x1b[31m":      `\u001b[31m`,
		"\x7f\u009b":    `\u007f\u009b`,
		"\u2028\u202e":  `\u2028\u202e`,
		"\xffx\xc3":     `\xffx\xc3`,
		"ok \uFFFD\n":   "ok \uFFFD" + `\u000a`,
		"\U000e0041tag": `\ue0041tag`,
	} {
		if got := audit.Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzLine(f *testing.F) {
	f.Add("plain", "a\nb")
	f.Add("\x1b[2J\u009b", "\u2028\U000e0041\xff")
	f.Fuzz(func(t *testing.T, name, detail string) {
		line, err := audit.Event{ID: "e", Name: name, Detail: detail}.Line()
		if err != nil {
			t.Fatal(err)
		}
		text := strings.TrimSuffix(string(line), "\n")
		if strings.ContainsFunc(text, audit.Forges) || len(text) != len(line)-1 {
			t.Errorf("%q", line)
		}
	})
}
