// Package browser is a browser without a window and without JavaScript: a
// cookie jar that keeps what a browser would keep, the Sec-Fetch headers of a
// navigation, redirects followed by hand, and HTML forms found and sent. The
// tests of the examples and `sallyport demo --check` walk the gateway with it.
package browser

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// MaxHops bounds the redirects of one navigation, as browsers do.
const MaxHops = 20

const accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

// Browser is one browser profile. It is not safe for concurrent use; tabs that
// share cookies are Pages of the same Browser, used one after another.
type Browser struct {
	// Header is added to every request, after the browser's own, and may hold
	// raw names: "SM_USER" is sent in exactly this case.
	Header http.Header
	// Hops are the requests of the newest navigation: "GET http://… → 303".
	Hops []string
	// Jar keeps the cookies.
	Jar *Jar

	client *http.Client
}

// New makes a browser with an empty jar. Each request has 20 s.
func New() *Browser {
	return &Browser{
		Header: http.Header{},
		Jar:    &Jar{},
		client: &http.Client{
			Timeout: 20 * time.Second,
			Transport: &http.Transport{
				DialContext:       dial,
				ForceAttemptHTTP2: false,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// dial resolves the names below localhost by itself, as browsers do (RFC 6761 §6.3).
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	if host, port, err := net.SplitHostPort(address); err == nil && strings.HasSuffix(host, ".localhost") {
		address = net.JoinHostPort("127.0.0.1", port)
	}
	return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, address)
}

// Twin begins with the cookies of now and goes its own way: it can be used beside b.
func (b *Browser) Twin() *Browser {
	return &Browser{Header: b.Header.Clone(), Jar: b.Jar.Clone(), client: b.client}
}

// Close drops idle connections.
func (b *Browser) Close() { b.client.CloseIdleConnections() }

// Request is one request to send as it stands.
type Request struct {
	Method string
	URL    string
	Header http.Header
	Body   string
	// From is the page whose link, form or script asks; nil for a typed address.
	From *Page
	// Script marks a fetch() instead of a navigation.
	Script bool
	// chain are the addresses before this one in a row of redirects.
	chain []string
}

// Open types an address and follows the redirects.
func (b *Browser) Open(address string) (*Page, error) {
	return b.Navigate(Request{Method: http.MethodGet, URL: address})
}

// Navigate sends r and follows the redirects to the page they end at.
func (b *Browser) Navigate(r Request) (*Page, error) {
	b.Hops = nil
	for range MaxHops {
		p, err := b.Send(r)
		if err != nil {
			return nil, err
		}
		location := p.Header.Get("Location")
		if p.Status < 300 || p.Status > 399 || location == "" {
			return p, nil
		}
		next, err := p.Resolve(location)
		if err != nil {
			return nil, fmt.Errorf("redirect to %q: %w", location, err)
		}
		r.chain = append(r.chain, r.URL)
		// RFC 9110 §15.4: everything but 307 and 308 becomes a GET without a body.
		if p.Status != http.StatusTemporaryRedirect && p.Status != http.StatusPermanentRedirect && r.Method != http.MethodHead {
			r.Method, r.Body = http.MethodGet, ""
			r.Header = r.Header.Clone()
			r.Header.Del("Content-Type")
		}
		r.URL = next
	}
	return nil, fmt.Errorf("more than %d redirects: %s", MaxHops, strings.Join(b.Hops, " | "))
}

// Fetch sends what a page's script would send: no navigation, no redirects followed.
func (b *Browser) Fetch(from *Page, method, address, body string) (*Page, error) {
	return b.Send(Request{Method: method, URL: address, Body: body, From: from, Script: true})
}

// closed reports whether a connection was closed at its other end.
func closed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// Send sends one request and follows nothing.
func (b *Browser) Send(r Request) (*Page, error) {
	if r.Method == "" {
		r.Method = http.MethodGet
	}
	u, err := url.Parse(r.URL)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var body io.Reader
	if r.Body != "" {
		body = strings.NewReader(r.Body)
	}
	q, err := http.NewRequestWithContext(ctx, r.Method, r.URL, body)
	if err != nil {
		return nil, err
	}
	b.headers(q, r, u)
	kept := false
	q = q.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { kept = c.Reused }}))
	res, err := b.client.Do(q)
	if kept && closed(err) { // the server closed it just now, and has not read the request: browsers ask again
		if q = q.Clone(ctx); body != nil {
			q.Body = io.NopCloser(strings.NewReader(r.Body))
		}
		res, err = b.client.Do(q)
	}
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b.Jar.Set(u, res.Cookies())
	text, err := io.ReadAll(io.LimitReader(res.Body, 8<<20))
	if err != nil {
		return nil, err
	}
	b.Hops = append(b.Hops, fmt.Sprintf("%s %.120s → %d", r.Method, r.URL, res.StatusCode))
	return &Page{Browser: b, URL: r.URL, Status: res.StatusCode, Header: res.Header, Body: string(text)}, nil
}

func (b *Browser) headers(q *http.Request, r Request, u *url.URL) {
	site := fetchSite(r)
	q.Header.Set("User-Agent", "Mozilla/5.0 (walk)")
	q.Header.Set("Sec-Fetch-Site", site)
	if r.Script {
		q.Header.Set("Accept", "*/*")
		q.Header.Set("Sec-Fetch-Mode", "cors")
		q.Header.Set("Sec-Fetch-Dest", "empty")
	} else {
		q.Header.Set("Accept", accept)
		q.Header.Set("Sec-Fetch-Mode", "navigate")
		q.Header.Set("Sec-Fetch-Dest", "document")
		q.Header.Set("Sec-Fetch-User", "?1")
		q.Header.Set("Upgrade-Insecure-Requests", "1")
	}
	if r.From != nil {
		q.Header.Set("Referer", r.From.URL)
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			q.Header.Set("Origin", origin(r.From.URL))
		}
	}
	if c := b.Jar.header(u, r.Method, site); c != "" {
		q.Header.Set("Cookie", c)
	}
	for _, h := range []http.Header{b.Header, r.Header} {
		for k, v := range h {
			q.Header[k] = v
		}
	}
}

// fetchSite answers Sec-Fetch-Site as the Fetch Metadata specification computes
// it: the worst relation between the initiator and every address of the chain.
func fetchSite(r Request) string {
	if r.From == nil {
		return "none"
	}
	answer := "same-origin"
	for _, address := range append(append([]string{}, r.chain...), r.URL) {
		switch {
		case origin(address) == origin(r.From.URL):
		case site(address) == site(r.From.URL):
			answer = "same-site"
		default:
			return "cross-site"
		}
	}
	return answer
}

func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "null"
	}
	return u.Scheme + "://" + u.Host
}

// site is scheme and registrable domain; on loopback the host is the domain,
// and ports do not count.
func site(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "null"
	}
	return u.Scheme + "://" + u.Hostname()
}
