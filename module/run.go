package module

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// newRun is a run of a flow in front of its first step, for this browser.
func (v *visit) newRun(p *flows.Program, returnTo string, now time.Time) *flows.Execution {
	return &flows.Execution{
		ID: newID(), Flow: p.Name, Digest: p.Digest, Token: newID(), Origin: v.place.origin, ReturnTo: returnTo,
		Language: v.app.pages.Language(v.r),
		Started:  now.Truncate(time.Microsecond), Expires: now.Add(pendingFor).Truncate(time.Second),
	}
}

// program finds the flow of a run, and restarts the run if what it reaches has
// changed since (I28).
func (v *visit) program(x *flows.Execution) (*flows.Program, bool) {
	p, ok := v.app.run(x.Flow)
	if !ok || x.Action != nil && x.Digest != p.Digest { // what was agreed to is not what would be done
		return nil, false
	}
	if x.Digest != p.Digest {
		v.restart(p, x)
	}
	return p, true
}

// restart goes back to the first step, on the session the run stood on.
func (v *visit) restart(p *flows.Program, x *flows.Execution) {
	session, fresh := x.Session, x.Fresh
	x.Restart(p.Digest)
	x.Guarded = x.Anew()
	if v.session != nil && v.session.ID() == session {
		x.Session = session
		if !fresh {
			v.inherit(x)
		}
	}
}

// advance runs the flow until it needs the browser, and renders what it answers.
func (v *visit) advance(id string, p *flows.Program, x *flows.Execution, in *flows.Input) error {
	return v.advanceAside(id, p, x, in, nil)
}

// advanceAside is advance, where the browser may first be sent to a page of ours
// to begin the detour there.
func (v *visit) advanceAside(id string, p *flows.Program, x *flows.Execution, in *flows.Input, detour *flows.Execution) error {
	if refused, err := v.mayChange(x); refused {
		return err
	}
	v.lend(id, x)
	was := x.Risk
	out, fin, err := p.Advance(v.r.Context(), x, in)
	if x.Risk != was {
		v.app.shared.metrics.assessed(x)
	}
	switch {
	case x.Env.Arrived != nil && err == nil: // no login of the flow wanted it (I02)
		return v.refuseLogin(x, http.StatusForbidden, flows.ReasonProviderMismatch, "", "", fmt.Errorf("no login of flow %s takes what provider %s began", x.Flow, x.Env.Arrived.Provider))
	case errors.Is(err, flows.ErrWrongInput):
		return v.showCurrent(id, p, x)
	case err != nil:
		return v.failed(x, err)
	case fin != nil:
		return v.finish(id, x, *fin)
	}
	return out.Accept(&answer{v: v, id: id, x: x, posted: in != nil && in.Callback == nil && in.Token == nil, detour: detour})
}

// lend gives a run what it needs of this request.
func (v *visit) lend(id string, x *flows.Execution) {
	defer v.lendSignals(x)
	x.Env = flows.Env{
		Now: Now(), Request: v.facts().Request, Last: v.lastProvider(), Device: v.device, Enrolments: enrolments{v, x}, Devices: devices{v}, Holders: holders{v.app},
		MayEnter:    v.app.sessions.MayEnter,
		Trail:       func(ctx context.Context, d flows.Deed) error { return v.deed(ctx, x, d) },
		CallbackURL: v.callbackURL, Arrived: x.Env.Arrived, Down: v.isDown(x), Locate: v.app.locate,
		Handle: func(provider string, serial int) (string, error) {
			if v.receiver(provider) != nil {
				return v.shortHandle(id, serial, x.Attempt)
			}
			return v.sealState(stateToken{Pending: id, Serial: serial, Provider: provider, ReturnTo: x.ReturnTo, Saved: savedOf(x), Attempt: x.Attempt, Expires: x.Expires.Unix()})
		},
	}
}

// showCurrent shows the page the run waits with, or goes on where it was.
func (v *visit) showCurrent(id string, p *flows.Program, x *flows.Execution) error {
	v.lend(id, x)
	page, err := p.Show(v.r.Context(), x)
	if errors.Is(err, flows.ErrUnavailable) {
		return v.unavailable(err)
	}
	if err != nil {
		return v.stale(x.ReturnTo, savedOf(x), x.Attempt)
	}
	if token := v.negotiated(); page.Negotiate && token != nil {
		return v.advance(id, p, x, &flows.Input{Step: x.Wait.Step, Serial: x.Wait.Serial, Token: token})
	}
	return v.ask(http.StatusOK, id, x, page)
}
