package module

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/policy"
	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
	"github.com/sallyport-gateway/sallyport/module/session"
)

// How long renewing may take. A request whose claims have run out waits for new
// ones; while a provider is known to be down it hardly waits. The lease outlives
// what its holder may do under it.
const (
	renewWait  = 5 * time.Second
	renewProbe = 300 * time.Millisecond
	renewCall  = 15 * time.Second
	renewSave  = 30 * time.Second
	renewLease = time.Minute
)

// A provider that does not answer is left alone for restFirst, then for twice as
// long each time, restMost at the longest.
const (
	restFirst = 10 * time.Second
	restMost  = 2 * time.Minute
)

// patience is renewWait, unless a test shortens it.
var patience atomic.Int64

func waitForRenewal() time.Duration {
	if d := patience.Load(); d > 0 {
		return time.Duration(d)
	}
	return renewWait
}

// renewals are the sessions this node is renewing, and the providers that did
// not answer.
type renewals struct {
	mu      sync.Mutex
	flights map[string]*renewal
	outages map[string]*outage
}

// renewal is one session being renewed; all its requests share it (B02).
type renewal struct {
	// done is closed with err set; late once no request waits any longer.
	done, late chan struct{}
	err        error
}

type outage struct {
	fails int
	until time.Time
}

// failed notes that a provider did not answer and says how long it is left alone.
func (r *renewals) failed(provider string, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.outages[provider]
	if o == nil {
		o = new(outage)
		r.outages[provider] = o
	}
	rest := min(restFirst<<min(o.fails, 10), restMost)
	o.fails++
	o.until = now.Add(rest)
	return rest
}

// slow notes that a provider lets requests wait: those of other sessions do not.
func (r *renewals) slow(provider string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.outages[provider] == nil {
		r.outages[provider] = &outage{fails: 1, until: now.Add(restFirst)}
	}
}

func (r *renewals) answered(provider string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.outages, provider)
}

// join answers the session's renewal, begun by this request or another. Nil: none
// is tried now, and the session is due again later.
func (a *App) join(s *flowsession.Session, key flowsession.CacheKey, now time.Time) *renewal {
	r := &a.renewals
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := r.flights[s.ID()]; f != nil {
		return f
	}
	wait := waitForRenewal()
	due := a.renewable(s.Due(now))
	if len(due) == 0 { // the provider is gone from the config, or renews nothing any more
		s.Postpone(now.Add(restMost))
		return nil
	}
	for _, g := range due {
		o := r.outages[g.Provider]
		if o == nil {
			continue
		}
		if now.Before(o.until) {
			s.Postpone(o.until)
			return nil
		}
		o.until = now.Add(restFirst) // this one asks whether it is back, the others go on
		wait = min(wait, renewProbe)
	}
	f := &renewal{done: make(chan struct{}), late: make(chan struct{})}
	if r.flights == nil {
		r.flights, r.outages = map[string]*renewal{}, map[string]*outage{}
	}
	r.flights[s.ID()] = f
	late := time.AfterFunc(wait, func() { close(f.late) })
	a.enter()
	go func() {
		defer a.leave()
		f.err = a.safely("renewing a session", func() error { return a.renewSession(s, key) })
		late.Stop()
		r.mu.Lock()
		delete(r.flights, s.ID())
		r.mu.Unlock()
		close(f.done)
	}()
	return f
}

// renewable are those of the grants whose provider renews logins.
func (a *App) renewable(due []flows.Grant) []flows.Grant {
	var out []flows.Grant
	for _, g := range due {
		if a.refresher(g.Provider) != nil {
			out = append(out, g)
		}
	}
	return out
}

func (a *App) refresher(provider string) flows.Refresher {
	p := a.called(provider)
	if p == nil {
		return nil
	}
	if r, ok := p.Guest.(flows.Refresher); ok && r.Refreshes() {
		return r
	}
	return nil
}

// decide judges the request. Who shows a session whose provider is to be asked
// anew is judged by what it says now: a public answer needs nobody, and a polling
// path renews nothing.
func (v *visit) decide() policy.Decision {
	d := v.decision()
	if !v.due() || d.Verdict == policy.Open || v.isPassive() || !v.renew() {
		return d
	}
	return v.decision()
}

// decision asks the gate. One without rules looks at the session only, which it
// has let in before if the headers are kept that this route shows for it.
func (v *visit) decision() policy.Decision {
	if len(v.p.gate.gate.Rules) == 0 && v.session != nil && v.latest(session.LiveOf(v.session)) != nil {
		return policy.Decision{Verdict: policy.Allow}
	}
	return policy.Decide(&v.p.gate.gate, v.facts())
}

// due reports whether a provider of the session is to be asked anew.
func (v *visit) due() bool { return v.session != nil && v.session.RenewDue(v.now) }

// renew has the session renewed: beside the request while the provider's word
// still holds, in front of it once that has run out. It reports whether the
// session is another one now, or none. Whom the provider cannot be asked about
// keeps what they had, until the session's own limits.
func (v *visit) renew() bool {
	s, now := v.session, v.now
	f := v.app.join(s, v.cacheKey, now)
	if f == nil || !s.Stale(now) {
		return false
	}
	select {
	case <-f.done:
	case <-f.late:
		return false
	case <-v.r.Context().Done():
		return false
	}
	err := f.err
	if err == nil {
		s, err = v.app.renewed(v.r.Context(), s, v.ticket, v.cacheKey)
	}
	switch {
	case err == nil:
		v.session, v.known = s, nil
	case gone(err):
		v.session, v.problem, v.known = nil, err, nil
	default:
		return false
	}
	return true
}

// renewed is the session as it is after its renewal. The renewal put it into the
// cache for the ticket that began it; other tickets get it here.
func (a *App) renewed(ctx context.Context, s *flowsession.Session, text string, key flowsession.CacheKey) (*flowsession.Session, error) {
	if c, ok := a.shared.cache.Get(key); ok && c != s && c.Origin == s.Origin && !session.LiveOf(c).Ended() {
		return c, nil
	}
	fresh, err := a.sessions.Reload(ctx, s)
	if err != nil {
		return nil, err
	}
	if !a.shared.cache.Replace(key, s, fresh) { // the ticket was replaced, or pushed out
		return a.loadSession(ctx, text, key, s.Origin, Now())
	}
	return fresh, nil
}
