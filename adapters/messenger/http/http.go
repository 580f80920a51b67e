// Package http hands messages to people to a web service: an SMS gateway, or
// whatever takes a request with a text in it.
package http

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"
	"golang.org/x/net/http/httpguts"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

func init() { caddy.RegisterModule(new(Messenger)) }

// usualTimeout is how long one message may take, with all of its tries.
const usualTimeout = 15 * time.Second

// Messenger sends each message as one request. Any status 2xx says that it was
// taken. What may go better, no connection, 408, 429 and 5xx, is tried again after
// one and three seconds, as long as there is time.
//
// In the address, the headers and the fields stand {to}, {text}, {subject}, {code}, {host},
// {kind}, {language} and {id}, which is the same in every try, and secrets as
// {env.X} or {file./abs/path}.
type Messenger struct {
	// Where to: https://, or http:// on loopback only. What is filled in is escaped, and
	// may stand in path and query.
	URL string `json:"url"`
	// GET, POST (default) or PUT. A GET has no body.
	Method string `json:"method,omitempty"`
	// How the fields are sent: json (default) or form.
	Body string `json:"body,omitempty"`
	// The fields, in order. In JSON a dotted name makes an object: message.to.
	Fields []Field `json:"fields,omitempty"`
	// Headers to be sent, as Authorization.
	Headers []Field `json:"headers,omitempty"`
	// Our name at the service (RFC 7617); default: none.
	User string `json:"user,omitempty"`
	// Our password there; better a placeholder.
	Password string `json:"password,omitempty"`
	// How long one message may take, with all of its tries; default 15s.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	client          *http.Client
	address         text
	fields, headers []field
	user, password  string
	pause           func(context.Context, time.Duration) error
}

// Field is a field or a header.
type Field struct {
	// Its name.
	Name string `json:"name"`
	// Its value, with placeholders.
	Value string `json:"value"`
}

// CaddyModule returns the Caddy module information.
func (*Messenger) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.messengers.http", New: func() caddy.Module { return new(Messenger) }}
}

// Provision resolves the secrets. It touches no network.
func (m *Messenger) Provision(ctx caddy.Context) (err error) {
	if err := m.check(); err != nil {
		return err
	}
	m.pause = wait
	if m.address, err = parse(m.URL, true); err != nil {
		return fmt.Errorf("url: %w", err)
	}
	if m.fields, err = parseAll("field", m.Fields); err != nil {
		return err
	}
	if m.headers, err = parseAll("header", m.Headers); err != nil {
		return err
	}
	for i, s := range []struct {
		from string
		to   *string
	}{{m.User, &m.user}, {m.Password, &m.password}} {
		t, err := parse(s.from, true)
		if err != nil {
			return fmt.Errorf("basic_auth: %w", err)
		}
		if *s.to = t.of(flows.Message{}, plain); i == 1 && *s.to == "" && m.User != "" {
			return errors.New("basic_auth: the password is empty")
		}
	}
	if m.Password != "" && !strings.Contains(m.Password, "{") {
		ctx.Logger().Warn("secret stands in the configuration and can be read at /config/; use {file./…} or {env.…}", zap.String("field", "password"))
	}
	return nil
}

func parseAll(word string, list []Field) (out []field, err error) {
	for _, f := range list {
		t, err := parse(f.Value, true)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", word, f.Name, err)
		}
		out = append(out, field{f.Name, t})
	}
	return out, nil
}

// Bind takes the one HTTP client, which trusts the host that is written here.
func (m *Messenger) Bind(r flows.Registry) error {
	u, err := url.Parse(m.address.of(flows.Message{}, url.QueryEscape))
	if err != nil {
		return errors.New("url is no address once its secrets are filled in") // err would quote them
	}
	m.client = r.Outbound(u.Host)
	return nil
}

// check refuses what can be seen without secrets.
func (m *Messenger) check() error {
	before, _, _ := strings.Cut(m.URL, "{")
	u, err := url.Parse(before)
	switch {
	case m.URL == "":
		return errors.New("http needs an address: url <https://…>")
	case before != m.URL && strings.Count(before, "/") < 3:
		return fmt.Errorf("url '%s': placeholders may stand in path and query only", m.URL)
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.Fragment != "":
		return fmt.Errorf("url '%s' is no address such as https://sms.example.com/messages", m.URL)
	case u.User != nil:
		return errors.New("url holds a password; write: basic_auth <user> <password>")
	case u.Scheme == "http" && !outbound.Loopback(u.Hostname()):
		return fmt.Errorf("url '%s': http:// is for loopback only", m.URL)
	case !slices.Contains([]string{"", http.MethodGet, http.MethodPost, http.MethodPut}, m.Method):
		return fmt.Errorf("method '%s' is not GET, POST or PUT", m.Method)
	case m.Body != "" && m.Body != "json" && m.Body != "form":
		return fmt.Errorf("body '%s' is not json or form", m.Body)
	case m.Method == http.MethodGet && len(m.Fields) > 0:
		return errors.New("a GET has no fields; write them into the query of url")
	case (m.User == "") != (m.Password == ""):
		return errors.New("basic_auth wants a name and a password")
	case m.Timeout < 0:
		return errors.New("timeout must not be negative")
	}
	return m.checkFields()
}

func (m *Messenger) checkFields() error {
	all := []string{m.URL}
	for _, h := range m.Headers {
		if !httpguts.ValidHeaderFieldName(h.Name) {
			return fmt.Errorf("header '%s' is no name of a header", h.Name)
		}
		if _, err := parse(h.Value, false); err != nil {
			return fmt.Errorf("header %s: %w", h.Name, err)
		}
	}
	for i, f := range m.Fields {
		if f.Name == "" || slices.Contains(strings.Split(f.Name, "."), "") {
			return fmt.Errorf("field '%s' is no name of a field", f.Name)
		}
		if _, err := parse(f.Value, false); err != nil {
			return fmt.Errorf("field %s: %w", f.Name, err)
		}
		for _, o := range m.Fields[:i] {
			if o.Name == f.Name || m.Body != "form" && (strings.HasPrefix(f.Name, o.Name+".") || strings.HasPrefix(o.Name, f.Name+".")) {
				return fmt.Errorf("field %s and field %s exclude each other", o.Name, f.Name)
			}
		}
		all = append(all, f.Value)
	}
	if _, err := parse(m.URL, false); err != nil {
		return fmt.Errorf("url: %w", err)
	}
	for _, name := range []string{"{to}", "{text}"} {
		if !slices.ContainsFunc(all, func(s string) bool {
			return strings.Contains(s, name) || name == "{text}" && strings.Contains(s, "{code}")
		}) {
			return fmt.Errorf("neither url nor a field holds %s, so nobody would get anything", name)
		}
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner     = (*Messenger)(nil)
	_ caddyfile.Unmarshaler = (*Messenger)(nil)
	_ flows.Binder          = (*Messenger)(nil)
	_ flows.Messenger       = (*Messenger)(nil)
)
