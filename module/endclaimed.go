package module

import (
	"context"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// endClaimed ends the sessions of a verified claim: those of its sid, those that
// its provider names, or all of its subject. It answers which they were; not
// complete says that one of them may live on.
func (v *visit) endClaimed(p *flows.Provider, c flows.LogoutClaim) (ended []string, complete bool, err error) {
	// A provider that hangs up must not leave it half done: its word is good once.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(v.r.Context()), 10*time.Second)
	defer cancel()
	if err := v.consumeMark(ctx, c.Once); err != nil {
		return nil, false, err
	}
	switch {
	case len(c.LogoutKeys) > 0:
		return v.app.endNamed(ctx, p, c.LogoutKeys)
	case c.SID != "":
		return v.app.endSID(ctx, p, c.SID)
	}
	key, err := flows.MakeUserKey(p.Realm(), c.Subject)
	if err != nil {
		return nil, false, err
	}
	_, err = v.app.endUser(ctx, key)
	return nil, err == nil, err
}

// everyName is what a provider is called, now and before (I05).
func everyName(p *flows.Provider) []string {
	return append([]string{p.Name}, p.Guest.Options().Formerly...)
}

// endSID revokes one login at a provider and ends its sessions. The revocation
// is written first, so that a login under way cannot come in behind it (I15).
func (a *App) endSID(ctx context.Context, p *flows.Provider, sid string) ([]string, bool, error) {
	for _, name := range everyName(p) {
		if err := a.sessions.NotBeforeSID(ctx, name, sid, Now()); err != nil {
			return nil, false, err
		}
	}
	ids, err := a.sessionsOf(ctx, p, sid)
	if err != nil {
		return nil, false, err
	}
	return ids, a.endAll(ctx, ids), nil
}

// endNamed does the same for what a provider names its own way.
func (a *App) endNamed(ctx context.Context, p *flows.Provider, keys []string) (ids []string, complete bool, err error) {
	for _, name := range everyName(p) {
		for _, key := range keys {
			if err := a.sessions.NotBeforeLogoutKey(ctx, name, key, Now()); err != nil {
				return nil, false, err
			}
		}
	}
	for _, name := range everyName(p) {
		found, err := a.sessions.ByLogoutKeys(ctx, name, keys)
		if err != nil {
			return nil, false, err
		}
		ids = append(ids, found...)
	}
	return ids, a.endAll(ctx, ids), nil
}

// endAll ends sessions that are revoked already; false: the store did not take one.
// That is logged, and not_before holds without it.
func (a *App) endAll(ctx context.Context, ids []string) bool {
	complete := true
	for _, id := range ids {
		complete = a.endSession(ctx, id, flows.ReasonRevoked, nil) == nil && complete
	}
	return complete
}

// sessionsOf are the sessions of one login at a provider, under whatever name
// the provider had when they were made (I05).
func (a *App) sessionsOf(ctx context.Context, p *flows.Provider, sid string) ([]string, error) {
	var ids []string
	for _, name := range everyName(p) {
		found, err := a.sessions.BySID(ctx, name, sid)
		if err != nil {
			return nil, err
		}
		ids = append(ids, found...)
	}
	return ids, nil
}
