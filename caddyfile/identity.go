package caddyfile

import (
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/module"
)

// appName is both the global option and the key under `apps`.
const appName = "identity"

func init() {
	httpcaddyfile.RegisterGlobalOption(appName, parseIdentity)
}

// identity collects the global block. Names may be used above the line that
// defines them, so what uses one is checked when the block is complete.
type identity struct {
	module.Config
	providers []*flows.Provider
	steps     map[string]*parsed
	checks    []check
	last      []check // after all the others
}

// check is one use of names; its dispenser still stands where the use was written.
type check struct {
	at  *caddyfile.Dispenser
	run func(*binder) error
}

func (id *identity) later(d *caddyfile.Dispenser, run func(*binder) error) {
	id.checks = append(id.checks, check{d, run})
}

// identityWords are the words of the global option.
var identityWords map[string]word[*identity]

func init() { // not a literal: a flow's parser reaches back to this table's functions
	identityWords = map[string]word[*identity]{
		"provider":  {(*identity).provider, true},
		"factor":    {(*identity).factor, true},
		"directory": {(*identity).directory, true},
		"messenger": {(*identity).messenger, true},
		"signal":    {(*identity).signal, true},
		"policy":    {(*identity).policy, true},
		"dialect":   {(*identity).dialect, true},
		"flow":      {(*identity).flow, true},
		"session":   {(*identity).session, false},
		"keys":      {(*identity).keys, false},
		"store":     {(*identity).store, false},
		"portal":    {(*identity).portal, false},
		"pages":     {(*identity).pages, false},
		"audit":     {(*identity).audit, true},
	}
}

// parseIdentity parses the global option. Syntax:
//
//	identity {
//	    provider <name> <type> { … }
//	    factor   <kind> { … }
//	    directory <name> <type> { … }
//	    messenger <name> <type> { … }
//	    signal    <name> <type> { … }
//	    policy   <name> <cel>
//	    dialect  <name> [<base>] { … }
//	    flow     <name> { <steps…> }
//	    session  { … }
//	    keys     <key…>
//	    store    <backend> [<args…>]
//	    portal   <address> { … }
//	    pages    { … }
//	    audit    <sink> [<args…>]
//	}
func parseIdentity(d *caddyfile.Dispenser, existing any) (any, error) {
	if err := checkBraces(d); err != nil {
		return nil, err
	}
	d.Next()
	if existing != nil {
		return nil, d.Errf("there is a second identity block; write everything into one")
	}
	id := &identity{steps: map[string]*parsed{}}
	if err := parseBlock(id, d, appName, identityWords); err != nil {
		return nil, err
	}
	if err := finish(d, appName); err != nil {
		return nil, err
	}
	k, err := knownFrom(&id.Config)
	if err != nil {
		return nil, err
	}
	b := &binder{known: k, providers: id.providers, flows: id.steps, used: map[string]bool{}}
	for _, c := range append(id.checks, id.last...) {
		if err := c.run(b); err != nil {
			return nil, place(c.at, err)
		}
	}
	return httpcaddyfile.App{Name: appName, Value: caddyconfig.JSON(id.Config, nil)}, nil
}

// policy parses a named condition. Syntax:
//
//	policy <name> <cel>
func (id *identity) policy(d *caddyfile.Dispenser) error {
	var name, cel string
	if !d.Args(&name, &cel) || cel == "" {
		return d.Errf("a policy wants a name and a condition: policy <name> `<cel>`")
	}
	if !flows.ValidName(name) {
		return badName(d, "policy", name)
	}
	if id.Policies[name] != nil {
		return d.Errf("policy '%s' is defined twice; the first is at %s", name, id.Policies[name].Source)
	}
	if id.Policies == nil {
		id.Policies = map[string]*module.Policy{}
	}
	id.Policies[name] = &module.Policy{CEL: cel, Source: source(d)}
	return nil
}

func badName(d *caddyfile.Dispenser, kind, name string) error {
	return d.Errf("%s name '%s' must match [a-z0-9_-]+", kind, name)
}
