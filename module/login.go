package module

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
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
	// attempt counts logins in a row that brought no session (B08).
	attempt int
	// saved is the key under which the browser itself keeps the return address.
	saved string
}

// maxAttempts ends a loop of logins, within loopWindow (B08).
const (
	maxAttempts = 4
	loopWindow  = time.Minute
)

// login serves /.identity/login: a login on purpose.
func (v *visit) login() error {
	q := v.r.URL.Query()
	l := login{returnTo: v.returnTo(q.Get("return_to")), provider: q.Get("provider"), saved: q.Get("saved")}
	if isPrefetch(v.r.Header) {
		return v.unauthorized()
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
	if l.provider != "" && !slices.ContainsFunc(v.app.providers, func(p *flows.Provider) bool { return p.Name == l.provider }) {
		l.provider = ""
	}
	return v.startLogin(l)
}

// startLogin begins a run of a flow for this browser. It writes nothing to the
// store: until somebody is known the run travels sealed in a cookie.
func (v *visit) startLogin(l login) error {
	now := Now()
	if l.attempt == 0 {
		l.attempt = v.recentLogins(now)
	}
	if l.attempt >= maxAttempts {
		return v.loop()
	}
	if len(l.returnTo) > maxReturn {
		return v.longAddress()
	}
	x := &flows.Execution{
		ID: newID(), Flow: l.flow.Name, Digest: l.flow.Digest, Token: newID(), Origin: v.place.origin,
		ReturnTo: l.returnTo, Saved: l.saved, Provider: l.provider, Attempt: l.attempt,
		Started: now.Truncate(time.Millisecond), Expires: now.Add(pendingFor).Truncate(time.Second), Fresh: l.anew,
	}
	x.Request = flows.Request{Method: http.MethodGet, Scheme: v.place.scheme, Host: v.place.host, IP: v.request.IP}
	x.Request.Path, x.Request.Query, _ = strings.Cut(l.returnTo, "?")
	if p, err := url.PathUnescape(x.Request.Path); err == nil {
		x.Request.Path = p
	}
	if v.session != nil {
		x.Session = v.session.ID()
		if !l.anew {
			v.inherit(x)
		}
	}
	return v.advance(newPendingID(now), l.flow, x, nil)
}

// longAddress lets the browser keep an address that is too long to travel (B05).
func (v *visit) longAddress() error {
	key := newID()
	link := "/.identity/login?" + url.Values{"saved": {key}, "return_to": {safePath(v.r.URL.EscapedPath())}}.Encode()
	if len(link) > maxReturn {
		link = "/.identity/login?" + url.Values{"saved": {key}, "return_to": {"/"}}.Encode()
	}
	v.show(http.StatusOK, pages.View{Kind: pages.KindLongAddress, Key: key, Link: link})
	return nil
}

func validKey(s string) bool {
	return len(s) == 26 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

// program finds the flow of a run, and restarts the run if what it reaches has
// changed since (I28).
func (v *visit) program(x *flows.Execution) (*flows.Program, bool) {
	p, ok := v.app.programs[x.Flow]
	if !ok {
		return nil, false
	}
	if x.Digest != p.Digest {
		session, fresh := x.Session, x.Fresh
		x.Restart(p.Digest)
		if v.session != nil && v.session.ID() == session {
			x.Session = session
			if !fresh {
				v.inherit(x)
			}
		}
	}
	return p, true
}

// advance runs the flow until it needs the browser, and renders what it answers.
func (v *visit) advance(id string, p *flows.Program, x *flows.Execution, in *flows.Input) error {
	x.Env = flows.Env{
		Now: Now(), Request: &v.request, Device: v.device,
		CallbackURL: func(provider string) string { return v.place.origin + "/.identity/callback/" + provider },
		Handle: func(provider string, serial int) (string, error) {
			return v.sealState(stateToken{Pending: id, Serial: serial, Provider: provider, ReturnTo: x.ReturnTo, Attempt: x.Attempt, Expires: x.Expires.Unix()})
		},
	}
	out, fin, err := p.Advance(v.r.Context(), x, in)
	switch {
	case errors.Is(err, flows.ErrWrongInput):
		return v.showCurrent(id, p, x)
	case err != nil:
		return v.failed(x, err)
	case fin != nil:
		return v.finish(id, x, *fin)
	}
	return out.Accept(&answer{v: v, id: id, x: x, posted: in != nil && in.Callback == nil})
}

// showCurrent shows the page the run waits with, or goes on where it was.
func (v *visit) showCurrent(id string, p *flows.Program, x *flows.Execution) error {
	page, err := p.Show(v.r.Context(), x)
	if err != nil {
		return v.stale(x.ReturnTo, x.Attempt)
	}
	return v.ask(http.StatusOK, id, x, page)
}

// answer renders outcomes for the browser.
type answer struct {
	v      *visit
	id     string
	x      *flows.Execution
	posted bool
}

func (a *answer) Continue() error { return errors.New("continue is the engine's") }
func (a *answer) Take(int) error  { return errors.New("take is the engine's") }

func (a *answer) Ask(p flows.Page) error {
	v := a.v
	if err := v.savePending(a.id, a.x); err != nil {
		return v.failed(a.x, err)
	}
	switch p.Problem {
	case "":
		// At an application's address the answer is always a redirect: our pages live under /.identity/.
		if isNavigation(v.r) || a.posted && acceptsHTML(v.r.Header) || !strings.HasPrefix(v.r.URL.Path, "/.identity/") {
			return v.redirect("/.identity/flow?p=" + a.id)
		}
		return v.ask(http.StatusOK, a.id, a.x, p)
	case flows.ReasonBadCredentials:
		v.slow()
		v.countDenied(a.x, p.Problem)
		return v.ask(http.StatusUnauthorized, a.id, a.x, p)
	case flows.ReasonTooManyTries:
		v.countDenied(a.x, p.Problem)
		v.w.Header().Set("Retry-After", strconv.Itoa(max(p.Wait, 1)))
		return v.ask(http.StatusTooManyRequests, a.id, a.x, p)
	}
	return v.ask(http.StatusOK, a.id, a.x, p)
}

func (a *answer) Redirect(to string) error {
	if err := a.v.savePending(a.id, a.x); err != nil {
		return a.v.failed(a.x, err)
	}
	a.v.logWithout("login begun", http.StatusSeeOther, zap.String("provider", a.x.Provider))
	return a.v.redirect(to)
}

func (a *answer) Post(to string, fields []flows.FormField) error {
	if err := a.v.savePending(a.id, a.x); err != nil {
		return a.v.failed(a.x, err)
	}
	a.v.show(http.StatusOK, pages.View{Kind: pages.KindPost, Action: to, Fields: fields})
	return nil
}

func (a *answer) Deny(d flows.Denial) error { return a.v.denied(a.x, d) }

func (a *answer) Park(flows.Parked) error { return errors.New("nothing parks in this release") }

func (v *visit) ask(status int, id string, x *flows.Execution, p flows.Page) error {
	view := pages.View{
		Kind: pages.KindAsk, Page: &p, Action: "/.identity/flow?p=" + id, Token: x.Token,
		Step: x.Wait.Step, Serial: x.Wait.Serial, FormAction: v.formTargets(),
	}
	v.show(status, view)
	return nil
}

// formTargets are where a form of ours may lead: Chromium applies form-action
// to the redirects behind a POST, and a chooser leads to a provider.
func (v *visit) formTargets() []string {
	if v.place.secure {
		return []string{"https:"}
	}
	return []string{"https:", "http://127.0.0.1:*", "http://localhost:*"}
}

// flow serves /.identity/flow: GET shows the page a run waits with, POST answers it.
func (v *visit) flow() error {
	if h := v.r.URL.Query().Get("h"); h != "" && v.r.Method == http.MethodGet {
		return v.carriedOn(h)
	}
	id := v.r.URL.Query().Get("p")
	if id == "" {
		if ids, _ := v.pendings(); len(ids) > 0 {
			id = ids[len(ids)-1]
		}
	}
	if key := v.r.URL.Query().Get("resume"); validKey(key) && v.r.Method == http.MethodGet {
		v.show(http.StatusOK, pages.View{Kind: pages.KindResume, Key: key, Link: "/"})
		return nil
	}
	if v.r.Method == http.MethodPost && !v.sameOrigin() {
		return v.refuse(http.StatusForbidden, flows.ReasonCrossSite, "", "", errors.New("form from another site"))
	}
	x, err := v.loadPending(id)
	if errors.Is(err, errNoPending) {
		return v.stale("/", 0)
	}
	if err != nil {
		return v.unavailable(err)
	}
	p, ok := v.program(x)
	if !ok {
		return v.stale(x.ReturnTo, x.Attempt)
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
	in := &flows.Input{Values: values}
	in.Step, in.Serial = number(one(values, "step")), number(one(values, "serial"))
	return v.advance(id, p, x, in)
}

// readForm reads a form or a JSON object of strings, at most 64 KiB.
func (v *visit) readForm() (url.Values, int, error) {
	b, err := io.ReadAll(http.MaxBytesReader(v.w, v.r.Body, maxBody))
	if err != nil {
		return nil, http.StatusRequestEntityTooLarge, fmt.Errorf("reading a form: %w", err)
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

// callback serves /.identity/callback/<provider>.
func (v *visit) callback(name string) error {
	if v.redirector(name) == nil {
		return v.refuse(http.StatusNotFound, ReasonNoPage, "", "", fmt.Errorf("no provider %q takes a callback", name))
	}
	values, err := url.ParseQuery(v.r.URL.RawQuery)
	if err != nil {
		return v.refuse(http.StatusBadRequest, flows.ReasonInvalidAnswer, "", "", errors.New("malformed query"))
	}
	if v.r.Method == http.MethodPost {
		if len(values) > 0 {
			return v.refuse(http.StatusBadRequest, flows.ReasonInvalidAnswer, "", "", errors.New("parameters in query and form"))
		}
		var status int
		if values, status, err = v.readForm(); err != nil {
			return v.refuse(status, flows.ReasonInvalidAnswer, "", "", err)
		}
		return v.carry(name, values)
	}
	return v.answered(name, http.MethodGet, values)
}

// redirector is the provider of a callback address, nil if there is none.
func (v *visit) redirector(name string) flows.Redirector {
	i := slices.IndexFunc(v.app.providers, func(p *flows.Provider) bool { return p.Name == name })
	if i < 0 {
		return nil
	}
	red, _ := v.app.providers[i].Guest.(flows.Redirector)
	return red
}

// answered takes a provider's answer, with the browser's own cookies at hand.
func (v *visit) answered(name, method string, values url.Values) error {
	red := v.redirector(name)
	if red == nil {
		return v.refuse(http.StatusNotFound, ReasonNoPage, "", "", fmt.Errorf("no provider %q takes a callback", name))
	}
	cb := flows.Callback{Provider: name, URL: v.place.origin + "/.identity/callback/" + name, Method: method, Values: values}
	handle, err := red.Handle(cb)
	if err != nil {
		return v.refuse(http.StatusBadRequest, flows.ReasonInvalidAnswer, "", "", err)
	}
	return v.resumeCallback(name, handle, cb)
}

// carried is a provider's cross-site POST on its way to the GET that may read cookies.
type carried struct {
	Provider string     `json:"p"`
	Values   url.Values `json:"v"`
	Expires  int64      `json:"e"`
}

// carry sends a cross-site POST on as a GET: the POST brings no Lax cookies and
// grants nothing. What it held travels sealed, for a minute (I10).
func (v *visit) carry(provider string, values url.Values) error {
	k, err := v.app.keys.ring(v.r.Context())
	if err != nil {
		return v.unavailable(err)
	}
	b, err := json.Marshal(carried{provider, values, Now().Add(time.Minute).Unix()})
	if err != nil {
		return v.refuse(http.StatusBadRequest, flows.ReasonInvalidAnswer, "", "", err)
	}
	sealed, err := k.Seal("carried", v.place.origin, b)
	if err != nil {
		return v.unavailable(err)
	}
	if len(sealed) > maxCarried {
		return v.refuse(http.StatusBadRequest, flows.ReasonTooLarge, "", "", fmt.Errorf("an answer of %d bytes", len(b)))
	}
	return v.redirect(v.place.origin + "/.identity/flow?h=" + base64.RawURLEncoding.EncodeToString(sealed))
}

// maxCarried keeps the address of the GET within what servers read.
const maxCarried = 24 << 10

// carriedOn takes up what carry sealed.
func (v *visit) carriedOn(h string) error {
	k, err := v.app.keys.ring(v.r.Context())
	if err != nil {
		return v.unavailable(err)
	}
	var c carried
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(h)
	if err == nil {
		var b []byte
		if b, err = k.Open("carried", v.place.origin, sealed); err == nil {
			err = json.Unmarshal(b, &c)
		}
	}
	if err != nil || Now().Unix() > c.Expires {
		return v.stale("/", 0)
	}
	return v.answered(c.Provider, http.MethodPost, c.Values)
}

// resumeCallback finds the pending login an answer belongs to.
func (v *visit) resumeCallback(name, handle string, cb flows.Callback) error {
	st, err := v.openState(handle)
	if errors.Is(err, flows.ErrUnavailable) {
		return v.unavailable(err)
	}
	if err != nil {
		if v.session != nil {
			return v.home("/")
		}
		e := v.event(audit.Denied)
		e.Reason, e.Detail = flows.ReasonStaleLogin, "state is not ours"
		v.app.trail.Note(e)
		v.show(http.StatusBadRequest, pages.View{Kind: pages.KindStale, Reason: flows.ReasonStaleLogin, ID: e.ID, Link: loginURL("/")})
		return nil
	}
	if st.Provider != name {
		return v.refuse(http.StatusBadRequest, flows.ReasonProviderMismatch, "", "", fmt.Errorf("the login was begun at %s and answered at %s", st.Provider, name))
	}
	x, err := v.loadPending(st.Pending)
	if errors.Is(err, errNoPending) || err == nil && (x.Wait == nil || x.Wait.Serial != st.Serial) {
		return v.stale(st.ReturnTo, st.Attempt)
	}
	if err != nil {
		return v.unavailable(err)
	}
	digest := x.Digest
	p, ok := v.program(x)
	if !ok || digest != p.Digest { // the flow changed on the way: once more, without an error page (B18)
		if !ok {
			return v.stale(st.ReturnTo, st.Attempt)
		}
		return v.advance(st.Pending, p, x, nil)
	}
	return v.advance(st.Pending, p, x, &flows.Input{Step: x.Wait.Step, Serial: x.Wait.Serial, Callback: &cb})
}

// stale answers a login page or callback whose pending login is gone (B07):
// who is signed in goes on; who is not gets one fresh login, then a page with a button.
func (v *visit) stale(returnTo string, attempt int) error {
	returnTo = safePath(returnTo)
	if v.session != nil {
		return v.home(returnTo)
	}
	if v.problem != nil && !gone(v.problem) {
		return v.unavailable(v.problem)
	}
	// Who was sent away a moment ago and comes back with no cookie at all will do
	// so for ever: the page names that, instead of a button that leads in a circle (B08).
	if attempt+1 >= maxAttempts || attempt > 0 && len(v.cookies) == 0 {
		return v.loop()
	}
	e := v.event(auditLoginDenied)
	e.Reason = flows.ReasonStaleLogin
	v.app.trail.Note(e)
	if attempt == 0 && isNavigation(v.r) && v.r.Method == http.MethodGet {
		if g, err := v.gateOf(returnTo); err == nil {
			v.p = g
			return v.startLogin(login{flow: g.program, returnTo: returnTo, attempt: 1})
		}
	}
	v.show(http.StatusBadRequest, pages.View{Kind: pages.KindStale, Reason: flows.ReasonStaleLogin, ID: e.ID, Link: loginURL(returnTo)})
	return nil
}

// loop ends a chain of logins that brought no session, with the likely cause.
func (v *visit) loop() error {
	e := v.event(auditLoginDenied)
	e.Reason = flows.ReasonLoop
	e.Detail = v.loopCause()
	v.app.trail.Note(e)
	v.app.log.Warn("login loop stopped", zap.String("id", e.ID), zap.String("cause", e.Detail), zap.String("host", v.place.host))
	v.clearRecent()
	v.show(http.StatusForbidden, pages.View{Kind: pages.KindError, Reason: flows.ReasonLoop, Text: e.Detail, ID: e.ID, Link: "/"})
	return nil
}

func (v *visit) loopCause() string {
	switch {
	case len(v.cookies) == 0:
		return "The browser does not send our cookies back."
	case v.app.Session.Domain != "" && !strings.HasSuffix("."+v.place.host, "."+strings.TrimPrefix(v.app.Session.Domain, ".")):
		return "The host " + v.place.host + " is not below the cookie domain " + v.app.Session.Domain + "."
	case !v.place.secure && !loopback(v.place.host):
		return "The page is served over plain http."
	case v.problem != nil:
		return "The session is not found where it should be; a clock may be wrong."
	}
	return "The sign-in succeeded, but the session cookie did not come back."
}
