package module_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/module"
)

// newOP is a provider that lives in the hall's time.
func newOP(t testing.TB) *oidctest.OP {
	t.Helper()
	op := oidctest.New(t)
	op.SetClock(module.Now)
	return op
}

// asked is the `provider` block for an OP, with more lines.
func asked(t *testing.T, name string, op *oidctest.OP, more ...string) string {
	t.Helper()
	t.Setenv("SALLYPORT_OIDC_SECRET", oidctest.Secret)
	return fmt.Sprintf("provider %s oidc {\nissuer %s\nclient_id %s\nclient_secret {env.SALLYPORT_OIDC_SECRET}\n%s\n}\n",
		name, op.Issuer, op.ClientID, strings.Join(more, "\n"))
}

// whoSite shows the application who is there.
const whoSite = "protect {\nheader X-Key {user.key}\nheader X-User {user.name}\nheader X-Email {user.email}\n}\nreverse_proxy {APP}"

func newBrowser(t testing.TB) *browser.Browser {
	b := browser.New()
	t.Cleanup(b.Close)
	return b
}

// away opens path and stops at the redirect to the provider.
func (g *gateway) away(b *browser.Browser, path string) *url.URL {
	g.t.Helper()
	p := g.send(b, browser.Request{URL: g.url(path)})
	to, err := url.Parse(p.Header.Get("Location"))
	if err != nil || p.Status != http.StatusSeeOther || !strings.HasSuffix(to.Path, "/authorize") {
		g.t.Fatalf("%s: want a redirect to the provider, got %d to %q\n%s", path, p.Status, p.Header.Get("Location"), p.Text())
	}
	return to
}

// answer is the address of ours that the provider sends the browser back to.
func (g *gateway) answer(to *url.URL) *url.URL {
	g.t.Helper()
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(&http.Request{Method: http.MethodGet, URL: to, Header: http.Header{}})
	if err != nil {
		g.t.Fatal(err)
	}
	res.Body.Close()
	back, err := res.Location()
	if err != nil {
		g.t.Fatalf("the provider answered %s: %v", res.Status, err)
	}
	return back
}

// with is an address with other parameters; an empty value takes one out.
func with(u *url.URL, pairs ...string) string {
	c := *u
	q := c.Query()
	for i := 0; i+1 < len(pairs); i += 2 {
		if q.Del(pairs[i]); pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	c.RawQuery = q.Encode()
	return c.String()
}

// landed fails unless the page is the application's at path, for this user key.
func landed(t testing.TB, p *browser.Page, path, key string) {
	t.Helper()
	if p.Status != http.StatusOK || p.Path() != path {
		t.Fatalf("want 200 at %s, got %d at %s\n%s\nhops %v", path, p.Status, p.URL, p.Text(), p.Browser.Hops)
	}
	if got := header(p.Body, "X-Key"); key != "" && !slices.Equal(got, []string{key}) {
		t.Fatalf("want user %s, got %q", key, got)
	}
}

// hasTicket reports whether the browser holds a session cookie.
func (g *gateway) hasTicket(b *browser.Browser) bool {
	return slices.ContainsFunc(b.Jar.Cookies(g.url("/")), func(c *http.Cookie) bool { return c.Name == fmt.Sprintf("sallyport-%d", g.port) })
}

// granted reports whether an answer sets a session cookie.
func (g *gateway) granted(p *browser.Page) bool {
	return slices.ContainsFunc(p.Header["Set-Cookie"], func(c string) bool {
		v, ok := strings.CutPrefix(c, fmt.Sprintf("sallyport-%d=", g.port))
		return ok && !strings.HasPrefix(v, ";")
	})
}

// count is how many audit events of a kind there are; all so far are written.
func (g *gateway) count(kind string) int {
	g.t.Helper()
	return len(g.events(kind, 0))
}

// lastDenied waits for the n-th denial of a login and returns it.
func (g *gateway) lastDenied(kind string, n int) map[string]any {
	g.t.Helper()
	return g.events(kind, n)[n-1]
}

// cookies are what the browser would send.
func (g *gateway) cookies(b *browser.Browser) string {
	var out []string
	for _, c := range b.Jar.Cookies(g.url("/.identity/callback/x")) {
		out = append(out, c.Name+"="+c.Value)
	}
	return strings.Join(out, "; ")
}

func TestB01TwoProvidersAtOnce(t *testing.T) {
	opA, opB := newOP(t), newOP(t)
	opB.SetUser(person("u-alice", "alice.b")) // the same sub, but one name is one person's (I06)
	g := start(t, asked(t, "a", opA)+asked(t, "b", opB), whoSite)

	t.Run("chooser", func(t *testing.T) {
		b := newBrowser(t)
		p := g.open(b, g.url("/x?y=1"))
		want(t, p, http.StatusOK)
		p, err := p.Fill("provider", "b")
		if err != nil {
			t.Fatal(err)
		}
		landed(t, p, "/x?y=1", "b:u-alice")
		if opA.Counts().Authorize != 0 || opB.Counts().Authorize != 1 {
			t.Errorf("asked: a %d times, b %d times", opA.Counts().Authorize, opB.Counts().Authorize)
		}
	})
	t.Run("by name", func(t *testing.T) {
		// The same sub of another provider is another person (O9).
		landed(t, g.open(newBrowser(t), g.url("/.identity/login?provider=a&return_to=/x")), "/x", "a:u-alice")
		landed(t, g.open(newBrowser(t), g.url("/.identity/login?provider=b&return_to=/x")), "/x", "b:u-alice")
		if p := g.open(newBrowser(t), g.url("/.identity/login?provider=nobody&return_to=/x")); !p.Has(`value="a"`) || !p.Has(`value="b"`) {
			t.Errorf("an unknown name: want the chooser, got %d at %s\n%s", p.Status, p.URL, p.Text())
		}
	})
	t.Run("code of A at B's callback", func(t *testing.T) {
		b := newBrowser(t)
		back := g.answer(g.away(b, "/.identity/login?provider=a&return_to=/x"))
		g.away(b, "/.identity/login?provider=b&return_to=/x") // and one is pending at B
		asked, denied := opB.Counts().Token, g.count("denied")
		mixed := *back
		mixed.Path = "/.identity/callback/b"
		p := g.send(b, browser.Request{URL: mixed.String()})
		want(t, p, http.StatusBadRequest)
		if g.hasTicket(b) || opB.Counts().Token != asked || opA.Counts().Token != 2-1 {
			t.Errorf("a session %v, B was sent A's code: %v, A's code was used: %v", g.hasTicket(b), opB.Counts().Token != asked, opA.Counts().Token != 1)
		}
		e := g.lastDenied("denied", denied+1)
		if e["reason"] != "provider_mismatch" || !p.Has(e["id"].(string)) {
			t.Errorf("event %v does not explain\n%s", e, p.Text())
		}
		// A login is not spoilt by it.
		landed(t, g.open(b, back.String()), "/x", "a:u-alice")
	})
	t.Run("code of A in an answer of B", func(t *testing.T) {
		b := newBrowser(t)
		stolen := g.answer(g.away(newBrowser(t), "/.identity/login?provider=a&return_to=/x")).Query().Get("code")
		back := g.answer(g.away(b, "/.identity/login?provider=b&return_to=/x"))
		p := g.send(b, browser.Request{URL: with(back, "code", stolen)})
		if p.Status < 400 || p.Status >= 500 || g.hasTicket(b) {
			t.Errorf("want a refusal, got %d, session %v", p.Status, g.hasTicket(b))
		}
	})
	for _, path := range []string{"/.identity/callback/nobody?code=x&state=y", "/.identity/callback/?code=x&state=y", "/.identity/callback/a/b?code=x&state=y"} {
		if p := g.open(newBrowser(t), g.url(path)); p.Status != http.StatusNotFound {
			t.Errorf("%s: want 404, got %d", path, p.Status)
		}
	}
}

func TestO1AuthorizationRequest(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "corp", op, "scopes openid profile groups", "prompt select_account"), whoSite)
	seen := map[string]bool{}
	for range 3 {
		landed(t, g.open(newBrowser(t), g.url("/x")), "/x", "corp:u-alice")
	}
	requests, tokens := op.Requests(), op.TokenRequests()
	for i, q := range requests {
		for name, value := range map[string]string{
			"response_type": "code", "client_id": op.ClientID, "code_challenge_method": "S256", "scope": "openid profile groups",
			"redirect_uri": g.url("/.identity/callback/corp"), "prompt": "select_account", "response_mode": "", "request": "", "client_secret": "",
		} {
			if q.Get(name) != value || len(q[name]) > 1 {
				t.Errorf("%s: want %q, got %q", name, value, q[name])
			}
		}
		// At least 128 bits each, and never the same again.
		for name, least := range map[string]int{"state": 22, "nonce": 22, "code_challenge": 43} {
			if v := q.Get(name); len(v) < least || seen[v] {
				t.Errorf("%s %q is too short or was used before", name, v)
			}
			seen[q.Get(name)] = true
		}
		// PKCE: the verifier of this login, and the code is asked for once.
		sum := sha256.Sum256([]byte(tokens[i].Get("code_verifier")))
		if base64.RawURLEncoding.EncodeToString(sum[:]) != q.Get("code_challenge") || tokens[i].Get("redirect_uri") != q.Get("redirect_uri") {
			t.Errorf("token request %d does not fit its authorization request", i)
		}
	}
	if len(requests) != 3 || len(tokens) != 3 {
		t.Errorf("%d authorization requests and %d token requests for 3 logins", len(requests), len(tokens))
	}
}

func TestO1StateIsOursFreshAndOfThisBrowser(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "corp", op), whoSite)
	used := func() int { return op.Counts().Token }
	flip := func(s string) string {
		c := byte('A')
		if s[20] == c {
			c = 'B'
		}
		return s[:20] + string(c) + s[21:]
	}
	for name, state := range map[string]func(string) string{
		"missing":   func(string) string { return "" },
		"one bit":   flip,
		"cut":       func(s string) string { return s[:len(s)-4] },
		"longer":    func(s string) string { return s + "AAAA" },
		"made up":   func(string) string { return "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" },
		"very long": func(string) string { return strings.Repeat("A", 20_000) },
		"script":    func(string) string { return "<script>alert(1)</script>" },
	} {
		t.Run(name, func(t *testing.T) {
			b, before, denied := newBrowser(t), used(), g.count("denied")
			back := g.answer(g.away(b, "/x"))
			p := g.send(b, browser.Request{URL: with(back, "state", state(back.Query().Get("state")))})
			want(t, p, http.StatusBadRequest)
			if g.hasTicket(b) || used() != before {
				t.Errorf("session %v, code used %v", g.hasTicket(b), used() != before)
			}
			if !p.Has("Reference") || p.Has("<script>alert") || g.count("denied") != denied {
				t.Errorf("a stranger is counted and not written (I25): page\n%s", p.Body)
			}
			landed(t, g.open(b, back.String()), "/x", "corp:u-alice")
		})
	}
	t.Run("other browser", func(t *testing.T) {
		// Login CSRF: the attacker's answer in the victim's browser.
		back := g.answer(g.away(newBrowser(t), "/x"))
		for name, victim := range map[string]*browser.Browser{"with no login": newBrowser(t), "with another login": newBrowser(t)} {
			if name == "with another login" {
				g.away(victim, "/y")
			}
			before := used()
			p := g.send(victim, browser.Request{URL: back.String()})
			if g.granted(p) || used() != before {
				t.Errorf("%s: session %v, code used %v", name, g.granted(p), used() != before)
			}
			if to, _ := url.Parse(p.Header.Get("Location")); p.Status != http.StatusSeeOther || to.Query().Get("state") == back.Query().Get("state") {
				t.Errorf("%s: want a fresh login, got %d to %s", name, p.Status, to)
			}
		}
	})
	t.Run("other origin", func(t *testing.T) {
		b := newBrowser(t)
		back := g.answer(g.away(b, "/x"))
		p := g.raw(http.MethodGet, back.RequestURI(), "", "Accept", "text/html", "Cookie", g.cookies(b), "Host", fmt.Sprintf("localhost:%d", g.port))
		want(t, p, http.StatusBadRequest)
		if len(p.Header["Set-Cookie"]) != 0 {
			t.Errorf("cookies: %v", p.Header["Set-Cookie"])
		}
	})
}

// replay is what a thief of an old login holds: the cookies before the callback,
// the state, and as many fresh codes for it as the provider will give.
type replay struct {
	to      *url.URL
	back    *url.URL
	cookies string
}

func (g *gateway) beginReplay(b *browser.Browser, path string) replay {
	to := g.away(b, path)
	return replay{to: to, back: g.answer(to), cookies: g.cookies(b)}
}

func TestO1StateReplayedWithAFreshCode(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "corp", op), whoSite)
	b := newBrowser(t)
	r := g.beginReplay(b, "/x")
	landed(t, g.open(b, r.back.String()), "/x", "corp:u-alice")
	ticket := ticketOf(t, g, b)
	// The provider gives a fresh code for the same state, nonce and challenge;
	// the old cookies are turned back (I08): no new session (I09).
	p := g.raw(http.MethodGet, g.answer(r.to).RequestURI(), "", "Accept", "text/html", "Cookie", r.cookies)
	want(t, p, http.StatusBadRequest)
	if g.granted(p) {
		t.Fatal("a replayed state with a fresh code gave a session")
	}
	if e := g.lastDenied("login_denied", 1); e["reason"] != "replayed" || !p.Has(e["id"].(string)) {
		t.Errorf("event: %v\n%s", e, p.Text())
	}
	// Who has a session goes on, with the one they have.
	p = g.raw(http.MethodGet, g.answer(r.to).RequestURI(), "", "Accept", "text/html", "Cookie", r.cookies+"; "+ticket.Name+"="+ticket.Value)
	if p.Status != http.StatusSeeOther || p.Header.Get("Location") != g.url("/x") || g.granted(p) {
		t.Errorf("with a session: %d to %q, new session %v", p.Status, p.Header.Get("Location"), g.granted(p))
	}
	// The session it gave at first can be logged out, and stays out.
	if _, err := b.Navigate(browser.Request{Method: http.MethodPost, URL: g.url("/.identity/logout"), From: g.open(b, g.url("/x"))}); err != nil {
		t.Fatal(err)
	}
	if p = g.raw(http.MethodGet, g.answer(r.to).RequestURI(), "", "Accept", "text/html", "Cookie", r.cookies); g.granted(p) {
		t.Error("the replay gave a session after logout")
	}
	if n := g.count("login"); n != 1 {
		t.Errorf("%d logins in the trail", n)
	}
}

func TestI09ParallelReplaysGiveOneSession(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "corp", op), whoSite)
	r := g.beginReplay(newBrowser(t), "/x")
	const n = 20
	var backs [n]string
	for i := range backs {
		backs[i] = g.answer(r.to).RequestURI()
	}
	var pages [n]*browser.Page
	var ready, done sync.WaitGroup
	begin := make(chan struct{})
	for i := range pages {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-begin
			pages[i] = g.raw(http.MethodGet, backs[i], "", "Accept", "text/html", "Cookie", r.cookies)
		})
	}
	ready.Wait()
	close(begin)
	done.Wait()
	granted := 0
	for _, p := range pages {
		switch {
		case g.granted(p):
			granted++
			if p.Status != http.StatusSeeOther || p.Header.Get("Location") != g.url("/x") {
				t.Errorf("the winner got %d to %q", p.Status, p.Header.Get("Location"))
			}
		case p.Status != http.StatusBadRequest:
			t.Errorf("a loser got %d:\n%s", p.Status, p.Text())
		}
	}
	if granted != 1 || g.count("login") != 1 {
		t.Errorf("%d sessions and %d login events of %d parallel answers, want exactly one", granted, g.count("login"), n)
	}
}

func TestO1NonceAndPKCE(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "corp", op), whoSite)
	for _, mode := range []string{
		"bad-nonce", "missing-nonce", "empty-nonce", "nonce-list", "alg-none", "hs256-client-secret", "wrong-key", "bad-signature",
		"wrong-iss", "wrong-aud", "expired", "no-sub", "null-sub", "logout-token-as-id-token", "made-up-code", "no-id-token", "id-token-300k",
	} {
		t.Run(mode, func(t *testing.T) {
			op.SetMode(mode)
			defer op.SetMode("")
			b, denied := newBrowser(t), g.count("login_denied")
			p := g.open(b, g.url("/x"))
			if p.Status < 400 || p.Status > 499 || g.hasTicket(b) {
				t.Fatalf("want a refusal, got %d at %s, session %v", p.Status, p.URL, g.hasTicket(b))
			}
			e := g.lastDenied("login_denied", denied+1)
			if !p.Has(e["id"].(string)) || e["reason"] == "" || e["reason"] == "internal" {
				t.Errorf("event: %v\n%s", e, p.Text())
			}
		})
	}
	t.Run("code injection", func(t *testing.T) {
		// The victim's code, in the answer to the attacker's own login.
		stolen := g.answer(g.away(newBrowser(t), "/x")).Query().Get("code")
		attacker := newBrowser(t)
		back := g.answer(g.away(attacker, "/x"))
		p := g.send(attacker, browser.Request{URL: with(back, "code", stolen)})
		if p.Status < 400 || p.Status > 499 || g.hasTicket(attacker) {
			t.Errorf("want a refusal, got %d, session %v", p.Status, g.hasTicket(attacker))
		}
	})
	landed(t, g.open(newBrowser(t), g.url("/x")), "/x", "corp:u-alice")
}

func TestO1HeadOnTheCallbackConsumesNothing(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "corp", op), whoSite)
	b := newBrowser(t)
	back := g.answer(g.away(b, "/x"))
	for _, method := range []string{http.MethodHead, http.MethodOptions, http.MethodPut} {
		p := g.raw(method, back.RequestURI(), "", "Accept", "text/html", "Cookie", g.cookies(b))
		if p.Status >= 500 || p.Status == http.StatusSeeOther || len(p.Header["Set-Cookie"]) != 0 {
			t.Errorf("%s: %d, cookies %v", method, p.Status, p.Header["Set-Cookie"])
		}
	}
	if n := op.Counts().Token; n != 0 {
		t.Fatalf("the code was used %d times", n)
	}
	landed(t, g.open(b, back.String()), "/x", "corp:u-alice")
}

func TestO3MixUp(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "corp", op), whoSite)
	for _, mode := range []string{"mixup-iss-param", "iss-param-trailing-slash", "iss-param-empty", "iss-param-missing", "error-and-code", "empty-error-and-code", "implicit-tokens", "no-code", "empty-code", "long-code"} {
		t.Run(mode, func(t *testing.T) {
			op.SetMode(mode)
			defer op.SetMode("")
			b, denied := newBrowser(t), g.count("login_denied")
			p := g.open(b, g.url("/x"))
			want(t, p, http.StatusBadRequest)
			if g.hasTicket(b) || op.Counts().Token != 0 {
				t.Errorf("session %v, code sent %d times", g.hasTicket(b), op.Counts().Token)
			}
			if e := g.lastDenied("login_denied", denied+1); e["reason"] != "invalid_answer" || !p.Has(e["id"].(string)) {
				t.Errorf("event: %v\n%s", e, p.Text())
			}
		})
	}
	t.Run("the provider says no", func(t *testing.T) {
		op.SetMode("error-xss")
		defer op.SetMode("")
		b := newBrowser(t)
		p := g.open(b, g.url("/x"))
		want(t, p, http.StatusForbidden)
		if p.Has("<script>alert") || g.hasTicket(b) {
			t.Errorf("page: %s", p.Body)
		}
	})
}

func TestO8DuplicateParameters(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "corp", op), whoSite)
	for name, more := range map[string]func(q url.Values) string{
		"code":            func(q url.Values) string { return "&code=" + url.QueryEscape(q.Get("code")) },
		"another code":    func(url.Values) string { return "&code=other" },
		"state":           func(q url.Values) string { return "&state=" + url.QueryEscape(q.Get("state")) },
		"another state":   func(url.Values) string { return "&state=other" },
		"iss":             func(q url.Values) string { return "&iss=" + url.QueryEscape(q.Get("iss")) },
		"error":           func(url.Values) string { return "&error=a&error=b" },
		"semicolon":       func(url.Values) string { return ";code=other" },
		"broken escape":   func(url.Values) string { return "&x=%zz" },
		"session_state":   func(url.Values) string { return "&session_state=a&session_state=b" },
		"state in escape": func(q url.Values) string { return "&st%61te=" + url.QueryEscape(q.Get("state")) },
	} {
		t.Run(name, func(t *testing.T) {
			b, before := newBrowser(t), op.Counts().Token
			back := g.answer(g.away(b, "/x"))
			p := g.send(b, browser.Request{URL: back.String() + more(back.Query())})
			want(t, p, http.StatusBadRequest)
			if g.hasTicket(b) || op.Counts().Token != before {
				t.Errorf("session %v, code used %v", g.hasTicket(b), op.Counts().Token != before)
			}
			landed(t, g.open(b, back.String()), "/x", "corp:u-alice")
		})
	}
}

func TestI10B5FormPostGrantsNothingItself(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "corp", op), whoSite)
	b := newBrowser(t)
	back := g.answer(g.away(b, "/x"))
	post := func(path, body string, more ...string) *browser.Page {
		return g.raw(http.MethodPost, path, body, append([]string{
			"Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html", "Origin", op.Issuer,
			"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document",
		}, more...)...)
	}
	// As browsers send it: no Lax cookies. And as nobody should: with all of them.
	alice := newBrowser(t)
	landed(t, g.open(alice, g.url("/x")), "/x", "corp:u-alice")
	used := op.Counts().Token
	plain := post(back.Path, back.RawQuery)
	for name, p := range map[string]*browser.Page{
		"plain": plain, "pending": post(back.Path, back.RawQuery, "Cookie", g.cookies(b)), "session": post(back.Path, back.RawQuery, "Cookie", g.cookies(alice)),
	} {
		if p.Status != http.StatusSeeOther || len(p.Header["Set-Cookie"]) != 0 || p.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d, cookies %v, Cache-Control %q", name, p.Status, p.Header["Set-Cookie"], p.Header.Get("Cache-Control"))
		}
		to, code := p.Header.Get("Location"), back.Query().Get("code")
		if !strings.HasPrefix(to, g.url("/.identity/flow?h=")) || len(to) != len(plain.Header.Get("Location")) {
			t.Errorf("%s: the answer depends on cookies: %s", name, to)
		}
		if code == "" || strings.Contains(to, code) {
			t.Errorf("%s: the code does not travel sealed: %s", name, to)
		}
	}
	if op.Counts().Token != used || g.count("login") != 1 {
		t.Fatal("the POST itself did something")
	}
	to, err := url.Parse(plain.Header.Get("Location"))
	if err != nil || to.Host != back.Host || !strings.HasPrefix(to.Path, "/.identity/") {
		t.Fatalf("the answer goes on to %q", plain.Header.Get("Location"))
	}
	// The cross-site redirect is a GET at the top: Lax cookies go along.
	landed(t, g.open(b, to.String()), "/x", "corp:u-alice")

	for name, p := range map[string]*browser.Page{
		"query and form": post(back.RequestURI(), back.RawQuery),
		"too large":      post(back.Path, "state=x&code="+strings.Repeat("x", 70<<10)),
		"not a form":     g.raw(http.MethodPost, back.Path, "<xml/>", "Content-Type", "text/xml", "Accept", "text/html"),
		"broken":         post(back.Path, "state=%zz"),
	} {
		if p.Status < 400 || p.Status > 499 || len(p.Header["Set-Cookie"]) != 0 {
			t.Errorf("%s: %d, cookies %v", name, p.Status, p.Header["Set-Cookie"])
		}
	}
	b2 := newBrowser(t)
	twice := g.answer(g.away(b2, "/x"))
	p := post(twice.Path, twice.RawQuery+"&code=other")
	if p.Status == http.StatusSeeOther {
		p = g.send(b2, browser.Request{URL: p.Header.Get("Location")})
	}
	want(t, p, http.StatusBadRequest)
}
