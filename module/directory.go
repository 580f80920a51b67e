package module

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/flows"
)

// provisionDirectories loads where more is known of people.
func (a *App) provisionDirectories(ctx caddy.Context) (err error) {
	a.directories, err = namedGuests[flows.Directory](ctx, a, "directory", "DirectoriesRaw", a.DirectoriesRaw)
	return err
}

// namedGuests loads the guests of a map by name: all are of one interface.
func namedGuests[T any](ctx caddy.Context, a *App, what, field string, raw map[string]json.RawMessage) (map[string]T, error) {
	for name, text := range raw {
		if !flows.ValidName(name) {
			return nil, fmt.Errorf("%s %q: a name must match [a-z0-9_-]+", what, name)
		}
		a.raw[what+":"+name] = string(text)
	}
	mods, err := ctx.LoadModule(a, field)
	if err != nil {
		return nil, fmt.Errorf("loading every %s: %w", what, err)
	}
	all := map[string]T{}
	byName, _ := mods.(map[string]any)
	for name, m := range byName {
		g, ok := m.(T)
		if !ok {
			return nil, fmt.Errorf("%s %s: %T is none", what, name, m)
		}
		all[name] = g
	}
	return all, nil
}

// bindNamed binds them, in the order of their names.
func bindNamed[T any](a *App, what string, all map[string]T) error {
	for _, name := range orderOf(nil, all) {
		if err := bindGuest(all[name], &registry{a: a, guest: what + "/" + name}); err != nil {
			return fmt.Errorf("%s %s: %w", what, name, err)
		}
	}
	return nil
}

// called finds one of them by its name; the error lists those that exist.
func called[T any](what, name string, all map[string]T) (found T, err error) {
	if found, ok := all[name]; ok {
		return found, nil
	}
	have := orderOf(nil, all)
	if len(have) == 0 {
		have = []string{"none"}
	}
	return found, fmt.Errorf("no %s is called '%s'; there are: %s", what, name, strings.Join(have, ", "))
}

// Directory finds a directory by its name.
func (r *registry) Directory(name string) (flows.Directory, error) {
	return called("directory", name, r.a.directories)
}
