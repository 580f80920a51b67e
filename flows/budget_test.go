package flows

import (
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// hands is a clock that a test moves by hand.
type hands struct{ t atomic.Int64 }

func newHands() *hands {
	h := new(hands)
	h.t.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	return h
}

func (h *hands) now() time.Time          { return time.Unix(0, h.t.Load()) }
func (h *hands) forward(d time.Duration) { h.t.Add(int64(d)) }

func userAt(network string) BudgetKey {
	return BudgetKey{Space: "user_network", ID: "anna " + network, Limits: LimitUserNetwork}
}

func wrong(t *testing.T, b *Budgets, keys ...BudgetKey) {
	t.Helper()
	if _, wait := b.Reserve(keys...); wait != 0 {
		t.Fatalf("waits %v, want a try", wait)
	}
}

func TestI08BudgetIsTakenBeforeTheCheck(t *testing.T) {
	t.Parallel()
	b := NewBudgets(0, newHands().now)
	var checked atomic.Int64
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for range 200 {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start
			if _, wait := b.Reserve(userAt("x")); wait == 0 {
				checked.Add(1) // the answer to this guess is still on its way
			}
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
	if n := checked.Load(); n < 1 || n > int64(LimitUserNetwork.Free)+1 {
		t.Errorf("%d of 200 parallel guesses were checked, want at most %d", n, LimitUserNetwork.Free+1)
	}
}

func TestB27WaitsDouble(t *testing.T) {
	t.Parallel()
	clock := newHands()
	b := NewBudgets(0, clock.now)
	for range LimitUserNetwork.Free {
		wrong(t, b, userAt("x"))
	}
	for i := range 14 {
		want := min(time.Second<<i, LimitUserNetwork.Longest)
		for range 50 { // asking too early changes nothing
			if _, wait := b.Reserve(userAt("x")); wait != want {
				t.Fatalf("after %d wrong: waits %v, want %v", LimitUserNetwork.Free+i, wait, want)
			}
		}
		clock.forward(want - 1)
		if _, wait := b.Reserve(userAt("x")); wait != 1 {
			t.Fatalf("a nanosecond too early: waits %v, want 1ns", wait)
		}
		clock.forward(1)
		wrong(t, b, userAt("x"))
	}
}

func TestB27WindowResets(t *testing.T) {
	t.Parallel()
	clock := newHands()
	b := NewBudgets(0, clock.now)
	for range 3 { // four wrong ones in every window never wait
		for range LimitUserNetwork.Free - 1 {
			wrong(t, b, userAt("x"))
		}
		clock.forward(LimitUserNetwork.Window + time.Second)
	}
	for range LimitUserNetwork.Free {
		wrong(t, b, userAt("x"))
	}
	clock.forward(time.Second + LimitUserNetwork.Window + 1) // the wait, and a quiet window behind it
	for range LimitUserNetwork.Free {
		wrong(t, b, userAt("x"))
	}
}

func TestB27BlockedTriesSpendNothing(t *testing.T) {
	t.Parallel()
	clock := newHands()
	b := NewBudgets(0, clock.now)
	soft := BudgetKey{Space: "user", ID: "anna", Limits: LimitUserSoft}
	got := 0
	for range 1000 { // an attacker in one network, as fast as they can
		if _, wait := b.Reserve(userAt("x"), soft); wait == 0 {
			got++
		}
	}
	if got != LimitUserNetwork.Free {
		t.Errorf("%d tries were checked, want %d", got, LimitUserNetwork.Free)
	}
	if _, wait := b.Reserve(userAt("y"), soft); wait != 0 {
		t.Errorf("the user waits %v in another network, want no wait", wait)
	}
}

func TestB27SoftLimitNeverLocks(t *testing.T) {
	t.Parallel()
	clock := newHands()
	b := NewBudgets(0, clock.now)
	soft := BudgetKey{Space: "user", ID: "anna", Limits: LimitUserSoft}
	for range LimitUserSoft.Free + 20 {
		_, wait := b.Reserve(soft)
		if wait > 2*time.Second {
			t.Fatalf("waits %v, want at most 2s", wait)
		}
		clock.forward(wait)
	}
}

func TestBudgetSuccessGivesBack(t *testing.T) {
	t.Parallel()
	clock := newHands()
	b := NewBudgets(0, clock.now)
	for range 4 * LimitNetwork.Free { // right answers never use anything up
		r, wait := b.Reserve(userAt("x"))
		if wait != 0 {
			t.Fatalf("waits %v after right answers only", wait)
		}
		r.Succeeded()
	}
	for range LimitUserNetwork.Free - 1 {
		wrong(t, b, userAt("x"))
	}
	r, _ := b.Reserve(userAt("x"))
	r.Succeeded()
	r.Succeeded() // a second call gives nothing back
	wrong(t, b, userAt("x"))
	if _, wait := b.Reserve(userAt("x")); wait != time.Second {
		t.Errorf("waits %v after %d wrong answers, want 1s", wait, LimitUserNetwork.Free)
	}
}

// A network that used its budget up must not wait again because somebody in it was right.
func TestBudgetSuccessLeavesNoWait(t *testing.T) {
	t.Parallel()
	clock := newHands()
	b := NewBudgets(0, clock.now)
	net := BudgetKey{Space: "network", ID: "x", Limits: LimitNetwork}
	for range LimitNetwork.Free {
		wrong(t, b, net)
	}
	clock.forward(time.Second)
	for range 5 {
		r, wait := b.Reserve(net)
		if wait != 0 {
			t.Fatalf("waits %v behind a right answer", wait)
		}
		r.Succeeded()
	}
	wrong(t, b, net)
	if _, wait := b.Reserve(net); wait != 2*time.Second {
		t.Errorf("waits %v behind a wrong answer, want 2s", wait)
	}
}

func TestBudgetSuccessAfterResetTakesNothingFromOthers(t *testing.T) {
	t.Parallel()
	clock := newHands()
	b := NewBudgets(0, clock.now)
	slow, _ := b.Reserve(userAt("x"))
	clock.forward(LimitUserNetwork.Window + time.Second)
	for range LimitUserNetwork.Free {
		wrong(t, b, userAt("x"))
	}
	slow.Succeeded()
	clock.forward(time.Second)
	wrong(t, b, userAt("x"))
	if _, wait := b.Reserve(userAt("x")); wait != 2*time.Second {
		t.Errorf("waits %v, want 2s: an old success gave back a new count", wait)
	}
}

func TestBudgetMemoryIsFixed(t *testing.T) {
	t.Parallel()
	b := NewBudgets(1024, newHands().now)
	for i := range 20000 {
		b.Reserve(BudgetKey{Space: "user_network", ID: strconv.Itoa(i), Limits: LimitUserNetwork})
	}
	for i, row := range b.rows {
		if len(row) != 1024 || cap(row) != 1024 {
			t.Errorf("row %d has %d slots of %d, want 1024", i, len(row), cap(row))
		}
	}
}

// A stranger's full counter in one row must not lock a user out: both rows have to be full.
func TestI09BudgetCollision(t *testing.T) {
	t.Parallel()
	b := NewBudgets(1024, newHands().now)
	anna := userAt("x")
	mine := b.slots(anna)
	for i := 0; ; i++ {
		k := BudgetKey{Space: "user_network", ID: fmt.Sprint("stranger ", i), Limits: LimitUserNetwork}
		if s := b.slots(k); s[0] == mine[0] && s[1] != mine[1] {
			for range LimitUserNetwork.Free {
				wrong(t, b, k)
			}
			if _, wait := b.Reserve(k); wait == 0 {
				t.Fatal("the stranger does not wait")
			}
			break
		}
	}
	wrong(t, b, anna)
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, ip, want string }{
		{"ipv4", "192.0.2.77", "192.0.2.0/24"},
		{"ipv4 in ipv6", "::ffff:192.0.2.77", "192.0.2.0/24"},
		{"ipv6", "2001:db8:1:2ff::1", "2001:db8:1:200::/56"},
		{"zone", "fe80::1%eth0", "fe80::/56"},
		{"no address", "unix", "unix"},
		{"empty", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := Network(tc.ip); got != tc.want {
				t.Errorf("Network(%q) = %q, want %q", tc.ip, got, tc.want)
			}
		})
	}
}
