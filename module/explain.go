package module

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
)

// Explain says what would happen to a request, by the code that serves requests: the
// routes and their matchers, the same gate and flow, the same writer of headers. It
// writes, consumes, sends and mints nothing (I26); a lookup of the flow does ask its
// directory, unless the case says what it answers. The app need only be provisioned. An
// error says that the case cannot be meant.
func (a *App) Explain(ctx context.Context, c ExplainCase) (*Explanation, error) {
	e := &explaining{app: a, c: &c, out: new(Explanation), now: c.Time}
	if e.now.IsZero() {
		e.now = Now()
	}
	ctx = think(ctx, c.Offline)
	servers, err := a.serversFor(c.URL)
	if err != nil {
		return nil, err
	}
	if err := e.known(ctx); err != nil {
		return nil, err
	}
	for _, srv := range servers {
		r, err := c.request()
		if err != nil {
			return nil, err
		}
		if err := e.ask(ctx, srv, r); err != nil {
			return nil, err
		}
		if e.v != nil {
			break // a server that knows the site
		}
	}
	if e.out.Decision == "" {
		e.out.Decision = ExplainUncovered
	}
	return e.out, nil
}

// explaining is an explanation that is being made; as a request's var it tells every
// protect that the request is only thought through.
type explaining struct {
	app *App
	c   *ExplainCase
	out *Explanation
	now time.Time
	v   *visit
	// session is who asks; nil: nobody. run says that the route's flow is run first.
	session *flowsession.Session
	run     bool
	// from is where the person is known from; stored says that the store may know more.
	from   string
	stored bool
	// notAfter is until when their account is good, as far as a provider says so.
	notAfter time.Time
	err      error
}

func (e *explaining) note(format string, args ...any) {
	if n := fmt.Sprintf(format, args...); !slices.Contains(e.out.Notes, n) {
		e.out.Notes = append(e.out.Notes, n)
	}
}

// ask sends the request through the routes of a server.
func (e *explaining) ask(ctx context.Context, srv *caddyhttp.Server, r *http.Request) error {
	w := &nowhere{h: http.Header{}}
	r = caddyhttp.PrepareRequest(r.WithContext(ctx), caddy.NewReplacer(), w, srv)
	caddyhttp.SetVar(r.Context(), visitVar, e)
	if e.c.Address != "" && e.c.Peer != "" {
		caddyhttp.SetVar(r.Context(), caddyhttp.ClientIPVarKey, e.c.Address)
	}
	q := quiet{named: srv.NamedRoutes, met: func(name string, ends bool) {
		if ends && e.v == nil {
			e.note("%s answers in front of every protect", name)
		} else if !ends {
			e.note("%s was not run: what it would change is not in here", name)
		}
	}}
	end := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })
	if err := q.routes(srv.Routes).Compile(end).ServeHTTP(w, r); err != nil && e.out.Decision == "" {
		e.note("Caddy's routes answer with an error: %s", err)
	}
	if w.status != 0 && e.out.Decision == "" {
		e.note("Caddy's routes answer in front of every protect, with %d", w.status)
	}
	return e.err
}

// serversFor are the servers that listen at the port of an address; all of them where
// none does, since a proxy may stand in front.
func (a *App) serversFor(address string) (list []*caddyhttp.Server, err error) {
	u, err := url.ParseRequestURI(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("url is an address such as https://app.example.com/path, not '%s'", address)
	}
	port, _ := strconv.ParseUint(cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme]), 10, 16)
	var all []*caddyhttp.Server
	servers := a.servers()
	for _, name := range orderOf(nil, servers) {
		srv := servers[name]
		all = append(all, srv)
		if slices.ContainsFunc(srv.Listen, func(l string) bool {
			at, err := caddy.ParseNetworkAddress(l)
			return err == nil && uint64(at.StartPort) <= port && port <= uint64(at.EndPort)
		}) {
			list = append(list, srv)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("the config has no http server")
	}
	if len(list) == 0 {
		return all, nil
	}
	return list, nil
}

// request is the case's, as net/http would hand it over.
func (c *ExplainCase) request() (*http.Request, error) {
	u, err := url.ParseRequestURI(c.URL)
	if err != nil {
		return nil, err
	}
	peer, err := netip.ParseAddr(cmp.Or(c.Peer, c.Address, "127.0.0.1"))
	if err != nil {
		return nil, fmt.Errorf("address and peer are IP addresses: %w", err)
	}
	if _, err := netip.ParseAddr(cmp.Or(c.Address, "127.0.0.1")); err != nil {
		return nil, fmt.Errorf("address is an IP address: %w", err)
	}
	body, typ, err := c.body()
	if err != nil {
		return nil, err
	}
	target := &url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery, ForceQuery: u.ForceQuery}
	if target.Path == "" {
		target.Path = "/"
	}
	r := &http.Request{
		Method: cmp.Or(c.Method, http.MethodGet), URL: target, Host: u.Host, RequestURI: target.RequestURI(),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
		RemoteAddr: net.JoinHostPort(peer.String(), "1024"),
	}
	if u.Scheme == "https" {
		r.TLS = &tls.ConnectionState{HandshakeComplete: true, ServerName: u.Hostname(), Version: tls.VersionTLS13}
	}
	for name, values := range c.Headers {
		r.Header[http.CanonicalHeaderKey(name)] = append(r.Header[http.CanonicalHeaderKey(name)], values...)
	}
	if c.Headers == nil {
		r.Header["Accept"] = []string{"text/html"}
	}
	if typ != "" && r.Header["Content-Type"] == nil {
		r.Header["Content-Type"] = []string{typ}
	}
	return r, nil
}

func (c *ExplainCase) body() (body []byte, typ string, err error) {
	switch {
	case c.Form != nil && c.JSON != nil:
		return nil, "", errors.New("a request has a form or JSON in its body, not both")
	case c.Form != nil:
		form := url.Values{}
		for name, values := range c.Form {
			form[name] = values
		}
		return []byte(form.Encode()), "application/x-www-form-urlencoded", nil
	case c.JSON != nil:
		return c.JSON, "application/json", nil
	}
	return nil, "", nil
}
