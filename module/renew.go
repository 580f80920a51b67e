package module

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
	"github.com/sallyport-gateway/sallyport/module/session"
)

// renewSession renews one session in the cluster and shows the result to this
// node. No request's context reaches it: a refresh token that was used up must
// not be lost because somebody closed a tab.
func (a *App) renewSession(s *flowsession.Session, key flowsession.CacheKey) error {
	ctx, cancel := context.WithTimeout(context.Background(), renewLease)
	defer cancel()
	fresh, err := a.sessions.Reload(ctx, s)
	if err == nil && len(a.renewable(fresh.Due(Now()))) > 0 {
		fresh, err = a.underLease(ctx, fresh)
	}
	switch {
	case err == nil:
		if a.shared.cache.Replace(key, s, fresh) {
			session.LiveOf(fresh).Confirm(Now())
		}
	case gone(err):
		a.shared.cache.End(s.ID())
	default:
		if fresh != nil && a.shared.cache.Replace(key, s, fresh) { // one of its providers did answer
			s = fresh
		}
		s.Postpone(Now().Add(restFirst))
		a.log.Warn("session not renewed; it goes on with what is known", zap.String("session", s.ID()), zap.Error(err))
	}
	return err
}

// underLease asks the provider if nobody else in the cluster does, and else waits
// for what the other node gets.
func (a *App) underLease(ctx context.Context, s *flowsession.Session) (*flowsession.Session, error) {
	holder := newID()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for over := time.After(waitForRenewal()); ; {
		begun := time.Now() // the lease runs from here, however long the store takes
		err := a.sessions.Claim(ctx, s.ID(), holder, renewLease)
		if err != nil && !errors.Is(err, flowsession.ErrBusy) {
			return nil, err
		}
		claimed := err == nil
		// Also with the lease: the one before may have got it done just now.
		if s, err = a.sessions.Reload(ctx, s); err != nil {
			if claimed {
				a.release(s, holder, 0)
			}
			return nil, err
		}
		switch due := a.renewable(s.Due(Now())); {
		case claimed:
			return a.renewGrants(s, holder, due, begun)
		case len(due) == 0:
			return s, nil
		}
		select {
		case <-look.C:
		case <-over:
			return nil, flowsession.ErrBusy
		}
	}
}

var errNoTime = errors.New("no time is left under the lease")

func (a *App) release(s *flowsession.Session, holder string, rest time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := a.sessions.Release(ctx, s.ID(), holder, rest); err != nil {
		a.log.Warn("lease on renewing a session not given back; it ends by itself", zap.String("session", s.ID()), zap.Error(err))
	}
}

// renewGrants asks for every grant that is due. A provider that is down does not
// keep the others from being asked.
func (a *App) renewGrants(s *flowsession.Session, holder string, due []flows.Grant, begun time.Time) (*flowsession.Session, error) {
	var failed error
	var rest time.Duration
	for _, g := range due {
		if time.Since(begun) > renewLease-renewCall-renewSave { // the lease might end before this one is written
			failed = errors.Join(failed, errNoTime)
			break
		}
		next, err := a.renewGrant(s, g)
		switch {
		case err == nil:
			s = next
			a.renewals.answered(g.Provider)
		case gone(err):
			a.release(s, holder, 0)
			return nil, err
		default:
			failed, rest = err, max(rest, a.renewals.failed(g.Provider, Now()))
		}
	}
	a.release(s, holder, rest)
	return s, failed
}

// renewGrant asks one provider and writes down what it answered.
func (a *App) renewGrant(s *flowsession.Session, g flows.Grant) (*flowsession.Session, error) {
	ctx, cancel := context.WithTimeout(context.Background(), renewCall)
	defer cancel()
	slow := time.AfterFunc(waitForRenewal(), func() { a.renewals.slow(g.Provider, Now()) })
	defer slow.Stop()
	proof, err := a.refresher(g.Provider).Refresh(ctx, g.Tokens)
	if err == nil {
		err = a.sameUser(s, g, &proof)
	}
	if err == nil {
		err = a.ownName(ctx, s, g, &proof.User)
	}
	why, over := ends(err)
	if why == flows.ReasonInvalidGrant {
		if fresh := a.replaced(s, g); fresh != nil {
			return fresh, nil
		}
	}
	a.refreshed(g.Provider, over, err)
	if over {
		return nil, a.endRenewed(s, why, err)
	}
	r := flowsession.Renewal{Old: g, New: g}
	switch {
	case err == nil:
		r.New = flows.Granted(proof, g.Provider, Now())
		r.User = func(old *flows.User, rest []flows.Grant) *flows.User {
			return a.rederive(old.Renewed(&proof.User, g, rest), s)
		}
		if r.New.SID == "" {
			r.New.SID = g.SID
		}
		if len(r.New.LogoutKeys) == 0 {
			r.New.LogoutKeys = g.LogoutKeys
		}
	case len(proof.Tokens) > 0:
		r.New.Tokens = proof.Tokens // it answered half, and the old ones may be used up
	default:
		return nil, err
	}
	fresh, werr := a.save(s, r)
	if werr != nil {
		return nil, werr
	}
	a.noteChanges(s, fresh)
	return fresh, err
}

// ends reports whether an answer of a provider ends the session, and why. Who
// could not be asked, or was asked wrongly by us, ends nothing (I16).
func ends(err error) (flows.Reason, bool) {
	if errors.Is(err, flows.ErrInvalidGrant) {
		return flows.ReasonInvalidGrant, true
	}
	switch r := flows.ReasonOf(err); r {
	case flows.ReasonUserMismatch, flows.ReasonIssuerChanged, flows.ReasonInvalidAnswer, flows.ReasonNotAllowed,
		flows.ReasonForeignAccount, flows.ReasonNameConflict, flows.ReasonGroupsOverage:
		return r, true
	default:
		return "", false
	}
}

// replaced is the session as it is now, if the tokens of the grant are not its own any
// more: that a provider ended those with a new login says nothing about the session.
func (a *App) replaced(s *flowsession.Session, g flows.Grant) *flowsession.Session {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	fresh, err := a.sessions.Reload(ctx, s)
	if err != nil || fresh.Has(g) {
		return nil
	}
	return fresh
}

// endRenewed ends a session that its provider does not stand by any more.
func (a *App) endRenewed(s *flowsession.Session, why flows.Reason, cause error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if a.endSession(ctx, s.ID(), why, func(e *audit.Event) { e.Detail = cause.Error() }) != nil {
		a.endLater(s, why)
	}
	return flowsession.ErrEnded
}

// save writes a renewal. A store that is down for a moment must not cost the new
// refresh token: the old one may be used up.
func (a *App) save(s *flowsession.Session, r flowsession.Renewal) (*flowsession.Session, error) {
	ctx, cancel := context.WithTimeout(context.Background(), renewSave)
	defer cancel()
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		fresh, err := a.sessions.Renew(ctx, s, r)
		if err == nil || gone(err) {
			return fresh, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			a.log.Error("new tokens of a session could not be written; it may have to sign in again", zap.String("session", s.ID()), zap.Error(err))
			return nil, err
		}
	}
}
