// Package webhook posts the audit trail to a service, one event a request.
package webhook

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
	"github.com/sallyport-gateway/sallyport/flows/outbound"
	"github.com/sallyport-gateway/sallyport/flows/webhook"
)

func init() { caddy.RegisterModule(new(Sink)) }

const (
	usualTimeout   = 2 * time.Second
	longestTimeout = 5 * time.Second // the trail waits no longer
)

// Sink posts every event as JSON, signed as Standard Webhooks are. An entry is written
// once the service answers a status 2xx: whoever signs in waits for it. What waits,
// because the service does not answer, is in memory; so where entries must outlive the
// process, a file beside it is the trail, and this says on_error continue.
type Sink struct {
	audit.SinkOptions

	// Where to post: https://, or http:// on loopback only. Placeholders such as
	// {env.X} or {file./abs/path} are resolved when the config is loaded.
	URL string `json:"url"`
	// What requests are signed with, 16 bytes or more each; whsec_… is base64. Better
	// placeholders, {file./abs/path} or {env.X}. Several sign beside each other, so
	// that one can be replaced. Needed.
	Secrets []string `json:"secrets,omitempty"`
	// How long the answer may take; default 2s, at most 5s.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	address string
	keys    webhook.Keys
	client  *http.Client
	now     func() time.Time
}

// CaddyModule returns the Caddy module information.
func (*Sink) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.audit.webhook", New: func() caddy.Module { return new(Sink) }}
}

var errURL = errors.New("audit webhook: the url is no address such as https://hooks.example.com/trail; http:// is for loopback only")

// Provision resolves address and secrets. It touches no network, and no error holds
// any of it.
func (s *Sink) Provision(ctx caddy.Context) (err error) {
	repl := caddy.NewReplacer()
	if s.address, err = repl.ReplaceOrErr(s.URL, true, true); err != nil {
		return fmt.Errorf("audit webhook: url: %w", err)
	}
	if s.address = strings.TrimSpace(s.address); !webhook.Usable(s.address) {
		return errURL
	}
	if s.keys, err = webhook.ParseKeys(s.Secrets, func(s string) (string, error) { return repl.ReplaceOrErr(s, true, true) }); err != nil {
		return fmt.Errorf("audit webhook: %w", err)
	}
	if slices.ContainsFunc(s.Secrets, func(s string) bool { return !strings.Contains(s, "{") }) {
		ctx.Logger().Warn("secret stands in the configuration and can be read at /config/; use {file./…} or {env.…}", zap.String("field", "secret"))
	}
	return nil
}

// Validate refuses what does not depend on other guests.
func (s *Sink) Validate() error {
	switch {
	case len(s.Secrets) == 0:
		return errors.New("audit webhook has no secret, so the service could not tell who writes; as in: secret {file./run/secrets/trail}")
	case s.Timeout < 0 || time.Duration(s.Timeout) > longestTimeout:
		return fmt.Errorf("audit webhook: timeout is at most %s: people wait", longestTimeout)
	}
	return nil
}

// Bind takes the clock and the one HTTP client, which trusts the host that is written
// here and no other, and is led nowhere else.
func (s *Sink) Bind(r flows.Registry) error {
	u, err := url.Parse(s.address)
	if err != nil {
		return errURL
	}
	client := *r.Outbound(u.Host)
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	s.client, s.now = &client, r.Now
	return nil
}

// Write posts one event.
func (s *Sink) Write(ctx context.Context, e audit.Event) error {
	if s.client == nil {
		return errors.New("audit webhook: not bound")
	}
	limit := usualTimeout
	if s.Timeout > 0 {
		limit = time.Duration(s.Timeout)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := s.post(ctx, e); err != nil {
		return fmt.Errorf("audit webhook: %w", err)
	}
	return nil
}

func (s *Sink) post(ctx context.Context, e audit.Event) error {
	line, err := e.Line()
	if err != nil {
		return err
	}
	body, err := json.Marshal(struct {
		Type string          `json:"type"`
		Time time.Time       `json:"timestamp"`
		Data json.RawMessage `json:"data"`
	}{"audit." + string(e.Kind), e.Time, line})
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.address, bytes.NewReader(body))
	if err != nil {
		return errors.New("the address cannot be used") // err would quote it
	}
	sum := sha256.Sum256(body) // so that a second try is known for one
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "Sallyport")
	s.keys.Sign(r.Header, "msg_"+base64.RawURLEncoding.EncodeToString(sum[:18]), s.now(), body)
	res, err := s.client.Do(r)
	if err != nil {
		return outbound.Unquoted(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection is used again
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("it answers %d", res.StatusCode)
	}
	return nil
}

// UnmarshalCaddyfile sets up the sink from Caddyfile tokens. Syntax:
//
//	audit webhook <url> {
//	    secret  <secret…>
//	    timeout <duration>
//	}
func (s *Sink) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	if !d.AllArgs(&s.URL) || s.URL == "" {
		return d.Err("audit webhook takes exactly one url")
	}
	if !strings.Contains(s.URL, "{") && !webhook.Usable(s.URL) {
		return d.WrapErr(errURL)
	}
	seen := map[string]bool{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word := d.Val()
		if seen[word] {
			return d.Errf("audit webhook: %s is written twice", word)
		}
		seen[word] = true
		args := d.RemainingArgs()
		switch word {
		case "secret":
			if s.Secrets = args; len(args) == 0 {
				return d.Err("audit webhook: secret wants a secret, better a placeholder such as {file./run/secrets/trail}")
			}
		case "timeout":
			if len(args) != 1 {
				return d.Err("audit webhook: timeout wants a duration such as 2s")
			}
			t, err := caddy.ParseDuration(args[0])
			if err != nil || t <= 0 || t > longestTimeout {
				return d.Errf("audit webhook: timeout '%s' is no duration up to %s", args[0], longestTimeout)
			}
			s.Timeout = caddy.Duration(t)
		default:
			return d.Errf("audit webhook has no option '%s'; there are: secret, timeout", word)
		}
		if d.NextBlock(nesting + 1) {
			return d.Errf("audit webhook: %s has no options, found '%s'", word, d.Val())
		}
	}
	if len(s.Secrets) == 0 {
		return d.WrapErr(s.Validate())
	}
	return nil
}

// Interface guards
var (
	_ audit.Sink            = (*Sink)(nil)
	_ caddy.Provisioner     = (*Sink)(nil)
	_ caddy.Validator       = (*Sink)(nil)
	_ caddyfile.Unmarshaler = (*Sink)(nil)
	_ flows.Binder          = (*Sink)(nil)
)
