// Package header is the signal that reads the score which a network in front of us, a
// CDN or a firewall for web applications, writes into each request.
package header

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() {
	caddy.RegisterModule(new(Signal))
}

// Signal reads a number from a header, if the request came from one of Caddy's
// trusted_proxies. It is unknown otherwise, and where the header is missing, comes
// twice, or holds anything else. The application gets the header as it came.
type Signal struct {
	// The header.
	Header string `json:"header"`
	// What is sent where nothing is wrong; default 0.
	From float64 `json:"from,omitempty"`
	// What is sent at worst; it may be the smaller number. Default 100.
	To *float64 `json:"to,omitempty"`
	flows.SignalOptions

	name string
	to   float64
}

// CaddyModule returns the Caddy module information.
func (*Signal) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.signals.header", New: func() caddy.Module { return new(Signal) }}
}

// Provision spells the header as requests have it.
func (s *Signal) Provision(caddy.Context) error {
	s.name, s.to = http.CanonicalHeaderKey(s.Header), 100
	if s.To != nil {
		s.to = *s.To
	}
	return s.check()
}

func (s *Signal) check() error {
	if s.Header == "" {
		return errors.New("header names no header, such as: header Cf-Bot-Score")
	}
	for _, c := range s.Header {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return fmt.Errorf("'%s' is no name of a header: [A-Za-z0-9_-]+", s.Header)
		}
	}
	to := 100.0
	if s.To != nil {
		to = *s.To
	}
	if s.From == to || math.Abs(s.From) > 1e9 || math.Abs(to) > 1e9 {
		return fmt.Errorf("range %g %g is none", s.From, to)
	}
	return nil
}

// Read reads the header of the request at hand.
func (s *Signal) Read(_ context.Context, f *flows.Facts, _ json.RawMessage) (flows.Reading, error) {
	if f.Request == nil || !f.Request.Trusted {
		return flows.UnknownReading("the request did not come from a trusted proxy"), nil
	}
	values := f.Request.Header[s.name]
	if len(values) != 1 {
		return flows.UnknownReading(fmt.Sprintf("the header came %d times", len(values))), nil
	}
	n, ok := number(values[0])
	if !ok || n < min(s.From, s.to) || n > max(s.From, s.to) {
		return flows.UnknownReading("the header holds no number of the range"), nil
	}
	score := int(math.Round(100 * (n - s.From) / (s.to - s.From)))
	if score == 0 {
		return flows.Reading{}, nil
	}
	return flows.Reading{Score: score, Reason: flows.ReasonBotScore}, nil
}

// number reads digits, perhaps with a sign and a point: no exponents, no Inf, no NaN.
func number(text string) (float64, bool) {
	if text == "" || len(text) > 16 {
		return 0, false
	}
	for _, c := range text {
		if (c < '0' || c > '9') && c != '.' && c != '-' {
			return 0, false
		}
	}
	n, err := strconv.ParseFloat(text, 64)
	return n, err == nil
}

// UnmarshalCaddyfile sets up the signal from Caddyfile tokens. Syntax:
//
//	header {
//	    header <name>
//	    range  <best> <worst>
//	}
//
// `range 99 1` is for networks that call a program 1 and a person 99.
func (s *Signal) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the name of the module
	if d.NextArg() {
		return d.Errf("header takes no argument, but got '%s'", d.Val())
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word, args := d.Val(), d.RemainingArgs()
		switch {
		case word != "header" && word != "range":
			return d.Errf("header has no option '%s'; there are: header, range", word)
		case word == "header" && len(args) != 1, word == "range" && len(args) != 2:
			return d.ArgErr()
		case word == "header" && s.Header != "", word == "range" && s.To != nil:
			return d.Errf("%s is written twice", word)
		case word == "header":
			s.Header = args[0]
		default:
			from, ok := number(args[0])
			to, ok2 := number(args[1])
			if !ok || !ok2 {
				return d.Errf("range takes two numbers, not '%s %s'", args[0], args[1])
			}
			s.From, s.To = from, &to
		}
	}
	if err := s.check(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner     = (*Signal)(nil)
	_ caddyfile.Unmarshaler = (*Signal)(nil)
	_ flows.Signal          = (*Signal)(nil)
)
