package caddyfile

import (
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/headers"
	"github.com/sallyport-gateway/sallyport/module"
)

// dialect collects one block; more are the encodings that its base knows beyond the usual.
type dialect struct {
	*headers.CustomConfig
	more []string
}

// dialect parses an operator's own header dialect. Syntax:
//
//	dialect <name> [<base>] {
//	    header       <Name> <template> [{ … }]
//	    groups       <Name>
//	    join         <separator>
//	    encode       auto|raw|percent|base64|rfc2047|latin1|ascii
//	    missing      omit|empty|"<text>"
//	    max          <bytes>
//	    quote        <mark>
//	    escape       <mark>
//	    wrap         on|off
//	    strip        <Name|Prefix*…>
//	    logout       <path…>
//	    clear_cookie <name…>
//	}
func (id *identity) dialect(d *caddyfile.Dispenser) error {
	at, c := here(d), &headers.CustomConfig{Source: source(d)}
	if !d.NextArg() {
		return d.Errf("a dialect wants a name: dialect <name> [<base>] { … }")
	}
	name := d.Val()
	presets := module.Presets()
	switch {
	case !flows.ValidName(name):
		return badName(d, "dialect", name)
	case slices.Contains(presets, name):
		return d.Errf("dialect '%s' is a preset; call your own differently, such as my_%s, and base it on %s", name, name, name)
	case id.Dialects[name] != nil:
		return d.Errf("dialect '%s' is defined twice; the first is at %s", name, id.Dialects[name].Source)
	}
	p := &dialect{CustomConfig: c}
	if d.NextArg() {
		if c.Base = d.Val(); !slices.Contains(presets, c.Base) {
			return d.Errf("no preset is called '%s'%s; there are: %s", c.Base, didYouMean(c.Base, presets), strings.Join(presets, ", "))
		}
		p.more = encodingsOf(c.Base)
	}
	if err := parseBlock(p, d, "dialect", dialectWords); err != nil {
		return err
	}
	if err := module.CheckDialect(name, c); err != nil {
		return at.WrapErr(err)
	}
	if id.Dialects == nil {
		id.Dialects = map[string]*headers.CustomConfig{}
	}
	id.Dialects[name] = c
	return nil
}

// encodingsOf are those of a preset beyond the usual ones.
func encodingsOf(preset string) []string {
	info, err := caddy.GetModule(dialectNamespace + "." + preset)
	if err != nil {
		return nil
	}
	if e, ok := info.New().(flows.Encoder); ok {
		return e.Encodings()
	}
	return nil
}

var dialectWords = map[string]word[*dialect]{
	"header": {(*dialect).header, true},
	"groups": {parse: func(p *dialect, d *caddyfile.Dispenser) (err error) {
		p.Groups, err = one(d, "the name of a header")
		return err
	}},
	"strip": {many: true, parse: func(p *dialect, d *caddyfile.Dispenser) error {
		names, err := some(d, "header name or Prefix*")
		if err != nil {
			return err
		}
		for _, n := range names {
			if err := headers.ValidateOwned(n); err != nil {
				return d.WrapErr(err)
			}
		}
		p.Strip = append(p.Strip, names...)
		return nil
	}},
	"logout":       {(*dialect).leaving, true},
	"clear_cookie": {(*dialect).leaving, true},
	"join":         {(*dialect).option, false},
	"encode":       {(*dialect).option, false},
	"missing":      {(*dialect).option, false},
	"max":          {(*dialect).option, false},
	"quote":        {(*dialect).option, false},
	"escape":       {(*dialect).option, false},
	"wrap":         {(*dialect).option, false},
}

func (p *dialect) option(d *caddyfile.Dispenser) error {
	return setOption(&p.HeaderOptions, d, p.more)
}

func setOption(o *flows.HeaderOptions, d *caddyfile.Dispenser, more []string) error {
	word := d.Val()
	if _, err := o.SetOption(word, d.RemainingArgs(), more...); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

func (p *dialect) leaving(d *caddyfile.Dispenser) error {
	word := d.Val()
	if err := p.Leaving.SetOption(word, d.RemainingArgs()); err != nil {
		return d.WrapErr(err)
	}
	if err := p.Leaving.Validate(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

// header parses one header of the dialect; its block says what differs from the
// dialect's own options. Syntax:
//
//	header <Name> <template> [{ join … ; encode … ; missing … ; max … ; quote … ; escape … ; wrap … }]
func (p *dialect) header(d *caddyfile.Dispenser) error {
	at, h := here(d), &headers.CustomHeader{Source: source(d)}
	if !d.Args(&h.Name, &h.Value) {
		return d.Errf("header wants a name and a template: header X-Dept {user.department}")
	}
	for _, other := range p.Headers {
		if headers.Fold(other.Name) == headers.Fold(h.Name) {
			return d.Errf("header %s is written twice; the first is %s at %s", h.Name, other.Name, other.Source)
		}
	}
	words := map[string]word[*flows.HeaderOptions]{}
	for _, w := range flows.HeaderOptionWords {
		words[w] = word[*flows.HeaderOptions]{parse: func(o *flows.HeaderOptions, d *caddyfile.Dispenser) error {
			return setOption(o, d, p.more)
		}}
	}
	if err := parseBlock(&h.HeaderOptions, d, "header", words); err != nil {
		return err
	}
	if _, err := headers.NewOwnHeader(h.Name, h.Value, h.HeaderOptions, p.more...); err != nil {
		return at.WrapErr(err)
	}
	p.Headers = append(p.Headers, h)
	return nil
}
