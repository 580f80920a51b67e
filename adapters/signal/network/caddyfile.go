package network

import (
	"strconv"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// UnmarshalCaddyfile sets up the signal from Caddyfile tokens. Syntax:
//
//	network {
//	    trusted      <cidr>...
//	    trusted_file <file>...
//	    risky        <cidr>...
//	    risky_file   <file>...
//	    other        <score>
//	}
func (s *Signal) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the name of the module
	if d.NextArg() {
		return d.Errf("network takes no argument, but got '%s'", d.Val())
	}
	lists := map[string]*[]string{"trusted": &s.Trusted, "trusted_file": &s.TrustedFiles, "risky": &s.Risky, "risky_file": &s.RiskyFiles}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word, args := d.Val(), d.RemainingArgs()
		switch to := lists[word]; {
		case to == nil && word != "other":
			return d.Errf("network has no option '%s'; there are: other, risky, risky_file, trusted, trusted_file", word)
		case len(args) == 0:
			return d.ArgErr()
		case to != nil:
			*to = append(*to, args...)
		case len(args) > 1 || s.Other != nil:
			return d.Err("other takes one score, once")
		default:
			n, err := strconv.Atoi(args[0])
			if err != nil {
				return d.Errf("other '%s' is no score from 0 to 100", args[0])
			}
			s.Other = &n
		}
		if err := s.lineCheck(); err != nil {
			return d.WrapErr(err)
		}
	}
	if err := s.check(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

// lineCheck refuses what a line holds while its place in the file is known.
func (s *Signal) lineCheck() error {
	for _, lines := range [][]string{s.Trusted, s.Risky} {
		if _, err := tableOf(lines); err != nil {
			return err
		}
	}
	return nil
}
