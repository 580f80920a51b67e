package session

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

func newTestHeld() (*Held, func(time.Duration)) {
	now := time.Now()
	return NewHeld(func() time.Time { return now }), func(d time.Duration) { now = now.Add(d) }
}

func (h *Held) put(t *testing.T, id, browser string, n int) {
	t.Helper()
	if !h.Reserve(id, browser, int64(n)) || !h.Keep(id, make([]byte, n)) {
		t.Fatalf("%s of %s was not kept", id, browser)
	}
}

func TestI21TheAreaIsBounded(t *testing.T) {
	h, pass := newTestHeld()
	kept := 0
	for i := 0; h.Reserve(fmt.Sprint("r", i), fmt.Sprint("b", i/HeldPerBrowser), 256<<10); i++ {
		h.Keep(fmt.Sprint("r", i), make([]byte, 256<<10))
		kept++
	}
	if kept < 200 || kept > 256 || h.Bytes() > HeldBytes {
		t.Fatalf("%d are kept, %d bytes", kept, h.Bytes())
	}
	if s, _ := h.Get("r0"); s == nil {
		t.Fatal("a newcomer drove out another browser's")
	}
	if h.Reserve("more", "stranger", 256<<10) {
		t.Fatal("there was room beyond the bound")
	}
	h.put(t, "own", "b0", 256<<10) // takes the place of one of its own
	if s, _ := h.Get("r0"); s != nil {
		t.Fatal("a fourth of one browser is kept")
	}
	pass(HeldFor)
	if n := h.Bytes(); n != 0 || len(h.byID)+len(h.of)+h.order.Len() != 0 {
		t.Fatalf("after %s there are %d bytes, %d names, %d browsers", HeldFor, n, len(h.byID), len(h.of))
	}
	for i := 0; h.Reserve(fmt.Sprint("e", i), fmt.Sprint("b", i), 0); i++ { // empty ones cost, too
		if i > HeldBytes/heldOverhead {
			t.Fatal("empty ones have no bound")
		}
	}
}

func TestI09HeldIsTakenOnce(t *testing.T) {
	h, pass := newTestHeld()
	h.put(t, "a", "b", 1<<20)
	if h.Reserve("a", "c", 1) || h.Take("none") {
		t.Fatal("an id was given twice, or nothing was taken")
	}
	h.Reserve("read", "b", 10)
	if h.Take("read") {
		t.Fatal("what is still being read was taken")
	}
	h.Drop("read")
	var wg sync.WaitGroup
	taken := make(chan bool, 20)
	for range cap(taken) {
		wg.Go(func() { taken <- h.Take("a") })
	}
	wg.Wait()
	n := 0
	for range cap(taken) {
		if <-taken {
			n++
		}
	}
	if _, used := h.Get("a"); n != 1 || !used || h.Bytes() != heldOverhead || h.Keep("a", []byte("x")) {
		t.Fatalf("taken %d times; used %v, %d bytes", n, used, h.Bytes())
	}
	for i := range HeldPerBrowser { // what was sent is none of a browser's three
		h.put(t, fmt.Sprint("n", i), "b", 1)
	}
	if _, used := h.Get("a"); !used {
		t.Fatal("that it was sent is forgotten")
	}
	pass(HeldFor)
	if _, used := h.Get("a"); used || h.Bytes() != 0 {
		t.Fatal("it is remembered for ever")
	}
}

// Memory comes back without anybody asking.
func TestI21TheAreaSweepsItself(t *testing.T) {
	h, pass := newTestHeld()
	h.put(t, "a", "b", 10)
	if h.timer == nil {
		t.Fatal("nothing is set to sweep")
	}
	pass(HeldFor / 2)
	h.put(t, "later", "b", 10)
	pass(HeldFor / 2)
	h.expire()
	if h.size != 10+heldOverhead || h.timer == nil {
		t.Fatalf("%d bytes, %v", h.size, h.timer)
	}
	pass(HeldFor)
	h.expire()
	if h.size != 0 || h.timer != nil || h.order.Len() != 0 {
		t.Fatalf("%d bytes are left", h.size)
	}
	h.put(t, "again", "b", 10)
	if h.timer == nil {
		t.Fatal("nothing is set to sweep, the second time")
	}
	h.timer.Stop()
}
