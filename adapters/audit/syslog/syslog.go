// Package syslog sends the audit trail to a syslog server (RFC 5424).
package syslog

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows/audit"
)

func init() { caddy.RegisterModule(new(Sink)) }

// Sink sends every event as one message, facility authpriv, whose text is the event's
// JSON. Over tcp and tls messages are counted in octets (RFC 6587 §3.4.1, RFC 5425).
//
// Syslog has no receipts: an entry counts as written once the connection took it, over
// udp once it was sent. What a server loses behind that, nobody knows; where that is not
// enough, a file beside it is the trail.
type Sink struct {
	audit.SinkOptions

	// Where to: [tcp/|udp/|tls/]host[:port], or unix//path or unixgram//path of a
	// socket; default tcp, and port 601, 514 or 6514. tls checks the server's certificate.
	Address string `json:"address"`
	// A file of certificates (PEM) that may have signed the server's; default: those
	// that the system trusts.
	CA string `json:"ca,omitempty"`
	// How long one entry may take, connecting included; default 2s, at most 5s.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	to   *connection
	host string
}

const (
	usualTimeout   = 2 * time.Second
	longestTimeout = 5 * time.Second // the trail waits no longer
)

// CaddyModule returns the Caddy module information.
func (*Sink) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.audit.syslog", New: func() caddy.Module { return new(Sink) }}
}

// ports are the networks, and where they listen by default.
var ports = map[string]string{"tcp": "601", "udp": "514", "tls": "6514", "unix": "", "unixgram": ""}

// parse reads an address.
func parse(s string) (network, address string, err error) {
	network, address, ok := strings.Cut(s, "/")
	if !ok {
		network, address = "tcp", s
	}
	port, known := ports[network]
	switch {
	case !known:
		return "", "", fmt.Errorf("audit syslog: no network is called '%s'; there are: tcp, tls, udp, unix, unixgram", network)
	case strings.Trim(address, "/") == "":
		return "", "", errors.New("audit syslog wants an address such as tls/logs.example.com:6514")
	case port == "":
		return network, address, nil
	}
	na, err := caddy.ParseNetworkAddress(address)
	if err != nil || na.Host == "" || na.PortRangeSize() != 1 {
		return "", "", fmt.Errorf("audit syslog: '%s' is no address such as tls/logs.example.com:6514", s)
	}
	if na.StartPort == 0 {
		return network, net.JoinHostPort(na.Host, port), nil
	}
	return network, na.JoinHostPort(0), nil
}

// Provision reads address and certificates. It touches no network.
func (s *Sink) Provision(caddy.Context) error {
	text, err := caddy.NewReplacer().ReplaceOrErr(s.Address, true, true)
	if err != nil {
		return fmt.Errorf("audit syslog: address: %w", err)
	}
	network, address, err := parse(text)
	if err != nil {
		return err
	}
	s.to = newConnection(network, address)
	if s.host, err = os.Hostname(); err != nil {
		s.host = ""
	}
	if s.CA == "" {
		return nil
	}
	pem, err := os.ReadFile(s.CA)
	if err != nil {
		return fmt.Errorf("audit syslog: ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return fmt.Errorf("audit syslog: ca: there is no certificate in %s", s.CA)
	}
	s.to.tls = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return nil
}

// Validate refuses what means nothing.
func (s *Sink) Validate() error {
	switch {
	case s.CA != "" && s.to != nil && s.to.network != "tls":
		return errors.New("audit syslog: ca is for tls/… only")
	case s.Timeout < 0 || time.Duration(s.Timeout) > longestTimeout:
		return fmt.Errorf("audit syslog: timeout is at most %s: people wait", longestTimeout)
	}
	return nil
}

// Cleanup closes the connection.
func (s *Sink) Cleanup() error {
	if s.to != nil {
		s.to.end()
	}
	return nil
}

// Write sends one event.
func (s *Sink) Write(ctx context.Context, e audit.Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.to == nil {
		return errors.New("audit syslog: not provisioned")
	}
	line, err := e.Line()
	if err != nil {
		return err
	}
	limit := usualTimeout
	if s.Timeout > 0 {
		limit = time.Duration(s.Timeout)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := s.to.send(ctx, s.message(e, line[:len(line)-1])); err != nil {
		return fmt.Errorf("audit syslog: %w", err)
	}
	return nil
}

// refusals are of severity warning, the rest is informational.
var refusals = []audit.Kind{audit.Denied, audit.LoginDenied, audit.ProviderDown}

// message is RFC 5424 §6: the facility is 10, security and authorisation.
func (s *Sink) message(e audit.Event, text []byte) []byte {
	severity := 6
	if slices.Contains(refusals, e.Kind) {
		severity = 4
	}
	at := "-"
	if !e.Time.IsZero() {
		at = e.Time.UTC().Format("2006-01-02T15:04:05.000000Z")
	}
	head := fmt.Sprintf("<%d>1 %s %s sallyport %d %s - ", 10*8+severity, at, field(s.host, 255), os.Getpid(), field(string(e.Kind), 32))
	return append([]byte(head), text...)
}

// field is a header field: printable ASCII, or - for none.
func field(s string, longest int) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '_'
		}
		return r
	}, s)
	if s == "" {
		return "-"
	}
	return s[:min(len(s), longest)]
}

// UnmarshalCaddyfile sets up the sink from Caddyfile tokens. Syntax:
//
//	audit syslog [tcp/|udp/|tls/]<host>[:<port>] {
//	    ca      <file>
//	    timeout <duration>
//	}
func (s *Sink) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	if !d.AllArgs(&s.Address) {
		return d.Err("audit syslog takes exactly one address")
	}
	if !strings.Contains(s.Address, "{") {
		if _, _, err := parse(s.Address); err != nil {
			return d.WrapErr(err)
		}
	}
	seen := map[string]bool{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word := d.Val()
		if seen[word] {
			return d.Errf("audit syslog: %s is written twice", word)
		}
		seen[word] = true
		var v string
		one := d.AllArgs(&v)
		switch word {
		case "ca":
			if s.CA = v; !one || v == "" {
				return d.Err("audit syslog: ca wants a file")
			}
		case "timeout":
			t, err := caddy.ParseDuration(v)
			if err != nil || !one || t <= 0 || t > longestTimeout {
				return d.Errf("audit syslog: timeout '%s' is no duration up to %s", v, longestTimeout)
			}
			s.Timeout = caddy.Duration(t)
		default:
			return d.Errf("audit syslog has no option '%s'; there are: ca, timeout", word)
		}
		if d.NextBlock(nesting + 1) {
			return d.Errf("audit syslog: %s has no options, found '%s'", word, d.Val())
		}
	}
	return nil
}

// count frames a message by its octets.
func count(m []byte) []byte {
	return append(append(strconv.AppendInt(nil, int64(len(m)), 10), ' '), m...)
}

// Interface guards
var (
	_ audit.Sink            = (*Sink)(nil)
	_ caddy.Provisioner     = (*Sink)(nil)
	_ caddy.Validator       = (*Sink)(nil)
	_ caddy.CleanerUpper    = (*Sink)(nil)
	_ caddyfile.Unmarshaler = (*Sink)(nil)
)
