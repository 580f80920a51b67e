package module

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
	"github.com/sallyport-gateway/sallyport/module/pages"
)

// ReasonLogout is the end of a session by its person's wish.
const ReasonLogout flows.Reason = "logout"

// logout serves /.identity/logout: POST of our own, or GET from our own origin or
// typed, ends the session; any other GET may be another site's and is asked back.
func (v *visit) logout() error {
	if v.r.Method == http.MethodPost {
		if !v.sameOrigin() {
			return v.refuse(http.StatusForbidden, flows.ReasonCrossSite, "", "", errors.New("logout from another site"))
		}
		return v.endAndLeave()
	}
	switch {
	case v.session == nil:
		v.signedOut()
		return nil
	case v.ownOrTyped() && !isPrefetch(v.r.Header):
		return v.endAndLeave()
	}
	v.show(http.StatusOK, pages.View{Kind: pages.KindConfirmLogout, Action: "/.identity/logout", User: v.session.User.Name, FormAction: v.formTargets()})
	return nil
}

func (v *visit) signedOut() {
	v.show(http.StatusOK, pages.View{Kind: pages.KindSignedOut, Link: "/"})
}

// endAndLeave ends the session here first, then at the provider (B14).
func (v *visit) endAndLeave() error {
	s := v.session
	v.ticketStore().Clear(v.w, v.place.cookie)
	v.clearPending()
	if s == nil {
		v.signedOut()
		return nil
	}
	v.endOwn(s)
	v.clearRecent() // its cookie did come back: who leaves and returns is in no loop
	v.session = nil
	if out := v.leaveProvider(s); out != nil && (isNavigation(v.r) || acceptsHTML(v.r.Header)) {
		return out.Accept(&leaving{v})
	}
	v.signedOut()
	return nil
}

func (v *visit) endOwn(s *flowsession.Session) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(v.r.Context()), 10*time.Second)
	defer cancel()
	e := v.event(audit.Logout)
	e.Reason = ReasonLogout
	if err := v.app.endSession(ctx, s.ID(), ReasonLogout, func(old *audit.Event) { *old = e }); err != nil {
		v.app.trail.Note(e)
		v.app.endLater(s, ReasonLogout)
	}
}

// leaveProvider asks the provider of the newest login to end it there, too.
func (v *visit) leaveProvider(s *flowsession.Session) flows.Outcome {
	for _, g := range slices.Backward(s.Grants) {
		i := slices.IndexFunc(v.app.providers, func(p *flows.Provider) bool { return p.Name == g.Provider })
		if i < 0 {
			continue
		}
		guest := v.app.providers[i].Guest
		if on := guest.Options().SingleLogout; on != nil && !*on {
			continue
		}
		e, ok := guest.(flows.Ender)
		if !ok {
			continue
		}
		out, err := e.LogoutRequest(v.r.Context(), g, v.place.origin+"/.identity/logout", newID())
		if err != nil {
			v.app.log.Warn("provider not told of a logout", zap.String("provider", g.Provider), zap.Error(err))
			continue
		}
		if out != nil {
			return out
		}
	}
	return nil
}

// leaving renders where a logout goes on.
type leaving struct{ v *visit }

func (l *leaving) Redirect(to string) error {
	l.v.logWithout("logout goes on at the provider", http.StatusSeeOther) // the address may hold an ID token
	return l.v.redirect(to)
}

func (l *leaving) Post(to string, fields []flows.FormField) error {
	l.v.show(http.StatusOK, pages.View{Kind: pages.KindPost, Action: to, Fields: fields})
	return nil
}
func (l *leaving) Continue() error         { l.v.signedOut(); return nil }
func (l *leaving) Take(int) error          { l.v.signedOut(); return nil }
func (l *leaving) Ask(flows.Page) error    { l.v.signedOut(); return nil }
func (l *leaving) Deny(flows.Denial) error { l.v.signedOut(); return nil }
func (l *leaving) Park(flows.Parked) error { l.v.signedOut(); return nil }

// appLogout serves the application's own logout addresses.
func (v *visit) appLogout(next caddyhttp.Handler) (bool, error) {
	for _, l := range v.p.logouts {
		ok, err := l.sets.AnyMatchWithError(v.asked)
		if err != nil || !ok {
			continue
		}
		if !(v.r.Method == http.MethodPost && v.sameOrigin()) && !((v.r.Method == http.MethodGet || v.r.Method == http.MethodHead) && v.ownOrTyped()) {
			v.show(http.StatusOK, pages.View{Kind: pages.KindConfirmLogout, Action: "/.identity/logout", User: v.session.User.Name, FormAction: v.formTargets()})
			return true, nil
		}
		if !l.pass {
			return true, v.endAndLeave()
		}
		return true, v.passThenEnd(next)
	}
	return false, nil
}

// passThenEnd lets the application answer its logout, as the person, and ends
// the session when it has.
func (v *visit) passThenEnd(next caddyhttp.Handler) error {
	s := v.session
	var clear recorder
	v.ticketStore().Clear(&clear, v.place.cookie)
	v.out.cookies = append(v.out.cookies, clear.Header()["Set-Cookie"]...)
	err := v.forward(next)
	v.endOwn(s)
	return err
}

// recorder takes headers only.
type recorder struct{ nowhere }

func (r *recorder) Header() http.Header {
	if r.h == nil {
		r.h = http.Header{}
	}
	return r.h
}

// backchannelLogout serves OIDC Back-Channel Logout 1.0 §2.5: a provider tells
// us, without any browser, that a login is over (O6).
func (v *visit) backchannelLogout(name string) error {
	i := slices.IndexFunc(v.app.providers, func(p *flows.Provider) bool { return p.Name == name })
	if i < 0 {
		return v.backchannelRefused(fmt.Errorf("no provider is called %q", name))
	}
	bc, ok := v.app.providers[i].Guest.(flows.BackchannelLogout)
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
	if err := v.endClaimed(v.app.providers[i], claim); err != nil {
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
// all of its subject. The revocation is written first, so that a login under
// way cannot come in behind it (I15).
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
	m := v.app.sessions
	if err := m.NotBeforeSID(ctx, p.Name, c.SID, Now()); err != nil {
		return err
	}
	ids, err := m.BySID(ctx, p.Name, c.SID)
	if err != nil {
		return err
	}
	for _, id := range ids {
		_ = v.app.endSession(ctx, id, flows.ReasonRevoked, nil) // logged; not_before holds without it
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
