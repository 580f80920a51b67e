package risk

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

// UnmarshalCaddyfile sets up the step from Caddyfile tokens. Syntax:
//
//	risk <signal>[=<weight>]… {
//	    bands <medium> <high>
//	    sum|log_odds
//	    observe
//	}
//
// A weight is from 0 to 100; without one it is 100.
func (r *Risk) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the name of the step
	r.Source = fmt.Sprintf("%s:%d", filepath.Base(d.File()), d.Line())
	for _, word := range d.RemainingArgs() {
		s, err := parseSignal(word)
		if err != nil {
			return d.WrapErr(err)
		}
		r.Signals = append(r.Signals, s)
	}
	seen := map[string]bool{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word := d.Val()
		if seen[word] {
			return d.Errf("%s is written twice", word)
		}
		seen[word] = true
		if err := r.unmarshalWord(d, word, d.RemainingArgs()); err != nil {
			return err
		}
	}
	if seen["sum"] && seen["log_odds"] {
		return d.Errf("risk takes one of sum and log_odds")
	}
	if err := r.Validate(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

func parseSignal(word string) (Signal, error) {
	name, text, weighed := strings.Cut(word, "=")
	s := Signal{Name: name}
	if !flows.ValidName(name) {
		return s, fmt.Errorf("risk takes names of signals, each with a weight if need be: device=30; not '%s'", word)
	}
	if weighed {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > flows.MaxWeight {
			return s, fmt.Errorf("the weight of signal %s is from 0 to %d, not '%s'", name, flows.MaxWeight, text)
		}
		s.Weight = &n
	}
	return s, nil
}

func (r *Risk) unmarshalWord(d *caddyfile.Dispenser, word string, args []string) error {
	want := map[string]int{"bands": 2, "sum": 0, "log_odds": 0, "observe": 0}
	n, ok := want[word]
	switch {
	case !ok:
		return d.Errf("risk has no option '%s'; there are: bands, log_odds, observe, sum", word)
	case len(args) != n:
		return d.Errf("%s takes %d arguments, but got %d", word, n, len(args))
	}
	switch word {
	case "bands":
		for _, a := range args {
			n, err := strconv.Atoi(a)
			if err != nil {
				return d.Errf("bands are two scores such as 30 70, not '%s'", a)
			}
			r.Bands = append(r.Bands, n)
		}
	case "log_odds":
		r.LogOdds = true
	case "observe":
		r.Observe = true
	}
	return nil
}
