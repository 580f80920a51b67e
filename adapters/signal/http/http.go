// Package http is the signal that asks a service outside, such as a fraud service, and
// tells it afterwards what came of the login.
package http

import (
	"context"
	"encoding/json"
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

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/webhook"
)

func init() {
	caddy.RegisterModule(new(Signal))
}

// Signal posts chosen facts as JSON to a service, signed as Standard Webhooks are. It
// answers a score and perhaps reasons, and hears what came of each login and step-up
// that it was asked about. A service that does not answer in time, or not as it should,
// is unknown.
type Signal struct {
	// Where to post: https://, or http:// on loopback only. Placeholders such as
	// {env.X} or {file./abs/path} are resolved when the config is loaded.
	URL string `json:"url"`
	// What requests are signed with, 16 bytes or more each; whsec_… is base64. Better
	// placeholders, {file./abs/path} or {env.X}. Several sign beside each other, so
	// that one can be replaced. Needed.
	Secrets []string `json:"secrets,omitempty"`
	// What the service is told: user.<attribute>, request.host, request.path,
	// request.method, request.ip, request.user_agent, device.known, geo.country, auth.provider,
	// auth.method, auth.amr. Default: user.key and request.ip.
	Send []string `json:"send,omitempty"`
	// Where outcomes are posted, or off; default: where questions are.
	Outcome string `json:"outcome,omitempty"`
	// The service signs its answers with one of the secrets; others are not believed.
	SignedAnswers bool `json:"signed_answers,omitempty"`
	// How long an answer is used again for the same facts; default: it is not.
	Cache caddy.Duration `json:"cache,omitempty"`
	flows.SignalOptions

	address, outcome string
	keys             webhook.Keys
	client           *http.Client
	now              func() time.Time
	known            *cache
}

// CaddyModule returns the Caddy module information.
func (*Signal) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.signals.http", New: func() caddy.Module { return new(Signal) }}
}

// Provision resolves addresses and secrets. It touches no network, and no error holds
// any of them.
func (s *Signal) Provision(ctx caddy.Context) (err error) {
	if err := s.check(); err != nil {
		return err
	}
	repl := caddy.NewReplacer()
	if s.address, err = resolve(repl, "url", s.URL); err != nil {
		return err
	}
	s.outcome = s.address
	if s.Outcome == off {
		s.outcome = ""
	} else if s.Outcome != "" {
		if s.outcome, err = resolve(repl, "outcome", s.Outcome); err != nil {
			return err
		}
	}
	if s.keys, err = webhook.ParseKeys(s.Secrets, func(s string) (string, error) { return repl.ReplaceOrErr(s, true, true) }); err != nil {
		return err
	}
	if slices.ContainsFunc(s.Secrets, func(s string) bool { return !strings.Contains(s, "{") }) {
		ctx.Logger().Warn("secret stands in the configuration and can be read at /config/; use {file./…} or {env.…}", zap.String("field", "secret"))
	}
	return nil
}

const off = "off"

func resolve(repl *caddy.Replacer, what, text string) (string, error) {
	address, err := repl.ReplaceOrErr(text, true, true)
	if err != nil {
		return "", fmt.Errorf("%s: %w", what, err)
	}
	if address = strings.TrimSpace(address); !webhook.Usable(address) {
		return "", notUsable(what)
	}
	return address, nil
}

// notUsable quotes nothing: an address may hold a secret.
func notUsable(what string) error {
	return fmt.Errorf("%s is no address such as https://fraud.example.com/score; http:// is for loopback only", what)
}

// sendable is what can be sent beside attributes of the user.
var sendable = []string{
	"request.host", "request.path", "request.method", "request.ip", "request.user_agent",
	"device.known", "geo.country", "auth.provider", "auth.method", "auth.amr",
}

func (s *Signal) check() error {
	switch {
	case s.URL == "":
		return errors.New("http names no address, such as: url https://fraud.example.com/score")
	case !strings.Contains(s.URL, "{") && !webhook.Usable(s.URL):
		return notUsable("url")
	case s.Outcome != "" && s.Outcome != off && !strings.Contains(s.Outcome, "{") && !webhook.Usable(s.Outcome):
		return notUsable("outcome")
	case len(s.Secrets) == 0:
		return errors.New("http has no secret, so the service could not tell who asks; as in: secret {file./run/secrets/fraud}")
	case s.Cache < 0:
		return errors.New("cache must not be negative")
	}
	for _, name := range s.Send {
		path, ours := strings.CutPrefix(name, "user.")
		if (!ours || path == "") && !slices.Contains(sendable, name) {
			return fmt.Errorf("http cannot send '%s'; there are: user.<attribute>, %s", name, strings.Join(sendable, ", "))
		}
	}
	return nil
}

// Bind takes the clock and the one HTTP client, which trusts the hosts that are written
// here and no other, and is led nowhere else.
func (s *Signal) Bind(r flows.Registry) error {
	var hosts []string
	for _, a := range []string{s.address, s.outcome} {
		u, err := url.Parse(a)
		if err != nil {
			return notUsable("url")
		}
		if u.Host != "" && !slices.Contains(hosts, u.Host) {
			hosts = append(hosts, u.Host)
		}
	}
	client := *r.Outbound(hosts...)
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	s.client, s.now, s.known = &client, r.Now, &cache{keep: time.Duration(s.Cache)}
	return nil
}

// Read asks the service.
func (s *Signal) Read(ctx context.Context, f *flows.Facts, _ json.RawMessage) (flows.Reading, error) {
	facts, ok := s.facts(f)
	if !ok {
		return flows.UnknownReading("there is nobody and nothing to ask about"), nil
	}
	now := s.now()
	if r, ok := s.known.get(facts, now); ok {
		return r, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.ReadFor())
	defer cancel()
	r, err := s.ask(ctx, facts, now)
	if err != nil {
		return flows.Reading{}, fmt.Errorf("asking the service: %w", err)
	}
	s.known.put(facts, r, now)
	return r, nil
}

// Outward says that it talks to others: who only wants to know what would happen must
// not read it (I26), and what it is told waits in the store until it was told.
func (s *Signal) Outward() {}

// Interface guards
var (
	_ caddy.Provisioner     = (*Signal)(nil)
	_ caddyfile.Unmarshaler = (*Signal)(nil)
	_ flows.Binder          = (*Signal)(nil)
	_ flows.Reporter        = (*Signal)(nil)
	_ flows.Outward         = (*Signal)(nil)
)
