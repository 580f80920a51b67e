package consent

import (
	"fmt"
	"path/filepath"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// UnmarshalCaddyfile sets up the step from Caddyfile tokens. Syntax:
//
//	consent <document> <version> {
//	    title "<what it is called>"
//	    text  "<the text>"
//	    file  <path>
//	    url   <address>
//	}
//
// It takes text or file, or neither where there is a url.
func (c *Consent) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the name of the step
	c.Source = fmt.Sprintf("%s:%d", filepath.Base(d.File()), d.Line())
	args := d.RemainingArgs()
	if len(args) != 2 {
		return d.Errf("consent takes the name of a document and its version, as in: consent terms 3; not %d words", len(args))
	}
	c.Document, c.Version = args[0], args[1]
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word := d.Val()
		field := map[string]*string{"title": &c.Title, "text": &c.Text, "file": &c.File, "url": &c.URL}[word]
		args := d.RemainingArgs()
		switch {
		case field == nil:
			return d.Errf("consent has no option '%s'; there are: file, text, title, url", word)
		case *field != "":
			return d.Errf("%s is written twice", word)
		case len(args) != 1 || args[0] == "":
			return d.Errf("%s takes one text (write it in quotes), but got %d words", word, len(args))
		}
		*field = args[0]
	}
	if err := c.Validate(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}
