package module_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// raw sends one request with exactly these headers and follows nothing.
func (g *gateway) raw(method, path, body string, headers ...string) *browser.Page {
	g.t.Helper()
	send := func() (*http.Response, error) {
		var rd io.Reader
		if body != "" {
			rd = strings.NewReader(body)
		}
		req, err := http.NewRequest(method, g.url(path), rd)
		if err != nil {
			g.t.Fatal(err)
		}
		for i := 0; i+1 < len(headers); i += 2 {
			if headers[i] == "Host" {
				req.Host = headers[i+1]
				continue
			}
			req.Header[headers[i]] = append(req.Header[headers[i]], headers[i+1])
		}
		return (&http.Transport{DisableKeepAlives: true, DisableCompression: true}).RoundTrip(req)
	}
	res, err := send()
	// A refused body may be cut off before its answer is read; behind a reload the old
	// listener may take a connection and close it.
	for try := 0; try < 3 && (errors.Is(err, syscall.ECONNRESET) || body == "" && errors.Is(err, io.EOF)); try++ {
		res, err = send()
	}
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	var b strings.Builder
	buf := make([]byte, 32<<10)
	for {
		n, err := res.Body.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			break
		}
	}
	return &browser.Page{URL: g.url(path), Status: res.StatusCode, Header: res.Header, Body: b.String()}
}

func TestB05PendingLoginsStayFewAndSmall(t *testing.T) {
	g := start(t, people(t), plainSite)
	b := browser.New()
	defer b.Close()
	var last *browser.Page
	for i := range 20 {
		last = g.open(b, g.url(fmt.Sprintf("/tab/%d?%s", i, strings.Repeat("x", 40*i))))
		want(t, last, http.StatusOK)
		total := 0
		cookies := b.Jar.Cookies(g.url("/"))
		for _, c := range cookies {
			total += len(c.Name) + len(c.Value) + 3
		}
		if len(cookies) > 5 || total > 4096 {
			t.Fatalf("tab %d: %d cookies with %d bytes", i, len(cookies), total)
		}
	}
	p, err := last.Fill("username", "alice", "password", "alicepw")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(p.Path(), "/tab/19") {
		t.Errorf("landed at %s", p.URL)
	}
	total := 0
	for _, c := range b.Jar.Cookies(g.url("/")) {
		total += len(c.Name) + len(c.Value) + 3
		if strings.Contains(c.Name, ".p") {
			t.Errorf("a pending login outlived the success: %s", c.Name)
		}
	}
	if total >= 300 {
		t.Errorf("B03: the gateway's cookies have %d bytes", total)
	}
}

// More than five of the smallest would fit into 4 KB.
func TestB05NeverMoreThanFivePendingLogins(t *testing.T) {
	g := start(t, people(t)+"provider more local {\nuser eve "+hashOf(t, "evepw")+"\n}\n", plainSite)
	b := browser.New()
	defer b.Close()
	for i := range 8 {
		want(t, g.open(b, g.url("/a")), http.StatusOK)
		cookies, total := b.Jar.Cookies(g.url("/")), 0
		for _, c := range cookies {
			total += len(c.Name) + len(c.Value) + 3
		}
		if len(cookies) != min(i+1, 5) || 6*total/len(cookies) > 4096 {
			t.Errorf("after %d logins there are %d with %d bytes", i+1, len(cookies), total)
		}
	}
}

func TestB05LongReturnAddressWaitsInTheBrowser(t *testing.T) {
	g := start(t, people(t), plainSite)
	b := browser.New()
	defer b.Close()
	p := g.open(b, g.url("/report?"+strings.Repeat("q", 3000)))
	want(t, p, http.StatusOK)
	if !p.Has("sessionStorage") || !p.Has("/.identity/login?") {
		t.Fatalf("no page that keeps the address:\n%s", p.Body)
	}
	if len(b.Jar.Cookies(g.url("/"))) != 0 {
		t.Error("a cookie was set for it")
	}
	p, err := p.Click("/.identity/login") // as without JavaScript
	if err != nil {
		t.Fatal(err)
	}
	p, err = p.Fill("username", "alice", "password", "alicepw")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(p.URL, "/.identity/flow?resume=") || !p.Has("sessionStorage") {
		t.Errorf("landed at %s:\n%s", p.URL, p.Body)
	}
}

func TestB06ParallelTabs(t *testing.T) {
	g := start(t, people(t), plainSite)
	b := browser.New()
	defer b.Close()
	a, c := g.open(b, g.url("/a")), g.open(b, g.url("/c"))
	p, err := c.Fill("username", "alice", "password", "alicepw")
	if err != nil {
		t.Fatal(err)
	}
	if p.Path() != "/c" {
		t.Fatalf("the second tab landed at %s", p.URL)
	}
	// The first tab's form is stale now: who is signed in goes on.
	p, err = a.Fill("username", "alice", "password", "alicepw")
	if err != nil {
		t.Fatal(err)
	}
	if p.Status != http.StatusOK || strings.Contains(p.URL, ".identity") {
		t.Errorf("the first tab landed at %s with %d", p.URL, p.Status)
	}
	if n := len(g.events("login", 1)); n != 1 {
		t.Errorf("%d logins", n)
	}
}

func TestB07StaleLoginPageNeverEndsInABareError(t *testing.T) {
	clock := newClock(t)
	g := start(t, people(t), plainSite)
	b := browser.New()
	defer b.Close()
	form := g.open(b, g.url("/a"))
	clock.Advance(11 * time.Minute)
	p, err := form.Fill("username", "alice", "password", "alicepw")
	if err != nil {
		t.Fatal(err)
	}
	if p.Status != http.StatusBadRequest || !p.Has("/.identity/login?return_to=") {
		t.Fatalf("expired form: want a page with a way on, got %d at %s\n%s", p.Status, p.URL, p.Text())
	}
	// A bookmarked login page: one fresh login.
	p = g.open(browser.New(), g.url("/.identity/flow"))
	if p.Status != http.StatusOK || !p.Has("password") {
		t.Errorf("bookmarked login page: %d at %s", p.Status, p.URL)
	}
	p = g.open(browser.New(), g.url("/.identity/flow?p=0000000000000000"))
	if p.Status != http.StatusOK || !p.Has("password") {
		t.Errorf("unknown pending login: %d at %s", p.Status, p.URL)
	}
}

func TestB08LoopStopsWithItsCause(t *testing.T) {
	g := start(t, people(t), plainSite)
	b := browser.New()
	defer b.Close()
	for i := range 6 {
		p := g.open(b, g.url("/a"))
		if p.Status == http.StatusForbidden {
			if i < 2 || i > 4 {
				t.Errorf("stopped at login %d", i+1)
			}
			if !p.Has("cookie did not come back") {
				t.Errorf("the page does not name the cause:\n%s", p.Text())
			}
			return
		}
		p, err := p.Fill("username", "alice", "password", "alicepw")
		if err != nil {
			t.Fatal(err)
		}
		// The session cookie gets lost each time.
		want(t, p, http.StatusOK)
		u, _ := url.Parse(g.url("/"))
		b.Jar.Set(u, []*http.Cookie{{Name: ticketOf(t, g, b).Name, Path: "/", MaxAge: -1}})
	}
	t.Error("the loop was not stopped")
}

func TestB10ForbiddenIsNoLogin(t *testing.T) {
	g := start(t, people(t)+"policy admins `\"admins\" in user.groups`\n", "protect {\nheaders siteminder\nrequire /admin/* admins \"Administrators only.\"\n}\nreverse_proxy {APP}")
	b := browser.New()
	defer b.Close()
	p := g.signIn(b, "/admin/x", "bob", "bobpw")
	if p.Status != http.StatusForbidden || !p.Has("Administrators only.") {
		t.Fatalf("want 403 with the operator's words, got %d at %s\n%s", p.Status, p.URL, p.Text())
	}
	e := g.events("denied", 1)[0]
	if !p.Has(e["id"].(string)) || e["user"] != "corp:bob" || e["reason"] != "not_allowed" || !strings.HasPrefix(e["rule"].(string), "Caddyfile:") {
		t.Errorf("the id on the page does not find the event: %v", e)
	}
	want(t, g.open(b, g.url("/a")), http.StatusOK)
	for _, path := range []string{"/admin", "/ADMIN/x", "/Admin"} {
		if p := g.open(b, g.url(path)); p.Status != http.StatusForbidden {
			t.Errorf("%s: want 403, got %d", path, p.Status)
		}
	}
	j, err := b.Send(browser.Request{Method: http.MethodGet, URL: g.url("/admin/x"), Script: true, From: p})
	if err != nil {
		t.Fatal(err)
	}
	var body map[string]string
	if err := json.Unmarshal([]byte(j.Body), &body); err != nil || body["error"] != "not_allowed" || body["reason"] == "" || body["id"] == "" {
		t.Errorf("JSON denial: %v %q", err, j.Body)
	}
}

func TestB2SessionFixation(t *testing.T) {
	g := start(t, people(t), plainSite)
	// A cookie the attacker chose is not taken over by a login.
	b := browser.New()
	defer b.Close()
	name := fmt.Sprintf("sallyport-%d", g.port)
	chosen := strings.Repeat("A", 43)
	u, _ := url.Parse(g.url("/"))
	b.Jar.Set(u, []*http.Cookie{{Name: name, Value: chosen, Path: "/"}})
	g.signIn(b, "/a", "alice", "alicepw")
	if c := ticketOf(t, g, b); c.Value == chosen {
		t.Error("the login kept the chosen ticket")
	}
	want(t, g.get("/a", name+"="+chosen), http.StatusSeeOther)
}

func TestB3CookieFlags(t *testing.T) {
	g := start(t, people(t), plainSite)
	b := browser.New()
	defer b.Close()
	p := g.raw(http.MethodGet, "/a", "", "Accept", "text/html")
	check := func(lines []string) {
		t.Helper()
		if len(lines) == 0 {
			t.Error("no cookie")
		}
		for _, l := range lines {
			for _, flag := range []string{"HttpOnly", "SameSite=Lax"} {
				if !strings.Contains(l, flag) {
					t.Errorf("%s lacks %s", l, flag)
				}
			}
			if strings.Contains(l, "Domain=") {
				t.Errorf("%s is not host-only", l)
			}
		}
	}
	check(p.Header["Set-Cookie"])
	f, err := g.open(b, g.url("/a")).FormWith("username")
	if err != nil {
		t.Fatal(err)
	}
	check(g.submitOnly(b, f, "alice", "alicepw").Header["Set-Cookie"])
	// On https every cookie is __Host- or __Secure-.
	if err := g.load(people(t), "protect {\nurl https://app.example.test\n}\nreverse_proxy {APP}"); err != nil {
		t.Fatal(err)
	}
	p = g.raw(http.MethodGet, "/a", "", "Accept", "text/html")
	for _, l := range p.Header["Set-Cookie"] {
		if !strings.HasPrefix(l, "__Host-sallyport") || !strings.Contains(l, "Secure") || !strings.Contains(l, "Path=/;") {
			t.Errorf("https cookie: %s", l)
		}
	}
	check(p.Header["Set-Cookie"])
}

func TestB4CookieTossing(t *testing.T) {
	g := start(t, people(t), plainSite)
	c := ticketOf(t, g, g.signedIn("/a", "alice", "alicepw"))
	bad, unknown := c.Name+"="+strings.Repeat("B", 43), c.Name+"="+strings.Repeat("A", 43) // one is no ticket, the other nobody's
	for _, cookie := range []string{unknown + "; " + c.Name + "=" + c.Value, bad + "; " + c.Name + "=" + c.Value, c.Name + "=x; " + c.Name + "=" + c.Value + "; " + bad, c.Name + "=; " + c.Name + "=" + c.Value} {
		want(t, g.get("/a", cookie), http.StatusOK)
	}
	want(t, g.get("/a", bad+"; "+bad), http.StatusSeeOther)
	want(t, g.get("/a", unknown+"; "+bad), http.StatusSeeOther)
	p := g.get("/a", strings.Repeat(bad+"; ", 100)+c.Name+"="+c.Value)
	want(t, p, http.StatusOK)
}

func TestB7OwnPagesAreSafe(t *testing.T) {
	g := start(t, people(t), plainSite)
	pages := map[string]*browser.Page{
		"form":    g.open(browser.New(), g.url("/a")),
		"error":   g.raw(http.MethodGet, "/.identity/nothing<script>", "", "Accept", "text/html"),
		"path":    g.raw(http.MethodGet, "/a/%2e%2e/x", "", "Accept", "text/html"),
		"out":     g.raw(http.MethodGet, "/.identity/logout", "", "Accept", "text/html"),
		"stale":   g.raw(http.MethodPost, "/.identity/flow", "x=1", "Accept", "text/html", "Sec-Fetch-Site", "same-origin"),
		"foreign": g.raw(http.MethodPost, "/.identity/flow", "x=1", "Accept", "text/html", "Origin", "https://evil.example"),
	}
	for name, p := range pages {
		t.Run(name, func(t *testing.T) {
			csp := p.Header.Get("Content-Security-Policy")
			for _, d := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
				if !strings.Contains(csp, d) {
					t.Errorf("CSP lacks %s: %s", d, csp)
				}
			}
			if strings.Contains(csp, "unsafe") || p.Has("<script>") {
				t.Errorf("scripts: %s", csp)
			}
			if p.Header.Get("Cache-Control") != "no-store" || p.Header.Get("X-Content-Type-Options") != "nosniff" || p.Header.Get("X-Frame-Options") != "DENY" {
				t.Errorf("headers: %v", p.Header)
			}
		})
	}
}

func TestI11B6ChangesNeedOurOwnOriginAndToken(t *testing.T) {
	g := start(t, people(t), plainSite)
	for name, h := range map[string][]string{
		"cross-site": {"Sec-Fetch-Site", "cross-site"}, "same-site": {"Sec-Fetch-Site", "same-site"}, "null origin": {"Origin", "null"},
		"other origin": {"Origin", "https://evil.example"}, "nothing": nil, "none": {"Sec-Fetch-Site", "none"},
	} {
		t.Run(name, func(t *testing.T) {
			b := browser.New()
			defer b.Close()
			f, err := g.open(b, g.url("/a")).FormWith("username")
			if err != nil {
				t.Fatal(err)
			}
			f.Fields.Set("username", "alice")
			f.Fields.Set("password", "alicepw")
			cookie := b.Jar.Cookies(g.url("/"))[0]
			args := append([]string{"Content-Type", "application/x-www-form-urlencoded", "Cookie", cookie.Name + "=" + cookie.Value, "Accept", "text/html"}, h...)
			u, _ := url.Parse(f.Action)
			p := g.raw(http.MethodPost, u.RequestURI(), f.Fields.Encode(), args...)
			if p.Status != http.StatusForbidden || len(p.Header["Set-Cookie"]) != 0 {
				t.Errorf("want 403 and no cookie, got %d %v", p.Status, p.Header["Set-Cookie"])
			}
		})
	}
	for _, token := range []string{"", "wrong"} {
		b := browser.New()
		f, err := g.open(b, g.url("/a")).FormWith("username")
		if err != nil {
			t.Fatal(err)
		}
		f.Fields.Set("token", token)
		if p := g.submitOnly(b, f, "alice", "alicepw"); p.Status != http.StatusForbidden {
			t.Errorf("token %q: %d", token, p.Status)
		}
		b.Close()
	}
	// Logout: a foreign image or page must not end a session.
	b := g.signedIn("/a", "alice", "alicepw")
	c := ticketOf(t, g, b)
	cookie := c.Name + "=" + c.Value
	want(t, g.raw(http.MethodPost, "/.identity/logout", "", "Cookie", cookie, "Sec-Fetch-Site", "cross-site"), http.StatusForbidden)
	p := g.raw(http.MethodGet, "/.identity/logout", "", "Cookie", cookie, "Sec-Fetch-Site", "cross-site", "Accept", "text/html")
	want(t, p, http.StatusOK)
	if len(p.Header["Set-Cookie"]) != 0 {
		t.Error("a foreign GET ended the session")
	}
	want(t, g.get("/a", cookie), http.StatusOK)
	want(t, g.raw(http.MethodGet, "/.identity/logout", "", "Cookie", cookie, "Sec-Fetch-Site", "none", "Accept", "text/html"), http.StatusOK)
	want(t, g.get("/a", cookie), http.StatusSeeOther)
}

func TestI28InputNamesTheWaitingStep(t *testing.T) {
	g := start(t, people(t), plainSite)
	b := browser.New()
	defer b.Close()
	page := g.open(b, g.url("/a"))
	for _, wrong := range [][2]string{{"step", "7"}, {"serial", "99"}, {"serial", ""}, {"step", "-1"}} {
		f, err := page.FormWith("username")
		if err != nil {
			t.Fatal(err)
		}
		f.Fields.Set(wrong[0], wrong[1])
		p := g.submitOnly(b, f, "alice", "alicepw")
		if p.Status != http.StatusOK || !p.Has("password") || slices.ContainsFunc(p.Header["Set-Cookie"], func(s string) bool { return strings.HasPrefix(s, fmt.Sprintf("sallyport-%d=", g.port)) }) {
			t.Errorf("%v: want the current page and nothing run, got %d %v", wrong, p.Status, p.Header["Set-Cookie"])
		}
	}
}

func TestB27BruteForceIsSlowedWithoutLockingOut(t *testing.T) {
	clock := newClock(t)
	g := start(t, people(t)+"trusted_proxies static 127.0.0.0/8\n", plainSite)
	// A browser that alice signed in with before.
	known := g.signedIn("/a", "alice", "alicepw")
	known.Header.Set("X-Forwarded-For", "203.0.113.7")
	attack := func(ip, name string) int {
		b := browser.New()
		defer b.Close()
		b.Header.Set("X-Forwarded-For", ip)
		f, err := g.open(b, g.url("/a")).FormWith("username")
		if err != nil {
			t.Fatal(err)
		}
		return g.submitOnly(b, f, name, "wrong").Status
	}
	statuses := map[string][]int{}
	for range 8 {
		for _, name := range []string{"alice", "nobody"} {
			statuses[name] = append(statuses[name], attack("203.0.113.7", name))
		}
	}
	if !slices.Equal(statuses["alice"], statuses["nobody"]) {
		t.Errorf("known and unknown names differ: %v", statuses)
	}
	if statuses["alice"][0] != http.StatusUnauthorized || statuses["alice"][7] != http.StatusTooManyRequests {
		t.Errorf("want 401 first and 429 in the end: %v", statuses["alice"])
	}
	// Alice on another network gets in, and on her own device here, too.
	other := browser.New()
	defer other.Close()
	other.Header.Set("X-Forwarded-For", "198.51.100.9")
	if p := g.signIn(other, "/a", "alice", "alicepw"); p.Status != http.StatusOK || p.Path() != "/a" {
		t.Errorf("alice is locked out elsewhere: %d at %s", p.Status, p.URL)
	}
	out, err := known.Send(browser.Request{Method: http.MethodGet, URL: g.url("/.identity/logout")})
	if err != nil {
		t.Fatal(err)
	}
	want(t, out, http.StatusOK)
	if p := g.signIn(known, "/a", "alice", "alicepw"); p.Status != http.StatusOK || p.Path() != "/a" {
		t.Errorf("alice is locked out on her own device: %d at %s\n%s", p.Status, p.URL, p.Text())
	}
	clock.Advance(20 * time.Minute)
	if s := attack("203.0.113.7", "alice"); s != http.StatusUnauthorized {
		t.Errorf("the budget did not recover: %d", s)
	}
}
