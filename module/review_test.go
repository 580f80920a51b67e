package module_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/flows"
)

// everySite reads the risk anew, and has a path that needs nobody.
const everySite = "protect staff {\nheader X-Key {user.key}\npublic /public/*\nrisk every 5m\n}\nreverse_proxy {APP}"

// calm is a person who was asked for a factor at their first login, and whose session
// is one of low risk now.
func calm(t *testing.T, site string) (g *gateway, clock *testClock, secret string, b *browser.Browser) {
	t.Helper()
	g, clock, secret, b = riskRig(t, riskFlow, site)
	landed(t, g.again(t, b), "/a", "idp:u-alice")
	return g, clock, secret, b
}

// fetched is the answer to a script of the application.
func fetched(t *testing.T, g *gateway, b *browser.Browser, path string) *browser.Page {
	t.Helper()
	p, err := b.Fetch(g.open(b, g.url("/public/x")), http.MethodGet, g.url(path), "")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A session that shows up elsewhere, or with another device, is challenged at once: by a
// factor that is proved now, not by one that was.
func TestB28ASessionElsewhereIsChallenged(t *testing.T) {
	for what, move := range map[string]func(g *gateway, b *browser.Browser){
		"from a new place": func(_ *gateway, b *browser.Browser) { from(b, "203.0.113.9") },
		"on a new device": func(g *gateway, b *browser.Browser) {
			u, _ := url.Parse(g.url("/"))
			b.Jar.Set(u, []*http.Cookie{{Name: browserCookie(t, g, b).Name, Path: "/", MaxAge: -1}})
		},
	} {
		t.Run(what, func(t *testing.T) {
			scripts(t, nil)
			g, clock, secret, b := calm(t, everySite)
			move(g, b)
			if p := fetched(t, g, b, "/b"); p.Status != http.StatusUnauthorized || !p.Has(`"login_required"`) || p.Header.Get("Set-Cookie") != "" {
				t.Fatalf("a script: got %d %s", p.Status, p.Body)
			}
			if p := g.open(b, g.url("/public/x")); p.Status != http.StatusOK {
				t.Errorf("what needs nobody: got %d", p.Status)
			}
			g.app.forget()
			p := g.open(b, g.url("/b"))
			asksForCode(t, what, p)
			asksForCode(t, "by the login page", g.open(b, g.url("/.identity/login?return_to=/b")))
			if len(g.app.requests()) != 0 {
				t.Error("the application was reached")
			}
			landed(t, fill(t, p, "code", code(t, secret, clock)), "/b", "idp:u-alice")
			landed(t, g.open(b, g.url("/c")), "/c", "idp:u-alice")
			if p := fetched(t, g, b, "/b"); p.Status != http.StatusOK {
				t.Errorf("a script, afterwards: got %d %s", p.Status, p.Body)
			}
			if e := g.events("risk_rose", 1); len(e) != 1 || e[0]["user"] != "idp:u-alice" {
				t.Errorf("the trail says %v", e)
			}
		})
	}
}

// What a signal finds changes meanwhile: it is read anew when the time has come, once
// for all requests that come together, and not before.
func TestB28RiskIsReadAnewInTime(t *testing.T) {
	scripts(t, nil)
	g, clock, secret, b := calm(t, everySite)
	scripts(t, func(*flows.Facts) (flows.Reading, error) { return flows.Reading{Score: 100, Reason: "listed"}, nil })
	clock.Advance(4 * time.Minute)
	landed(t, g.open(b, g.url("/b")), "/b", "idp:u-alice")
	if n := reads(); n != 0 {
		t.Fatalf("read %d times before the time has come", n)
	}
	clock.Advance(time.Minute)
	var all sync.WaitGroup
	for range 20 {
		twin := b.Twin()
		all.Go(func() {
			p, err := twin.Send(browser.Request{URL: g.url("/b"), Script: true, Header: http.Header{"X-Forwarded-For": {"198.51.100.7"}}})
			if err != nil || p.Status != http.StatusUnauthorized {
				t.Errorf("got %v, %v", p, err)
			}
		})
	}
	all.Wait()
	if n := reads(); n != 1 {
		t.Errorf("twenty requests read %d times", n)
	}
	p := g.open(b, g.url("/b"))
	asksForCode(t, "risen", p)
	landed(t, fill(t, p, "code", code(t, secret, clock)), "/b", "idp:u-alice")
	clock.Advance(6 * time.Minute) // as high as it was accepted
	landed(t, g.open(b, g.url("/b")), "/b", "idp:u-alice")
}

// The thief's copy of a session is challenged, its owner's is not.
func TestB28OnlyWhoIsElsewhereIsChallenged(t *testing.T) {
	scripts(t, nil)
	g, _, _, b := calm(t, everySite)
	thief := b.Twin()
	from(thief, "203.0.113.9")
	for range 3 {
		asksForCode(t, "the thief", g.open(thief, g.url("/b")))
		from(b, "198.51.100.7")
		landed(t, g.open(b, g.url("/b")), "/b", "idp:u-alice")
	}
}

// Who has no factor signs in all through before they may set one up: or a stolen
// session could.
func TestI07AStolenSessionSetsUpNothing(t *testing.T) {
	scripts(t, nil)
	clock, op := newClock(t), newOP(t)
	g := start(t, asked(t, "idp", op)+strings.Replace(riskFlow, "risk device=30 place=40", "risk place=40", 1), everySite)
	mfaUser(op, "pwd", "mfa")
	b := arrives(t, "198.51.100.7")
	landed(t, g.open(b, g.url("/a")), "/a", "idp:u-alice")
	clock.Advance(10 * time.Minute)
	from(b, "203.0.113.9")
	b.Hops = nil
	p := g.open(b, g.url("/b"))
	if !strings.Contains(strings.Join(b.Hops, " "), "/authorize") {
		t.Errorf("nobody was asked to sign in: %v, %d at %s", b.Hops, p.Status, p.URL)
	}
}

// The facts of rules are those of now: risk.* of a request is what was read last.
func TestB21RulesReadTheRiskOfNow(t *testing.T) {
	scripts(t, nil)
	g, _, _, b := calm(t, "protect staff {\nheader X-Key {user.key}\npublic /public/*\nrequire /careful/* `risk.level == \"low\"` \"Not now.\"\nrequire /known/* `device.known`\nrisk every 5m\n}\nreverse_proxy {APP}")
	want(t, g.open(b, g.url("/careful/x")), http.StatusOK)
	want(t, g.open(b, g.url("/known/x")), http.StatusOK)
	scripts(t, func(*flows.Facts) (flows.Reading, error) { return flows.Reading{Score: 60, Reason: "listed"}, nil })
	from(b, "198.51.100.8")
	want(t, g.open(b, g.url("/careful/x")), http.StatusOK) // 24: still low
}

// Two nodes judge a session each for itself, by the same readings, and what is accepted
// on one is accepted on the other.
func TestB28TwoNodesReadTheRisk(t *testing.T) {
	scripts(t, nil)
	clock, op := newClock(t), newOP(t)
	// The second node sees 127.0.0.1, and so does the first without X-Forwarded-For.
	global := asked(t, "idp", op) + strings.Replace(riskFlow, "enroll allow", "enroll require", 1) + "store file " + t.TempDir() + "/s.db\n"
	g := start(t, global, everySite)
	b := newBrowser(t)
	mfaUser(op, "pwd", "mfa")
	p := g.open(b, g.url("/a"))
	secret := strings.ReplaceAll(manualKey.FindStringSubmatch(p.Body)[1], " ", "")
	landed(t, fill(t, p, "code", code(t, secret, clock)), "/a", "idp:u-alice")
	clock.Advance(time.Minute)
	landed(t, g.again(t, b), "/a", "idp:u-alice")

	cookies := func() string {
		var all []string
		for _, c := range b.Jar.Cookies(g.url("/")) {
			all = append(all, c.Name+"="+c.Value)
		}
		return strings.Join(all, "; ")
	}
	serve := g.secondNode(global, everySite)
	second := func() int {
		r := httptest.NewRequest(http.MethodGet, g.url("/b"), nil)
		r.Header.Set("Cookie", cookies())
		r.Header.Set("Accept", "text/html")
		return serve(r).Code
	}
	if got := second(); got != http.StatusOK {
		t.Fatalf("the second node: %d", got)
	}
	scripts(t, func(*flows.Facts) (flows.Reading, error) { return flows.Reading{Score: 100, Reason: "listed"}, nil })
	clock.Advance(6 * time.Minute)
	if got := second(); got != http.StatusSeeOther {
		t.Errorf("the second node, risen: %d", got)
	}
	p = g.open(b, g.url("/b"))
	asksForCode(t, "the first node, risen", p)
	landed(t, fill(t, p, "code", code(t, secret, clock)), "/b", "idp:u-alice")
	if got := second(); got != http.StatusOK {
		t.Errorf("the second node, accepted on the first: %d", got)
	}
}

// With a portal the device is known there; an application's host looks at the address,
// sends its person there to be asked, and has them back once.
func TestB28ASessionElsewhereIsChallengedAtThePortal(t *testing.T) {
	scripts(t, nil)
	clock, op := newClock(t), newOP(t)
	sites := "http://auth.localhost:{PORT} {\nbind 127.0.0.1\nprotect off\n}\nhttp://one.localhost:{PORT} {\nbind 127.0.0.1\nprotect staff {\nheader X-Key {user.key}\nrisk every 5m\n}\nreverse_proxy {APP}\n}\n"
	g := start(t, asked(t, "idp", op, "scopes openid profile")+portalLine+strings.Replace(riskFlow, "enroll allow", "enroll require", 1), sites)
	b := arrives(t, "198.51.100.7")
	mfaUser(op, "pwd", "mfa")
	p := g.open(b, g.on("one", "/a"))
	m := manualKey.FindStringSubmatch(p.Body)
	if m == nil {
		t.Fatalf("not asked to set up a factor: %d at %s\n%s", p.Status, p.URL, p.Text())
	}
	secret := strings.ReplaceAll(m[1], " ", "")
	p = fill(t, p, "code", code(t, secret, clock))
	landed(t, p, "/a", "idp:u-alice")
	forget := func() {
		for _, host := range []string{"auth", "one"} {
			u, _ := url.Parse(g.on(host, "/"))
			b.Jar.Set(u, []*http.Cookie{{Name: fmt.Sprintf("sallyport-%d", g.port), Path: "/", MaxAge: -1}})
		}
	}
	clock.Advance(time.Minute)
	forget()
	landed(t, g.open(b, g.on("one", "/a")), "/a", "idp:u-alice") // a known device
	for range 2 {
		landed(t, g.open(b, g.on("one", "/b")), "/b", "idp:u-alice")
	}
	from(b, "203.0.113.9")
	p = g.open(b, g.on("one", "/b"))
	asksForCode(t, "from elsewhere", p)
	if !strings.HasPrefix(p.URL, g.on("auth", "/")) {
		t.Errorf("asked at %s", p.URL)
	}
	landed(t, fill(t, p, "code", code(t, secret, clock)), "/b", "idp:u-alice")
	landed(t, g.open(b, g.on("one", "/c")), "/c", "idp:u-alice")
}

// What was accepted on one device is not accepted on another: there a level that is not
// low is challenged, though it is no higher.
func TestB28AnotherDeviceAtTheSameLevelIsChallenged(t *testing.T) {
	scripts(t, nil)
	g, clock, secret, b := riskRig(t, riskFlow, everySite) // of medium risk, and accepted
	landed(t, g.open(b, g.url("/b")), "/b", "idp:u-alice")
	u, _ := url.Parse(g.url("/"))
	b.Jar.Set(u, []*http.Cookie{{Name: browserCookie(t, g, b).Name, Path: "/", MaxAge: -1}})
	p := g.open(b, g.url("/b"))
	asksForCode(t, "another device", p)
	landed(t, fill(t, p, "code", code(t, secret, clock)), "/b", "idp:u-alice")
}

// refuses has a browser lose the cookie by which it is known again, and take no other.
func refuses(t *testing.T, g *gateway, b *browser.Browser) {
	t.Helper()
	u, _ := url.Parse(g.url("/"))
	b.Jar.Set(u, []*http.Cookie{{Name: browserCookie(t, g, b).Name, Path: "/", MaxAge: -1}})
	b.Jar.Refuses = ".browser"
}

// A browser that does not keep that cookie proves itself once in a session, not at every
// page: what was accepted of it counts until the risk rises.
func TestB28ABrowserThatRefusesItsCookieProvesItselfOnce(t *testing.T) {
	scripts(t, nil)
	g, clock, secret, b := calm(t, everySite)
	refuses(t, g, b)
	for _, ip := range []string{"198.51.100.7", "203.0.113.9"} {
		from(b, ip)
		p := g.open(b, g.url("/b"))
		asksForCode(t, ip, p)
		landed(t, fill(t, p, "code", code(t, secret, clock)), "/b", "idp:u-alice")
		for range 3 {
			landed(t, g.open(b, g.url("/c")), "/c", "idp:u-alice")
			if p := fetched(t, g, b, "/d"); p.Status != http.StatusOK {
				t.Fatalf("a script: %d %s", p.Status, p.Body)
			}
			clock.Advance(6 * time.Minute) // read anew
		}
	}
	scripts(t, func(*flows.Facts) (flows.Reading, error) { return flows.Reading{Score: 100, Reason: "listed"}, nil })
	from(b, "198.51.100.7") // as high as it was accepted
	landed(t, g.open(b, g.url("/c")), "/c", "idp:u-alice")
}

// It gets the cookie each time. Once it keeps it, a copy of the session without is
// somebody else.
func TestB28ACopyWithoutTheCookieIsChallenged(t *testing.T) {
	scripts(t, nil)
	g, clock, secret, b := calm(t, everySite)
	refuses(t, g, b)
	b.Jar.Refuses = ""
	landed(t, fill(t, g.open(b, g.url("/b")), "code", code(t, secret, clock)), "/b", "idp:u-alice")
	if browserCookie(t, g, b) == nil {
		t.Fatal("it did not get its cookie again")
	}
	thief := b.Twin()
	refuses(t, g, thief)
	asksForCode(t, "the thief", g.open(thief, g.url("/c")))
	landed(t, g.open(b, g.url("/c")), "/c", "idp:u-alice")
}

// Where the flow asks for nothing at that level, the way through it is no circle.
func TestB08ABrowserThatRefusesItsCookieMakesNoLoop(t *testing.T) {
	scripts(t, nil)
	op := newOP(t)
	g := start(t, asked(t, "idp", op)+strings.Replace(riskFlow, "risk.level != \"low\"", "risk.level == \"high\"", 1), everySite)
	b := arrives(t, "198.51.100.7")
	landed(t, g.open(b, g.url("/a")), "/a", "idp:u-alice")
	refuses(t, g, b)
	for range 3 {
		landed(t, g.open(b, g.url("/b")), "/b", "idp:u-alice")
	}
	if n := len(g.events("risk_rose", 1)); n != 1 {
		t.Errorf("%d rises", n)
	}
}
