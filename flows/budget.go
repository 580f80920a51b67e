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

// tally is one slot. Times are nanoseconds: the table is large and never grows.
type tally struct {
	count        int32
	since, until int64
}

// Limits of a budget: once Free wrong answers fell within Window, every further
// try waits: 1 s after the Free-th wrong answer, twice as long after each more,
// at most Longest. It is forgotten when Window passed without a wait and without
// a wrong answer; before Free is reached, when Window passed since the first.
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
// least one budget is used up: the answer must not be checked. Then nothing was
// counted, so that asking too early neither lengthens the wait nor spends the
// budgets of others.
func (b *Budgets) Reserve(keys ...BudgetKey) (r Reservation, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now().UnixNano()
	for _, k := range keys {
		wait = max(wait, b.wait(k, now))
	}
	if wait > 0 {
		return Reservation{}, wait
	}
	marks := make([]mark, 0, len(keys)*len(b.rows))
	for _, k := range keys {
		for _, s := range b.slots(k) {
			marks = append(marks, s.add(k.Limits, now))
		}
	}
	return Reservation{b, marks}, 0
}

// Reservation is one counted try.
type Reservation struct {
	b     *Budgets
	marks []mark
}

// mark is what one try changed in one slot.
type mark struct {
	slot         *tally
	since        int64
	until, prior int64
}

// Succeeded gives the try back: only wrong answers count. A second call does nothing.
func (r Reservation) Succeeded() {
	if r.b == nil {
		return
	}
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	for i := range r.marks {
		r.marks[i].undo()
		r.marks[i] = mark{}
	}
}

func (b *Budgets) slots(k BudgetKey) [2]*tally {
	var s [2]*tally
	for i := range b.rows {
		s[i] = &b.rows[i][maphash.String(b.seeds[i], k.Space+"\x00"+k.ID)%uint64(len(b.rows[i]))]
	}
	return s
}

func (b *Budgets) wait(k BudgetKey, now int64) time.Duration {
	least := int64(1<<63 - 1)
	for _, s := range b.slots(k) {
		least = min(least, s.until-now)
	}
	return time.Duration(max(least, 0))
}

// add counts one try; whoever comes next waits if this one was one too many.
func (s *tally) add(l Limits, now int64) mark {
	if s.count == 0 || now-max(s.since, s.until) > int64(l.Window) {
		s.count, s.since = 0, now
	}
	m := mark{slot: s, since: s.since, prior: s.until}
	if s.count < 1<<30 {
		s.count++
	}
	if over := int(s.count) - l.Free; over >= 0 {
		s.until = max(s.until, now+int64(min(time.Second<<min(over, 30), l.Longest)))
	}
	m.until = s.until
	return m
}

// undo takes one count back, and the wait if nobody else was counted since: who
// was right must not make others of the same network wait.
func (m mark) undo() {
	s := m.slot
	if s == nil || s.since != m.since || s.count == 0 {
		return // given back already, or forgotten and begun anew by others
	}
	s.count--
	if s.until == m.until {
		s.until = m.prior
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
