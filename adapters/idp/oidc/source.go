package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	oidclib "github.com/coreos/go-oidc/v3/oidc"

	"github.com/sallyport-gateway/sallyport/adapters/internal/jwt"
	"github.com/sallyport-gateway/sallyport/adapters/internal/patience"
	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

// sources survive reloads: the last good discovery document and keys, by
// issuer and client id.
var sources = caddy.NewUsagePool()

const (
	firstRetry  = time.Second      // after the first failed discovery
	lastRetry   = time.Minute      // the longest wait between two tries
	metadataAge = time.Hour        // a good document is looked at again after this
	documentMax = 10 * time.Second // one discovery
)

// metadata is what we need of a discovery document (OIDC Discovery 1.0 §3).
type metadata struct {
	Issuer      string   `json:"issuer"`
	AuthURL     string   `json:"authorization_endpoint"`
	TokenURL    string   `json:"token_endpoint"`
	UserInfoURL string   `json:"userinfo_endpoint"`
	KeysURL     string   `json:"jwks_uri"`
	EndURL      string   `json:"end_session_endpoint"`
	TokenAuth   []string `json:"token_endpoint_auth_methods_supported"`
	Algs        []string `json:"id_token_signing_alg_values_supported"`
	PKCE        []string `json:"code_challenge_methods_supported"`
	SendsIssuer bool     `json:"authorization_response_iss_parameter_supported"`
	Frames      bool     `json:"frontchannel_logout_supported"`
}

// source is one provider's published state. It implements caddy.Destructor.
type source struct {
	issuer string
	// announced judges what the document says its issuer is; nil: it must be issuer.
	announced func(configured, named string) error

	mu     sync.Mutex
	client *http.Client
	now    func() time.Time
	good   *metadata
	at     time.Time // when good was fetched
	tried  time.Time
	failed time.Time // when the first try began of those that failed in a row; zero: the newest did not
	err    error     // of the newest try; nil when it went well
	flight *flight
	keys   *jwt.Keys
	poke   chan struct{}
}

// flight is one running discovery that everyone waits for.
type flight struct {
	done chan struct{}
	err  error
}

func (p *Provider) acquire() error {
	key := p.issuer + "\x00" + p.clientID + "\x00" + p.as.key
	v, _, err := sources.LoadOrNew(key, func() (caddy.Destructor, error) {
		return &source{issuer: p.issuer, announced: p.as.announced, keys: &jwt.Keys{}, poke: make(chan struct{}, 1), err: errors.New("not asked yet")}, nil
	})
	if err != nil {
		return err
	}
	p.src, p.held = v.(*source), key
	return nil
}

func (p *Provider) release() error {
	if p.held == "" {
		return nil
	}
	key := p.held
	p.held = ""
	_, err := sources.Delete(key)
	return err
}

// Destruct has nothing to close.
func (s *source) Destruct() error { return nil }

// lend gives the newest configuration's client and clock to the shared state.
func (s *source) lend(c *http.Client, now func() time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.client, s.now = c, now
	s.keys.Lend(c, now)
}

// last is the last good document; nil when there never was one.
func (s *source) last() *metadata {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.good
}

// health is the error of the newest try.
func (s *source) health() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// suffer notes that the provider did not answer, so that Health says so and the
// background looks again soon.
func (s *source) suffer(err error) {
	s.mu.Lock()
	s.err = err
	s.mu.Unlock()
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

// discover fetches the document once for all who wait. ctx bounds the wait, not
// the fetch: one browser that goes away must not fail the others.
func (s *source) discover(ctx context.Context) error {
	s.mu.Lock()
	f := s.flight
	if f == nil && s.good != nil && s.err == nil && s.now().Sub(s.at) < time.Second {
		s.mu.Unlock()
		return nil // a flight landed between the caller's look and this one
	}
	if f == nil {
		f = &flight{done: make(chan struct{})}
		s.flight = f
		s.tried = s.now()
		go s.fetch(context.WithoutCancel(ctx), f, s.client)
	}
	s.mu.Unlock()
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return fmt.Errorf("discovery of %s: %w", s.issuer, ctx.Err())
	}
}

func (s *source) fetch(ctx context.Context, f *flight, c *http.Client) {
	ctx, cancel := context.WithTimeout(ctx, documentMax)
	defer cancel()
	m, err := fetchMetadata(ctx, c, s.issuer, s.announced)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err = err; err == nil { // a bad document never replaces a good one
		s.good, s.at, s.failed = m, s.now(), time.Time{}
		s.keys.Use(m.KeysURL)
	} else if s.failed.IsZero() {
		s.failed = s.tried
	}
	f.err, s.flight = err, nil
	close(f.done)
}

func fetchMetadata(ctx context.Context, c *http.Client, issuer string, announced func(configured, named string) error) (_ *metadata, err error) {
	defer outbound.Caught(&err)
	if announced != nil {
		ctx = oidclib.InsecureIssuerURLContext(ctx, issuer)
	}
	lib, err := oidclib.NewProvider(oidclib.ClientContext(ctx, c), issuer) // else compares the issuer exactly
	if err != nil {
		return nil, fmt.Errorf("discovery of %s: %s", issuer, outbound.Short(err))
	}
	var m metadata
	if err := lib.Claims(&m); err != nil {
		return nil, fmt.Errorf("discovery of %s: %s", issuer, outbound.Short(err))
	}
	if announced != nil {
		err = announced(issuer, m.Issuer)
	}
	if err == nil {
		err = m.check(issuer)
	}
	if err != nil {
		return nil, fmt.Errorf("discovery of %s: %w", issuer, err)
	}
	return &m, nil
}

func (m *metadata) check(issuer string) error {
	base, err := issuerURL(issuer)
	if err != nil {
		return err
	}
	for _, e := range []struct {
		name, url string
		required  bool
	}{
		{"authorization_endpoint", m.AuthURL, true},
		{"token_endpoint", m.TokenURL, true},
		{"jwks_uri", m.KeysURL, true},
		{"userinfo_endpoint", m.UserInfoURL, false},
		{"end_session_endpoint", m.EndURL, false},
	} {
		if e.url == "" && !e.required {
			continue
		}
		u, err := url.Parse(e.url)
		if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
			return fmt.Errorf("%s %q is no usable address", e.name, e.url)
		}
		// A document that came over TLS must not send codes and secrets in the clear.
		if u.Scheme != "https" && (u.Scheme != "http" || base.Scheme != "http" || !outbound.Loopback(u.Hostname())) {
			return fmt.Errorf("%s %q is not https", e.name, e.url)
		}
	}
	if len(m.Algs) > 0 && len(m.algs()) == 0 {
		return fmt.Errorf("signs ID tokens with %q only; accepted are %q", m.Algs, jwt.Signatures)
	}
	if len(m.PKCE) > 0 && !contains(m.PKCE, "S256") {
		return fmt.Errorf("supports PKCE by %q only; S256 is needed", m.PKCE)
	}
	return nil
}

// algs are the signatures accepted from this provider: what it announces,
// within our own list. A symmetric or empty one is never in it.
func (m *metadata) algs() []string {
	if len(m.Algs) == 0 {
		return jwt.Signatures
	}
	var out []string
	for _, a := range m.Algs {
		if contains(jwt.Signatures, a) {
			out = append(out, a)
		}
	}
	return out
}

// metadata answers the last good document at once. Without one a login waits for it.
func (p *Provider) metadata(ctx context.Context) (*metadata, error) {
	p.keepWarm()
	if m := p.src.last(); m != nil {
		return m, nil
	}
	if err := patience.Wait(ctx, p.src.tries, p.src.discover, p.pause); err != nil {
		return nil, flows.Refuse(flows.ReasonProviderDown, err)
	}
	return p.src.last(), nil
}

// tries is how discovery went until now.
func (s *source) tries() patience.Tries {
	s.mu.Lock()
	defer s.mu.Unlock()
	return patience.Look(s.now(), s.tried, s.failed, s.flight != nil, s.err)
}

// Health answers nil when the newest exchange with the provider went well.
func (p *Provider) Health() error { return p.src.health() }

// issuerURL accepts https, and plain http on loopback only.
func issuerURL(s string) (*url.URL, error) {
	if s == "" {
		return nil, errors.New("issuer is required")
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "":
		return nil, fmt.Errorf("issuer %q is no URL with a host", s)
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(s, "#"):
		return nil, fmt.Errorf("issuer %q must have no user, query or fragment", s) // OIDC Discovery 1.0 §3
	case u.Scheme == "https", u.Scheme == "http" && outbound.Loopback(u.Hostname()):
		return u, nil
	case u.Scheme == "http":
		return nil, fmt.Errorf("issuer %q: plain http is for loopback only", s)
	}
	return nil, fmt.Errorf("issuer %q must begin with https://", s)
}
