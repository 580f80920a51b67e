package module

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/policy"
)

// Programs have no browser: each request shows a credential, and is judged by it as a
// person's is by their session. They get no cookie, no redirect, and nothing is kept of
// them but a while in memory (B29).

// APIConfig is an `api` line: which programs a route takes.
type APIConfig struct {
	// Providers whose credentials are taken: those for programs (bearer, certificate), and
	// those that check passwords (ldap, local) by HTTP Basic. The first that finds its own
	// in a request judges it.
	Providers []string `json:"providers"`
	// Cache is how long it is believed what a credential proved and what the flow made of
	// it; default 1m, at most 1h. It is never longer than the credential itself is good.
	Cache caddy.Duration `json:"cache,omitempty"`
	// KeepAuthorization leaves the Authorization header to the application; default: what
	// was meant for the gateway ends there.
	KeepAuthorization bool `json:"keep_authorization,omitempty"`
	// Source is the file and line it was written at.
	Source string `json:"source,omitempty"`
}

// The bounds of APIConfig.Cache.
const (
	usualAPICache   = time.Minute
	LongestAPICache = time.Hour
)

// api is what an APIConfig becomes.
type api struct {
	takers []taker
	ttl    time.Duration
	keep   bool
}

// taker is a provider that takes a kind of credential.
type taker struct {
	provider *flows.Provider
	flows.ClientVerifier
	// config is what its answers depend on.
	config string
}

func (p *Protect) provisionAPI() error {
	c := p.API
	if c == nil {
		return nil
	}
	if len(c.Providers) == 0 {
		return errors.New("api names no provider")
	}
	if c.Cache < 0 || time.Duration(c.Cache) > LongestAPICache {
		return fmt.Errorf("cache is at most %s: so long a revoked credential is still taken", LongestAPICache)
	}
	a := &api{ttl: cmp.Or(time.Duration(c.Cache), usualAPICache), keep: c.KeepAuthorization}
	for _, name := range c.Providers {
		t, err := p.app.taker(name)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(a.takers, func(o taker) bool { return o.provider == t.provider }) {
			return fmt.Errorf("provider '%s' is there twice", name)
		}
		if i := slices.IndexFunc(a.takers, func(o taker) bool { return o.Scheme() == basicScheme }); i >= 0 && t.Scheme() == basicScheme {
			return fmt.Errorf("providers %s and %s both take HTTP Basic: passwords of one would be tried at the other", a.takers[i].provider.Name, name)
		}
		a.takers = append(a.takers, t)
	}
	if s := flows.RefusesClients(p.app.steps[p.Flow]); s != nil {
		return fmt.Errorf("flow %s asks people%s, so that it lets no program through: put that step below a when, as in when `!(\"mfa\" in auth.amr)`, or name another flow here", p.Flow, stepSource(s))
	}
	if !p.app.asksPeople() {
		p.Unauthenticated = "401" // there is no page to send anybody to
	}
	p.gate.api = a
	return nil
}

func stepSource(s flows.Step) string {
	if w, ok := s.(flows.Sourced); ok {
		return written(w.SourceLine())
	}
	return ""
}

// taker finds a provider that takes credentials of programs.
func (a *App) taker(name string) (taker, error) {
	p := a.provider(name)
	if p == nil {
		var names []string
		for _, p := range a.providers {
			names = append(names, p.Name)
		}
		return taker{}, fmt.Errorf("no provider is called '%s'; there are: %s", name, strings.Join(names, ", "))
	}
	t := taker{provider: p, config: a.raw["provider:"+name]}
	switch g := p.Guest.(type) {
	case flows.ClientVerifier:
		t.ClientVerifier = g
	case flows.PasswordVerifier:
		t.ClientVerifier = &basic{provider: p, guest: g, budgets: a.shared.budgets}
	default:
		return taker{}, fmt.Errorf("provider %s (%s) takes no credentials of programs; those of type bearer and certificate do, and ldap and local by HTTP Basic", name, p.Type)
	}
	return t, nil
}

// asksPeople reports whether some provider is for people.
func (a *App) asksPeople() bool {
	return a.passkeys || slices.ContainsFunc(a.providers, func(p *flows.Provider) bool {
		_, programs := p.Guest.(flows.ClientVerifier)
		return !programs
	})
}

// presented is the first provider that judges what a request shows. foreign reports a
// credential that none of them has to judge.
func (a *api) presented(r *flows.Request) (t *taker, c flows.ClientCredential, foreign *taker, err error) {
	for i := range a.takers {
		t := &a.takers[i]
		c, err := t.Presents(r)
		switch {
		case errors.Is(err, flows.ErrNobody):
		case errors.Is(err, flows.ErrForeign):
			foreign = t
		default:
			return t, c, nil, err
		}
	}
	return nil, c, foreign, nil
}

// asProgram judges a request by the credential that it shows, and answers it; false: it
// shows none, and is a person's. The credential counts, whatever session comes with it:
// a request is never served as somebody else than it says.
func (v *visit) asProgram(next caddyhttp.Handler) (bool, error) {
	if v.r.Method == http.MethodOptions && v.r.Header.Get("Access-Control-Request-Method") != "" {
		return false, nil // a preflight never has any (Fetch §4.8)
	}
	a := v.p.api
	t, cred, foreign, err := a.presented(v.facts().Request)
	switch {
	case foreign != nil:
		return true, v.refuseClient(foreign, flows.ErrCredentials)
	case t == nil:
		return false, nil
	}
	v.session, v.ticket, v.problem, v.known = nil, "", nil, nil
	if !a.keep && t.Scheme() != "" {
		delete(v.r.Header, "Authorization")
	}
	switch {
	case err != nil:
		return true, v.refuseClient(t, err)
	case v.exposed():
		return true, v.insecure()
	case cred.Ambient && v.foreignPage():
		return true, v.refuse(http.StatusForbidden, flows.ReasonCrossSite, "", "", errors.New("a page of another site made the browser send its credential"))
	}
	got, err := v.showing(t, cred)
	switch {
	case err != nil:
		return true, v.refuseClient(t, err)
	case got.Session == nil:
		return true, v.refuseKnown(t, got)
	}
	v.session, v.client, v.known = got.Session, &program{t, cred}, nil
	d := v.decision()
	switch d.Verdict {
	case policy.Login: // cannot be: its flow is finished
		return true, v.refuseClient(t, flows.ErrCredentials)
	case policy.Prove:
		return true, v.refuse(http.StatusForbidden, flows.ReasonStepUpRequired, "", d.Source, errors.New("a program has no factor to prove"))
	}
	return true, v.decided(d, next, false)
}

// foreignPage reports a request that a page of another origin made, and that is no link
// that a person followed: what Lax keeps cookies out of.
func (v *visit) foreignPage() bool {
	h := v.r.Header
	if (v.r.Method == http.MethodGet || v.r.Method == http.MethodHead) && isNavigation(v.r) {
		return false
	}
	if s := h.Get("Sec-Fetch-Site"); s != "" {
		return s != "same-origin" && s != "none"
	}
	o := h.Get("Origin")
	return o != "" && !strings.EqualFold(o, v.place.origin)
}
