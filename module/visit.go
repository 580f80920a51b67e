package module

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
	"github.com/sallyport-gateway/sallyport/headers"
	"github.com/sallyport-gateway/sallyport/module/session"
)

// visitVar is the request var that says the base was done, and with what.
const visitVar = "identity.visit"

// visit is one request on its way through base and gate. It is one allocation.
type visit struct {
	p   *Protect
	app *App
	w   http.ResponseWriter
	r   *http.Request

	place   *place
	cookies []string // as they came, before ours were removed
	ticket  string   // as it came; one that is no session's is not kept
	// cacheKey is the ticket's, here so that working it out allocates nothing.
	cacheKey flowsession.CacheKey
	session  *flowsession.Session
	// problem is why there is no session though a ticket was shown.
	problem error
	gated   bool
	// answering: what is written now is ours, not the application's.
	answering bool
	// shown says that the application may know who is there.
	shown bool

	stream session.Stream
	out    response
	// asked is the request as matchers see it, other what else its path may be read as.
	asked *http.Request

	// What few requests need is not here but behind a pointer: what is here, every
	// request clears and the collector frees.
	known *known
	body  *bodyRead
	// client is what this request showed of a program; nil: it is a person's.
	client *program
	vouch  *vouching
	other  *otherReadings
	// replay is what was swapped in, of a request that was kept; nil for others.
	replay *replay

	// review is what was read of the session's risk since its flow ended; nil: nothing.
	review *review
	// correlation is there if the configuration asks for one.
	correlation *correlation

	// now is when the request came.
	now time.Time
	// room for what every signed-in request needs a slice for.
	rest   [1]string
	values [4]string
}

// known is what rules and dialects read of a request and of who sent it.
type known struct {
	facts   flows.Facts
	request flows.Request
	// misses are the rules that are not about this request.
	misses misses
}

// facts are made when somebody looks, and once until the request or its session
// is another.
func (v *visit) facts() *flows.Facts {
	if v.known != nil {
		return &v.known.facts
	}
	v.known = new(known)
	r := v.r
	q, f := &v.known.request, &v.known.facts // field by field: a whole one would be made and then copied
	q.Method, q.Scheme, q.Host, q.Path, q.Query = v.asked.Method, v.place.scheme, v.place.host, v.asked.URL.Path, r.URL.RawQuery
	q.IP, q.Peer, q.Header, q.Native = v.ip(), r.RemoteAddr, v.asked.Header, v
	q.Captured, q.Certificate = v.captured(), certificate(r)
	if q.Certificate != nil {
		q.Chains = r.TLS.VerifiedChains
	}
	if v.p.gate != nil && v.p.readsBody {
		q.Body = v.readBody
	}
	q.Trusted, _ = caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool)
	f.Request, f.Locate, f.Now = q, v.app.locate, v.now
	if s := v.session; s != nil {
		f.User, f.Evidence, f.Session, f.Readings, f.Risk = s.User, s.Evidence, &s.Facts, s.Readings, s.Risk
		if v.review != nil {
			f.Readings, f.Risk = v.review.readings, v.review.risk
		}
		if v.app.readsDevice {
			f.Device = v.deviceOfSession()
		}
	}
	return f
}

// original is what the browser asked for: around us a prefix may have been cut off.
type original struct {
	method, uri string
	url         *url.URL
}

// originalOf asks the context, which is told nothing else than at first: what is
// needed once is not kept.
func originalOf(r *http.Request) original {
	if o, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok && o.URL != nil {
		return original{o.Method, o.RequestURI, o.URL}
	}
	return original{r.Method, r.RequestURI, r.URL}
}

// wanted is the address to come back to: what the browser asked for, not what
// handle_path or rewrite left of it.
func (v *visit) wanted() string { return originalOf(v.r).url.RequestURI() }

// ip is the client's address after Caddy's trusted_proxies (B12).
func (v *visit) ip() string {
	ip, _ := caddyhttp.GetVar(v.r.Context(), caddyhttp.ClientIPVarKey).(string)
	return ip
}

// place is where a request arrived: fixed per scheme and host, so it is kept.
type place struct {
	scheme, rawHost string
	host            string
	origin          string
	// audience is where tickets are good: the origin, or with `domain` its hosts.
	audience string
	secure   bool
	// cookie is the name of the session cookie here, browser that of the device's.
	cookie, browser string
}

func (p *Protect) begin(w http.ResponseWriter, r *http.Request, vars map[string]any) *visit {
	v := &visit{p: p, app: p.app, w: w, r: r, now: Now(), answering: true}
	v.place = p.placeOf(r, vars)
	if vars != nil {
		vars[visitVar] = v
	}
	if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Map(v.placeholder)
	}
	return v
}

func (p *Protect) placeOf(r *http.Request, vars map[string]any) *place {
	scheme, host := p.scheme, p.host
	if scheme == "" {
		host, scheme = r.Host, "http"
		if r.TLS != nil {
			scheme = "https"
		}
		if trusted, _ := vars[caddyhttp.TrustedProxyVarKey].(bool); trusted {
			if s := r.Header.Get("X-Forwarded-Proto"); s == "https" || s == "http" {
				scheme = s
			}
			if h := r.Header.Get("X-Forwarded-Host"); h != "" && !strings.ContainsAny(h, ", \t/\\@?#") {
				host = h
			}
		}
	}
	if pl := p.place.Load(); pl != nil && pl.scheme == scheme && pl.rawHost == host {
		return pl
	}
	pl := newPlace(scheme, host, p.app.Session)
	p.place.Store(pl)
	return pl
}

func newPlace(scheme, host string, c *SessionConfig) *place {
	pl := &place{scheme: scheme, rawHost: host, host: canonicalHost(host, scheme), secure: scheme == "https"}
	pl.origin = scheme + "://" + pl.host
	pl.cookie, pl.audience = c.Cookie, pl.origin
	name, port, err := net.SplitHostPort(pl.host)
	if err == nil {
		pl.cookie += "-" + port
	} else {
		name = pl.host
	}
	if below(name, c.Domain) {
		pl.audience = strings.TrimSuffix(scheme+"://*."+c.Domain+":"+port, ":")
	}
	switch {
	case pl.secure && c.Domain != "":
		pl.cookie = "__Secure-" + pl.cookie
	case pl.secure:
		pl.cookie = "__Host-" + pl.cookie
	}
	pl.browser = pl.cookie + ".browser"
	return pl
}

// below reports whether a host is a domain or lies under it. No address does.
func below(host, domain string) bool {
	return domain != "" && strings.HasSuffix("."+host, "."+domain) && net.ParseIP(host) == nil
}

// canonicalHost lower-cases, drops trailing dots and the scheme's own port (P9).
func canonicalHost(h, scheme string) string {
	h = strings.ToLower(h)
	host, port, err := net.SplitHostPort(h)
	if err != nil {
		return strings.TrimRight(h, ".")
	}
	host = strings.TrimRight(host, ".")
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port == "" || scheme == "https" && port == "443" || scheme == "http" && port == "80" {
		return host
	}
	return host + ":" + port
}

// Loopback reports whether browsers take a host for this machine by its name alone.
func Loopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}

// ownCookies are the gateway's, on whatever port and scheme.
func (a *App) ownCookies() headers.OwnCookies { return headers.OwnCookies(a.Session.Cookie) }

// base runs once per request for the whole site: cookies, strict paths, strip,
// /.identity/. It answers true when the request was served.
func (v *visit) base(asked original) (bool, error) {
	if bad := v.clean(asked, v.tryCookie); bad != "" {
		return true, v.refuse(http.StatusBadRequest, flows.ReasonBadPath, "", "", errors.New(bad))
	}
	if v.session != nil && len(v.app.verifiers) > 0 {
		v.compare()
	}
	if v.ownAddress() {
		return true, v.portal()
	}
	return false, nil
}

// clean strips the request and says what is wrong with its path; found is called with
// every cookie of ours.
func (v *visit) clean(asked original, found func(string)) (bad string) {
	r := v.r
	switch {
	case noPath(r):
		bad = "no path in the target"
	case tunnels(r):
		bad = "a tunnel"
	case v.p.strict:
		bad = badRawPath(v.rawPath(asked))
	}
	// Who asks is found out for a bad path, too: only then its refusal is an event (I25).
	if v.app.captures != nil {
		v.capture()
	}
	if v.app.Correlation != "" {
		v.correlate()
	}
	met := v.app.stripper().Clean(r)
	if v.correlation != nil {
		r.Header.Set(v.app.Correlation, v.correlation.id)
	}
	headers.CleanUpgrade(r.Header, met.Upgrade)
	v.cookies = met.Cookie
	v.app.ownCookies().Clean(r.Header, v.cookies, found, v.rest[:]...)
	return bad
}

// ownAddress reports an address of the gateway's own.
func (v *visit) ownAddress() bool {
	return strings.HasPrefix(v.r.URL.Path, "/.identity/") || v.r.URL.Path == "/.identity"
}

// tryCookie looks for the session of a cookie of ours: of several with one name the
// one that opens wins (B4).
func (v *visit) tryCookie(pair string) {
	text, ok := headers.CookieValue(pair, v.place.cookie)
	if v.session != nil || !ok || !v.cacheKey.Of(text) {
		return
	}
	s, err := v.app.loadSession(v.r.Context(), text, v.cacheKey, v.place.audience, v.now)
	switch {
	case err == nil:
		v.ticket, v.session, v.problem = text, s, nil
	case errors.Is(err, flowsession.ErrTicket):
	case v.problem == nil || !gone(err):
		v.problem = err
	}
}

// gone reports whether err says there is no session, as opposed to: could not ask (I16).
func gone(err error) bool {
	return errors.Is(err, flows.ErrNotFound) || errors.Is(err, flowsession.ErrEnded) ||
		errors.Is(err, flowsession.ErrOrigin) || errors.Is(err, flowsession.ErrRotated)
}

// loadSession finds the session of a ticket's text, whose key in the cache is key.
func (a *App) loadSession(ctx context.Context, text string, key flowsession.CacheKey, origin string, now time.Time) (*flowsession.Session, error) {
	s, ok := a.shared.cache.Get(key)
	if ok && session.LiveOf(s).Outdates(s) { // the store knows what became of the ticket
		a.shared.cache.Drop(key)
		ok = false
	}
	if !ok {
		t, err := flowsession.ParseTicket(text)
		if err != nil {
			return nil, err
		}
		if s, err = a.sessions.Load(ctx, t, origin); err != nil {
			return nil, err
		}
		if a.shared.isEnding(s.ID()) || !a.shared.cache.Add(key, s) {
			return nil, flowsession.ErrEnded
		}
		now = Now() // asking took its time
		session.LiveOf(s).Confirm(now)
	}
	switch {
	case s.Origin != origin:
		return nil, flowsession.ErrOrigin
	case session.LiveOf(s).Ended():
		return nil, flowsession.ErrEnded
	case !s.Alive(now):
		a.shared.cache.End(s.ID())
		a.endInBackground(s.ID(), ReasonExpired)
		return nil, flowsession.ErrEnded
	}
	if err := a.confirm(ctx, s, now); err != nil {
		return nil, err
	}
	return s, nil
}

// endInBackground ends a session in the store: what takes away never waits (I25).
func (a *App) endInBackground(id string, why flows.Reason) {
	a.enter()
	go func() {
		defer a.leave()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		a.aside("ending a session", func() { _ = a.endSession(ctx, id, why, nil) }) // logged; its time is over in any case
	}()
}

// endSession ends a session everywhere this node can reach, and notes it. An
// error says that the store did not take it: it is dead on this node only.
func (a *App) endSession(ctx context.Context, id string, why flows.Reason, fill func(*audit.Event)) error {
	a.shared.cache.End(id)
	c, first, err := a.sessions.End(ctx, id, why)
	if errors.Is(err, flows.ErrNotFound) || err == nil && !first {
		return nil
	}
	if err != nil {
		a.log.Error("session not ended in the store", zap.String("session", id), zap.Error(err))
		return err
	}
	e := audit.Event{ID: newID(), Time: Now(), Kind: audit.SessionEnded, User: c.User, Name: c.Name, Provider: c.Provider, Session: id, Reason: why}
	if fill != nil {
		fill(&e)
	}
	a.trail.Note(e)
	a.tellApplications(c, why)
	return nil
}

// active notes activity and writes it when due, beside the request.
func (v *visit) active() {
	s := v.session
	if !s.Active(v.now) {
		return
	}
	a := v.app
	a.enter()
	go func() {
		defer a.leave()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		a.aside("writing activity", func() { a.touch(ctx, s) })
	}()
}

func (a *App) touch(ctx context.Context, s *flowsession.Session) {
	asked := Now()
	err := a.sessions.Touch(ctx, s)
	switch {
	case errors.Is(err, flowsession.ErrEnded), errors.Is(err, flows.ErrNotFound):
		a.shared.cache.End(s.ID()) // ended elsewhere (I15)
	case err != nil:
		a.log.Warn("activity of a session not written", zap.String("session", s.ID()), zap.Error(err))
	default:
		session.LiveOf(s).Confirm(asked)
	}
}

// placeholder answers {http.auth.user.*}: empty when nobody is shown, never the
// literal text (caddy-notes 2.2). A claim is data: it is not expanded again.
func (v *visit) placeholder(key string) (any, bool) {
	name, ok := strings.CutPrefix(key, "http.auth.user.")
	if !ok {
		return nil, false
	}
	if !v.shown || v.session == nil {
		return "", true
	}
	if name == "id" {
		return v.p.remoteUser(v), true
	}
	a, _ := v.session.User.Attribute(name)
	return headers.Text(a), true
}
