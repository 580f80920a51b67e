package login

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport-gateway/sallyport/flows"
)

// bindFallback finds who stands in, and whose outage the hall can notice by itself.
func (l *Login) bindFallback(r flows.Registry) error {
	l.fallback, l.watched = nil, nil
	if l.Fallback == "" {
		return nil
	}
	p, err := r.Provider(l.Fallback)
	switch {
	case err != nil:
		return fmt.Errorf("fallback: %w", err)
	case !asksPeople(p):
		return fmt.Errorf("fallback: provider %s (%s) cannot be used by login", p.Name, p.Type)
	}
	l.fallback = p
	for _, p := range l.own {
		if _, ok := p.Guest.(flows.Checker); ok {
			l.watched = append(l.watched, p)
		}
	}
	if len(l.watched) == 0 {
		return fmt.Errorf("fallback %s would never start: no outage of %s is noticed; checked are oidc, its presets, saml and ldap", l.Fallback, l.names())
	}
	return nil
}

// Watches are the providers whose outage starts the fallback.
func (l *Login) Watches() []*flows.Provider { return l.watched }

// out lists the step's providers that are down. Who is down, our own health checks
// say and nothing that the browser brings: neither a login that failed, nor a
// provider's error, nor a wish (I23).
func (l *Login) out(x *flows.Execution) []string {
	if x.Env.Down == nil {
		return nil
	}
	var names []string
	for _, p := range l.watched {
		if x.Env.Down(p) {
			names = append(names, p.Name)
		}
	}
	return names
}

// may finds a provider that this run may ask: one of the step's own, or the
// fallback while it stands in.
func (l *Login) may(x *flows.Execution, name string) *flows.Provider {
	if l.fallback != nil && name == l.Fallback && len(l.out(x)) > 0 {
		return l.fallback
	}
	return l.asks(name)
}

// standIn offers the fallback where there is nothing else to choose. A password
// page says so itself; before the person is sent away, the chooser does.
func (l *Login) standIn(ctx context.Context, x *flows.Execution) (flows.Outcome, error) {
	if _, away := l.fallback.Guest.(flows.Redirector); away {
		return l.choose(ctx, x, "", "")
	}
	return l.start(ctx, x, l.fallback, "")
}

// over reports a run that asked the fallback, which is not needed any more.
func (l *Login) over(k kept) bool { return l.Fallback != "" && k.Provider == l.Fallback }

// lowered says in the evidence that it is a fallback's, and for whom. It answers
// false when those are back meanwhile: then nobody needs it.
func (l *Login) lowered(x *flows.Execution, proof *flows.Proof) bool {
	down := l.out(x)
	for i := range proof.Evidence {
		proof.Evidence[i].Kind, proof.Evidence[i].For = flows.Fallback, down
	}
	return len(down) > 0
}

// stoodIn reports evidence of the fallback from when it stood in for a provider of
// this step: a session keeps it when that provider is back, and its kind (I23).
func (l *Login) stoodIn(e *flows.Evidence) bool {
	return l.fallback != nil && e.Kind == flows.Fallback && l.fallback.Called(e.Provider) &&
		slices.ContainsFunc(l.watched, func(p *flows.Provider) bool { return slices.ContainsFunc(e.For, p.Called) })
}

// checkFallback refuses what cannot be meant.
func (l *Login) checkFallback() error {
	switch {
	case l.Fallback == "":
		return nil
	case !flows.ValidName(l.Fallback):
		return fmt.Errorf("fallback '%s' is no name of a provider: [a-z0-9_-]+", l.Fallback)
	case slices.Contains(l.Providers, l.Fallback):
		return errors.New("fallback " + l.Fallback + " is one of the providers of this login: " + strings.Join(l.Providers, ", "))
	}
	return nil
}
