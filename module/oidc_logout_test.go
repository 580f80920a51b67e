package module_test

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// leave presses "sign out" on a page of the application and follows nothing.
func (g *gateway) leave(b *browser.Browser) *browser.Page {
	g.t.Helper()
	from := &browser.Page{Browser: b, URL: g.url("/app")}
	return g.send(b, browser.Request{Method: http.MethodPost, URL: g.url("/.identity/logout"), From: from})
}

func TestB14LogoutEndsItAtTheProviderToo(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "corp", op), whoSite)
	b := newBrowser(t)
	landed(t, g.open(b, g.url("/a")), "/a", "corp:u-alice")
	old := ticketOf(t, g, b)

	p := g.leave(b)
	to, err := url.Parse(p.Header.Get("Location"))
	if err != nil || p.Status != http.StatusSeeOther || to.Path != "/end" {
		t.Fatalf("want a redirect to the provider, got %d to %q", p.Status, p.Header.Get("Location"))
	}
	// The local session is dead before the provider hears of it.
	if op.Counts().EndSession != 0 || g.hasTicket(b) {
		t.Errorf("asked %d times, ticket kept %v", op.Counts().EndSession, g.hasTicket(b))
	}
	want(t, g.get("/a", old.Name+"="+old.Value), http.StatusSeeOther)
	want(t, g.raw(http.MethodGet, "/a", "", "Accept", "*/*", "Cookie", old.Name+"="+old.Value), http.StatusUnauthorized)
	q := to.Query()
	if claims := claimsOf(t, q.Get("id_token_hint")); claims["sub"] != "u-alice" || claims["iss"] != op.Issuer {
		t.Errorf("id_token_hint: %v", claims)
	}
	if q.Get("post_logout_redirect_uri") != g.url("/.identity/logout") || len(q.Get("state")) < 22 || q.Get("client_id") != op.ClientID {
		t.Errorf("logout request: %v", q)
	}

	// Back from there: a page that does not sign in by itself.
	asked := op.Counts().Authorize
	p = g.open(b, to.String())
	if p.Status != http.StatusOK || !strings.HasPrefix(p.URL, g.url("/.identity/logout?state=")) || !p.Has("igned out") {
		t.Fatalf("back from the provider: %d at %s\n%s", p.Status, p.URL, p.Text())
	}
	for _, sign := range []string{"<script", "http-equiv=\"refresh\"", "http-equiv=refresh", "/authorize"} {
		if strings.Contains(strings.ToLower(p.Body), sign) {
			t.Errorf("the signed-out page goes on by itself: %s", sign)
		}
	}
	if p.Header.Get("Refresh") != "" || op.Counts().Authorize != asked {
		t.Error("a login was begun by the signed-out page")
	}
	if e := g.events("logout", 1)[0]; e["user"] != "corp:u-alice" || e["session"] == "" {
		t.Errorf("logout event: %v", e)
	}
	// Asking again is a login at the provider.
	landed(t, g.open(b, g.url("/a")), "/a", "corp:u-alice")
	if op.Counts().Authorize != asked+1 {
		t.Error("the provider was not asked again")
	}
}

func TestB14LogoutWithTheProviderDown(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "corp", op), whoSite)
	b := newBrowser(t)
	landed(t, g.open(b, g.url("/a")), "/a", "corp:u-alice")
	old := ticketOf(t, g, b)
	op.SetDown(true)
	begin := time.Now()
	p := g.leave(b)
	if p.Status != http.StatusSeeOther || time.Since(begin) > 2*time.Second {
		t.Errorf("logout answered %d after %s", p.Status, time.Since(begin))
	}
	want(t, g.get("/a", old.Name+"="+old.Value), http.StatusSeeOther)
}

func TestB14LogoutOfAProgramAndOfStrangers(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "corp", op, "single_logout off"), whoSite)
	b := newBrowser(t)
	landed(t, g.open(b, g.url("/a")), "/a", "corp:u-alice")
	old := ticketOf(t, g, b)
	cookie := old.Name + "=" + old.Value
	// Another site's picture or link ends nothing (O7).
	for _, h := range [][]string{
		{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Dest", "image"},
		{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Dest", "document"},
		{"Referer", "https://evil.example/"},
		{"Sec-Fetch-Site", "none", "Sec-Purpose", "prefetch"},
	} {
		g.raw(http.MethodGet, "/.identity/logout?state=x", "", append([]string{"Accept", "text/html", "Cookie", cookie}, h...)...)
		want(t, g.get("/a", cookie), http.StatusOK)
	}
	for _, h := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", op.Issuer}, {}, {"Origin", "null"}} {
		p := g.raw(http.MethodPost, "/.identity/logout", "x=y", append([]string{"Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html", "Cookie", cookie}, h...)...)
		want(t, p, http.StatusForbidden)
		want(t, g.get("/a", cookie), http.StatusOK)
	}
	p := g.leave(b)
	want(t, p, http.StatusOK) // single_logout off: no trip
	want(t, g.get("/a", cookie), http.StatusSeeOther)
	if op.Counts().EndSession != 0 {
		t.Error("the provider was told though single_logout is off")
	}
}

// claimsOf reads a token without believing it.
func claimsOf(t testing.TB, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("no token: %q", token)
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// tell sends a logout token as the provider would.
func (g *gateway) tell(provider, token string) *browser.Page {
	return g.raw(http.MethodPost, "/.identity/backchannel-logout/"+provider, url.Values{"logout_token": {token}}.Encode(), "Content-Type", "application/x-www-form-urlencoded")
}

func person(sub, name string) map[string]any {
	return map[string]any{"sub": sub, "preferred_username": name}
}

func TestO6BackChannelLogout(t *testing.T) {
	op := newOP(t)
	other := newOP(t)
	g := start(t, asked(t, "corp", op)+asked(t, "other", other, "hidden"), whoSite)
	login := func() string {
		b := newBrowser(t)
		landed(t, g.open(b, g.url("/a")), "/a", "corp:u-alice")
		c := ticketOf(t, g, b)
		return c.Name + "=" + c.Value
	}
	op.SetUser(person("u-bob", "bob"))
	b := newBrowser(t)
	landed(t, g.open(b, g.url("/a")), "/a", "corp:u-bob")
	bob := g.cookies(b)
	op.SetUser(person("u-alice", "alice"))
	cookie := login()

	refused := func(t *testing.T, p *browser.Page) {
		t.Helper()
		want(t, p, http.StatusBadRequest)
		if p.Header.Get("Cache-Control") != "no-store" || len(p.Header["Set-Cookie"]) != 0 || !strings.HasPrefix(p.Header.Get("Content-Type"), "application/json") {
			t.Errorf("answer: %v", p.Header)
		}
		if s := g.get("/a", cookie); s.Status != http.StatusOK {
			t.Fatalf("the session ended: %d", s.Status)
		}
	}
	for _, variant := range slices.Sorted(maps.Keys(oidctest.LogoutVariants)) {
		t.Run(variant, func(t *testing.T) {
			refused(t, g.tell("corp", op.Logout("u-alice", "sid-u-alice", variant)))
		})
	}
	good := op.Logout("u-alice", "sid-u-alice", "")
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	t.Run("not a logout request", func(t *testing.T) {
		path := "/.identity/backchannel-logout/"
		refused(t, g.tell("other", good))  // another provider's endpoint
		refused(t, g.tell("nobody", good)) // none of ours
		refused(t, g.tell("corp", ""))
		refused(t, g.tell("corp", "x.y.z"))
		refused(t, g.raw(http.MethodPost, path+"corp", "logout_token="+good+"&logout_token="+good, form...))
		refused(t, g.raw(http.MethodPost, path+"corp", "", form...))
		refused(t, g.raw(http.MethodPost, path+"corp", `{"logout_token":"`+good+`"}`, "Content-Type", "application/json"))
		want(t, g.raw(http.MethodPost, path+"corp", "logout_token="+strings.Repeat("x", 80<<10), form...), http.StatusRequestEntityTooLarge)
		// In the address it would stand in logs; and a GET changes nothing.
		refused(t, g.raw(http.MethodPost, path+"corp?logout_token="+good, "x=y", form...))
		if p := g.raw(http.MethodGet, path+"corp?logout_token="+good, ""); p.Status != http.StatusMethodNotAllowed {
			t.Errorf("GET: %d", p.Status)
		}
		want(t, g.get("/a", cookie), http.StatusOK)
	})
	t.Run("by sid", func(t *testing.T) {
		p := g.tell("corp", good)
		want(t, p, http.StatusOK)
		if p.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("Cache-Control %q", p.Header.Get("Cache-Control")) // Back-Channel Logout 1.0 §2.8
		}
		want(t, g.get("/a", cookie), http.StatusSeeOther)
		want(t, g.get("/a", bob), http.StatusOK)
	})
	t.Run("the same jti twice", func(t *testing.T) {
		cookie = login()
		refused(t, g.tell("corp", good))
	})
	t.Run("by sub", func(t *testing.T) {
		second := login()
		want(t, g.tell("corp", op.Logout("u-alice", "", "")), http.StatusOK)
		for _, c := range []string{cookie, second} {
			want(t, g.get("/a", c), http.StatusSeeOther)
		}
		want(t, g.get("/a", bob), http.StatusOK)
		cookie = login() // a login from after the revocation is good
		want(t, g.get("/a", cookie), http.StatusOK)
	})
	t.Run("nobody's session", func(t *testing.T) {
		want(t, g.tell("corp", op.Logout("u-nobody", "sid-nobody", "")), http.StatusOK)
		want(t, g.get("/a", cookie), http.StatusOK)
	})
	ended := 0
	for _, e := range g.events("session_ended", 3) {
		if e["user"] == "corp:u-alice" && e["reason"] == "revoked" {
			ended++
		}
	}
	if ended != 3 {
		t.Errorf("%d sessions of alice ended in the trail, want 3", ended)
	}
}

func TestI15LoginUnderWayCannotComeInBehindALogout(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "corp", op), whoSite)
	for name, token := range map[string]func() string{
		"by sid": func() string { return op.Logout("", "sid-u-alice", "") },
		"by sub": func() string { return op.Logout("u-alice", "", "") },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBrowser(t)
			back := g.answer(g.away(b, "/a"))
			want(t, g.tell("corp", token()), http.StatusOK)
			denied := g.count("login_denied")
			p := g.open(b, back.String())
			want(t, p, http.StatusForbidden)
			if g.hasTicket(b) {
				t.Error("a session was made")
			}
			if e := g.lastDenied("login_denied", denied+1); e["reason"] != "revoked" || !p.Has(e["id"].(string)) {
				t.Errorf("event: %v", e)
			}
			// And one that is begun now, also in this very second, is good.
			landed(t, g.open(b, g.url("/a")), "/a", "corp:u-alice")
		})
	}
}

// Who signs in again right after a logout by the provider is no leftover of before.
func TestI15LoginRightBehindALogoutIsGood(t *testing.T) {
	op := newOP(t)
	clock := newClock(t)
	clock.Advance(time.Second - time.Duration(clock.Now().Nanosecond()))
	g := start(t, asked(t, "corp", op), whoSite)
	clock.Advance(300 * time.Microsecond)
	want(t, g.tell("corp", op.Logout("u-alice", "", "")), http.StatusOK)
	clock.Advance(100 * time.Microsecond)
	landed(t, g.open(newBrowser(t), g.url("/a")), "/a", "corp:u-alice")
}

// While keys are rotated, what was consumed under the old one stays consumed.
func TestI09OnceMeansOnceAcrossKeyRotation(t *testing.T) {
	op := newOP(t)
	t.Setenv("SALLYPORT_KEY_1", "first-cluster-key-0123456789abcdef")
	t.Setenv("SALLYPORT_KEY_2", "second-cluster-key-0123456789abcdef")
	provider := asked(t, "corp", op)
	g := start(t, provider+"keys {env.SALLYPORT_KEY_1}\n", whoSite)
	b := newBrowser(t)
	r := g.beginReplay(b, "/a")
	landed(t, g.open(b, r.back.String()), "/a", "corp:u-alice")
	token := op.Logout("u-alice", "sid-u-alice", "")
	want(t, g.tell("corp", token), http.StatusOK)
	if err := g.load(provider+"keys {env.SALLYPORT_KEY_2} {env.SALLYPORT_KEY_1}\n", whoSite); err != nil {
		t.Fatal(err)
	}
	if p := g.raw(http.MethodGet, g.answer(r.to).RequestURI(), "", "Accept", "text/html", "Cookie", r.cookies); p.Status != http.StatusBadRequest || g.granted(p) {
		t.Errorf("a consumed login with a fresh code: %d, session %v", p.Status, g.granted(p))
	}
	want(t, g.tell("corp", token), http.StatusBadRequest)
}
