package session

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// RenewDue reports whether a grant of the session is to be renewed by now. It is
// all that a request pays for a session that needs nothing.
func (s *Session) RenewDue(now time.Time) bool { return now.UnixNano() >= s.due.Load() }

// Stale reports whether what a provider said of the person has run out.
func (s *Session) Stale(now time.Time) bool { return now.UnixNano() >= s.stale }

// Postpone makes the session due at another time, on this node only: after a failure.
func (s *Session) Postpone(until time.Time) { s.due.Store(until.UnixNano()) }

// Due are the grants to be renewed by now.
func (s *Session) Due(now time.Time) []flows.Grant {
	var out []flows.Grant
	for i := range s.Grants {
		if g := &s.Grants[i]; g.Renewable() && !now.Before(g.Renew()) {
			out = append(out, *g)
		}
	}
	return out
}

// schedule finds out when the first grant is to be renewed; never is far away.
func (s *Session) schedule() {
	due, stale := int64(math.MaxInt64), int64(math.MaxInt64)
	for i := range s.Grants {
		if g := &s.Grants[i]; g.Renewable() {
			due, stale = min(due, g.Renew().UnixNano()), min(stale, g.Stale.UnixNano())
		}
	}
	s.due.Store(due)
	s.stale = stale
}

// Follow shares the activity of another value of the same session from here on:
// being renewed is no activity and does not lose any, and what one host sees keeps
// the others alive. s must not be in use yet.
func (s *Session) Follow(old *Session) {
	mine, theirs := s.used(), old.used()
	if mine == theirs {
		return
	}
	raise(&theirs.seen, mine.seen.Load())
	raise(&theirs.written, mine.written.Load())
	s.shared = theirs
}

func raise(a *atomic.Int64, n int64) {
	for {
		if old := a.Load(); n <= old || a.CompareAndSwap(old, n) {
			return
		}
	}
}

// lease is the record under which one node of the cluster renews a session (I16).
type lease struct {
	Holder string `json:"holder"`
	// Failed: nobody is at it, and nobody asks again before the record ends.
	Failed bool `json:"failed,omitempty"`
}

// The answers of Claim that are no.
var (
	// ErrBusy: another node renews the session now.
	ErrBusy = errors.New("the session is being renewed elsewhere")
	// ErrResting: it was tried a moment ago and failed.
	ErrResting = errors.New("renewing the session failed a moment ago")
)

// Claim takes the lease on renewing a session; a holder that dies loses it after ttl.
func (m *Manager) Claim(ctx context.Context, id, holder string, ttl time.Duration) error {
	val, err := json.Marshal(lease{Holder: holder})
	if err != nil {
		return err
	}
	for range 2 { // the record may end between the two questions
		if err = m.Store.Create(ctx, "r/"+id, val, ttl); !errors.Is(err, flows.ErrExists) {
			return err
		}
		raw, err := m.Store.Get(ctx, "r/"+id)
		if errors.Is(err, flows.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		var l lease
		if json.Unmarshal(raw, &l) == nil && l.Failed {
			return ErrResting
		}
		return ErrBusy
	}
	return ErrBusy
}

// Release gives the lease back. With rest, renewing failed, and the whole
// cluster leaves the provider alone for that long.
func (m *Manager) Release(ctx context.Context, id, holder string, rest time.Duration) error {
	failed, err := json.Marshal(lease{Holder: holder, Failed: true})
	if err != nil {
		return err
	}
	return m.Store.Update(ctx, "r/"+id, func(old []byte) (flows.Change, error) {
		var l lease
		switch {
		case old == nil, json.Unmarshal(old, &l) == nil && l.Holder != holder:
			return flows.Keep(), nil
		case rest > 0:
			return flows.Set(failed, rest), nil
		}
		return flows.Remove(), nil
	})
}

// Has reports whether a grant is still one of the session's: a new login or another
// renewal puts others in its place.
func (s *Session) Has(g flows.Grant) bool { return slices.ContainsFunc(s.Grants, same(g)) }

func same(g flows.Grant) func(flows.Grant) bool {
	return func(o flows.Grant) bool { return o.Provider == g.Provider && bytes.Equal(o.Tokens, g.Tokens) }
}

// Renewal is what a provider answered for one grant of a session.
type Renewal struct {
	// Old is the grant that was used, New takes its place.
	Old, New flows.Grant
	// User makes the person anew; rest are the session's other grants. It must be
	// pure. Nil: only the tokens are new.
	User func(old *flows.User, rest []flows.Grant) *flows.User
}

// Renew writes a renewal into the session that is in the store: one that ended
// is not written back (I15), and a grant that somebody else renewed meanwhile,
// or got by a new login, stays theirs. It answers the session as it is then.
func (m *Manager) Renew(ctx context.Context, s *Session, r Renewal) (*Session, error) {
	if err := m.Check(ctx, s); err != nil {
		return nil, err
	}
	left := s.Card.Expires.Sub(m.Now())
	if left <= 0 {
		return nil, ErrEnded
	}
	err := m.Store.Update(ctx, "b/"+s.Card.ID, func(old []byte) (flows.Change, error) {
		if old == nil {
			return flows.Keep(), ErrEnded
		}
		b, err := openBody(s.dataKey, s.Card.ID, old)
		if err != nil || !b.renew(r) {
			return flows.Keep(), err
		}
		sealed, err := sealBody(s.dataKey, s.Card.ID, b)
		if err != nil {
			return flows.Keep(), err
		}
		return flows.Set(sealed, left), nil
	})
	if err != nil {
		return nil, fmt.Errorf("writing a renewed session: %w", err)
	}
	fresh, err := m.Reload(ctx, s)
	if err != nil || !fresh.Card.differs(fresh.User, r.New) {
		return fresh, err
	}
	c, err := m.change(ctx, s.Card.ID, func(c *Card) { c.renew(fresh.User, r.New) })
	if err != nil {
		return nil, err
	}
	fresh.Card = *c
	fresh.prepare()
	fresh.Follow(s)
	return fresh, nil
}

// renew changes the body; false: the grant is not the one that was used any more.
func (b *body) renew(r Renewal) bool {
	i := slices.IndexFunc(b.Grants, same(r.Old))
	if i < 0 {
		return false
	}
	rest := slices.Delete(slices.Clone(b.Grants), i, i+1)
	b.Grants = slices.Clone(b.Grants)
	b.Grants[i] = r.New
	if r.User != nil {
		b.User = r.User(b.User, rest)
	}
	return true
}

func (c *Card) differs(u *flows.User, g flows.Grant) bool {
	return c.Name != u.Name || g.SID != "" && c.SIDs[g.Provider] != g.SID || len(g.LogoutKeys) > 0 && !slices.Equal(c.LogoutKeys[g.Provider], g.LogoutKeys) || !g.NotAfter.IsZero() && g.NotAfter.Before(c.Expires)
}

func (c *Card) renew(u *flows.User, g flows.Grant) {
	c.Name = u.Name
	if g.SID != "" {
		if c.SIDs == nil {
			c.SIDs = map[string]string{}
		}
		c.SIDs[g.Provider] = g.SID
	}
	c.setLogoutKeys(g)
	c.endBy(g.NotAfter)
}
