package module

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/module/vault"
)

// profile is what is usual for a person: one sealed entry of the store. It is written
// when they finished a login, and is gone when they did not for profileFor.
type profile struct {
	// Devices are the browsers they signed in with.
	Devices []usedDevice `json:"devices,omitempty"`
	// Signals are the notes of signals, by name.
	Signals map[string]json.RawMessage `json:"signals,omitempty"`
	// Used is when they last signed in.
	Used time.Time `json:"used"`
}

// usedDevice is a browser that a person signed in with, as a keyed hash of what it holds.
type usedDevice struct {
	Hash  string    `json:"hash"`
	First time.Time `json:"first"`
	Used  time.Time `json:"used"`
}

// The limits of a profile: for how long, how many devices, how many bytes.
const (
	profileFor     = 180 * 24 * time.Hour
	maxUsedDevices = 30
	maxProfile     = 32 << 10
)

func (a *App) profileVault() *vault.Vault {
	return a.vault("hall/profiles")
}

// profiles reports whether anything of this configuration asks for them.
func (a *App) profiles() bool { return len(a.signals) > 0 || a.readsDevice }

// profileOf is a person's; an empty one is no error.
func (a *App) profileOf(ctx context.Context, user flows.UserKey) (*profile, error) {
	b, err := a.profileVault().Get(ctx, string(user))
	if errors.Is(err, flows.ErrNotFound) {
		return new(profile), nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the profile of %s: %w", user, err)
	}
	return readProfile(b)
}

func readProfile(b []byte) (*profile, error) {
	p := new(profile)
	if b == nil {
		return p, nil
	}
	if err := json.Unmarshal(b, p); err != nil {
		return nil, fmt.Errorf("reading a profile: %w", err)
	}
	now := Now()
	p.Devices = slices.DeleteFunc(p.Devices, func(d usedDevice) bool { return now.Sub(d.Used) > profileFor })
	return p, nil
}

// has reports whether one of these hashes, of all cluster keys, is a device of the person.
func (p *profile) has(hashes []string) bool {
	return slices.ContainsFunc(p.Devices, func(d usedDevice) bool { return slices.Contains(hashes, d.Hash) })
}

// sees notes a device, under the newest key; the one that was used longest ago goes.
func (p *profile) sees(hashes []string, now time.Time) {
	d := usedDevice{Hash: hashes[0], First: now, Used: now}
	p.Devices = slices.DeleteFunc(p.Devices, func(o usedDevice) bool {
		is := slices.Contains(hashes, o.Hash)
		if is && o.First.Before(d.First) {
			d.First = o.First
		}
		return is
	})
	p.Devices = append(p.Devices, d)
	slices.SortStableFunc(p.Devices, func(x, y usedDevice) int { return x.Used.Compare(y.Used) })
	p.Devices = p.Devices[max(len(p.Devices)-maxUsedDevices, 0):]
}

// learn keeps what a finished login of somebody says of what is usual for them. A
// login that is finished is not undone for it. A fallback changes nothing (I23), and who
// is nobody tomorrow has nothing that lasts (I04).
func (v *visit) learn(ctx context.Context, x *flows.Execution, device string) {
	a := v.app
	if !a.profiles() || x.User.Transient || flows.FellBack(x.Evidence) {
		return
	}
	var hashes []string
	if device != "" {
		k, err := a.keys.ring(ctx)
		if err == nil {
			hashes, err = k.Hashes("used device", device)
		}
		if err != nil {
			a.log.Warn("a device is not noted", zap.String("user", string(x.User.Key)), zap.Error(err))
		}
	}
	f := x.Facts()
	f.Device.ID = device
	now, problems := Now().Truncate(time.Second), map[string]error{}
	err := a.profileVault().Update(ctx, string(x.User.Key), func(old []byte) (flows.Change, error) {
		clear(problems)
		p, err := readProfile(old)
		if err != nil {
			p = new(profile) // what cannot be read is learned anew
		}
		if p.Used = now; hashes != nil {
			p.sees(hashes, now)
		}
		a.learned(p, f, problems)
		b, err := json.Marshal(p)
		return flows.Set(b, profileFor), err
	})
	if err != nil {
		a.log.Warn("what is usual for somebody was not noted", zap.String("user", string(x.User.Key)), zap.Error(err))
	}
	for name, err := range problems {
		a.unread(name, err)
	}
}

// learned takes in what each signal notes; a note that is too long, or would make the
// whole too long, is not kept, and that of a signal which is no more goes.
func (a *App) learned(p *profile, f *flows.Facts, problems map[string]error) {
	was := p.Signals
	p.Signals = map[string]json.RawMessage{}
	size := 0
	for _, name := range orderOf(nil, a.signals) {
		l, ok := a.signals[name].(flows.Learner)
		if !ok {
			continue
		}
		note := was[name]
		fresh, err := learnOf(l, f, slices.Clone(note))
		switch {
		case err != nil:
		case len(fresh) > flows.MaxLearned || size+len(fresh) > maxProfile:
			err = fmt.Errorf("its note of %d bytes is too long", len(fresh))
		case len(fresh) > 0 && !json.Valid(fresh):
			err = errors.New("its note is no JSON")
		default:
			note = fresh
		}
		if err != nil {
			problems[name] = err
		}
		if size += len(note); len(note) > 0 {
			p.Signals[name] = note
		}
	}
}

// learnOf asks one; the store may hold a lock meanwhile, so that its panic ends here.
func learnOf(l flows.Learner, f *flows.Facts, note json.RawMessage) (out json.RawMessage, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return l.Learn(f, note)
}

// profileKeeper shows, hands out and erases profiles.
type profileKeeper struct{ a *App }

// Keeps implements flows.Keeper.
func (profileKeeper) Keeps() string { return "profile" }

// Export implements flows.Keeper.
func (k profileKeeper) Export(ctx context.Context, user flows.UserKey) ([]flows.Kept, error) {
	p, err := k.a.profileOf(ctx, user)
	if err != nil {
		return nil, err
	}
	var list []flows.Kept
	for _, name := range orderOf(nil, p.Signals) {
		list = append(list, flows.Kept{Name: name, Value: string(p.Signals[name]), At: p.Used.UTC()})
	}
	slices.SortFunc(p.Devices, func(x, y usedDevice) int { return cmp.Or(x.First.Compare(y.First), cmp.Compare(x.Hash, y.Hash)) })
	for _, d := range p.Devices {
		list = append(list, flows.Kept{Name: "device", Value: "last used " + moment(d.Used), At: d.First.UTC()})
	}
	return list, nil
}

// Erase implements flows.Keeper.
func (k profileKeeper) Erase(ctx context.Context, user flows.UserKey) error {
	return k.a.profileVault().Remove(ctx, string(user))
}
