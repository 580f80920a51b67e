package module_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/examples/browser"
)

const formType = "application/x-www-form-urlencoded"

// heldSite shows who sends, and judges what is sent.
const heldSite = "protect {\nheader X-User {user.name}\nrequire /checked `request.form.amount == \"10\"`\n%s\n}\nreverse_proxy {APP}"

// overdue is a gateway and a browser whose session of alice is over; page is the one
// that its form is on.
func overdue(t *testing.T, more string) (g *gateway, clock *testClock, b *browser.Browser, page *browser.Page) {
	t.Helper()
	clock = newClock(t)
	g = start(t, people(t), fmt.Sprintf(heldSite, more))
	b = g.signedIn("/form?x=1", "alice", "alicepw")
	page = g.open(b, g.url("/form?x=1"))
	clock.Advance(31 * time.Minute)
	g.app.forget()
	return g, clock, b, page
}

// post sends a form as the page's own does, and follows the redirects.
func (g *gateway) post(page *browser.Page, path, typ, body string) *browser.Page {
	g.t.Helper()
	p, err := page.Browser.Navigate(browser.Request{Method: http.MethodPost, URL: g.url(path), From: page, Body: body, Header: http.Header{"Content-Type": {typ}}})
	if err != nil {
		g.t.Fatal(err)
	}
	return p
}

// signsIn answers the sign-in page that a form led to.
func signsIn(t *testing.T, p *browser.Page, name, password string) *browser.Page {
	t.Helper()
	p, err := p.Fill("username", name, "password", password)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// sendsOn presses the button of the page that sends what was kept.
func sendsOn(t *testing.T, p *browser.Page) *browser.Page {
	t.Helper()
	f, err := p.FormWith("identity_held")
	if err != nil {
		t.Fatalf("%v\nhops %v", err, p.Browser.Hops)
	}
	if p, err = f.Submit(); err != nil {
		t.Fatal(err)
	}
	return p
}

// notKept fails unless the answer says to sign in and send again, and leads nowhere by itself.
func (g *gateway) notKept(p *browser.Page) {
	g.t.Helper()
	if p.Status != http.StatusUnauthorized || !p.Has("Sign in, then send again") || len(p.Header["Set-Cookie"]) > 0 {
		g.t.Fatalf("want the page that says send again, got %d at %s\n%s", p.Status, p.URL, p.Text())
	}
	if n := g.held(); n != 0 {
		g.t.Fatalf("%d bytes are kept", n)
	}
}

// received are the POSTs that the application got: type and body.
func (g *gateway) received() (bodies []string) {
	for _, r := range g.app.requests() {
		head, _, _ := strings.Cut(r, "\r\n")
		if !strings.HasPrefix(head, "GET") {
			bodies = append(bodies, r)
		}
	}
	return bodies
}

// sentOnce fails unless the application got one POST, of these very bytes.
func (g *gateway) sentOnce(path, typ, body, user string) {
	g.t.Helper()
	got := g.received()
	if len(got) != 1 {
		g.t.Fatalf("the application got %d requests", len(got))
	}
	head := strings.TrimSuffix(got[0], body)
	if head == got[0] && body != "" || !strings.HasPrefix(head, "POST "+path+" HTTP/1.1\r\n") {
		g.t.Fatalf("the application got another request: %.500q", got[0])
	}
	for name, want := range map[string]string{"Content-Type": typ, "Content-Length": fmt.Sprint(len(body)), "X-User": user} {
		if v := header(head, name); len(v) != 1 || v[0] != want {
			g.t.Fatalf("%s is %q, want %q", name, v, want)
		}
	}
	if v := header(head, "Referer"); len(v) != 1 || strings.Contains(v[0], "/.identity") {
		g.t.Fatalf("the application sees where it was kept: %q", v)
	}
}

func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return string(b)
}

// A form sent after the session had ended arrives as it was, once (B09).
func TestB09AFormSurvivesTheLogin(t *testing.T) {
	var multi bytes.Buffer
	w := multipart.NewWriter(&multi)
	f, _ := w.CreateFormFile("file", "a.bin")
	_, _ = f.Write([]byte(random(100 << 10)))
	_ = w.Close()
	big := url.Values{"amount": {"10"}, "text": {base64.StdEncoding.EncodeToString([]byte(random(150 << 10)))}}.Encode()
	for _, tc := range []struct{ name, path, typ, body string }{
		{"a form of 200 KB", "/save?a=1&b=%2F;", formType, big[:200_000]},
		{"a file", "/save", w.FormDataContentType(), multi.String()},
		{"JSON", "/save?x=%7C|", "application/json", `{"amount": 10, "to":"b\u0000b"}`},
		{"bytes", "/save", "text/plain", random(256 << 10)},
		{"judged by its fields", "/checked", formType, "amount=10&to=bob"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g, _, _, page := overdue(t, "")
			p := signsIn(t, g.post(page, tc.path, tc.typ, tc.body), "alice", "alicepw")
			if len(g.received()) != 0 {
				t.Fatal("it was sent before its person came to the page")
			}
			again := p.URL
			p = sendsOn(t, p)
			if want(t, p, http.StatusOK); p.URL != g.url(tc.path) {
				t.Fatalf("the answer is at %s", p.URL)
			}
			g.sentOnce(tc.path, tc.typ, tc.body, "alice")
			// The page that sent it, once more; and its answer, loaded again.
			p = g.open(page.Browser, again)
			if p.Status == http.StatusOK && p.Has("identity_held") {
				p = sendsOn(t, p)
			}
			if len(g.received()) != 1 {
				t.Fatal("a reload sent it again")
			}
			if n := g.held(); n > 4<<10 {
				t.Fatalf("%d bytes are still kept", n)
			}
		})
	}
}

func TestB09WhatIsSentOnIsJudged(t *testing.T) {
	g, _, _, page := overdue(t, "")
	p := sendsOn(t, signsIn(t, g.post(page, "/checked", formType, "amount=11"), "alice", "alicepw"))
	if want(t, p, http.StatusForbidden); len(g.received()) != 0 {
		t.Fatal("a condition did not see what was sent on")
	}
}

func TestI21OnlyFromOurOwnPages(t *testing.T) {
	g, _, b, page := overdue(t, "")
	own := g.url("")
	for name, set := range map[string][]string{
		"another site's page":       {"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"},
		"a sibling's page":          {"Origin", "http://evil.127.0.0.1", "Sec-Fetch-Site", "same-site"},
		"typed":                     {"Sec-Fetch-Site", "none"},
		"no word of where from":     {},
		"an opaque origin":          {"Origin", "null"},
		"the header against Origin": {"Origin", own, "Sec-Fetch-Site", "cross-site"},
	} {
		t.Run(name, func(t *testing.T) {
			g.t = t
			h := append([]string{"Cookie", g.cookies(b), "Accept", "text/html", "Content-Type", formType}, set...)
			g.notKept(g.raw(http.MethodPost, "/save", "amount=10", h...))
		})
	}
	g.t = t
	old := []string{"Cookie", g.cookies(b), "Accept", "text/html", "Content-Type", formType, "Origin", own} // of before Sec-Fetch-Site
	want(t, g.raw(http.MethodPost, "/save", "amount=10", old...), http.StatusSeeOther)
	if g.held() == 0 {
		t.Fatal("a form of our own origin was not kept")
	}
	_ = page
}

func TestI21NothingOfStrangersIsKept(t *testing.T) {
	g, _, b, page := overdue(t, "")
	other := g.ticketPair(b)
	name, ticket, _ := strings.Cut(other, "=")
	raw, err := base64.RawURLEncoding.DecodeString(ticket)
	if err != nil {
		t.Fatal(err)
	}
	raw[31] ^= 1
	for what, cookie := range map[string]string{
		"nobody":                         "",
		"made up":                        name + "=" + base64.RawURLEncoding.EncodeToString([]byte(random(32))),
		"the handle with another secret": name + "=" + base64.RawURLEncoding.EncodeToString(raw),
		"no ticket at all":               name + "=x",
		"under another name":             "x" + name + "=" + ticket,
		"a long row of made up ones":     strings.Repeat(name+"="+base64.RawURLEncoding.EncodeToString([]byte(random(32)))+"; ", 10) + other,
	} {
		t.Run(what, func(t *testing.T) {
			g.t = t
			h := []string{"Accept", "text/html", "Content-Type", formType, "Origin", g.url(""), "Sec-Fetch-Site", "same-origin"}
			if cookie != "" {
				h = append(h, "Cookie", cookie)
			}
			g.notKept(g.raw(http.MethodPost, "/save", strings.Repeat("x", 200<<10), h...))
		})
	}
	g.t = t
	for name, script := range map[string]browser.Request{
		"fetch": {Script: true},
		"XHR":   {Header: http.Header{"X-Requested-With": {"XMLHttpRequest"}}},
	} {
		script.Method, script.URL, script.From, script.Body = http.MethodPost, g.url("/save"), page, "amount=10"
		p := g.send(b, script)
		if p.Status != http.StatusUnauthorized || !strings.HasPrefix(p.Header.Get("Content-Type"), "application/json") || g.held() != 0 {
			t.Fatalf("%s: %d %s, %d bytes kept", name, p.Status, p.Body, g.held())
		}
	}
}

// ticketPair is the session cookie as it is sent.
func (g *gateway) ticketPair(b *browser.Browser) string {
	c := ticketOf(g.t, g, b)
	return c.Name + "=" + c.Value
}

// held is how much the area of kept requests holds.
func (g *gateway) held() int64 {
	g.t.Helper()
	a := theApp(g.t)
	return a.HeldBytes()
}
