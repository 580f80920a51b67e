package file

import (
	"math"
	"strconv"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"
)

// UnmarshalCaddyfile sets up the sink from Caddyfile tokens. Syntax:
//
//	audit file <path> {
//	    sync          on|off
//	    roll_size     <size>
//	    roll_interval <duration>
//	    roll_keep     <number>
//	    roll_keep_for <duration>
//	}
func (s *Sink) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	if !d.AllArgs(&s.Path) {
		return d.Err("audit file takes exactly one path")
	}
	if s.Path == "" {
		return d.Err("audit file: the path is empty")
	}
	seen := map[string]bool{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word := d.Val()
		if seen[word] {
			return d.Errf("audit file: %s is written twice", word)
		}
		seen[word] = true
		if err := s.word(d, word); err != nil {
			return err
		}
		if d.NextBlock(nesting + 1) {
			return d.Errf("audit file: %s has no options, found '%s'", word, d.Val())
		}
	}
	return nil
}

func (s *Sink) word(d *caddyfile.Dispenser, word string) (err error) {
	var v string
	one := d.AllArgs(&v)
	switch word {
	case "sync":
		if v != "on" && v != "off" || !one {
			return d.Err("audit file: sync is on or off")
		}
		on := v == "on"
		s.Sync = &on
	case "roll_size":
		n, err := humanize.ParseBytes(v)
		if err != nil || n == 0 || n > math.MaxInt64 || !one {
			return d.Errf("audit file: roll_size wants a size such as 100MiB, not '%s'", v)
		}
		s.RollSize = int64(n)
	case "roll_keep":
		if s.RollKeep, err = strconv.Atoi(v); err != nil || s.RollKeep < 1 || !one {
			return d.Errf("audit file: roll_keep wants a number from 1, not '%s'", v)
		}
	case "roll_interval", "roll_keep_for":
		t, err := caddy.ParseDuration(v)
		if err != nil || t <= 0 || !one {
			return d.Errf("audit file: %s wants a duration such as 90d, not '%s'", word, v)
		}
		if word == "roll_interval" {
			s.RollInterval = caddy.Duration(t)
		} else {
			s.RollKeepFor = caddy.Duration(t)
		}
	default:
		return d.Errf("audit file has no option '%s'; there are: roll_interval, roll_keep, roll_keep_for, roll_size, sync", word)
	}
	return nil
}
