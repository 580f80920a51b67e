package module_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/flows"
	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
	"github.com/sallyport-gateway/sallyport/module"
)

// life is how long the test provider's access tokens live; they are renewed
// beside the requests in the last tenth.
const life = 300 * time.Second

const groupsSite = "protect {\nheader X-Key {user.key}\nheader X-Groups {user.groups}\nheader X-Level {user.level}\npublic /public/*\nrequire /admin/* `\"admins\" in user.groups`\nsession {\npassive /poll/*\n}\n}\nreverse_proxy {APP}"

func member(groups ...string) map[string]any {
	return map[string]any{"sub": "u-alice", "preferred_username": "alice", "groups": groups}
}

// offline is a provider that gives refresh tokens; she is in staff.
func offline(t *testing.T, op *oidctest.OP, more ...string) string {
	op.SetUser(member("staff"))
	return asked(t, "corp", op, append([]string{"scopes openid profile offline_access"}, more...)...)
}

// aliceAt is the session cookie of a browser that signed in.
func (g *gateway) aliceAt(b *browser.Browser) string {
	g.t.Helper()
	landed(g.t, g.open(b, g.url("/x")), "/x", "corp:u-alice")
	c := ticketOf(g.t, g, b)
	return c.Name + "=" + c.Value
}

// at is one request at a node: the cookie's, answered with its status and body.
type at func(path string) (int, string)

func (g *gateway) as(cookie string) at {
	return func(path string) (int, string) {
		p := g.get(path, cookie)
		return p.Status, p.Body
	}
}

// together sends n requests at once and wants them all answered, with this group.
func together(t testing.TB, n int, group string, nodes ...at) {
	t.Helper()
	var wg sync.WaitGroup
	begin := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-begin
			status, body := nodes[i%len(nodes)](fmt.Sprintf("/x?%d", i))
			if got := header(body, "X-Groups"); status != http.StatusOK || !slices.Equal(got, []string{group}) {
				t.Errorf("request %d: %d, groups %q, want %q", i, status, got, group)
			}
		})
	}
	close(begin)
	wg.Wait()
}

func wantRefreshes(t testing.TB, op *oidctest.OP, n int) {
	t.Helper()
	if got := op.Counts().Refresh; got != n {
		t.Fatalf("the provider was asked %d times, want %d", got, n)
	}
}

func TestB02ParallelRequestsRefreshOnce(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	g := start(t, offline(t, op)+"session {\nidle 12h\n}\n"+flakyLine, groupsSite)
	b := newBrowser(t)
	cookie := g.aliceAt(b)
	for round, group := range []string{"one", "two", "three"} { // the tokens rotate
		clock.Advance(life)
		op.SetUser(member(group))
		reads := flaky.reads.Load()
		together(t, 50, group, g.as(cookie))
		wantRefreshes(t, op, round+1)
		if n := flaky.reads.Load() - reads; n > 60 { // the others wait for the one, not for the store
			t.Errorf("50 requests cost %d reads of the store", n)
		}
		if op.Families() != 1 {
			t.Fatal("a refresh token was used twice: the provider revoked them all")
		}
	}
	if c := ticketOf(t, g, b); c.Name+"="+c.Value != cookie {
		t.Error("the ticket changed though nothing was proved")
	}
	if n := g.count("login"); n != 1 || op.Counts().Authorize != 1 {
		t.Errorf("%d logins, %d authorization requests", n, op.Counts().Authorize)
	}
	t.Run("not rotating", func(t *testing.T) {
		op.SetRotating(false)
		for i, group := range []string{"four", "five"} {
			clock.Advance(life)
			op.SetUser(member(group))
			together(t, 4, group, g.as(cookie))
			wantRefreshes(t, op, 4+i)
		}
	})
}

// holding makes the provider keep refresh requests until release is called.
func holding(op *oidctest.OP) (release func()) {
	free := make(chan struct{})
	op.SetBehaviour(oidctest.Mode{Serve: func(_ *oidctest.OP, endpoint string, _ http.ResponseWriter, r *http.Request) bool {
		if endpoint == "token" && r.PostForm.Get("grant_type") == "refresh_token" {
			select {
			case <-free:
			case <-r.Context().Done():
			}
		}
		return false
	}})
	return sync.OnceFunc(func() { close(free) })
}

func TestC14ParallelRequestsAtTokenExpiry(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	g := start(t, offline(t, op), groupsSite)
	cookie := g.aliceAt(newBrowser(t))
	clock.Advance(life)
	op.SetUser(member("new"))
	release := holding(op)
	t.Cleanup(release)
	before := g.app.count()
	go func() {
		until(t, "the provider is asked", func() bool { return op.Counts().Token == 2 })
		if n := g.app.count(); n != before {
			t.Errorf("%d requests went on with claims that had run out", n-before)
		}
		release()
	}()
	together(t, 100, "new", g.as(cookie))
	wantRefreshes(t, op, 1)
}

func TestB02TwoNodesRefreshOnce(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	global := offline(t, op) + "session {\nidle 12h\n}"
	g := start(t, global, groupsSite)
	cookie := g.aliceAt(newBrowser(t))
	other := g.node(global, groupsSite, cookie)
	together(t, 4, "staff", g.as(cookie), other) // both have the session ready
	for round, group := range []string{"one", "two", "three"} {
		clock.Advance(life)
		op.SetUser(member(group))
		together(t, 50, group, g.as(cookie), other)
		if wantRefreshes(t, op, round+1); op.Families() != 1 {
			t.Fatal("a refresh token was used twice")
		}
	}
	// A node that dies with the lease: nobody asks until it has run out.
	clock.Advance(life)
	op.SetUser(member("four"))
	t.Cleanup(module.SetRenewWait(100 * time.Millisecond))
	if err := theApp(t).Sessions().Claim(t.Context(), g.sessionID(cookie), "a node that is no more", time.Minute); err != nil {
		t.Fatal(err)
	}
	together(t, 4, "three", g.as(cookie), other)
	wantRefreshes(t, op, 3)
	clock.Advance(time.Minute)
	until(t, "the lease runs out", func() bool {
		clock.Advance(time.Second) // a node may have found it held just now, and rests
		_, body := other("/x")
		return slices.Equal(header(body, "X-Groups"), []string{"four"})
	})
	wantRefreshes(t, op, 4)
}

func TestB02RefreshesBesideTheRequestsBeforeExpiry(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	g := start(t, offline(t, op), groupsSite)
	cookie := g.aliceAt(newBrowser(t))
	clock.Advance(life - 31*time.Second)
	together(t, 4, "staff", g.as(cookie))
	wantRefreshes(t, op, 0)
	clock.Advance(2 * time.Second)
	op.SetUser(member("new"))
	release := holding(op)
	t.Cleanup(release)
	together(t, 10, "staff", g.as(cookie)) // nobody waits
	until(t, "the provider is asked", func() bool { return op.Counts().Token == 2 })
	release()
	until(t, "new claims", func() bool {
		_, body := g.as(cookie)("/x")
		return slices.Equal(header(body, "X-Groups"), []string{"new"})
	})
	wantRefreshes(t, op, 1)
}

func TestB02PollingAndPublicPathsDoNotRefresh(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	g := start(t, offline(t, op), groupsSite)
	cookie := g.aliceAt(newBrowser(t))
	clock.Advance(life)
	for _, path := range []string{"/poll/1", "/public/1", "/.identity/session", "/poll/2"} {
		want(t, g.get(path, cookie), http.StatusOK)
	}
	wantRefreshes(t, op, 0)
	// Being renewed is no activity: the session ends half an hour after the last request.
	want(t, g.get("/x", cookie), http.StatusOK)
	wantRefreshes(t, op, 1)
	clock.Advance(29 * time.Minute)
	want(t, g.get("/poll/3", cookie), http.StatusOK)
	clock.Advance(time.Minute)
	want(t, g.get("/poll/4", cookie), http.StatusSeeOther)
}

func TestB02RefreshOff(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	off := offline(t, op, "refresh off") + "session {\nidle 12h\n}"
	g := start(t, off, groupsSite)
	cookie := g.aliceAt(newBrowser(t))
	clock.Advance(2 * life)
	together(t, 4, "staff", g.as(cookie))
	wantRefreshes(t, op, 0)
	// Switched off with sessions that have tokens: they are left alone, and renewed again when it is on.
	on := strings.Replace(off, "refresh off", "refresh on", 1)
	if err := g.load(on, groupsSite); err != nil {
		t.Fatal(err)
	}
	cookie = g.aliceAt(newBrowser(t))
	clock.Advance(life)
	if err := g.load(off, groupsSite); err != nil {
		t.Fatal(err)
	}
	op.SetUser(member("new"))
	together(t, 4, "staff", g.as(cookie))
	wantRefreshes(t, op, 0)
	if err := g.load(on, groupsSite); err != nil {
		t.Fatal(err)
	}
	clock.Advance(5 * time.Minute)
	together(t, 4, "new", g.as(cookie))
	wantRefreshes(t, op, 1)
}

func TestB02StreamsOutliveARefresh(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	l := listen(t)
	next := make(chan struct{})
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/events" {
				return
			}
			w.Header().Set("Content-Type", "text/event-stream")
			for range 2 {
				fmt.Fprint(w, "data: 1\n\n")
				_ = http.NewResponseController(w).Flush()
				select {
				case <-next:
				case <-r.Context().Done():
					return
				}
			}
		}))
	}()
	g := start(t, offline(t, op), strings.Replace(groupsSite, "{APP}", l.Addr().String()+" {\nflush_interval -1\n}", 1))
	b := newBrowser(t)
	want(t, g.open(b, g.url("/x")), http.StatusOK)
	c := ticketOf(t, g, b)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.url("/events"), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	r := bufio.NewReader(res.Body)
	read := func() {
		if line, err := r.ReadString('\n'); err != nil || line != "data: 1\n" {
			t.Fatalf("stream: %q, %v", line, err)
		}
		_, _ = r.ReadString('\n')
	}
	read()
	clock.Advance(life)
	want(t, g.get("/x", c.Name+"="+c.Value), http.StatusOK)
	wantRefreshes(t, op, 1)
	next <- struct{}{}
	read()
	// It is the renewed session's still: it ends with it.
	if err := theApp(t).EndUser(t.Context(), "corp:u-alice"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReadString('\n'); err == nil {
		t.Error("the stream outlived its session")
	}
}

func TestO10InvalidGrantEndsTheSession(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	g := start(t, offline(t, op), groupsSite)
	for i, send := range []func(cookie string){
		func(cookie string) {
			p := g.get("/x", cookie)
			to, err := url.Parse(p.Header.Get("Location"))
			if err != nil || p.Status != http.StatusSeeOther || !strings.HasSuffix(to.Path, "/authorize") {
				t.Errorf("a page: %d to %q", p.Status, p.Header.Get("Location"))
			}
		},
		func(cookie string) {
			p := g.raw(http.MethodGet, "/x", "", "Cookie", cookie, "Accept", "application/json")
			if p.Status != http.StatusUnauthorized || !strings.Contains(p.Body, "login_required") || len(p.Header["Set-Cookie"]) > 0 {
				t.Errorf("a program: %d %s", p.Status, p.Body)
			}
		},
		func(cookie string) { // in the background
			clock.Advance(-10 * time.Second)
			release := holding(op) // or the end would cut this very request (B16)
			defer release()
			want(t, g.get("/x", cookie), http.StatusOK)
			release()
			g.events("session_ended", 3)
		},
	} {
		cookie := g.aliceAt(newBrowser(t))
		clock.Advance(life)
		op.RevokeAll()
		before := g.app.count()
		send(cookie)
		if i < 2 && g.app.count() != before {
			t.Error("the application was asked")
		}
		want(t, g.get("/x", cookie), http.StatusSeeOther)
		e := g.events("session_ended", i+1)[i]
		if e["reason"] != "invalid_grant" || e["user"] != "corp:u-alice" || !strings.Contains(fmt.Sprint(e["detail"]), "invalid_grant") {
			t.Errorf("event %v", e)
		}
	}
	wantRefreshes(t, op, 3)
}

// A login in another tab replaces the tokens, and providers often end the old
// ones by that: being refused with those says nothing about the session.
func TestO10RefusalOfReplacedTokensEndsNothing(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	g := start(t, offline(t, op), "protect /bank/* {\nheader X-Key {user.key}\nsession {\nlifetime 1m\n}\n}\n"+groupsSite)
	b := newBrowser(t)
	old := g.aliceAt(b)
	clock.Advance(life - 10*time.Second)
	release := holding(op)
	t.Cleanup(release)
	want(t, g.get("/x", old), http.StatusOK)
	until(t, "the provider is asked", func() bool { return op.Counts().Token == 2 })
	op.RevokeAll()
	landed(t, g.open(b, g.url("/bank/x")), "/bank/x", "corp:u-alice")
	c := ticketOf(t, g, b)
	cookie := c.Name + "=" + c.Value
	if cookie == old {
		t.Fatal("she did not sign in again")
	}
	id := g.sessionID(cookie)
	release()
	until(t, "the renewal is over", func() bool {
		err := theApp(t).Sessions().Claim(t.Context(), id, "the next", time.Second)
		return err == nil || errors.Is(err, flowsession.ErrResting)
	})
	want(t, g.get("/x", cookie), http.StatusOK)
	if n := g.count("session_ended"); n != 0 {
		t.Errorf("%d sessions ended", n)
	}
	wantRefreshes(t, op, 1)
	// Those of the new login are renewed like any others.
	clock.Advance(life)
	op.SetUser(member("new"))
	together(t, 4, "new", g.as(cookie))
	wantRefreshes(t, op, 2)
}

func TestO10WhatIsNotTheSamePersonEndsTheSession(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	g := start(t, offline(t, op, "scope @example.com"), groupsSite)
	user := func(sub, mail string) map[string]any {
		return map[string]any{"sub": sub, "preferred_username": "alice", "email": mail, "email_verified": true}
	}
	for i, tc := range []struct {
		name   string
		user   map[string]any
		mode   string
		reason flows.Reason
	}{
		{"subject", user("u-admin", "a@example.com"), "", flows.ReasonUserMismatch},
		{"issuer", user("u-alice", "a@example.com"), "wrong-iss", flows.ReasonInvalidAnswer},
		{"audience", user("u-alice", "a@example.com"), "wrong-aud", flows.ReasonInvalidAnswer},
		{"signature", user("u-alice", "a@example.com"), "bad-signature", flows.ReasonInvalidAnswer},
		{"scope", user("u-alice", "a@evil.test"), "", flows.ReasonNotAllowed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			op.SetUser(user("u-alice", "a@example.com"))
			b := newBrowser(t)
			cookie := g.aliceAt(b)
			clock.Advance(life)
			op.SetUser(tc.user)
			op.SetMode(tc.mode)
			p := g.get("/x", cookie)
			op.SetMode("")
			want(t, p, http.StatusSeeOther)
			if e := g.events("session_ended", i+1)[i]; e["reason"] != string(tc.reason) || e["user"] != "corp:u-alice" {
				t.Errorf("event %v, want %s", e, tc.reason)
			}
			want(t, g.get("/x", cookie), http.StatusSeeOther)
		})
	}
}

func TestO10ProviderThatIsDownKeepsTheSession(t *testing.T) {
	t.Cleanup(module.SetRenewWait(200 * time.Millisecond))
	hang := oidctest.Mode{Serve: func(_ *oidctest.OP, endpoint string, _ http.ResponseWriter, r *http.Request) bool {
		if endpoint == "token" {
			<-r.Context().Done()
		}
		return endpoint == "token"
	}}
	for _, tc := range []struct {
		name string
		fail func(op *oidctest.OP)
	}{
		{"500", func(op *oidctest.OP) { op.SetMode("token-500") }},
		{"maintenance page", func(op *oidctest.OP) { op.SetMode("token-html") }},
		{"hang", func(op *oidctest.OP) { op.SetBehaviour(hang) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			clock, op := newClock(t), newOP(t)
			g := start(t, offline(t, op)+"session {\nidle 2h\nlifetime 3h\n}", groupsSite)
			cookie := g.aliceAt(newBrowser(t))
			clock.Advance(life)
			tc.fail(op)
			together(t, 20, "staff", g.as(cookie))
			for range 20 {
				together(t, 1, "staff", g.as(cookie))
			}
			// Nobody asked it on every request.
			if n := op.Counts().Token; n != 2 {
				t.Fatalf("%d token requests, want that of the login and one", n)
			}
			if tc.name == "hang" {
				return // its request is under way for a while yet
			}
			// Asked again after a while, ever more seldom.
			for range 60 {
				clock.Advance(10 * time.Second)
				want(t, g.get("/x", cookie), http.StatusOK)
			}
			if n := op.Counts().Token - 2; n < 4 || n > 12 {
				t.Errorf("asked %d times in ten minutes", n)
			}
			op.SetMode("")
			op.SetUser(member("back"))
			until(t, "it is asked again", func() bool {
				clock.Advance(10 * time.Second)
				_, body := g.as(cookie)("/x")
				return slices.Equal(header(body, "X-Groups"), []string{"back"})
			})
			// The session's own limits hold whatever the provider does.
			tc.fail(op)
			for range 4 {
				clock.Advance(time.Hour)
				_ = g.get("/x", cookie)
			}
			want(t, g.get("/x", cookie), http.StatusSeeOther)
			if e := g.events("session_ended", 1)[0]; e["reason"] != "expired" {
				t.Errorf("event %v", e)
			}
		})
	}
}

func TestO11NewGroupsDecideAtOnce(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	g := start(t, offline(t, op)+"flow staff {\nlogin corp\nset level `\"admins\" in user.groups ? \"high\" : \"low\"`\nset came_by request.path\n}\nsession {\nidle 12h\n}",
		strings.Replace(groupsSite, "public ", "header X-Came {user.came_by}\nrequire /level/* `user.level == \"high\"`\npublic ", 1))
	cookie := g.aliceAt(newBrowser(t))
	for i, tc := range []struct {
		groups []string
		status int
		level  string
	}{
		{[]string{"staff"}, http.StatusForbidden, "low"},
		{[]string{"staff", "admins"}, http.StatusOK, "high"},
		{[]string{"staff"}, http.StatusForbidden, "low"},
		{[]string{"admins"}, http.StatusOK, "high"},
		{nil, http.StatusForbidden, "low"}, // the claim is missing: there are none
	} {
		clock.Advance(life)
		op.SetUser(member(tc.groups...))
		first := "/admin/x"
		if i%2 == 1 {
			first = "/level/x" // concluded by the flow from the groups
		}
		want(t, g.get(first, cookie), tc.status)
		want(t, g.get("/admin/x", cookie), tc.status)
		want(t, g.get("/level/x", cookie), tc.status)
		p := g.get("/x", cookie)
		if got := header(p.Body, "X-Level"); !slices.Equal(got, []string{tc.level}) {
			t.Errorf("level %q, want %s", got, tc.level)
		}
		if got := strings.Join(header(p.Body, "X-Groups"), ""); got != strings.Join(tc.groups, ",") {
			t.Errorf("groups %q, want %q", got, tc.groups)
		}
		if got := header(p.Body, "X-Came"); !slices.Equal(got, []string{"/x"}) {
			t.Errorf("what the flow concluded from the login's request changed to %q", got)
		}
		wantRefreshes(t, op, i+1)
	}
	// What a provider took or gave is in the trail, by name only.
	e := g.events("session_changed", 4)[3]
	if d := fmt.Sprint(e["detail"]); e["user"] != "corp:u-alice" || !strings.Contains(d, "groups") || strings.Contains(d, "admins") {
		t.Errorf("event %v", e)
	}
	if g.count("login") != 1 {
		t.Errorf("%d logins", g.count("login"))
	}
}

func TestO11FlowOverASessionSeesNewGroups(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	g := start(t, offline(t, op)+"flow staff {\nlogin corp\n}\nflow admin {\nlogin corp\nrequire `\"admins\" in user.groups`\n}",
		"protect /admin/* admin {\nheader X-Groups {user.groups}\n}\nprotect staff {\nheader X-Key {user.key}\n}\nreverse_proxy {APP}")
	for _, tc := range []struct {
		was, is, path string
		status        int
	}{
		{"staff", "admins", "/admin/x", http.StatusOK},
		{"admins", "staff", "/admin/x", http.StatusForbidden},
		{"staff", "admins", "/.identity/login?return_to=/admin/x", http.StatusOK},
		{"admins", "staff", "/.identity/login?return_to=/admin/x", http.StatusForbidden},
	} {
		op.SetUser(member(tc.was))
		b := newBrowser(t)
		_ = g.aliceAt(b)
		asked := op.Counts().Authorize
		clock.Advance(life)
		op.SetUser(member(tc.is))
		p := g.open(b, g.url(tc.path))
		if p.Status != tc.status || op.Counts().Authorize != asked {
			t.Errorf("%s with %s, now %s: %d at %s, asked again %v", tc.path, tc.was, tc.is, p.Status, p.URL, op.Counts().Authorize != asked)
		}
	}
	wantRefreshes(t, op, 4)
}

func TestI15RevokedDuringARefreshIsNotWrittenBack(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	g := start(t, offline(t, op), groupsSite)
	for name, end := range map[string]func(id string) error{
		"ended": func(id string) error {
			_, _, err := theApp(t).Sessions().End(t.Context(), id, flows.ReasonRevoked)
			return err
		},
		"not before": func(string) error {
			return theApp(t).Sessions().NotBeforeUser(t.Context(), "corp:u-alice", module.Now())
		},
	} {
		t.Run(name, func(t *testing.T) {
			clock.Advance(time.Second) // a login after the revocation before
			cookie := g.aliceAt(newBrowser(t))
			clock.Advance(life)
			release := holding(op)
			t.Cleanup(release)
			asked := op.Counts().Token
			answer := make(chan int, 1)
			go func() {
				status, _ := g.as(cookie)("/x")
				answer <- status
			}()
			until(t, "the provider is asked", func() bool { return op.Counts().Token == asked+1 })
			id := g.sessionID(cookie)
			if err := end(id); err != nil {
				t.Fatal(err)
			}
			release()
			if status := <-answer; status != http.StatusSeeOther {
				t.Errorf("the request: %d", status)
			}
			want(t, g.get("/x", cookie), http.StatusSeeOther)
			op.SetMode("")
		})
	}
}

func TestB02StoreDownDuringARefresh(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	g := start(t, offline(t, op)+flakyLine, groupsSite)
	cookie := g.aliceAt(newBrowser(t))
	clock.Advance(life)
	// Down before: the provider is not asked, and the session goes on.
	up := storeDown(t)
	together(t, 10, "staff", g.as(cookie))
	wantRefreshes(t, op, 0)
	up()
	clock.Advance(time.Minute)
	// Down when the answer comes: the new refresh token is not lost.
	op.SetUser(member("new"))
	release := holding(op)
	t.Cleanup(release)
	answer := make(chan string, 1)
	go func() {
		status, body := g.as(cookie)("/x")
		answer <- fmt.Sprint(status, header(body, "X-Groups"))
	}()
	until(t, "the provider is asked", func() bool { return op.Counts().Token == 2 })
	up = storeDown(t)
	tried := flaky.reads.Load()
	release()
	until(t, "writing is tried", func() bool { return flaky.reads.Load() > tried+1 })
	up()
	if got := <-answer; got != "200[new]" && got != "200 [new]" {
		t.Errorf("the request: %s", got)
	}
	clock.Advance(life)
	op.SetUser(member("newer"))
	together(t, 10, "newer", g.as(cookie))
	if wantRefreshes(t, op, 2); op.Families() != 1 {
		t.Error("a refresh token was lost")
	}
}

// sessionID is the public id of a cookie's session.
func (g *gateway) sessionID(cookie string) string {
	g.t.Helper()
	p := g.get("/.identity/session", cookie)
	var m struct{ ID string }
	if err := json.Unmarshal([]byte(p.Body), &m); err != nil || m.ID == "" {
		g.t.Fatalf("%d %s, %v", p.Status, p.Body, err)
	}
	return m.ID
}
