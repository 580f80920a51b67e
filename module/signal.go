package module

import (
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/flows"
)

// provisionSignals loads what tells the usual from the unusual.
func (a *App) provisionSignals(ctx caddy.Context) (err error) {
	a.signals, err = namedGuests[flows.Signal](ctx, a, "signal", "SignalsRaw", a.SignalsRaw)
	return err
}

// Signal finds a signal by its name.
func (r *registry) Signal(name string) (flows.Signal, error) {
	if s, ok := r.a.signals[name]; ok {
		return s, nil
	}
	have := orderOf(nil, r.a.signals)
	if len(have) == 0 {
		have = []string{"none"}
	}
	return nil, fmt.Errorf("no signal is called '%s'; there are: %s", name, strings.Join(have, ", "))
}
