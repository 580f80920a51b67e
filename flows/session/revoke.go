package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// Card reads the card of a session, alive or a tombstone.
func (m *Manager) Card(ctx context.Context, id string) (*Card, error) {
	k, err := m.Keys(ctx)
	if err != nil {
		return nil, err
	}
	sealed, err := m.Store.Get(ctx, "c/"+id)
	if err != nil {
		return nil, err
	}
	c, err := openCard(k, id, sealed)
	if errors.Is(err, ErrSealed) {
		return nil, flows.ErrNotFound
	}
	return c, err
}

// Touch writes the newest activity. It updates something that exists and never
// revives it (I15); ErrEnded or flows.ErrNotFound say that it is over.
func (m *Manager) Touch(ctx context.Context, s *Session) error {
	if err := m.standing(ctx, &s.Card); err != nil {
		return err
	}
	seen := s.Seen()
	_, err := m.change(ctx, s.Card.ID, func(c *Card) {
		if seen.After(c.Seen) {
			c.Seen = seen
		}
	})
	return err
}

// Check asks the store whether a session that was loaded earlier still stands;
// ErrEnded or flows.ErrNotFound say no, anything else could not ask (I16).
func (m *Manager) Check(ctx context.Context, s *Session) error {
	c, err := m.Card(ctx, s.Card.ID)
	if err != nil {
		return err
	}
	if !c.Ended.IsZero() || !m.Now().Before(c.Expires) {
		return ErrEnded
	}
	return m.standing(ctx, c)
}

// standing is ErrEnded for a card that was revoked since it began.
func (m *Manager) standing(ctx context.Context, c *Card) error {
	err := m.notRevoked(ctx, c, c.Started, c.Started)
	if flows.ReasonOf(err) == flows.ReasonRevoked {
		return ErrEnded
	}
	return err
}

// End makes a tombstone of a session and deletes its body; flows.ErrNotFound
// if there is none. Ending twice is not an error; first is true for one caller only.
func (m *Manager) End(ctx context.Context, id string, why flows.Reason) (ended *Card, first bool, err error) {
	k, err := m.Keys(ctx)
	if err != nil {
		return nil, false, err
	}
	now := m.Now()
	err = m.Store.Update(ctx, "c/"+id, func(old []byte) (flows.Change, error) {
		ended, first = nil, false // of an earlier run of this function
		c, err := openCard(k, id, old)
		if errors.Is(err, ErrSealed) {
			return flows.Remove(), nil
		}
		if err != nil {
			return flows.Keep(), err
		}
		ended, first = c, c.Ended.IsZero()
		if !first {
			return flows.Keep(), nil
		}
		c.Ended, c.Reason = now, why
		sealed, err := sealCard(k, c)
		if err != nil {
			return flows.Keep(), err
		}
		ends, err := endIndexes(k, c)
		return flows.Set(sealed, Tombstone, ends...), err
	})
	if err != nil {
		return nil, false, err
	}
	// The card decides; a body that could not be deleted is sealed and expires.
	_ = m.Store.Update(ctx, "b/"+id, func([]byte) (flows.Change, error) { return flows.Remove(), nil })
	return ended, first && ended != nil, nil
}

// List returns the cards of a user's living sessions (all sessions for ""), those
// behind the id `after`, by id. Fewer than n mean that there are no more.
func (m *Manager) List(ctx context.Context, user flows.UserKey, after string, n int) ([]*Card, error) {
	indexes := []string{"all"}
	if user != "" {
		var err error
		if indexes, err = m.hashed(ctx, "u/", "user", string(user)); err != nil {
			return nil, err
		}
	}
	var out []*Card
	for len(out) < n {
		ids, err := m.members(ctx, indexes, after, n)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			after = id
			c, err := m.Card(ctx, id)
			if errors.Is(err, flows.ErrNotFound) {
				continue
			}
			if err != nil {
				return nil, err
			}
			// Activity is written once in a while, so it may be a minute older than it was.
			if c.Ended.IsZero() && m.Now().Before(c.Expires) && m.Now().Sub(c.Seen) < c.Idle+time.Minute && len(out) < n {
				out = append(out, c)
			}
		}
		if len(ids) < n {
			break
		}
	}
	return out, nil
}

func (m *Manager) hashed(ctx context.Context, prefix, purpose, data string) ([]string, error) {
	k, err := m.Keys(ctx)
	if err != nil {
		return nil, err
	}
	h, err := k.Hashes(purpose, data)
	if err != nil {
		return nil, err
	}
	for i := range h {
		h[i] = prefix + h[i]
	}
	return h, nil
}

// members lists up to n session ids behind `after` over all these indexes: with
// several keys in the ring a person has one index for each.
func (m *Manager) members(ctx context.Context, indexes []string, after string, n int) ([]string, error) {
	if after != "" {
		after = "c/" + after
	}
	var out []string
	for _, i := range indexes {
		keys, err := m.Store.Members(ctx, i, after, n)
		if err != nil {
			return nil, err
		}
		for _, k := range keys {
			out = append(out, strings.TrimPrefix(k, "c/"))
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return out[:min(n, len(out))], nil
}

// BySID returns the ids of the sessions that carry a provider's session id, those
// that ended within a day, too: a provider may speak of them once more.
func (m *Manager) BySID(ctx context.Context, provider, sid string) ([]string, error) {
	indexes, err := m.hashed(ctx, "s/", "sid", provider+"\x00"+sid)
	if err != nil {
		return nil, err
	}
	return m.all(ctx, indexes)
}

// all lists the session ids of these indexes.
func (m *Manager) all(ctx context.Context, indexes []string) ([]string, error) {
	const page = 1000
	var out []string
	for after := ""; ; after = out[len(out)-1] {
		ids, err := m.members(ctx, indexes, after, page)
		if err != nil {
			return nil, err
		}
		if out = append(out, ids...); len(ids) < page {
			return out, nil
		}
	}
}

// NotBeforeUser revokes every session of a user that was made before `at`, also
// those this node has never seen (I15).
func (m *Manager) NotBeforeUser(ctx context.Context, user flows.UserKey, at time.Time) error {
	return m.notBefore(ctx, "user", string(user), at)
}

// NotBeforeAll does the same for everybody.
func (m *Manager) NotBeforeAll(ctx context.Context, at time.Time) error {
	return m.notBefore(ctx, "all", "", at)
}

// NotBeforeSID does the same for one login at a provider.
func (m *Manager) NotBeforeSID(ctx context.Context, provider, sid string, at time.Time) error {
	return m.notBefore(ctx, "sid", provider+"\x00"+sid, at)
}

// notBeforeFor is how long a revocation is kept, unless sessions may live longer.
const notBeforeFor = 31 * 24 * time.Hour

func (m *Manager) notBefore(ctx context.Context, space, id string, at time.Time) error {
	k, err := m.Keys(ctx)
	if err != nil {
		return err
	}
	h, err := k.Hashes("not_before "+space, id)
	if err != nil {
		return err
	}
	val, err := json.Marshal(at)
	if err != nil {
		return err
	}
	return m.Store.Update(ctx, "n/"+h[0], func(old []byte) (flows.Change, error) {
		var was time.Time
		if old != nil && json.Unmarshal(old, &was) == nil && was.After(at) {
			return flows.Keep(), nil
		}
		return flows.Set(val, max(notBeforeFor, m.Longest)), nil
	})
}

// notRevoked checks the revocation facts of a card against the time its session,
// or the run that makes it, began (I15); those of a provider's own names for it
// against the time it spoke.
func (m *Manager) notRevoked(ctx context.Context, c *Card, began, spoken time.Time) error {
	k, err := m.Keys(ctx)
	if err != nil {
		return err
	}
	check := func(space, id string, began time.Time) error {
		hs, err := k.Hashes("not_before "+space, id)
		if err != nil {
			return err
		}
		for _, h := range hs {
			raw, err := m.Store.Get(ctx, "n/"+h)
			if errors.Is(err, flows.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			var at time.Time
			if err := json.Unmarshal(raw, &at); err != nil || !began.After(at) {
				return flows.Refuse(flows.ReasonRevoked, fmt.Errorf("session %s was revoked at %s", c.ID, at))
			}
		}
		return nil
	}
	if err := check("all", "", began); err != nil {
		return err
	}
	if err := check("user", string(c.User), began); err != nil {
		return err
	}
	for p, sid := range c.SIDs {
		if err := check("sid", p+"\x00"+sid, began); err != nil {
			return err
		}
	}
	for p, keys := range c.LogoutKeys {
		for _, key := range keys {
			if err := check("logout_key", p+"\x00"+key, spoken); err != nil {
				return err
			}
		}
	}
	return nil
}
