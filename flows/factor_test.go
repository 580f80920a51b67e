package flows

import (
	"testing"
	"time"
)

// Guesses that keep to the pace are stopped well below the hundred of NIST SP 800-63B.
func TestM02TriesInARowAreLimitedForGood(t *testing.T) {
	now, judged := time.Unix(1e9, 0), 0
	var tally Tally
	for range 1000 {
		now = now.Add(20 * time.Minute)
		var wait time.Duration
		if tally, wait = tally.Reserve(LimitFactor, now); wait == 0 {
			judged++
		}
	}
	if judged != MaxTries || MaxTries >= 100 {
		t.Fatalf("%d tries in a row were judged, want %d", judged, MaxTries)
	}
}

func TestTallyPace(t *testing.T) {
	now := time.Unix(1e9, 0)
	var tally Tally
	var wait time.Duration
	for i := range LimitFactor.Free {
		if tally, wait = tally.Reserve(LimitFactor, now); wait != 0 {
			t.Fatalf("try %d of %d waits %s", i+1, LimitFactor.Free, wait)
		}
	}
	for n, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second} {
		before := tally
		if tally, wait = tally.Reserve(LimitFactor, now); wait != want {
			t.Fatalf("after %d tries: want a wait of %s, got %s", LimitFactor.Free+n, want, wait)
		}
		if tally != before {
			t.Fatal("a try that was not judged was counted")
		}
		now = now.Add(wait)
		if tally, wait = tally.Reserve(LimitFactor, now); wait != 0 {
			t.Fatalf("after the wait it still waits %s", wait)
		}
	}
	if tally, wait = tally.Reserve(LimitFactor, now.Add(LimitFactor.Window+LimitFactor.Longest+time.Second)); wait != 0 || tally.Count != 1 {
		t.Fatalf("a new window begins at %d with a wait of %s", tally.Count, wait)
	}
}
