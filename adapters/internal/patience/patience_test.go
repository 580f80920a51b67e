package patience

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var errDown = errors.New("down")

// source is what fetches one document: one try at a time, joined by all.
type source struct {
	takes  time.Duration
	upFrom time.Time

	mu            sync.Mutex
	tried, failed time.Time
	err           error
	flight        chan struct{}
	began         []time.Time
}

func (s *source) look() Tries {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Look(time.Now(), s.tried, s.failed, s.flight != nil, s.err)
}

func (s *source) try(ctx context.Context) error {
	s.mu.Lock()
	f := s.flight
	if f == nil {
		f = make(chan struct{})
		s.flight, s.tried = f, time.Now()
		s.began = append(s.began, s.tried)
		go s.fetch(f)
	}
	s.mu.Unlock()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-f:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *source) fetch(f chan struct{}) {
	time.Sleep(s.takes)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flight, s.err, s.failed = nil, nil, time.Time{}
	if time.Now().Before(s.upFrom) {
		s.err, s.failed = errDown, s.began[0]
	}
	close(f)
}

// tries is how many began, and fails the test if two of them were too close.
func (s *source) tries(t *testing.T) int {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := 1; i < len(s.began); i++ {
		if d := s.began[i].Sub(s.began[i-1]); d < Pace {
			t.Errorf("two tries within %v", d)
		}
	}
	return len(s.began)
}

func TestWait(t *testing.T) {
	t.Parallel()
	const never, ms = time.Hour, time.Millisecond
	for _, tc := range []struct {
		name string
		// takes is how long a try takes, comes when the provider is there. The first try
		// begins at 0, another one at again, the login at login.
		takes, comes, again, login time.Duration
		wantErr                    bool
		wait                       time.Duration
		tries                      int
	}{
		{"a try is under way", 500 * ms, 0, 0, 200 * ms, false, 300 * ms, 1},
		{"right after a failed try", 10 * ms, 100 * ms, 0, 200 * ms, false, 810 * ms, 2},
		{"the last try is old enough", 10 * ms, 100 * ms, 0, 3 * time.Second, false, 10 * ms, 2},
		{"a slow start", 10 * ms, 4 * time.Second, 0, 200 * ms, false, 3810 * ms, 5},
		{"it does not come", 10 * ms, never, 0, 200 * ms, true, Login, 6},
		{"it hangs", 10 * time.Second, never, 0, 200 * ms, true, Login, 1},
		{"known to be down, just tried", 10 * ms, never, Known, Known + 500*ms, true, 0, 2},
		{"known to be down", 10 * ms, never, Known, Known + 2*time.Second, true, 10 * ms, 3},
		{"known to be down, back", 10 * ms, Known + time.Second, Known, Known + 2*time.Second, false, 10 * ms, 3},
		{"known to hang", 10 * time.Second, never, 0, Known + time.Second, true, Down, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &source{takes: tc.takes, upFrom: time.Now().Add(tc.comes)}
				go func() { _ = s.try(t.Context()) }()
				if tc.again > 0 {
					time.AfterFunc(tc.again, func() { _ = s.try(t.Context()) })
				}
				time.Sleep(tc.login)
				at := time.Now()
				err := Wait(t.Context(), s.look, s.try, Pause)
				if (err != nil) != tc.wantErr || time.Since(at) != tc.wait {
					t.Errorf("%v after %v, want %v", err, time.Since(at), tc.wait)
				}
				if n := s.tries(t); n != tc.tries {
					t.Errorf("%d tries, want %d", n, tc.tries)
				}
				time.Sleep(never)
			})
		})
	}
}

// TestB19WaitingCostsOneTry: a crowd waits for one try, who goes away goes at once,
// and nobody is left behind.
func TestB19WaitingCostsOneTry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		s := &source{takes: 10 * time.Millisecond, upFrom: begin.Add(2500 * time.Millisecond)}
		gone, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 5 * time.Millisecond)
				if i%2 == 0 {
					if err := Wait(t.Context(), s.look, s.try, Pause); err != nil {
						t.Error(err)
					}
					return
				}
				err := Wait(gone, s.look, s.try, Pause)
				if err == nil || time.Since(begin) != 1500*time.Millisecond {
					t.Errorf("left with %v after %v", err, time.Since(begin))
				}
			})
		}
		time.Sleep(1500 * time.Millisecond)
		leave()
		wg.Wait()
		if n := s.tries(t); n != 4 {
			t.Errorf("%d tries, want one at 0, 1, 2 and 3 s", n)
		}
	})
}
