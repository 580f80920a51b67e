package session

import (
	"container/list"
	"sync"
	"time"
)

// The bounds of what a node keeps for people who are signing in (I21).
const (
	HeldBytes      = 64 << 20
	HeldPerBrowser = 3
	HeldFor        = PendingAge * time.Second
	// heldOverhead is what one costs beside its bytes: many empty ones fill the area, too.
	heldOverhead = 1 << 10
)

// Held is an area of its own for requests that wait for a sign-in. Nobody's grow
// at the expense of another browser's: when it is full it takes no more. Its bytes
// come sealed, and their keys are not here.
type Held struct {
	now func() time.Time

	mu    sync.Mutex
	size  int64
	byID  map[string]*list.Element
	of    map[string][]*held // a browser's, oldest first
	order *list.List         // of *held, oldest first
	timer *time.Timer
}

type held struct {
	id, browser string
	sealed      []byte
	cost        int64
	until       time.Time
	used        bool
}

// NewHeld makes an empty area.
func NewHeld(now func() time.Time) *Held {
	return &Held{now: now, byID: map[string]*list.Element{}, of: map[string][]*held{}, order: list.New()}
}

// Reserve takes room for n bytes before the first of them is read; false: there is
// none. A browser's fourth takes the place of its oldest.
func (h *Held) Reserve(id, browser string, n int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sweep()
	own, freed := h.of[browser], int64(0)
	if len(own) >= HeldPerBrowser {
		freed = own[0].cost
	}
	cost := n + heldOverhead
	if h.byID[id] != nil || h.size-freed+cost > HeldBytes {
		return false
	}
	if len(own) >= HeldPerBrowser {
		h.remove(own[0])
	}
	e := &held{id: id, browser: browser, cost: cost, until: h.now().Add(HeldFor)}
	h.size += cost
	h.byID[id] = h.order.PushBack(e)
	h.of[browser] = append(h.of[browser], e)
	if h.timer == nil {
		h.timer = time.AfterFunc(HeldFor, h.expire)
	}
	return true
}

// Keep puts the sealed bytes where room was reserved; false: it is gone.
func (h *Held) Keep(id string, sealed []byte) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.find(id)
	if e == nil || e.used {
		return false
	}
	e.sealed = sealed
	h.resize(e, int64(cap(sealed))+heldOverhead)
	return true
}

// Get is what is kept under an id, nil for nothing; used: it was taken before.
func (h *Held) Get(id string) (sealed []byte, used bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.find(id); e != nil {
		return e.sealed, e.used
	}
	return nil, false
}

// Take uses up what is kept under an id. One caller hears true (I09).
func (h *Held) Take(id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.find(id)
	if e == nil || e.sealed == nil {
		return false
	}
	e.sealed, e.used = nil, true // that it was there is remembered as long as it would have been kept
	h.resize(e, heldOverhead)
	h.disown(e)
	return true
}

// Drop forgets what is kept or reserved under an id.
func (h *Held) Drop(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.find(id); e != nil {
		h.remove(e)
	}
}

// Bytes is how much the area holds, what is reserved among it.
func (h *Held) Bytes() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sweep()
	return h.size
}

func (h *Held) find(id string) *held {
	h.sweep()
	if el := h.byID[id]; el != nil {
		return el.Value.(*held)
	}
	return nil
}

func (h *Held) resize(e *held, cost int64) { h.size, e.cost = h.size-e.cost+cost, cost }

// sweep forgets those whose time is over; all have the same time.
func (h *Held) sweep() {
	now := h.now()
	for el := h.order.Front(); el != nil; el = h.order.Front() {
		e := el.Value.(*held)
		if now.Before(e.until) {
			return
		}
		h.remove(e)
	}
}

func (h *Held) remove(e *held) {
	h.order.Remove(h.byID[e.id])
	delete(h.byID, e.id)
	h.size -= e.cost
	e.sealed = nil
	h.disown(e)
}

func (h *Held) disown(e *held) {
	var left []*held
	for _, o := range h.of[e.browser] {
		if o != e {
			left = append(left, o)
		}
	}
	if h.of[e.browser] = left; len(left) == 0 {
		delete(h.of, e.browser)
	}
}

// expire gives the memory back where nobody asks any more.
func (h *Held) expire() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sweep()
	h.timer = nil
	if el := h.order.Front(); el != nil {
		h.timer = time.AfterFunc(max(el.Value.(*held).until.Sub(h.now()), time.Second), h.expire)
	}
}
