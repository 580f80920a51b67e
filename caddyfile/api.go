package caddyfile

import (
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/module"
)

// api parses which programs a route takes. Syntax:
//
//	api <provider…> {
//	    cache <duration>
//	    keep_authorization
//	}
func (p *protect) api(d *caddyfile.Dispenser) error {
	c := &module.APIConfig{Source: source(d)}
	args, err := some(d, "provider whose credentials are taken")
	if err != nil {
		return err
	}
	for i, name := range args {
		switch {
		case !slices.Contains(p.known.providers, name):
			return d.WrapErr(nobody("provider", name, p.known.providers))
		case slices.Contains(args[:i], name):
			return d.Errf("api names provider '%s' twice", name)
		}
	}
	c.Providers = args
	p.API = c
	return parseBlock(c, d, "api", apiWords)
}

var apiWords = map[string]word[*module.APIConfig]{
	"cache": {parse: func(c *module.APIConfig, d *caddyfile.Dispenser) (err error) {
		if c.Cache, err = duration(d); err == nil && time.Duration(c.Cache) > module.LongestAPICache {
			err = d.Errf("cache is at most %s: so long a revoked credential is still taken", module.LongestAPICache)
		}
		return err
	}},
	"keep_authorization": {parse: func(c *module.APIConfig, _ *caddyfile.Dispenser) error {
		c.KeepAuthorization = true
		return nil
	}},
}
