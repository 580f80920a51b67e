// Package log writes messages to people into Caddy's own log, codes and all: for
// development, where nobody else reads it.
package log

import (
	"context"
	"errors"
	"strings"
	"unicode"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() { caddy.RegisterModule(new(Messenger)) }

// Messenger writes each message as one entry of the logger `identity.messengers.log`,
// and sends nothing. It is the one place where a code stands in a log: whoever reads
// that log can prove to be anybody. It says so when it is loaded and with every entry,
// at level WARN.
type Messenger struct {
	log *zap.Logger
}

// CaddyModule returns the Caddy module information.
func (*Messenger) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.messengers.log", New: func() caddy.Module { return new(Messenger) }}
}

// Provision takes the logger, and warns.
func (m *Messenger) Provision(ctx caddy.Context) error {
	m.log = ctx.Logger()
	m.log.Warn("codes are written into this log instead of being sent: whoever reads it can sign in as anybody; for development only")
	return nil
}

// Mails: any address will do.
func (*Messenger) Mails() bool { return true }

// Send writes the entry.
func (m *Messenger) Send(ctx context.Context, msg flows.Message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if msg.To == "" || strings.ContainsFunc(msg.To, unicode.IsControl) {
		return errors.New("the address is empty or holds a control character")
	}
	m.log.Warn("message not sent but shown here, code and all",
		zap.String("to", msg.To), zap.String("kind", msg.Kind), zap.String("language", msg.Language),
		zap.String("subject", msg.Subject), zap.String("text", msg.Text))
	return nil
}

// UnmarshalCaddyfile sets up the messenger from Caddyfile tokens. Syntax:
//
//	log
func (*Messenger) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the type
	if d.NextArg() {
		return d.Errf("messenger log takes no argument, but got '%s'", d.Val())
	}
	if d.NextBlock(d.Nesting()) {
		return d.Errf("messenger log has no options, but got '%s'", d.Val())
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner     = (*Messenger)(nil)
	_ caddyfile.Unmarshaler = (*Messenger)(nil)
	_ flows.Mailer          = (*Messenger)(nil)
)
