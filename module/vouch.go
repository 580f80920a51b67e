package module

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/headers"
)

// Some providers say of each request who it is from: a system in front of us wrote it
// there. What they read is captured before it is stripped; who is not signed in is
// signed in by it within the request; and a session that rests on it is compared with
// every request (I18).

// verifier is such a provider.
type verifier struct {
	provider *flows.Provider
	guest    flows.RequestVerifier
}

func (a *App) provisionVerifiers(caddy.Context) error {
	var names []string
	for _, p := range a.providers {
		g, ok := p.Guest.(flows.RequestVerifier)
		if !ok {
			continue
		}
		for _, n := range g.Reads() {
			if err := headers.ValidateOwned(n); err != nil {
				return fmt.Errorf("provider %s: %w", p.Name, err)
			}
		}
		names = append(names, g.Reads()...)
		a.verifiers = append(a.verifiers, verifier{p, g})
	}
	if len(a.verifiers) == 0 {
		return nil
	}
	a.captures = headers.NewStripper(names)
	a.ownedMu.Lock()
	defer a.ownedMu.Unlock()
	a.owned = append(a.owned, names...)
	return nil
}

// checkArrives refuses a provider whose headers never arrive: Caddy drops names with an
// underscore by itself, unless a server is told to expect them.
func (a *App) checkArrives() error {
	for _, g := range a.verifiers {
		for _, name := range g.guest.Reads() {
			if strings.Contains(name, "_") && !a.arrives(name) {
				return fmt.Errorf("provider %s reads header %s, but Caddy drops headers with an underscore; add to the global options: servers { expected_underscore_headers %s }", g.provider.Name, name, name)
			}
		}
	}
	return nil
}

func (a *App) arrives(name string) bool {
	servers := a.servers()
	for _, srv := range servers {
		for _, expected := range srv.ExpectedUnderscoreHeaders {
			prefix, family := strings.CutSuffix(expected, "*")
			if strings.EqualFold(expected, name) || family && len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) {
				return true
			}
		}
	}
	return len(servers) == 0
}

// vouching is what a request needs that says itself who it is from.
type vouching struct {
	// captured is what providers read of it, as it came.
	captured map[string][]string
	// stay goes on with the request when it is signed in, which is tried once: entered.
	stay    func() error
	entered bool
}

func (v *visit) captured() map[string][]string {
	if v.vouch == nil {
		return nil
	}
	return v.vouch.captured
}

// stays reports whether the request goes on once it is signed in.
func (v *visit) stays() bool { return v.vouch != nil && v.vouch.stay != nil }

// capture keeps what verifiers read, as it came.
func (v *visit) capture() {
	for name, values := range v.r.Header {
		if v.app.captures.Owns(name) {
			if v.vouch == nil {
				v.vouch = &vouching{captured: map[string][]string{}}
			}
			v.vouch.captured[name] = slices.Clone(values)
		}
	}
}

// sent is what verifiers look at.
func (v *visit) sent() *flows.Request {
	return &flows.Request{Peer: v.r.RemoteAddr, Captured: v.captured(), Certificate: certificate(v.r)}
}

// certificate is the client's, if the server verified it.
func certificate(r *http.Request) *x509.Certificate {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return nil
	}
	return r.TLS.VerifiedChains[0][0]
}

// compare ends a session that rests on what each request says, where this one says
// something else or nothing.
func (v *visit) compare() {
	provider, why, err := v.contradicted()
	switch {
	case provider == "":
		return
	case errors.Is(err, flows.ErrUnavailable): // could not be told: nobody is logged out (I16)
		v.session, v.ticket, v.problem, v.known = nil, "", err, nil
		return
	}
	s := v.session
	v.app.log.Info("session ended: its requests say something else", zap.String("session", s.ID()), zap.String("provider", provider), zap.Error(err))
	if v.app.endSession(v.r.Context(), s.ID(), why, nil) != nil {
		v.app.endLater(s, why)
	}
	v.session, v.ticket, v.known = nil, "", nil
}

// contradicted names the provider on whose word the session rests, where this request
// says something else, or it could not be told what: then err is ErrUnavailable.
func (v *visit) contradicted() (provider string, why flows.Reason, err error) {
	for _, g := range v.app.verifiers {
		if !slices.ContainsFunc(v.session.Evidence, func(e flows.Evidence) bool { return g.provider.Called(e.Provider) }) {
			continue
		}
		proof, err := g.guest.VerifyRequest(v.r.Context(), v.sent())
		if err != nil && !errors.Is(err, flows.ErrNobody) {
			return g.provider.Name, "", flows.Refuse(flows.ReasonOf(err), fmt.Errorf("%w: %w", flows.ErrUnavailable, err))
		}
		if err != nil {
			return g.provider.Name, flows.ReasonNotVouched, err
		}
		if key, err := flows.MakeUserKey(g.provider.Realm(), proof.User.Subject); err != nil || key != v.session.User.Key {
			return g.provider.Name, flows.ReasonUserMismatch, errors.New("another name")
		}
	}
	return "", "", nil
}

// vouched reports whether this request itself says who it is from. A prefetch is no
// request of a person, and an application with a portal has its logins there.
func (v *visit) vouched() bool {
	if len(v.app.verifiers) == 0 || v.vouch != nil && v.vouch.entered || v.away() || isPrefetch(v.r.Header) {
		return false
	}
	return slices.ContainsFunc(v.app.verifiers, func(g verifier) bool {
		_, err := g.guest.VerifyRequest(v.r.Context(), v.sent())
		return err == nil
	})
}

// enter signs in whom the request is from, and goes on with this very request: there
// is no page and no redirect, unless the flow asks a person for more.
func (v *visit) enter(next caddyhttp.Handler, anew bool) error {
	if v.vouch == nil { // a certificate alone vouches
		v.vouch = new(vouching)
	}
	v.vouch.entered = true
	v.vouch.stay = func() error {
		v.vouch.stay = nil
		if own := v.w.Header()["Set-Cookie"]; len(own) > 0 { // behind those of the application
			v.out.own = http.Header{"Set-Cookie": own}
			v.w.Header().Del("Set-Cookie")
		}
		return v.decided(v.decide(), next, false)
	}
	defer func() { v.vouch.stay = nil }()
	return v.loginRequired(anew)
}
