package caddyfile

import (
	"slices"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/module"
)

// portal parses the one host where all flows run. Syntax:
//
//	portal <https://auth.example.com> {
//	    origins <https://app.example.com…>
//	}
func (id *identity) portal(d *caddyfile.Dispenser) (err error) {
	at := here(d)
	p := new(module.PortalConfig)
	if p.URL, err = one(d, "the address of the portal, such as https://auth.example.com"); err != nil {
		return err
	}
	if err := parseBlock(p, d, "portal", portalWords); err != nil {
		return err
	}
	if p.URL, p.Origins, err = p.Check(); err != nil {
		return at.Errf("portal: %w", err)
	}
	id.Portal = p
	id.last = append(id.last, check{at, func(*binder) error {
		if id.Session != nil && id.Session.Domain != "" {
			return module.ErrPortalAndDomain
		}
		return nil
	}})
	return nil
}

var portalWords = map[string]word[*module.PortalConfig]{
	"origins": {parse: func(p *module.PortalConfig, d *caddyfile.Dispenser) (err error) {
		if p.Origins, err = some(d, "address of an application, such as https://app.example.com"); err != nil {
			return err
		}
		for i, o := range p.Origins {
			if p.Origins[i], err = module.ParseOrigin(o); err != nil {
				return d.Errf("origins: %w", err)
			}
			if slices.Contains(p.Origins[:i], p.Origins[i]) {
				return d.Errf("origins: %s is written twice", p.Origins[i])
			}
		}
		return nil
	}},
}
