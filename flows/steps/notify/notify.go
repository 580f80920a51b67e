// Package notify is the step that sends a message to the person, or to an address.
package notify

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() {
	caddy.RegisterModule(Notify{})
}

// Notify sends one message by a messenger. It holds nobody up: the message is on its
// way beside the flow, tried again for a few minutes and given up then, unless it is
// required. In its texts stand {user.<attribute>}, {request.host}, {request.ip},
// {request.path}, {flow}, {time} and, in a flow that an event started, {event.kind}
// and {event.reason}; what is missing is left out.
type Notify struct {
	// The messenger.
	Messenger string `json:"messenger"`
	// Where to; default {user.email}, which somebody vouches for. What people typed
	// themselves, as into a form, leads wherever they like.
	To string `json:"to,omitempty"`
	// The subject, one line. At most 200 characters are sent.
	Subject string `json:"subject,omitempty"`
	// The text. Needed.
	Text string `json:"text"`
	// Nobody gets on before the message was taken; default: it is sent beside.
	Required bool `json:"required,omitempty"`
	// The file and line it was written at.
	Source string `json:"source,omitempty"`

	to, subject, text flows.Template
	by                flows.Messenger
	now               func() time.Time
}

const (
	vouched = "{user.email}"
	patient = 10 * time.Second // with a messenger that everybody waits for
)

var known = []string{"request.host", "request.ip", "request.path", "flow", "time", "event.kind", "event.reason"}

// CaddyModule returns the Caddy module information.
func (Notify) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.steps.notify", New: func() caddy.Module { return new(Notify) }}
}

// Validate refuses what does not depend on other guests.
func (n *Notify) Validate() error {
	switch {
	case n.Messenger == "":
		return errors.New("notify names no messenger")
	case n.Text == "":
		return fmt.Errorf("notify %s says nothing; as in: text \"{user.name} has signed in.\"", n.Messenger)
	}
	return n.parse()
}

func (n *Notify) parse() (err error) {
	to := n.To
	if to == "" {
		to = vouched
	}
	for _, t := range []struct {
		into *flows.Template
		text string
	}{{&n.to, to}, {&n.subject, n.Subject}, {&n.text, n.Text}} {
		if *t.into, err = flows.ParseTemplate(t.text, known...); err != nil {
			return fmt.Errorf("notify %s: %w", n.Messenger, err)
		}
	}
	return nil
}

// Bind finds the messenger.
func (n *Notify) Bind(r flows.Registry) (err error) {
	if err = n.parse(); err != nil {
		return err
	}
	n.now = r.Now
	n.by, err = r.Messenger(n.Messenger)
	return err
}

// Enter sends, or has it sent.
func (n *Notify) Enter(ctx context.Context, x *flows.Execution) (flows.Outcome, error) {
	m, err := n.message(x)
	if err == nil {
		err = n.send(ctx, m)
	}
	if err != nil && n.Required {
		return nil, flows.Refuse(flows.ReasonUnsent, fmt.Errorf("%s: notify %s: %w: %w", n.Source, n.Messenger, flows.ErrUnavailable, err))
	}
	return flows.Continue(), nil
}

// EnterClient sends nothing: a program shows who it is with each request, and nobody
// wants to read of each.
func (n *Notify) EnterClient(context.Context, *flows.Execution) (flows.Outcome, error) {
	return flows.Continue(), nil
}

func (n *Notify) send(ctx context.Context, m flows.Message) error {
	if p, ok := n.by.(flows.Poster); ok && !n.Required {
		p.Post(ctx, m)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	return n.by.Send(ctx, m)
}

// message fills in the texts. Its id is that of the run's step: a second try is no
// second message.
func (n *Notify) message(x *flows.Execution) (flows.Message, error) {
	other := n.facts(x)
	to, whole := n.to.Of(x.User, other)
	if !whole || to == "" {
		return flows.Message{}, errors.New("nothing is known to send it to")
	}
	m := flows.Message{Kind: "notice", To: to, Language: x.Language}
	m.Subject, _ = n.subject.Of(x.User, other)
	m.Text, _ = n.text.Of(x.User, other)
	if x.ID != "" {
		sum := sha256.Sum256([]byte(x.ID + "\x00" + n.Source + "\x00" + strconv.Itoa(x.PC)))
		m.ID = base64.RawURLEncoding.EncodeToString(sum[:18])
	}
	return m, nil
}

func (n *Notify) facts(x *flows.Execution) func(string) string {
	f := x.Facts()
	return func(name string) string {
		switch name {
		case "request.host":
			return f.Request.Host
		case "request.ip":
			return f.Request.IP
		case "request.path":
			return f.Request.Path
		case "flow":
			return x.Flow
		case "time":
			return n.now().UTC().Format("2006-01-02 15:04 UTC")
		case "event.kind":
			if x.Event != nil {
				return x.Event.Kind
			}
		case "event.reason":
			if x.Event != nil {
				return string(x.Event.Reason)
			}
		}
		return ""
	}
}

// Conditions are what it reads; a text that names nobody may come before a login.
func (n *Notify) Conditions() []flows.Named {
	for _, t := range []flows.Template{n.to, n.subject, n.text} {
		if len(t.Reads()) > 0 {
			return []flows.Named{needsUser(n.Source)}
		}
	}
	return nil
}

type needsUser string

func (needsUser) Reads() []string  { return []string{"user.key"} }
func (n needsUser) Source() string { return string(n) }

// Reaches is the messenger: another meaning of it restarts runs (I28).
func (n *Notify) Reaches() []string { return []string{"messenger:" + n.Messenger} }

// Outward says that it talks to others (I26).
func (n *Notify) Outward() {}

// SourceLine is the file and line.
func (n *Notify) SourceLine() string { return n.Source }

// UnmarshalCaddyfile sets up the step from Caddyfile tokens. Syntax:
//
//	notify <messenger> {
//	    to      <address>
//	    subject "<line>"
//	    text    "<text>"
//	    required
//	}
func (n *Notify) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the name of the step
	n.Source = fmt.Sprintf("%s:%d", filepath.Base(d.File()), d.Line())
	args := d.RemainingArgs()
	if len(args) != 1 {
		return d.Errf("notify takes the name of a messenger, but got %d words", len(args))
	}
	n.Messenger = args[0]
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word, args := d.Val(), d.RemainingArgs()
		field := map[string]*string{"to": &n.To, "subject": &n.Subject, "text": &n.Text}[word]
		switch {
		case word == "required" && len(args) == 0 && !n.Required:
			n.Required = true
		case field == nil && word != "required":
			return d.Errf("notify has no option '%s'; there are: required, subject, text, to", word)
		case field == nil || *field != "" || len(args) != 1 || args[0] == "":
			return d.Errf("%s is written twice, or does not take %d words (write a text in quotes)", word, len(args))
		default:
			*field = args[0]
		}
	}
	if err := n.Validate(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

var (
	_ flows.Step            = (*Notify)(nil)
	_ flows.Binder          = (*Notify)(nil)
	_ flows.Consumer        = (*Notify)(nil)
	_ flows.Reacher         = (*Notify)(nil)
	_ flows.Outward         = (*Notify)(nil)
	_ flows.ClientStep      = (*Notify)(nil)
	_ flows.Sourced         = (*Notify)(nil)
	_ caddy.Validator       = (*Notify)(nil)
	_ caddyfile.Unmarshaler = (*Notify)(nil)
)
