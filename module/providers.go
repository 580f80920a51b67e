package module

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/flows"
)

func (a *App) provisionProviders(ctx caddy.Context) error {
	for name, raw := range a.ProvidersRaw {
		if !flows.ValidName(name) {
			return fmt.Errorf("provider %q: a name must match [a-z0-9_-]+", name)
		}
		if name == flows.Passkey {
			return fmt.Errorf("no provider can be called '%s': login means the passkeys of factor webauthn by it", name)
		}
		a.raw["provider:"+name] = string(raw)
	}
	mods, err := ctx.LoadModule(a, "ProvidersRaw")
	if err != nil {
		return fmt.Errorf("loading providers: %w", err)
	}
	byName, _ := mods.(map[string]any)
	for _, name := range orderOf(a.ProviderOrder, byName) {
		g, ok := byName[name].(flows.ProviderGuest)
		if !ok {
			return fmt.Errorf("provider %s: %T is no provider", name, byName[name])
		}
		p := &flows.Provider{Name: name, Guest: g}
		if m, ok := g.(caddy.Module); ok {
			p.Type = m.CaddyModule().ID.Name()
		}
		if r := g.Options().Realm; r != "" && !flows.ValidName(r) {
			return fmt.Errorf("provider %s: realm %q must match [a-z0-9_-]+", name, r)
		}
		for _, n := range g.Options().Formerly {
			if _, taken := byName[n]; taken || !flows.ValidName(n) || n == flows.Passkey {
				return fmt.Errorf("provider %s: formerly %s: that is another provider's name, or none", name, n)
			}
		}
		a.providers = append(a.providers, p)
	}
	return nil
}

// provider finds a provider by the name it has now; nil if there is none.
func (a *App) provider(name string) *flows.Provider {
	return a.find(func(p *flows.Provider) bool { return p.Name == name })
}

// called finds it also by a name it had before (I05).
func (a *App) called(name string) *flows.Provider {
	return a.find(func(p *flows.Provider) bool { return p.Called(name) })
}

func (a *App) find(is func(*flows.Provider) bool) *flows.Provider {
	if i := slices.IndexFunc(a.providers, is); i >= 0 {
		return a.providers[i]
	}
	return nil
}

func (a *App) providerNames() string {
	var names []string
	for _, p := range a.providers {
		names = append(names, p.Name)
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
