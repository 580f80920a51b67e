package flows

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// Budgets count wrong answers in a table of fixed size, so that an attacker
// can fill it but not grow it, and nothing in it is evicted early (I09). Two
// rows are kept per key and the smaller count holds, so that a stranger's
// collision does not lock a user out.
//
// A budget is reserved before the check (I08): parallel guesses are counted
// before any of them is answered. What turned out right is given back.
type Budgets struct {
	mu    sync.Mutex
	seeds [2]maphash.Seed
	rows  [2][]tally
	now   func() time.Time
}

type tally struct {
	count int
	since time.Time
	until time.Time
}

// Limits of a budget: after Free wrong answers within Window the next waits
// 2^(n-Free) seconds, at most Longest.
type Limits struct {
	Free    int
	Window  time.Duration
	Longest time.Duration
}

// The limits of first factors (B27): per user and network, per network, and a
// soft one per user that slows but never locks.
var (
	LimitUserNetwork = Limits{Free: 5, Window: 5 * time.Minute, Longest: 15 * time.Minute}
	LimitNetwork     = Limits{Free: 50, Window: 5 * time.Minute, Longest: 15 * time.Minute}
	LimitUserSoft    = Limits{Free: 100, Window: 15 * time.Minute, Longest: 2 * time.Second}
)

// BudgetKey is one counter and its limits.
type BudgetKey struct {
	Space, ID string
	Limits    Limits
}

// NewBudgets makes a table of the given number of slots (at least 1024).
func NewBudgets(slots int, now func() time.Time) *Budgets {
	slots = max(slots, 1024)
	b := &Budgets{now: now}
	for i := range b.rows {
		b.seeds[i], b.rows[i] = maphash.MakeSeed(), make([]tally, slots)
	}
	return b
}

// Reserve counts one try against every key. A positive wait means that at
// least one budget is used up: the answer must not be checked, and nothing was counted.
func (b *Budgets) Reserve(keys ...BudgetKey) (r Reservation, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	for _, k := range keys {
		wait = max(wait, b.wait(k, now))
	}
	if wait > 0 {
		return Reservation{}, wait
	}
	for _, k := range keys {
		b.count(k, now, 1)
	}
	return Reservation{b, keys}, 0
}

// Reservation is one counted try.
type Reservation struct {
	b    *Budgets
	keys []BudgetKey
}

// Succeeded gives the try back: only wrong answers count.
func (r Reservation) Succeeded() {
	if r.b == nil {
		return
	}
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	for _, k := range r.keys {
		r.b.count(k, r.b.now(), -1)
	}
}

func (b *Budgets) slots(k BudgetKey) [2]*tally {
	var s [2]*tally
	for i := range b.rows {
		s[i] = &b.rows[i][maphash.String(b.seeds[i], k.Space+"\x00"+k.ID)%uint64(len(b.rows[i]))]
	}
	return s
}

func (b *Budgets) wait(k BudgetKey, now time.Time) time.Duration {
	least := time.Duration(1<<62 - 1)
	for _, s := range b.slots(k) {
		least = min(least, s.until.Sub(now))
	}
	return max(least, 0)
}

func (b *Budgets) count(k BudgetKey, now time.Time, by int) {
	for _, s := range b.slots(k) {
		if now.Sub(s.since) > k.Limits.Window && now.After(s.until) {
			s.count, s.since = 0, now
		}
		s.count = max(s.count+by, 0)
		if over := s.count - k.Limits.Free; over >= 0 {
			s.until = now.Add(min(time.Second<<min(over, 20), k.Limits.Longest))
		} else {
			s.until = time.Time{}
		}
		if by > 0 && s.count == 1 {
			s.since = now
		}
	}
}

// Network is the part of an address that one customer usually holds: /24 of
// IPv4, /56 of IPv6. What is no address stays as it is.
func Network(ip string) string {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return ip
	}
	a = a.Unmap().WithZone("")
	bits := 56
	if a.Is4() {
		bits = 24
	}
	p, _ := a.Prefix(bits)
	return p.String()
}
