package module

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/module/pages"
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
	if !v.place.secure && !loopback(v.place.host) && !v.app.Session.InsecureHTTP {
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

// newRun is a run of a flow in front of its first step, for this browser.
func (v *visit) newRun(p *flows.Program, returnTo string, now time.Time) *flows.Execution {
	return &flows.Execution{
		ID: newID(), Flow: p.Name, Digest: p.Digest, Token: newID(), Origin: v.place.origin, ReturnTo: returnTo,
		Language: v.app.pages.Language(v.r),
		Started:  now.Truncate(time.Microsecond), Expires: now.Add(pendingFor).Truncate(time.Second),
	}
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

// longAddress lets the browser keep an address that is too long to travel (B05).
func (v *visit) longAddress(returnTo string) error {
	key := newID()
	path, _, _ := strings.Cut(returnTo, "?")
	link := "/.identity/login?" + url.Values{"saved": {key}, "return_to": {safePath(path)}}.Encode()
	if len(link) > maxReturn {
		link = "/.identity/login?" + url.Values{"saved": {key}, "return_to": {"/"}}.Encode()
	}
	v.show(http.StatusOK, pages.View{Kind: pages.KindLongAddress, Key: key, Back: safePath(returnTo), Link: link})
	return nil
}

// savedOf is the key of a run's return address, in the browser's storage of
// whichever host that is on.
func savedOf(x *flows.Execution) string {
	if x.Hop != nil {
		return x.Hop.Saved
	}
	return x.Saved
}

func validKey(s string) bool {
	return len(s) == 26 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
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

// flow serves /.identity/flow: GET shows the page a run waits with, POST answers it.
func (v *visit) flow() error {
	if h := v.r.URL.Query().Get("h"); h != "" && v.r.Method == http.MethodGet {
		return v.takeUp(h)
	}
	if v.r.URL.Query().Has(arrivedParam) {
		return v.arrival()
	}
	id := v.r.URL.Query().Get("p")
	if id == "" {
		if ids, _ := v.pendings(); len(ids) > 0 {
			id = ids[len(ids)-1]
		}
	}
	if key := v.r.URL.Query().Get("resume"); validKey(key) && v.r.Method == http.MethodGet {
		if v.waits(key) {
			return v.sendAgain(key)
		}
		v.show(http.StatusOK, pages.View{Kind: pages.KindResume, Key: key, Link: v.returnTo(v.r.URL.Query().Get("return_to"))})
		return nil
	}
	if v.r.Method == http.MethodPost && !v.sameOrigin() {
		return v.refuse(http.StatusForbidden, flows.ReasonCrossSite, "", "", errors.New("form from another site"))
	}
	x, err := v.loadPending(id)
	if errors.Is(err, errNoPending) {
		return v.noPending(id)
	}
	if err != nil {
		return v.unavailable(err)
	}
	if v.away() {
		return v.onward(id, x)
	}
	if refused, err := v.mayChange(x); refused {
		return err
	}
	p, ok := v.program(x)
	if !ok {
		return v.stale(x.ReturnTo, savedOf(x), x.Attempt)
	}
	if kept := v.r.URL.Query().Get("kept"); kept == x.ID && x.Saved == "" && v.r.Method == http.MethodGet {
		x.Saved = kept
		v.restart(p, x) // the address of the provider is not kept: it is asked for anew
	}
	if x.Wait == nil { // restarted by a new config: from the first step
		return v.advance(id, p, x, nil)
	}
	if v.r.Method == http.MethodGet {
		return v.showCurrent(id, p, x)
	}
	values, status, err := v.readForm()
	if err != nil {
		return v.refuse(status, flows.ReasonInvalidAnswer, "", "", err)
	}
	if !equalToken(one(values, "token"), x.Token) {
		return v.refuse(http.StatusForbidden, flows.ReasonCrossSite, "", "", errors.New("form without the run's token"))
	}
	if done, err := v.download(id, p, x, values); done {
		return err
	}
	if one(values, "kept") == x.ID {
		x.Saved = x.ID
	}
	in := &flows.Input{Values: values}
	in.Step, in.Serial = number(one(values, "step")), number(one(values, "serial"))
	return v.advance(id, p, x, in)
}

// readMessage reads a form that may hold a whole signed message.
func (v *visit) readMessage() (url.Values, int, error) {
	if typ, _, _ := mime.ParseMediaType(v.r.Header.Get("Content-Type")); typ != "application/x-www-form-urlencoded" {
		return nil, http.StatusUnsupportedMediaType, fmt.Errorf("a form is expected, not %q", typ)
	}
	b, err := v.ownBody(maxMessage)
	if err != nil {
		return nil, bodyStatus(err), fmt.Errorf("reading a message: %w", err)
	}
	values, err := url.ParseQuery(string(b))
	if err != nil {
		return nil, http.StatusBadRequest, fmt.Errorf("reading a message: %w", err)
	}
	return values, 0, nil
}

// readForm reads a form or a JSON object of strings, at most 64 KiB.
func (v *visit) readForm() (url.Values, int, error) {
	b, err := v.ownBody(maxBody)
	if err != nil {
		return nil, bodyStatus(err), fmt.Errorf("reading a form: %w", err)
	}
	typ, _, _ := mime.ParseMediaType(v.r.Header.Get("Content-Type"))
	switch typ {
	case "application/x-www-form-urlencoded":
		values, err := url.ParseQuery(string(b))
		if err != nil {
			return nil, http.StatusBadRequest, fmt.Errorf("reading a form: %w", err)
		}
		return values, 0, nil
	case "application/json":
		var m map[string]any
		if err := json.Unmarshal(b, &m); err != nil {
			return nil, http.StatusBadRequest, fmt.Errorf("reading JSON: %w", err)
		}
		values := url.Values{}
		for k, x := range m {
			switch x := x.(type) {
			case string:
				values.Set(k, x)
			case float64:
				values.Set(k, strconv.FormatFloat(x, 'f', -1, 64))
			default:
				return nil, http.StatusBadRequest, fmt.Errorf("field %s is neither text nor a number", k)
			}
		}
		return values, 0, nil
	}
	return nil, http.StatusUnsupportedMediaType, fmt.Errorf("a form is expected, not %q", typ)
}

func one(v url.Values, name string) string {
	if len(v[name]) != 1 {
		return ""
	}
	return v[name][0]
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return n
}
