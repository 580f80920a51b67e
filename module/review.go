package module

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
	"github.com/sallyport-gateway/sallyport/headers"
	"github.com/sallyport-gateway/sallyport/module/session"
)

// review is the risk of a session, read anew in the middle of it. It is that of one
// device at one address: a session that shows up elsewhere, too, is judged for each.
type review struct {
	// run is the run whose reading it is compared with.
	run        string
	device, ip string
	at         time.Time
	// rose is since when the risk is higher than the flow of the session found it; zero:
	// it is not.
	rose     time.Time
	readings map[string]flows.Reading
	risk     *flows.Risk
}

// maxReviews is how many devices and addresses are kept of one session.
const maxReviews = 16

// reviewEvery is how long a review counts where no `risk every` says so: a login over
// the session needs one.
const reviewEvery = 5 * time.Minute

// reviewed is the newest review of the session for this device and address; nil where
// what its flow found is new enough.
func (v *visit) reviewed(every time.Duration) *review {
	s := v.session
	device, ip := v.heldDevice(), v.facts().Request.IP
	if s.Risk.Device == device && s.Risk.IP == ip && v.now.Sub(s.Risk.At) < every {
		return nil
	}
	live := session.LiveOf(s)
	if r := kept(live, s, device, ip); r != nil && v.now.Sub(r.at) < every {
		return r
	}
	live.Review.Lock() // one of the requests that come together reads, the others wait for it
	defer live.Review.Unlock()
	old := kept(live, s, device, ip)
	if old != nil && v.now.Sub(old.at) < every {
		return old
	}
	r := v.readAnew(device, ip)
	if !r.rose.IsZero() && old != nil && !old.rose.IsZero() {
		r.rose = old.rose
	}
	keep(live, r)
	if !r.rose.IsZero() && (old == nil || old.rose.IsZero()) {
		v.tellRise(r)
	}
	return r
}

// kept finds a review; one of before the latest run of the flow counts no more.
func kept(live *session.Live, s *flowsession.Session, device, ip string) *review {
	list, _ := live.Reviews.Load().([]*review)
	for _, r := range list {
		if r.device == device && r.ip == ip && r.run == s.Risk.Run {
			return r
		}
	}
	return nil
}

// keep puts a review in front; it is called under live.Review.
func keep(live *session.Live, r *review) {
	list, _ := live.Reviews.Load().([]*review)
	fresh := []*review{r}
	for _, o := range list {
		if (o.device != r.device || o.ip != r.ip) && o.run == r.run && len(fresh) < maxReviews {
			fresh = append(fresh, o)
		}
	}
	live.Reviews.Store(fresh)
}

// readAnew asks the signals that the flow of the session asked, and weighs them as it
// did. It reads only, so that two nodes may do it at once.
func (v *visit) readAnew(device, ip string) *review {
	s := v.session
	x := &flows.Execution{ID: newID(), Flow: v.p.Flow, User: s.User, Evidence: slices.Clip(s.Evidence), Session: s.ID()}
	v.wants(x, v.wanted())
	v.lend("", x)
	var list []flows.Weighed
	x.Readings, x.Risk = map[string]flows.Reading{}, &flows.Risk{Run: x.ID, Formula: s.Risk.Formula}
	for _, name := range orderOf(nil, s.Readings) {
		r := s.Readings[name]
		if guest, ok := v.app.signals[name]; ok {
			list = append(list, flows.Weighed{Name: name, Signal: guest, Weight: r.Weight, Observed: r.Observed})
		} else {
			x.Readings[name] = r // it is not configured any more
		}
	}
	flows.Assess(context.WithoutCancel(v.r.Context()), x, list, s.Risk.Formula)
	v.app.shared.metrics.assessed(x)
	r := &review{run: s.Risk.Run, device: device, ip: ip, at: v.now, readings: x.Readings, risk: x.Risk}
	if x.Risk.Above(s.Risk) || !v.accepted(device) && !x.Risk.Low() {
		r.rose = v.now
	}
	v.known = nil
	return r
}

// accepted reports whether the flow of the session accepted a device. That of a browser
// which keeps no cookie of that kind is accepted by the session, whose ticket is a new one
// since; but once it was seen with the cookie, who comes without is somebody else.
func (v *visit) accepted(device string) bool {
	s := v.session
	if device != "" || !s.Risk.Bare {
		return device == s.Risk.Device
	}
	shown, _ := session.LiveOf(s).Shown.Load().(string)
	return shown != s.Device
}

// tellRise writes down that a session is to be challenged.
func (v *visit) tellRise(r *review) {
	e := v.event(audit.RiskRose)
	e.Risk = &audit.Risk{Score: r.risk.Score, Level: r.risk.Level, Observed: r.risk.Observed, Readings: r.readings}
	v.app.trail.Note(e)
	v.app.log.Info("the risk of a session rose", zap.String("session", v.session.ID()), zap.String("level", r.risk.Level), zap.Int("score", r.risk.Score), zap.String("ip", r.ip))
}

// riskRose reports whether the session has to go through the flow of this protect
// again, and takes in what was read.
func (v *visit) riskRose() bool {
	if _, done := v.session.Finished(v.p.Flow); !done {
		return false
	}
	if v.session.Risk == nil { // the flow has a risk step since then
		return true
	}
	v.review = v.reviewed(v.p.every)
	return v.review != nil && !v.review.rose.IsZero()
}

// challenge has a login over a session ask for a factor anew, where the risk of the
// session rose. Who has none signs in all through, or a stolen session could set one up.
func (v *visit) challenge(l *login) error {
	if v.session == nil || v.session.Risk == nil || l.anew || !l.since.IsZero() {
		return nil
	}
	if l.rose.IsZero() { // else an application's host found it
		r := v.reviewed(v.p.reviewEvery())
		if r == nil || r.rose.IsZero() {
			return nil
		}
		l.rose = r.rose
	}
	bare, err := v.unenrolled(l.flow.Name)
	if err != nil {
		return err
	}
	if bare && !v.signedInSince(v.now.Add(-freshLogin)) {
		l.anew, l.rose = true, time.Time{}
	}
	return nil
}

func (p *Protect) reviewEvery() time.Duration { return cmp.Or(p.every, reviewEvery) }

// riskRead reports whether the session shows what a flow reads of risk: one that was
// finished before the flow had such a step does not.
func (v *visit) riskRead(flow string) bool {
	return v.session.Risk != nil || !flows.Surely(v.app.steps[flow], "risk")
}

// heldDevice is deviceID for every request of a route with `risk every`: the cookie is
// found without parsing all of them, and what it stands for is kept.
func (v *visit) heldDevice() string {
	if v.away() {
		return v.session.Device
	}
	held := ""
	for _, line := range v.cookies {
		for pair := range strings.SplitSeq(line, ";") {
			if text, ok := headers.CookieValue(strings.TrimSpace(pair), v.place.browser); ok && held == "" {
				held = text
			}
		}
	}
	live := session.LiveOf(v.session)
	known, _ := live.Device.Load().([2]string)
	if held == "" || known[0] != held {
		if known = [2]string{held, deviceID(held)}; known[1] != "" {
			live.Device.Store(known)
		}
	}
	if r := v.session.Risk; r != nil && r.Bare && known[1] != "" && known[1] == v.session.Device {
		live.Shown.Store(known[1])
	}
	return known[1]
}
