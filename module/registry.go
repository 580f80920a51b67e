package module

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/outbound"
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
	if err := bindNamed(a, "signal", a.signals); err != nil {
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
	if err := a.bindAnyFactor(); err != nil {
		return err
	}
	return a.provisionHealth()
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

// registry is what one guest may reach.
type registry struct {
	a     *App
	guest string
	path  []string
}

func (r *registry) Provider(name string) (*flows.Provider, error) {
	for _, p := range r.a.providers {
		if p.Name == name {
			return p, nil
		}
	}
	return nil, fmt.Errorf("no provider is called '%s'; there are: %s", name, r.a.providerNames())
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

func (r *registry) Providers() []*flows.Provider { return slices.Clone(r.a.providers) }

func (r *registry) Flow(name string) ([]flows.Step, error) {
	steps, ok := r.a.steps[name]
	if _, known := r.a.Flows[name]; !ok && !known {
		return nil, fmt.Errorf("no flow is called '%s'; there are: %s", name, strings.Join(orderOf(nil, r.a.Flows), ", "))
	}
	if slices.Contains(r.path, name) {
		return nil, fmt.Errorf("flow %s uses itself: %s", name, strings.Join(append(slices.Clone(r.path), name), " → "))
	}
	// The other flow's own `use` steps must be resolved before its blocks are known.
	if err := r.a.bindSteps(name, steps, append(slices.Clone(r.path), name)); err != nil {
		return nil, err
	}
	return steps, nil
}

func (r *registry) Condition(c flows.ConditionRef) (flows.Condition, error) {
	cond, err := r.a.policies.Condition(c)
	if err == nil {
		r.a.readsAttributes(cond.Source(), cond.Reads())
	}
	return cond, err
}

func (r *registry) Expression(cel, source string) (flows.Expression, error) {
	x, err := r.a.policies.Expression(cel, source)
	if err == nil {
		r.a.readsAttributes(x.Source(), x.Reads())
	}
	return x, err
}

func (r *registry) Vault(space string) flows.Vault {
	return &vault{space: r.guest + "/" + space, store: r.a.store, keys: &r.a.keys}
}

func (r *registry) Budgets() *flows.Budgets { return r.a.shared.budgets }

func (r *registry) Now() time.Time { return Now() }

func (r *registry) Outbound(hosts ...string) *http.Client {
	return outbound.New(outbound.Options{Trusted: hosts})
}

// vault is a guest's own sealed key space (I27).
type vault struct {
	space string
	store flows.Store
	keys  *keyLoader
}

// key hides both space and name: what a guest keys by may be personal.
func (v *vault) name(ctx context.Context, key string) ([]string, error) {
	k, err := v.keys.ring(ctx)
	if err != nil {
		return nil, err
	}
	hs, err := k.Hashes("vault name", v.space+"\x00"+key)
	if err != nil {
		return nil, err
	}
	for i := range hs {
		hs[i] = "v/" + hs[i]
	}
	return hs, nil
}

// Get brings what it finds under the newest key: an entry that is read and never
// changed would be gone with the older one (B20). That it could not be brought there
// now does not keep anybody from reading it.
func (v *vault) Get(ctx context.Context, key string) ([]byte, error) {
	val, newest, err := v.find(ctx, key)
	if err == nil && !newest {
		if names, err := v.name(ctx, key); err == nil {
			_ = v.carryOver(ctx, key, names)
		}
	}
	return val, err
}

// find is Get, and says whether the entry is named with the newest key: one that
// is not would be forgotten with the older one.
func (v *vault) find(ctx context.Context, key string) (val []byte, newest bool, err error) {
	names, err := v.name(ctx, key)
	if err != nil {
		return nil, false, err
	}
	for i, n := range names {
		b, err := v.store.Get(ctx, n)
		if err == nil {
			val, err = v.open(ctx, key, b)
			return val, i == 0, err
		}
		if !errors.Is(err, flows.ErrNotFound) {
			return nil, false, err
		}
	}
	return nil, false, flows.ErrNotFound
}

// remove deletes an entry under all of its names, the oldest first: one under an
// older key would be found again.
func (v *vault) remove(ctx context.Context, key string) error {
	names, err := v.name(ctx, key)
	if err != nil {
		return err
	}
	for _, n := range slices.Backward(names) {
		if err := v.store.Update(ctx, n, func([]byte) (flows.Change, error) { return flows.Remove(), nil }); err != nil {
			return err
		}
	}
	return nil
}

func (v *vault) open(ctx context.Context, key string, b []byte) ([]byte, error) {
	k, err := v.keys.ring(ctx)
	if err != nil {
		return nil, err
	}
	return k.Open("vault", v.space+"\x00"+key, b)
}

func (v *vault) seal(ctx context.Context, key string, b []byte) ([]byte, error) {
	k, err := v.keys.ring(ctx)
	if err != nil {
		return nil, err
	}
	return k.Seal("vault", v.space+"\x00"+key, b)
}

func (v *vault) Create(ctx context.Context, key string, val []byte, ttl time.Duration, index ...string) error {
	if _, err := v.Get(ctx, key); err == nil {
		return flows.ErrExists
	}
	names, err := v.name(ctx, key)
	if err != nil {
		return err
	}
	sealed, err := v.seal(ctx, key, val)
	if err != nil {
		return err
	}
	return v.store.Create(ctx, names[0], sealed, ttl, v.indexes(index)...)
}

func (v *vault) indexes(index []string) []string {
	out := make([]string, len(index))
	for i, s := range index {
		out[i] = "v/" + v.space + "/" + s
	}
	return out
}

func (v *vault) Update(ctx context.Context, key string, fn func(old []byte) (flows.Change, error)) error {
	names, err := v.name(ctx, key)
	if err != nil {
		return err
	}
	k, err := v.keys.ring(ctx)
	if err != nil {
		return err
	}
	if err := v.carryOver(ctx, key, names); err != nil {
		return err
	}
	ad, removed := v.space+"\x00"+key, false
	err = v.store.Update(ctx, names[0], func(old []byte) (flows.Change, error) {
		var plain []byte
		if old != nil {
			if plain, err = k.Open("vault", ad, old); err != nil {
				return flows.Keep(), err
			}
		}
		c, err := fn(plain)
		removed = err == nil && c.Kind == flows.RemoveIt
		if err != nil || c.Kind != flows.SetIt {
			return c, err
		}
		sealed, err := k.Seal("vault", ad, c.Val)
		if err != nil {
			return flows.Keep(), err
		}
		return flows.Set(sealed, c.TTL, v.indexes(c.Index)...), nil
	})
	if err != nil || !removed || len(names) == 1 {
		return err
	}
	return v.remove(ctx, key)
}

// carryOver brings an entry that was named with an older key under the name it
// has now, sealed with the newest, so that rotating keys forgets nothing (B20, I05).
func (v *vault) carryOver(ctx context.Context, key string, names []string) error {
	if _, err := v.store.Get(ctx, names[0]); !errors.Is(err, flows.ErrNotFound) {
		return err
	}
	for _, n := range names[1:] {
		b, err := v.store.Get(ctx, n)
		if errors.Is(err, flows.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		plain, err := v.open(ctx, key, b)
		if err != nil {
			return err
		}
		anew, err := v.seal(ctx, key, plain)
		if err != nil {
			return err
		}
		if err := v.store.Create(ctx, names[0], anew, 0); err != nil && !errors.Is(err, flows.ErrExists) {
			return err
		}
		return nil
	}
	return nil
}

func (v *vault) Members(ctx context.Context, index, after string, n int) ([]string, error) {
	return v.store.Members(ctx, v.indexes([]string{index})[0], after, n)
}
