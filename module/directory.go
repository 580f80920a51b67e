package module

import (
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/flows"
)

// provisionDirectories loads where more is known of people.
func (a *App) provisionDirectories(ctx caddy.Context) error {
	for name, raw := range a.DirectoriesRaw {
		if !flows.ValidName(name) {
			return fmt.Errorf("directory %q: a name must match [a-z0-9_-]+", name)
		}
		a.raw["directory:"+name] = string(raw)
	}
	mods, err := ctx.LoadModule(a, "DirectoriesRaw")
	if err != nil {
		return fmt.Errorf("loading directories: %w", err)
	}
	a.directories = map[string]flows.Directory{}
	byName, _ := mods.(map[string]any)
	for name, m := range byName {
		d, ok := m.(flows.Directory)
		if !ok {
			return fmt.Errorf("directory %s: %T is no directory", name, m)
		}
		a.directories[name] = d
	}
	return nil
}

func (a *App) bindDirectories() error {
	for _, name := range orderOf(nil, a.directories) {
		if err := bindGuest(a.directories[name], &registry{a: a, guest: "directory/" + name}); err != nil {
			return fmt.Errorf("directory %s: %w", name, err)
		}
	}
	return nil
}

// Directory finds a directory by its name.
func (r *registry) Directory(name string) (flows.Directory, error) {
	if d, ok := r.a.directories[name]; ok {
		return d, nil
	}
	have := orderOf(nil, r.a.directories)
	if len(have) == 0 {
		have = []string{"none"}
	}
	return nil, fmt.Errorf("no directory is called '%s'; there are: %s", name, strings.Join(have, ", "))
}
