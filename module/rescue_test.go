package module_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/adapters/store/memory"
	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
	"github.com/sallyport-gateway/sallyport/module"
)

// Guests that panic where they are told to: one of each kind.
func init() {
	for _, m := range []caddy.Module{new(mineStep), new(mineAway), new(mineMessages), new(minePassword), new(mineDialect), new(mineMatcher), new(mineStore), new(mineSink)} {
		caddy.RegisterModule(m)
	}
}

var mined atomic.Value // of string: where the next panics are

func mine(where string) {
	if mined.Load() == where {
		panic("stepped on " + where)
	}
}

// plain is a guest without options.
type plain struct{}

func (plain) UnmarshalCaddyfile(d *caddyfile.Dispenser) error { d.Next(); return nil }

type mineStep struct{ plain }

func (*mineStep) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.steps.mine", New: func() caddy.Module { return new(mineStep) }}
}

func (*mineStep) Enter(context.Context, *flows.Execution) (flows.Outcome, error) {
	mine("enter")
	return flows.Continue(), nil
}

// mineAway is a provider that the browser is sent to.
type mineAway struct {
	plain
	flows.ProviderOptions
}

func (*mineAway) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.providers.mineaway", New: func() caddy.Module { return new(mineAway) }}
}

func (*mineAway) Begin(_ context.Context, s flows.Start) (flows.Outcome, []byte, error) {
	mine("begin")
	return flows.Redirect("https://idp.example.com/?" + url.Values{"state": {s.Handle}}.Encode()), []byte("{}"), nil
}

func (*mineAway) Handle(c flows.Callback) (string, error) {
	mine("handle")
	return url.Values(c.Values).Get("state"), nil
}

func (*mineAway) Finish(context.Context, flows.Callback, []byte) (flows.Proof, error) {
	mine("finish")
	return proofOf("away"), nil
}

func (*mineAway) VerifyLogout(context.Context, string) (flows.LogoutClaim, error) {
	mine("verify logout")
	return flows.LogoutClaim{}, flows.Refuse(flows.ReasonInvalidAnswer, errors.New("no token"))
}

// mineMessages is a provider that speaks in whole messages.
type mineMessages struct{ mineAway }

func (*mineMessages) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.providers.minemessages", New: func() caddy.Module { return new(mineMessages) }}
}

func (*mineMessages) Receive(context.Context, flows.Callback) (flows.Received, error) {
	mine("receive")
	return flows.Received{}, flows.Refuse(flows.ReasonInvalidAnswer, errors.New("no answer"))
}

func (*mineMessages) Publish(context.Context, string, string) (flows.Document, error) {
	mine("publish")
	return flows.Document{Type: "text/plain", Body: []byte("us")}, nil
}

func (*mineMessages) ReceiveLogout(_ context.Context, c flows.Callback) (flows.LogoutMessage, error) {
	mine("receive logout")
	if len(c.Values) == 0 {
		return flows.LogoutMessage{}, flows.Refuse(flows.ReasonInvalidAnswer, errors.New("no message"))
	}
	return flows.LogoutMessage{Claim: &flows.LogoutClaim{LogoutKeys: []string{"k"}, Once: flows.Mark{Space: "mine", ID: rand.Text(), Until: module.Now()}}}, nil
}

func (*mineMessages) AnswerLogout(context.Context, flows.LogoutMessage, bool) (flows.Outcome, error) {
	mine("answer logout")
	return flows.Redirect("https://idp.example.com/"), nil
}

func (*mineMessages) LogoutRequest(context.Context, flows.Grant, string, string) (flows.Outcome, error) {
	return nil, nil
}

func proofOf(name string) flows.Proof {
	return flows.Proof{User: flows.User{Subject: name, Name: name}, Issuer: "mine", Evidence: []flows.Evidence{{Method: "password", At: time.Now()}}}
}

// minePassword is a provider that checks a password.
type minePassword struct {
	plain
	flows.ProviderOptions
}

func (*minePassword) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.providers.minepassword", New: func() caddy.Module { return new(minePassword) }}
}

func (*minePassword) VerifyPassword(_ context.Context, name, _ string) (flows.Proof, error) {
	mine("verify password")
	p := proofOf(name)
	if name == "carol" { // her provider wants to be asked anew
		p.Tokens, p.Stale = []byte("t"), module.Now().Add(time.Minute)
	}
	return p, nil
}

func (*minePassword) Refreshes() bool { return true }

func (*minePassword) Refresh(context.Context, []byte) (flows.Proof, error) {
	mine("refresh")
	return proofOf("carol"), nil
}

func (*minePassword) LogoutRequest(context.Context, flows.Grant, string, string) (flows.Outcome, error) {
	mine("logout request")
	return nil, nil
}

type mineDialect struct{ plain }

func (*mineDialect) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.headers.mine", New: func() caddy.Module { return new(mineDialect) }}
}

func (*mineDialect) Owned() []string      { return []string{"X-Mine"} }
func (*mineDialect) PerRequest() []string { return []string{"X-Mine"} }

func (*mineDialect) Headers(f *flows.Facts, w flows.HeaderWriter) error {
	mine("headers")
	return w.Set("X-Mine", []string{f.User.Name}, flows.HeaderOptions{})
}

type mineMatcher struct{ plain }

func (*mineMatcher) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.matchers.mine", New: func() caddy.Module { return new(mineMatcher) }}
}

func (*mineMatcher) MatchWithError(*http.Request) (bool, error) {
	mine("match")
	return false, nil
}

type mineStore struct{ memory.Store }

func (*mineStore) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.stores.mine", New: func() caddy.Module { return new(mineStore) }}
}

func (s *mineStore) Get(ctx context.Context, key string) ([]byte, error) {
	mine("store get")
	return s.Store.Get(ctx, key)
}

func (s *mineStore) Create(ctx context.Context, key string, val []byte, ttl time.Duration, index ...string) error {
	mine("store create")
	return s.Store.Create(ctx, key, val, ttl, index...)
}

// Update panics where the store's own lock is held.
func (s *mineStore) Update(ctx context.Context, key string, fn func([]byte) (flows.Change, error)) error {
	return s.Store.Update(ctx, key, func(old []byte) (flows.Change, error) {
		mine("store update")
		return fn(old)
	})
}

type mineSink struct{ plain }

func (*mineSink) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.audit.mine", New: func() caddy.Module { return new(mineSink) }}
}

func (*mineSink) Write(_ context.Context, e audit.Event) error {
	if e.Kind == audit.Login || e.Kind == audit.Denied {
		mine("sink")
	}
	return nil
}

// A guest that panics refuses its request, with a page and one log line that
// find each other; it grants nothing, keeps no lock and ends nobody else (C15).
func TestC15PanicOfAGuestRefusesItsRequestOnly(t *testing.T) {
	clock := newClock(t)
	mined.Store("")
	t.Cleanup(func() { mined.Store("") })
	global := "provider home minepassword\nprovider away mineaway\nprovider far minemessages\nflow home {\nlogin home\nmine\n}\nflow away {\nlogin away\n}\nstore mine\naudit mine\n"
	site := "protect /away/* away\n@odd mine\nprotect home {\nheaders mine\nrequire @odd `true`\n}\nreverse_proxy {APP}"
	g, read := logged(t, global, site)
	there := g.signedIn("/a", "alice", "x")

	form := func() (*browser.Browser, *browser.Form) {
		b := newBrowser(t)
		f, err := g.open(b, g.url("/a")).FormWith("username")
		if err != nil {
			t.Fatal(err)
		}
		return b, f
	}
	signIn := func() func() *browser.Page {
		b, f := form()
		return func() *browser.Page { return g.submitOnly(b, f, "bob", "x") }
	}
	callback := func() func() *browser.Page {
		b := newBrowser(t)
		to, err := url.Parse(g.send(b, browser.Request{URL: g.url("/away/x")}).Header.Get("Location"))
		if err != nil || to.Host != "idp.example.com" {
			t.Fatalf("no way to the provider: %v %v", to, err)
		}
		return func() *browser.Page {
			return g.send(b, browser.Request{URL: g.url("/.identity/callback/away?state=" + url.QueryEscape(to.Query().Get("state")))})
		}
	}
	opens := func(b *browser.Browser, path string) func() func() *browser.Page {
		return func() func() *browser.Page {
			return func() *browser.Page { return g.send(b, browser.Request{URL: g.url(path)}) }
		}
	}
	raw := func(method, path, body string) func() func() *browser.Page {
		return func() func() *browser.Page {
			return func() *browser.Page { return g.raw(method, path, body, crossSitePost...) }
		}
	}
	unknown := fmt.Sprintf("sallyport-%d=%s", g.port, strings.Repeat("A", 43))
	for _, tc := range []struct {
		where string
		// begin does what comes before; what it returns steps on the mine.
		begin       func() func() *browser.Page
		panics, not int
	}{
		{"enter", signIn, 500, 303},
		{"verify password", signIn, 500, 303},
		{"store create", signIn, 500, 303},
		{"store update", signIn, 500, 303},
		{"sink", signIn, 503, 303}, // no trail, no login (I25)
		{"begin", opens(newBrowser(t), "/away/x"), 500, 303},
		{"handle", callback, 500, 303},
		{"finish", callback, 500, 303},
		{"headers", opens(there, "/a"), 500, 200},
		{"match", opens(there, "/a"), 500, 200},
		{"store get", func() func() *browser.Page { return func() *browser.Page { return g.get("/a", unknown) } }, 500, 303},
		{"verify logout", func() func() *browser.Page { return func() *browser.Page { return g.tell("away", "x") } }, 500, 400},
		{"receive", raw(http.MethodPost, "/.identity/minemessages/far/acs", "SAMLResponse=secret-answer"), 500, 400},
		{"publish", raw(http.MethodGet, "/.identity/minemessages/far/metadata", ""), 500, 200},
		{"receive logout", raw(http.MethodGet, "/.identity/minemessages/far/slo?SAMLRequest=secret-answer", ""), 500, 303},
		{"answer logout", raw(http.MethodPost, "/.identity/minemessages/far/slo", "SAMLRequest=secret-answer"), 500, 303},
	} {
		t.Run(tc.where, func(t *testing.T) {
			asked, steps := len(g.app.requests()), tc.begin()
			mined.Store(tc.where)
			p := steps()
			mined.Store("")
			if p.Status != tc.panics || len(p.Header["Set-Cookie"]) != 0 || len(p.Header["Location"]) != 0 {
				t.Errorf("want a bare %d, got %d %v", tc.panics, p.Status, p.Header)
			}
			if len(g.app.requests()) != asked {
				t.Error("the application was asked")
			}
			if strings.Contains(p.Body, "goroutine") || strings.Contains(p.Body, "stepped on") {
				t.Errorf("the page tells what happened inside:\n%s", p.Body)
			}
			if tc.panics == http.StatusInternalServerError {
				wantOneLine(t, read, p)
			}
			want(t, tc.begin()(), tc.not)
			want(t, g.open(there, g.url("/a")), http.StatusOK)
		})
	}
	if strings.Contains(read(), "secret-answer") {
		t.Error("the log holds a message")
	}
	t.Run("beside a request", func(t *testing.T) {
		mined.Store("store update")
		clock.Advance(2 * time.Minute) // activity is due
		want(t, g.open(there, g.url("/a")), http.StatusOK)
		until(t, "the log tells of it", func() bool { return strings.Contains(read(), "panic in the background") })
		mined.Store("")
		want(t, g.open(there, g.url("/a")), http.StatusOK)
		want(t, signIn()(), http.StatusSeeOther)
	})
	t.Run("in a renewal", func(t *testing.T) {
		carol := g.signedIn("/a", "carol", "x")
		panics := strings.Count(read(), "panic in the background")
		mined.Store("refresh")
		clock.Advance(2 * time.Minute)
		want(t, g.open(carol, g.url("/a")), http.StatusOK) // as when the provider is down
		until(t, "the log tells of it", func() bool { return strings.Count(read(), "panic in the background") > panics })
		mined.Store("")
		clock.Advance(10 * time.Minute)
		want(t, g.open(carol, g.url("/a")), http.StatusOK)
	})
	t.Run("the trail goes on", func(t *testing.T) {
		mined.Store("sink")
		want(t, g.get("/a/%2e%2e/b", ""), http.StatusBadRequest)
		mined.Store("")
		want(t, signIn()(), http.StatusSeeOther)
	})
}

// wantOneLine fails unless the id on the page stands in exactly one log line of
// a panic, and in the trail.
func wantOneLine(t *testing.T, read func() string, p *browser.Page) {
	t.Helper()
	m := regexp.MustCompile(`(?:Reference:\s*|"id":")([A-Z2-7]{26})\b`).FindStringSubmatch(p.Text() + p.Body)
	if m == nil {
		t.Fatalf("no id on the page:\n%s", p.Body)
	}
	id := m[1]
	panics, denied := 0, 0
	until(t, "log and trail hold "+id, func() bool {
		panics, denied = 0, 0
		for l := range strings.Lines(read()) {
			if !strings.Contains(l, id) {
				continue
			}
			if strings.Contains(l, `"panic in a request, refused"`) && strings.Contains(l, "rescue_test.go") {
				panics++
			}
			if strings.Contains(l, `"kind":"denied"`) && strings.Contains(l, `"internal"`) {
				denied++
			}
		}
		return panics > 0 && denied > 0
	})
	if panics != 1 {
		t.Errorf("%d log lines of one panic", panics)
	}
}

// A thousand of them hold nothing.
func TestC15ThousandPanicsAreFlat(t *testing.T) {
	mined.Store("")
	t.Cleanup(func() { mined.Store("") })
	g, _ := logged(t, "provider home minepassword\nflow home {\nlogin home\nmine\n}\nstore mine\n", "protect home {\nheaders mine\n}\nreverse_proxy {APP}")
	c := ticketOf(t, g, g.signedIn("/a", "alice", "x"))
	srv := server(t)
	round := func(n int) {
		for range n {
			r := httptest.NewRequest(http.MethodGet, "/a", nil)
			r.Host = fmt.Sprintf("127.0.0.1:%d", g.port)
			r.Header = http.Header{"Accept": {"text/html"}, "Cookie": {c.Name + "=" + c.Value}}
			w := httptest.NewRecorder()
			srv.ServeHTTP(w, r)
			if w.Code != http.StatusInternalServerError {
				t.Fatalf("got %d\n%s", w.Code, w.Body)
			}
		}
	}
	mined.Store("headers")
	round(100)
	before := wantHeld(t, held{goroutines: 1 << 20, files: 1 << 20})
	round(1000)
	after := wantHeld(t, before)
	if after.heap > before.heap+2<<20 {
		t.Errorf("1,000 panics hold %d KiB", (after.heap-before.heap)>>10)
	}
	mined.Store("")
	want(t, g.get("/a", c.Name+"="+c.Value), http.StatusOK)
}

// What the application's side panics with is not ours: net/http ends the
// connection, as it does without us.
func TestC15PanicBehindUsGoesOn(t *testing.T) {
	g := start(t, people(t), plainSite)
	b := g.signedIn("/a", "alice", "alicepw")
	g.app.set(func(string) string { return "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut off" })
	if p, err := b.Send(browser.Request{URL: g.url("/a")}); err == nil {
		t.Errorf("an answer that was cut off arrived whole: %d %q", p.Status, p.Body)
	}
	g.app.set(nil)
	b.Close()
	want(t, g.open(b, g.url("/a")), http.StatusOK)
}
