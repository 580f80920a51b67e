// Package smtp sends messages to people by e-mail, through a mail server that
// takes them from us (RFC 5321, RFC 6409).
package smtp

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

func init() { caddy.RegisterModule(new(Messenger)) }

// usualTimeout is how long handing over one message may take.
const usualTimeout = 15 * time.Second

// Messenger hands each message to a mail server, over TLS: by STARTTLS, which the
// server must offer, or from the first byte. A server on this machine may do
// without, as long as no `ca` is named. Every message has one recipient, is plain
// text, and asks that nobody's absence notice answers it (RFC 3834).
type Messenger struct {
	// The mail server: host or host:port. Default port: 587, with implicit_tls 465.
	Server string `json:"server"`
	// The sender: noreply@example.com, or with a name: "ACME <noreply@example.com>".
	From string `json:"from"`
	// Our name at the server (AUTH); default: none is asked for.
	User string `json:"user,omitempty"`
	// Our password there; better a placeholder, {file./abs/path} or {env.X}.
	Password string `json:"password,omitempty"`
	// TLS from the first byte instead of STARTTLS.
	ImplicitTLS bool `json:"implicit_tls,omitempty"`
	// Send without TLS to a server that is not on this machine: everybody on the way
	// reads the codes, and the password.
	InsecurePlaintext bool `json:"insecure_plaintext,omitempty"`
	// Files of certificates (PEM) that the server's is verified with; default: the
	// system's.
	CA []string `json:"ca,omitempty"`
	// How long handing over one message may take; default 15s.
	Timeout caddy.Duration `json:"timeout,omitempty"`
	// A folder with words of your own: <kind>.txt or <kind>.<language>.txt, as
	// code.de.txt. The first line is the subject, the second is empty, the rest is the
	// text. {host}, {code} and the like stand for the values of that kind, {text} for
	// our own words, {approves} for the lines that say what a code is for.
	Templates string `json:"templates,omitempty"`

	log       *zap.Logger
	host      string
	port      int
	from      mail.Address
	password  string
	tls       *tls.Config // nil: none
	templates map[string]template
}

// CaddyModule returns the Caddy module information.
func (*Messenger) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.messengers.smtp", New: func() caddy.Module { return new(Messenger) }}
}

// Provision resolves the password and reads the files. It touches no network.
func (m *Messenger) Provision(ctx caddy.Context) (err error) {
	m.log = ctx.Logger()
	if err := m.check(); err != nil {
		return err
	}
	if m.password, err = caddy.NewReplacer().ReplaceOrErr(m.Password, true, true); err != nil {
		return fmt.Errorf("auth: %w", err)
	}
	if m.password = strings.TrimRight(m.password, "\r\n"); m.password == "" && m.User != "" {
		return errors.New("auth: the password is empty")
	}
	if m.User != "" && !strings.Contains(m.Password, "{") {
		m.log.Warn("secret stands in the configuration and can be read at /config/; use {file./…} or {env.…}", zap.String("field", "password"), zap.String("server", m.Server))
	}
	if err := m.provisionTLS(); err != nil {
		return err
	}
	if m.Templates != "" {
		m.templates, err = loadTemplates(m.Templates)
	}
	return err
}

// provisionTLS: none only where the operator said so, or to this machine.
func (m *Messenger) provisionTLS() error {
	switch {
	case m.InsecurePlaintext:
		m.log.Warn("messages go to the mail server in the clear: everybody on the way reads the codes", zap.String("server", m.Server))
		return nil
	case outbound.Loopback(m.host) && len(m.CA) == 0 && !m.ImplicitTLS:
		return nil
	}
	m.tls = &tls.Config{ServerName: m.host, MinVersion: tls.VersionTLS12}
	for _, name := range m.CA {
		pem, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("ca: %w", err)
		}
		if m.tls.RootCAs == nil {
			m.tls.RootCAs = x509.NewCertPool()
		}
		if !m.tls.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("ca: %s holds no certificate (PEM)", name)
		}
	}
	return nil
}

// check refuses what can be seen without secrets, and splits the addresses.
func (m *Messenger) check() error {
	if m.Server == "" {
		return errors.New("smtp needs the mail server: server <host>[:<port>]")
	}
	m.host, m.port = m.Server, 587
	if m.ImplicitTLS {
		m.port = 465
	}
	if host, port, err := net.SplitHostPort(m.Server); err == nil && !strings.Contains(m.Server, "/") {
		n, err := strconv.Atoi(port)
		if err != nil || n < 1 || n > 65535 {
			return fmt.Errorf("server '%s': '%s' is no port", m.Server, port)
		}
		m.host, m.port = host, n
	}
	if m.host == "" || strings.ContainsAny(m.host, "/@ {}") || strings.Contains(m.host, ":") && net.ParseIP(m.host) == nil {
		return fmt.Errorf("server '%s' is no host or host:port, as smtp.example.com:587", m.Server)
	}
	if m.From == "" {
		return errors.New("smtp needs the sender: from <address>")
	}
	from, err := mail.ParseAddress(m.From)
	if err != nil || !plain(m.From) {
		return fmt.Errorf("from '%s' is no address, as noreply@example.com or \"ACME <noreply@example.com>\"", m.From)
	}
	m.from = *from
	switch {
	case (m.User == "") != (m.Password == ""):
		return errors.New("auth wants a name and a password")
	case m.ImplicitTLS && m.InsecurePlaintext:
		return errors.New("implicit_tls and insecure_plaintext exclude each other")
	case len(m.CA) > 0 && m.InsecurePlaintext:
		return errors.New("ca and insecure_plaintext exclude each other")
	case m.Timeout < 0:
		return errors.New("timeout must not be negative")
	}
	return nil
}

// Mails is always so.
func (*Messenger) Mails() bool { return true }

// Interface guards
var (
	_ caddy.Provisioner     = (*Messenger)(nil)
	_ caddyfile.Unmarshaler = (*Messenger)(nil)
	_ flows.Mailer          = (*Messenger)(nil)
)
