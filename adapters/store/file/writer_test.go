package file

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

// held stops the writer inside a callback until release is called.
func held(t *testing.T, s *Store) (release func()) {
	t.Helper()
	entered, leave, left := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(left)
		var once sync.Once
		err := s.Update(bg, "held", func([]byte) (flows.Change, error) {
			once.Do(func() { close(entered) })
			<-leave
			return flows.Set(nil, time.Hour), nil
		})
		if err != nil {
			t.Error(err)
		}
	}()
	<-entered
	return func() {
		close(leave)
		<-left
	}
}

// queued waits until n writes stand behind the running one.
func queued(s *Store, n int) {
	for {
		s.db.mu.Lock()
		got := len(s.db.queue)
		s.db.mu.Unlock()
		if got >= n {
			return
		}
		runtime.Gosched()
	}
}

func TestOneSyncServesAllThatWait(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "s.db"), flowstest.NewClock())
	release := held(t, s)
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() { create(t, s, fmt.Sprint(i)) })
	}
	queued(s, 100)
	before := commits(t, s)
	release()
	wg.Wait()
	if n := commits(t, s) - before; n != 2 { // the held one and all others
		t.Errorf("101 writes took %d transactions, want 2", n)
	}
}

func commits(t *testing.T, s *Store) (id int) {
	t.Helper()
	if err := s.db.view(bg, func(b buckets) error { id = b.data.Tx().ID(); return nil }); err != nil {
		t.Fatal(err)
	}
	return id
}

func TestAWriteGivenUpInTheQueueNeverHappens(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "s.db"), flowstest.NewClock())
	release := held(t, s)
	ctx, cancel := context.WithCancel(bg)
	done := make(chan error, 1)
	go func() { done <- s.Create(ctx, "a", nil, time.Hour) }()
	queued(s, 1)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || !errors.Is(err, flows.ErrUnavailable) {
		t.Errorf("given up: %v", err)
	}
	release()
	create(t, s, "b")
	if _, err := s.Get(bg, "a"); !errors.Is(err, flows.ErrNotFound) {
		t.Errorf("the write that was given up: %v", err)
	}
}

// A full disk refuses what is new and takes nothing that was acknowledged.
func TestFullDiskKeepsWhatIsThere(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "s.db"), flowstest.NewClock())
	create(t, s, "a")
	s.db.mu.Lock()
	s.db.db.MaxSize = 1 // bbolt refuses to grow, as when the disk is full
	s.db.mu.Unlock()
	wantDown(t, s.Create(bg, "big", make([]byte, 1<<20), time.Hour), s.path)
	want(t, s, "a")
	if _, err := s.Get(bg, "big"); !errors.Is(err, flows.ErrNotFound) {
		t.Errorf("what was refused: %v", err)
	}
	create(t, s, "b") // the file was opened anew: there is room again
	want(t, s, "b")
}

func TestACallbackThatLeavesStopsNobody(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "s.db"), flowstest.NewClock())
	err := s.Update(bg, "a", func([]byte) (flows.Change, error) {
		runtime.Goexit()
		return flows.Keep(), nil
	})
	wantDown(t, err, "Goexit")
	create(t, s, "b")
	want(t, s, "b")
}
