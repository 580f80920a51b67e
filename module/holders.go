package module

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/module/vault"
)

// holders are the people that passkeys know: one entry of the store for the handle
// that all keys of a person share. A passkey says who it is and nothing more, so the
// entry keeps what a provider last said of them: their name, groups, attributes.
type holders struct{ a *App }

// holding is what is kept under a handle.
type holding struct {
	User *flows.User `json:"user"`
	// Vouched is when a provider said so.
	Vouched time.Time `json:"vouched"`
}

func (h holders) vault() *vault.Vault {
	return h.a.vault("hall/holders")
}

// Holder finds the person of a handle.
func (h holders) Holder(ctx context.Context, handle string) (*flows.User, time.Time, error) {
	if handle == "" {
		return nil, time.Time{}, flows.ErrNotFound
	}
	b, err := h.vault().Get(ctx, handle)
	if err != nil {
		return nil, time.Time{}, err
	}
	var is holding
	switch err := json.Unmarshal(b, &is); {
	case err != nil:
		return nil, time.Time{}, fmt.Errorf("reading the holder of a passkey: %w", err)
	case is.User == nil:
		return nil, time.Time{}, flows.ErrNotFound
	}
	return is.User, is.Vouched, nil
}

// keep notes what a provider said of somebody, unless it is known newer already: their
// second key says nothing new.
func (h holders) keep(ctx context.Context, handle string, u *flows.User, vouched time.Time) error {
	return h.vault().Update(ctx, handle, func(old []byte) (flows.Change, error) {
		var is holding
		if old != nil {
			if err := json.Unmarshal(old, &is); err != nil {
				return flows.Keep(), fmt.Errorf("reading the holder of a passkey: %w", err)
			}
			if is.Vouched.After(vouched) {
				return flows.Keep(), nil
			}
		}
		b, err := json.Marshal(holding{User: u.Underived(), Vouched: vouched})
		return flows.Set(b, recordsFor), err
	})
}

// refreshHolder brings what is kept of somebody's passkeys up to what a provider said in
// this run. The run of a login by passkey says nothing: it would be its own witness.
func (v *visit) refreshHolder(ctx context.Context, x *flows.Execution) error {
	if !v.app.passkeys || len(x.Grants) == 0 || x.User.Transient || flows.FellBack(x.Evidence) {
		return nil
	}
	own, err := enrolments{v, x}.List(ctx, x.User.Key)
	if err != nil {
		return err
	}
	for _, handle := range handlesOf(own) {
		if err := (holders{v.app}).keep(ctx, handle, x.User, Now()); err != nil {
			return err
		}
	}
	return nil
}

// handlesOf are those of a person's passkeys, each once.
func handlesOf(list []flows.Record) (handles []string) {
	for _, r := range list {
		if r.Handle != "" && !slices.Contains(handles, r.Handle) {
			handles = append(handles, r.Handle)
		}
	}
	return handles
}

// forget drops what is kept under the handles of before that no key of now has.
func (h holders) forget(ctx context.Context, before, now []flows.Record) error {
	left := handlesOf(now)
	for _, handle := range handlesOf(before) {
		if slices.Contains(left, handle) {
			continue
		}
		if err := h.vault().Remove(ctx, handle); err != nil {
			return err
		}
	}
	return nil
}

// vouchedAt is when a provider last said who this is; zero: it never did.
func vouchedAt(evidence []flows.Evidence) (at time.Time) {
	for _, e := range evidence {
		if e.Kind != flows.Fallback && e.Provider != "" && e.Provider != flows.Passkey && e.At.After(at) {
			at = e.At
		}
	}
	return at
}
