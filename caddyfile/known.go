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
	providers, policies, flows, dialects, directories, messengers []string
	factors                                                       map[string]flows.Factor
	env                                                           *policy.Env
}

// knownFrom compiles the policies.
func knownFrom(c *module.Config) (*known, error) {
	k := &known{
		providers:   slices.Clone(c.ProviderOrder),
		policies:    slices.Sorted(maps.Keys(c.Policies)),
		flows:       slices.DeleteFunc(slices.Sorted(maps.Keys(c.Flows)), func(name string) bool { return len(c.Flows[name].On) > 0 }),
		dialects:    slices.Sorted(maps.Keys(c.Dialects)),
		directories: slices.Sorted(maps.Keys(c.DirectoriesRaw)),
		messengers:  slices.Sorted(maps.Keys(c.MessengersRaw)),
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
	for name, p := range c.Policies {
		sources[name] = policy.Source{CEL: p.CEL, Source: p.Source}
	}
	var err error
	k.env, err = policy.New(sources)
	return k, err
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
	switch {
	case named != "" && !slices.Contains(k.flows, named):
		return "", nobody("flow", named, k.flows)
	case named != "":
		return named, nil
	case len(k.flows) == 0 && len(k.providers) == 0:
		return "", fmt.Errorf("protect has nobody to ask: the identity block has neither a provider nor a flow")
	case len(k.flows) == 0:
		return "", nil
	case len(k.flows) == 1:
		return k.flows[0], nil
	case slices.Contains(k.flows, "default"):
		return "default", nil
	}
	return "", fmt.Errorf("protect names no flow, and there are several, none called 'default': %s", strings.Join(k.flows, ", "))
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
