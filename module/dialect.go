package module

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/headers"
)

// dialectNamespace is where the presets are.
const dialectNamespace = "identity.headers"

// provisionDialects makes the operators' own dialects; they are shared by all
// protects that name them.
func (a *App) provisionDialects(ctx caddy.Context) error {
	a.dialects = map[string]*headers.Custom{}
	for _, name := range orderOf(nil, a.Dialects) {
		d, err := newDialect(name, a.Dialects[name], ctx.LoadModuleByID)
		if err != nil {
			return err
		}
		if err := a.mayAssert(d); err != nil {
			return fmt.Errorf("dialect %s: %w", name, err)
		}
		a.dialects[name] = d
	}
	return nil
}

// CheckDialect says what is wrong with an operator's own dialect, before anything
// is loaded.
func CheckDialect(name string, c *headers.CustomConfig) error {
	_, err := newDialect(name, c, func(id string, raw json.RawMessage) (any, error) {
		info, err := caddy.GetModule(id)
		if err != nil {
			return nil, err
		}
		m := info.New()
		if err := caddy.StrictUnmarshalJSON(raw, m); err != nil {
			return nil, err
		}
		if p, ok := m.(caddy.Provisioner); ok { // a dialect asks nothing of its context
			if err := p.Provision(caddy.Context{}); err != nil {
				return nil, err
			}
		}
		if v, ok := m.(caddy.Validator); ok {
			return m, v.Validate()
		}
		return m, nil
	})
	return err
}

// Assertion is the dialect that is a line of its own in `protect`: `assertion`.
const Assertion = "assertion"

// Presets are the dialects that stand for an old system, by name: `headers` takes
// them, and an own one may be based on them.
func Presets() []string {
	var names []string
	for _, m := range caddy.GetModules(dialectNamespace) {
		if m.ID.Name() != Assertion {
			names = append(names, m.ID.Name())
		}
	}
	slices.Sort(names)
	return names
}

func newDialect(name string, c *headers.CustomConfig, load func(string, json.RawMessage) (any, error)) (*headers.Custom, error) {
	switch presets := Presets(); {
	case !flows.ValidName(name):
		return nil, fmt.Errorf("dialect %q: a name must match [a-z0-9_-]+", name)
	case slices.Contains(presets, name):
		return nil, fmt.Errorf("dialect %s: that is a preset; call your own differently, such as my_%s, and base it on %s", name, name, name)
	case c == nil:
		return nil, fmt.Errorf("dialect %s: it is empty", name)
	case c.Base != "" && !slices.Contains(presets, c.Base):
		return nil, fmt.Errorf("dialect %s: no preset is called '%s'; there are: %s", name, c.Base, strings.Join(presets, ", "))
	}
	base, err := loadBase(c, load)
	if err != nil {
		return nil, fmt.Errorf("dialect %s: %w", name, err)
	}
	d, err := headers.NewCustom(c, base)
	if err != nil {
		return nil, fmt.Errorf("dialect %s: %w", name, err)
	}
	return d, nil
}

// loadBase sets up the preset with the options of the own dialect.
func loadBase(c *headers.CustomConfig, load func(string, json.RawMessage) (any, error)) (flows.Dialect, error) {
	if c.Base == "" {
		return nil, nil
	}
	raw, err := json.Marshal(c.HeaderOptions)
	if err != nil {
		return nil, err
	}
	m, err := load(dialectNamespace+"."+c.Base, raw)
	if err != nil {
		return nil, err
	}
	d, ok := m.(flows.Dialect)
	if !ok {
		return nil, fmt.Errorf("%T is no dialect", m)
	}
	return d, nil
}
