package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// Disabled is a person who does not come in, by whichever provider of their realm.
// It is kept beside their sessions and apart from what is erased with them.
type Disabled struct {
	User flows.UserKey `json:"user"`
	// Since is when they were disabled first, Reason what the operator wrote then.
	Since  time.Time `json:"since"`
	Reason string    `json:"reason,omitempty"`
}

// disabledFor is how long: for ever, until somebody enables them.
const disabledFor = 100 * 365 * 24 * time.Hour

// disabledIndex finds all of them.
const disabledIndex = "disabled"

// disabledRows are the names that a person's row may have, the newest key's first. The
// row is sealed to its own name, so that a list can be read without knowing who is on it.
func (m *Manager) disabledRows(ctx context.Context, user flows.UserKey) ([]string, error) {
	return m.hashed(ctx, "d/", "disabled", string(user))
}

// Disable keeps somebody out from now on, and answers what is kept of it. Their sessions
// end by NotBeforeUser, which comes behind it: a login under way meets one of the two.
func (m *Manager) Disable(ctx context.Context, user flows.UserKey, reason string) (*Disabled, error) {
	d := &Disabled{User: user, Since: m.Now(), Reason: reason}
	switch old, err := m.Disabled(ctx, user); {
	case err == nil:
		d.Since = old.Since
	case !errors.Is(err, flows.ErrNotFound):
		return nil, err
	}
	return d, m.writeDisabled(ctx, d)
}

func (m *Manager) writeDisabled(ctx context.Context, d *Disabled) error {
	rows, err := m.disabledRows(ctx, d.User)
	if err != nil {
		return err
	}
	k, err := m.Keys(ctx)
	if err != nil {
		return err
	}
	plain, err := json.Marshal(d)
	if err != nil {
		return err
	}
	sealed, err := k.Seal("disabled", rows[0], plain)
	if err != nil {
		return err
	}
	err = m.Store.Update(ctx, rows[0], func([]byte) (flows.Change, error) {
		return flows.Set(sealed, disabledFor, disabledIndex), nil
	})
	if err != nil {
		return err
	}
	// The old ones behind it: in between somebody is kept out twice, never not at all.
	for _, row := range rows[1:] {
		if err := m.Store.Update(ctx, row, func([]byte) (flows.Change, error) { return flows.Remove(), nil }); err != nil {
			return err
		}
	}
	return nil
}

// Enable lets somebody in again; flows.ErrNotFound: they were not kept out.
func (m *Manager) Enable(ctx context.Context, user flows.UserKey) error {
	rows, err := m.disabledRows(ctx, user)
	if err != nil {
		return err
	}
	found := false
	for _, row := range rows {
		err := m.Store.Update(ctx, row, func(old []byte) (flows.Change, error) {
			if old == nil {
				return flows.Keep(), flows.ErrNotFound
			}
			return flows.Remove(), nil
		})
		if err != nil && !errors.Is(err, flows.ErrNotFound) {
			return err
		}
		found = found || err == nil
	}
	if !found {
		return flows.ErrNotFound
	}
	return nil
}

// Disabled answers what is kept of somebody who is kept out; flows.ErrNotFound: they may
// come in. Anything else could not tell (I16).
func (m *Manager) Disabled(ctx context.Context, user flows.UserKey) (*Disabled, error) {
	rows, err := m.disabledRows(ctx, user)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		d, err := m.disabledRow(ctx, row)
		if !errors.Is(err, flows.ErrNotFound) {
			return d, err
		}
	}
	return nil, flows.ErrNotFound
}

// disabledRow reads one row. One that nothing opens stands for somebody: it is an error.
func (m *Manager) disabledRow(ctx context.Context, row string) (*Disabled, error) {
	sealed, err := m.Store.Get(ctx, row)
	if err != nil {
		return nil, err
	}
	k, err := m.Keys(ctx)
	if err != nil {
		return nil, err
	}
	plain, err := k.Open("disabled", row, sealed)
	if err != nil {
		return nil, fmt.Errorf("reading who is disabled: %w", err)
	}
	d := new(Disabled)
	if err := json.Unmarshal(plain, d); err != nil {
		return nil, fmt.Errorf("reading who is disabled: %w", err)
	}
	return d, nil
}

// MayEnter is nil, or says why somebody does not come in: account_disabled, or that it
// could not be told.
func (m *Manager) MayEnter(ctx context.Context, user flows.UserKey) error {
	switch d, err := m.Disabled(ctx, user); {
	case errors.Is(err, flows.ErrNotFound):
		return nil
	case err != nil:
		return err
	default:
		return flows.Refuse(flows.ReasonAccountDisabled, fmt.Errorf("%s is disabled since %s: %s", user, d.Since.UTC().Format(time.RFC3339), d.Reason))
	}
}

// ListDisabled lists who is kept out, n at most, behind the place `after`; next is the
// place to go on from, "" at the end.
func (m *Manager) ListDisabled(ctx context.Context, after string, n int) (list []*Disabled, next string, err error) {
	if after != "" {
		after = "d/" + after
	}
	rows, err := m.Store.Members(ctx, disabledIndex, after, n)
	if err != nil {
		return nil, "", err
	}
	for _, row := range rows {
		d, err := m.disabledRow(ctx, row)
		if errors.Is(err, flows.ErrNotFound) || errors.Is(err, ErrSealed) { // of a key that is gone
			continue
		}
		if err != nil {
			return nil, "", err
		}
		list = append(list, d)
	}
	if len(rows) == n {
		next = strings.TrimPrefix(rows[n-1], "d/")
	}
	return list, next, nil
}

// CarryDisabled brings every row under the newest key: who is disabled never comes back
// by themselves, so nothing else would, and they would be let in when the older key goes.
func (m *Manager) CarryDisabled(ctx context.Context) error {
	const page = 500
	for after := ""; ; {
		list, next, err := m.ListDisabled(ctx, after, page)
		if err != nil {
			return err
		}
		for _, d := range list {
			if err := m.carry(ctx, d); err != nil {
				return err
			}
		}
		if after = next; after == "" {
			return nil
		}
	}
}

func (m *Manager) carry(ctx context.Context, d *Disabled) error {
	rows, err := m.disabledRows(ctx, d.User)
	if err != nil || len(rows) == 1 {
		return err
	}
	if _, err := m.Store.Get(ctx, rows[0]); !errors.Is(err, flows.ErrNotFound) {
		return err
	}
	return m.writeDisabled(ctx, d)
}
