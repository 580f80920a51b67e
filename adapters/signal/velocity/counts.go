package velocity

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
)

// Counts live in a table of fixed size, cut into pages that are entries of the vault: an
// attacker can fill it but not grow it, and nothing in it is evicted early (I09). Two
// cells are kept per key, and the smaller holds, so that a stranger's collision does not
// make somebody look bad. A node adds what it counted to the pages every few seconds:
// so many writes, however large the flood.
const (
	pages = 128
	cells = 2048 // of each of the two rows of a page
	most  = math.MaxUint16
	// every is the time between two writes of what was counted.
	every = 5 * time.Second
)

// page counts in this slot of time and the one before; a slot is a window long.
type page struct {
	slot      int64
	now, then [2][cells]uint16
}

// turn brings the page to a slot.
func (p *page) turn(slot int64) {
	switch {
	case slot <= p.slot:
	case slot == p.slot+1:
		p.then, p.now = p.now, [2][cells]uint16{}
		p.slot = slot
	default:
		*p = page{slot: slot}
	}
}

func plus(a, b uint16) uint16 {
	if a > most-b {
		return most
	}
	return a + b
}

func (p *page) add(at [2]uint16) {
	for row, c := range at {
		p.now[row][c] = plus(p.now[row][c], 1)
	}
}

// merge adds what another counted in the same slots.
func (p *page) merge(o *page) {
	c := *o
	c.turn(p.slot)
	p.turn(c.slot)
	for row := range p.now {
		for i := range p.now[row] {
			p.now[row][i] = plus(p.now[row][i], c.now[row][i])
			p.then[row][i] = plus(p.then[row][i], c.then[row][i])
		}
	}
}

// count is that of the sliding window: of the slot before, the part that it still covers.
func (p *page) count(at [2]uint16, part float64) int {
	n := math.MaxInt
	for row, c := range at {
		n = min(n, int(p.now[row][c])+int(math.Round(part*float64(p.then[row][c]))))
	}
	return n
}

func (p *page) bytes() []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 8+8*cells), uint64(p.slot))
	for row := range p.now {
		for i := range p.now[row] {
			b = binary.BigEndian.AppendUint16(b, p.now[row][i])
			b = binary.BigEndian.AppendUint16(b, p.then[row][i])
		}
	}
	return b
}

func pageOf(b []byte) (*page, error) {
	if len(b) != 8+8*cells {
		return nil, errDamaged
	}
	p := &page{slot: int64(binary.BigEndian.Uint64(b))}
	b = b[8:]
	for row := range p.now {
		for i := range p.now[row] {
			p.now[row][i], p.then[row][i] = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
			b = b[4:]
		}
	}
	return p, nil
}

// placeOf is where a key is counted. The hash is keyed: nobody outside finds names that
// collide with somebody's.
func placeOf(salt []byte, key string) (pageNo int, at [2]uint16) {
	m := hmac.New(sha256.New, salt)
	m.Write([]byte(key))
	h := m.Sum(nil)
	return int(h[0]) % pages, [2]uint16{binary.BigEndian.Uint16(h[1:]) % cells, binary.BigEndian.Uint16(h[3:]) % cells}
}

func (s *Signal) slot(t time.Time) int64 { return t.UnixNano() / int64(s.Window) }

// salted is the key of the hash, which all nodes share.
func (s *Signal) salted(ctx context.Context) ([]byte, error) {
	s.mu.Lock()
	have := s.salt
	s.mu.Unlock()
	if have != nil {
		return have, nil
	}
	fresh := make([]byte, 32)
	_, _ = rand.Read(fresh)
	have, err := s.vault.Get(ctx, "salt")
	if errors.Is(err, flows.ErrNotFound) {
		if err = s.vault.Create(ctx, "salt", fresh, flows.KeptFor); errors.Is(err, flows.ErrExists) { // another node was first
			fresh, err = s.vault.Get(ctx, "salt")
		}
		have = fresh
	}
	if err != nil {
		return nil, fmt.Errorf("counting wrong answers: %w", err)
	}
	s.mu.Lock()
	s.salt = have
	s.mu.Unlock()
	return have, nil
}

// count is how many wrong answers there were for a key, on all nodes.
func (s *Signal) count(ctx context.Context, key string, now time.Time) (int, error) {
	if key == "" {
		return 0, nil
	}
	s.mu.Lock()
	salt := s.salt
	s.mu.Unlock()
	if salt == nil { // reading writes nothing (I26)
		var err error
		if salt, err = s.vault.Get(ctx, "salt"); errors.Is(err, flows.ErrNotFound) {
			return 0, nil // nobody counted anything
		} else if err != nil {
			return 0, fmt.Errorf("reading what was counted: %w", err)
		}
	}
	n, at := placeOf(salt, key)
	p, err := s.stored(ctx, n)
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	if s.fresh[n] != nil {
		p.merge(s.fresh[n])
	}
	s.mu.Unlock()
	p.turn(s.slot(now))
	gone := float64(now.UnixNano()%int64(s.Window)) / float64(s.Window)
	return p.count(at, 1-gone), nil
}

func (s *Signal) stored(ctx context.Context, n int) (*page, error) {
	b, err := s.vault.Get(ctx, pageKey(n))
	if errors.Is(err, flows.ErrNotFound) {
		return new(page), nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading what was counted: %w", err)
	}
	return pageOf(b)
}

func pageKey(n int) string { return "page " + strconv.Itoa(n) }

// flush adds what this node counted to what all did. What cannot be written is kept
// for the next time.
func (s *Signal) flush(ctx context.Context) (failed error) {
	for n := range pages {
		mine := s.takeFresh(n)
		if mine == nil {
			continue
		}
		err := s.vault.Update(ctx, pageKey(n), func(old []byte) (flows.Change, error) {
			all := new(page)
			if old != nil {
				var err error
				if all, err = pageOf(old); err != nil {
					all = new(page) // of no use to anybody
				}
			}
			all.merge(mine)
			return flows.Set(all.bytes(), 2*time.Duration(s.Window)), nil
		})
		if err != nil {
			failed = err
			s.putBack(n, mine)
		}
	}
	return failed
}

func (s *Signal) takeFresh(n int) *page {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.fresh[n]
	s.fresh[n] = nil
	return p
}

func (s *Signal) putBack(n int, p *page) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fresh[n] != nil {
		p.merge(s.fresh[n])
	}
	s.fresh[n] = p
}

// Warm writes what was counted, until ctx ends, and then once more.
func (s *Signal) Warm(ctx context.Context) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), every)
			defer cancel()
			_ = s.flush(last)
			return
		case <-t.C:
			if err := s.flush(ctx); err != nil && ctx.Err() == nil {
				s.log.Warn("wrong answers that were counted are not shared yet", zap.Error(err))
			}
		}
	}
}
