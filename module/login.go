package module

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// login is a wish to sign in.
type login struct {
	flow     *flows.Program
	returnTo string
	// anew: the session's evidence does not count.
	anew bool
	// provider is the one asked for; only a wish.
	provider string
	// hint is the name whoever began the login gave.
	hint string
	// attempt counts logins in a row that brought no session (B08).
	attempt int
	// saved is the key under which the browser itself keeps the return address, or this
	// node the request that waits (hold).
	saved string
	// hop is, on the portal, the application's host that the login is for.
	hop *flows.Hop
	// since: no factor that was proved before, or set up in a login, counts.
	since time.Time
	// rose is when the risk of the session became higher than its flow had found it.
	rose time.Time
	// stepUp is what the login makes way for.
	stepUp *flows.StepUp
	// arrived is an answer that its provider began by itself, at is when it came.
	arrived *flows.Callback
	at      time.Time
	// drill makes a provider count as down in this login.
	drill *flows.Drill
}

// maxAttempts ends a loop of logins, within loopWindow (B08).
const (
	maxAttempts = 4
	loopWindow  = time.Minute
)

// login serves /.identity/login: a login on purpose.
func (v *visit) login() error {
	if v.r.Method == http.MethodPost {
		return v.initiatePosted()
	}
	q := v.r.URL.Query()
	if v.onPortal() {
		if h := one(q, "hop"); h != "" {
			return v.takeHop(h)
		}
		if left, err := v.elsewhere(q); left {
			return err
		}
	}
	l := login{returnTo: v.returnTo(q.Get("return_to")), provider: q.Get("provider"), saved: q.Get("saved")}
	if v.away() {
		l.attempt = v.attempts()
	}
	v.initiated(&l, q)
	if isPrefetch(v.r.Header) {
		return v.unauthorized()
	}
	if v.due() {
		v.renew() // the flow must not run over claims that have run out
	}
	if !validKey(l.saved) {
		l.saved = ""
	}
	g, err := v.gateOf(l.returnTo)
	if err != nil {
		return v.refuse(http.StatusNotFound, ReasonNoPage, "", "", err)
	}
	v.p, l.flow = g, g.program
	if v.exposed() {
		return v.insecure()
	}
	if v.problem != nil && !gone(v.problem) {
		return v.unavailable(v.problem)
	}
	if v.app.provider(l.provider) == nil {
		l.provider = ""
	}
	if link := one(q, drillParam); link != "" && v.r.Method == http.MethodGet {
		l.drill, err = v.takeDrill(link)
		switch {
		case errors.Is(err, errNoDrill):
			return v.refuse(http.StatusForbidden, flows.ReasonStaleLogin, "", "", err)
		case err != nil:
			return v.unavailable(err)
		}
		l.anew = true
	}
	return v.startLogin(l)
}

// startLogin begins a run of a flow for this browser. It writes nothing to the
// store: until somebody is known the run travels sealed in a cookie.
func (v *visit) startLogin(l login) error {
	now := Now()
	if l.attempt == 0 && !v.stays() {
		l.attempt = v.recentLogins(now)
	}
	if l.attempt >= maxAttempts {
		return v.loop(v.homeOf(l.returnTo))
	}
	if len(l.returnTo) > maxReturn && l.hop == nil { // an application kept it before it sent us the rest
		return v.longAddress(l.returnTo)
	}
	if err := v.challenge(&l); err != nil {
		return v.unavailable(err)
	}
	if v.away() {
		return v.leaveForPortal(l)
	}
	x := v.begun(l, now)
	x.Hop, x.Since = l.hop, l.since
	x.Guarded = !l.rose.IsZero()
	if l.hop == nil {
		v.wants(x, l.returnTo)
	} else { // conditions judge what the person asked the application for
		_, path := v.split(l.returnTo)
		v.wants(x, path)
		x.Request.Scheme, x.Request.Host, _ = strings.Cut(l.hop.Origin, "://")
	}
	if l.arrived != nil {
		x.Env.Arrived, x.Started = l.arrived, l.at
	}
	if v.session != nil {
		x.Session = v.session.ID()
		if !l.anew {
			v.inherit(x)
		}
	}
	v.app.shared.metrics.begun.Inc()
	before := *x
	return v.advanceAside(newPendingID(now), l.flow, x, nil, &before)
}

// begun is a run of the flow of a login, as it was wished for.
func (v *visit) begun(l login, now time.Time) *flows.Execution {
	x := v.newRun(l.flow, l.returnTo, now)
	x.Saved, x.Provider, x.Hint, x.Attempt = l.saved, l.provider, l.hint, l.attempt
	x.Fresh, x.Drill, x.StepUp, x.Rose = l.anew, l.drill, l.stepUp, l.rose
	return x
}

// wants tells the conditions of a run which path of this host it is for.
func (v *visit) wants(x *flows.Execution, path string) {
	x.Request = flows.Request{Method: http.MethodGet, Scheme: v.place.scheme, Host: v.place.host, IP: v.ip()}
	x.Request.Path, x.Request.Query, _ = strings.Cut(path, "?")
	if p, err := url.PathUnescape(x.Request.Path); err == nil {
		x.Request.Path = p
	}
}
