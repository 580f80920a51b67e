package module

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/policy"
)

// logoutMatch is an address at which the application, or the system that it was
// written for, ends sessions.
type logoutMatch struct {
	sets caddyhttp.MatcherSets
	// query must be in the raw query, in lower case; "" matches any.
	query string
	pass  bool
}

func (p *Protect) provisionLogout(ctx caddy.Context) error {
	for _, l := range p.Logout {
		sets, err := loadMatchers(ctx, l, "MatchRaw")
		if err != nil {
			return fmt.Errorf("logout: %w", err)
		}
		p.logouts = append(p.logouts, logoutMatch{sets: sets, pass: l.Pass})
	}
	return nil
}

// provisionLeave takes over how the system that a dialect stands for ended its sessions.
func (p *Protect) provisionLeave(ctx caddy.Context, d flows.Dialect) error {
	l, ok := d.(flows.Leaver)
	if !ok {
		return nil
	}
	leave := l.Leave()
	for _, path := range leave.Paths {
		m := caddyhttp.MatchPath{path.Path}
		if path.Path == "" {
			return errors.New("the dialect has a logout address without a path")
		}
		if err := m.Provision(ctx); err != nil {
			return fmt.Errorf("logout address %s of the dialect: %w", path.Path, err)
		}
		p.logouts = append(p.logouts, logoutMatch{sets: caddyhttp.MatcherSets{{m}}, query: strings.ToLower(path.Query)})
	}
	for _, name := range leave.Cookies {
		if err := (&http.Cookie{Name: name}).Valid(); err != nil || p.app.ownCookies().Has(name) {
			return fmt.Errorf("the dialect clears the cookie %q, which is no valid name or our own", name)
		}
		p.app.leftCookie(name)
	}
	return nil
}

// leftCookie notes a cookie that an old system left in browsers. It is cleared
// at every logout on every host: where it was set, nobody can tell any more.
func (a *App) leftCookie(name string) {
	a.ownedMu.Lock()
	defer a.ownedMu.Unlock()
	for _, n := range a.leftCookies {
		if n == name {
			return
		}
	}
	a.leftCookies = append(a.leftCookies, name)
}

// clearCookies ends the session cookie, and those that an old system left, also
// under the parent domain that sessions are shared in.
func (v *visit) clearCookies(w http.ResponseWriter) {
	v.ticketStore().Clear(w, v.place.cookie)
	v.app.ownedMu.Lock()
	defer v.app.ownedMu.Unlock()
	for _, name := range v.app.leftCookies {
		c := http.Cookie{Name: name, Path: "/", MaxAge: -1, Secure: v.place.secure}
		http.SetCookie(w, &c)
		if c.Domain = v.app.Session.Domain; c.Domain != "" {
			http.SetCookie(w, &c)
		}
	}
}

// asksLogout finds the logout address that a request is for; nil if it is for none.
func (v *visit) asksLogout() *logoutMatch {
	for i := range v.p.logouts {
		l := &v.p.logouts[i]
		if l.query != "" && !strings.Contains(strings.ToLower(v.r.URL.RawQuery), l.query) {
			continue
		}
		if ok, err := l.sets.AnyMatchWithError(v.asked); err == nil && ok {
			return l
		}
	}
	return nil
}

// appLogout serves the application's own logout addresses. Only what the person
// did here ends anything: a POST of our own origin, or a GET from it or typed.
// HEAD ends nothing, nor does a browser that looks ahead (I11).
func (v *visit) appLogout(next caddyhttp.Handler, over bool) (bool, error) {
	l := v.asksLogout()
	if l == nil {
		return false, nil
	}
	switch {
	case v.r.Method == http.MethodPost && v.sameOrigin():
	case v.r.Method == http.MethodGet && v.ownOrTyped() && !isPrefetch(v.r.Header):
	default:
		v.confirmLogout()
		return true, nil
	}
	if l.pass && !over {
		if d := policy.Decide(&v.p.gate.gate, v.facts()); d.Verdict != policy.Login && d.Verdict != policy.Deny && d.Verdict != policy.Prove {
			return true, v.passThenEnd(d, next)
		}
	}
	return true, v.endAndLeave()
}

// passThenEnd lets the application answer its logout, as whoever the route lets
// in, and ends the session when it has.
func (v *visit) passThenEnd(d policy.Decision, next caddyhttp.Handler) error {
	s := v.session
	var clear recorder
	v.clearCookies(&clear)
	v.out.own = clear.Header()
	err := v.decided(d, next, false)
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
