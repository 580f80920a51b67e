package http

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// UnmarshalCaddyfile sets up the directory from Caddyfile tokens. Syntax:
//
//	http {
//	    url       <https://host/path>
//	    query     <name> <value>
//	    json_path <path>
//	    oauth2    <token url> <id> <secret> [<scope>...]
//	    cache     <duration>
//	    timeout   <duration>
//	}
//
// There may be many lines query. {by} and {value} stand for what a lookup asks by.
func (d *Directory) UnmarshalCaddyfile(t *caddyfile.Dispenser) error {
	t.Next() // the name of the module
	if t.NextArg() {
		return t.Errf("http takes no argument, but got '%s'", t.Val())
	}
	seen := map[string]bool{}
	for nesting := t.Nesting(); t.NextBlock(nesting); {
		word := t.Val()
		if seen[word] && word != "query" {
			return t.Errf("%s is written twice", word)
		}
		seen[word] = true
		if err := d.unmarshalWord(t, word, t.RemainingArgs()); err != nil {
			return err
		}
	}
	if err := d.check(); err != nil {
		return t.WrapErr(err)
	}
	return nil
}

func (d *Directory) unmarshalWord(t *caddyfile.Dispenser, word string, args []string) error {
	few := map[string]int{"url": 1, "query": 2, "json_path": 1, "oauth2": 3, "cache": 1, "timeout": 1}
	n, ok := few[word]
	switch {
	case !ok:
		return t.Errf("http has no option '%s'; there are: cache, json_path, oauth2, query, timeout, url", word)
	case len(args) < n || len(args) > n && word != "oauth2":
		return t.Errf("%s takes %d arguments, but got %d", word, n, len(args)) // they may be secrets
	}
	switch word {
	case "url":
		d.URL = args[0]
	case "query":
		d.Query = append(d.Query, Parameter{args[0], args[1]})
	case "json_path":
		d.JSONPath = args[0]
	case "oauth2":
		d.OAuth2 = &OAuth2{TokenURL: args[0], ClientID: args[1], ClientSecret: args[2], Scopes: args[3:]}
	case "cache", "timeout":
		v, err := caddy.ParseDuration(args[0])
		if err != nil || v <= 0 {
			return t.Errf("%s '%s' is no duration such as 5m", word, args[0])
		}
		if word == "cache" {
			d.Cache = caddy.Duration(v)
		} else {
			d.Timeout = caddy.Duration(v)
		}
	}
	return nil
}
