package module_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// TestB10PortalFragmentIsKeptOnTheApplication: the page that keeps a fragment is on
// the application's own host, before the portal is asked, and the way back leads by it.
func TestB10PortalFragmentIsKeptOnTheApplication(t *testing.T) {
	g := newTown(t, "")
	b := window(t)
	p := g.open(b, g.on("one", "/app/?x=1"))
	if p.Status != http.StatusOK || !strings.HasPrefix(p.URL, g.on("one", "/.identity/flow?p=")) || !p.Has(`href="`+g.on("auth", "/.identity/login?hop=")) {
		t.Fatalf("%d at %s\n%s", p.Status, p.URL, p.Body)
	}
	if p.Has(g.op.Issuer) || g.op.Counts().Authorize != 0 {
		t.Error("the application's page knows the provider")
	}
	k := keptBy(t, p)
	if k.back != "/app/?x=1" {
		t.Errorf("it keeps %+v", k)
	}
	key := k.key
	p = g.open(b, g.on("one", k.kept)) // what its script does when there is a fragment
	if p.URL != g.on("one", "/.identity/flow?resume="+key+"&return_to="+url.QueryEscape("/app/?x=1")) {
		t.Errorf("ended at %s", p.URL)
	}
	if g.ticketOn(b, "one") == "" {
		t.Error("not signed in")
	}
	for _, h := range b.Hops {
		if strings.Contains(h, "auth.localhost") && strings.Contains(h, "/.identity/flow") {
			t.Errorf("a page of the portal on the way: %s", h)
		}
	}
}

// TestB05PortalLongAddressIsKeptOnTheApplication: 1.5 KB and more stay in the
// application's own storage; the portal is told a path only.
func TestB05PortalLongAddressIsKeptOnTheApplication(t *testing.T) {
	g := newTown(t, "")
	b := newBrowser(t)
	long := "/report?q=" + strings.Repeat("0123456789", 170)
	p := g.open(b, g.on("one", long))
	if p.Status != http.StatusOK || !strings.HasPrefix(p.URL, g.on("one", "/report")) || !p.Has("saved=") {
		t.Fatalf("%d at %.100s\n%s", p.Status, p.URL, p.Text())
	}
	_, rest, _ := strings.Cut(p.Body, "saved=")
	p = g.open(b, g.on("one", "/.identity/login?return_to=%2Freport&saved="+rest[:26]))
	if !strings.HasPrefix(p.URL, g.on("one", "/.identity/flow?resume="+rest[:26])) || g.ticketOn(b, "one") == "" {
		t.Errorf("ended at %s\n%v", p.URL, b.Hops)
	}
	// The longest that travels does so all the way.
	almost := "/report?q=" + strings.Repeat("0123456789", 148)
	b.Jar.Clear()
	g.at(g.open(b, g.on("one", almost)), "one", almost)
}

// TestB05PortalManyTabs: the pending logins of an application stay few and small,
// and one login ends them all.
func TestB05PortalManyTabs(t *testing.T) {
	g := newTown(t, "")
	b := newBrowser(t)
	size := func() (n int) {
		for _, c := range b.Jar.Cookies(g.on("one", "/")) {
			n += len(c.Name) + len(c.Value) + 3
		}
		return n
	}
	for i := range 20 {
		g.send(b, browser.Request{URL: g.on("one", fmt.Sprintf("/tab/%d?x=%s", i, strings.Repeat("y", 400)))})
		if n := size(); n > 4096 {
			t.Fatalf("the pending logins have %d bytes together", n)
		}
	}
	g.at(g.open(b, g.on("one", "/last")), "one", "/last")
	if n := size(); n == 0 || n >= 300 {
		t.Errorf("after the login the cookies have %d bytes", n)
	}
}

// TestB06PortalTabs: a tab that was at the provider while another one signed in
// lands where it wanted to go, also when its login is gone.
func TestB06PortalTabs(t *testing.T) {
	g := newTown(t, "")
	b := newBrowser(t)
	toProvider := func(path string) *url.URL {
		address := g.on("one", path)
		for range 5 {
			p := g.send(b, browser.Request{URL: address})
			if address = p.Header.Get("Location"); strings.HasPrefix(address, g.op.Issuer) {
				u, _ := url.Parse(address)
				return u
			}
		}
		t.Fatal("not sent to the provider")
		return nil
	}
	first, second := toProvider("/first"), toProvider("/second")
	g.at(g.open(b, g.answer(second).String()), "one", "/second")
	tokens := g.op.Counts().Token
	g.at(g.open(b, g.answer(first).String()), "one", "/first")
	if g.op.Counts().Token != tokens {
		t.Error("the first tab's code was used though nobody needed it")
	}
	// And a tab that is between portal and application.
	b = newBrowser(t)
	g.at(g.open(b, g.on("two", "/")), "two", "/")
	code := g.toCode(b, g.on("one", "/third"))
	g.at(g.open(b, g.on("one", "/fourth")), "one", "/fourth")
	g.at(g.open(b, code), "one", "/third")
}

// TestB07PortalBookmarks: addresses of a login that is over lead on, never to a bare error.
func TestB07PortalBookmarks(t *testing.T) {
	g := newTown(t, "")
	for name, address := range map[string]string{
		"the portal's login":    g.on("auth", "/.identity/login?return_to="+url.QueryEscape(g.on("one", "/x"))),
		"the application's":     g.on("one", "/.identity/login?return_to=/x"),
		"a run of before":       g.on("one", "/.identity/flow?p=0000000000000000&return_to=/x"),
		"a hand-over of before": g.on("one", "/.identity/handover?p=0000000000000000&code="+strings.Repeat("A", 43)),
	} {
		b := newBrowser(t)
		path := "/x"
		if strings.Contains(name, "hand-over") {
			path = "/"
		}
		g.at(g.open(b, address), "one", path)
		g.at(g.open(b, address), "one", path)
	}
	// On the portal itself there is a page with a button, or home.
	b := newBrowser(t)
	if p := g.open(b, g.on("auth", "/.identity/flow?p=0000000000000000")); p.Status != http.StatusOK {
		t.Errorf("%d at %s\n%s", p.Status, p.URL, p.Text())
	}
}

// TestB08PortalLoopsEnd: a browser that keeps no cookies, on all hosts or on one,
// is not sent around for ever.
func TestB08PortalLoopsEnd(t *testing.T) {
	g := newTown(t, "")
	b := newBrowser(t)
	b.Jar.Lost = true
	p := g.open(b, g.on("one", "/x"))
	if p.Status != http.StatusForbidden || !p.Has("keeps starting over") || len(b.Hops) > 15 {
		t.Errorf("%d at %s after %d hops\n%s", p.Status, p.URL, len(b.Hops), p.Text())
	}
	// Only the application's cookies get lost.
	b = newBrowser(t)
	g.at(g.open(b, g.on("two", "/")), "two", "/")
	address := g.on("one", "/x")
	hops := 0
	for ; hops < 30; hops++ {
		host, _ := url.Parse(address)
		if strings.HasPrefix(host.Host, "one.") {
			before := b.Jar.Clone()
			p = g.send(b, browser.Request{URL: address})
			b.Jar = before
		} else {
			p = g.send(b, browser.Request{URL: address})
		}
		if p.Status != http.StatusSeeOther {
			break
		}
		next, err := p.Resolve(p.Header.Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		address = next
	}
	if p.Status != http.StatusForbidden || !p.Has("keeps starting over") || hops > 12 {
		t.Errorf("%d at %s after %d hops\n%s", p.Status, p.URL, hops, p.Text())
	}
	if strings.Contains(p.URL, "code=") {
		t.Errorf("a page at %s", p.URL)
	}
}

// TestI02PortalAnotherPerson: who signs in at the portal as somebody else is
// somebody else everywhere; the session of before is over.
func TestI02PortalAnotherPerson(t *testing.T) {
	op := newOP(t)
	op.SetUser(map[string]any{"sub": "u-carol", "preferred_username": "carol"})
	global := people(t) + portalLine
	g := start(t, asked(t, "other", op, "scopes openid profile")+global, townSites)
	b := newBrowser(t)
	p := g.open(b, g.on("one", "/.identity/login?provider=corp&return_to=/a"))
	p, err := p.Fill("username", "alice", "password", "alicepw")
	if err != nil || p.Status != http.StatusOK || !p.Has("X-Key: corp:alice") {
		t.Fatalf("%v %d %s", err, p.Status, p.Text())
	}
	old := g.ticketOn(b, "one")
	b.Jar = onlyHost(b.Jar, g.on("one", "/"))
	p = g.open(b, g.on("one", "/.identity/login?provider=other&return_to=/a"))
	if p.Status != http.StatusOK || !p.Has("X-Key: other:u-carol") {
		t.Fatalf("%d at %s %s", p.Status, p.URL, p.Text())
	}
	if p := g.shown(old, "one", "/.identity/session", false); p.Status != http.StatusUnauthorized {
		t.Errorf("the session of before: %d", p.Status)
	}
}

// onlyHost is a jar with the cookies of one address.
func onlyHost(j *browser.Jar, address string) *browser.Jar {
	u, _ := url.Parse(address)
	out := &browser.Jar{}
	out.Set(u, j.Cookies(address))
	return out
}

// TestI10PortalCookiesAreLax: nothing on the way needs more, and the names are those of the contract.
func TestI10PortalCookiesAreLax(t *testing.T) {
	g := newTown(t, "")
	b := newBrowser(t)
	address := g.on("one", "/x")
	names := map[string]bool{}
	for range 12 {
		p := g.send(b, browser.Request{URL: address})
		for _, c := range p.Header["Set-Cookie"] {
			name, _, _ := strings.Cut(c, "=")
			names[strings.SplitN(name, ".", 2)[0]] = true
			if !strings.Contains(c, "HttpOnly") || !strings.Contains(c, "SameSite=Lax") || strings.Contains(c, "Domain") {
				t.Errorf("cookie %s", c)
			}
		}
		if address = p.Header.Get("Location"); address == "" {
			break
		}
		next, err := p.Resolve(address)
		if err != nil {
			t.Fatal(err)
		}
		address = next
	}
	if len(names) != 1 || !names[fmt.Sprintf("sallyport-%d", g.port)] {
		t.Errorf("names %v", names)
	}
}

// TestI11PortalChangesNothingUnasked: HEAD, a prefetch and a frame neither begin a
// login nor hand anything over.
func TestI11PortalChangesNothingUnasked(t *testing.T) {
	g := newTown(t, "")
	b := newBrowser(t)
	g.at(g.open(b, g.on("two", "/")), "two", "/")
	hop := g.send(b, browser.Request{URL: g.on("one", "/x")}).Header.Get("Location")
	for name, r := range map[string]browser.Request{
		"HEAD":     {Method: http.MethodHead, URL: hop},
		"prefetch": {URL: hop, Header: http.Header{"Sec-Purpose": {"prefetch"}}},
		"POST":     {Method: http.MethodPost, URL: hop, Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, Body: "x=1"},
	} {
		if p := g.send(b, r); strings.Contains(p.Header.Get("Location"), "code=") || len(p.Header["Set-Cookie"]) != 0 {
			t.Errorf("%s: %d %v", name, p.Status, p.Header)
		}
	}
	code := g.toCode(b, g.on("one", "/x"))
	for name, r := range map[string]browser.Request{
		"HEAD":     {Method: http.MethodHead, URL: code},
		"prefetch": {URL: code, Header: http.Header{"Sec-Purpose": {"prefetch"}}},
	} {
		if p := g.send(b, r); g.granted(p) {
			t.Errorf("%s: %d %v", name, p.Status, p.Header)
		}
	}
	g.at(g.open(b, code), "one", "/x")
}
