package bearer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/sallyport-gateway/sallyport/adapters/internal/jwt"
	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

// Introspection is where the issuer tells whether a token is good (RFC 7662).
type Introspection struct {
	// URL of the introspection endpoint.
	URL string `json:"url"`
	// ClientID is our name there.
	ClientID string `json:"client_id"`
	// ClientSecret is our password there; better a placeholder, {file./abs/path} or {env.X}.
	ClientSecret string `json:"client_secret"`

	secret string
}

// The bounds of asking: what anybody sends must not become a flood for the issuer.
const (
	askMax     = 5 * time.Second
	maxAnswer  = 64 << 10
	maxAsking  = 32     // at a time
	maxRefused = 10_000 // tokens that were no good, and are not asked about again
	refusedFor = time.Minute
)

// asked is what is remembered of the asking.
type asked struct {
	refused *lru.Cache[[32]byte, time.Time] // until when
	turn    chan struct{}
	down    atomic.Pointer[error] // of the newest question; nil when it was answered
}

// Health answers nil when the newest exchange with the issuer went well.
func (p *Provider) Health() error {
	if p.asked == nil {
		return p.keys.Health()
	}
	if err := p.asked.down.Load(); err != nil {
		return *err
	}
	return nil
}

func (i *Introspection) check() error {
	if _, err := address("introspect", i.URL); err != nil {
		return err
	}
	if i.ClientID == "" || i.ClientSecret == "" {
		return errors.New("introspect takes an address, our id and our secret there")
	}
	return nil
}

func (p *Provider) provisionIntrospection(repl *caddy.Replacer) (err error) {
	i := p.Introspect
	if i.secret, err = repl.ReplaceOrErr(i.ClientSecret, true, true); err != nil {
		return fmt.Errorf("introspect: secret: %w", err)
	}
	if i.secret = strings.TrimRight(i.secret, "\r\n"); i.secret == "" {
		return errors.New("introspect: the secret is empty")
	}
	if !strings.Contains(i.ClientSecret, "{") {
		p.log.Warn("the secret of introspect stands in the configuration and can be read at /config/; use {file./…} or {env.…}")
	}
	return nil
}

func (p *Provider) introspectURL() string {
	if p.Introspect == nil {
		return ""
	}
	return p.Introspect.URL
}

// introspect asks about a token. A wrong one costs its sender's network: otherwise
// whoever makes up tokens would have us ask without end.
func (p *Provider) introspect(ctx context.Context, r *flows.Request, token string) (map[string]any, error) {
	sum := sha256.Sum256([]byte(token))
	if until, ok := p.asked.refused.Get(sum); ok && p.now().Before(until) {
		return nil, refusedf("not active a moment ago")
	}
	reserved, wait := p.budgets.Reserve(flows.BudgetKey{Space: "introspect", ID: flows.Network(r.IP), Limits: flows.LimitNetwork})
	if wait > 0 {
		return nil, flows.Refuse(flows.ReasonTooManyTries, &flows.WaitError{Wait: wait})
	}
	claims, err := p.ask(ctx, token)
	if down := err; err == nil {
		p.asked.down.Store(nil)
	} else if ctx.Err() == nil {
		p.asked.down.Store(&down)
	}
	if err == nil {
		err = p.judge(claims)
	}
	switch {
	case errors.Is(err, flows.ErrCredentials):
		p.asked.refused.Add(sum, p.now().Add(refusedFor))
		return nil, err
	case err != nil && ctx.Err() != nil: // who hangs up keeps the count
		return nil, err
	}
	reserved.Succeeded()
	return claims, err
}

// ask is the exchange. Whatever is not an answer of RFC 7662 §2.2 is no "no".
func (p *Provider) ask(ctx context.Context, token string) (map[string]any, error) {
	ctx, cancel := context.WithTimeout(outbound.WithMaxBody(ctx, maxAnswer), askMax)
	defer cancel()
	down := func(err error) error {
		return flows.Refuse(flows.ReasonProviderDown, fmt.Errorf("introspection at %s: %s", p.Introspect.URL, outbound.Short(err)))
	}
	select {
	case p.asked.turn <- struct{}{}:
		defer func() { <-p.asked.turn }()
	case <-ctx.Done():
		return nil, down(errors.New("too many tokens are being asked about"))
	}
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.Introspect.URL, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, down(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.SetBasicAuth(url.QueryEscape(p.Introspect.ClientID), url.QueryEscape(p.Introspect.secret)) // RFC 6749 §2.3.1
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, down(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, down(fmt.Errorf("answered %s", resp.Status))
	}
	if typ, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); typ != "application/json" {
		return nil, down(fmt.Errorf("answered '%s', not application/json", outbound.Clip(typ, 60)))
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, down(err)
	}
	claims, err := jwt.Object(b)
	if err != nil {
		return nil, down(err)
	}
	if _, ok := claims["active"].(bool); !ok {
		return nil, down(errors.New("the answer does not say whether the token is active"))
	}
	return claims, nil
}

// judge reads the answer: active, a bearer token, of our issuer, for us, now.
func (p *Provider) judge(c map[string]any) error {
	if c["active"] != true {
		return refusedf("not active")
	}
	if typ, there := c["token_type"]; there {
		if s, _ := typ.(string); !strings.EqualFold(s, scheme) && !strings.EqualFold(s, "access_token") {
			return refusedf("token_type is %s, not Bearer", outbound.Clip(fmt.Sprint(typ), 40))
		}
	}
	if iss, there := c["iss"]; there && p.issuer != "" && iss != p.issuer {
		return refusedf("of issuer %s", outbound.Clip(fmt.Sprint(iss), 200))
	}
	return p.current(c)
}
