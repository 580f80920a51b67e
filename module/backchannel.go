package module

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
)

// backchannelLogout serves OIDC Back-Channel Logout 1.0 §2.5: a provider tells
// us, without any browser, that a login is over (O6).
func (v *visit) backchannelLogout(name string) error {
	p := v.app.provider(name)
	if p == nil {
		return v.backchannelRefused(fmt.Errorf("no provider is called %q", name))
	}
	bc, ok := p.Guest.(flows.BackchannelLogout)
	if !ok {
		return v.backchannelRefused(fmt.Errorf("provider %s has no back-channel logout", name))
	}
	if !strings.HasPrefix(v.r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return v.backchannelRefused(errors.New("a form is expected"))
	}
	values, _, err := v.readForm()
	if err != nil {
		return v.backchannelRefused(err)
	}
	claim, err := bc.VerifyLogout(v.r.Context(), one(values, "logout_token"))
	if err != nil {
		return v.backchannelRefused(err)
	}
	if err := v.endClaimed(p, claim); err != nil {
		if errors.Is(err, flows.ErrExists) || flows.ReasonOf(err) == flows.ReasonReplayed {
			return v.backchannelRefused(err)
		}
		return v.unavailable(err)
	}
	v.w.Header().Set("Cache-Control", "no-store")
	v.w.WriteHeader(http.StatusOK)
	return nil
}

func (v *visit) backchannelRefused(err error) error {
	e := v.event(audit.Denied)
	e.Reason, e.Detail = flows.ReasonInvalidAnswer, err.Error()
	v.app.trail.Note(e)
	return v.json(bodyStatus(err), map[string]any{"error": "invalid_request", "id": e.ID})
}

// endClaimed ends the sessions of a verified logout token: those of its sid, or
// all of its subject.
func (v *visit) endClaimed(p *flows.Provider, c flows.LogoutClaim) error {
	// A provider that hangs up must not leave it half done: its token is good once.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(v.r.Context()), 10*time.Second)
	defer cancel()
	if err := v.consumeMark(ctx, c.Once); err != nil {
		return err
	}
	if c.SID == "" {
		key, err := flows.MakeUserKey(p.Realm(), c.Subject)
		if err != nil {
			return err
		}
		_, err = v.app.endUser(ctx, key)
		return err
	}
	return v.app.endSID(ctx, p, c.SID)
}

// sessionsOf are the sessions of one login at a provider, under whatever name
// the provider had when they were made (I05).
func (a *App) sessionsOf(ctx context.Context, p *flows.Provider, sid string) ([]string, error) {
	var ids []string
	for _, name := range append([]string{p.Name}, p.Guest.Options().Formerly...) {
		found, err := a.sessions.BySID(ctx, name, sid)
		if err != nil {
			return nil, err
		}
		ids = append(ids, found...)
	}
	return ids, nil
}

// endSID revokes one login at a provider and ends its sessions. The revocation
// is written first, so that a login under way cannot come in behind it (I15).
func (a *App) endSID(ctx context.Context, p *flows.Provider, sid string) error {
	for _, name := range append([]string{p.Name}, p.Guest.Options().Formerly...) {
		if err := a.sessions.NotBeforeSID(ctx, name, sid, Now()); err != nil {
			return err
		}
	}
	ids, err := a.sessionsOf(ctx, p, sid)
	if err != nil {
		return err
	}
	for _, id := range ids {
		_ = a.endSession(ctx, id, flows.ReasonRevoked, nil) // logged; not_before holds without it
	}
	return nil
}

// consumeMark makes a mark under every key of the ring: while keys are rotated,
// any two nodes that read each other's cookies share one, and one of them loses (I09, B20).
func (v *visit) consumeMark(ctx context.Context, m flows.Mark) error {
	k, err := v.app.keys.ring(ctx)
	if err != nil {
		return err
	}
	names, err := k.Hashes("mark", m.Space+"\x00"+m.ID)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, h := range names {
		err = v.app.store.Create(ctx, "m/"+h, []byte{1}, max(m.Until.Sub(Now()), 0)+time.Minute)
		if errors.Is(err, flows.ErrExists) {
			return flows.Refuse(flows.ReasonReplayed, fmt.Errorf("%s was used before", m.Space))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
