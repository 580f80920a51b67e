// Package code is the factor of one-time codes that a messenger brings: six digits
// by e-mail, or as a text message to a telephone. Nobody sets it up: it can be asked
// of everybody whose address somebody vouches for.
//
// A code is good for five minutes, for five tries, and once; a new one ends the old
// one. Messages that nobody answers are bounded: one in half a minute and five in
// a quarter of an hour, for each person and each address; and there are a hundred a
// day.
package code

import (
	"fmt"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() {
	caddy.RegisterModule(new(Email))
	caddy.RegisterModule(new(SMS))
}

// Email asks for a code that was sent to the person's e-mail address.
type Email struct {
	// The messenger that brings the codes, by name.
	Messenger string `json:"messenger"`
	// Where they go: {user.<attribute>}, and text around it if there must be. The
	// attribute comes from the provider, or by lookup from a directory; what a form or
	// a step `set` gave is nobody's address. Default: {user.email}, for sms {user.phone}.
	To string `json:"to,omitempty"`

	kind      string // email or sms
	to        address
	messenger flows.Messenger
	vault     flows.Vault
}

// SMS asks for a code of six digits that was sent to the person's telephone. Nobody
// sets it up: it can be asked of everybody whose number somebody vouches for. The same
// limits hold as for codes by e-mail. Text messages can be read by others (NIST
// SP 800-63B §5.1.3.3): where you can, have people use an app or a key.
type SMS struct{ Email }

const (
	digitsOfCode = 6
	goodFor      = 5 * time.Minute
	maxTries     = 5
	maxSends     = 5 // of one challenge
)

// CaddyModule returns the Caddy module information.
func (*Email) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.factors.email", New: func() caddy.Module { return &Email{kind: "email"} }}
}

// CaddyModule returns the Caddy module information.
func (*SMS) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.factors.sms", New: func() caddy.Module { return &SMS{Email{kind: "sms"}} }}
}

// Provision fills the default.
func (f *Email) Provision(caddy.Context) (err error) {
	f.to, err = parseAddress(f.kind, f.To)
	return err
}

// Validate refuses what does not depend on other guests.
func (f *Email) Validate() error {
	if f.Messenger == "" {
		return fmt.Errorf("factor %s: who brings the codes? As in: messenger mail", f.kind)
	}
	_, err := parseAddress(f.kind, f.To)
	return err
}

// Names finds the messenger.
func (f *Email) Names(r flows.Registry) error {
	_, err := r.Messenger(f.Messenger)
	return err
}

// Bind finds the messenger and takes a place for codes.
func (f *Email) Bind(r flows.Registry) (err error) {
	f.vault = r.Vault("codes")
	f.messenger, err = r.Messenger(f.Messenger)
	return err
}

// Through is the messenger, by which notices go, too.
func (f *Email) Through() string { return f.Messenger }

// Labels are its buttons; it is never chosen to be set up.
func (f *Email) Labels() (use, setUp string) {
	if f.kind == "sms" {
		return "use_sms", ""
	}
	return "use_email", ""
}

// Imply: who has an address that somebody vouches for has the factor.
func (f *Email) Imply(u *flows.User) []flows.Record {
	if f.to.of(u) == "" {
		return nil
	}
	return []flows.Record{{ID: f.kind, Factor: f.kind}}
}

// UnmarshalCaddyfile sets up the factor from Caddyfile tokens. Syntax:
//
//	factor email {
//	    messenger <name>
//	    to        {user.<attribute>}
//	}
func (f *Email) UnmarshalCaddyfile(d *caddyfile.Dispenser) error { return f.unmarshal(d) }

// UnmarshalCaddyfile sets up the factor from Caddyfile tokens. Syntax:
//
//	factor sms {
//	    messenger <name>
//	    to        {user.<attribute>}
//	}
func (s *SMS) UnmarshalCaddyfile(d *caddyfile.Dispenser) error { return s.unmarshal(d) }

func (f *Email) unmarshal(d *caddyfile.Dispenser) error {
	d.Next() // the kind
	if d.NextArg() {
		return d.Errf("factor %s takes no argument; '%s' is too much", f.kind, d.Val())
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word, args := d.Val(), d.RemainingArgs()
		to := map[string]*string{"messenger": &f.Messenger, "to": &f.To}[word]
		switch {
		case to == nil:
			return d.Errf("factor %s has no option '%s'; there are: messenger, to", f.kind, word)
		case *to != "":
			return d.Errf("%s is there twice", word)
		case len(args) != 1 || strings.TrimSpace(args[0]) == "":
			return d.Errf("%s takes one argument, but got %d", word, len(args))
		}
		*to = args[0]
	}
	if err := f.Validate(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

// Interface guards
var (
	_ flows.Implied         = (*Email)(nil)
	_ flows.Sender          = (*Email)(nil)
	_ flows.Implied         = (*SMS)(nil)
	_ flows.Sender          = (*SMS)(nil)
	_ flows.Binder          = (*Email)(nil)
	_ flows.Namer           = (*Email)(nil)
	_ caddy.Provisioner     = (*Email)(nil)
	_ caddy.Validator       = (*Email)(nil)
	_ caddyfile.Unmarshaler = (*Email)(nil)
	_ caddyfile.Unmarshaler = (*SMS)(nil)
)
