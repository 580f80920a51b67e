package choose

import (
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

// reader reads the block of steps that opens on the cursor's line; there may be none.
type reader = func(*caddyfile.Dispenser) ([]json.RawMessage, []flows.Step, error)

// ReadBlocksBy lends what reads the steps inside: the front door knows all of them.
func (c *Choose) ReadBlocksBy(read func(*caddyfile.Dispenser) ([]json.RawMessage, []flows.Step, error)) {
	c.read = read
}

// UnmarshalCaddyfile sets up the step from Caddyfile tokens. Syntax:
//
//	choose ["<question>"] {
//	    option <name> ["<label>" ["<detail>"]] {
//	        <steps…>
//	    }
//	    remember <duration>
//	}
//
// There are two or more options; the block of one may be left out.
func (c *Choose) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the name of the step
	c.Source = fmt.Sprintf("%s:%d", filepath.Base(d.File()), d.Line())
	if d.NextArg() {
		c.Question = d.Val()
	}
	if d.NextArg() {
		return d.Errf("choose takes one question; '%s' is too much (write it in quotes)", d.Val())
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "option":
			if err := c.unmarshalOption(d); err != nil {
				return err
			}
		case "remember":
			args := d.RemainingArgs()
			if len(args) != 1 || c.Remember != 0 {
				return d.Errf("remember takes one duration, once")
			}
			t, err := caddy.ParseDuration(args[0])
			if err != nil || t <= 0 {
				return d.Errf("remember '%s' is no duration such as 90d", args[0])
			}
			c.Remember = caddy.Duration(t)
		default:
			return d.Errf("choose has no option '%s'; there are: option, remember", d.Val())
		}
	}
	if err := c.Validate(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

func (c *Choose) unmarshalOption(d *caddyfile.Dispenser) (err error) {
	args := d.RemainingArgs()
	if len(args) < 1 || len(args) > 3 {
		return d.Errf("option takes a name and perhaps a label and a detail in quotes, not %d words", len(args))
	}
	o := &Option{Name: args[0]}
	if len(args) > 1 {
		o.Label = args[1]
	}
	if len(args) > 2 {
		o.Detail = args[2]
	}
	if c.read == nil {
		return d.Errf("choose can only be read where flows are")
	}
	o.StepsRaw, o.steps, err = c.read(d)
	c.Options = append(c.Options, o)
	return err
}
