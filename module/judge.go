package module

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
	"github.com/sallyport-gateway/sallyport/flows/policy"
	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
	"github.com/sallyport-gateway/sallyport/headers"
	"github.com/sallyport-gateway/sallyport/module/session"
)

func (p *Protect) provisionHeaders(ctx caddy.Context) error {
	var dialects []flows.Dialect
	for _, h := range p.Headers {
		if h.Own != "" {
			d, ok := p.app.dialects[h.Own]
			if !ok {
				return fmt.Errorf("headers%s: no dialect is called '%s'; there are: %s", written(h.Source), h.Own, strings.Join(orderOf(nil, p.app.dialects), ", "))
			}
			p.shows(d)
			dialects = append(dialects, d)
			continue
		}
		if h.DialectRaw == nil {
			own, err := headers.NewOwnHeader(h.Name, h.Value, h.HeaderOptions)
			if err != nil {
				return fmt.Errorf("header%s: %w", written(h.Source), err)
			}
			dialects = append(dialects, own)
			p.showsIn(h.Source, own.Template)
			continue
		}
		m, err := ctx.LoadModule(h, "DialectRaw")
		if err != nil {
			return fmt.Errorf("headers%s: %w", written(h.Source), err)
		}
		d, ok := m.(flows.Dialect)
		if !ok {
			return fmt.Errorf("headers%s: %T is no dialect", written(h.Source), m)
		}
		if err := p.provisionLeave(ctx, d); err != nil {
			return fmt.Errorf("headers%s: %w", written(h.Source), err)
		}
		if err := p.app.mayAssert(d); err != nil {
			return fmt.Errorf("headers%s: %w", written(h.Source), err)
		}
		p.shows(d)
		dialects = append(dialects, d)
	}
	plan, err := headers.NewPlan(dialects...)
	if err != nil {
		return err
	}
	p.plan = plan
	p.app.ownedMu.Lock()
	p.app.owned = append(p.app.owned, plan.Owned()...)
	p.app.ownedMu.Unlock()
	if p.RemoteUser == "" {
		p.RemoteUser = "{user.name}"
	}
	if p.remote, err = headers.ParseTemplate(p.RemoteUser); err != nil {
		return fmt.Errorf("remote_user: %w", err)
	}
	p.showsIn(p.Source, p.remote)
	return nil
}

// showsIn notes the attributes that a template shows to the application.
func (p *Protect) showsIn(source string, t *headers.Template) {
	for _, n := range t.Attributes() {
		p.attributes = append(p.attributes, n)
		p.app.readsAttributes(source, []string{"user." + n})
	}
}

// remoteUser is {http.auth.user.id}: control characters never reach a log or a CGI
// variable. It writes nothing into the visit: a replacer may be asked by several at once.
func (p *Protect) remoteUser(v *visit) string {
	if p.remote == nil {
		return ""
	}
	s := v.session
	values, _ := p.remote.Values(&flows.Facts{Now: v.now, User: s.User, Evidence: s.Evidence, Session: &s.Facts, Readings: s.Readings, Risk: s.Risk})
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '_'
		}
		return r
	}, strings.Join(values, ","))
}

// judge decides and acts. Everything the decision reads is in facts.
func (v *visit) judge(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	v.w, v.r, v.answering = w, r, true
	v.known = nil
	v.readPath(r)
	if v.p.api != nil {
		if served, err := v.asProgram(next); served {
			return err
		}
	}
	over := v.session != nil && v.routeOver()
	rose := v.p.every > 0 && v.session != nil && !over && v.riskRose()
	if v.session != nil && len(v.p.logouts) > 0 {
		if served, err := v.appLogout(next, over); served {
			return err
		}
	}
	if over || rose {
		f := v.facts()
		f.Session, f.User = nil, nil
		return v.decided(policy.Decide(&v.p.gate.gate, f), next, over)
	}
	return v.decided(v.decide(), next, false)
}

// decided turns a Decision into what happens.
func (v *visit) decided(d policy.Decision, next caddyhttp.Handler, anew bool) error {
	switch d.Verdict {
	case policy.Allow:
		return v.forward(next)
	case policy.OpenKnown:
		v.out.private, v.out.vary = true, true
		return v.forward(next)
	case policy.Open:
		v.out.vary = true
		v.p.plan.Nobody().Inject(v.r.Header)
		return v.pass(next, v.r)
	case policy.Login:
		if v.vouched() {
			return v.enter(next, anew)
		}
		return v.loginRequired(anew)
	case policy.Prove:
		return v.prove(d, next)
	}
	if d.Err != nil {
		v.app.log.Error("condition failed, denied", zap.String("source", d.Source), zap.Error(d.Err))
	}
	v.shown = v.session != nil && v.facts().Session != nil // to the access log
	return v.refuse(http.StatusForbidden, d.Reason, d.Text, d.Source, d.Err)
}

// forward lets the request through as somebody.
func (v *visit) forward(next caddyhttp.Handler) error {
	live := session.LiveOf(v.session)
	v.shown = true
	upgrade := v.upgrades()
	if upgrade && !v.ownUpgrade() {
		return v.refuse(http.StatusForbidden, flows.ReasonCrossSite, "", "", errors.New("upgrade from another origin"))
	}
	if err := v.inject(live); errors.Is(err, flows.ErrUnavailable) {
		return v.unavailable(err)
	} else if err != nil {
		return v.refuse(http.StatusForbidden, flows.ReasonOf(err), "", "", err)
	}
	if v.client == nil { // a program has no session that could be active or end
		v.noteActivity(live)
	}
	v.out.private = true
	if v.p.long || v.client != nil {
		v.watch()
	}
	r := v.r
	if upgrade { // hijacking clears deadlines; the proxied connection ends by its context
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		v.stream.Cancel, r = cancel, r.WithContext(ctx)
	}
	if !live.Open(&v.stream, v.w) { // it ended while we decided
		v.session, v.shown = nil, false
		if v.client != nil {
			return v.refuseClient(v.client.taker, flows.ErrCredentials)
		}
		return v.loginRequired(false)
	}
	defer live.Close(&v.stream)
	if v.body != nil && v.body.approval != nil {
		if ok, err := v.spend(); !ok {
			return err
		}
	}
	return v.pass(next, r)
}

func (v *visit) noteActivity(live *session.Live) {
	if !v.isPassive() {
		v.active()
		v.noteRoute(live)
	}
	if len(v.p.callOuts) > 0 {
		v.noteCallOuts(live)
	}
}

// inject writes the headers of whom the request comes from.
func (v *visit) inject(live *session.Live) error {
	pre, err := v.prebuilt(live)
	if err != nil {
		return err
	}
	var f *flows.Facts
	if v.p.plan.PerRequest() {
		f = v.facts()
	}
	return v.p.plan.Inject(v.r.Header, pre, f, v.values[:]...)
}

// pass hands the request to the handlers behind us.
func (v *visit) pass(next caddyhttp.Handler, r *http.Request) error {
	v.answering = false
	return next.ServeHTTP(v.wrap(v.w), r)
}

func (v *visit) upgrades() bool {
	return len(v.r.Header["Upgrade"]) > 0 || v.r.Method == http.MethodConnect
}

// ownUpgrade refuses a WebSocket that a foreign page opens with this browser's
// session (P12).
func (v *visit) ownUpgrade() bool {
	o := v.r.Header.Get("Origin")
	return o == "" || strings.EqualFold(o, v.place.origin)
}

type preparedKey struct {
	p *Protect
	// origin is that of the request where the headers hold a token: it names who
	// signs, and one protect may have several hosts.
	origin string
}

// prebuilt are the session's headers on this route, evaluated once, or for as long
// as a token in them is good.
func (v *visit) prebuilt(live *session.Live) (headers.Prebuilt, error) {
	if pp := v.latest(live); pp != nil {
		return pp.pre, nil
	}
	key := v.preparedKey()
	if got, ok := live.Prepared.Load(key); ok {
		if pp := got.(*preparedFor); pp.session == v.session && pp.pre.Good(v.now) {
			live.Latest.Store(pp)
			return pp.pre, nil
		}
	}
	pre, err := v.build()
	if err != nil {
		return pre, err
	}
	n := 0
	live.Prepared.Range(func(k, got any) bool { // those of older configs, and tokens that ran out
		pre := &got.(*preparedFor).pre
		if n++; k.(preparedKey).p.app != v.app || !pre.Good(v.now) || n > maxPrepared {
			live.Prepared.Delete(k)
		}
		return true
	})
	pp := &preparedFor{key, v.session, pre}
	live.Prepared.Store(key, pp)
	live.Latest.Store(pp)
	return pre, nil
}

// latest are the headers that the session's last request was given, if they are
// of this route and a token in them is still good; nil if not.
func (v *visit) latest(live *session.Live) *preparedFor {
	if pp, ok := live.Latest.Load().(*preparedFor); ok && pp.session == v.session && pp.key == v.preparedKey() && pp.pre.Good(v.now) {
		return pp
	}
	return nil
}

func (v *visit) preparedKey() preparedKey {
	key := preparedKey{p: v.p}
	if v.p.plan.Asserts() {
		key.origin = v.place.origin
	}
	return key
}

// maxPrepared bounds what one session keeps: below a `domain` it may come by any host.
const maxPrepared = 64

type preparedFor struct {
	key     preparedKey
	session *flowsession.Session
	pre     headers.Prebuilt
}

func (v *visit) isPassive() bool {
	if len(v.p.passive) == 0 {
		return false
	}
	ok, err := v.p.passive.AnyMatchWithError(v.asked)
	return ok && err == nil
}

// routeOver reports whether the limits of this protect have passed for the
// session: then this route asks anew, others do not (B17).
func (v *visit) routeOver() bool {
	left, limited := v.routeLeft()
	return limited && left <= 0
}

// routeLeft is how long the limits of this protect leave the session, if it has any.
func (v *visit) routeLeft() (left time.Duration, limited bool) {
	if v.p.idle == 0 && v.p.life == 0 {
		return 0, false
	}
	done, ok := v.session.Finished(v.p.Flow)
	if !ok {
		return 0, false
	}
	now := v.now
	if v.p.life > 0 {
		left, limited = done.Add(v.p.life).Sub(now), true
	}
	if v.p.idle == 0 || limited && left <= 0 {
		return left, limited
	}
	last := done
	if at, ok := session.LiveOf(v.session).Routes.Load(v.p.routeName()); ok && at.(time.Time).After(last) {
		last = at.(time.Time)
	} else if !ok && v.session.Card.Seen.After(last) {
		last = v.session.Card.Seen // after a restart the session's own activity stands in
	}
	idle := last.Add(v.p.idle).Sub(now)
	if !limited {
		return idle, true
	}
	return min(left, idle), true
}

func (p *Protect) routeName() string { return p.Flow + " " + p.Source }

func (v *visit) noteRoute(live *session.Live) {
	if v.p.idle > 0 {
		live.Routes.Store(v.p.routeName(), v.now)
	}
}

// loginRequired answers a request that nobody is signed in for: a page goes
// into the flow, a program hears 401 (B04).
func (v *visit) loginRequired(anew bool) error {
	switch {
	case v.problem != nil && !gone(v.problem):
		return v.unavailable(v.problem)
	case errors.Is(v.problem, flowsession.ErrRotated) && !(v.away() && isNavigation(v.r)): // the portal has a new one
		return v.rotated()
	case v.exposed():
		return v.insecure()
	case v.session == nil && v.asksLogout() != nil: // nobody signs in to sign out (B14)
		return v.nobodyToSignOut()
	}
	if !v.stays() { // else the flow may need no page
		if done, err := v.withoutPage(anew); done {
			return err
		}
	}
	return v.startLogin(login{flow: v.p.program, returnTo: v.wanted(), anew: anew})
}

// withoutPage answers a request that a page would be no answer to.
func (v *visit) withoutPage(anew bool) (bool, error) {
	switch {
	case v.toScript():
		return true, v.unauthorized()
	case v.r.Method != http.MethodGet && v.r.Method != http.MethodHead:
		return true, v.sendLater(anew)
	}
	return false, nil
}

// refuse answers a denial as a page or JSON, with an id that finds the event. Who has
// not signed in is counted: strangers write nothing into the trail (I25).
func (v *visit) refuse(status int, reason flows.Reason, text, source string, err error) error {
	if v.session == nil {
		v.showError(status, reason, text, v.countStranger(reason, err))
		return nil
	}
	return v.refuseNoted(status, reason, text, source, err)
}

// refuseNoted is refuse for who has at least begun a login: it is an event in any case.
func (v *visit) refuseNoted(status int, reason flows.Reason, text, source string, err error) error {
	e := v.event(audit.Denied)
	e.Reason, e.Text, e.Rule = reason, text, source
	if reason == flows.ReasonNotAllowed || reason == flows.ReasonConditionError {
		e.Facts = v.app.factsOf(v.facts())
	}
	if err != nil {
		e.Detail = err.Error()
	}
	v.app.trail.Note(e)
	v.showError(status, reason, text, e.ID)
	return nil
}

// unavailable is the answer when we could not ask: nobody is logged out, and
// nothing is let through (I16).
func (v *visit) unavailable(err error) error {
	id := newID()
	v.app.log.Error("could not ask the store", zap.String("id", id), zap.Error(err))
	v.w.Header().Set("Retry-After", "5")
	reason := flows.ReasonStoreDown
	if r := flows.ReasonOf(err); r != flows.ReasonInternal {
		reason = r
	}
	v.app.shared.metrics.denials.WithLabelValues(v.app.shared.metrics.reason(reason)).Inc()
	v.showError(http.StatusServiceUnavailable, reason, "", id)
	return nil
}
