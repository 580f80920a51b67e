package caddyfile

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/policy"
	"github.com/sallyport-gateway/sallyport/module"
)

// known is what the global block defined: the names that may be used, and the
// language that conditions are written in.
type known struct {
	providers, policies, flows, dialects, messengers, signals []string
	factors                                                   map[string]flows.Factor
	// directories are as they were written, for what they say without being asked.
	directories map[string]flows.Directory
	// over are flows that sign nobody in: they run over a session.
	over []string
	env  *policy.Env
}

// knownFrom compiles the policies.
func knownFrom(c *module.Config) (*known, error) {
	k := &known{
		providers:  slices.Clone(c.ProviderOrder),
		policies:   slices.Sorted(maps.Keys(c.Policies)),
		flows:      slices.DeleteFunc(slices.Sorted(maps.Keys(c.Flows)), func(name string) bool { return len(c.Flows[name].On) > 0 }),
		dialects:   slices.Sorted(maps.Keys(c.Dialects)),
		messengers: slices.Sorted(maps.Keys(c.MessengersRaw)),
		signals:    slices.Sorted(maps.Keys(c.SignalsRaw)),
	}
	for _, name := range k.flows {
		if !signsIn(c.Flows, name, nil) {
			k.over = append(k.over, name)
		}
	}
	for kind := range c.FactorsRaw {
		if mod, err := caddy.GetModule("identity.factors." + kind); err == nil {
			if f, ok := mod.New().(flows.Factor); ok {
				if k.factors == nil {
					k.factors = map[string]flows.Factor{}
				}
				k.factors[kind] = f
			}
		}
	}
	sources := make(map[string]policy.Source, len(c.Policies))
	k.directories = bareDirectories(c.DirectoriesRaw)
	for name, p := range c.Policies {
		sources[name] = policy.Source{CEL: p.CEL, Source: p.Source}
	}
	var err error
	k.env, err = policy.New(sources)
	return k, err
}

// bareDirectories decodes directories and does nothing else with them.
func bareDirectories(raw map[string]json.RawMessage) map[string]flows.Directory {
	all := map[string]flows.Directory{}
	for name, text := range raw {
		all[name] = noDirectory{}
		var of struct {
			Type string `json:"type"`
		}
		if json.Unmarshal(text, &of) != nil {
			continue
		}
		mod, err := caddy.GetModule("identity.directories." + of.Type)
		if err != nil {
			continue
		}
		if d, ok := mod.New().(flows.Directory); ok && json.Unmarshal(text, d) == nil {
			all[name] = noDirectory{d}
		}
	}
	return all
}

// condition compiles one as the identity app will.
func (k *known) condition(ref flows.ConditionRef) (flows.Condition, error) {
	if ref.Policy != "" && !slices.Contains(k.policies, ref.Policy) {
		return nil, nobody("policy", ref.Policy, k.policies)
	}
	if slices.Contains(k.policies, ref.CEL) {
		return nil, fmt.Errorf("in quotes '%s' is CEL; the policy of that name is written without quotes", ref.CEL)
	}
	return k.env.Condition(ref)
}

// flow resolves the flow of a protect: the one named, else the only one, else
// the one called default. None at all means that the app logs in with its
// visible providers.
func (k *known) flow(named string) (string, error) {
	signing := slices.DeleteFunc(slices.Clone(k.flows), func(n string) bool { return slices.Contains(k.over, n) })
	switch {
	case named != "" && !slices.Contains(k.flows, named):
		return "", nobody("flow", named, k.flows)
	case slices.Contains(k.over, named):
		return "", fmt.Errorf("flow %s signs nobody in: it has no login; a step_up or another flow may name it", named)
	case named != "":
		return named, nil
	case len(k.flows) == 0 && len(k.providers) == 0:
		return "", fmt.Errorf("protect has nobody to ask: the identity block has neither a provider nor a flow")
	case len(k.flows) == 0:
		return "", nil
	case len(signing) == 0:
		return "", fmt.Errorf("protect needs a flow that signs somebody in; none of these has a login: %s", strings.Join(k.flows, ", "))
	case len(signing) == 1:
		return signing[0], nil
	case slices.Contains(signing, "default"):
		return "default", nil
	}
	return "", fmt.Errorf("protect names no flow, and there are several, none called 'default': %s", strings.Join(signing, ", "))
}

// signsIn is flows.SignsIn for a flow as it stands in the JSON.
func signsIn(all map[string]*module.Flow, name string, path []string) bool {
	f := all[name]
	if f == nil || slices.Contains(path, name) {
		return false
	}
	path = append(slices.Clone(path), name)
	return slices.ContainsFunc(f.StepsRaw, func(raw json.RawMessage) bool {
		var v any
		return json.Unmarshal(raw, &v) == nil && stepSignsIn(all, v, path)
	})
}

// stepSignsIn looks at a step and at every step inside it, wherever its guest keeps those.
func stepSignsIn(all map[string]*module.Flow, v any, path []string) bool {
	switch v := v.(type) {
	case []any:
		return slices.ContainsFunc(v, func(e any) bool { return stepSignsIn(all, e, path) })
	case map[string]any:
		kind, _ := v["step"].(string)
		if m, err := caddy.GetModule(stepNamespace + "." + kind); kind != "" && err == nil {
			if p, ok := m.New().(flows.Producer); ok && slices.Contains(p.Produces(), "user") {
				return true
			}
			if other, ok := v["flow"].(string); ok && signsIn(all, other, path) {
				return true
			}
		}
		for _, e := range v {
			if stepSignsIn(all, e, path) {
				return true
			}
		}
	}
	return false
}

// stateKey is where one adaptation keeps what the global block defined.
const stateKey = "sallyport.known"

// knownTo finds what the global block defined, from inside a site.
func knownTo(h httpcaddyfile.Helper) (*known, error) {
	if k, ok := h.State[stateKey].(*known); ok {
		return k, nil
	}
	app, ok := h.Option(appName).(httpcaddyfile.App)
	if !ok {
		return nil, h.Errf("protect needs the global option identity { … } at the top of the Caddyfile")
	}
	var c module.Config
	if err := json.Unmarshal(app.Value, &c); err != nil {
		return nil, h.Errf("reading the identity block: %w", err)
	}
	k, err := knownFrom(&c)
	if err != nil {
		return nil, h.WrapErr(err)
	}
	h.State[stateKey] = k
	return k, nil
}
