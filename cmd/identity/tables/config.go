package tables

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/sallyport-gateway/sallyport/module"
)

// Config is a config that was made ready and does not run.
type Config struct {
	app *module.App
	// StandIns are the secrets that are not here: others take their places.
	StandIns []string
}

// Load reads a config and makes it ready, as `caddy validate` does. Nothing listens, and
// no store, key or log of it is opened. A secret that is not on this machine has a
// stand-in, and the cluster keys are left out: nothing that is asked here is sealed.
func Load(file, adapter string, env map[string]string) (*Config, error) {
	defer with(env)()
	b, err := adapt(file, adapter)
	if err != nil {
		return nil, err
	}
	var all map[string]any
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	apps, _ := all["apps"].(map[string]any)
	id, ok := apps["identity"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s has no identity app", file)
	}
	delete(id, "keys")
	c := new(Config)
	c.standIn(id)
	slices.Sort(c.StandIns)
	c.StandIns = slices.Compact(c.StandIns)
	all["admin"] = map[string]any{"disabled": true}
	// Not less than errors: a trail that goes to the log needs one that would take it.
	all["logging"] = map[string]any{"logs": map[string]any{"default": map[string]any{"level": "ERROR"}}}
	if b, err = json.Marshal(all); err != nil {
		return nil, err
	}
	cfg := new(caddy.Config)
	if err := caddy.StrictUnmarshalJSON(b, cfg); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	ctx, err := caddy.ProvisionContext(cfg)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	v, err := ctx.App("identity")
	if err != nil {
		return nil, err
	}
	if c.app, ok = v.(*module.App); !ok {
		return nil, fmt.Errorf("the identity app is a %T", v)
	}
	if _, err := ctx.App("http"); err != nil {
		return nil, err
	}
	return c, nil
}

// with sets variables of the environment; what it answers sets them back.
func with(env map[string]string) (back func()) {
	was := map[string]string{}
	for name, value := range env {
		if old, there := os.LookupEnv(name); there {
			was[name] = old
		}
		_ = os.Setenv(name, value) // a name that cannot be set is not found, and then named
	}
	return func() {
		for name := range env {
			if old, there := was[name]; there {
				_ = os.Setenv(name, old)
			} else {
				_ = os.Unsetenv(name)
			}
		}
	}
}

func adapt(file, adapter string) ([]byte, error) {
	if file == "" {
		return nil, errors.New("which config? Write `config` into the table, or give --config")
	}
	b, err := os.ReadFile(file) //nolint:gosec // the operator's own file
	if err != nil {
		return nil, err
	}
	if adapter == "" && filepath.Ext(file) == ".json" {
		return b, nil
	}
	if adapter == "" {
		adapter = "caddyfile"
	}
	a := caddyconfig.GetAdapter(adapter)
	if a == nil {
		return nil, fmt.Errorf("no config adapter is called '%s'", adapter)
	}
	out, _, err := a.Adapt(b, map[string]any{"filename": file})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return out, nil
}

var secret = regexp.MustCompile(`^\{(file|env)\.([^{}]+)\}$`)

// standIn puts something in the place of every secret that is not here.
func (c *Config) standIn(v any) {
	each := func(e any, put func(string)) {
		text, ok := e.(string)
		if !ok {
			c.standIn(e)
			return
		}
		if m := secret.FindStringSubmatch(text); m != nil && missing(m[1], m[2]) {
			c.StandIns = append(c.StandIns, text)
			put("stand-in-" + strings.Repeat("0123456789abcdef", 3))
		}
	}
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			each(e, func(s string) { v[k] = s })
		}
	case []any:
		for i, e := range v {
			each(e, func(s string) { v[i] = s })
		}
	}
}

func missing(kind, name string) bool {
	if kind == "env" {
		return os.Getenv(name) == ""
	}
	_, err := os.Stat(name)
	return err != nil
}
