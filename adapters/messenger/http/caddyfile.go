package http

import (
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// UnmarshalCaddyfile sets up the messenger from Caddyfile tokens. Syntax:
//
//	http {
//	    url        <https://host/path>
//	    method     GET|POST|PUT
//	    body       json|form
//	    field      <name> <value>
//	    header     <name> <value>
//	    basic_auth <user> <password>
//	    timeout    <duration>
//	}
//
// There may be many lines field and header.
func (m *Messenger) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the type
	if d.NextArg() {
		return d.Errf("http takes no argument, but got '%s'", d.Val())
	}
	seen := map[string]bool{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word := d.Val()
		if seen[word] && word != "field" && word != "header" {
			return d.Errf("%s is written twice", word)
		}
		seen[word] = true
		if err := m.unmarshalWord(d, word, d.RemainingArgs()); err != nil {
			return err
		}
	}
	if err := m.check(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

func (m *Messenger) unmarshalWord(d *caddyfile.Dispenser, word string, args []string) error {
	want := map[string]int{"url": 1, "method": 1, "body": 1, "field": 2, "header": 2, "basic_auth": 2, "timeout": 1}
	n, ok := want[word]
	switch {
	case !ok:
		return d.Errf("http has no option '%s'; there are: basic_auth, body, field, header, method, timeout, url", word)
	case len(args) != n:
		return d.Errf("%s takes %d arguments, but got %d", word, n, len(args)) // they may be secrets
	}
	switch word {
	case "url":
		m.URL = args[0]
	case "method":
		m.Method = strings.ToUpper(args[0])
	case "body":
		m.Body = args[0]
	case "field":
		m.Fields = append(m.Fields, Field{args[0], args[1]})
	case "header":
		m.Headers = append(m.Headers, Field{args[0], args[1]})
	case "basic_auth":
		m.User, m.Password = args[0], args[1]
	case "timeout":
		v, err := caddy.ParseDuration(args[0])
		if err != nil || v <= 0 {
			return d.Errf("timeout '%s' is no duration such as 15s", args[0])
		}
		m.Timeout = caddy.Duration(v)
	}
	return nil
}
