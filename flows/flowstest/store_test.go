package flowstest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// recorder is the TB of a guest that is meant to fail.
type recorder struct {
	mu       sync.Mutex
	failures []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// judged runs a check in a goroutine of its own, for Fatalf ends it, and
// answers what it complained of.
func judged(check func(TB)) []string {
	r := new(recorder)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				r.Errorf("panic: %v", p)
			}
		}()
		check(r)
	}()
	<-done
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.failures)
}

// failing runs the whole suite over a store and answers the checks that failed.
func failing(open func(*Clock) flows.Store) (names []string, first map[string]string) {
	first = map[string]string{}
	for _, c := range storeChecks {
		clock := NewClock()
		s := open(clock)
		if f := judged(func(tb TB) { c.check(storeSuite{tb, s, clock}) }); len(f) > 0 {
			names, first[c.name] = append(names, c.name), f[0]
		}
	}
	return names, first
}

// model is a correct store, as small as it can be; bugs spoil it.
type model struct {
	clock *Clock
	bugs  map[string]bool
	mu    sync.Mutex
	m     map[string]row
}

type row struct {
	val   []byte
	until time.Time
	index []string
}

func newModel(clock *Clock, bugs ...string) *model {
	s := &model{clock: clock, bugs: map[string]bool{}, m: map[string]row{}}
	for _, b := range bugs {
		s.bugs[b] = true
	}
	return s
}

func (s *model) asked(ctx context.Context) error {
	switch err := ctx.Err(); {
	case err == nil || s.bugs["ignores the context"]:
		return nil
	case s.bugs["a cancelled context reads as not found"]:
		return flows.ErrNotFound
	default:
		return fmt.Errorf("%w: %w", flows.ErrUnavailable, err)
	}
}

func (s *model) copy(b []byte) []byte {
	if s.bugs["shares slices"] {
		return b
	}
	if s.bugs["an empty value reads as nothing"] && len(b) == 0 {
		return nil
	}
	return append([]byte{}, b...)
}

// living finds an entry; where is the method that asks.
func (s *model) living(key, where string) (row, bool) {
	r, ok := s.m[key]
	dead := !r.until.IsZero() && !s.clock.Now().Before(r.until)
	return r, ok && (!dead || s.bugs["ignores ttl"] || s.bugs["ignores ttl in "+where])
}

func (s *model) put(key string, c flows.Change) error {
	if c.TTL < 0 && !s.bugs["a negative ttl is for ever"] {
		return errors.New("negative ttl")
	}
	r := row{val: s.copy(c.Val), index: slices.Clone(c.Index)}
	if c.TTL > 0 || (c.TTL == 0 && s.bugs["no ttl is gone at once"]) {
		r.until = s.clock.Now().Add(c.TTL)
	}
	if s.bugs["never drops an index"] {
		r.index = append(r.index, s.m[key].index...)
	}
	if s.bugs["cuts long values"] && len(r.val) > 1<<16 {
		r.val = r.val[:1<<16]
	}
	s.m[key] = r
	return nil
}

func (s *model) Get(ctx context.Context, key string) ([]byte, error) {
	if err := s.asked(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.living(key, "Get")
	if !ok && s.bugs["not found is unavailable"] {
		return nil, flows.ErrUnavailable
	}
	if !ok {
		return nil, flows.ErrNotFound
	}
	return s.copy(r.val), nil
}

func (s *model) Create(ctx context.Context, key string, val []byte, ttl time.Duration, index ...string) error {
	if err := s.asked(ctx); err != nil {
		return err
	}
	if s.bugs["C string keys"] {
		for i := range len(key) {
			if key[i] == 0 {
				key = key[:i]
				break
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, there := s.living(key, "Create")
	if s.bugs["Create looks, then writes"] {
		s.mu.Unlock()
		yield()
		s.mu.Lock()
	}
	if there && !s.bugs["Create overwrites"] {
		return flows.ErrExists
	}
	return s.put(key, flows.Set(val, ttl, index...))
}

func (s *model) Update(ctx context.Context, key string, fn func([]byte) (flows.Change, error)) error {
	if err := s.asked(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var old []byte
	r, ok := s.living(key, "Update")
	if ok {
		old = s.copy(r.val)
	}
	c, err := s.call(fn, old)
	switch {
	case err != nil && s.bugs["wraps the callback's error"]:
		return fmt.Errorf("updating: %w", err)
	case err != nil && !s.bugs["writes in spite of an error"]:
		return err
	case c.Kind == flows.SetIt:
		return errors.Join(s.put(key, c), err)
	case c.Kind == flows.RemoveIt && !s.bugs["does not remove"]:
		delete(s.m, key)
	case c.Kind == flows.KeepIt && ok && s.bugs["keeping renews the ttl"]:
		r.until = s.clock.Now().Add(time.Hour)
		s.m[key] = r
	}
	return nil
}

func (s *model) call(fn func([]byte) (flows.Change, error), old []byte) (flows.Change, error) {
	if s.bugs["loses updates"] {
		s.mu.Unlock()
		defer s.mu.Lock()
		yield()
	}
	if s.bugs["swallows a panic"] {
		defer func() { _ = recover() }()
	}
	return fn(old)
}

// yield lets others run between a look and a write.
func yield() {
	for range 20 {
		runtime.Gosched()
	}
}

func (s *model) Members(ctx context.Context, index, after string, n int) ([]string, error) {
	if err := s.asked(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []string
	for k := range s.m {
		r, ok := s.living(k, "Members")
		behind := after == "" || k > after || (s.bugs["a page repeats its last key"] && k == after)
		match := slices.Contains(r.index, index)
		if s.bugs["index names run together"] {
			match = slices.ContainsFunc(r.index, func(i string) bool { return i+k == index+k || (len(i) > len(index) && i[:len(index)] == index) })
		}
		if ok && behind && match {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	if s.bugs["members in no order"] {
		slices.Reverse(keys)
	}
	if s.bugs["ignores n"] {
		return keys, nil
	}
	return keys[:min(n, len(keys))], nil
}

func (s *model) Watch(ctx context.Context, _ func([]string, bool)) error {
	if s.bugs["Watch returns at once"] {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

func TestStoreSuiteAcceptsAGoodOne(t *testing.T) {
	t.Parallel()
	TestStore(t, func(_ *testing.T, clock *Clock) flows.Store { return newModel(clock) })
}

// TestStoreSuiteFailsBrokenOnes shows that the suite can fail: every bug is
// caught, and by the check that is about it.
func TestStoreSuiteFailsBrokenOnes(t *testing.T) {
	t.Parallel()
	caught := map[string]bool{}
	for bug, by := range map[string]string{
		"ignores ttl":                            "ExpiredIsNotThere",
		"ignores ttl in Get":                     "ExpiredIsNotThere",
		"ignores ttl in Create":                  "CreateAfterExpiry",
		"ignores ttl in Update":                  "UpdateOfTheExpiredSeesNothing",
		"ignores ttl in Members":                 "MembersExpire",
		"no ttl is gone at once":                 "NoTTLIsForEver",
		"a negative ttl is for ever":             "NegativeTTLIsRefused",
		"Create overwrites":                      "CreateNeverOverwrites",
		"Create looks, then writes":              "OneOf64CreatorsWins",
		"not found is unavailable":               "NothingIsNotFound",
		"loses updates":                          "UpdatesLoseNothing",
		"wraps the callback's error":             "UpdatePassesErrorsThrough",
		"writes in spite of an error":            "UpdatePassesErrorsThrough",
		"swallows a panic":                       "UpdateSurvivesAPanic",
		"Watch returns at once":                  "WatchEndsWithItsContext",
		"keeping renews the ttl":                 "UpdateKeeps",
		"does not remove":                        "UpdateRemoves",
		"shares slices":                          "ValuesAreCopied",
		"an empty value reads as nothing":        "EmptyValue",
		"cuts long values":                       "OneMebibyte",
		"C string keys":                          "BinaryKeys",
		"ignores the context":                    "CancelledContext",
		"a cancelled context reads as not found": "CancelledContext",
		"members in no order":                    "MembersAreOrderedAndPaged",
		"a page repeats its last key":            "MembersAreOrderedAndPaged",
		"ignores n":                              "MembersAreOrderedAndPaged",
		"never drops an index":                   "MembersFollowTheEntry",
		"index names run together":               "IndexNamesDoNotRunTogether",
	} {
		names, first := failing(func(c *Clock) flows.Store { return newModel(c, bug) })
		if !slices.Contains(names, by) {
			t.Errorf("a store that %q is not caught by %s, only by %q", bug, by, names)
		}
		t.Logf("%s: %s", bug, first[by])
		for _, n := range names {
			caught[n] = true
		}
	}
	for _, c := range storeChecks {
		if !caught[c.name] {
			t.Errorf("no broken store fails %s: it may be unable to fail", c.name)
		}
	}
}
