package form

import (
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// UnmarshalCaddyfile sets up the step from Caddyfile tokens. Syntax:
//
//	form ["<title>"] {
//	    text "<what to read first>"
//	    field <attribute> text|email|tel|url|date|number|select|check ["<label>"] {
//	        optional
//	        pattern <regular expression> ["<what is said when it does not match>"]
//	        max     <characters>
//	        options <value>...
//	    }
//	    overwrite
//	}
//
// There may be many fields; the block of one may be left out.
func (f *Form) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the name of the step
	f.Source = fmt.Sprintf("%s:%d", filepath.Base(d.File()), d.Line())
	if d.NextArg() {
		f.Title = d.Val()
	}
	if d.NextArg() {
		return d.Errf("form takes one title; '%s' is too much (write it in quotes)", d.Val())
	}
	seen := map[string]bool{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word := d.Val()
		if seen[word] && word != "field" {
			return d.Errf("%s is written twice", word)
		}
		seen[word] = true
		if err := f.unmarshalWord(d, word); err != nil {
			return err
		}
	}
	if err := f.Validate(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

func (f *Form) unmarshalWord(d *caddyfile.Dispenser, word string) error {
	args := d.RemainingArgs()
	switch word {
	case "field":
		return f.unmarshalField(d, args)
	case "text":
		if len(args) != 1 {
			return d.Errf("text takes one text in quotes, but got %d words", len(args))
		}
		f.Text = args[0]
	case "overwrite":
		if len(args) != 0 {
			return d.Errf("overwrite takes no argument, but got '%s'", args[0])
		}
		f.Overwrite = true
	default:
		return d.Errf("form has no option '%s'; there are: field, overwrite, text", word)
	}
	return nil
}

func (f *Form) unmarshalField(d *caddyfile.Dispenser, args []string) error {
	if len(args) < 2 || len(args) > 3 {
		return d.Errf("field takes an attribute, a type and perhaps a label in quotes, not %d words", len(args))
	}
	field := &Field{Attribute: args[0], Type: args[1]}
	if len(args) == 3 {
		field.Label = args[2]
	}
	seen := map[string]bool{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word := d.Val()
		if seen[word] {
			return d.Errf("%s is written twice", word)
		}
		seen[word] = true
		if err := field.unmarshalWord(d, word, d.RemainingArgs()); err != nil {
			return err
		}
	}
	if err := field.validate(); err != nil {
		return d.WrapErr(err)
	}
	f.Fields = append(f.Fields, field)
	return nil
}

func (field *Field) unmarshalWord(d *caddyfile.Dispenser, word string, args []string) error {
	switch {
	case word == "optional" && len(args) == 0:
		field.Optional = true
	case word == "pattern" && (len(args) == 1 || len(args) == 2):
		field.Pattern = args[0]
		if len(args) == 2 {
			field.Hint = args[1]
		}
	case word == "max" && len(args) == 1:
		n, err := strconv.Atoi(args[0])
		if err != nil || n < 1 {
			return d.Errf("max '%s' is no number of characters", args[0])
		}
		field.Max = n
	case word == "options" && len(args) > 0:
		field.Options = args
	case word == "optional", word == "pattern", word == "max", word == "options":
		return d.Errf("field %s: %s does not take %d words", field.Attribute, word, len(args))
	default:
		return d.Errf("field %s has no option '%s'; there are: max, optional, options, pattern", field.Attribute, word)
	}
	return nil
}
