// Package session is the hall's side of sessions: the cache that survives
// reloads, the cookie that carries a ticket, the sealed cookie of a pending
// login, and the streams that end with their session.
package session

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/sallyport-gateway/sallyport/flows/session"
)

// CacheSize is how many sessions are kept ready; the others are loaded from the store.
const CacheSize = 100_000

// Cache keeps loaded sessions by a hash of the whole ticket (I13). Unfinished
// logins never enter it, so that they cannot evict anybody.
type Cache struct {
	byTicket *lru.Cache[session.CacheKey, *session.Session]
	mu       sync.Mutex
	lives    map[string]*Live
	// rows are the store's rows of the tickets that are kept; guarded by mu.
	rows map[session.Row]session.CacheKey
	// swap is held while the session of a ticket changes: what two loads put at once
	// is counted once, and a ticket that is being dropped is not put back.
	swap sync.Mutex
}

// NewCache makes a cache for n sessions.
func NewCache(n int) (*Cache, error) {
	c := &Cache{lives: map[string]*Live{}, rows: map[session.Row]session.CacheKey{}}
	l, err := lru.NewWithEvict(n, func(k session.CacheKey, s *session.Session) {
		c.forget(k, s)
		c.release(s)
	})
	if err != nil {
		return nil, err
	}
	c.byTicket = l
	return c, nil
}

// Get finds the session of a ticket that this node has seen.
func (c *Cache) Get(k session.CacheKey) (*session.Session, bool) { return c.byTicket.Get(k) }

// Add puts a loaded session. It answers the session to use: one that ended
// while it was being loaded is refused with false.
func (c *Cache) Add(k session.CacheKey, s *session.Session) bool {
	c.swap.Lock()
	defer c.swap.Unlock()
	return c.add(k, s)
}

func (c *Cache) add(k session.CacheKey, s *session.Session) bool {
	c.mu.Lock()
	l, ok := c.lives[s.ID()]
	if !ok {
		l = &Live{}
		c.lives[s.ID()] = l
	}
	l.holders++
	if of := l.current.Load(); of != nil && of != s {
		s.Follow(of)
	}
	l.Rotated(s.Card.Rotation)
	l.current.Store(s)
	s.Local = l
	c.mu.Unlock()
	if l.Ended() {
		c.release(s)
		return false
	}
	if old, ok := c.byTicket.Peek(k); ok { // replacing does not count as an eviction
		c.release(old)
	}
	c.mu.Lock()
	c.rows[s.Row()] = k
	c.mu.Unlock()
	c.byTicket.Add(k, s)
	return true
}

// forget lets go of the row of a ticket that is not kept any more.
func (c *Cache) forget(k session.CacheKey, s *session.Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rows[s.Row()] == k {
		delete(c.rows, s.Row())
	}
}

// Replace puts another value of the same session in the place of one that is
// still there; false: it is not, its ticket may have been replaced. Streams stay.
func (c *Cache) Replace(k session.CacheKey, old, s *session.Session) bool {
	c.swap.Lock()
	defer c.swap.Unlock()
	if was, ok := c.byTicket.Peek(k); !ok || was != old {
		return false
	}
	return c.add(k, s)
}

// Drop forgets a ticket: it was replaced, or its session ended.
func (c *Cache) Drop(k session.CacheKey) {
	c.swap.Lock()
	defer c.swap.Unlock()
	c.byTicket.Remove(k)
}

// DropRow forgets the ticket of a row that somebody else changed: whether it is
// still good is asked anew (I13).
func (c *Cache) DropRow(r session.Row) {
	c.mu.Lock()
	k, ok := c.rows[r]
	c.mu.Unlock()
	if ok {
		c.Drop(k)
	}
}

func (c *Cache) release(s *session.Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l, ok := c.lives[s.ID()]; ok {
		if l.holders--; l.holders <= 0 && !l.busy() && !l.Ended() {
			delete(c.lives, s.ID())
		}
	}
}

// End marks a session as ended on this node and cuts its streams (B16). Every
// ticket of it is refused from here on.
func (c *Cache) End(id string) {
	c.mu.Lock()
	l, ok := c.lives[id]
	c.mu.Unlock()
	if ok {
		l.end()
	}
}

// Rotated notes that evidence was added to a session, here or on another node:
// tickets that were lent before are looked up anew.
func (c *Cache) Rotated(id string, rotation int) {
	c.mu.Lock()
	l, ok := c.lives[id]
	c.mu.Unlock()
	if ok {
		l.Rotated(rotation)
	}
}

// Alive reports whether a session is held here whose time is not over.
func (c *Cache) Alive(id string, now time.Time) bool {
	c.mu.Lock()
	l, ok := c.lives[id]
	c.mu.Unlock()
	if !ok || l.Ended() {
		return false
	}
	s := l.current.Load()
	return s != nil && s.Alive(now)
}

// Current is what this node keeps of a session, by its public id; nil: nothing, or it ended.
func (c *Cache) Current(id string) *session.Session {
	c.mu.Lock()
	l, ok := c.lives[id]
	c.mu.Unlock()
	if !ok || l.Ended() {
		return nil
	}
	return l.current.Load()
}

// Flush forgets all sessions, as after a lost coherence channel (I15); they are
// loaded anew. Streams stay.
func (c *Cache) Flush() {
	c.swap.Lock()
	defer c.swap.Unlock()
	c.byTicket.Purge()
}

// Len is how many sessions are kept ready.
func (c *Cache) Len() int { return c.byTicket.Len() }

// Living is how many sessions are kept ready and have not ended.
func (c *Cache) Living(now time.Time) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.lives {
		if s := l.current.Load(); l.holders > 0 && !l.Ended() && s != nil && s.Alive(now) {
			n++
		}
	}
	return n
}

// Sweep cuts the streams of sessions whose time is over, and forgets what
// nobody holds. It answers the ids of sessions that ended by time.
func (c *Cache) Sweep(now time.Time) []string {
	c.mu.Lock()
	var over []*Live
	var ids []string
	ended := false
	for id, l := range c.lives {
		switch s := l.current.Load(); {
		case l.Ended() && l.holders <= 0 && !l.busy():
			delete(c.lives, id)
		case l.Ended():
			// Once more: a connection that was being hijacked when it was cut has
			// had its deadlines cleared by net/http.
			over, ended = append(over, l), true
		case !l.Ended() && s != nil && !s.Alive(now):
			over, ids, ended = append(over, l), append(ids, id), true
		}
	}
	c.mu.Unlock()
	for _, l := range over {
		l.end()
	}
	if !ended {
		return ids
	}
	for _, k := range c.byTicket.Keys() {
		if s, ok := c.byTicket.Peek(k); ok && LiveOf(s).Ended() {
			c.Drop(k)
		}
	}
	return ids
}

// Live is what all tickets of one session share on this node.
type Live struct {
	ended   atomic.Bool
	holders int // guarded by Cache.mu
	current atomic.Pointer[session.Session]
	// confirmed is when the store last vouched for the session, in unix nanoseconds.
	confirmed atomic.Int64
	// rotation is how often evidence was added, as far as this node knows.
	rotation atomic.Int64
	mu       sync.Mutex
	first    *Stream
	// Prepared is the hall's: headers built once per session and route; Latest is
	// the one of them that was used last, which is almost always the next.
	Prepared sync.Map
	Latest   atomic.Value
	// Routes is when each route was last used, for limits of a route's own (B17).
	Routes sync.Map
	// Reviews are the hall's: the risk of the session, read anew, newest first; Review is
	// held while one is made. Device is what the browser holds that came last, and its id;
	// Shown the id of the session's own device, since that came.
	Reviews, Device, Shown atomic.Value
	Review                 sync.Mutex
	// Noted are applications that the card says are to be told of the session's end.
	Noted sync.Map
}

// LiveOf returns what the session's tickets share; never nil for a cached session.
func LiveOf(s *session.Session) *Live {
	l, _ := s.Local.(*Live)
	if l == nil {
		return &Live{}
	}
	return l
}

// Confirm notes that the store vouched for the session.
func (l *Live) Confirm(now time.Time) { l.confirmed.Store(now.UnixNano()) }

// ConfirmedWithin reports whether the store vouched for the session in the time
// d before now.
func (l *Live) ConfirmedWithin(d time.Duration, now time.Time) bool {
	return now.UnixNano()-l.confirmed.Load() < int64(d)
}

// Ended reports whether the session ended on this node.
func (l *Live) Ended() bool { return l.ended.Load() }

// Rotated notes how often evidence was added to the session.
func (l *Live) Rotated(n int) {
	for {
		old := l.rotation.Load()
		if int64(n) <= old || l.rotation.CompareAndSwap(old, int64(n)) {
			return
		}
	}
}

// Outdates reports whether the ticket that brought s was lent before the session proved more.
func (l *Live) Outdates(s *session.Session) bool { return s.Outdated(int(l.rotation.Load())) }

func (l *Live) busy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first != nil
}

func (l *Live) end() {
	l.ended.Store(true)
	l.mu.Lock()
	defer l.mu.Unlock()
	for s := l.first; s != nil; s = s.next {
		s.cut()
	}
}

// Stream is one request in flight; it ends with its session.
type Stream struct {
	// Cancel, if set, is called as well: a WebSocket is proxied by context.
	Cancel context.CancelFunc
	// Judge, if set, is asked again while the request goes on; Judged is when it last was.
	Judge      Judge
	Judged     time.Time
	w          http.ResponseWriter
	prev, next *Stream
}

// cut ends a request by its connection's deadlines: net/http then cancels the
// request's context, and a hijacked connection fails its next read. A context
// of our own for every request would cost six allocations on the hot path.
func (s *Stream) cut() {
	if s.Cancel != nil {
		s.Cancel()
	}
	w := s.w
	for { // to net/http's own writer: wrappers above it are not safe for another goroutine
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			break
		}
		w = u.Unwrap()
	}
	c, past := http.NewResponseController(w), time.Unix(1, 0)
	_ = c.SetReadDeadline(past)
	_ = c.SetWriteDeadline(past)
}

// Judge decides again about a request that is under way. It is asked by another
// goroutine than the request's own.
type Judge interface {
	// Again reports whether the request may still go on.
	Again(now time.Time) bool
}

// Due are the requests under way that were not judged for so long; each is taken by one
// caller. The caller cuts what may not go on.
func (c *Cache) Due(now time.Time, every time.Duration) (due []Under) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.lives {
		due = append(due, l.due(now, every, time.Time{})...)
	}
	return due
}

// due are those of one session; what let them in is believed until then, zero: for ever.
func (l *Live) due(now time.Time, every time.Duration, until time.Time) (due []Under) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for s := l.first; s != nil; s = s.next {
		if s.Judge != nil && (now.Sub(s.Judged) >= every || !now.Before(until) && s.Judged.Before(until)) {
			s.Judged = now
			due = append(due, Under{s.Judge, l, s})
		}
	}
	return due
}

// Under is a request under way.
type Under struct {
	Judge

	live   *Live
	stream *Stream
}

// Cut ends it, unless it has ended by itself.
func (u Under) Cut() {
	u.live.mu.Lock()
	defer u.live.mu.Unlock()
	for s := u.live.first; s != nil; s = s.next {
		if s == u.stream {
			s.cut()
			return
		}
	}
}

// Current is the newest value of the session on this node; nil: none is kept.
func (l *Live) Current() *session.Session { return l.current.Load() }

// Open registers a request and the writer of its answer. The caller must Close
// it before the handler returns. False: the session has ended.
func (l *Live) Open(s *Stream, w http.ResponseWriter) bool {
	s.w = w
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended.Load() {
		return false
	}
	s.prev, s.next = nil, l.first
	if l.first != nil {
		l.first.prev = s
	}
	l.first = s
	return true
}

// Close unregisters a request.
func (l *Live) Close(s *Stream) {
	l.mu.Lock()
	if s.prev != nil {
		s.prev.next = s.next
	} else if l.first == s {
		l.first = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	}
	s.prev, s.next = nil, nil
	l.mu.Unlock()
}
