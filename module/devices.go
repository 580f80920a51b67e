package module

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
	"github.com/sallyport-gateway/sallyport/module/vault"
)

// device is a browser that a person had trusted. What the browser holds finds it and
// is kept as a hash only.
type device struct {
	// ID is the public one, unlinked to what the browser holds.
	ID     string    `json:"id"`
	Hash   []byte    `json:"hash"`
	Factor string    `json:"factor"`
	Proved time.Time `json:"proved"`
	Used   time.Time `json:"used"`
	Until  time.Time `json:"until"`
	Agent  string    `json:"agent,omitempty"`
	IP     string    `json:"ip,omitempty"`
	// Enrolled stands for the factors the person had then, Credentials, by provider,
	// for the password they came with: it is trusted until one of them changes (I24).
	Enrolled    string            `json:"enrolled"`
	Credentials map[string]string `json:"credentials,omitempty"`
}

// maxDevices bounds what one person can have; the oldest goes.
const maxDevices = 20

// devices are the trusted devices of people, one entry of the store a person. A
// visit lends them to a run.
type devices struct{ v *visit }

func (a *App) deviceVault() *vault.Vault {
	return a.vault("hall/devices")
}

// trustName is that of the cookie which holds the id of a trusted device: for the
// path /, since a flow is also begun where an application was asked for.
func (v *visit) trustName() string { return v.sideName("trust") }

// Trusted finds the browser's record, and notes that it was used.
func (d devices) Trusted(ctx context.Context, u *flows.User, evidence []flows.Evidence) (flows.TrustedDevice, error) {
	one, err := d.find(ctx, u.Key, evidence)
	if err != nil {
		return flows.TrustedDevice{}, err
	}
	if err := d.v.app.deviceUsed(ctx, u.Key, one.ID, d.v.ip()); err != nil {
		return flows.TrustedDevice{}, err
	}
	return flows.TrustedDevice{ID: one.ID, Factor: one.Factor, Proved: one.Proved}, nil
}

// find finds the browser's record, with nothing changed since (I24). ErrNotFound: there
// is none.
func (d devices) find(ctx context.Context, user flows.UserKey, evidence []flows.Evidence) (device, error) {
	held := d.v.sideValue(d.v.trustName())
	if held == "" {
		return device{}, flows.ErrNotFound
	}
	list, err := d.v.app.devicesOf(ctx, user)
	if err != nil {
		return device{}, err
	}
	sum := sha256.Sum256([]byte(held))
	i := slices.IndexFunc(list, func(o device) bool { return subtle.ConstantTimeCompare(o.Hash, sum[:]) == 1 })
	if i < 0 {
		return device{}, flows.ErrNotFound
	}
	enrolled, err := d.v.app.enrolledMark(ctx, user)
	if err != nil {
		return device{}, err
	}
	if one := list[i]; one.Enrolled == enrolled && one.sameCredentials(evidence) {
		return one, nil
	}
	return device{}, flows.ErrNotFound
}

// sameCredentials reports whether every password that the evidence is of is the one
// of then. What was not known then may have changed.
func (d *device) sameCredentials(evidence []flows.Evidence) bool {
	for i := range evidence {
		if e := &evidence[i]; e.Credential != "" && d.Credentials[e.Provider] != e.Credential {
			return false
		}
	}
	return true
}

// Trust writes the trail, then the record, and gives the browser an id of its own: one
// that it brought may be known to somebody else.
func (d devices) Trust(ctx context.Context, u *flows.User, evidence []flows.Evidence, factor string, keep time.Duration) error {
	enrolled, err := d.v.app.enrolledMark(ctx, u.Key)
	if err != nil {
		return err
	}
	e := d.v.event(audit.DeviceTrusted)
	e.User, e.Name, e.Provider, e.Factor = u.Key, u.Name, u.Provider, factor
	if _, err := d.v.app.trail.Before(ctx, e); err != nil {
		return err
	}
	now, held := Now().Truncate(time.Second), rand.Text()
	sum := sha256.Sum256([]byte(held))
	one := device{
		ID: rand.Text()[:16], Hash: sum[:], Factor: factor, Proved: now, Used: now, Until: now.Add(keep),
		Agent: cutText(d.v.r.UserAgent(), 200), IP: d.v.ip(), Enrolled: enrolled, Credentials: map[string]string{},
	}
	for i := range evidence {
		if c := evidence[i].Credential; c != "" {
			one.Credentials[evidence[i].Provider] = c
		}
	}
	err = d.v.app.changeDevices(ctx, u.Key, func(list []device) ([]device, error) {
		if n := len(list) - maxDevices + 1; n > 0 {
			slices.SortStableFunc(list, func(a, b device) int { return a.Used.Compare(b.Used) })
			list = slices.Delete(list, 0, n)
		}
		return append(list, one), nil
	})
	if err != nil {
		return err
	}
	d.v.sideCookie(d.v.trustName(), held, "/", int(keep.Seconds()))
	d.v.app.tell(ctx, u, d.v.app.pages.Language(d.v.r), "device_trusted", map[string]string{"device": agentTitle(one.Agent), "host": d.v.place.host})
	return nil
}

// enrolledMark is another text whenever a person's factors are others.
func (a *App) enrolledMark(ctx context.Context, user flows.UserKey) (string, error) {
	list, err := a.recordsOf(ctx, user)
	if err != nil {
		return "", err
	}
	ids := make([]string, len(list))
	for i, r := range list {
		ids[i] = r.ID
	}
	slices.Sort(ids)
	sum := sha256.Sum256(fmt.Append(nil, ids))
	return base64.RawURLEncoding.EncodeToString(sum[:12]), nil
}

// devicesOf are a person's trusted devices whose time is not over.
func (a *App) devicesOf(ctx context.Context, user flows.UserKey) ([]device, error) {
	b, err := a.deviceVault().Get(ctx, string(user))
	if errors.Is(err, flows.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return readDevices(b)
}

func readDevices(b []byte) (list []device, err error) {
	if b == nil {
		return nil, nil
	}
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, fmt.Errorf("reading trusted devices: %w", err)
	}
	now := Now()
	return slices.DeleteFunc(list, func(d device) bool { return !now.Before(d.Until) }), nil
}

// changeDevices edits the list in one atomic step; it is kept as long as one of them is.
func (a *App) changeDevices(ctx context.Context, user flows.UserKey, fn func([]device) ([]device, error)) error {
	return a.deviceVault().Update(ctx, string(user), func(old []byte) (flows.Change, error) {
		list, err := readDevices(old)
		if err != nil {
			return flows.Keep(), err
		}
		if list, err = fn(list); err != nil {
			return flows.Keep(), err
		}
		var until time.Time
		for _, d := range list {
			if d.Until.After(until) {
				until = d.Until
			}
		}
		switch {
		case len(list) == 0 && old == nil:
			return flows.Keep(), nil
		case len(list) == 0:
			return flows.Remove(), nil
		}
		b, err := json.Marshal(list)
		return flows.Set(b, until.Sub(Now())), err
	})
}

// deviceUsed notes that a device was let in by trust. It may be removed meanwhile:
// then it is not, and nobody is (I15).
func (a *App) deviceUsed(ctx context.Context, user flows.UserKey, id, ip string) error {
	now := Now().Truncate(time.Second)
	return a.changeDevices(ctx, user, func(list []device) ([]device, error) {
		i := slices.IndexFunc(list, func(d device) bool { return d.ID == id })
		if i < 0 {
			return nil, flows.ErrNotFound
		}
		list[i].Used, list[i].IP = now, ip
		return list, nil
	})
}

// dropDevices removes all of them after a factor changed. They count no more in any
// case, so that a store which is down now keeps nothing alive.
func (a *App) dropDevices(ctx context.Context, user flows.UserKey) {
	if err := a.deviceVault().Remove(ctx, string(user)); err != nil {
		a.log.Warn("trusted devices that count no more are still listed", zap.String("user", string(user)), zap.Error(err))
	}
}

// forgetDevice removes one trusted device of a person.
func (a *App) forgetDevice(ctx context.Context, user flows.UserKey, id string) error {
	return a.changeDevices(ctx, user, func(list []device) ([]device, error) {
		i := slices.IndexFunc(list, func(d device) bool { return d.ID == id })
		if i < 0 {
			return nil, flows.ErrNotFound
		}
		return slices.Delete(list, i, i+1), nil
	})
}

func cutText(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
