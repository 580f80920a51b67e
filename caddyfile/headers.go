package caddyfile

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/headers"
	"github.com/sallyport-gateway/sallyport/module"
)

const dialectNamespace = "identity.headers"

// headers parses a dialect and its options; an operator's own has them where it is
// defined. Syntax:
//
//	headers <dialect> [{ … }]
//	headers <own dialect>
func (p *protect) headers(d *caddyfile.Dispenser) error {
	c := &module.HeaderConfig{Source: source(d)}
	name, err := one(d, "the name of a dialect")
	if err != nil {
		return err
	}
	own := slices.Contains(p.known.dialects, name)
	if name == module.Assertion && !own {
		return d.Errf("assertion is no dialect but a line of its own: assertion [<Header>] { … }")
	}
	if have := append(module.Presets(), p.known.dialects...); !own && !slices.Contains(have, name) {
		return d.Errf("no dialect is called '%s'%s; there are: %s", name, didYouMean(name, have), strings.Join(have, ", "))
	}
	for _, other := range p.Headers {
		if dialectOf(other) == name {
			return d.Errf("headers %s is written twice; the first is at %s", name, other.Source)
		}
	}
	if own {
		if readBlock(d).there {
			return d.Errf("headers %s takes no block: the options of an own dialect stand in the identity block", name)
		}
		c.Own = name
		p.Headers = append(p.Headers, c)
		return nil
	}
	unm, err := caddyfile.UnmarshalModule(d, dialectNamespace+"."+name)
	if err != nil {
		return err
	}
	c.DialectRaw = caddyconfig.JSONModuleObject(unm, "name", name, nil)
	p.Headers = append(p.Headers, c)
	return nil
}

func dialectOf(c *module.HeaderConfig) string {
	if c.Own != "" {
		return c.Own
	}
	var named struct {
		Name string `json:"name"`
	}
	_ = json.Unmarshal(c.DialectRaw, &named) // our own JSON, or none: then the name is empty
	return named.Name
}

// header parses one header of the operator's own. Syntax:
//
//	header <Name> <template> [{
//	    join    <separator>
//	    encode  auto|raw|percent|base64|rfc2047|latin1|ascii
//	    missing omit|empty|"<text>"
//	    max     <bytes>
//	}]
func (p *protect) header(d *caddyfile.Dispenser) error {
	at, c := here(d), &module.HeaderConfig{Source: source(d)}
	if !d.Args(&c.Name, &c.Value) {
		return d.Errf("header wants a name and a template: header X-Dept {user.department}")
	}
	for _, other := range p.Headers {
		if other.Name != "" && headers.Fold(other.Name) == headers.Fold(c.Name) {
			return d.Errf("header %s is written twice; the first is %s at %s", c.Name, other.Name, other.Source)
		}
	}
	if err := parseBlock(&c.HeaderOptions, d, "header", headerWords); err != nil {
		return err
	}
	if _, err := headers.NewOwnHeader(c.Name, c.Value, c.HeaderOptions); err != nil {
		return at.WrapErr(err)
	}
	p.Headers = append(p.Headers, c)
	return nil
}

var headerWords = map[string]word[*flows.HeaderOptions]{
	"join":    {headerOption, false},
	"encode":  {headerOption, false},
	"missing": {headerOption, false},
	"max":     {headerOption, false},
}

func headerOption(o *flows.HeaderOptions, d *caddyfile.Dispenser) error {
	word := d.Val()
	if _, err := o.SetOption(word, d.RemainingArgs()); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

// assertion parses a token for the application; several may go to it under different
// names. Syntax:
//
//	assertion [<Header>] [{
//	    audience  <name…>
//	    ttl       <duration>
//	    algorithm ES256|RS256|EdDSA
//	    issuer    <text>
//	    claim     <claim> <attribute>
//	    without   <claim…>
//	    max       <bytes>
//	}]
func (p *protect) assertion(d *caddyfile.Dispenser) error {
	at, c := here(d), &module.HeaderConfig{Source: source(d)}
	unm, err := caddyfile.UnmarshalModule(d, dialectNamespace+"."+module.Assertion)
	if err != nil {
		return err
	}
	name := unm.(flows.Dialect).Owned()[0]
	if err := headers.ValidateName(name); err != nil {
		return at.WrapErr(err)
	}
	if other, ok := p.asserted[headers.Fold(name)]; ok {
		return at.Errf("assertion %s is written twice; the first is at %s", name, other)
	}
	if p.asserted == nil {
		p.asserted = map[string]string{}
	}
	p.asserted[headers.Fold(name)] = c.Source
	c.DialectRaw = caddyconfig.JSONModuleObject(unm, "name", module.Assertion, nil)
	p.Headers = append(p.Headers, c)
	return nil
}

// remoteUser parses the template of {http.auth.user.id}. Syntax:
//
//	remote_user <template>
func (p *protect) remoteUser(d *caddyfile.Dispenser) (err error) {
	if p.RemoteUser, err = one(d, "a template such as {user.name}"); err != nil {
		return err
	}
	if _, err = headers.ParseTemplate(p.RemoteUser); err != nil {
		return d.WrapErr(err)
	}
	return nil
}
