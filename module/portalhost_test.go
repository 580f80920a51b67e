package module_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// town is a gateway with a portal and two applications, each on a host of its own:
// below localhost every name is a site of its own.
type town struct {
	*gateway
	op *oidctest.OP
}

const (
	portalLine = "portal http://auth.localhost:{PORT}\n"
	townSites  = `http://auth.localhost:{PORT} {
	bind 127.0.0.1
	protect off
}
http://one.localhost:{PORT} {
	bind 127.0.0.1
	protect {
		header X-Key {user.key}
		header X-User {user.name}
		require /admin/* ` + "`false`" + `
		public /open/*
	}
	reverse_proxy {APP}
}
http://two.localhost:{PORT} {
	bind 127.0.0.1
	protect {
		header X-Key {user.key}
	}
	reverse_proxy {APP}
}
`
)

func newTown(t *testing.T, more string) *town {
	t.Helper()
	op := newOP(t)
	g := start(t, asked(t, "corp", op, "scopes openid profile")+portalLine+more, townSites)
	return &town{g, op}
}

// on is an address on one of the hosts.
func (g *gateway) on(host, path string) string {
	return fmt.Sprintf("http://%s.localhost:%d%s", host, g.port, path)
}

// ticketOn is the session cookie that a browser holds for a host; "" for none.
func (g *gateway) ticketOn(b *browser.Browser, host string) string {
	for _, c := range b.Jar.Cookies(g.on(host, "/")) {
		if c.Name == fmt.Sprintf("sallyport-%d", g.port) {
			return c.Value
		}
	}
	return ""
}

// shown sends one request to a host with a ticket of whichever host.
func (g *gateway) shown(ticket, host, path string, navigate bool) *browser.Page {
	g.t.Helper()
	h := []string{"Host", strings.TrimPrefix(g.on(host, ""), "http://"), "Cookie", fmt.Sprintf("sallyport-%d=%s", g.port, ticket)}
	if navigate {
		h = append(h, "Accept", "text/html", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document")
	}
	return g.raw(http.MethodGet, path, "", h...)
}

// idOn is the public id of the session that a host knows the browser by.
func (g *gateway) idOn(b *browser.Browser, host string) string {
	g.t.Helper()
	p := g.shown(g.ticketOn(b, host), host, "/.identity/session", false)
	var m struct{ ID string }
	if err := json.Unmarshal([]byte(p.Body), &m); err != nil || m.ID == "" {
		g.t.Fatalf("%s: %d %s", host, p.Status, p.Body)
	}
	return m.ID
}

// at fails unless the browser ended at a host's path, shown by the application.
func (g *gateway) at(p *browser.Page, host, path string) {
	g.t.Helper()
	if p.Status != http.StatusOK || p.URL != g.on(host, path) || !p.Has("X-Key: corp:u-alice") {
		g.t.Fatalf("want %s, got %d at %s\n%s\nhops %v", g.on(host, path), p.Status, p.URL, p.Text(), p.Browser.Hops)
	}
}

// toCode opens an address and stops at the hand-over: the answer is its address.
func (g *gateway) toCode(b *browser.Browser, address string) string {
	g.t.Helper()
	for range 12 {
		p := g.send(b, browser.Request{URL: address})
		to, err := p.Resolve(p.Header.Get("Location"))
		if err != nil || p.Status != http.StatusSeeOther && p.Status != http.StatusFound {
			g.t.Fatalf("no hand-over: %d at %s\n%s", p.Status, p.URL, p.Text())
		}
		if strings.Contains(to, "/.identity/handover?") {
			return to
		}
		address = to
	}
	g.t.Fatal("no hand-over after twelve redirects")
	return ""
}

// TestI13EachHostItsOwnTicket: one login on the portal, one session, and a ticket
// for each host; the second application asks the provider nothing.
func TestI13EachHostItsOwnTicket(t *testing.T) {
	g := newTown(t, "")
	b := newBrowser(t)
	g.at(g.open(b, g.on("one", "/a?x=1&y=%2B")), "one", "/a?x=1&y=%2B")
	if q := g.op.Requests(); len(q) != 1 || q[0].Get("redirect_uri") != g.on("auth", "/.identity/callback/corp") {
		t.Fatalf("asked %v", q)
	}
	g.at(g.open(b, g.on("two", "/b")), "two", "/b")
	g.at(g.open(b, g.on("one", "/c")), "one", "/c")
	if n := g.op.Counts().Authorize; n != 1 {
		t.Errorf("the provider was asked %d times", n)
	}
	auth, one, two := g.ticketOn(b, "auth"), g.ticketOn(b, "one"), g.ticketOn(b, "two")
	if auth == "" || one == "" || two == "" || auth == one || one == two || auth[:21] == one[:21] || one[22:] == two[22:] {
		t.Errorf("tickets %q, %q, %q", auth, one, two)
	}
	id := g.idOn(b, "auth")
	if g.idOn(b, "one") != id || g.idOn(b, "two") != id {
		t.Errorf("not one session: %s, %s, %s", id, g.idOn(b, "one"), g.idOn(b, "two"))
	}
	c, err := theApp(t).Sessions().Card(t.Context(), id)
	if err != nil || strings.Join(c.Origins, " ") != g.on("auth", "")+" "+g.on("one", "")+" "+g.on("two", "") {
		t.Errorf("card: %v, %v", c, err)
	}
	e := g.events("session_handed_over", 2)
	if len(e) != 2 || e[0]["session"] != id || e[0]["user"] != "corp:u-alice" || e[0]["host"] != strings.TrimPrefix(g.on("one", ""), "http://") {
		t.Errorf("trail: %v", e)
	}
	if n := g.count("login"); n != 1 {
		t.Errorf("%d logins in the trail", n)
	}
}

// TestS14TicketOfOneHostOnAnother: with a portal, too, a ticket is good where it
// was made for and nowhere else; the hand-over's code is no ticket.
func TestS14TicketOfOneHostOnAnother(t *testing.T) {
	g := newTown(t, "")
	b := newBrowser(t)
	g.at(g.open(b, g.on("one", "/")), "one", "/")
	g.at(g.open(b, g.on("two", "/")), "two", "/")
	for _, from := range []string{"auth", "one", "two"} {
		for _, to := range []string{"auth", "one", "two"} {
			want := http.StatusUnauthorized
			if from == to {
				want = http.StatusOK
			}
			if p := g.shown(g.ticketOn(b, from), to, "/.identity/session", false); p.Status != want {
				t.Errorf("the ticket of %s on %s: want %d, got %d", from, to, want, p.Status)
			}
		}
	}
	p := g.shown(g.ticketOn(b, "two"), "one", "/x", true)
	if p.Status != http.StatusSeeOther || strings.Contains(p.Body, "corp:u-alice") {
		t.Errorf("want a login, got %d", p.Status)
	}
}

// TestI09HandoverOnce: the code is for one browser, one host, thirty seconds and one use.
func TestI09HandoverOnce(t *testing.T) {
	clock := newClock(t)
	g := newTown(t, "")
	signedIn := func() *browser.Browser {
		b := newBrowser(t)
		g.at(g.open(b, g.on("two", "/")), "two", "/")
		return b
	}
	granted := func(p *browser.Page) bool { return g.granted(p) }
	one := func(address string) browser.Request { return browser.Request{URL: address} }

	t.Run("by the browser it is for", func(t *testing.T) {
		b := signedIn()
		code := g.toCode(b, g.on("one", "/x"))
		p := g.send(b, one(code))
		if !granted(p) || p.Header.Get("Location") != g.on("one", "/x") {
			t.Fatalf("%d to %s, %v", p.Status, p.Header.Get("Location"), p.Header)
		}
		if p.Header.Get("Cache-Control") != "no-store" || p.Header.Get("Referrer-Policy") != "no-referrer" || p.Body != "" {
			t.Errorf("the answer: %v %q", p.Header, p.Body)
		}
		// Again, in the same browser: it is led home and gets nothing new.
		if p := g.send(b, one(code)); granted(p) {
			t.Error("the code worked twice")
		}
	})
	t.Run("replayed with the cookies of before", func(t *testing.T) {
		b := signedIn()
		code := g.toCode(b, g.on("one", "/x"))
		before := b.Jar.Clone()
		if p := g.send(b, one(code)); !granted(p) {
			t.Fatal(p.Status)
		}
		thief := newBrowser(t)
		thief.Jar = before
		if p := g.send(thief, one(code)); granted(p) || p.Status != http.StatusSeeOther {
			t.Errorf("replayed: %d %v", p.Status, p.Header["Set-Cookie"])
		}
	})
	t.Run("stolen", func(t *testing.T) {
		b := signedIn()
		code := g.toCode(b, g.on("one", "/x"))
		thief := newBrowser(t)
		if p := g.send(thief, one(code)); granted(p) {
			t.Error("another browser got the session")
		}
		// Also with a login of its own under way there.
		own := g.loginOf(thief, g.on("one", "/x"))
		stolen, _ := url.Parse(code)
		mixed, _ := url.Parse(own)
		q := mixed.Query()
		q.Set("code", stolen.Query().Get("code"))
		if p := g.send(thief, one(g.on("one", "/.identity/handover?"+q.Encode()))); granted(p) {
			t.Error("another browser got the session by its own login")
		}
		// The theft did not use it up.
		if p := g.send(b, one(code)); !granted(p) {
			t.Errorf("the right browser: %d", p.Status)
		}
		if p := g.open(thief, g.on("one", "/x")); !p.Has("X-Key") || len(b.Jar.Cookies(g.on("one", "/"))) == 0 {
			t.Errorf("the thief's own login does not work any more: %d", p.Status)
		}
	})
	t.Run("expired", func(t *testing.T) {
		b := signedIn()
		code := g.toCode(b, g.on("one", "/x"))
		clock.Advance(31 * time.Second)
		p := g.send(b, one(code))
		if granted(p) {
			t.Error("the code worked after half a minute")
		}
		// The person does not notice: the portal still knows them.
		p, err := b.Open(code)
		if err != nil {
			t.Fatal(err)
		}
		g.at(p, "one", "/x")
	})
	t.Run("on another host", func(t *testing.T) {
		b := signedIn()
		code := g.toCode(b, g.on("one", "/x"))
		b.Jar = newBrowser(t).Jar
		other := g.on("two", "/.identity/handover?"+strings.SplitN(code, "?", 2)[1])
		if p := g.send(b, one(other)); granted(p) {
			t.Error("a code for one worked on two")
		}
		if p := g.send(b, one(strings.Replace(other, "two.", "auth.", 1))); granted(p) || p.Status != http.StatusNotFound {
			t.Errorf("on the portal: %d", p.Status)
		}
	})
	t.Run("bent", func(t *testing.T) {
		b := signedIn()
		code := g.toCode(b, g.on("one", "/x"))
		u, _ := url.Parse(code)
		all, last := u.Query().Get("code"), "A"
		if strings.HasSuffix(all, last) {
			last = "E" // another one, in any case
		}
		for _, bent := range []string{"", "x", all[:42] + last, strings.Repeat("A", 43)} {
			q := u.Query()
			q.Set("code", bent)
			if p := g.send(b, one(g.on("one", "/.identity/handover?"+q.Encode()))); granted(p) || p.Status != http.StatusSeeOther {
				t.Errorf("%q: %d", bent, p.Status)
			}
		}
		if p := g.raw(http.MethodHead, "/.identity/handover?"+u.RawQuery, "", "Host", u.Host); granted(p) {
			t.Error("HEAD granted something")
		}
		if p := g.raw(http.MethodPost, "/.identity/handover?"+u.RawQuery, "", "Host", u.Host); p.Status != http.StatusMethodNotAllowed {
			t.Errorf("POST: %d", p.Status)
		}
		if p := g.send(b, one(code)); !granted(p) {
			t.Errorf("the code itself: %d", p.Status)
		}
	})
}

// loginOf begins a login and stops where the portal asks the provider.
func (g *gateway) loginOf(b *browser.Browser, address string) string {
	g.t.Helper()
	p := g.send(b, browser.Request{URL: address})
	to := p.Header.Get("Location")
	if !strings.Contains(to, "/.identity/login?hop=") {
		g.t.Fatalf("no way to the portal: %d %s", p.Status, to)
	}
	for _, c := range b.Jar.Cookies(address) {
		if _, id, ok := strings.Cut(c.Name, ".p"); ok {
			return g.on("one", "/.identity/handover?p="+id)
		}
	}
	g.t.Fatal("no pending login")
	return ""
}

// TestI13EvidenceReplacesTheTicketsOfAllHosts: when the session proves more, what
// other hosts hold is replaced. Requests under way are told to try again; a page
// fetches the new ticket by way of the portal without anybody being asked.
func TestI13EvidenceReplacesTheTicketsOfAllHosts(t *testing.T) {
	clock := newClock(t)
	op := newOP(t)
	g := &town{start(t, asked(t, "corp", op, "scopes openid profile")+portalLine,
		strings.Replace(townSites, "require /admin", "session {\nlifetime 10m\n}\nrequire /admin", 1)), op}
	b := newBrowser(t)
	g.at(g.open(b, g.on("one", "/")), "one", "/")
	g.at(g.open(b, g.on("two", "/")), "two", "/")
	auth, one, two := g.ticketOn(b, "auth"), g.ticketOn(b, "one"), g.ticketOn(b, "two")
	id := g.idOn(b, "two")

	clock.Advance(11 * time.Minute) // one asks anew
	g.at(g.open(b, g.on("one", "/")), "one", "/")
	if n := op.Counts().Authorize; n != 2 {
		t.Fatalf("the provider was asked %d times, want 2", n)
	}
	if g.ticketOn(b, "auth") == auth || g.ticketOn(b, "one") == one || g.ticketOn(b, "two") != two {
		t.Error("the tickets of the hosts at hand were not replaced")
	}
	for host, ticket := range map[string]string{"auth": auth, "one": one, "two": two} {
		p := g.shown(ticket, host, "/.identity/session", false)
		if host != "auth" {
			p = g.shown(ticket, host, "/x", false)
		}
		if p.Status != http.StatusUnauthorized {
			t.Errorf("the old ticket of %s: %d %s", host, p.Status, p.Body)
		}
		if host == "two" && !p.Has(`"session_rotated","retry":true`) {
			t.Errorf("a request under way: %s", p.Body)
		}
	}
	g.at(g.open(b, g.on("two", "/page")), "two", "/page")
	if g.ticketOn(b, "two") == two || g.idOn(b, "two") != id || op.Counts().Authorize != 2 {
		t.Errorf("new ticket %v, same session %v, asked %d", g.ticketOn(b, "two") != two, g.idOn(b, "two") == id, op.Counts().Authorize)
	}
	// After a minute an old ticket is just no ticket.
	clock.Advance(2 * time.Minute)
	if p := g.shown(two, "two", "/x", false); p.Status != http.StatusUnauthorized || !p.Has(`"login_required","login_url"`) {
		t.Errorf("an old ticket: %d %s", p.Status, p.Body)
	}
}

// TestI01PortalRunsWhatTheRouteWants: the flow follows from the application's route,
// and over a session only what is missing runs.
func TestI01PortalRunsWhatTheRouteWants(t *testing.T) {
	op, other := newOP(t), newOP(t)
	global := asked(t, "corp", op, "scopes openid profile", "realm people") + asked(t, "more", other, "scopes openid profile", "realm people") +
		"flow default {\nlogin corp\n}\nflow strong {\nlogin corp\nlogin more\n}\n" + portalLine
	sites := strings.Replace(townSites, "http://two.localhost:{PORT} {\n\tbind 127.0.0.1\n\tprotect {", "http://two.localhost:{PORT} {\n\tbind 127.0.0.1\n\tprotect strong {", 1)
	g := start(t, global, sites)
	b := newBrowser(t)
	if p := g.open(b, g.on("one", "/")); p.Status != http.StatusOK || !p.Has("X-Key: people:u-alice") {
		t.Fatalf("%d %s", p.Status, p.Text())
	}
	if op.Counts().Authorize != 1 || other.Counts().Authorize != 0 {
		t.Fatalf("asked %d and %d times", op.Counts().Authorize, other.Counts().Authorize)
	}
	// A client cannot choose the easier flow: it names an address, no flow.
	if p := g.open(b, g.on("two", "/x?flow=default")); p.Status != http.StatusOK || !p.Has("X-Key: people:u-alice") {
		t.Fatalf("%d at %s\n%s", p.Status, p.URL, p.Text())
	}
	if op.Counts().Authorize != 1 || other.Counts().Authorize != 1 {
		t.Errorf("asked %d and %d times: want only what was missing", op.Counts().Authorize, other.Counts().Authorize)
	}
	c, err := theApp(t).Sessions().Card(t.Context(), g.idOn(b, "two"))
	if err != nil || len(c.Flows) != 2 {
		t.Errorf("flows %v, %v", c, err)
	}
	// A session handed over without the flow opens nothing there.
	b = newBrowser(t)
	g.open(b, g.on("one", "/"))
	if p := g.shown(g.ticketOn(b, "one"), "two", "/", true); p.Status == http.StatusOK {
		t.Error("two let somebody in without its flow")
	}
}

// TestB04PortalPrograms: scripts hear 401 of their own host, with a login there.
func TestB04PortalPrograms(t *testing.T) {
	g := newTown(t, "")
	host := strings.TrimPrefix(g.on("one", ""), "http://")
	p := g.raw(http.MethodGet, "/api", "", "Host", host, "Referer", g.on("one", "/page?x=1"), "Sec-Fetch-Mode", "cors", "Accept", "*/*")
	if p.Status != http.StatusUnauthorized || !p.Has(`"login_url":"/.identity/login?return_to=%2Fpage%3Fx%3D1"`) || len(p.Header["Set-Cookie"]) != 0 {
		t.Errorf("%d %s %v", p.Status, p.Body, p.Header)
	}
	b := newBrowser(t)
	g.at(g.open(b, g.on("one", "/.identity/login?return_to=%2Fpage%3Fx%3D1")), "one", "/page?x=1")
	for _, host := range []string{"auth", "one"} {
		if p := g.shown(g.ticketOn(b, host), host, "/.identity/session", false); p.Status != http.StatusOK || !p.Has(`"signed_in":true`) {
			t.Errorf("%s: %d %s", host, p.Status, p.Body)
		}
	}
	if p := g.shown(g.ticketOn(b, "one"), "one", "/.identity/userinfo", false); p.Status != http.StatusOK || !p.Has(`"key":"corp:u-alice"`) {
		t.Errorf("userinfo: %d %s", p.Status, p.Body)
	}
	// A login on purpose with a provider goes to the portal and comes back.
	g.at(g.open(b, g.on("two", "/.identity/login?provider=corp&return_to=/b")), "two", "/b")
}

// TestB14SignOutEverywhere: signing out at one application ends the session on all
// hosts at once, then at the provider, from the portal, which is the one address it knows.
func TestB14SignOutEverywhere(t *testing.T) {
	g := newTown(t, "")
	for _, at := range []string{"one", "auth"} {
		b := newBrowser(t)
		g.at(g.open(b, g.on("one", "/")), "one", "/")
		g.at(g.open(b, g.on("two", "/")), "two", "/")
		before := map[string]string{"auth": g.ticketOn(b, "auth"), "one": g.ticketOn(b, "one"), "two": g.ticketOn(b, "two")}
		ended := len(g.op.Ended())
		p := g.open(b, g.on(at, "/.identity/logout"))
		if p.Status != http.StatusOK || !strings.HasPrefix(p.URL, g.on("auth", "/.identity/logout?state=")) || !p.Has("signed out") {
			t.Fatalf("%s: %d at %s\n%s\n%v", at, p.Status, p.URL, p.Text(), b.Hops)
		}
		e := g.op.Ended()
		if len(e) != ended+1 || e[ended].Get("post_logout_redirect_uri") != g.on("auth", "/.identity/logout") || e[ended].Get("id_token_hint") == "" {
			t.Errorf("%s: the provider heard %v", at, e)
		}
		if at == "one" && !p.Has(`href="`+g.on("one", "/")+`"`) {
			t.Errorf("no way back to the application:\n%s", p.Body)
		}
		for host, ticket := range before {
			if p := g.shown(ticket, host, "/.identity/session", false); p.Status != http.StatusUnauthorized {
				t.Errorf("signed out at %s, and %s says %d", at, host, p.Status)
			}
		}
		if g.ticketOn(b, "auth") != "" || g.ticketOn(b, at) != "" {
			t.Errorf("%s: cookies are left", at)
		}
		// Nothing signs in by itself; the other application asks the provider again.
		asked := g.op.Counts().Authorize
		g.at(g.open(b, g.on("two", "/")), "two", "/")
		if g.op.Counts().Authorize != asked+1 {
			t.Error("the next visit did not ask the provider")
		}
	}
	t.Run("a link of another's", func(t *testing.T) {
		b := newBrowser(t)
		g.at(g.open(b, g.on("one", "/")), "one", "/")
		p := g.send(b, browser.Request{URL: g.on("one", "/.identity/logout")})
		link := p.Header.Get("Location")
		if !strings.HasPrefix(link, g.on("auth", "/.identity/logout?go=")) {
			t.Fatal(link)
		}
		victim := newBrowser(t)
		g.at(g.open(victim, g.on("one", "/")), "one", "/")
		if p := g.send(victim, browser.Request{URL: link}); p.Status != http.StatusOK || g.ticketOn(victim, "auth") == "" || !p.Has("Sign out?") {
			t.Errorf("%d %s", p.Status, p.Text())
		}
		g.at(g.open(victim, g.on("two", "/")), "two", "/")
		// It was used up.
		if p := g.send(b, browser.Request{URL: link}); p.Status != http.StatusOK || !p.Has("signed out") {
			t.Errorf("%d %s", p.Status, p.Header.Get("Location"))
		}
	})
	t.Run("with an old ticket, or none", func(t *testing.T) {
		for name, ticket := range map[string]bool{"old": true, "none": false} {
			b := newBrowser(t)
			g.at(g.open(b, g.on("one", "/")), "one", "/")
			if ticket { // of a session that ended, while a new one began on the portal
				jar := b.Jar.Clone()
				g.open(b, g.on("one", "/.identity/logout"))
				b.Jar = onlyHost(jar, g.on("one", "/"))
			}
			g.at(g.open(b, g.on("two", "/")), "two", "/")
			if !ticket {
				one := *b.Jar
				b.Jar = &browser.Jar{}
				for _, h := range []string{"auth", "two"} {
					u, _ := url.Parse(g.on(h, "/"))
					b.Jar.Set(u, one.Cookies(g.on(h, "/")))
				}
			}
			// By a link on its page the wish comes from another site, as the portal sees it.
			p, err := b.Navigate(browser.Request{URL: g.on("one", "/.identity/logout"), From: &browser.Page{URL: g.on("one", "/open/x")}})
			if err != nil || p.URL != g.on("auth", "/.identity/logout") || !p.Has("Sign out?") {
				t.Fatalf("%s: %v %d at %s\n%s", name, err, p.Status, p.URL, p.Text())
			}
			f, err := p.FormWith("token")
			if err != nil {
				t.Fatal(err)
			}
			if p, err = f.Submit(); err != nil || !p.Has("signed out") {
				t.Errorf("%s: %v at %s\n%s", name, err, p.URL, p.Text())
			}
			if p := g.shown(g.ticketOn(b, "two"), "two", "/.identity/session", false); p.Status != http.StatusUnauthorized {
				t.Errorf("%s: two says %d", name, p.Status)
			}
			if p := g.open(b, g.on("one", "/.identity/logout")); !p.Has("You are signed out") {
				t.Errorf("%s: once more: %s", name, p.Text())
			}
		}
	})
	t.Run("a provider that is not to be told", func(t *testing.T) {
		if err := g.load(asked(t, "corp", g.op, "scopes openid profile", "single_logout off")+portalLine, townSites); err != nil {
			t.Fatal(err)
		}
		b := newBrowser(t)
		g.at(g.open(b, g.on("one", "/")), "one", "/")
		if p := g.open(b, g.on("one", "/.identity/logout")); p.Status != http.StatusOK || p.URL != g.on("one", "/.identity/logout") || !p.Has("signed out") {
			t.Errorf("%d at %s", p.Status, p.URL)
		}
		if p := g.open(b, g.on("auth", "/.identity/session")); p.Status != http.StatusUnauthorized {
			t.Errorf("the portal: %d", p.Status)
		}
	})
}

// TestB15PortalBackchannelEndsAllHosts: a revocation and a provider's logout end all hosts.
func TestB15PortalBackchannelEndsAllHosts(t *testing.T) {
	g := newTown(t, "")
	b := newBrowser(t)
	g.at(g.open(b, g.on("one", "/")), "one", "/")
	g.at(g.open(b, g.on("two", "/")), "two", "/")
	if err := theApp(t).EndUser(t.Context(), "corp:u-alice"); err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"auth", "one", "two"} {
		if p := g.shown(g.ticketOn(b, host), host, "/.identity/session", false); p.Status != http.StatusUnauthorized {
			t.Errorf("%s: %d", host, p.Status)
		}
	}
	g.at(g.open(b, g.on("one", "/")), "one", "/")
	g.at(g.open(b, g.on("two", "/")), "two", "/")
	c, err := theApp(t).Sessions().Card(t.Context(), g.idOn(b, "two"))
	if err != nil || c.SIDs["corp"] == "" {
		t.Fatalf("%v, %v", c, err)
	}
	body := url.Values{"logout_token": {g.op.Logout("u-alice", c.SIDs["corp"], "")}}.Encode()
	p := g.raw(http.MethodPost, "/.identity/backchannel-logout/corp", body, "Host", strings.TrimPrefix(g.on("auth", ""), "http://"), "Content-Type", "application/x-www-form-urlencoded")
	want(t, p, http.StatusOK)
	for _, host := range []string{"auth", "one", "two"} {
		if p := g.shown(g.ticketOn(b, host), host, "/.identity/session", false); p.Status != http.StatusUnauthorized {
			t.Errorf("%s: %d", host, p.Status)
		}
	}
}

// TestB17OneHostKeepsTheOthersAlive: a session is idle when none of its hosts is used.
func TestB17OneHostKeepsTheOthersAlive(t *testing.T) {
	clock := newClock(t)
	g := newTown(t, "")
	b := newBrowser(t)
	g.at(g.open(b, g.on("one", "/")), "one", "/")
	g.at(g.open(b, g.on("two", "/")), "two", "/")
	one, two := g.ticketOn(b, "one"), g.ticketOn(b, "two")
	for range 6 { // an hour, on one only
		clock.Advance(10 * time.Minute)
		time.Sleep(1100 * time.Millisecond) // the sweep looks every second
		if p := g.shown(one, "one", "/x", false); p.Status != http.StatusOK {
			t.Fatalf("one: %d", p.Status)
		}
	}
	if p := g.shown(two, "two", "/x", false); p.Status != http.StatusOK {
		t.Errorf("two: %d, though one was used all the time", p.Status)
	}
	clock.Advance(31 * time.Minute)
	for host, ticket := range map[string]string{"one": one, "two": two} {
		if p := g.shown(ticket, host, "/x", false); p.Status != http.StatusUnauthorized {
			t.Errorf("%s after half an hour without anything: %d", host, p.Status)
		}
	}
}
