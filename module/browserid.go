package module

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net"
	"net/http"

	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
)

// browserName is that of the cookie by which a browser is known again. It goes where
// the session cookie goes, or a session below a `domain` would seem to change its device
// with every host.
func (v *visit) browserName() string { return v.place.browser }

// browserAge is for how long a browser keeps it after a login: as long as a profile.
const browserAge = int(profileFor / 1e9)

// deviceID stands for what a browser holds, in readings and sessions: nobody can come
// back with it.
func deviceID(held string) string {
	if !validKey(held) {
		return ""
	}
	sum := sha256.Sum256([]byte("device " + held))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// device is the id of the browser of this request. Away from the portal nobody signs
// in, and no browser has a cookie of ours for that: there it is the session's.
func (v *visit) deviceID() string {
	if v.away() {
		if v.session != nil {
			return v.session.Device
		}
		return ""
	}
	return deviceID(v.sideValue(v.browserName()))
}

// setBrowser gives the browser of a finished login its cookie, the one it has if it
// has one, and answers the id that stands for it.
func (v *visit) setBrowser(x *flows.Execution) string {
	if !v.app.profiles() || x.User.Transient || flows.FellBack(x.Evidence) {
		return ""
	}
	held := v.sideValue(v.browserName())
	if !validKey(held) {
		held = rand.Text()
	}
	c := &http.Cookie{Name: v.browserName(), Value: held, Path: "/", MaxAge: browserAge, Secure: v.place.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	host := v.place.host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if below(host, v.app.Session.Domain) {
		c.Domain = v.app.Session.Domain
	}
	http.SetCookie(v.w, c)
	return deviceID(held)
}

// browser is what is known of the device behind the request and of somebody's use of it.
func (v *visit) browser(u *flows.User, evidence []flows.Evidence) flows.DeviceFacts {
	f := flows.DeviceFacts{ID: v.deviceID()}
	if u == nil || u.Transient || !v.app.profiles() {
		return f
	}
	ctx := v.r.Context()
	var err error
	if f.Known, err = v.app.usedDevice(ctx, u.Key, f.ID); err == nil {
		_, err = devices{v}.find(ctx, u.Key, evidence)
		f.Trusted = err == nil
	}
	if err != nil && !errors.Is(err, flows.ErrNotFound) {
		v.app.log.Error("it could not be told whether a device is known", zap.String("user", string(u.Key)), zap.Error(err))
		return flows.DeviceFacts{ID: f.ID, Unknown: true}
	}
	return f
}

// deviceOfSession is browser for every request. That the person signed in with it is
// known of the device of their session; another one is looked up.
func (v *visit) deviceOfSession() flows.DeviceFacts {
	s := v.session
	if id := v.heldDevice(); id != s.Device || id == "" {
		return v.browser(s.User, s.Evidence)
	}
	return flows.DeviceFacts{ID: s.Device, Known: true}
}

// usedDevice reports whether a person signed in with a device before.
func (a *App) usedDevice(ctx context.Context, user flows.UserKey, id string) (bool, error) {
	if id == "" {
		return false, nil
	}
	p, err := a.profileOf(ctx, user)
	if err != nil {
		return false, err
	}
	k, err := a.keys.ring(ctx)
	if err != nil {
		return false, err
	}
	hashes, err := k.Hashes("used device", id)
	return err == nil && p.has(hashes), err
}

// lendSignals gives a run what risk steps need. What is known of the browser is asked
// once in an advance, and again when somebody became known in it.
func (v *visit) lendSignals(x *flows.Execution) {
	if !v.app.profiles() {
		return
	}
	var of *flows.User
	var proofs int
	var known *flows.DeviceFacts
	x.Env.Browser = func(u *flows.User) flows.DeviceFacts {
		if known == nil || of != u || proofs != len(x.Evidence) {
			f := v.browser(u, x.Evidence)
			known, of, proofs = &f, u, len(x.Evidence)
		}
		return *known
	}
	x.Env.Learned, x.Env.Unread = v.app.noted, v.app.unread
}
