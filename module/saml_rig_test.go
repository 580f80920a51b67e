package module_test

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/adapters/idp/saml/samltest"
	"github.com/sallyport-gateway/sallyport/adapters/store/memory"
	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/module"
)

// newIDP is a SAML identity provider that lives in the hall's time, and at another
// host than the gateway: its POSTs are cross-site.
func newIDP(t testing.TB, n int) *samltest.IDP {
	t.Helper()
	i := samltest.New(t, n)
	i.URL = strings.Replace(i.URL, "127.0.0.1", "localhost", 1)
	i.EntityID, i.Now = i.URL+"/metadata", module.Now
	return i
}

// samlBlock is the `provider` block for an identity provider, with more lines.
func samlBlock(name string, i *samltest.IDP, more ...string) string {
	return fmt.Sprintf("provider %s saml {\nmetadata %s/metadata\n%s\n}\n", name, i.URL, strings.Join(more, "\n"))
}

// someone is a person with this NameID.
func someone(id string) samltest.Person {
	return samltest.Person{NameID: id, Format: samltest.Persistent, Attributes: []samltest.Attribute{{Name: "urn:oid:0.9.2342.19200300.100.1.1", Friendly: "uid", Values: []string{id}}}}
}

// asksSAML opens path and stops at the redirect to the identity provider.
func (g *gateway) asksSAML(b *browser.Browser, path string) samltest.Request {
	g.t.Helper()
	p := g.send(b, browser.Request{URL: g.url(path)})
	req, err := samltest.Parse(p.Header.Get("Location"))
	if err != nil || p.Status != http.StatusSeeOther {
		g.t.Fatalf("%s: want a redirect to the provider, got %d to %q: %v\n%s", path, p.Status, p.Header.Get("Location"), err, p.Text())
	}
	return req
}

// answers is the POST that the identity provider's page makes in this browser.
func answers(b *browser.Browser, i *samltest.IDP, res *samltest.Response) browser.Request {
	return posted(b, i, res.Destination, res.Form())
}

func posted(b *browser.Browser, i *samltest.IDP, to string, form url.Values) browser.Request {
	return browser.Request{
		Method: http.MethodPost, URL: to, Body: form.Encode(), From: &browser.Page{Browser: b, URL: i.URL + "/sso"},
		Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
	}
}

// brings lets the browser bring an answer and follow where it leads.
func (g *gateway) brings(b *browser.Browser, i *samltest.IDP, res *samltest.Response) *browser.Page {
	g.t.Helper()
	p, err := b.Navigate(answers(b, i, res))
	if err != nil {
		g.t.Fatal(err)
	}
	return p
}

// drops lets the browser bring an answer, and stops where it waits: the address of
// the GET that has cookies.
func (g *gateway) drops(b *browser.Browser, i *samltest.IDP, res *samltest.Response) string {
	g.t.Helper()
	p := g.send(b, answers(b, i, res))
	to := p.Header.Get("Location")
	if p.Status != http.StatusSeeOther || !strings.HasPrefix(to, g.url("/.identity/flow?h=")) {
		g.t.Fatalf("the answer was not taken: %d %q\n%s", p.Status, to, p.Text())
	}
	return to
}

// takesUp is the GET that follows, as a browser makes it.
func (g *gateway) takesUp(b *browser.Browser, i *samltest.IDP, at string) *browser.Page {
	g.t.Helper()
	p, err := b.Navigate(browser.Request{URL: at, From: &browser.Page{Browser: b, URL: i.URL + "/sso"}})
	if err != nil {
		g.t.Fatal(err)
	}
	return p
}

// samlIn is a browser that signed in as somebody of the identity provider, and its
// cookie; the answer, too, for who wants to use it again.
func (g *gateway) samlIn(i *samltest.IDP, id string) (*browser.Browser, string, *samltest.Response) {
	g.t.Helper()
	b := newBrowser(g.t)
	i.Person = someone(id)
	res := i.Respond(g.asksSAML(b, "/a"))
	landed(g.t, g.brings(b, i, res), "/a", "corp:"+id)
	c := ticketOf(g.t, g, b)
	return b, c.Name + "=" + c.Value, res
}

// decoded is a message of the POST binding, inflated one of the redirect binding.
func decoded(text string) (string, error) {
	b, err := base64.StdEncoding.DecodeString(text)
	return string(b), err
}

func inflated(text string) (string, error) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "", err
	}
	out, err := io.ReadAll(flate.NewReader(bytes.NewReader(b)))
	return string(out), err
}

func init() { caddy.RegisterModule(new(watchedStore)) }

// watchedStore is a memory store that tells its watchers what changed, as one that
// several nodes share does.
type watchedStore struct{ memory.Store }

var watchers struct {
	sync.Mutex
	all map[int]chan string
	n   int
}

func (*watchedStore) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.stores.watched", New: func() caddy.Module { return new(watchedStore) }}
}

func (s *watchedStore) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return s.Store.UnmarshalCaddyfile(d)
}

func tellWatchers(key string, err error) error {
	if err == nil {
		watchers.Lock()
		defer watchers.Unlock()
		for _, c := range watchers.all {
			c <- key
		}
	}
	return err
}

func (s *watchedStore) Create(ctx context.Context, key string, val []byte, ttl time.Duration, index ...string) error {
	return tellWatchers(key, s.Store.Create(ctx, key, val, ttl, index...))
}

func (s *watchedStore) Update(ctx context.Context, key string, fn func([]byte) (flows.Change, error)) error {
	return tellWatchers(key, s.Store.Update(ctx, key, fn))
}

func (s *watchedStore) Watch(ctx context.Context, fn func([]string, bool)) error {
	c := make(chan string, 10000)
	watchers.Lock()
	if watchers.all == nil {
		watchers.all = map[int]chan string{}
	}
	watchers.n++
	n := watchers.n
	watchers.all[n] = c
	watchers.Unlock()
	defer func() {
		watchers.Lock()
		defer watchers.Unlock()
		delete(watchers.all, n)
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case key := <-c:
			fn([]string{key}, false)
		}
	}
}

const watchedLine = "store watched\n"

// navigates is a navigation with these cookies, for secondNode.
func (g *gateway) navigates(path, cookie string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if strings.HasPrefix(path, "/") {
		r = httptest.NewRequest(http.MethodGet, g.url(path), nil)
	}
	r.Header.Set("Cookie", cookie)
	r.Header.Set("Accept", "text/html")
	return r
}
