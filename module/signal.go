package module

import (
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
)

// provisionSignals loads what tells the usual from the unusual.
func (a *App) provisionSignals(ctx caddy.Context) (err error) {
	a.signals, err = namedGuests[flows.Signal](ctx, a, "signal", "SignalsRaw", a.SignalsRaw)
	for name, s := range a.signals {
		if bad := s.Options().Valid(); bad != nil {
			return fmt.Errorf("signal %s: %w", name, bad)
		}
	}
	return err
}

// bindSignals binds them, and finds those that are told what came of logins and those
// that know where addresses are.
func (a *App) bindSignals() error {
	if err := bindNamed(a, "signal", a.signals); err != nil {
		return err
	}
	var locators []flows.Locator
	a.reporters = map[string]flows.Reporter{}
	for _, name := range orderOf(nil, a.signals) {
		if r, ok := a.signals[name].(flows.Reporter); ok {
			a.reporters[name] = r
		}
		if l, ok := a.signals[name].(flows.Locator); ok {
			locators = append(locators, l)
		}
	}
	if len(locators) > 0 {
		a.locate = func(ip string) flows.Place { return a.place(locators, ip) }
		return nil
	}
	for _, name := range orderOf(nil, a.signals) {
		if _, needs := a.signals[name].(flows.Placer); needs {
			return fmt.Errorf("signal %s: nobody knows where addresses are; write a signal of type geo beside it", name)
		}
	}
	return nil
}

// place puts together what several signals know: each thing from the first, by name,
// that knows it. A guest that panics knows nothing.
func (a *App) place(locators []flows.Locator, ip string) (all flows.Place) {
	for _, l := range locators {
		var p flows.Place
		if err := a.safely("locating an address", func() error { p, _ = l.Locate(ip); return nil }); err != nil {
			a.log.Warn("an address was not located", zap.Error(err))
			continue
		}
		all.Fill(p)
	}
	return all
}

// Signal finds a signal by its name.
func (r *registry) Signal(name string) (flows.Signal, error) {
	return called("signal", name, r.a.signals)
}
