package session

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// callOutIndex holds the cards of sessions that somebody must hear the end of.
const callOutIndex = "calls"

// maxCallOuts bounds a card: more applications than this are not told.
const maxCallOuts = 64

// seenLag is how far the activity on a card may lag behind (Session.Active).
const seenLag = time.Minute + 10*time.Second

// TellAtEnd notes on the card that an application is to be told when the session
// ends, whoever ends it and wherever (I14). ErrEnded or flows.ErrNotFound say
// that it ended already, and that nobody else will tell.
func (m *Manager) TellAtEnd(ctx context.Context, id, callOut string) error {
	_, err := m.change(ctx, id, func(c *Card) {
		if len(c.CallOuts) < maxCallOuts && !slices.Contains(c.CallOuts, callOut) {
			c.CallOuts = append(c.CallOuts, callOut)
		}
	})
	return err
}

// Overdue is a session that is over and that nobody ended.
type Overdue struct {
	ID string
	// Revoked: not by its time.
	Revoked bool
}

// Overdue looks through up to n cards with call-outs behind the id `after` for
// sessions that are over without anybody having noticed, such as those that
// nobody used since a restart. next goes on; "" is the end.
func (m *Manager) Overdue(ctx context.Context, after string, n int) (over []Overdue, next string, err error) {
	ids, err := m.members(ctx, []string{callOutIndex}, after, n)
	if err != nil {
		return nil, "", err
	}
	now := m.Now()
	for _, id := range ids {
		c, err := m.Card(ctx, id)
		if errors.Is(err, flows.ErrNotFound) {
			continue
		}
		if err != nil {
			return over, "", err
		}
		switch err := m.standing(ctx, c); {
		case errors.Is(err, ErrEnded):
			over = append(over, Overdue{id, true})
		case err != nil:
			return over, "", err
		case !now.Before(c.Expires) || now.Sub(c.Seen) >= c.Idle+seenLag:
			over = append(over, Overdue{id, false})
		}
	}
	if len(ids) == n {
		next = ids[n-1]
	}
	return over, next, nil
}
