// Package device is the signal for browsers that a person has not signed in with
// before.
//
// A browser gets a random id in a cookie of its own, HttpOnly and Lax, when somebody
// finishes a login in it, and not before. What is kept is a keyed hash of it, in the
// profile of everybody who signed in with it: several people may use one browser, and
// each of them once did so for the first time. Without the cookie, as in a private
// window, a browser is a new one.
//
// A device is trusted if the person ticked the box of an `mfa` with `remember`, for as
// long as that lasts. Where the profile cannot be read it is unknown.
package device

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() {
	caddy.RegisterModule(new(Device))
}

// Device tells new, known and trusted browsers apart.
type Device struct {
	flows.SignalOptions
	// The score of a browser this person did not sign in with before; default 100.
	New *int `json:"new,omitempty"`
	// The score of one they did sign in with; default 0.
	Known *int `json:"known,omitempty"`
	// The score of one they had trusted; default 0.
	Trusted *int `json:"trusted,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*Device) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.signals.device", New: func() caddy.Module { return new(Device) }}
}

// Validate reports what is no score.
func (s *Device) Validate() error {
	for _, n := range []*int{s.New, s.Known, s.Trusted} {
		if n != nil && (*n < 0 || *n > 100) {
			return fmt.Errorf("device: a score is from 0 to 100, not %d", *n)
		}
	}
	return nil
}

// Read looks at what the hall knows of the browser.
func (s *Device) Read(_ context.Context, f *flows.Facts, _ json.RawMessage) (flows.Reading, error) {
	switch {
	case f.Device.Unknown:
		return flows.Reading{}, errors.New("it could not be told whether the device is known")
	case f.User == nil:
		return flows.Reading{Unknown: true, Text: "nobody is known yet"}, nil
	case f.TrustsDevice():
		return flows.Reading{Score: or(s.Trusted, 0), Reason: flows.ReasonTrustedDevice}, nil
	case f.Device.Known:
		return flows.Reading{Score: or(s.Known, 0), Reason: flows.ReasonKnownDevice}, nil
	}
	return flows.Reading{Score: or(s.New, 100), Reason: flows.ReasonNewDevice}, nil
}

func or(n *int, otherwise int) int {
	if n == nil {
		return otherwise
	}
	return *n
}

// UnmarshalCaddyfile sets up the signal from Caddyfile tokens. Syntax:
//
//	signal <name> device {
//	    new     <score>
//	    known   <score>
//	    trusted <score>
//	}
func (s *Device) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the type
	if d.NextArg() {
		return d.Errf("signal device takes no '%s'", d.Val())
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word, args := d.Val(), d.RemainingArgs()
		to, ok := map[string]**int{"new": &s.New, "known": &s.Known, "trusted": &s.Trusted}[word]
		switch {
		case !ok:
			return d.Errf("signal device has no option '%s'; there are: known, new, timeout, trusted, unknown", word)
		case *to != nil:
			return d.Errf("%s is written twice", word)
		case len(args) != 1:
			return d.Errf("%s takes a score, but got %d words", word, len(args))
		}
		n, err := strconv.Atoi(args[0])
		if err != nil || n < 0 || n > 100 {
			return d.Errf("%s is a score from 0 to 100, not '%s'", word, args[0])
		}
		*to = &n
	}
	return nil
}

var (
	_ caddy.Validator       = (*Device)(nil)
	_ caddyfile.Unmarshaler = (*Device)(nil)
	_ flows.Signal          = (*Device)(nil)
)
