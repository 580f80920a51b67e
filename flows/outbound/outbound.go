// Package outbound makes the one HTTP client with which the gateway speaks to
// others: bounded in time and size, tied to one host, and unable to reach into
// our own network by an address that somebody else chose.
package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// The defaults of Options.
const (
	DefaultTimeout   = 10 * time.Second
	DefaultMaxBody   = 1 << 20
	maxRedirects     = 3
	maxHeaderBytes   = 64 << 10
	connectTimeout   = 5 * time.Second
	idleConnLifetime = 30 * time.Second
)

// The sentinels that a request may fail with.
var (
	// ErrTooLarge: the answer is longer than Options.MaxBody.
	ErrTooLarge = errors.New("response body too large")
	// ErrRedirect: the answer leads to another host, back to plain http, or too far.
	ErrRedirect = errors.New("redirect refused")
	// ErrAddress: a host that is not in the configuration resolves to an address
	// that is not public.
	ErrAddress = errors.New("address is not public")
)

// Options of a client. The zero value trusts no host and has the defaults.
type Options struct {
	// Trusted are hosts the operator wrote in the configuration, as "host" (any
	// port) or "host:port". They may have any address; every other host, such as one
	// that arrived in a discovery document, must have public addresses only.
	Trusted []string
	// MaxBody is the longest response body in bytes, after decompression; default 1 MiB.
	MaxBody int64
	// Timeout is the total time of one exchange, redirects and body included; default 10 s.
	Timeout time.Duration
	// TLS is the base of the TLS configuration, such as a private CA; may be nil.
	TLS *tls.Config

	resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	dial    func(ctx context.Context, network, addr string) (net.Conn, error)
}

// New makes a client. It uses no proxy, keeps no cookies and follows at most
// three redirects on the same host. A body that is too long ends in ErrTooLarge
// while it is read.
func New(o Options) *http.Client {
	if o.MaxBody <= 0 {
		o.MaxBody = DefaultMaxBody
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	tc := o.TLS.Clone()
	if tc == nil {
		tc = &tls.Config{}
	}
	tc.MinVersion = max(tc.MinVersion, tls.VersionTLS12)
	return &http.Client{
		Timeout:       o.Timeout,
		CheckRedirect: sameHost,
		Transport: &capped{max: o.MaxBody, next: &http.Transport{
			Proxy:                  nil, // a proxy would resolve names behind our back
			DialContext:            newGuard(o).dialContext,
			TLSClientConfig:        tc,
			TLSHandshakeTimeout:    connectTimeout,
			ResponseHeaderTimeout:  o.Timeout,
			MaxResponseHeaderBytes: maxHeaderBytes,
			IdleConnTimeout:        idleConnLifetime,
			MaxIdleConnsPerHost:    4,
			ForceAttemptHTTP2:      true,
		}},
	}
}

// sameHost follows a redirect only where a document cannot lead us elsewhere:
// another host could be one of ours, and a token request carries a secret.
func sameHost(req *http.Request, via []*http.Request) error {
	first := via[0].URL
	switch {
	case len(via) > maxRedirects:
		return fmt.Errorf("%w: more than %d", ErrRedirect, maxRedirects)
	case !strings.EqualFold(host(first), host(req.URL)):
		return fmt.Errorf("%w: from %s to another host, %s", ErrRedirect, first.Host, req.URL.Host)
	case via[len(via)-1].URL.Scheme == "https" && req.URL.Scheme != "https":
		return fmt.Errorf("%w: from https to %s", ErrRedirect, req.URL.Scheme)
	}
	return nil
}

// host is a URL's host with its port only if that is not the scheme's own.
func host(u *url.URL) string {
	h := strings.TrimSuffix(u.Hostname(), ".")
	switch p := u.Port(); {
	case p == "", p == "443" && u.Scheme == "https", p == "80" && u.Scheme == "http":
		return h
	default:
		return net.JoinHostPort(h, p)
	}
}
