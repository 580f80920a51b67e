package module

import (
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/flows"
)

// provisionMessengers loads how codes and notices reach people.
func (a *App) provisionMessengers(ctx caddy.Context) error {
	for name, raw := range a.MessengersRaw {
		if !flows.ValidName(name) {
			return fmt.Errorf("messenger %q: a name must match [a-z0-9_-]+", name)
		}
		a.raw["messenger:"+name] = string(raw)
	}
	mods, err := ctx.LoadModule(a, "MessengersRaw")
	if err != nil {
		return fmt.Errorf("loading messengers: %w", err)
	}
	a.messengers = map[string]flows.Messenger{}
	byName, _ := mods.(map[string]any)
	for name, m := range byName {
		g, ok := m.(flows.Messenger)
		if !ok {
			return fmt.Errorf("messenger %s: %T is no messenger", name, m)
		}
		a.messengers[name] = g
	}
	return nil
}

func (a *App) bindMessengers() error {
	for _, name := range orderOf(nil, a.messengers) {
		if err := bindGuest(a.messengers[name], &registry{a: a, guest: "messenger/" + name}); err != nil {
			return fmt.Errorf("messenger %s: %w", name, err)
		}
	}
	return nil
}

// Messenger finds a messenger by its name.
func (r *registry) Messenger(name string) (flows.Messenger, error) {
	if m, ok := r.a.messengers[name]; ok {
		return m, nil
	}
	have := orderOf(nil, r.a.messengers)
	if len(have) == 0 {
		have = []string{"none"}
	}
	return nil, fmt.Errorf("no messenger is called '%s'; there are: %s", name, strings.Join(have, ", "))
}
