package module_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
)

// TestB15BackChannelLogoutAtTheRunningGateway: what O6 proves of the token, as
// people see it. Verified, the session is dead at once and its streams are cut;
// the same token again is refused.
func TestB15BackChannelLogoutAtTheRunningGateway(t *testing.T) {
	op := newOP(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "X-Key: %s\n", r.Header.Get("X-Key"))
			_ = http.NewResponseController(w).Flush()
			if r.URL.Path == "/events" {
				<-r.Context().Done()
			}
		}))
	}()
	g := start(t, asked(t, "corp", op), "protect {\nheader X-Key {user.key}\n}\nreverse_proxy "+l.Addr().String()+" {\nflush_interval -1\n}")
	bob := g.signedInAs(op, "bob")
	for name, token := range map[string]func() string{
		"by sid":         func() string { return op.Logout("", "sid-alice", "") },
		"by sub":         func() string { return op.Logout("alice", "", "") },
		"by sub and sid": func() string { return op.Logout("alice", "sid-alice", "") },
	} {
		t.Run(name, func(t *testing.T) {
			alice := g.signedInAs(op, "alice")
			stream := g.stream("/events", alice)
			for variant := range oidctest.LogoutVariants {
				want(t, g.tell("corp", op.Logout("alice", "sid-alice", variant)), http.StatusBadRequest)
			}
			want(t, g.get("/a", alice), http.StatusOK)
			select {
			case <-stream:
				t.Fatal("the stream was cut by a token that does not verify")
			default:
			}
			tk, begin := token(), time.Now()
			want(t, g.tell("corp", tk), http.StatusOK)
			want(t, g.get("/a", alice), http.StatusSeeOther) // the very next request
			want(t, g.raw(http.MethodGet, "/a", "", "Accept", "*/*", "Cookie", alice), http.StatusUnauthorized)
			select {
			case <-stream:
				if d := time.Since(begin); d > 2*time.Second {
					t.Errorf("the stream was cut %s after the logout token", d)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("the stream outlived its session")
			}
			want(t, g.tell("corp", tk), http.StatusBadRequest)
			want(t, g.get("/a", bob), http.StatusOK)
		})
	}
}

// stream opens a response that does not end by itself; what is returned is
// closed when it was cut.
func (g *gateway) stream(path, cookie string) <-chan struct{} {
	g.t.Helper()
	req, err := http.NewRequest(http.MethodGet, g.url(path), nil)
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Cookie", cookie)
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { res.Body.Close() })
	r := bufio.NewReader(res.Body)
	if _, err := r.ReadString('\n'); err != nil {
		g.t.Fatal(err)
	}
	cut := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, r)
		close(cut)
	}()
	return cut
}

// TestI15RevocationOnEveryPath: made, loaded, used from the cache and written;
// what was revoked is refused on each, and what came later is not.
func TestI15RevocationOnEveryPath(t *testing.T) {
	clock := newClock(t)
	op := newOP(t)
	g := start(t, asked(t, "corp", op)+flakyLine, whoSite)
	for name, revoke := range map[string]func(){
		"sid": func() { want(t, g.tell("corp", op.Logout("", "sid-alice", "")), http.StatusOK) },
		"sub": func() { want(t, g.tell("corp", op.Logout("alice", "", "")), http.StatusOK) },
		"user": func() {
			if status, _ := admin(t, http.MethodDelete, "/identity/users/"+key64("corp:alice")+"/sessions"); status != http.StatusOK {
				t.Fatalf("revoking: %d", status)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			cached, idle := g.signedInAs(op, "alice"), g.signedInAs(op, "alice")
			// Made: a login that is under way.
			b := newBrowser(t)
			back := g.answer(g.away(b, "/a"))
			clock.Advance(time.Second)
			revoke()
			clock.Advance(time.Second)
			if p := g.open(b, back.String()); p.Status != http.StatusForbidden || g.hasTicket(b) {
				t.Errorf("made: %d, session %v", p.Status, g.hasTicket(b))
			}
			// From the cache, and written: activity that falls due revives nothing.
			writes := flaky.writes.Load()
			clock.Advance(2 * time.Minute)
			want(t, g.get("/a", cached), http.StatusSeeOther)
			want(t, g.get("/a", cached), http.StatusSeeOther)
			if n := flaky.writes.Load() - writes; n != 0 {
				t.Errorf("%d writes for a session that was revoked", n)
			}
			// Loaded: with another store comes another cache; its table is the same one.
			for _, store := range []string{"store memory\n", flakyLine} {
				if err := g.load(asked(t, "corp", op)+store, whoSite); err != nil {
					t.Fatal(err)
				}
				for _, c := range []string{cached, idle} {
					want(t, g.get("/a", c), http.StatusSeeOther)
				}
			}
			want(t, g.get("/a", g.signedInAs(op, "alice")), http.StatusOK)
		})
	}
}
