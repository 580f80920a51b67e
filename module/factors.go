package module

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
	"github.com/sallyport-gateway/sallyport/module/vault"
)

func (a *App) provisionFactors(ctx caddy.Context) error {
	a.factors = map[string]flows.Factor{}
	if a.FactorsRaw == nil {
		return nil
	}
	for kind, raw := range a.FactorsRaw {
		a.raw["factor:"+kind] = string(raw)
	}
	mods, err := ctx.LoadModule(a, "FactorsRaw")
	if err != nil {
		return fmt.Errorf("loading factors: %w", err)
	}
	for kind, m := range mods.(map[string]any) {
		f, ok := m.(flows.Factor)
		if !ok {
			return fmt.Errorf("factor %s: %T is no factor", kind, m)
		}
		if _, ok := m.(flows.Passkeys); ok {
			a.passkeys = true
		}
		a.factors[kind] = f
	}
	return nil
}

func (r *registry) Factor(kind string) (flows.Factor, error) {
	if f, ok := r.a.factors[kind]; ok {
		return f, nil
	}
	have := "none"
	if names := orderOf(nil, r.a.factors); len(names) > 0 {
		have = strings.Join(names, ", ")
	}
	return nil, fmt.Errorf("no factor '%s' is configured; there are: %s", kind, have)
}

// recordsFor is how long a factor is kept: for ever, until it is removed.
const recordsFor = 100 * 365 * 24 * time.Hour

// maxRecords bounds what one person can enrol.
const maxRecords = 32

// enrolments are the factors of people, one entry of the store a person, and
// beside each the tries at it. A visit lends them to a run.
type enrolments struct {
	v *visit
	x *flows.Execution
}

func (a *App) factorVault() *vault.Vault {
	return a.vault("hall/factors")
}

func (e enrolments) vault() *vault.Vault { return e.v.app.factorVault() }

// List answers a person's records, the one used last first.
func (e enrolments) List(ctx context.Context, user flows.UserKey) ([]flows.Record, error) {
	return e.v.app.recordsOf(ctx, user)
}

func (a *App) recordsOf(ctx context.Context, user flows.UserKey) ([]flows.Record, error) {
	b, err := a.factorVault().Get(ctx, string(user))
	if errors.Is(err, flows.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list, err := readRecords(b)
	slices.SortStableFunc(list, func(x, y flows.Record) int { return y.Used.Compare(x.Used) })
	return list, err
}

func readRecords(b []byte) (list []flows.Record, err error) {
	if b == nil {
		return nil, nil
	}
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, fmt.Errorf("reading factors: %w", err)
	}
	return list, nil
}

// usableFactors are those of the kinds that are configured.
func (a *App) usableFactors(ctx context.Context, user flows.UserKey) ([]flows.Record, error) {
	list, err := a.recordsOf(ctx, user)
	return slices.DeleteFunc(list, func(r flows.Record) bool { return a.factors[r.Factor] == nil }), err
}

// hasFactor reports whether a person can be asked for one of these kinds, enrolled or by
// an address that somebody vouches for.
func (a *App) hasFactor(ctx context.Context, u *flows.User, kinds []string) (bool, error) {
	for _, kind := range kinds {
		if f, ok := a.factors[kind].(flows.Implied); ok && len(f.Imply(u)) > 0 {
			return true, nil
		}
	}
	own, err := a.usableFactors(ctx, u.Key)
	return slices.ContainsFunc(own, func(r flows.Record) bool { return slices.Contains(kinds, r.Factor) }), err
}

func (a *App) changeFactors(ctx context.Context, user flows.UserKey, fn func([]flows.Record) ([]flows.Record, error)) error {
	return a.factorVault().Update(ctx, string(user), func(old []byte) (flows.Change, error) {
		list, err := readRecords(old)
		if err != nil {
			return flows.Keep(), err
		}
		if list, err = fn(list); err != nil {
			return flows.Keep(), err
		}
		switch {
		case len(list) == 0 && old == nil:
			return flows.Keep(), nil
		case len(list) == 0:
			return flows.Remove(), nil
		}
		b, err := json.Marshal(list)
		return flows.Set(b, recordsFor), err
	})
}

// Add writes the trail, then the record (I25), and tells the person (I07). A script
// of the application sets up nothing, whatever it was shown (I12).
func (e enrolments) Add(ctx context.Context, u *flows.User, r flows.Record) error {
	if d := e.v.r.Header.Get("Sec-Fetch-Dest"); d != "" && d != "document" {
		return flows.Refuse(flows.ReasonCrossSite, errors.New("a factor that a script sets up"))
	}
	ev := e.v.event(audit.FactorAdded)
	ev.User, ev.Name, ev.Provider, ev.Factor, ev.Person = u.Key, u.Name, u.Provider, r.Factor, u
	if _, err := e.v.app.trail.Before(ctx, ev); err != nil {
		return err
	}
	if r.Handle != "" {
		if err := (holders{e.v.app}).keep(ctx, r.Handle, u, vouchedAt(e.x.Evidence)); err != nil {
			return err
		}
	}
	r.ID, r.Created, r.Used = rand.Text()[:16], Now().Truncate(time.Second), Now().Truncate(time.Second)
	err := e.v.app.changeFactors(ctx, u.Key, func(list []flows.Record) ([]flows.Record, error) { return e.added(u, list, r) })
	if err != nil {
		return err
	}
	e.v.app.dropDevices(ctx, u.Key)
	e.v.app.noteContact(ctx, u, e.v.app.pages.Language(e.v.r))
	e.v.app.tell(ctx, u, e.v.app.pages.Language(e.v.r), "factor_added", map[string]string{"factor": r.Factor, "host": e.v.place.host})
	return nil
}

// added is the list with one more record. What only stands in for others replaces
// what did so before: a list that was lost is worth nothing any more.
func (e enrolments) added(u *flows.User, list []flows.Record, r flows.Record) ([]flows.Record, error) {
	spare := func(r flows.Record) bool { _, ok := e.v.app.factors[r.Factor].(flows.Spare); return ok }
	switch {
	case r.First && slices.ContainsFunc(list, func(o flows.Record) bool { return !spare(o) }):
		return nil, flows.ErrExists
	case spare(r):
		list = slices.DeleteFunc(list, func(o flows.Record) bool { return o.Factor == r.Factor })
	case slices.ContainsFunc(list, func(o flows.Record) bool { return o.Factor == r.Factor && bytes.Equal(o.Data, r.Data) }):
		return list, nil // the form was sent twice
	}
	if len(list) >= maxRecords {
		return nil, flows.Refuse(flows.ReasonTooLarge, fmt.Errorf("%s has %d factors", u.Key, len(list)))
	}
	return append(list, r), nil
}

// forgetFactors removes all factors of a person, forgets the tries at them, and ends
// their trusted devices (I24).
func (a *App) forgetFactors(ctx context.Context, user flows.UserKey) error {
	list, err := a.recordsOf(ctx, user)
	if err != nil {
		return err
	}
	kinds := orderOf(nil, a.factors)
	for _, r := range list {
		kinds = append(kinds, r.Factor)
	}
	if err := a.factorVault().Remove(ctx, string(user)); err != nil {
		return err
	}
	for _, kind := range kinds {
		if err := a.factorVault().Remove(ctx, triesName(user, kind)); err != nil {
			return err
		}
	}
	if err := (holders{a}).forget(ctx, list, nil); err != nil {
		return err
	}
	if err := a.contactVault().Remove(ctx, string(user)); err != nil {
		return err
	}
	return a.deviceVault().Remove(ctx, string(user))
}

// Use changes one record in one atomic step.
func (e enrolments) Use(ctx context.Context, user flows.UserKey, id string, fn func(flows.Record) (flows.Record, error)) error {
	now := Now().Truncate(time.Second)
	return e.v.app.changeFactors(ctx, user, func(list []flows.Record) ([]flows.Record, error) {
		i := slices.IndexFunc(list, func(r flows.Record) bool { return r.ID == id })
		if i < 0 {
			return nil, flows.ErrNotFound
		}
		r, err := fn(list[i])
		if err != nil {
			return nil, err
		}
		list[i], list[i].Used = r, now
		return list, nil
	})
}
