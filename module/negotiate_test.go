package module_test

import (
	"encoding/base64"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/adapters/idp/kerberos/kerberostest"
	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// desks is a domain whose computers sign people in: provider desk, beside the accounts.
func desks(t testing.TB, lines string) (*kerberostest.Service, string) {
	t.Helper()
	s := kerberostest.NewService(t, "HTTP/app.example.com", "EXAMPLE.COM")
	path := s.Write(t, filepath.Join(t.TempDir(), "app.keytab"))
	return s, people(t) + "provider desk kerberos {\nkeytab " + path + "\n" + lines + "\n}\n"
}

const deskFlow = "flow staff {\nlogin corp desk\n}\n"

func token(t testing.TB, s *kerberostest.Service, name string) string {
	t.Helper()
	return "Negotiate " + base64.StdEncoding.EncodeToString(s.Ticket(t, name, time.Now()).Token(t))
}

// challenged opens an address as a browser that knows no tickets would see it.
func (g *gateway) challenged(b *browser.Browser, path string) *browser.Page {
	g.t.Helper()
	p := g.open(b, g.url(path))
	if got := p.Header.Values("WWW-Authenticate"); p.Status != http.StatusUnauthorized || len(got) != 1 || got[0] != "Negotiate" || !strings.HasPrefix(p.Path(), "/.identity/flow") {
		g.t.Fatalf("want to be asked for a ticket, got %d at %s, %v\n%s", p.Status, p.URL, got, p.Text())
	}
	return p
}

// shows answers that as one that has a ticket.
func (g *gateway) shows(p *browser.Page, ticket string) *browser.Page {
	g.t.Helper()
	return g.send(p.Browser, browser.Request{URL: p.URL, Header: http.Header{"Authorization": {ticket}}})
}

// goOn presses the only button of a page, or does what its script does.
func goOn(t testing.TB, p *browser.Page) *browser.Page {
	t.Helper()
	f, err := p.FormWith("token")
	if err != nil {
		t.Fatal(err)
	}
	if p, err = f.Submit(); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestNegotiateSignsIn: a browser with a ticket comes to where it wanted without a page.
func TestNegotiateSignsIn(t *testing.T) {
	s, global := desks(t, "")
	g := start(t, global+deskFlow, whoSite)
	b := newBrowser(t)
	p := g.shows(g.challenged(b, "/a?q=1"), token(t, s, "anna"))
	if p.Status != http.StatusSeeOther || p.Header.Get("Location") != g.url("/a?q=1") || p.Header.Get("WWW-Authenticate") != "" || !g.hasTicket(b) {
		t.Fatalf("%d to %q\n%s", p.Status, p.Header.Get("Location"), p.Text())
	}
	landed(t, g.open(b, g.url("/a?q=1")), "/a?q=1", "desk:anna@EXAMPLE.COM")
	if e := g.events("login", 1)[0]; e["user"] != "desk:anna@EXAMPLE.COM" || e["provider"] != "desk" {
		t.Errorf("the trail says %v", e)
	}
}

// TestNegotiateLeadsToTheOthers: who has no ticket, or NTLM, signs in by another
// provider: by a button, by itself where scripts run, and without a second challenge.
func TestNegotiateLeadsToTheOthers(t *testing.T) {
	s, global := desks(t, "")
	g := start(t, global+deskFlow+"max_header_size 128KiB\n", whoSite)
	b := newBrowser(t)
	p := g.challenged(b, "/a")
	if !strings.Contains(p.Body, `id="onward"`) || !strings.Contains(p.Body, `getElementById("onward")`) {
		t.Errorf("nothing goes on by itself:\n%s", p.Body)
	}
	p = goOn(t, p)
	if p.Status != http.StatusOK || !p.Has("password") || p.Header.Get("WWW-Authenticate") != "" || p.Has(`role="alert"`) {
		t.Fatalf("without a ticket: %d\n%s", p.Status, p.Text())
	}
	p, err := p.Fill("username", "alice", "password", "alicepw")
	if err != nil {
		t.Fatal(err)
	}
	landed(t, p, "/a", "corp:alice")

	stranger := kerberostest.NewService(t, "HTTP/app.example.com", "EXAMPLE.COM")
	for what, ticket := range map[string]string{
		"NTLM":                 "Negotiate " + base64.StdEncoding.EncodeToString([]byte("NTLMSSP\x00\x01\x00\x00\x00\x07\x82\x08\xa2")),
		"a ticket for another": token(t, stranger, "anna"),
		"no base64":            "Negotiate *",
		"nothing":              "negotiate",
		"a huge one":           "Negotiate " + strings.Repeat("A", 100<<10),
		"a computer":           token(t, s, "PC7$"),
	} {
		b := newBrowser(t)
		asked := g.challenged(b, "/a")
		p := g.shows(asked, ticket)
		if p.Status != http.StatusForbidden || !p.Has("password") || !p.Has(`role="alert"`) || p.Header.Get("WWW-Authenticate") != "" || g.hasTicket(b) {
			t.Errorf("%s: %d\n%s", what, p.Status, p.Text())
			continue
		}
		if p := g.open(b, asked.URL); p.Status != http.StatusOK || !p.Has("password") {
			t.Errorf("%s, opened again: %d\n%s", what, p.Status, p.Text())
		}
		if p := g.shows(asked, token(t, s, "anna")); p.Status != http.StatusOK || g.hasTicket(b) {
			t.Errorf("%s, a ticket that nobody asks for any more: %d", what, p.Status)
		}
		if p, err = p.Fill("username", "alice", "password", "alicepw"); err != nil {
			t.Fatal(err)
		}
		landed(t, p, "/a", "corp:alice")
	}
}

// TestNegotiateOnlyInANavigation: a script, a frame and a prefetch are not asked, nor is
// what they bring believed; and nothing but the run's own address takes a ticket.
func TestNegotiateOnlyInANavigation(t *testing.T) {
	s, global := desks(t, "")
	g := start(t, global+deskFlow, whoSite)
	b := newBrowser(t)
	p := g.challenged(b, "/a")
	for what, r := range map[string]browser.Request{
		"a script":   {Script: true, From: p},
		"a frame":    {Header: http.Header{"Sec-Fetch-Dest": {"iframe"}}},
		"a prefetch": {Header: http.Header{"Sec-Purpose": {"prefetch"}}},
		"a program":  {Header: http.Header{"Accept": {"application/json"}, "Sec-Fetch-Mode": {"cors"}}},
	} {
		r.URL = p.URL
		if r.Header == nil {
			r.Header = http.Header{}
		}
		r.Header.Set("Authorization", token(t, s, "anna"))
		if got := g.send(b, r); got.Header.Get("WWW-Authenticate") == "Negotiate" || g.hasTicket(b) {
			t.Errorf("%s: %d %v", what, got.Status, got.Header)
		}
	}
	for _, path := range []string{"/a", "/.identity/login?return_to=/a", "/.identity/account"} {
		if got := g.send(b, browser.Request{URL: g.url(path), Header: http.Header{"Authorization": {token(t, s, "anna")}}}); got.Header.Get("WWW-Authenticate") == "Negotiate" || g.hasTicket(b) {
			t.Errorf("%s: %d %v", path, got.Status, got.Header)
		}
	}
	// Nor does one count that comes without the login it belongs to (I10).
	other := newBrowser(t)
	if got := g.send(other, browser.Request{URL: p.URL, Header: http.Header{"Authorization": {token(t, s, "mallory")}}}); g.hasTicket(other) {
		t.Errorf("without the pending login: %d", got.Status)
	}
	if got := g.shows(p, token(t, s, "anna")); got.Status != http.StatusSeeOther || !g.hasTicket(b) {
		t.Errorf("after all of that: %d\n%s", got.Status, got.Text())
	}
}

// TestI09TicketsAreShownOnce: what one browser sent signs no other in, on this node or
// on another.
func TestI09TicketsAreShownOnce(t *testing.T) {
	s, global := desks(t, "")
	global += deskFlow
	g := start(t, global, whoSite)
	node := g.secondNode(global, whoSite)
	ticket := token(t, s, "anna")
	thief, late := newBrowser(t), newBrowser(t)
	seen, later := g.challenged(thief, "/a"), g.challenged(late, "/a")
	b := newBrowser(t)
	if p := g.shows(g.challenged(b, "/a"), ticket); p.Status != http.StatusSeeOther || !g.hasTicket(b) {
		t.Fatalf("%d\n%s", p.Status, p.Text())
	}
	if p := g.shows(seen, ticket); p.Status == http.StatusSeeOther || g.hasTicket(thief) || g.lastDenied("login_denied", 1)["reason"] != "replayed" {
		t.Errorf("shown again: %d\n%s", p.Status, p.Text())
	}
	r := g.navigates(strings.TrimPrefix(later.URL, g.url("")), g.cookies(late))
	r.Header.Set("Authorization", ticket)
	if w := node(r); w.Code == http.StatusSeeOther {
		t.Errorf("shown again on another node: %d %v", w.Code, w.Header())
	}
	if g.lastDenied("login_denied", 2)["reason"] != "replayed" {
		t.Error("the other node does not know that it was used")
	}
}

// TestNegotiateAlone: there is nobody else to ask, so the page says what to do.
func TestNegotiateAlone(t *testing.T) {
	s, global := desks(t, "")
	g := start(t, global+"flow staff {\nlogin desk\n}\n", whoSite)
	b := newBrowser(t)
	p := g.challenged(b, "/a")
	if strings.Contains(p.Body, `id="onward"`) {
		t.Error("it tries again by itself, for ever")
	}
	p = goOn(t, p)
	if p.Status != http.StatusUnauthorized || p.Header.Get("WWW-Authenticate") != "Negotiate" {
		t.Errorf("tried again: %d", p.Status)
	}
	if p := g.shows(p, "Negotiate AAAA"); p.Status != http.StatusForbidden || g.lastDenied("login_denied", 1)["reason"] != "ticket_refused" {
		t.Errorf("a bad one: %d\n%s", p.Status, p.Text())
	}
	p = g.shows(g.challenged(b, "/a"), token(t, s, "anna"))
	if p.Status != http.StatusSeeOther || !g.hasTicket(b) {
		t.Errorf("%d\n%s", p.Status, p.Text())
	}
}

// TestNegotiateWarnsOfShortHeaders: Caddy's default is shorter than many tickets.
func TestNegotiateWarnsOfShortHeaders(t *testing.T) {
	_, global := desks(t, "")
	g := start(t, global+deskFlow, whoSite)
	for lines, want := range map[string]bool{"": true, "max_header_size 96KiB\n": false} {
		warned := false
		for _, e := range g.logged(global+deskFlow+lines, whoSite)() {
			warned = warned || e["provider"] == "desk" && strings.Contains(e["msg"].(string), "max_header_size")
		}
		if warned != want {
			t.Errorf("%q: warned %v", lines, warned)
		}
	}
}
