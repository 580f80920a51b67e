package module

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows/audit"
	"github.com/sallyport-gateway/sallyport/flows/policy"
	"github.com/sallyport-gateway/sallyport/module/session"
)

// A WebSocket or a stream of events is one request that goes on for hours. What let it
// in is asked again all the while, with the session, the clock and the risk of then.

// streamEvery is how often.
const streamEvery = 30 * time.Second

// misses are rules by their place, which are not about a request. That is found once:
// their matchers look at what others may change while the request goes on. A rule that
// nobody asked counts as one about it: the strictest wins (I19).
type misses struct {
	first uint64
	rest  map[int]bool
}

func (m *misses) note(at int, hit bool) {
	switch {
	case at >= 64:
		if m.rest == nil {
			m.rest = map[int]bool{}
		}
		m.rest[at] = !hit
	case hit:
		m.first &^= 1 << at
	default:
		m.first |= 1 << at
	}
}

func (m *misses) has(at int) bool {
	if at >= 64 {
		return m.rest[at]
	}
	return m.first&(1<<at) != 0
}

// provisionStreams prepares the rules for requests that go on. A step_up is for the
// moment in which something is asked for: it holds.
func (p *Protect) provisionStreams() {
	p.again = p.gate.gate
	p.again.Rules = nil
	for _, r := range p.gate.gate.Rules {
		p.long = p.long || r.Do == policy.Require
		if r.Do == policy.StepUp {
			r.Do, r.Cond, r.Proof = policy.Require, nil, nil
		}
		p.again.Rules = append(p.again.Rules, r)
	}
	p.long = p.long || p.every > 0 || p.idle > 0 || p.life > 0
}

// watch has this request judged again while it goes on. What is looked at then is put
// where nobody writes any more.
func (v *visit) watch() {
	f := v.facts()
	if v.p.readsHeader || v.client != nil { // a program's flow is run again, too
		f.Request.Header = v.r.Header.Clone()
	}
	v.stream.Judge, v.stream.Judged = v, v.now
}

// judgeStreams judges those that are due beside everything else: a signal may take its time.
func (a *App) judgeStreams() {
	a.judgePrograms()
	due := a.shared.cache.Due(Now(), streamEvery)
	if len(due) == 0 {
		return
	}
	a.enter()
	go func() {
		defer a.leave()
		for _, u := range due {
			judge(a, u)
		}
	}()
}

// judge cuts what may not go on, and what it cannot be told of (I22).
func judge(a *App, u session.Under) {
	goesOn := false
	_ = a.safely("judging a stream again", func() error { goesOn = u.Again(Now()); return nil }) // logged
	if !goesOn {
		u.Cut()
	}
}

// Again implements session.Judge. It looks at nothing that the request's own goroutine,
// or the handlers behind us, may write.
func (v *visit) Again(now time.Time) bool {
	t := v.then(now)
	if v.client != nil && !t.shownAgain(v.client) {
		return false
	}
	over := v.client == nil && (t.routeOver() || v.p.every > 0 && t.riskRose())
	f := t.facts()
	f.Request.Native, f.Approved = &v.known.misses, v.known.facts.Approved
	if over {
		f.Session, f.User = nil, nil
	}
	d := policy.Decide(&v.p.again, f)
	if d.Verdict == policy.Allow || d.Verdict == policy.OpenKnown {
		return true
	}
	e := t.event(audit.Denied)
	e.Reason, e.Text, e.Rule, e.Detail = d.Reason, d.Text, d.Source, "a stream that was open"
	v.app.trail.Note(e)
	v.app.log.Info("a stream was cut: what let it in holds no longer", zap.String("session", t.session.ID()), zap.String("rule", d.Source), zap.String("reason", string(d.Reason)))
	return false
}

// then is this visit as it would be now: the newest session, and a request of its own.
func (v *visit) then(now time.Time) *visit {
	was := &v.known.request
	t := &visit{p: v.p, app: v.app, place: v.place, cookies: v.cookies, vouch: v.vouch, session: v.session, review: v.review, body: v.body, now: now}
	if s := session.LiveOf(v.session).Current(); s != nil {
		t.session = s
	}
	if t.body == nil {
		t.body = &bodyRead{err: errBodyGone}
	}
	r := &http.Request{Method: was.Method, Host: was.Host, URL: &url.URL{Path: was.Path, RawQuery: was.Query}, RemoteAddr: was.Peer, TLS: connection(was)}
	if v.p.readsHeader || v.client != nil {
		r.Header = was.Header
	}
	vars := map[string]any{caddyhttp.ClientIPVarKey: was.IP, caddyhttp.TrustedProxyVarKey: was.Trusted}
	t.r = r.WithContext(context.WithValue(context.Background(), caddyhttp.VarsCtxKey, vars))
	t.asked = t.r
	return t
}

// errBodyGone is what a condition hears that did not look at the body in time.
var errBodyGone = errors.New("the body of a request that goes on cannot be read any more")

var _ session.Judge = (*visit)(nil)
