package module

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/flows"
)

// ImplicitFlow is the name of the flow that exists when none is written: log in
// with the visible providers.
const ImplicitFlow = "default"

func (a *App) provisionFlows(ctx caddy.Context) error {
	if a.Flows == nil {
		a.Flows = map[string]*Flow{}
	}
	if len(a.requested()) == 0 && a.Flows[ImplicitFlow] == nil {
		a.Flows[ImplicitFlow] = &Flow{StepsRaw: []json.RawMessage{json.RawMessage(`{"step":"login"}`)}}
	}
	for _, name := range orderOf(nil, a.Flows) {
		f := a.Flows[name]
		if !flows.ValidName(name) {
			return fmt.Errorf("flow %q: a name must match [a-z0-9_-]+", name)
		}
		raw, err := json.Marshal(f.StepsRaw)
		if err != nil {
			return fmt.Errorf("flow %s: %w", name, err)
		}
		a.raw["flow:"+name] = string(raw)
		mods, err := ctx.LoadModule(f, "StepsRaw")
		if err != nil {
			return fmt.Errorf("loading flow %s: %w", name, err)
		}
		list, _ := mods.([]any)
		for _, m := range list {
			s, ok := m.(flows.Step)
			if !ok {
				return fmt.Errorf("flow %s: %T is no step", name, m)
			}
			a.steps[name] = append(a.steps[name], s)
		}
	}
	return a.bind()
}

// bind resolves names everywhere, then lays out the programs.
func (a *App) bind() error {
	if err := bindNamed(a, "directory", a.directories); err != nil {
		return err
	}
	if err := bindNamed(a, "messenger", a.messengers); err != nil {
		return err
	}
	if err := a.bindSignals(); err != nil {
		return err
	}
	if err := bindNamed(a, "factor", a.factors); err != nil {
		return err
	}
	a.bindNotices()
	for _, p := range a.providers {
		if err := bindGuest(p.Guest, &registry{a: a, guest: "provider/" + p.Name}); err != nil {
			return fmt.Errorf("provider %s: %w", p.Name, err)
		}
	}
	names := orderOf(nil, a.steps)
	for name := range a.Flows {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, name := range names {
		if err := a.bindSteps(name, a.steps[name], []string{name}); err != nil {
			return fmt.Errorf("flow %s: %w", name, err)
		}
	}
	if err := a.compile(names); err != nil {
		return err
	}
	if err := a.bindAnyFactor(); err != nil {
		return err
	}
	return a.provisionHealth()
}

// compile lays out the programs of flows whose steps are bound.
func (a *App) compile(names []string) error {
	used := map[string]bool{}
	for _, name := range names {
		usedFlows(a.steps[name], used)
	}
	for _, name := range names {
		if f := a.Flows[name]; f != nil && len(f.On) > 0 {
			if err := a.bindEvents(name, f); err != nil {
				return err
			}
			continue
		}
		compile := flows.Compile
		if !flows.SignsIn(a.steps[name]) {
			compile = flows.CompileOver
		}
		p, err := compile(name, a.digest(name), a.steps[name])
		if err != nil && used[name] {
			continue // it counts on a login of the flow that uses it, where it was judged; no protect may name it
		}
		if err != nil {
			return err
		}
		a.programs[name] = p
	}
	return nil
}

func (a *App) bindSteps(flow string, steps []flows.Step, path []string) error {
	for _, s := range steps {
		if err := bindGuest(s, &registry{a: a, guest: "step", path: path}); err != nil {
			return err
		}
		if c, ok := s.(flows.Container); ok {
			if r, ok := s.(flows.Reacher); ok && reachesFlow(r) {
				continue // another flow's steps are bound with their own flow
			}
			blocks, _ := c.Blocks()
			for _, b := range blocks {
				if err := a.bindSteps(flow, b, path); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// usedFlows collects the flows that `use` steps name, at any depth.
func usedFlows(steps []flows.Step, used map[string]bool) {
	for _, s := range steps {
		if r, ok := s.(flows.Reacher); ok && reachesFlow(r) {
			for _, n := range r.Reaches() {
				used[strings.TrimPrefix(n, "flow:")] = true
			}
			continue
		}
		if c, ok := s.(flows.Container); ok {
			blocks, _ := c.Blocks()
			for _, b := range blocks {
				usedFlows(b, used)
			}
		}
	}
}

func reachesFlow(r flows.Reacher) bool {
	return slices.ContainsFunc(r.Reaches(), func(s string) bool { return strings.HasPrefix(s, "flow:") })
}

func bindGuest(g any, r flows.Registry) error {
	if b, ok := g.(flows.Binder); ok {
		return b.Bind(r)
	}
	return nil
}

// digest covers the flow and everything it reaches: steps, sub-flows, providers, policies (I28).
func (a *App) digest(flow string) string {
	seen := map[string]bool{}
	a.reached(flow, func(name string) { seen[name] = true })
	for name := range a.raw {
		if strings.HasPrefix(name, "policy:") {
			seen[name] = true // policies may name each other
		}
	}
	h := sha256.New()
	for _, name := range orderOf(nil, seen) {
		fmt.Fprintf(h, "%s\x00%s\x00", name, a.raw[name])
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:9])
}

// reached calls found once for everything that a flow reaches, itself among it.
func (a *App) reached(flow string, found func(name string)) {
	seen := map[string]bool{}
	var reach func(name string)
	reach = func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		found(name)
		if f, ok := strings.CutPrefix(name, "flow:"); ok {
			for s := range flows.AllSteps(a.steps[f]) {
				if r, ok := s.(flows.Reacher); ok {
					for _, n := range r.Reaches() {
						reach(n)
					}
				}
			}
		}
		if p, ok := strings.CutPrefix(name, "provider:"); ok {
			a.reachedBy(p, reach)
		}
	}
	reach("flow:" + flow)
}

// reachedBy tells what a provider depends on.
func (a *App) reachedBy(provider string, reach func(string)) {
	p := a.called(provider)
	if p == nil {
		return
	}
	if r, ok := p.Guest.(flows.Reacher); ok {
		for _, n := range r.Reaches() {
			reach(n)
		}
	}
}
