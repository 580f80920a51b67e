package module_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// listener is an application that hears of the end of sessions.
type listener struct {
	*httptest.Server
	mu     sync.Mutex
	heard  []map[string]any
	asked  int
	auth   []string
	answer int // instead of 204
	block  chan struct{}
}

func newListener(t *testing.T) *listener {
	t.Helper()
	l := &listener{answer: http.StatusNoContent}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		var m map[string]any
		if err := json.Unmarshal(b, &m); err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("call-out: %s %s %q", r.Method, r.Header.Get("Content-Type"), b)
		}
		l.mu.Lock()
		l.asked++
		l.auth = append(l.auth, r.Header.Get("Authorization")+" "+r.URL.RequestURI())
		status, block := l.answer, l.block
		if status < 300 {
			l.heard = append(l.heard, m)
		}
		l.mu.Unlock()
		if block != nil {
			<-block
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(l.Close)
	return l
}

func (l *listener) set(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

// last waits for the n-th notice and returns it.
func (l *listener) last(t *testing.T, n int) map[string]any {
	t.Helper()
	var m map[string]any
	until(t, fmt.Sprintf("call-out %d", n), func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.heard) >= n {
			m = l.heard[n-1]
		}
		return m != nil
	})
	return m
}

func (l *listener) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.heard)
}

// block is a whole site: the harness takes lines with an http:// for one.
func block(lines string) string {
	return "http://127.0.0.1:{PORT} {\nbind 127.0.0.1\n" + lines + "\n}"
}

// stop ends the gateway, as before a restart.
func stop(t *testing.T) {
	t.Helper()
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
}

func TestI14ApplicationsAreToldOnEveryPath(t *testing.T) {
	clock := newClock(t)
	op := newOP(t)
	l, other := newListener(t), newListener(t)
	global := asked(t, "corp", op) + flakyLine + "session {\nidle 10m\nlifetime 1h\n}\n"
	site := block("protect /other/* {\non_logout " + other.URL + "/bye\n}\nprotect {\nheader X-Key {user.key}\nlogout /signoff\non_logout " + l.URL + "/bye?a=b\n}\nreverse_proxy {APP}")
	g := start(t, global, site)
	n := 0
	for _, tc := range []struct {
		name, reason string
		end          func(b *browser.Browser, cookie, id string)
	}{
		{"logout", "logout", func(b *browser.Browser, _, _ string) { g.leave(b) }},
		{"the application's own address", "logout", func(b *browser.Browser, _, _ string) { g.open(b, g.url("/signoff")) }},
		{"admin", "revoked", func(_ *browser.Browser, _, id string) { admin(t, http.MethodDelete, "/identity/sessions/"+id) }},
		{"admin, all of a person", "revoked", func(*browser.Browser, string, string) {
			admin(t, http.MethodDelete, "/identity/users/"+key64("corp:alice-0123456789")+"/sessions")
		}},
		{"back channel", "revoked", func(*browser.Browser, string, string) {
			want(t, g.tell("corp", op.Logout("", "sid-alice-0123456789", "")), http.StatusOK)
		}},
		{"front channel", "revoked", func(*browser.Browser, string, string) {
			want(t, g.raw(http.MethodGet, framed("corp", "iss", op.Issuer, "sid", "sid-alice-0123456789"), "", frame...), http.StatusOK)
		}},
		{"idle", "expired", func(*browser.Browser, string, string) { clock.Advance(12 * time.Minute) }},
		{"lifetime", "expired", func(_ *browser.Browser, cookie, _ string) {
			for range 8 {
				clock.Advance(8 * time.Minute)
				g.get("/a", cookie)
			}
		}},
		{"idle, after a reload with an empty cache", "expired", func(*browser.Browser, string, string) {
			// Another store makes another cache; its table is the same one.
			if err := g.load(strings.Replace(global, "store flaky", "store memory", 1), site); err != nil {
				t.Fatal(err)
			}
			clock.Advance(12 * time.Minute)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			clock.Advance(time.Second) // behind the revocation before
			op.SetUser(person("alice-0123456789", "alice"))
			b := newBrowser(t)
			landed(t, g.open(b, g.url("/a")), "/a", "corp:alice-0123456789")
			c, id := ticketOf(t, g, b), g.publicID(b)
			cookie := c.Name + "=" + c.Value
			want(t, g.get("/a", cookie), http.StatusOK)
			tc.end(b, cookie, id)
			n++
			m := l.last(t, n)
			if m["event"] != "session_ended" || m["session"] != id || m["user"] != "alice" || m["reason"] != tc.reason || len(m) != 5 {
				t.Errorf("told %v, want session %s, reason %s", m, id, tc.reason)
			}
			if at, err := time.Parse(time.RFC3339, m["time"].(string)); err != nil || clock.Now().Sub(at).Abs() > time.Minute {
				t.Errorf("time %v", m["time"])
			}
			// The old cookie is good for nothing (B14).
			want(t, g.get("/a", cookie), http.StatusSeeOther)
			want(t, g.raw(http.MethodGet, "/a", "", "Cookie", cookie), http.StatusUnauthorized)
			if l.count() != n || other.count() != 0 {
				t.Errorf("told %d times, the application that was not visited %d times", l.count(), other.count())
			}
		})
	}
}

// The card is enough: what was visited before a restart is told after it.
func TestI14CallOutsSurviveARestart(t *testing.T) {
	clock := newClock(t)
	l := newListener(t)
	global := people(t) + "store file " + filepath.Join(t.TempDir(), "s.db") + "\n"
	site := block("protect {\non_logout " + l.URL + "/bye\n}\nreverse_proxy {APP}")
	g := start(t, global, site)
	c := ticketOf(t, g, g.signedIn("/a", "alice", "alicepw"))
	d := ticketOf(t, g, g.signedIn("/a", "bob", "bobpw"))
	// Other lines above it do not change which application it is.
	stop(t)
	if err := g.load(global, "# moved\n\n"+site); err != nil {
		t.Fatal(err)
	}
	want(t, g.raw(http.MethodPost, "/.identity/logout", "x", "Cookie", c.Name+"="+c.Value, "Sec-Fetch-Site", "same-origin"), http.StatusOK)
	if m := l.last(t, 1); m["user"] != "alice" || m["reason"] != "logout" {
		t.Errorf("told %v", m)
	}
	// Nobody has touched bob's session since; past its lifetime it is found all the same.
	stop(t)
	clock.Advance(13 * time.Hour)
	if err := g.load(global, site); err != nil {
		t.Fatal(err)
	}
	if m := l.last(t, 2); m["user"] != "bob" || m["reason"] != "expired" {
		t.Errorf("told %v", m)
	}
	want(t, g.get("/a", d.Name+"="+d.Value), http.StatusSeeOther)
	if l.count() != 2 {
		t.Errorf("told %d times", l.count())
	}
}

// An application that is away or slow holds up nobody, and no secret of its
// address is logged (I25).
func TestI25CallOutsNeverHoldUpALogout(t *testing.T) {
	l := newListener(t)
	hang := make(chan struct{})
	l.set(func() { l.answer, l.block = http.StatusServiceUnavailable, hang })
	t.Setenv("SALLYPORT_CALL_SECRET", "s3cret/&@#é")
	site := block("protect {\non_logout " + strings.Replace(l.URL, "http://", "http://sallyport:{env.SALLYPORT_CALL_SECRET}@", 1) + "/x/{env.SALLYPORT_CALL_SECRET}?k={env.SALLYPORT_CALL_SECRET}\n" +
		"on_logout http://127.0.0.1:1/{env.SALLYPORT_CALL_SECRET}\n}\nreverse_proxy {APP}")
	g, read := logged(t, people(t), site)
	b := g.signedIn("/a", "alice", "alicepw")
	want(t, g.leave(b), http.StatusOK) // though the application has not answered, nor will it well
	until(t, "the first try", func() bool { l.mu.Lock(); defer l.mu.Unlock(); return l.asked >= 1 })
	l.set(func() { l.answer, l.block = http.StatusOK, nil })
	close(hang)
	if m := l.last(t, 1); m["reason"] != "logout" {
		t.Errorf("told %v", m)
	}
	l.set(func() {
		if l.asked != 2 || l.auth[1] != "Basic c2FsbHlwb3J0OnMzY3JldC8mQCPDqQ== /x/s3cret%2F%26%40%23%C3%A9?k=s3cret%2F%26%40%23%C3%A9" {
			t.Errorf("asked %d times: %q", l.asked, l.auth)
		}
		l.answer = http.StatusForbidden
	})
	// An answer that no later try would change is the last word.
	want(t, g.leave(g.signedIn("/a", "bob", "bobpw")), http.StatusOK)
	until(t, "a line about it", func() bool { return strings.Contains(read(), "it answered 403") })
	l.set(func() {
		if l.asked != 3 {
			t.Errorf("asked %d times", l.asked)
		}
	})
	if text := read(); strings.Contains(text, "s3cret") || !strings.Contains(text, "Caddyfile:") {
		t.Errorf("the log tells the secret, or not where it was written:\n%s", text)
	}
}

// A visit that the store could not note is noted at the next request.
func TestI14CallOutIsNotedOnceTheStoreIsBack(t *testing.T) {
	l := newListener(t)
	g := start(t, people(t)+flakyLine, block("protect /other/* {\non_logout "+l.URL+"/bye\n}\nprotect\nreverse_proxy {APP}"))
	b := g.signedIn("/a", "alice", "alicepw")
	c := ticketOf(t, g, b)
	cookie := c.Name + "=" + c.Value
	up, before := storeDown(t), flaky.writes.Load()
	want(t, g.get("/other/x", cookie), http.StatusOK)
	until(t, "a first try to note it", func() bool { return flaky.writes.Load() > before })
	up()
	until(t, "another try", func() bool {
		want(t, g.get("/other/x", cookie), http.StatusOK)
		return flaky.writes.Load() > before+1
	})
	// Once noted, no further request writes.
	n := flaky.writes.Load()
	for range 20 {
		want(t, g.get("/other/x", cookie), http.StatusOK)
	}
	if more := flaky.writes.Load() - n; more != 0 {
		t.Errorf("%d writes for 20 requests", more)
	}
	g.leave(b)
	if m := l.last(t, 1); m["user"] != "alice" {
		t.Errorf("told %v", m)
	}
}

func TestB18OnLogoutIsCheckedAtLoad(t *testing.T) {
	t.Setenv("SALLYPORT_CALL_SECRET", "s3cret")
	t.Setenv("SALLYPORT_CALL_BASE", "http://127.0.0.1:1/base")
	t.Setenv("SALLYPORT_CALL_EMPTY", "")
	g := start(t, people(t), "protect {\non_logout {env.SALLYPORT_CALL_BASE}/x\n}\nreverse_proxy {APP}")
	for address, says := range map[string]string{
		"{env.SALLYPORT_CALL_EMPTY}":                     "empty or unknown",
		"http://127.0.0.1/{env.SALLYPORT_CALL_NOT_SET}":  "empty or unknown",
		"ftp://{env.SALLYPORT_CALL_SECRET}/x":            "http:// or https://",
		"{env.SALLYPORT_CALL_SECRET}":                    "http:// or https://",
		"http://127.0.0.1/x#{env.SALLYPORT_CALL_SECRET}": "without a fragment",
		"http://h:{env.SALLYPORT_CALL_SECRET}/x":         "http:// or https://",
		"{file./nonexistent/secret}":                     "empty or unknown",
	} {
		err := g.load(people(t), block("protect {\non_logout "+address+"\n}\nreverse_proxy {APP}"))
		if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "Caddyfile:") || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", address, err)
		}
	}
}
