package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	c := s.Card
	c.Seen = s.Seen()
	return m.putCard(ctx, &c, true)
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
		return flows.Set(sealed, Tombstone), nil
	})
	if err != nil {
		return nil, false, err
	}
	// The card decides; a body that could not be deleted is sealed and expires.
	_ = m.Store.Update(ctx, "b/"+id, func([]byte) (flows.Change, error) { return flows.Remove(), nil })
	return ended, first && ended != nil, nil
}

// List returns the cards of a user's sessions (all sessions for ""), those behind `after`.
func (m *Manager) List(ctx context.Context, user flows.UserKey, after string, n int) ([]*Card, error) {
	ids, err := m.members(ctx, user, after, n)
	if err != nil {
		return nil, err
	}
	var out []*Card
	for _, id := range ids {
		c, err := m.Card(ctx, id)
		if errors.Is(err, flows.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if c.Ended.IsZero() && m.Now().Before(c.Expires) && m.Now().Sub(c.Seen) < c.Idle+time.Minute {
			out = append(out, c)
		}
	}
	return out, nil
}

func (m *Manager) members(ctx context.Context, user flows.UserKey, after string, n int) ([]string, error) {
	indexes := []string{"all"}
	if user != "" {
		k, err := m.Keys(ctx)
		if err != nil {
			return nil, err
		}
		h, err := k.Hashes("user", string(user))
		if err != nil {
			return nil, err
		}
		indexes = indexes[:0]
		for _, one := range h {
			indexes = append(indexes, "u/"+one)
		}
	}
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
			if len(k) > 2 {
				out = append(out, k[2:])
			}
		}
	}
	return out, nil
}

// BySID returns the ids of the sessions that carry a provider's session id.
func (m *Manager) BySID(ctx context.Context, provider, sid string) ([]string, error) {
	k, err := m.Keys(ctx)
	if err != nil {
		return nil, err
	}
	h, err := k.Hashes("sid", provider+"\x00"+sid)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, one := range h {
		keys, err := m.Store.Members(ctx, "s/"+one, "", 1000)
		if err != nil {
			return nil, err
		}
		for _, k := range keys {
			out = append(out, k[2:])
		}
	}
	return out, nil
}

// NotBeforeUser revokes every session of a user that was made before `at`, also
// those this node has never seen (I15).
func (m *Manager) NotBeforeUser(ctx context.Context, user flows.UserKey, at time.Time) error {
	return m.notBefore(ctx, "user", string(user), at)
}

// NotBeforeSID does the same for one login at a provider.
func (m *Manager) NotBeforeSID(ctx context.Context, provider, sid string, at time.Time) error {
	return m.notBefore(ctx, "sid", provider+"\x00"+sid, at)
}

// notBeforeFor outlives every session that may exist when it is written.
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
		return flows.Set(val, notBeforeFor), nil
	})
}

// notRevoked checks the revocation facts of a card against a time: when the
// session is made, its own; when loaded, when it began (I15).
func (m *Manager) notRevoked(ctx context.Context, c *Card, began time.Time) error {
	k, err := m.Keys(ctx)
	if err != nil {
		return err
	}
	check := func(space, id string) error {
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
	if err := check("user", string(c.User)); err != nil {
		return err
	}
	for p, sid := range c.SIDs {
		if err := check("sid", p+"\x00"+sid); err != nil {
			return err
		}
	}
	return nil
}
