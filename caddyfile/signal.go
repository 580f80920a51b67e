package caddyfile

import (
	"strconv"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

// signal parses what tells the usual from the unusual. Syntax:
//
//	signal <name> <type> {
//	    unknown <score>      # what counts where it does not know: 0 to 100, default 50
//	    timeout <duration>   # how long one reading may take; default 2s
//	    …             # the words of the type
//	}
func (id *identity) signal(d *caddyfile.Dispenser) error {
	return named(d, "signal", "identity.signals", &id.SignalsRaw, unmarshalSignal)
}

// unmarshalSignal has the guest parse its own words only.
func unmarshalSignal(d *caddyfile.Dispenser, module string) (caddyfile.Unmarshaler, error) {
	common, own := split(d, func(word string) bool { _, ok := signalWords[word]; return ok })
	unm, err := caddyfile.UnmarshalModule(own, module)
	if err != nil {
		return nil, err
	}
	guest, ok := unm.(flows.Signal)
	if !ok {
		return nil, d.Errf("type %s is no signal: it is %T", module, unm)
	}
	return unm, parseBlock(guest.Options(), common, "the signal", signalWords)
}

// signalWords are the words every signal has, whatever its type.
var signalWords = map[string]word[*flows.SignalOptions]{
	"unknown": {parse: func(o *flows.SignalOptions, d *caddyfile.Dispenser) error {
		v, err := one(d, "a score")
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 || n > 100 {
			return d.Errf("unknown is a score from 0 to 100, not '%s'", v)
		}
		o.Unknown = &n
		return nil
	}},
	"timeout": {parse: func(o *flows.SignalOptions, d *caddyfile.Dispenser) error {
		v, err := duration(d)
		o.Timeout = flows.Duration(v)
		return err
	}},
}
