package session

import (
	"context"
	"errors"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
)

// Momentary makes a session of a program's finished run, after its audit receipt: it is
// what rules and headers read of who sent a request. It is kept nowhere, has no ticket,
// and proves nothing to a `step_up`. id is its public id, issued when the credential
// was made: one from before a revocation of its user makes none (I15).
func (m *Manager) Momentary(ctx context.Context, r audit.Receipt, f flows.Finished, id, origin string, issued time.Time, lifetime time.Duration) (*Session, error) {
	x := f.Execution()
	if x == nil || !r.Valid() {
		return nil, errors.New("a session needs a finished execution and an audit receipt")
	}
	now := m.Now()
	s := &Session{User: x.User, Evidence: x.Evidence, Readings: x.Readings, Origin: origin}
	s.Card = Card{ID: id, User: x.User.Key, Started: now, Idle: lifetime, Expires: now.Add(lifetime)}
	s.Card.fill(x, Browser{Origin: origin, IP: x.Request.IP}, now)
	if !now.Before(s.Card.Expires) {
		return nil, errOver
	}
	if err := m.notRevoked(ctx, &s.Card, issued, issued); err != nil {
		return nil, err
	}
	s.prepare()
	return s, nil
}
