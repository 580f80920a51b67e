package module_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/examples/browser"
)

const plainSite = "protect {\nheaders siteminder\n}\nreverse_proxy {APP}"

// want fails unless the page has this status.
func want(t testing.TB, p *browser.Page, status int) {
	t.Helper()
	if p.Status != status {
		t.Fatalf("%s: want %d, got %d\n%s", p.URL, status, p.Status, p.Text())
	}
}

// ticketOf is the session cookie a browser holds.
func ticketOf(t testing.TB, g *gateway, b *browser.Browser) *http.Cookie {
	t.Helper()
	name := fmt.Sprintf("sallyport-%d", g.port)
	for _, c := range b.Jar.Cookies(g.url("/")) {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no cookie %s among %v", name, b.Jar.Cookies(g.url("/")))
	return nil
}

// get sends one GET with a cookie header as it stands.
func (g *gateway) get(path, cookie string, more ...string) *browser.Page {
	g.t.Helper()
	h := http.Header{"Accept": {"text/html"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}}
	if cookie != "" {
		h.Set("Cookie", cookie)
	}
	for i := 0; i+1 < len(more); i += 2 {
		h[more[i]] = []string{more[i+1]}
	}
	req, err := http.NewRequest(http.MethodGet, g.url(path), nil)
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header = h
	tr := &http.Transport{DisableKeepAlives: true}
	res, err := tr.RoundTrip(req)
	if err != nil { // once more, as a browser does when Caddy closes a connection at a reload
		res, err = tr.RoundTrip(req)
	}
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	body := new(strings.Builder)
	_, _ = bufio.NewReader(res.Body).WriteTo(body)
	return &browser.Page{URL: g.url(path), Status: res.StatusCode, Header: res.Header, Body: body.String()}
}

func TestI13TicketIsGoodForOneOriginOnly(t *testing.T) {
	g := start(t, people(t), plainSite)
	b := g.signedIn("/a", "alice", "alicepw")
	c := ticketOf(t, g, b)
	want(t, g.get("/a", c.Name+"="+c.Value), http.StatusOK)
	// The same ticket at the other host of the site: another origin (S14).
	p := g.get("/a", c.Name+"="+c.Value, "X-Unused", "1")
	want(t, p, http.StatusOK)
	req, _ := http.NewRequest(http.MethodGet, g.url("/a"), nil)
	req.Host = fmt.Sprintf("localhost:%d", g.port)
	req.Header.Set("Cookie", c.Name+"="+c.Value)
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusUnauthorized {
		t.Errorf("a ticket of 127.0.0.1 shown at localhost: want 401, got %d", res.StatusCode)
	}
	// Half a ticket opens nothing, and the handle alone is no key of the cache.
	flipped := []byte(c.Value)
	flipped[30] ^= 1
	want(t, g.get("/a", c.Name+"="+string(flipped)), http.StatusSeeOther)
}

func TestB14LogoutEndsTheSession(t *testing.T) {
	g := start(t, people(t), plainSite)
	b := g.signedIn("/a", "alice", "alicepw")
	c := ticketOf(t, g, b)
	p, err := b.Navigate(browser.Request{Method: http.MethodPost, URL: g.url("/.identity/logout"), From: g.open(b, g.url("/a"))})
	if err != nil {
		t.Fatal(err)
	}
	want(t, p, http.StatusOK)
	if !p.Has("signed out") && !p.Has("Signed out") {
		t.Errorf("no signed-out page:\n%s", p.Text())
	}
	want(t, g.get("/a", c.Name+"="+c.Value), http.StatusSeeOther)
	if e := g.events("logout", 1)[0]; e["user"] != "corp:alice" || e["session"] == "" {
		t.Errorf("logout event: %v", e)
	}
}

func TestB16StreamsEndWithTheSession(t *testing.T) {
	g := start(t, people(t), plainSite)
	g.app.set(func(head string) string {
		if strings.Contains(head, "/events") {
			return "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n"
		}
		return ""
	})
	// An application that keeps an event stream open.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, "data: 1\n\n")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}))
	}()
	if err := g.load(people(t), "protect {\nheaders siteminder\n}\nreverse_proxy "+l.Addr().String()+" {\nflush_interval -1\n}"); err != nil {
		t.Fatal(err)
	}
	for _, end := range []string{"logout", "expiry"} {
		t.Run(end, func(t *testing.T) {
			clock := newClock(t)
			g := &gateway{t: t, port: g.port, dir: g.dir, app: g.app, audit: g.audit}
			b := browser.New()
			defer b.Close()
			page := g.open(b, g.url("/.identity/login?return_to=/.identity/session"))
			if _, err := page.FormWith("username"); err != nil {
				t.Fatal(err)
			}
			f, _ := page.FormWith("username")
			res := g.submitOnly(b, f, "alice", "alicepw")
			want(t, res, http.StatusSeeOther)
			c := ticketOf(t, g, b)
			req, _ := http.NewRequest(http.MethodGet, g.url("/events"), nil)
			req.Header.Set("Cookie", c.Name+"="+c.Value)
			stream, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer stream.Body.Close()
			r := bufio.NewReader(stream.Body)
			if line, err := r.ReadString('\n'); err != nil || line != "data: 1\n" {
				t.Fatalf("stream: %q, %v", line, err)
			}
			begin := time.Now()
			if end == "logout" {
				p, err := b.Send(browser.Request{Method: http.MethodPost, URL: g.url("/.identity/logout"), From: page})
				if err != nil {
					t.Fatal(err)
				}
				want(t, p, http.StatusOK)
			} else {
				clock.Advance(13 * time.Hour)
			}
			done := make(chan error, 1)
			go func() { _, err := r.ReadString(0); done <- err }()
			select {
			case <-done:
				if d := time.Since(begin); d > 2*time.Second {
					t.Errorf("the stream ended %s after the session", d)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("the stream outlived its session")
			}
		})
	}
}

// submitOnly sends a filled form without following.
func (g *gateway) submitOnly(b *browser.Browser, f *browser.Form, name, password string) *browser.Page {
	g.t.Helper()
	f.Fields.Set("username", name)
	f.Fields.Set("password", password)
	p, err := b.Send(browser.Request{
		Method: http.MethodPost, URL: f.Action, Body: f.Fields.Encode(), From: f.Page,
		Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return p
}

func TestB17IdleAndAbsoluteLifetime(t *testing.T) {
	clock := newClock(t)
	g := start(t, people(t)+"session {\nidle 10m\nlifetime 1h\n}\n", "protect {\nheaders siteminder\nsession {\npassive /poll/*\n}\n}\nreverse_proxy {APP}")
	b := g.signedIn("/a", "alice", "alicepw")
	c := ticketOf(t, g, b)
	cookie := c.Name + "=" + c.Value
	left := func() float64 {
		var m map[string]any
		p := g.get("/.identity/session", cookie)
		want(t, p, http.StatusOK)
		if err := json.Unmarshal([]byte(p.Body), &m); err != nil {
			t.Fatal(err)
		}
		return m["seconds_left"].(float64)
	}
	if got := left(); got != 600 {
		t.Errorf("seconds left after login: want 600, got %v", got)
	}
	clock.Advance(9 * time.Minute)
	want(t, g.get("/poll/x", cookie), http.StatusOK)
	if got := left(); got != 60 {
		t.Errorf("a passive path counted as activity: want 60 seconds left, got %v", got)
	}
	want(t, g.get("/a", cookie), http.StatusOK)
	if got := left(); got != 600 {
		t.Errorf("activity: want 600 seconds left, got %v", got)
	}
	for range 5 {
		clock.Advance(9 * time.Minute)
		want(t, g.get("/a", cookie), http.StatusOK)
	}
	if got := left(); got != 360 {
		t.Errorf("the absolute lifetime bounds: want 360, got %v", got)
	}
	clock.Advance(6 * time.Minute)
	want(t, g.get("/a", cookie), http.StatusSeeOther)
	b = g.signedIn("/a", "alice", "alicepw")
	c = ticketOf(t, g, b)
	clock.Advance(10 * time.Minute)
	want(t, g.get("/a", c.Name+"="+c.Value), http.StatusSeeOther)
}

func TestB17LimitsOfARoute(t *testing.T) {
	clock := newClock(t)
	g := start(t, people(t), "protect /bank/* {\nheaders siteminder\nsession {\nidle 5m\n}\n}\nprotect {\nheaders siteminder\n}\nreverse_proxy {APP}")
	b := g.signedIn("/bank/x", "alice", "alicepw")
	for range 3 {
		clock.Advance(3 * time.Minute)
		want(t, g.open(b, g.url("/other")), http.StatusOK)
	}
	// Requests of other routes do not keep this one alive.
	p := g.open(b, g.url("/bank/x"))
	if !p.Has("password") {
		t.Fatalf("the route did not ask anew: %d at %s", p.Status, p.URL)
	}
	// The others go on.
	want(t, g.open(b, g.url("/other")), http.StatusOK)
	p, err := p.Fill("username", "alice", "password", "alicepw")
	if err != nil {
		t.Fatal(err)
	}
	if p.Path() != "/bank/x" || p.Status != http.StatusOK {
		t.Fatalf("after asking anew: %d at %s", p.Status, p.URL)
	}
}

// Who proves themselves where a route asks anew must be who the session is of.
func TestI02AnotherPersonWhereARouteAsksAnew(t *testing.T) {
	clock := newClock(t)
	g := start(t, people(t), "protect /bank/* {\nheaders siteminder\nsession {\nlifetime 5m\n}\n}\nprotect {\nheaders siteminder\n}\nreverse_proxy {APP}")
	b := g.signedIn("/bank/x", "alice", "alicepw")
	ticket := ticketOf(t, g, b).Value
	clock.Advance(6 * time.Minute)
	p := fill(t, g.open(b, g.url("/bank/x")), "username", "bob", "password", "bobpw")
	want(t, p, http.StatusForbidden)
	if e := g.lastDenied("login_denied", 1); e["reason"] != "user_mismatch" || !p.Has(e["id"].(string)) {
		t.Errorf("event: %v\n%s", e, p.Text())
	}
	if ticketOf(t, g, b).Value != ticket {
		t.Error("the session was touched")
	}
	if p := g.open(b, g.url("/other")); p.Status != http.StatusOK || !p.Has("SM_USER: alice") {
		t.Errorf("the session afterwards: %d\n%s", p.Status, p.Text())
	}
}

func TestB18SessionsSurviveReload(t *testing.T) {
	g := start(t, people(t), plainSite)
	b := g.signedIn("/a", "alice", "alicepw")
	// A login under way.
	tab := browser.New()
	defer tab.Close()
	form := g.open(tab, g.url("/b"))
	for i := range 3 {
		if err := g.load(people(t), plainSite+fmt.Sprintf("\nheader X-Generation %d", i)); err != nil {
			t.Fatal(err)
		}
		b.Close()
		want(t, g.open(b, g.url("/a")), http.StatusOK)
	}
	tab.Close() // Caddy closes idle connections at a reload; browsers send again
	p, err := form.Fill("username", "bob", "password", "bobpw")
	if err != nil {
		t.Fatal(err)
	}
	if p.Path() != "/b" || p.Status != http.StatusOK {
		t.Errorf("a login under way did not survive: %d at %s, hops %v", p.Status, p.URL, tab.Hops)
	}
	// One whose flow changed restarts once, without an error page (I28).
	tab2 := browser.New()
	defer tab2.Close()
	form = g.open(tab2, g.url("/b"))
	changed := strings.Replace(people(t), "ser bob", "ser robert", 1)
	if err := g.load(changed, plainSite); err != nil {
		t.Fatal(err)
	}
	tab2.Close()
	p, err = form.Fill("username", "alice", "password", "alicepw")
	if err != nil {
		t.Fatal(err)
	}
	if p.Status != http.StatusOK || !p.Has("password") {
		t.Fatalf("changed flow: want the form again, got %d at %s\n%s", p.Status, p.URL, p.Text())
	}
	p, err = p.Fill("username", "alice", "password", "alicepw")
	if err != nil {
		t.Fatal(err)
	}
	if p.Path() != "/b" || p.Status != http.StatusOK {
		t.Errorf("the restarted login landed at %s with %d", p.URL, p.Status)
	}
	want(t, g.open(b, g.url("/a")), http.StatusOK)
}

func TestB18BrokenConfigNeverReplacesAWorkingOne(t *testing.T) {
	g := start(t, people(t), plainSite)
	b := g.signedIn("/a", "alice", "alicepw")
	for name, bad := range map[string][2]string{
		"unknown word":     {people(t) + "bogus on\n", plainSite},
		"policy":           {people(t) + "policy admins `\"x\" in user.groupz.`\n", plainSite},
		"missing template": {people(t) + "pages {\ntemplates /nonexistent\n}\n", plainSite},
		"empty key":        {people(t) + "keys {env.SALLYPORT_NOT_SET}\n", plainSite},
		"missing key file": {people(t) + "keys {file./nonexistent/key}\n", plainSite},
		"unknown flow":     {people(t), "protect nosuch\nreverse_proxy {APP}"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := g.load(bad[0], bad[1]); err == nil {
				t.Error("a broken config was loaded")
			} else {
				t.Log(err)
			}
			want(t, g.open(b, g.url("/a")), http.StatusOK)
		})
	}
}

func TestB20KeyRotationLogsNobodyOut(t *testing.T) {
	dir := t.TempDir()
	k1, k2 := filepath.Join(dir, "k1"), filepath.Join(dir, "k2")
	for f, text := range map[string]string{k1: "first-cluster-key-0123456789", k2: "second-cluster-key-9876543210"} {
		if err := os.WriteFile(f, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	db := "store file " + filepath.Join(dir, "s.db") + "\n"
	keys := func(names ...string) string {
		out := "keys"
		for _, n := range names {
			out += " {file." + n + "}"
		}
		return people(t) + db + out + "\n"
	}
	g := start(t, keys(k1), plainSite)
	b := g.signedIn("/a", "alice", "alicepw")
	tab := browser.New()
	defer tab.Close()
	form := g.open(tab, g.url("/b"))
	if err := g.load(keys(k2, k1), plainSite); err != nil {
		t.Fatal(err)
	}
	b.Close()
	tab.Close()
	want(t, g.open(b, g.url("/a")), http.StatusOK)
	p, err := form.Fill("username", "bob", "password", "bobpw")
	if err != nil {
		t.Fatal(err)
	}
	if p.Path() != "/b" || p.Status != http.StatusOK {
		t.Errorf("a login begun under the old key landed at %s with %d", p.URL, p.Status)
	}
}

// A reload that changes the store does not take it away from requests that are
// under way.
func TestI17StoreOfTheOldConfigOutlivesItsRequests(t *testing.T) {
	dir := t.TempDir()
	db := func(name string) string { return people(t) + "store file " + filepath.Join(dir, name) + "\n" }
	begun, release := make(chan struct{}), make(chan struct{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/bye" {
				close(begun)
				<-release
			}
			fmt.Fprint(w, "served")
		}))
	}()
	site := "protect {\nlogout /bye pass\n}\nreverse_proxy " + l.Addr().String()
	g := start(t, db("one.db"), site)
	b := g.signedIn("/a", "alice", "alicepw")
	c := ticketOf(t, g, b)
	got := make(chan *browser.Page, 1)
	go func() { got <- g.get("/bye", c.Name+"="+c.Value, "Sec-Fetch-Site", "same-origin") }()
	<-begun
	if err := g.load(db("two.db"), site); err != nil {
		t.Fatal(err)
	}
	close(release)
	if p := <-got; p.Status != http.StatusOK || p.Body != "served" {
		t.Fatalf("the request under way got %d %q", p.Status, p.Body)
	}
	// The logout behind it reached the old store: back there, the session is dead.
	if e := g.events("logout", 1); e[0]["user"] != "corp:alice" {
		t.Errorf("%v", e)
	}
	if err := g.load(db("one.db"), site); err != nil {
		t.Fatal(err)
	}
	want(t, g.get("/a", c.Name+"="+c.Value), http.StatusSeeOther)
}
