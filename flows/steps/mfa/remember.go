package mfa

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// longest is for how long a browser may be trusted at all.
const longest = 365 * 24 * time.Hour

func validRemember(d time.Duration) error {
	if d < 0 || d > longest || d%time.Hour != 0 {
		return errors.New("mfa: remember is from 1h to 365d in whole hours")
	}
	return nil
}

// mayTrust reports whether trust in a browser means anything in this run: not where
// a factor is asked for anew (I03), not in a fallback login (I23), not at a risk that
// is more than low (I24), and for nobody who is somebody for this login only (I04).
func (m *MFA) mayTrust(x *flows.Execution) bool {
	return m.Remember > 0 && x.Env.Devices != nil && !x.Anew() && !flows.FellBack(x.Evidence) && x.Risk.Low() && !x.User.Transient
}

// trusted reports whether the person had this browser trusted, by one of the factors
// of this step and no longer ago than this step allows. That is noted as what it is:
// no proof of a factor.
func (m *MFA) trusted(ctx context.Context, x *flows.Execution) (bool, error) {
	if !m.mayTrust(x) {
		return false, nil
	}
	d, err := x.Env.Devices.Trusted(ctx, x.User, x.Evidence)
	if errors.Is(err, flows.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !slices.Contains(m.Factors, d.Factor) || x.Env.Now.Sub(d.Proved) >= time.Duration(m.Remember) {
		return false, nil
	}
	if !slices.ContainsFunc(x.Evidence, func(e flows.Evidence) bool { return e.Kind == flows.DeviceTrust && e.Record == d.ID }) {
		x.Evidence = append(slices.Clip(x.Evidence), flows.Evidence{User: x.User.Key, Method: "device", At: x.Env.Now, Kind: flows.DeviceTrust, Record: d.ID})
		x.Inherited = false
	}
	return true, nil
}

// box asks whether to trust this browser.
func (m *MFA) box(ticked bool) flows.Check {
	c := flows.Check{Name: "remember", Label: "remember_hours", Count: int(time.Duration(m.Remember) / time.Hour), Checked: ticked, Optional: true}
	if c.Count%24 == 0 {
		c.Label, c.Count = "remember_days", c.Count/24
	}
	return c
}

// remember keeps the browser if the box is ticked, behind a right proof.
func (m *MFA) remember(ctx context.Context, x *flows.Execution, k kept) error {
	if !k.Remember || !m.mayTrust(x) {
		return nil
	}
	return x.Env.Devices.Trust(ctx, x.User, x.Evidence, k.Factor, time.Duration(m.Remember))
}
