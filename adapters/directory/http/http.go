// Package http asks a web service about people: a CRM, a SCIM or Graph API, a
// small service of one's own that answers JSON.
package http

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

func init() {
	caddy.RegisterModule(new(Directory))
}

// usualTimeout is how long one question may take, token included.
const usualTimeout = 5 * time.Second

// Directory knows what a web service answers about people. An answer is at most
// 1 MiB, and redirects stay on the host.
type Directory struct {
	// Where to ask: https://, or http:// on loopback only. {by} and {value} may stand
	// in the path, escaped.
	URL string `json:"url"`
	// Parameters of the query, in order. In a value {by} and {value} are filled in; a
	// {value} in quotes, as in "mail eq '{value}'", cannot end them.
	Query []Parameter `json:"query,omitempty"`
	// Where in the answer the person is: a dotted path with numbers for places in
	// lists, as value.0 or data.users. A list must hold exactly one. Default: the
	// whole answer is the person.
	JSONPath string `json:"json_path,omitempty"`
	// Whom we are to the service: client credentials (RFC 6749 §4.4). Default: nobody.
	OAuth2 *OAuth2 `json:"oauth2,omitempty"`
	// How long an answer is used again; default: it is not.
	Cache caddy.Duration `json:"cache,omitempty"`
	// How long one question may take; default 5s.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	client *http.Client
	secret string
	turn   chan struct{} // of the one who asks for a token
	last   *oauth2.Token
	known  *flows.FindCache
	now    func() time.Time
}

// Parameter is one of the query.
type Parameter struct {
	// The name, sent as it is written, escaped.
	Name string `json:"name"`
	// The value, with placeholders.
	Value string `json:"value"`
}

// OAuth2 are client credentials.
type OAuth2 struct {
	// Where tokens come from.
	TokenURL string `json:"token_url"`
	// Our id there.
	ClientID string `json:"client_id"`
	// Our password there; better a placeholder, {file./abs/path} or {env.X}.
	ClientSecret string `json:"client_secret"`
	// What the tokens are for.
	Scopes []string `json:"scopes,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*Directory) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.directories.http", New: func() caddy.Module { return new(Directory) }}
}

// Provision resolves the secret. It touches no network.
func (d *Directory) Provision(ctx caddy.Context) (err error) {
	if err := d.check(); err != nil || d.OAuth2 == nil {
		return err
	}
	if d.secret, err = caddy.NewReplacer().ReplaceOrErr(d.OAuth2.ClientSecret, true, true); err != nil {
		return fmt.Errorf("oauth2: client_secret: %w", err)
	}
	if d.secret = strings.TrimRight(d.secret, "\r\n"); d.secret == "" {
		return errors.New("oauth2: client_secret is empty")
	}
	if !strings.Contains(d.OAuth2.ClientSecret, "{") {
		ctx.Logger().Warn("secret stands in the configuration and can be read at /config/; use {file./…} or {env.…}", zap.String("field", "client_secret"), zap.String("url", d.URL))
	}
	return nil
}

// Bind takes the clock and the one HTTP client, which trusts the hosts that are
// written here and no others.
func (d *Directory) Bind(r flows.Registry) error {
	u, err := url.Parse(fill(d.URL, "x", "x", url.PathEscape))
	if err != nil {
		return err
	}
	hosts := []string{u.Host}
	if d.OAuth2 != nil {
		t, err := url.Parse(d.OAuth2.TokenURL)
		if err != nil {
			return err
		}
		hosts = append(hosts, t.Host)
	}
	d.now, d.known, d.client = r.Now, flows.NewFindCache(time.Duration(d.Cache)), r.Outbound(hosts...)
	d.turn, d.last = make(chan struct{}, 1), nil
	return nil
}

// token is good for many questions; whoever comes while one asks for it waits.
func (d *Directory) token(ctx context.Context) (*oauth2.Token, error) {
	select {
	case d.turn <- struct{}{}:
		defer func() { <-d.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if d.last.Valid() {
		return d.last, nil
	}
	c := clientcredentials.Config{ClientID: d.OAuth2.ClientID, ClientSecret: d.secret, TokenURL: d.OAuth2.TokenURL, Scopes: d.OAuth2.Scopes}
	t, err := c.Token(context.WithValue(ctx, oauth2.HTTPClient, d.client))
	if err == nil {
		d.last = t
	}
	return t, err
}

var attributeForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,127}$`)

// Find asks the service. 404 and an empty list are nobody; every other answer but
// 2xx with JSON could not be asked.
func (d *Directory) Find(ctx context.Context, by, value string) (flows.Attributes, error) {
	if !attributeForm.MatchString(by) {
		return nil, fmt.Errorf("'%s' is no name of an attribute", by)
	}
	if value == "" || value == "." || value == ".." || len(value) > 1024 || !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) {
		return nil, flows.ErrNotFound
	}
	key, now := by+"\x00"+value, d.now()
	if a, err, ok := d.known.Get(key, now); ok {
		return a, err
	}
	limit := usualTimeout
	if d.Timeout > 0 {
		limit = time.Duration(d.Timeout)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	a, err := d.ask(ctx, by, value)
	if err == nil || errors.Is(err, flows.ErrNotFound) {
		d.known.Put(key, a, err, now)
	}
	return a, err
}

// check refuses what can be seen without secrets.
func (d *Directory) check() error {
	if err := checkURL("url", d.URL); err != nil {
		return err
	}
	if strings.ContainsAny(d.URL, "?#") {
		return fmt.Errorf("url '%s' ends before the query; write: query <name> <value>", d.URL)
	}
	named := strings.Contains(d.URL, "{value}")
	for _, p := range d.Query {
		if p.Name == "" {
			return errors.New("query: a parameter without a name")
		}
		named = named || strings.Contains(p.Value, "{value}")
	}
	switch {
	case !named:
		return errors.New("neither url nor query holds {value}, so everybody would be the same")
	case d.Cache < 0 || d.Timeout < 0:
		return errors.New("cache and timeout must not be negative")
	case d.OAuth2 == nil:
		return nil
	case d.OAuth2.ClientID == "" || d.OAuth2.ClientSecret == "":
		return errors.New("oauth2 needs a client's id and secret")
	}
	return checkURL("oauth2", d.OAuth2.TokenURL)
}

// checkURL wants TLS, since people and secrets travel there.
func checkURL(what, raw string) error {
	u, err := url.Parse(fill(raw, "x", "x", url.PathEscape))
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("%s '%s' is no address such as https://crm.example.com/people/{value}", what, raw)
	}
	if before, _, ok := strings.Cut(raw, "{"); ok && strings.Count(before, "/") < 3 {
		return fmt.Errorf("%s '%s': placeholders may stand in the path only", what, raw)
	}
	if u.Scheme == "http" && !outbound.Loopback(u.Hostname()) {
		return fmt.Errorf("%s '%s': http:// is for loopback only", what, raw)
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner     = (*Directory)(nil)
	_ caddyfile.Unmarshaler = (*Directory)(nil)
	_ flows.Binder          = (*Directory)(nil)
	_ flows.Directory       = (*Directory)(nil)
)
