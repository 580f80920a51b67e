package module

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
	"github.com/sallyport-gateway/sallyport/module/session"
)

// trustFor is how long a cached session is served while the store cannot be
// asked: a revocation that is written there is missed for no longer.
const trustFor = 15 * time.Minute

// confirm asks the store for a cached session that it has not vouched for in
// trustFor. Who is active is vouched for every minute, beside the request.
func (a *App) confirm(ctx context.Context, s *flowsession.Session, now time.Time) error {
	live := session.LiveOf(s)
	if live.ConfirmedWithin(trustFor, now) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	err := a.sessions.Check(ctx, s)
	switch {
	case err == nil:
		live.Confirm(now)
	case gone(err):
		a.shared.cache.End(s.ID())
	}
	return err
}

// ending is a session that ended here and not yet in the store.
type ending struct {
	why   flows.Reason
	until time.Time
}

// endLater makes sure that a session that the store could not end stays ended
// on this node, and ends there once the store can be asked (I25: never blocked).
func (a *App) endLater(s *flowsession.Session, why flows.Reason) {
	a.shared.mu.Lock()
	defer a.shared.mu.Unlock()
	if a.shared.ending == nil {
		a.shared.ending = map[string]ending{}
	}
	a.shared.ending[s.ID()] = ending{why, s.Card.Expires}
}

func (s *shared) isEnding(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.ending[id]
	return ok
}

func (s *shared) countEnding() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ending)
}

func (s *shared) ended(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.ending, id)
}

// endings are what is still to be ended, without those whose time is over.
func (s *shared) endings(now time.Time) map[string]flows.Reason {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out map[string]flows.Reason
	for id, e := range s.ending {
		if !now.Before(e.until) {
			delete(s.ending, id)
			continue
		}
		if out == nil {
			out = map[string]flows.Reason{}
		}
		out[id] = e.why
	}
	return out
}

// retryEnds tries again what the store did not take. One attempt at a time: a
// store that hangs must not hold up the sweep, which cuts streams.
func (a *App) retryEnds(ctx context.Context) {
	due := a.shared.endings(Now())
	if len(due) == 0 || !a.shared.retrying.CompareAndSwap(false, true) {
		return
	}
	a.enter()
	go func() {
		defer a.leave()
		defer a.shared.retrying.Store(false)
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		a.aside("ending sessions", func() { a.endDue(ctx, due) })
	}()
}

func (a *App) endDue(ctx context.Context, due map[string]flows.Reason) {
	for id, why := range due {
		c, first, err := a.sessions.End(ctx, id, why)
		if err != nil && !errors.Is(err, flows.ErrNotFound) {
			a.log.Warn("session still not ended in the store", zap.String("session", id), zap.Int("waiting", len(due)), zap.Error(err))
			return
		}
		if first {
			a.tellApplications(c, why)
		}
		a.shared.ended(id)
	}
}

// endUser revokes all sessions of a person and answers how many it found. The
// revocation is written first, so that a login under way cannot come in behind
// it, and what is not found by now is refused all the same (I15).
func (a *App) endUser(ctx context.Context, user flows.UserKey) (int, error) {
	if err := a.sessions.NotBeforeUser(ctx, user, Now()); err != nil {
		return 0, err
	}
	return a.endListed(ctx, user)
}

// endListed ends the sessions that are listed of a person, or of everybody (""), after
// they were revoked.
func (a *App) endListed(ctx context.Context, user flows.UserKey) (int, error) {
	a.shared.clients.End(func(s *flowsession.Session) bool { return user == "" || s.User.Key == user })
	const page = 500
	ended := 0
	for after := ""; ; {
		cards, err := a.sessions.List(ctx, user, after, page)
		if err != nil {
			return ended, err
		}
		for _, c := range cards {
			after = c.ID
			if a.endSession(ctx, c.ID, flows.ReasonRevoked, nil) == nil {
				ended++
			}
		}
		if len(cards) < page {
			return ended, nil
		}
	}
}

// carryDisabled brings who is disabled under the newest of several keys, once the store
// can be asked: they must not come in when the older one goes.
func (a *App) carryDisabled(ctx context.Context) {
	t := time.NewTicker(10 * time.Second)
	defer t.Stop()
	for done := len(a.Keys) < 2; !done; {
		a.aside("carrying over who is disabled", func() {
			err := a.sessions.CarryDisabled(ctx)
			if done = err == nil; !done && ctx.Err() == nil {
				a.log.Warn("who is disabled is not under the newest key yet", zap.Error(err))
			}
		})
		if done {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}
