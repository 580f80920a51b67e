package module_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// wam is an access manager in front of us, at these addresses.
func wam(from string) string {
	return "provider wam header {\nuser SM_USER\nattribute groups SM_USERGROUPS ^\nattribute employee EMPLOYEEID\nfrom " + from + "\n}\nexpected_underscore_headers SM_USER SM_USERGROUPS\n"
}

const wamFlow = "flow staff {\nlogin wam corp\n}\n"

const wamSite = "protect staff {\nheaders siteminder\nheader X-Key {user.key}\nheader X-Employee {user.employee}\nheader X-Groups {user.groups}\nrequire /admin/* `\"admins\" in user.groups`\npublic /public/*\n}\nreverse_proxy {APP}"

// as sends one request as the access manager would, or whoever imitates it.
func (g *gateway) by(b *browser.Browser, path string, pairs ...string) *browser.Page {
	g.t.Helper()
	h := http.Header{}
	for i := 0; i+1 < len(pairs); i += 2 {
		h[pairs[i]] = append(h[pairs[i]], pairs[i+1])
	}
	return g.send(b, browser.Request{URL: g.url(path), Header: h})
}

// TestI18HeaderSignsInWithinTheRequest: no page, no redirect; a cookie, and the same
// name out as in.
func TestI18HeaderSignsInWithinTheRequest(t *testing.T) {
	g := start(t, people(t)+wam("127.0.0.0/8")+wamFlow, wamSite)
	b := newBrowser(t)
	p := g.by(b, "/a?q=1", "SM_USER", "anna", "SM_USERGROUPS", "staff^admins", "EMPLOYEEID", "00427")
	landed(t, p, "/a?q=1", "wam:anna")
	for name, value := range map[string]string{"SM_USER": "anna", "X-Groups": "staff,admins", "X-Employee": "00427"} {
		if got := header(p.Body, name); len(got) != 1 || got[0] != value {
			t.Errorf("%s arrived as %q\n%s", name, got, p.Body)
		}
	}
	if header(p.Body, "EMPLOYEEID") != nil || header(p.Body, "Employeeid") != nil {
		t.Error("what the provider reads goes through to the application")
	}
	if !g.hasTicket(b) || !strings.HasPrefix(p.Body, "GET /a?q=1 ") {
		t.Errorf("cookie %v\n%s", g.hasTicket(b), p.Body)
	}
	landed(t, g.by(b, "/admin/x", "SM_USER", "anna"), "/admin/x", "wam:anna")
	if n := g.count("login"); n != 1 {
		t.Errorf("%d logins for one browser", n)
	}
	e := g.events("login", 1)[0]
	if e["user"] != "wam:anna" || e["provider"] != "wam" {
		t.Errorf("the trail says %v", e)
	}
	for _, r := range []browser.Request{
		{Method: http.MethodPost, Body: "a=1", Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}},
		{Script: true},
		{Method: http.MethodPut, Body: "x"},
	} {
		r.URL = g.url("/b")
		if r.Header == nil {
			r.Header = http.Header{}
		}
		r.Header["SM_USER"] = []string{"bert"}
		p := g.send(newBrowser(t), r)
		landed(t, p, "/b", "wam:bert")
		if r.Body != "" && !strings.HasSuffix(p.Body, r.Body) {
			t.Errorf("the body is lost:\n%s", p.Body)
		}
	}
	// Without cookies it is a login for each request, and never a loop.
	for range 6 {
		landed(t, g.by(newBrowser(t), "/a", "SM_USER", "anna"), "/a", "wam:anna")
	}
	want(t, g.by(newBrowser(t), "/admin/x", "SM_USER", "anna"), http.StatusForbidden)
}

// TestI18HeaderIsBelievedFromItsPeerOnly: neither X-Forwarded-For nor a second
// header, nor another spelling, makes anybody the access manager.
func TestI18HeaderIsBelievedFromItsPeerOnly(t *testing.T) {
	nobody := func(t *testing.T, g *gateway, what string, pairs ...string) {
		t.Helper()
		b := newBrowser(t)
		if p := g.by(b, "/a", pairs...); p.Status != http.StatusSeeOther && p.Status != http.StatusUnauthorized || g.hasTicket(b) {
			t.Errorf("%s: %d\n%s", what, p.Status, p.Body)
		}
		if p := g.by(b, "/public/x", pairs...); strings.Contains(strings.ToLower(p.Body), "mallory") || p.Status != http.StatusOK {
			t.Errorf("%s: the application reads\n%s", what, p.Body)
		}
	}
	for name, more := range map[string]string{"another peer": "", "another peer, behind a trusted proxy": "trusted_proxies static 127.0.0.0/8\n"} {
		t.Run(name, func(t *testing.T) {
			g := start(t, people(t)+wam("10.1.2.3 192.0.2.0/24")+wamFlow+more, wamSite)
			for _, n := range []string{"SM_USER", "sm_user", "SM-USER", "Sm_User", "SM.USER"} {
				nobody(t, g, n, n, "mallory")
				nobody(t, g, n, n, "mallory", "X-Forwarded-For", "10.1.2.3", "Forwarded", "for=10.1.2.3", "X-Real-IP", "10.1.2.3", "Client-IP", "10.1.2.3")
			}
		})
	}
	t.Run("the peer", func(t *testing.T) {
		g := start(t, people(t)+wam("127.0.0.1")+wamFlow, wamSite)
		nobody(t, g, "twice", "SM_USER", "anna", "SM_USER", "mallory")
		nobody(t, g, "twice, in two cases", "SM_USER", "anna", "sm_user", "mallory")
		for _, pairs := range [][]string{ // of these Caddy lets the expected one in alone
			{"SM_USER", "anna", "SM-USER", "mallory"}, {"SM_USER", "anna", "Sm.User", "mallory"}, {"SM_USER", "anna", "SM_USERGROUPS", "staff", "SM-USERGROUPS", "mallory"},
		} {
			if p := g.by(newBrowser(t), "/a", pairs...); strings.Contains(p.Body, "mallory") {
				t.Errorf("%v: %s", pairs, p.Body)
			}
		}
		nobody(t, g, "in another spelling", "SM-USER", "mallory")
		nobody(t, g, "an attribute twice", "SM_USER", "mallory", "EMPLOYEEID", "1", "EMPLOYEEID", "2")
		nobody(t, g, "empty", "SM_USER", "")
		nobody(t, g, "no text", "SM_USER", "mallory\xff")
		nobody(t, g, "long", "SM_USER", "mallory"+strings.Repeat("x", 300))
		landed(t, g.by(newBrowser(t), "/a", "sm_user", "anna"), "/a", "wam:anna")
	})
}

// TestI18HeaderIsComparedOnEveryRequest: another or no name ends the session, also
// for what needs no login, and for sockets.
func TestI18HeaderIsComparedOnEveryRequest(t *testing.T) {
	g := start(t, people(t)+wam("127.0.0.0/8")+wamFlow, wamSite)
	session := func() (*browser.Browser, http.Cookie) {
		t.Helper()
		b := newBrowser(t)
		landed(t, g.by(b, "/a", "SM_USER", "anna"), "/a", "wam:anna")
		return b, *ticketOf(t, g, b)
	}
	over := func(what string, c http.Cookie, n int) {
		t.Helper()
		if p := g.get("/a", c.Name+"="+c.Value, "SM_USER", "anna"); !g.granted(p) {
			t.Errorf("%s: the old session is still good", what)
		}
		if e := g.events("session_ended", n); len(e) != n {
			t.Errorf("%s: %d sessions ended, want %d", what, len(e), n)
		}
	}
	b, c := session()
	landed(t, g.by(b, "/a", "SM_USER", "bert"), "/a", "wam:bert")
	if e := g.events("session_ended", 1)[0]; e["user"] != "wam:anna" || e["reason"] != "user_mismatch" {
		t.Errorf("the trail says %v", e)
	}
	over("another name", c, 1)

	b, c = session()
	p := g.by(b, "/a")
	if p.Status != http.StatusSeeOther || !strings.HasPrefix(p.Header.Get("Location"), "/.identity/flow") {
		t.Errorf("no name: %d to %s", p.Status, p.Header.Get("Location"))
	}
	if e := g.events("session_ended", 2)[1]; e["reason"] != "not_vouched" {
		t.Errorf("the trail says %v", e)
	}
	over("no name", c, 2)

	for i, pairs := range [][]string{
		{"/public/x"},
		{"/.identity/session"},
		{"/a", "SM_USER", "anna", "SM_USER", "anna"},
		{"/a", "SM-USER", "anna"},
		{"/a", "Connection", "Upgrade", "Upgrade", "websocket", "Origin", strings.TrimSuffix(g.url(""), "/")},
	} {
		b, c = session()
		g.by(b, pairs[0], pairs[1:]...)
		over(fmt.Sprint(pairs), c, 3+i)
	}
	// The name goes through the session as it was while it is the same.
	b, _ = session()
	for range 5 {
		landed(t, g.by(b, "/a", "SM_USER", "anna"), "/a", "wam:anna")
	}
}

// TestI18HeaderBesideALogin: without the header the others are asked; a session that
// does not rest on it is nobody's to compare.
func TestI18HeaderBesideALogin(t *testing.T) {
	g := start(t, people(t)+wam("127.0.0.0/8")+wamFlow, wamSite)
	b := g.signedIn("/a", "alice", "alicepw")
	landed(t, g.by(b, "/a", "SM_USER", "anna"), "/a", "corp:alice")
	landed(t, g.by(b, "/a"), "/a", "corp:alice")
	if p := g.open(newBrowser(t), g.url("/.identity/login?provider=wam&return_to=/a")); !p.Has("password") {
		t.Errorf("a wish for it: %d\n%s", p.Status, p.Text())
	}
	t.Run("alone", func(t *testing.T) {
		g := start(t, wam("127.0.0.0/8")+"flow staff {\nlogin wam\n}\n", wamSite)
		p := g.open(newBrowser(t), g.url("/a"))
		if p.Status != http.StatusForbidden || g.lastDenied("login_denied", 1)["reason"] != "not_vouched" {
			t.Fatalf("got %d\n%s", p.Status, p.Text())
		}
		want(t, g.send(newBrowser(t), browser.Request{URL: g.url("/a"), Script: true}), http.StatusUnauthorized)
		landed(t, g.by(newBrowser(t), "/a", "SM_USER", "anna"), "/a", "wam:anna")
	})
	t.Run("and a page", func(t *testing.T) {
		g := start(t, people(t)+wam("127.0.0.0/8")+"flow staff {\nlogin wam\nlogin corp\n}\n", wamSite)
		p := g.by(newBrowser(t), "/a", "SM_USER", "anna")
		if p.Status != http.StatusSeeOther || !strings.HasPrefix(p.Header.Get("Location"), "/.identity/flow") {
			t.Errorf("a navigation goes to the page: %d to %s", p.Status, p.Header.Get("Location"))
		}
		p = g.send(newBrowser(t), browser.Request{URL: g.url("/a"), Script: true, Header: http.Header{"SM_USER": {"anna"}}})
		if p.Status != http.StatusUnauthorized || p.Header["Set-Cookie"] != nil {
			t.Errorf("a program hears so: %d %v", p.Status, p.Header["Set-Cookie"])
		}
	})
}

// TestI18HeaderOwnCookies: the application's cookies arrive beside ours.
func TestI18HeaderOwnCookies(t *testing.T) {
	g := start(t, people(t)+wam("127.0.0.0/8")+wamFlow, wamSite)
	g.app.set(func(string) string {
		return "HTTP/1.1 200 OK\r\nSet-Cookie: theirs=1\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
	})
	b := newBrowser(t)
	p := g.by(b, "/a", "SM_USER", "anna")
	if p.Status != http.StatusOK || !g.granted(p) || !strings.Contains(fmt.Sprint(p.Header["Set-Cookie"]), "theirs=1") {
		t.Errorf("%d %v", p.Status, p.Header["Set-Cookie"])
	}
}

// Caddy drops names with an underscore unless it is told: who forgets that reads so.
func TestHeaderThatNeverArrivesIsRefused(t *testing.T) {
	g := start(t, people(t), plainSite)
	without := strings.ReplaceAll(wam("127.0.0.1"), "expected_underscore_headers SM_USER SM_USERGROUPS\n", "")
	err := g.load(people(t)+without+wamFlow, wamSite)
	if err == nil || !strings.Contains(err.Error(), "servers { expected_underscore_headers SM_USER }") {
		t.Errorf("got %v", err)
	}
	if err := g.load(people(t)+without+"expected_underscore_headers sm_*\n"+wamFlow, wamSite); err != nil {
		t.Error(err)
	}
}

// TestI18HeaderByClientCertificate: over TLS and HTTP/2, by a certificate that the site
// verifies, and by no other and none.
func TestI18HeaderByClientCertificate(t *testing.T) {
	g := start(t, people(t), plainSite) // for its folder
	port := freePort(t)
	folder := func(name string) string {
		dir := filepath.Join(g.dir, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	cert, key := ownCertificate(t, folder("server"))
	wamCert, wamKey := ownCertificate(t, folder("wam"))
	otherCert, otherKey := ownCertificate(t, folder("other"))
	global := people(t) + strings.Replace(wam(""), "from ", "client_cert", 1) + wamFlow
	site := fmt.Sprintf("http://127.0.0.1:{PORT} {\nbind 127.0.0.1\n%s\n}\nhttps://localhost:%d {\nbind 127.0.0.1\ntls %s %s {\nclient_auth {\nmode verify_if_given\ntrust_pool file %s\n}\n}\n%s\n}\n", wamSite, port, cert, key, wamCert, wamSite)
	if err := g.load(global, site); err != nil {
		t.Fatal(err)
	}
	ask := func(cert, key string) (int, string, error) {
		c := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // the test's own certificate
		if cert != "" {
			pair, err := tls.LoadX509KeyPair(cert, key)
			if err != nil {
				t.Fatal(err)
			}
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
		tr := &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", port))
		}}
		defer tr.CloseIdleConnections()
		r := mustRequest(t, fmt.Sprintf("https://localhost:%d/a", port))
		r.Header["Sm_user"] = []string{"anna"}
		res, err := tr.RoundTrip(r)
		if err != nil {
			return 0, "", err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if res.ProtoMajor != 2 {
			t.Errorf("spoken was %s", res.Proto)
		}
		return res.StatusCode, string(body), err
	}
	if status, body, err := ask(wamCert, wamKey); err != nil || status != http.StatusOK || header(body, "X-Key")[0] != "wam:anna" {
		t.Errorf("the access manager: %d %v\n%s", status, err, body)
	}
	if status, _, err := ask("", ""); err != nil || status != http.StatusUnauthorized {
		t.Errorf("without a certificate: %d %v", status, err)
	}
	if status, _, err := ask(otherCert, otherKey); err == nil && status == http.StatusOK {
		t.Errorf("with another certificate: %d", status)
	}
	if p := g.by(newBrowser(t), "/a", "SM_USER", "anna"); p.Status == http.StatusOK {
		t.Errorf("in the clear: %d", p.Status)
	}
}
