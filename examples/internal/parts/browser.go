package parts

import (
	"net/http"
	"testing"

	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// TestBrowser is a browser whose errors end the test.
type TestBrowser struct {
	*browser.Browser
	t testing.TB
}

// TestPage is a page of a TestBrowser.
type TestPage struct {
	*browser.Page
	b *TestBrowser
}

// Browser is a fresh browser: an empty cookie jar, navigation headers, forms.
func Browser(t testing.TB) *TestBrowser {
	t.Helper()
	b := &TestBrowser{Browser: browser.New(), t: t}
	t.Cleanup(b.Close)
	return b
}

// Open types an address and follows the redirects.
func (b *TestBrowser) Open(address string) *TestPage {
	b.t.Helper()
	p, err := b.Browser.Open(address)
	return b.page(p, err)
}

// Send sends one request and follows nothing.
func (b *TestBrowser) Send(r browser.Request) *TestPage {
	b.t.Helper()
	p, err := b.Browser.Send(r)
	return b.page(p, err)
}

// Navigate sends a request and follows the redirects.
func (b *TestBrowser) Navigate(r browser.Request) *TestPage {
	b.t.Helper()
	p, err := b.Browser.Navigate(r)
	return b.page(p, err)
}

// Fetch sends what a script on the page at the same origin would send.
func (b *TestBrowser) Fetch(address string) *TestPage {
	b.t.Helper()
	p, err := b.Browser.Fetch(&browser.Page{URL: address}, http.MethodGet, address, "")
	return b.page(p, err)
}

// Page makes a page of the browser package one whose errors end the test.
func (b *TestBrowser) Page(p *browser.Page) *TestPage { return &TestPage{Page: p, b: b} }

func (b *TestBrowser) page(p *browser.Page, err error) *TestPage {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	return b.Page(p)
}

// Fill finds the form with the first field, sets name, value, … and sends it.
func (p *TestPage) Fill(pairs ...string) *TestPage {
	p.b.t.Helper()
	next, err := p.Page.Fill(pairs...)
	return p.b.page(next, err)
}

// Click follows the first link whose address holds part.
func (p *TestPage) Click(part string) *TestPage {
	p.b.t.Helper()
	next, err := p.Page.Click(part)
	return p.b.page(next, err)
}

// Want fails the test unless the page has this status and holds all these texts.
func (p *TestPage) Want(status int, texts ...string) *TestPage {
	p.b.t.Helper()
	if p.Status != status {
		p.b.t.Fatalf("%s: status %d, want %d\nhops: %q\n%.600s", p.URL, p.Status, status, p.b.Hops, p.Text())
	}
	for _, text := range texts {
		if !p.Has(text) {
			p.b.t.Fatalf("%s: %q is not in the answer:\n%.1200s", p.URL, text, p.Body)
		}
	}
	return p
}

// Without fails the test if the page holds one of these texts.
func (p *TestPage) Without(texts ...string) *TestPage {
	p.b.t.Helper()
	for _, text := range texts {
		if p.Has(text) {
			p.b.t.Fatalf("%s: %q must not be in the answer:\n%.1200s", p.URL, text, p.Body)
		}
	}
	return p
}
