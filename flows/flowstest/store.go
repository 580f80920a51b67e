package flowstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// TB is the part of testing.TB that the suites use, so that a test can record
// how a broken guest fails them.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// TestStore holds a store to the contract of flows.Store. open makes an empty
// store on this clock and closes it when the test ends.
func TestStore(t *testing.T, open func(t *testing.T, clock *Clock) flows.Store) {
	for _, c := range storeChecks {
		t.Run(c.name, func(t *testing.T) {
			clock := NewClock()
			s := open(t, clock)
			c.check(storeSuite{t, s, clock})
		})
	}
}

// storeSuite is one check's store, clock and verdict.
type storeSuite struct {
	TB
	s     flows.Store
	clock *Clock
}

type storeCheck struct {
	name  string
	check func(storeSuite)
}

// storeChecks is the whole contract, a sentence each.
var storeChecks = []storeCheck{
	{"NothingIsNotFound", storeSuite.nothing},
	{"CreateThenGet", storeSuite.createThenGet},
	{"CreateNeverOverwrites", storeSuite.createOnce},
	{"OneOf64CreatorsWins", storeSuite.createRace},
	{"ExpiredIsNotThere", storeSuite.expiry},
	{"CreateAfterExpiry", storeSuite.createAfterExpiry},
	{"UpdateOfTheExpiredSeesNothing", storeSuite.updateAfterExpiry},
	{"NoTTLIsForEver", storeSuite.forEver},
	{"NegativeTTLIsRefused", storeSuite.negativeTTL},
	{"UpdateKeeps", storeSuite.updateKeep},
	{"UpdateSets", storeSuite.updateSet},
	{"UpdateRemoves", storeSuite.updateRemove},
	{"UpdatePassesErrorsThrough", storeSuite.updateError},
	{"UpdateSurvivesAPanic", storeSuite.updatePanic},
	{"UpdatesLoseNothing", storeSuite.updateRace},
	{"UpdateAndCreateRaceOnce", storeSuite.mixedRace},
	{"MembersAreOrderedAndPaged", storeSuite.membersPaged},
	{"MembersFollowTheEntry", storeSuite.membersFollow},
	{"MembersExpire", storeSuite.membersExpire},
	{"IndexNamesDoNotRunTogether", storeSuite.indexNames},
	{"BinaryKeys", storeSuite.binaryKeys},
	{"EmptyValue", storeSuite.emptyValue},
	{"OneMebibyte", storeSuite.largeValue},
	{"ValuesAreCopied", storeSuite.copies},
	{"CancelledContext", storeSuite.cancelled},
	{"WatchEndsWithItsContext", storeSuite.watch},
}

var bg = context.Background()

func (s storeSuite) create(key, val string, ttl time.Duration, index ...string) {
	s.Helper()
	if err := s.s.Create(bg, key, []byte(val), ttl, index...); err != nil {
		s.Fatalf("Create(%q): %v", key, err)
	}
}

func (s storeSuite) update(key string, c flows.Change) {
	s.Helper()
	if err := s.s.Update(bg, key, func([]byte) (flows.Change, error) { return c, nil }); err != nil {
		s.Fatalf("Update(%q): %v", key, err)
	}
}

func (s storeSuite) want(key, want string) {
	s.Helper()
	got, err := s.s.Get(bg, key)
	if err != nil || string(got) != want {
		s.Errorf("Get(%q) = %.40q, %v; want %.40q", key, got, err, want)
	}
}

func (s storeSuite) wantNothing(key string) {
	s.Helper()
	got, err := s.s.Get(bg, key)
	if !errors.Is(err, flows.ErrNotFound) || errors.Is(err, flows.ErrUnavailable) || got != nil {
		s.Errorf("Get(%q) = %.40q, %v; want nothing and ErrNotFound", key, got, err)
	}
}

func (s storeSuite) wantMembers(index, after string, n int, want ...string) {
	s.Helper()
	got, err := s.s.Members(bg, index, after, n)
	if err != nil || !slices.Equal(got, want) {
		s.Errorf("Members(%q, %q, %d) = %q, %v; want %q", index, after, n, got, err, want)
	}
}

func (s storeSuite) nothing() {
	s.wantNothing("a")
	s.wantMembers("i", "", 10)
	ran := false
	err := s.s.Update(bg, "a", func(old []byte) (flows.Change, error) {
		if ran = true; old != nil {
			s.Errorf("old = %q, want nil", old)
		}
		return flows.Keep(), nil
	})
	if err != nil || !ran {
		s.Errorf("Update of nothing: %v, callback ran: %v", err, ran)
	}
	s.wantNothing("a")
	s.update("a", flows.Remove())
	s.wantNothing("a")
}

func (s storeSuite) createThenGet() {
	s.create("a", "1", time.Minute)
	s.create("b", "2", time.Minute)
	s.want("a", "1")
	s.want("b", "2")
	s.wantNothing("c")
}

func (s storeSuite) createOnce() {
	s.create("a", "1", time.Minute, "first")
	if err := s.s.Create(bg, "a", []byte("2"), time.Hour, "second"); !errors.Is(err, flows.ErrExists) {
		s.Errorf("second Create: %v, want ErrExists", err)
	}
	s.want("a", "1")
	s.wantMembers("first", "", 9, "a")
	s.wantMembers("second", "", 9)
	s.clock.Advance(2 * time.Minute)
	s.wantNothing("a")
}

// parallel runs fn at once in n goroutines.
func parallel(n int, fn func(i int)) {
	var ready, done sync.WaitGroup
	begin := make(chan struct{})
	ready.Add(n)
	for i := range n {
		done.Go(func() {
			ready.Done()
			<-begin
			fn(i)
		})
	}
	ready.Wait()
	close(begin)
	done.Wait()
}

func (s storeSuite) createRace() {
	const n, rounds = 64, 8
	for round := range rounds {
		key := fmt.Sprintf("mark%d", round)
		var mu sync.Mutex
		var winners []string
		parallel(n, func(i int) {
			mine := fmt.Sprint(i)
			switch err := s.s.Create(bg, key, []byte(mine), time.Minute); {
			case err == nil:
				mu.Lock()
				winners = append(winners, mine)
				mu.Unlock()
			case !errors.Is(err, flows.ErrExists):
				s.Errorf("losing Create: %v, want ErrExists", err)
			}
		})
		if len(winners) != 1 {
			s.Errorf("%d of %d creators won: %v", len(winners), n, winners)
			return
		}
		s.want(key, winners[0])
	}
}

func (s storeSuite) expiry() {
	s.create("a", "1", time.Minute)
	s.create("b", "2", 2*time.Minute)
	s.clock.Advance(time.Minute - time.Millisecond)
	s.want("a", "1")
	s.clock.Advance(time.Millisecond)
	s.wantNothing("a")
	s.want("b", "2")
	s.clock.Advance(time.Hour)
	s.wantNothing("b")
}

func (s storeSuite) createAfterExpiry() {
	s.create("a", "1", time.Minute, "old")
	s.clock.Advance(time.Minute)
	s.create("a", "2", time.Minute, "new")
	s.want("a", "2")
	s.wantMembers("old", "", 9)
	s.wantMembers("new", "", 9, "a")
	s.clock.Advance(59 * time.Second)
	s.want("a", "2")
}

func (s storeSuite) updateAfterExpiry() {
	s.create("a", "1", time.Minute)
	s.clock.Advance(time.Minute)
	err := s.s.Update(bg, "a", func(old []byte) (flows.Change, error) {
		if old != nil {
			s.Errorf("the callback saw the expired %q", old)
		}
		return flows.Keep(), nil
	})
	if err != nil {
		s.Errorf("Update: %v", err)
	}
	s.wantNothing("a") // keeping nothing brings nothing back
	s.update("a", flows.Set([]byte("2"), time.Minute))
	s.want("a", "2")
}

func (s storeSuite) forEver() {
	s.create("a", "1", 0)
	s.clock.Advance(50 * 365 * 24 * time.Hour)
	s.want("a", "1")
	s.update("a", flows.Set([]byte("2"), time.Minute))
	s.clock.Advance(time.Minute)
	s.wantNothing("a")
}

func (s storeSuite) negativeTTL() {
	// What is over before it begins must neither live for ever nor be forgotten silently.
	if err := s.s.Create(bg, "a", []byte("1"), -time.Second); err == nil || errors.Is(err, flows.ErrExists) {
		s.Errorf("Create with a negative ttl: %v, want an error", err)
	}
	s.wantNothing("a")
	s.create("b", "1", time.Minute)
	set := func([]byte) (flows.Change, error) { return flows.Set([]byte("2"), -1), nil }
	if err := s.s.Update(bg, "b", set); err == nil {
		s.Errorf("Update with a negative ttl went through")
	}
	s.want("b", "1")
}

func (s storeSuite) updateKeep() {
	s.create("a", "1", time.Minute, "i")
	s.clock.Advance(30 * time.Second)
	s.update("a", flows.Keep())
	s.want("a", "1")
	s.wantMembers("i", "", 9, "a")
	s.clock.Advance(30 * time.Second) // its ttl was kept, too
	s.wantNothing("a")
}

func (s storeSuite) updateSet() {
	s.update("new", flows.Set([]byte("0"), time.Minute))
	s.want("new", "0")
	s.create("a", "1", time.Minute)
	s.clock.Advance(30 * time.Second)
	err := s.s.Update(bg, "a", func(old []byte) (flows.Change, error) {
		return flows.Set(append(old, '2'), time.Minute), nil
	})
	if err != nil {
		s.Errorf("Update: %v", err)
	}
	s.want("a", "12")
	s.clock.Advance(59 * time.Second) // the new ttl holds
	s.want("a", "12")
	s.clock.Advance(time.Second)
	s.wantNothing("a")
}

func (s storeSuite) updateRemove() {
	s.create("a", "1", time.Minute, "i")
	s.update("a", flows.Remove())
	s.wantNothing("a")
	s.wantMembers("i", "", 9)
	s.create("a", "2", time.Minute)
	s.want("a", "2")
}

func (s storeSuite) updateError() {
	mine := &flows.Refusal{Reason: flows.ReasonReplayed}
	s.create("a", "1", time.Minute)
	err := s.s.Update(bg, "a", func(old []byte) (flows.Change, error) {
		return flows.Set([]byte("2"), time.Hour), mine
	})
	if err != error(mine) {
		s.Errorf("Update = %v, want the callback's own error as it is", err)
	}
	s.want("a", "1")
}

func (s storeSuite) updatePanic() {
	s.create("a", "1", time.Minute)
	func() {
		defer func() {
			if p := recover(); p != "mine" {
				s.Errorf("recovered %v, want the callback's own panic", p)
			}
		}()
		_ = s.s.Update(bg, "a", func([]byte) (flows.Change, error) { panic("mine") })
	}()
	s.update("a", flows.Set([]byte("2"), time.Minute)) // and nothing is locked
	s.want("a", "2")
}

func (s storeSuite) updateRace() {
	const n, each = 32, 8
	parallel(n, func(int) {
		for range each {
			err := s.s.Update(bg, "counter", func(old []byte) (flows.Change, error) {
				return flows.Set(append(old, 'x'), time.Minute), nil
			})
			if err != nil {
				s.Errorf("Update: %v", err)
			}
		}
	})
	got, err := s.s.Get(bg, "counter")
	if err != nil || len(got) != n*each {
		s.Errorf("%d of %d updates are left (%v)", len(got), n*each, err)
	}
}

func (s storeSuite) mixedRace() {
	// One-time marks may be taken by Create or by Update of nothing: together still once.
	var mu sync.Mutex
	won := 0
	parallel(64, func(i int) {
		var err error
		if i%2 == 0 {
			err = s.s.Create(bg, "mark", []byte("c"), time.Minute)
		} else {
			err = s.s.Update(bg, "mark", func(old []byte) (flows.Change, error) {
				if old != nil {
					return flows.Keep(), flows.ErrExists
				}
				return flows.Set([]byte("u"), time.Minute), nil
			})
		}
		if err == nil {
			mu.Lock()
			won++
			mu.Unlock()
		}
	})
	if won != 1 {
		s.Errorf("%d of 64 took the mark, want one", won)
	}
}

func (s storeSuite) emptyValue() {
	for _, empty := range [][]byte{nil, {}} {
		key := fmt.Sprintf("empty%v", empty == nil)
		if err := s.s.Create(bg, key, empty, time.Minute); err != nil {
			s.Fatalf("Create: %v", err)
		}
		if got, err := s.s.Get(bg, key); err != nil || len(got) != 0 {
			s.Errorf("Get = %q, %v; want an empty value", got, err)
		}
		err := s.s.Update(bg, key, func(old []byte) (flows.Change, error) {
			if old == nil {
				s.Errorf("old is nil: an empty value reads as nothing")
			}
			return flows.Keep(), nil
		})
		if err != nil {
			s.Errorf("Update: %v", err)
		}
	}
}

func (s storeSuite) largeValue() {
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	s.create("big", string(big), time.Minute)
	s.want("big", string(big))
	s.update("big", flows.Set(big[1:], time.Minute))
	s.want("big", string(big[1:]))
}
