package session

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

var errOver = flows.Refuse(flows.ReasonInvalidAnswer, errors.New("the login is over already"))

func (s *Session) body() *body {
	return &body{s.User, s.Evidence, s.Grants, s.Readings, s.Risk, s.Device}
}

func sealBody(key []byte, id string, b *body) ([]byte, error) {
	text, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	g, err := gcm(key)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, g.NonceSize(), g.NonceSize()+len(text)+g.Overhead())
	_, _ = rand.Read(nonce)
	return g.Seal(nonce, nonce, text, []byte("body "+id)), nil
}

func openBody(key []byte, id string, sealed []byte) (*body, error) {
	g, err := gcm(key)
	if err != nil || len(sealed) < g.NonceSize() {
		return nil, flows.ErrNotFound
	}
	plain, err := g.Open(nil, sealed[:g.NonceSize()], sealed[g.NonceSize():], []byte("body "+id))
	if err != nil {
		return nil, flows.ErrNotFound
	}
	b := new(body)
	if err := json.Unmarshal(plain, b); err != nil || b.User == nil {
		return nil, flows.ErrNotFound
	}
	return b, nil
}

// rewrite is write for a session that is there already: its body is replaced, and
// its card in the store gets more. One that went is not written back (I15).
func (m *Manager) rewrite(ctx context.Context, s *Session, began time.Time, more func(*Card)) error {
	left := s.Card.Expires.Sub(m.Now())
	if left <= 0 {
		return errOver
	}
	own, grants := s.Grants, s.Grants
	err := m.Store.Update(ctx, "b/"+s.Card.ID, func(old []byte) (flows.Change, error) {
		if old == nil {
			return flows.Keep(), ErrEnded
		}
		was, err := openBody(s.dataKey, s.Card.ID, old)
		if err != nil {
			return flows.Keep(), err
		}
		b := s.body()
		b.carry(was, own, began)
		grants = b.Grants
		sealed, err := sealBody(s.dataKey, s.Card.ID, b)
		if err != nil {
			return flows.Keep(), err
		}
		return flows.Set(sealed, left), nil
	})
	if err != nil {
		return fmt.Errorf("writing a session: %w", err)
	}
	s.Grants = grants
	c, err := m.change(ctx, s.Card.ID, more)
	if err != nil {
		return err
	}
	s.Card = *c
	return nil
}

// carry brings the grants that the store has into a body that a run is about to
// replace: tokens that were renewed while it ran are not lost, and those of its
// own stay. What the run knows of the person may then be older than the renewal:
// such a grant is asked for again at once.
func (b *body) carry(old *body, own []flows.Grant, began time.Time) {
	kept := slices.DeleteFunc(slices.Clone(old.Grants), replacedBy(own))
	for i := range kept {
		// A run's start is kept in milliseconds.
		if g := &kept[i]; g.Renewable() && g.At.Truncate(time.Millisecond).After(began) {
			g.Stale = g.At
		}
	}
	b.Grants = append(kept, own...)
}
