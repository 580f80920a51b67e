package lookup

import (
	"fmt"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// UnmarshalCaddyfile sets up the step from Caddyfile tokens. Syntax:
//
//	lookup <directory> {
//	    by          <attribute of the directory> <value>
//	    attribute   <attribute> <attribute of the directory>
//	    missing     deny|continue
//	    unavailable deny|continue
//	    overwrite
//	    cache       <duration>
//	}
//
// The value is a text with {user.<attribute>} in it. There may be many lines attribute.
func (l *Lookup) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the name of the step
	l.Source = fmt.Sprintf("%s:%d", filepath.Base(d.File()), d.Line())
	args := d.RemainingArgs()
	if len(args) != 1 {
		return d.Errf("lookup takes the name of a directory, but got %d words", len(args))
	}
	l.Directory = args[0]
	seen := map[string]bool{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word := d.Val()
		if seen[word] && word != "attribute" {
			return d.Errf("%s is written twice", word)
		}
		seen[word] = true
		if err := l.unmarshalWord(d, word, d.RemainingArgs()); err != nil {
			return err
		}
	}
	if err := l.Validate(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

func (l *Lookup) unmarshalWord(d *caddyfile.Dispenser, word string, args []string) error {
	want := map[string]int{"by": 2, "attribute": 2, "missing": 1, "unavailable": 1, "overwrite": 0, "cache": 1}
	n, ok := want[word]
	switch {
	case !ok:
		return d.Errf("lookup has no option '%s'; there are: attribute, by, cache, missing, overwrite, unavailable", word)
	case len(args) != n:
		return d.Errf("%s takes %d arguments, but got %d", word, n, len(args))
	}
	switch word {
	case "by":
		l.By, l.Value = args[0], args[1]
	case "attribute":
		l.Attributes = append(l.Attributes, Attribute{args[0], args[1]})
	case "missing":
		l.Missing = args[0]
	case "unavailable":
		l.Unavailable = args[0]
	case "overwrite":
		l.Overwrite = true
	case "cache":
		ttl, err := caddy.ParseDuration(args[0])
		if err != nil || ttl <= 0 {
			return d.Errf("cache '%s' is no duration such as 5m", args[0])
		}
		l.Cache = caddy.Duration(ttl)
	}
	return nil
}
