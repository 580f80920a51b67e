package flowstest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

func (s storeSuite) membersPaged() {
	for _, i := range []int{7, 3, 9, 1, 5, 0, 8, 2, 6, 4} {
		s.create(fmt.Sprintf("k%d", i), "v", time.Minute, "i")
	}
	s.create("other", "v", time.Minute, "j")
	s.wantMembers("i", "", 3, "k0", "k1", "k2")
	s.wantMembers("i", "k2", 3, "k3", "k4", "k5")
	s.wantMembers("i", "k25", 2, "k3", "k4") // after need not be a member
	s.wantMembers("i", "k8", 3, "k9")
	s.wantMembers("i", "k9", 3)
	s.wantMembers("i", "", 0)
	s.wantMembers("i", "", 10, "k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8", "k9")
}

func (s storeSuite) membersFollow() {
	s.create("a", "1", time.Minute, "x", "y")
	s.create("b", "1", time.Minute, "x")
	s.wantMembers("x", "", 9, "a", "b")
	s.wantMembers("y", "", 9, "a")
	s.update("a", flows.Set([]byte("2"), time.Minute, "y", "z", "z")) // exactly these, doubled or not
	s.wantMembers("x", "", 9, "b")
	s.wantMembers("y", "", 9, "a")
	s.wantMembers("z", "", 9, "a")
	s.update("a", flows.Set([]byte("3"), time.Minute))
	s.wantMembers("y", "", 9)
	s.wantMembers("z", "", 9)
	s.update("b", flows.Remove())
	s.wantMembers("x", "", 9)
}

func (s storeSuite) membersExpire() {
	s.create("a", "1", time.Minute, "i")
	s.create("b", "1", 2*time.Minute, "i")
	s.create("c", "1", time.Minute, "i")
	s.create("d", "1", 2*time.Minute, "i")
	s.clock.Advance(time.Minute)
	s.wantMembers("i", "", 9, "b", "d")
	s.wantMembers("i", "", 2, "b", "d") // the expired do not count against n
	s.clock.Advance(time.Minute)
	s.wantMembers("i", "", 9)
}

func (s storeSuite) indexNames() {
	// Nobody may see a session in another's list because two names joined alike.
	s.create("c", "1", time.Minute, "ab")
	s.create("bc", "1", time.Minute, "a")
	s.create("", "1", time.Minute, "abc")
	s.create("d", "1", time.Minute, "")
	s.wantMembers("ab", "", 9, "c")
	s.wantMembers("a", "", 9, "bc")
	s.wantMembers("abc", "", 9, "")
	s.wantMembers("", "", 9, "d")
	s.wantMembers("abcd", "", 9)
}

func (s storeSuite) binaryKeys() {
	keys := []string{"\x00", "\x00\x00", "\xff", "\xff\xfe", "a\x00b", "a\x00", "a", "ü/..", "/", "\n"}
	for _, k := range keys {
		s.create(k, "v"+k, time.Minute, "i\x00\xff")
	}
	for _, k := range keys {
		s.want(k, "v"+k)
	}
	want := slices.Sorted(slices.Values(keys))
	s.wantMembers("i\x00\xff", "", 99, want...)
	s.wantMembers("i\x00\xff", want[3], 2, want[4:6]...)
	s.wantMembers("i\x00", "", 99)
	s.update("a\x00", flows.Remove())
	s.wantNothing("a\x00")
	s.want("a", "va")
}

func (s storeSuite) copies() {
	passed := []byte("one")
	if err := s.s.Create(bg, "a", passed, time.Minute); err != nil {
		s.Fatalf("Create: %v", err)
	}
	copy(passed, "XXX")
	s.want("a", "one")
	got, err := s.s.Get(bg, "a")
	if err != nil {
		s.Fatalf("Get: %v", err)
	}
	copy(got, "YYY")
	s.want("a", "one")
	err = s.s.Update(bg, "a", func(old []byte) (flows.Change, error) {
		copy(old, "ZZZ")
		return flows.Keep(), nil
	})
	if err != nil {
		s.Errorf("Update: %v", err)
	}
	s.want("a", "one")
	passed = []byte("two")
	s.update("a", flows.Set(passed, time.Minute))
	copy(passed, "XXX")
	s.want("a", "two")
	index := []string{"i"}
	s.create("b", "1", time.Minute, index...)
	index[0] = "j"
	s.wantMembers("i", "", 9, "b")
	s.update("b", flows.Remove())
	s.wantMembers("i", "", 9)
}

func (s storeSuite) cancelled() {
	s.create("a", "1", time.Minute, "i")
	ctx, cancel := context.WithCancel(bg)
	cancel()
	_, getErr := s.s.Get(ctx, "a")
	_, membersErr := s.s.Members(ctx, "i", "", 9)
	for _, tc := range []struct {
		name string
		err  error
	}{
		{"Get", getErr},
		{"Create", s.s.Create(ctx, "b", nil, time.Minute)},
		{"Update", s.s.Update(ctx, "a", func([]byte) (flows.Change, error) {
			return flows.Remove(), nil
		})},
		{"Members", membersErr},
	} {
		if !errors.Is(tc.err, context.Canceled) || !errors.Is(tc.err, flows.ErrUnavailable) {
			s.Errorf("%s with a cancelled context: %v, want ErrUnavailable and context.Canceled", tc.name, tc.err)
		}
	}
	s.want("a", "1")
	s.wantNothing("b")
}

func (s storeSuite) watch() {
	ctx, cancel := context.WithCancel(bg)
	done := make(chan error, 1)
	go func() { done <- s.s.Watch(ctx, func([]string, bool) {}) }()
	s.create("a", "1", time.Minute) // works while watched
	select {
	case err := <-done:
		s.Errorf("Watch returned before its context ended: %v", err)
		cancel()
		return
	case <-time.After(50 * time.Millisecond): // long enough for one that does not wait at all
	}
	cancel()
	select {
	case err := <-done:
		if err != nil && !errors.Is(err, context.Canceled) {
			s.Errorf("Watch = %v, want nil or the context's error", err)
		}
	case <-time.After(10 * time.Second):
		s.Errorf("Watch goes on after its context ended")
	}
}
