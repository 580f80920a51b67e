package module

import (
	"net/http"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
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
