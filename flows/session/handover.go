package session

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
)

// HandoverFor is how long a session may be on its way from the portal to an application.
const HandoverFor = 30 * time.Second

const handoverSpace = "handover"

// Handover is a session on its way from the portal to an application's host.
type Handover struct {
	// Pending and Nonce are those of the browser's login there that it is for.
	Pending string `json:"pending"`
	Nonce   string `json:"nonce"`
	// ReturnTo and Saved lead to where the person wanted to go, should that login be gone (B06).
	ReturnTo string `json:"return_to,omitempty"`
	Saved    string `json:"saved,omitempty"`
	Attempt  int    `json:"attempt,omitempty"`

	Secret ticketSecret `json:"secret"`
}

// HandOver prepares a session for another origin and answers the code that the
// browser carries there. The data key lies in the store wrapped by the code only.
func (m *Manager) HandOver(ctx context.Context, s *Session, origin string, h Handover) (Pass, error) {
	h.Secret = ticketSecret{Session: s.Card.ID, DataKey: s.dataKey}
	return m.Issue(ctx, handoverSpace, origin, h, HandoverFor)
}

// Handed reads a code shown at an origin; the errors are those of Read.
func (m *Manager) Handed(ctx context.Context, code Pass, origin string) (Handover, error) {
	var h Handover
	err := m.Read(ctx, code, handoverSpace, origin, &h)
	return h, err
}

// SpendHandover uses a code up; the errors are those of Spend.
func (m *Manager) SpendHandover(ctx context.Context, code Pass) error {
	return m.Spend(ctx, code, handoverSpace)
}

// SessionID is the public id of what is handed over.
func (h Handover) SessionID() string { return h.Secret.Session }

// Lend gives a handed-over session a ticket for one more host, after its audit
// receipt: the same session, another handle and another secret (I13). ErrEnded and
// flows.ErrNotFound say that it ended on the way.
func (m *Manager) Lend(ctx context.Context, r audit.Receipt, h Handover, b Browser) (Ticket, *Session, error) {
	if !r.Valid() {
		return Ticket{}, nil, errors.New("a session is lent to a host after an audit receipt only")
	}
	s, err := m.load(ctx, h.Secret, b.Origin, time.Time{})
	if err != nil {
		return Ticket{}, nil, err
	}
	now := m.Now()
	c, err := m.change(ctx, s.Card.ID, func(c *Card) {
		if !slices.Contains(c.Origins, b.Origin) {
			c.Origins = append(slices.Clone(c.Origins), b.Origin)
		}
		if now.After(c.Seen) {
			c.Seen = now
		}
	})
	if err != nil {
		return Ticket{}, nil, err
	}
	// Once more, behind the card, as Create does.
	if err := m.standing(ctx, c); err != nil {
		return Ticket{}, nil, err
	}
	s.Card = *c
	s.lent, s.rotation = true, c.Rotation
	s.prepare()
	t := NewTicket()
	s.row = t.rowID()
	if err := m.writeTicket(ctx, t, s); err != nil {
		return Ticket{}, nil, err
	}
	return t, s, nil
}

// Retire marks a ticket as replaced by a newer one of the same browser.
func (m *Manager) Retire(ctx context.Context, t Ticket) { m.rotate(ctx, t) }

// Outdated reports whether evidence was added to the session since this ticket
// was lent: rotation is how often that happened. Tickets of the host that adds it
// are replaced one by one.
func (s *Session) Outdated(rotation int) bool { return s.lent && s.rotation < rotation }

// outdated is the answer to a lent ticket of a session that proved more since.
func (m *Manager) outdated(secret ticketSecret, c *Card) error {
	switch {
	case !secret.Lent || secret.Rotation >= c.Rotation:
		return nil
	case m.Now().Sub(c.RotatedAt) < rotatedFor:
		return ErrRotated
	}
	return flows.ErrNotFound
}
