// Package call is the step that asks a service of the operator's own what to do.
package call

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/webhook"
)

func init() {
	caddy.RegisterModule(Call{})
}

// Call posts chosen facts as JSON to a service and does what it answers: gives the
// user attributes, takes a branch, or refuses the person. The request is signed as
// Standard Webhooks are. What is not an answer to be understood is no answer.
type Call struct {
	// Where to post: https://, or http:// on loopback only. Placeholders such as
	// {env.X} or {file./abs/path} are resolved when the config is loaded.
	URL string `json:"url"`
	// What requests are signed with, 16 bytes or more each; whsec_… is base64. Better
	// placeholders, {file./abs/path} or {env.X}. Several sign beside each other, so
	// that one can be replaced. Needed.
	Secrets []string `json:"secrets,omitempty"`
	// What the service is told: user.<attribute>, request.host, request.path,
	// request.method, request.ip, auth.provider, auth.method, auth.acr, auth.amr. Default: user.key.
	Send []string `json:"send,omitempty"`
	// The attributes that the answer must give; reserved names cannot be given, and
	// what else it gives is not taken. They stay when the provider's claims are renewed.
	Attributes []string `json:"attributes,omitempty"`
	// What it gives replaces an attribute the user has already; default: it stays.
	Overwrite bool `json:"overwrite,omitempty"`
	// Blocks of steps that the answer may choose from; default: none.
	Branches []*Branch `json:"branches,omitempty"`
	// How long the answer may take; default 2s, at most 30s.
	Timeout caddy.Duration `json:"timeout,omitempty"`
	// What happens when the service does not answer, or not as it should: deny (the
	// default: 503) or continue, without attributes and behind all branches.
	OnError string `json:"on_error,omitempty"`
	// The file and line it was written at.
	Source string `json:"source,omitempty"`

	read    reader
	address string
	keys    webhook.Keys
	blocks  [][]flows.Step
	client  *http.Client
	now     func() time.Time
	log     *zap.Logger
}

// Branch is a block of steps.
type Branch struct {
	// The name that the answer chooses it by.
	Name string `json:"name"`
	// The steps that are taken.
	StepsRaw []json.RawMessage `json:"steps,omitempty" caddy:"namespace=identity.steps inline_key=step"`

	steps []flows.Step
}

const (
	deny           = "deny"
	goOn           = "continue"
	usualTimeout   = 2 * time.Second
	longestTimeout = 30 * time.Second
)

// CaddyModule returns the Caddy module information.
func (Call) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.steps.call", New: func() caddy.Module { return new(Call) }}
}

// Provision resolves address and secrets, and loads the steps of the branches. It
// touches no network.
func (c *Call) Provision(ctx caddy.Context) (err error) {
	c.log = ctx.Logger()
	if err := c.resolve(); err != nil {
		return err
	}
	if slices.ContainsFunc(c.Secrets, func(s string) bool { return !strings.Contains(s, "{") }) {
		c.log.Warn("secret stands in the configuration and can be read at /config/; use {file./…} or {env.…}", zap.String("field", "secret"), zap.String("at", c.Source))
	}
	for i, b := range c.Branches {
		if b == nil {
			return fmt.Errorf("branch %d of call is null", i)
		}
		b.steps = nil
		if len(b.StepsRaw) == 0 {
			continue
		}
		mods, err := ctx.LoadModule(b, "StepsRaw")
		if err != nil {
			return fmt.Errorf("call: branch %s: %w", b.Name, err)
		}
		for _, m := range mods.([]any) {
			s, ok := m.(flows.Step)
			if !ok {
				return fmt.Errorf("call: branch %s: %T is no step", b.Name, m)
			}
			b.steps = append(b.steps, s)
		}
	}
	return nil
}

// resolve fills in what the configuration leaves to files and the environment. No
// error holds any of it.
func (c *Call) resolve() (err error) {
	repl := caddy.NewReplacer()
	if c.address, err = repl.ReplaceOrErr(c.URL, true, true); err != nil {
		return fmt.Errorf("call: url: %w", err)
	}
	c.address = strings.TrimSpace(c.address)
	if !webhook.Usable(c.address) {
		return errors.New("call: the url is no address such as https://hooks.example.com/login; http:// is for loopback only") // never quoted: it may hold a secret
	}
	if c.keys, err = webhook.ParseKeys(c.Secrets, func(s string) (string, error) { return repl.ReplaceOrErr(s, true, true) }); err != nil {
		return fmt.Errorf("call: %w", err)
	}
	return nil
}

var validAttribute = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// Validate refuses what does not depend on other guests.
func (c *Call) Validate() error {
	switch {
	case c.URL == "":
		return errors.New("call names no address")
	case !strings.Contains(c.URL, "{") && !webhook.Usable(c.URL):
		return errors.New("call: the url is no address such as https://hooks.example.com/login; http:// is for loopback only")
	case len(c.Secrets) == 0:
		return errors.New("call has no secret, so the service could not tell who asks; as in: secret {file./run/secrets/hook}")
	case c.Timeout < 0 || time.Duration(c.Timeout) > longestTimeout:
		return fmt.Errorf("call: timeout is at most %s: people wait", longestTimeout)
	case c.OnError != "" && c.OnError != deny && c.OnError != goOn:
		return fmt.Errorf("call: on_error is deny or continue, not '%s'", c.OnError)
	}
	if err := c.validateNames(); err != nil {
		return err
	}
	for i, b := range c.Branches {
		switch {
		case !flows.ValidName(b.Name):
			return fmt.Errorf("call: '%s' cannot name a branch: [a-z0-9_-]+", b.Name)
		case slices.ContainsFunc(c.Branches[:i], func(o *Branch) bool { return o.Name == b.Name }):
			return fmt.Errorf("call has branch '%s' twice", b.Name)
		}
	}
	return nil
}

func (c *Call) validateNames() error {
	for _, name := range c.Send {
		path, ours := strings.CutPrefix(name, "user.")
		if (!ours || path == "") && !slices.Contains(sendable, name) {
			return fmt.Errorf("call cannot send '%s'; there are: user.<attribute>, %s", name, strings.Join(sendable, ", "))
		}
	}
	for i, name := range c.Attributes {
		switch {
		case !validAttribute.MatchString(name):
			return fmt.Errorf("call: '%s' cannot name an attribute: letters, digits, _ and -", name)
		case slices.Contains(flows.ReservedAttributes, name):
			return fmt.Errorf("call: user.%s is reserved, as are: %s", name, strings.Join(flows.ReservedAttributes, ", "))
		case slices.Contains(c.Attributes[:i], name):
			return fmt.Errorf("call takes user.%s twice", name)
		}
	}
	return nil
}

// Bind takes the clock and the one HTTP client, which trusts the host that is written
// here and no other, and is led nowhere else.
func (c *Call) Bind(r flows.Registry) error {
	c.now, c.blocks = r.Now, nil
	for _, b := range c.Branches {
		c.blocks = append(c.blocks, b.steps)
	}
	u, err := url.Parse(c.address)
	if err != nil {
		return errors.New("call: the url is no address")
	}
	client := *r.Outbound(u.Host)
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.client = &client
	return nil
}

// Enter asks the service and does what it says.
func (c *Call) Enter(ctx context.Context, x *flows.Execution) (flows.Outcome, error) {
	if x.User == nil && c.needsUser() {
		return nil, errors.New("call: nobody has signed in yet")
	}
	limit := usualTimeout
	if c.Timeout > 0 {
		limit = time.Duration(c.Timeout)
	}
	asking, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	a, err := c.ask(asking, x)
	switch {
	case err != nil && ctx.Err() != nil: // the person left
		return nil, ctx.Err()
	case err != nil && c.OnError == goOn:
		if c.log != nil {
			c.log.Warn("a service was not understood, and the flow went on", zap.String("at", c.Source), zap.Error(err))
		}
		return flows.Take(-1), nil
	case err != nil:
		return nil, flows.Refuse(flows.ReasonServiceDown, fmt.Errorf("%s: call: %w: %w", c.Source, flows.ErrUnavailable, err))
	case a.deny:
		return flows.Deny(flows.Denial{Reason: flows.ReasonNotAllowed, Text: a.text, Source: c.Source}), nil
	}
	for _, name := range c.Attributes {
		if _, has := x.User.Attribute(name); c.Overwrite || !has {
			x.SetDerived(flows.Derived{Name: name, Source: c.Source}, a.attributes[name])
		}
	}
	return flows.Take(a.branch), nil
}

// Blocks are those of the branches; the answer may choose none.
func (c *Call) Blocks() ([][]flows.Step, bool) { return c.blocks, false }

// Labels are the names of the branches.
func (c *Call) Labels() []string {
	out := make([]string, len(c.Branches))
	for i, b := range c.Branches {
		out[i] = b.Name
	}
	return out
}

// Produces are the attributes, if nobody gets past it without them.
func (c *Call) Produces() []string {
	if c.OnError == goOn {
		return nil
	}
	return c.names()
}

// MayProduce are the attributes, if somebody may get past it without them.
func (c *Call) MayProduce() []string {
	if c.OnError == goOn {
		return c.names()
	}
	return nil
}

func (c *Call) names() (names []string) {
	for _, n := range c.Attributes {
		names = append(names, "user."+n)
	}
	return names
}

// needsUser reports whether it says or gives something of a person.
func (c *Call) needsUser() bool {
	return len(c.Attributes) > 0 || len(c.Send) == 0 || slices.ContainsFunc(c.Send, func(n string) bool { return strings.HasPrefix(n, "user.") })
}

// Conditions say whether somebody must have signed in before. An attribute that is
// not there is not sent.
func (c *Call) Conditions() []flows.Named {
	if !c.needsUser() {
		return nil
	}
	return []flows.Named{needsUser(c.Source)}
}

type needsUser string

func (needsUser) Reads() []string  { return []string{"user.key"} }
func (n needsUser) Source() string { return string(n) }

// Outward says that it talks to others: who only wants to know what would happen must
// not run it (I26).
func (c *Call) Outward() {}

// SourceLine is the file and line.
func (c *Call) SourceLine() string { return c.Source }

var (
	_ flows.Container       = (*Call)(nil)
	_ flows.Labelled        = (*Call)(nil)
	_ flows.Binder          = (*Call)(nil)
	_ flows.Producer        = (*Call)(nil)
	_ flows.Perhaps         = (*Call)(nil)
	_ flows.Consumer        = (*Call)(nil)
	_ flows.Outward         = (*Call)(nil)
	_ flows.Sourced         = (*Call)(nil)
	_ caddy.Provisioner     = (*Call)(nil)
	_ caddy.Validator       = (*Call)(nil)
	_ caddyfile.Unmarshaler = (*Call)(nil)
)
