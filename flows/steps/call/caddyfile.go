package call

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
func (c *Call) ReadBlocksBy(read func(*caddyfile.Dispenser) ([]json.RawMessage, []flows.Step, error)) {
	c.read = read
}

// UnmarshalCaddyfile sets up the step from Caddyfile tokens. Syntax:
//
//	call <url> {
//	    secret     <secret>...
//	    send       <name>...
//	    attributes <attribute>...
//	    overwrite
//	    branch     <name> {
//	        <steps…>
//	    }
//	    timeout    <duration>
//	    on_error   deny|continue
//	}
//
// There may be many branches.
func (c *Call) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the name of the step
	c.Source = fmt.Sprintf("%s:%d", filepath.Base(d.File()), d.Line())
	args := d.RemainingArgs()
	if len(args) != 1 {
		return d.Errf("call takes one address, but got %d words", len(args))
	}
	c.URL = args[0]
	seen := map[string]bool{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word := d.Val()
		if seen[word] && word != "branch" {
			return d.Errf("%s is written twice", word)
		}
		seen[word] = true
		if err := c.unmarshalWord(d, word, d.RemainingArgs()); err != nil {
			return err
		}
	}
	if err := c.Validate(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

// unmarshalWord names no argument in its errors where that may be a secret.
func (c *Call) unmarshalWord(d *caddyfile.Dispenser, word string, args []string) (err error) {
	least := map[string]int{"secret": 1, "send": 1, "attributes": 1, "overwrite": 0, "branch": 1, "timeout": 1, "on_error": 1}
	n, ok := least[word]
	many := word == "secret" || word == "send" || word == "attributes"
	switch {
	case !ok:
		return d.Errf("call has no option '%s'; there are: attributes, branch, on_error, overwrite, secret, send, timeout", word)
	case len(args) < n || len(args) > n && !many:
		return d.Errf("%s does not take %d words", word, len(args))
	}
	switch word {
	case "secret":
		c.Secrets = args
	case "send":
		c.Send = args
	case "attributes":
		c.Attributes = args
	case "overwrite":
		c.Overwrite = true
	case "on_error":
		c.OnError = args[0]
	case "timeout":
		t, err := caddy.ParseDuration(args[0])
		if err != nil || t <= 0 {
			return d.Errf("timeout '%s' is no duration such as 2s", args[0])
		}
		c.Timeout = caddy.Duration(t)
	case "branch":
		if c.read == nil {
			return d.Errf("call can only be read where flows are")
		}
		b := &Branch{Name: args[0]}
		b.StepsRaw, b.steps, err = c.read(d)
		c.Branches = append(c.Branches, b)
	}
	return err
}
