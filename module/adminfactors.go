package module

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
	"github.com/sallyport-gateway/sallyport/module/vault"
)

// adminFactor is what the admin API tells of a factor: nothing that it could be
// proved with.
type adminFactor struct {
	personFactor
	// Tries are wrong answers in a row at this kind; LockedUntil is when the next counts.
	Tries       int       `json:"tries,omitempty"`
	LockedUntil time.Time `json:"locked_until,omitzero"`
}

// adminFactors lists a person's factors and trusted devices.
func (a *App) adminFactors(w http.ResponseWriter, r *http.Request, user flows.UserKey) error {
	if err := a.adminAudit(r, audit.Event{User: user}); err != nil {
		return err
	}
	me := &person{Factors: []personFactor{}, Devices: []personDevice{}}
	if err := a.exportProofs(r.Context(), user, me); err != nil {
		return adminUnavailable(err)
	}
	factors := make([]adminFactor, len(me.Factors))
	for i, f := range me.Factors {
		t, err := a.triesAt(r.Context(), user, f.Factor)
		if err != nil {
			return adminUnavailable(err)
		}
		factors[i] = adminFactor{personFactor: f, Tries: t.Total, LockedUntil: lockedUntil(t)}
	}
	return adminJSON(w, struct {
		Factors []adminFactor  `json:"factors"`
		Devices []personDevice `json:"devices"`
	}{factors, me.Devices})
}

// lockedUntil is when a tally lets the next try through; zero: now.
func lockedUntil(t flows.Tally) time.Time {
	now := Now()
	switch {
	case t.Total >= flows.MaxTries:
		return t.Last.Add(triesFor).UTC()
	case t.Until.After(now):
		return t.Until.UTC()
	}
	return time.Time{}
}

func (a *App) triesAt(ctx context.Context, user flows.UserKey, factor string) (t flows.Tally, err error) {
	b, err := a.factorVault().Get(ctx, triesName(user, factor))
	if errors.Is(err, flows.ErrNotFound) {
		return t, nil
	}
	if err != nil {
		return t, err
	}
	return t, json.Unmarshal(b, &t)
}

// adminResetFactors removes all factors of a person: who lost theirs sets up a new one
// by I07. The trail comes first, since it lets in who could not come in (I25), and the
// person is told.
func (a *App) adminResetFactors(w http.ResponseWriter, r *http.Request, user flows.UserKey) error {
	ctx := r.Context()
	if err := a.adminAudit(r, audit.Event{User: user}); err != nil {
		return err
	}
	list, err := a.recordsOf(ctx, user)
	if err != nil {
		return adminUnavailable(err)
	}
	to, language, err := a.contact(ctx, user)
	if err != nil {
		return adminUnavailable(err)
	}
	e := audit.Event{ID: newID(), Time: Now(), Kind: audit.FactorsReset, User: user, Name: to.Name, IP: r.RemoteAddr}
	if _, err := a.trail.Before(ctx, e); err != nil {
		return adminUnavailable(err)
	}
	if err := a.forgetFactors(ctx, user); err != nil {
		return adminUnavailable(err)
	}
	if len(list) > 0 {
		a.tell(ctx, to, language, "factors_reset", nil)
	}
	return adminJSON(w, map[string]any{"removed": len(list)})
}

// contact is where a person is told of what others do to their account, kept with
// their factors: there may be no session to ask.
type contact struct {
	Name     string `json:"name"`
	Email    string `json:"email,omitempty"`
	Language string `json:"language,omitempty"`
}

func (a *App) contactVault() *vault.Vault {
	return a.vault("hall/contacts")
}

// noteContact keeps it. That it could not be kept does not undo what was done.
func (a *App) noteContact(ctx context.Context, u *flows.User, language string) {
	b, err := json.Marshal(contact{u.Name, u.Email, language})
	if err == nil {
		err = a.contactVault().Update(ctx, string(u.Key), func([]byte) (flows.Change, error) { return flows.Set(b, recordsFor), nil })
	}
	if err != nil {
		a.log.Warn("the address of a person is not kept: they will not be told of a reset", zap.String("user", string(u.Key)), zap.Error(err))
	}
}

// contact answers a person as far as they are known without a session.
func (a *App) contact(ctx context.Context, user flows.UserKey) (*flows.User, string, error) {
	u := &flows.User{Key: user}
	b, err := a.contactVault().Get(ctx, string(user))
	if errors.Is(err, flows.ErrNotFound) {
		return u, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	var c contact
	if err := json.Unmarshal(b, &c); err != nil {
		return nil, "", err
	}
	u.Name, u.Email = c.Name, c.Email
	return u, c.Language, nil
}
