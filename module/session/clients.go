package session

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/sallyport-gateway/sallyport/flows/audit"
	"github.com/sallyport-gateway/sallyport/flows/session"
)

// ClientsSize is how many programs a node remembers; the others show once more who they are.
const ClientsSize = 20_000

// ClientKey is a keyed hash of a credential and of all that was made of it. The key of
// the hash is this process's own: nothing is gained by reading it.
type ClientKey [sha256.Size]byte

// Client is what the flow of a route made of a program's credential. It is immutable.
type Client struct {
	// Session is kept here only; nil: the program was refused.
	Session *session.Session
	// Refusal is why.
	Refusal error
	// Text is the operator's own, ID that of the trail's entry about it or, of a session,
	// of the session.
	Text, ID string
	// Receipt is that of the entry that let it in.
	Receipt audit.Receipt
	// Until is how long this is believed; zero: only by who asked.
	Until time.Time
}

// lookup is one making of a Client that everyone waits for.
type lookup struct {
	done chan struct{}
	got  *Client
	err  error
}

// Clients remembers programs, so that not each request asks a provider and runs a flow.
// Only who proved something gets in: strangers evict nobody.
type Clients struct {
	secret [32]byte
	byKey  *lru.Cache[ClientKey, *Client]

	mu      sync.Mutex
	flights map[ClientKey]*lookup
}

// NewClients makes a cache for n programs.
func NewClients(n int) (*Clients, error) {
	c := &Clients{flights: map[ClientKey]*lookup{}}
	_, _ = rand.Read(c.secret[:])
	var err error
	c.byKey, err = lru.NewWithEvict(n, func(_ ClientKey, o *Client) { o.leave() })
	return c, err
}

// Key hashes parts, whose borders count, too.
func (c *Clients) Key(parts ...string) (k ClientKey) {
	m := hmac.New(sha256.New, c.secret[:])
	var n [8]byte
	for _, p := range parts {
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		_, _ = m.Write(n[:])
		_, _ = m.Write([]byte(p))
	}
	m.Sum(k[:0])
	return k
}

// Do answers what is believed of a key, or has it made: once for all who ask meanwhile.
// fresh is given what was believed before, or nil. An error says that it could not be
// told, and is not remembered.
func (c *Clients) Do(ctx context.Context, k ClientKey, now func() time.Time, fresh func(last *Client) (*Client, error)) (*Client, error) {
	for {
		last, ok := c.byKey.Get(k)
		if ok && now().Before(last.Until) {
			return last, nil
		}
		c.mu.Lock()
		l, busy := c.flights[k]
		if !busy {
			l = &lookup{done: make(chan struct{}), err: context.Canceled}
			c.flights[k] = l
		}
		c.mu.Unlock()
		if !busy {
			return c.look(k, l, last, fresh)
		}
		select {
		case <-l.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if !errors.Is(l.err, context.Canceled) { // else who asked for all has gone away
			return l.got, l.err
		}
	}
}

func (c *Clients) look(k ClientKey, l *lookup, last *Client, fresh func(*Client) (*Client, error)) (*Client, error) {
	defer func() { // also when fresh panics
		c.mu.Lock()
		delete(c.flights, k)
		c.mu.Unlock()
		close(l.done)
	}()
	got, err := fresh(last)
	switch {
	case err != nil:
	case got.Until.IsZero():
		c.byKey.Remove(k)
	default:
		if last != nil && !got.follows(last) {
			last.leave()
		}
		c.byKey.Add(k, got)
	}
	l.got, l.err = got, err
	return got, err
}

// follows reports whether the streams of what was believed before go on.
func (o *Client) follows(last *Client) bool {
	return o.Session != nil && last.Session != nil && o.Session.Local == last.Session.Local
}

// leave cuts the streams of a program that is not believed any more.
func (o *Client) leave() {
	if o.Session != nil {
		LiveOf(o.Session).end()
	}
}

// Due are the streams of programs that were not judged for so long, or not since what let
// them in is believed no more: together those of one credential, each for one caller.
func (c *Clients) Due(now time.Time, every time.Duration) (due [][]Under) {
	for _, k := range c.byKey.Keys() {
		if o, ok := c.byKey.Peek(k); ok && o.Session != nil {
			if list := LiveOf(o.Session).due(now, every, o.Until); len(list) > 0 {
				due = append(due, list)
			}
		}
	}
	return due
}

// Drop forgets what is not believed any more, and cuts its streams.
func (c *Clients) Drop(k ClientKey, now time.Time) {
	if o, ok := c.byKey.Peek(k); ok && !now.Before(o.Until) {
		c.byKey.Remove(k)
	}
}

// End forgets the programs of a person.
func (c *Clients) End(is func(*session.Session) bool) {
	for _, k := range c.byKey.Keys() {
		if o, ok := c.byKey.Peek(k); ok && o.Session != nil && is(o.Session) {
			c.byKey.Remove(k)
		}
	}
}

// Sweep cuts the streams of credentials that ran out.
func (c *Clients) Sweep(now time.Time) {
	c.End(func(s *session.Session) bool { return !now.Before(s.Card.Expires) })
}
