package sql

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// UnmarshalCaddyfile sets up the directory from Caddyfile tokens. Syntax:
//
//	sql {
//	    dsn         <postgres|mysql://user:password@host:port/database>
//	    query       [<by>] <sql with $1>
//	    json        <column>...
//	    connections <number>
//	    cache       <duration>
//	    timeout     <duration>
//	    ca          <file>...
//	    insecure_plaintext
//	}
//
// One line query answers every lookup; of several each says what it finds people by.
func (d *Directory) UnmarshalCaddyfile(t *caddyfile.Dispenser) error {
	t.Next() // the name of the module
	d.Source = fmt.Sprintf("%s:%d", filepath.Base(t.File()), t.Line())
	if t.NextArg() {
		return t.Errf("sql takes no argument, but got '%s'", t.Val())
	}
	seen := map[string]bool{}
	for nesting := t.Nesting(); t.NextBlock(nesting); {
		word := t.Val()
		if seen[word] && word != "query" && word != "json" && word != "ca" {
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
	most := map[string]int{"dsn": 1, "query": 2, "json": 64, "connections": 1, "cache": 1, "timeout": 1, "ca": 16, "insecure_plaintext": 0}
	n, ok := most[word]
	switch {
	case !ok:
		return t.Errf("sql has no option '%s'; there are: ca, cache, connections, dsn, insecure_plaintext, json, query, timeout", word)
	case len(args) > n || n > 0 && len(args) == 0 || slices.Contains(args, ""):
		return t.Errf("%s takes %s, but got %d", word, arguments(n), len(args)) // they may be secrets
	}
	switch word {
	case "dsn":
		d.DSN = args[0]
		if _, err := d.written(); err != nil {
			return t.WrapErr(err)
		}
	case "query":
		q := Query{SQL: args[len(args)-1]}
		if len(args) == 2 {
			q.By = args[0]
		}
		d.Queries = append(d.Queries, q)
		if err := q.check(); err != nil {
			return t.WrapErr(err)
		}
	case "json":
		d.JSON = append(d.JSON, args...)
	case "ca":
		d.CA = append(d.CA, args...)
	case "insecure_plaintext":
		d.InsecurePlaintext = true
	case "connections":
		v, err := strconv.Atoi(args[0])
		if err != nil || v < 1 || v > mostConnections {
			return t.Errf("connections '%s' is no number from 1 to %d", args[0], mostConnections)
		}
		d.Connections = v
	default:
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

func arguments(n int) string {
	switch n {
	case 0:
		return "no argument"
	case 1:
		return "one argument"
	}
	return fmt.Sprintf("1 to %d arguments that are not empty", n)
}

// check refuses what can be seen without secrets.
func (d *Directory) check() error {
	t, err := d.written()
	if err == nil && t.URL != nil {
		err = d.checkTLS(t)
	}
	if err != nil {
		return err
	}
	if err := d.checkQueries(); err != nil {
		return err
	}
	switch {
	case d.Cache < 0 || d.Timeout < 0:
		return errors.New("cache and timeout must not be negative")
	case d.Connections < 0 || d.Connections > mostConnections:
		return fmt.Errorf("connections must be a number from 1 to %d", mostConnections)
	}
	return nil
}
