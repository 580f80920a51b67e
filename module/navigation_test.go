package module_test

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// question is one combination of what tells a navigation from a program.
type question struct {
	method, mode, dest, accept, with, purpose, upgrade string
}

func (q question) header() http.Header {
	h := http.Header{"Accept": nil} // nil: net/http adds none of its own
	for name, value := range map[string]string{
		"Sec-Fetch-Mode": q.mode, "Sec-Fetch-Dest": q.dest, "Accept": q.accept, "X-Requested-With": q.with, "Upgrade": q.upgrade,
	} {
		if value != "" {
			h.Set(name, value)
		}
	}
	if name, value, ok := strings.Cut(q.purpose, ": "); ok {
		h.Set(name, value)
	}
	if q.upgrade != "" {
		h.Set("Connection", "Upgrade")
	}
	return h
}

// answer is the rule in its own words (B04): X-Requested-With, or Sec-Fetch-Mode
// other than navigate, or Sec-Fetch-Dest other than document, or Accept without
// html, or a prefetch: not a navigation. Nor are a WebSocket and OPTIONS.
func (q question) answer() string {
	page := strings.Contains(q.accept, "html")
	program := q.with != "" || q.mode != "" && q.mode != "navigate" || q.dest != "" && q.dest != "document" ||
		!page || q.purpose != "" || q.upgrade != "" || q.method == http.MethodOptions
	switch {
	case !program && (q.method == http.MethodGet || q.method == http.MethodHead):
		return "redirect"
	case !program:
		return "sign in, then send"
	case page && q.mode == "navigate" && slices.Contains([]string{"iframe", "frame", "embed", "object"}, q.dest):
		return "frame"
	}
	return "json"
}

// questions are all combinations, as many as there are.
func questions(each func(question)) {
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodOptions} {
		for _, mode := range []string{"", "navigate", "cors", "no-cors", "same-origin", "websocket"} {
			for _, dest := range []string{"", "document", "empty", "image", "script", "iframe", "object"} {
				for _, accept := range []string{"", "text/html,application/xhtml+xml,*/*;q=0.8", "*/*", "application/json", "image/avif,image/*"} {
					for _, with := range []string{"", "XMLHttpRequest"} {
						for _, purpose := range []string{"", "Sec-Purpose: prefetch", "Sec-Purpose: prefetch;prerender", "Purpose: prefetch", "X-Moz: prefetch"} {
							for _, upgrade := range []string{"", "websocket"} {
								if with != "" && purpose != "" { // one reason is enough
									continue
								}
								each(question{method, mode, dest, accept, with, purpose, upgrade})
							}
						}
					}
				}
			}
		}
	}
}

func TestB04OnlyNavigationsAreRedirected(t *testing.T) {
	g := start(t, people(t), plainSite)
	client := &http.Transport{}
	t.Cleanup(client.CloseIdleConnections)
	seen := map[string]int{}
	questions(func(q question) {
		r, err := http.NewRequest(q.method, g.url("/a?b=c"), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = q.header()
		r.Header.Set("Referer", g.url("/from?x=1"))
		res, err := client.RoundTrip(r)
		if err != nil {
			t.Fatalf("%+v: %v", q, err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		seen[q.answer()]++
		if wrong := q.wrong(res, string(body)); wrong != "" {
			t.Errorf("%+v: want %s, %s: %d %v\n%.300s", q, q.answer(), wrong, res.StatusCode, res.Header, body)
		}
	})
	for _, kind := range []string{"redirect", "sign in, then send", "frame", "json"} {
		if seen[kind] == 0 {
			t.Errorf("no combination is answered by %s: %v", kind, seen)
		}
	}
	if n := len(g.app.requests()); n != 0 {
		t.Errorf("%d unauthenticated requests reached the application", n)
	}
}

// wrong says what is wrong with an answer, "" if nothing is.
func (q question) wrong(res *http.Response, body string) string {
	h := res.Header
	if h.Get("Cache-Control") != "no-store" {
		return "it may be stored"
	}
	if q.answer() == "redirect" {
		if res.StatusCode != http.StatusSeeOther || !strings.HasPrefix(h.Get("Location"), "/.identity/flow?p=") || len(h["Set-Cookie"]) != 1 {
			return "it does not lead into the flow"
		}
		return ""
	}
	if res.StatusCode != http.StatusUnauthorized || h.Get("WWW-Authenticate") != "Sallyport" || len(h["Set-Cookie"]) != 0 {
		return "it is no plain 401"
	}
	switch q.answer() {
	case "frame":
		if q.method != http.MethodHead && (!strings.Contains(body, `href="/.identity/login?return_to=%2Fa%3Fb%3Dc"`) || !strings.Contains(body, `target="_top"`)) {
			return "no link opens the login in the top window"
		}
	case "sign in, then send":
		if !strings.Contains(body, `href="/.identity/login?return_to=%2Ffrom%3Fx%3D1"`) {
			return "no way to sign in and send again"
		}
	case "json":
		var got map[string]string
		if q.method != http.MethodHead && json.Unmarshal([]byte(body), &got) != nil || h.Get("Content-Type") != "application/json" {
			return "it is no JSON"
		}
		if q.method != http.MethodHead && !maps.Equal(got, map[string]string{"error": "login_required", "login_url": "/.identity/login?return_to=%2Ffrom%3Fx%3D1"}) {
			return "the JSON says something else"
		}
	}
	return ""
}

func TestB04ProgramsLeaveNoCookies(t *testing.T) {
	g := start(t, people(t), plainSite)
	for range 500 {
		if p := g.raw(http.MethodGet, "/a", "", "Sec-Fetch-Mode", "cors", "Accept", "text/html"); p.Status != http.StatusUnauthorized || len(p.Header["Set-Cookie"]) != 0 {
			t.Fatalf("an XHR got %d and %v", p.Status, p.Header["Set-Cookie"])
		}
	}
	for _, m := range []string{http.MethodPut, http.MethodDelete, http.MethodPatch, "PROPFIND", http.MethodTrace} {
		if p := g.raw(m, "/a", "", "Accept", "*/*"); p.Status != http.StatusUnauthorized || len(p.Header["Set-Cookie"]) != 0 {
			t.Errorf("%s got %d and %v", m, p.Status, p.Header["Set-Cookie"])
		}
	}
}

// The login that a program is told of leads back to the page it runs on, if
// that is a page of this origin.
func TestB04LoginURLOfTheReferer(t *testing.T) {
	g := start(t, people(t), plainSite)
	for referer, want := range map[string]string{
		"":                                        "%2F",
		g.url(""):                                 "%2F",
		g.url("/from?x=1&y=/z"):                   "%2Ffrom%3Fx%3D1%26y%3D%2Fz",
		g.url("/caf%C3%A9/%20"):                   "%2Fcaf%25C3%25A9%2F%2520",
		g.url("/.identity/flow?p=x"):              "%2F",
		"/from":                                   "%2F",
		"https" + g.url("/from")[4:]:              "%2F",
		"http://localhost:1/from":                 "%2F",
		"https://evil.example/from":               "%2F",
		g.url("") + ".evil.example/from":          "%2F",
		g.url("") + "@evil.example/from":          "%2F",
		"javascript:alert(1)":                     "%2F",
		"http://[":                                "%2F",
		g.url("//evil.example/"):                  "%2F",
		g.url("/" + strings.Repeat("long", 5000)): "%2F",
	} {
		p := g.raw(http.MethodGet, "/a", "", "Accept", "application/json", "Referer", referer)
		var got map[string]string
		if err := json.Unmarshal([]byte(p.Body), &got); err != nil || got["login_url"] != "/.identity/login?return_to="+want {
			t.Errorf("Referer %.60q: %v %v, want return_to=%s", referer, err, got, want)
		}
	}
}

// A login on purpose is no page to look at ahead of time: neither the address
// of a login nor that of the application begins one for a prefetch.
func TestB04PrefetchBeginsNothing(t *testing.T) {
	g := start(t, people(t), plainSite)
	for _, path := range []string{"/a", "/.identity/login?return_to=/a", "/.identity/flow", "/.identity/flow?p=0000000000000000"} {
		for _, purpose := range []string{"prefetch", "prefetch;prerender", "prefetch;anonymous-client-ip"} {
			p := g.raw(http.MethodGet, path, "", "Accept", "text/html", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Accept-Language", "de", "Sec-Purpose", purpose)
			if p.Status < 400 || p.Status > 499 || len(p.Header["Set-Cookie"]) != 0 {
				t.Errorf("%s for a %s: %d, cookies %v", path, purpose, p.Status, p.Header["Set-Cookie"])
			}
		}
	}
}

func TestB08NoCookiesAtOurOwnPages(t *testing.T) {
	for name, tc := range map[string]struct{ cookies, cause string }{
		"none at all":                  {"", "does not send our cookies back"},
		"only those of an application": {"theme=dark", "does not send our cookies back"},
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, people(t), plainSite)
			for _, language := range []string{"", "en"} { // a program and a window
				b := newBrowser(t)
				b.Jar.Lost = true
				if language != "" {
					b.Header.Set("Accept-Language", language)
				}
				if tc.cookies != "" {
					b.Header.Set("Cookie", tc.cookies)
				}
				p := g.open(b, g.url("/a"))
				want(t, p, http.StatusForbidden)
				if !p.Has(tc.cause) || len(b.Hops) > 4 {
					t.Errorf("language %q: %v\n%s", language, b.Hops, p.Text())
				}
			}
		})
	}
}

// The causes that the page can name, from what the request that ends the chain shows.
func TestB08TheCauseIsNamed(t *testing.T) {
	for name, tc := range map[string]struct{ global, host, cause, german string }{
		"host outside of the domain": {"session {\ndomain example.test\n}", "127.0.0.1", "The host 127.0.0.1 is not below the cookie domain example.test.", "Der Host 127.0.0.1 liegt nicht unterhalb"},
		"plain http":                 {"session {\ninsecure_http\n}", "app.example.test", "The page is served over plain http.", "unverschlüsseltes http"},
		"a session that is nowhere":  {"", "127.0.0.1", "a clock may be wrong", "eine Uhr falsch"},
		"no session at all":          {"", "127.0.0.1", "the session cookie did not come back", "Sitzungs-Cookie kam nicht zurück"},
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, people(t)+"pages {\nlanguages en de\n}\n"+tc.global, "http://"+tc.host+":{PORT} {\nbind 127.0.0.1\n"+plainSite+"\n}")
			host := fmt.Sprintf("%s:%d", tc.host, g.port)
			cookie := fmt.Sprintf("sallyport-%d.recent=4.%d", g.port, time.Now().Unix())
			if strings.HasPrefix(name, "a session") {
				b := g.signedIn("/a", "alice", "alicepw")
				cookie += fmt.Sprintf("; sallyport-%d=%s", g.port, ticketOf(t, g, b).Value)
				g.open(b, g.url("/.identity/logout"))
			}
			for language, text := range map[string]string{"en": tc.cause, "de": tc.german} {
				p := g.raw(http.MethodGet, "/a", "", "Host", host, "Accept", "text/html", "Cookie", cookie, "Accept-Language", language)
				want(t, p, http.StatusForbidden)
				if !strings.Contains(html.UnescapeString(p.Body), text) {
					t.Errorf("%s: the page does not name the cause:\n%s", language, p.Text())
				}
			}
		})
	}
}
