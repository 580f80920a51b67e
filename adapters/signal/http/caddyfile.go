package http

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// UnmarshalCaddyfile sets up the signal from Caddyfile tokens. Syntax:
//
//	http {
//	    url     <https://host/path>
//	    secret  <secret>...
//	    send    <fact>...
//	    outcome <https://host/path>|off
//	    cache   <duration>
//	    signed_answers
//	}
func (s *Signal) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the name of the module
	if d.NextArg() {
		return d.Errf("http takes no argument, but got '%s'", d.Val())
	}
	seen := map[string]bool{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word := d.Val()
		if seen[word] && word != "secret" && word != "send" {
			return d.Errf("%s is written twice", word)
		}
		seen[word] = true
		if err := s.unmarshalWord(d, word, d.RemainingArgs()); err != nil {
			return err
		}
	}
	if err := s.check(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

func (s *Signal) unmarshalWord(d *caddyfile.Dispenser, word string, args []string) error {
	few := map[string]int{"url": 1, "secret": 1, "send": 1, "outcome": 1, "cache": 1, "signed_answers": 0}
	n, ok := few[word]
	switch {
	case !ok:
		return d.Errf("http has no option '%s'; there are: cache, outcome, secret, send, signed_answers, url", word)
	case len(args) < n || len(args) > n && word != "secret" && word != "send":
		return d.Errf("%s takes %d arguments, but got %d", word, n, len(args)) // they may be secrets
	}
	switch word {
	case "url":
		s.URL = args[0]
	case "secret":
		s.Secrets = append(s.Secrets, args...)
	case "send":
		s.Send = append(s.Send, args...)
	case "outcome":
		s.Outcome = args[0]
	case "signed_answers":
		s.SignedAnswers = true
	case "cache":
		v, err := caddy.ParseDuration(args[0])
		if err != nil || v <= 0 {
			return d.Errf("cache '%s' is no duration such as 5m", args[0])
		}
		s.Cache = caddy.Duration(v)
	}
	return nil
}
