package module_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/module"
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
				sendsOn(t, p)
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
			g.notKept(g.raw(http.MethodPost, "/save", strings.Repeat("x", 8<<10), h...))
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

func TestI21TicketOfAnotherHostKeepsNothing(t *testing.T) {
	clock := newClock(t)
	g := start(t, people(t), fmt.Sprintf(heldSite, ""))
	b := g.signedIn("/a", "alice", "alicepw")
	clock.Advance(31 * time.Minute)
	other := fmt.Sprintf("localhost:%d", g.port) // an origin of its own
	g.notKept(g.raw(http.MethodPost, "/save", "amount=10", "Host", other, "Cookie", g.ticketPair(b), "Accept", "text/html",
		"Content-Type", formType, "Origin", "http://"+other, "Sec-Fetch-Site", "same-origin"))
}

// A ticket is known for a day after its session, whatever ended it, and no longer.
func TestI21TicketsThatWereGood(t *testing.T) {
	for _, tc := range []struct {
		name string
		over func(*gateway, *testClock, *browser.Browser)
		kept bool
	}{
		{"idle", func(_ *gateway, c *testClock, _ *browser.Browser) { c.Advance(31 * time.Minute) }, true},
		{"at the end of its life", func(_ *gateway, c *testClock, _ *browser.Browser) { c.Advance(12*time.Hour + time.Minute) }, true},
		{"a day later", func(_ *gateway, c *testClock, _ *browser.Browser) { c.Advance(35 * time.Hour) }, true},
		{"two days later", func(_ *gateway, c *testClock, _ *browser.Browser) { c.Advance(48 * time.Hour) }, false},
		{"ended from elsewhere", func(g *gateway, c *testClock, _ *browser.Browser) {
			if err := theApp(g.t).EndUser(g.t.Context(), "corp:alice"); err != nil {
				g.t.Fatal(err)
			}
			c.Advance(time.Minute)
		}, true},
		{"ended, a day and a half ago", func(g *gateway, c *testClock, _ *browser.Browser) {
			if err := theApp(g.t).EndUser(g.t.Context(), "corp:alice"); err != nil {
				g.t.Fatal(err)
			}
			c.Advance(36 * time.Hour)
		}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			clock := newClock(t)
			g := start(t, people(t), fmt.Sprintf(heldSite, ""))
			b := g.signedIn("/form", "alice", "alicepw")
			page := g.open(b, g.url("/form"))
			tc.over(g, clock, b)
			g.app.forget()
			p := g.post(page, "/save", formType, "a=1")
			if !tc.kept {
				g.notKept(p)
				return
			}
			want(t, sendsOn(t, signsIn(t, p, "alice", "alicepw")), http.StatusOK)
			g.sentOnce("/save", formType, "a=1", "alice")
		})
	}
}

// Where a route asks anew, the session that is there says whose the form is.
func TestB09ARouteThatAsksAnew(t *testing.T) {
	g, clock, b, _ := overdue(t, "session {\nidle 5m\n}")
	page := g.open(b, g.url("/form"))
	signsIn(t, page, "alice", "alicepw")
	page = g.open(b, g.url("/form"))
	g.app.forget()
	clock.Advance(6 * time.Minute)
	want(t, sendsOn(t, signsIn(t, g.post(page, "/save", formType, "a=1"), "alice", "alicepw")), http.StatusOK)
	g.sentOnce("/save", formType, "a=1", "alice")
}

func TestI21OnlyThePersonWhoSentIt(t *testing.T) {
	g, _, b, page := overdue(t, "")
	p := signsIn(t, g.post(page, "/save", formType, "a=secret"), "bob", "bobpw")
	if p.Status != http.StatusForbidden || !p.Has("belongs to another account") || p.Has("secret") {
		t.Fatalf("somebody else: %d\n%s", p.Status, p.Text())
	}
	if n := g.held(); n != 0 || len(g.received()) != 0 {
		t.Fatalf("%d bytes are kept for nobody, %d requests were sent", n, len(g.received()))
	}
	if e := g.events("denied", 1); e[0]["reason"] != "anothers_request" || e[0]["user"] != "corp:bob" {
		t.Fatalf("the trail: %v", e)
	}
	back, err := p.Click("/form?x=1")
	if err != nil {
		t.Fatal(err)
	}
	want(t, back, http.StatusOK)
	_ = b
}

func TestI21TheMarkerIsGoodOnceInItsBrowser(t *testing.T) {
	g, _, b, page := overdue(t, "")
	p := signsIn(t, g.post(page, "/save", formType, "a=1"), "alice", "alicepw")
	f, err := p.FormWith("identity_held")
	if err != nil {
		t.Fatal(err)
	}
	marker := func(b *browser.Browser, path string, more ...string) *browser.Page {
		h := append([]string{"Cookie", g.cookies(b), "Accept", "text/html", "Content-Type", formType}, more...)
		return g.raw(http.MethodPost, path, f.Fields.Encode(), h...)
	}
	own := []string{"Origin", g.url(""), "Sec-Fetch-Site", "same-origin"}
	other := g.signedIn("/a", "alice", "alicepw") // the same person elsewhere
	nobody := newBrowser(t)
	for what, got := range map[string]struct {
		p      *browser.Page
		status int
	}{
		"in another browser of the person": {marker(other, "/save", own...), http.StatusGone},
		"in nobody's browser":              {marker(nobody, "/save", own...), http.StatusUnauthorized},
		"from another site":                {marker(b, "/save", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"), http.StatusForbidden},
		"from nowhere":                     {marker(b, "/save"), http.StatusForbidden},
		"to another address":               {marker(b, "/pay", own...), http.StatusGone},
		"to the address with a query":      {marker(b, "/save?x=1", own...), http.StatusGone},
	} {
		if got.p.Status != got.status {
			t.Errorf("%s: %d, want %d", what, got.p.Status, got.status)
		}
	}
	if len(g.received()) != 0 {
		t.Fatalf("a marker that is not good was sent on: %q", g.received())
	}
	answers := make(chan int, 8)
	for range cap(answers) {
		go func() { answers <- marker(b, "/save", own...).Status }()
	}
	sent := 0
	for range cap(answers) {
		if s := <-answers; s == http.StatusOK {
			sent++
		} else if s != http.StatusConflict {
			t.Errorf("the marker again: %d", s)
		}
	}
	if sent != 1 {
		t.Errorf("sent %d times", sent)
	}
	g.sentOnce("/save", formType, "a=1", "alice")
	if p := marker(b, "/save", own...); p.Status != http.StatusConflict || !p.Has("not sent a second time") {
		t.Errorf("once more: %d %s", p.Status, p.Text())
	}
}

func TestI21ABoundedArea(t *testing.T) {
	g, clock, b, page := overdue(t, "")
	var pages []*browser.Page
	for i := range 4 { // the fourth takes the place of the first
		pages = append(pages, g.post(page, "/save", formType, fmt.Sprint("tab=", i)))
	}
	if n := g.held(); n > 3*(2<<10) {
		t.Fatalf("%d bytes of one browser", n)
	}
	p := signsIn(t, pages[0], "alice", "alicepw")
	if p.Status != http.StatusGone || !p.Has("nothing was sent") {
		t.Fatalf("the first of four: %d\n%s", p.Status, p.Text())
	}
	for i := 1; i < 4; i++ { // the other tabs find that somebody is signed in
		p = sendsOn(t, g.open(b, pages[i].URL))
		if want(t, p, http.StatusOK); !strings.HasSuffix(p.Body, fmt.Sprint("tab=", i)) {
			t.Fatalf("tab %d: %s", i, p.Body)
		}
	}
	clock.Advance(31 * time.Minute)
	p = g.post(page, "/save", formType, "late=1")
	clock.Advance(10*time.Minute + time.Second)
	if n := g.held(); n != 0 {
		t.Fatalf("after ten minutes %d bytes are kept", n)
	}
	if p = signsIn(t, p, "alice", "alicepw"); p.Has("identity_held") || len(g.received()) != 3 {
		t.Fatalf("sent after ten minutes: %d\n%s", p.Status, p.Text())
	}
}

func TestI21TooLongIsSaid(t *testing.T) {
	g, _, b, page := overdue(t, "preserve_post 1KiB")
	long := strings.Repeat("x", 1<<10+1)
	p := g.post(page, "/save", formType, long)
	if p.Status != http.StatusRequestEntityTooLarge || !p.Has("too long to be kept") || !p.Has("Sign in, then send again") || g.held() != 0 {
		t.Fatalf("too long: %d, %d bytes kept\n%s", p.Status, g.held(), p.Text())
	}
	c := g.trickle("POST /save HTTP/1.1\r\nHost: " + strings.TrimPrefix(g.url(""), "http://") + "\r\nCookie: " + g.cookies(b) + "\r\nAccept: text/html\r\nOrigin: " + g.url("") +
		"\r\nTransfer-Encoding: chunked\r\nConnection: close\r\nContent-Type: " + formType + "\r\n\r\n401\r\n" + long + "\r\n0\r\n\r\n")
	if text, _ := io.ReadAll(c); !strings.HasPrefix(string(text), "HTTP/1.1 413 ") || g.held() != 0 {
		t.Fatalf("too long, in chunks: %.300s", text)
	}
	want(t, g.post(page, "/save", formType, long[1:]), http.StatusOK) // the sign-in page
	if g.held() == 0 {
		t.Fatal("what is as long as allowed was not kept")
	}
}

func TestI21Off(t *testing.T) {
	g, _, _, page := overdue(t, "preserve_post off")
	g.notKept(g.post(page, "/save", formType, "a=1"))
}

// A body that never ends holds no room and no connection (C12).
func TestI21ASlowBodyIsCutOff(t *testing.T) {
	defer module.SetBodyPatience(100 * time.Millisecond)()
	g, _, b, _ := overdue(t, "")
	c := g.trickle("POST /save HTTP/1.1\r\nHost: " + strings.TrimPrefix(g.url(""), "http://") + "\r\nCookie: " + g.cookies(b) + "\r\nAccept: text/html\r\nOrigin: " + g.url("") +
		"\r\nContent-Length: 200000\r\nContent-Type: " + formType + "\r\n\r\na=")
	if text, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(text), "HTTP/1.1 408 ") || g.held() != 0 {
		t.Fatalf("a slow body: %v %.300s", err, text)
	}
}

// A reload between the form and the login loses nothing (B18).
func TestB09SurvivesAReload(t *testing.T) {
	g, _, _, page := overdue(t, "")
	p := g.post(page, "/save", formType, "a=1")
	if err := g.load(people(t), fmt.Sprintf(heldSite, "header X-New {user.name}")); err != nil {
		t.Fatal(err)
	}
	p = signsIn(t, g.open(page.Browser, p.URL), "alice", "alicepw")
	want(t, sendsOn(t, p), http.StatusOK)
	g.sentOnce("/save", formType, "a=1", "alice")
}

// Who lost what was kept is told before anything is sent (a restart, another node).
func TestB09NotKeptHere(t *testing.T) {
	g, _, _, page := overdue(t, "")
	p := g.post(page, "/save", formType, "a=1")
	theApp(t).LoseHeld()
	p = signsIn(t, p, "alice", "alicepw")
	if p.Status != http.StatusGone || !p.Has("not kept here any more") || len(g.received()) != 0 {
		t.Fatalf("nothing is kept: %d\n%s", p.Status, p.Text())
	}
	if back, err := p.Click("/form?x=1"); err != nil || back.Status != http.StatusOK {
		t.Fatalf("the way back to the form: %v", err)
	}
}

// A marker is judged by the gate of what it stands for.
func TestI21AMarkerChoosesNoOtherGate(t *testing.T) {
	clock := newClock(t)
	site := "@json header Content-Type application/json*\nprotect @json {\nrequire `false`\n}\nprotect {\nheader X-User {user.name}\n}\nreverse_proxy {APP}"
	g := start(t, people(t), site)
	b := g.signedIn("/form", "alice", "alicepw")
	page := g.open(b, g.url("/form"))
	clock.Advance(31 * time.Minute)
	g.app.forget()
	p := sendsOn(t, signsIn(t, g.post(page, "/save", "application/json", "{}"), "alice", "alicepw"))
	if p.Status != http.StatusForbidden && p.Status != http.StatusGone || len(g.received()) != 0 {
		t.Fatalf("the gate of JSON refuses, but: %d %q", p.Status, g.received())
	}
}

func TestB09WithAPortal(t *testing.T) {
	clock := newClock(t)
	g := newTown(t, "")
	b := newBrowser(t)
	g.at(g.open(b, g.on("one", "/form")), "one", "/form")
	page := g.open(b, g.on("one", "/form"))
	clock.Advance(31 * time.Minute)
	g.app.forget()
	p, err := b.Navigate(browser.Request{Method: http.MethodPost, URL: g.on("one", "/save"), From: page, Body: "a=1", Header: http.Header{"Content-Type": {formType}}})
	if err != nil {
		t.Fatal(err)
	}
	g.at(sendsOn(t, p), "one", "/save")
	g.sentOnce("/save", formType, "a=1", "alice")
}
