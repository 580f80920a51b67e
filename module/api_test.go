package module_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// program sends one request as a program does: no cookies but those it is given, no
// redirect followed.
func (g *gateway) program(method, path string, pairs ...string) *http.Response {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), method, g.url(path), http.NoBody)
	if err != nil {
		g.t.Fatal(err)
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		r.Header[pairs[i]] = append(r.Header[pairs[i]], pairs[i+1])
	}
	return g.roundTrip(r)
}

func (g *gateway) roundTrip(r *http.Request) *http.Response {
	g.t.Helper()
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer c.CloseIdleConnections()
	resp, err := c.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { resp.Body.Close() })
	if got := resp.Header["Set-Cookie"]; got != nil {
		g.t.Errorf("%s %s: a program got the cookies %q", r.Method, r.URL, got)
	}
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		g.t.Errorf("%s %s: a program was sent to %s", r.Method, r.URL, resp.Header.Get("Location"))
	}
	return resp
}

func body(t testing.TB, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// refused reads the JSON of a refusal.
func refused(t testing.TB, r *http.Response, status int, reason string) {
	t.Helper()
	text := body(t, r)
	var got struct{ Error, Reason, ID string }
	if err := json.Unmarshal([]byte(text), &got); err != nil || r.StatusCode != status || got.Error != reason && got.Reason != reason || got.ID == "" {
		t.Errorf("want %d %s, got %d: %s", status, reason, r.StatusCode, text)
	}
}

func basicOf(name, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))
}

const apiSite = "protect {\nheader X-User {user.name}\nheader X-Key {user.key}\nrequire /admin/* `\"admins\" in user.groups` \"Administrators only.\"\npublic /public/*\napi corp\n}\nreverse_proxy {APP}"

// TestB29BasicByDirectory: the same policy and headers as for people, no cookie, no
// redirect; the application never sees the password.
func TestB29BasicByDirectory(t *testing.T) {
	g := start(t, people(t), apiSite)
	r := g.program("GET", "/a", "Authorization", basicOf("bob", "bobpw"), "X-User", "mallory", "x_user", "mallory")
	head := body(t, r)
	if r.StatusCode != http.StatusOK || len(header(head, "X-User")) != 1 || header(head, "X-User")[0] != "bob" || header(head, "X-Key")[0] != "corp:bob" {
		t.Fatalf("%d\n%s", r.StatusCode, head)
	}
	if strings.Contains(head, "Authorization") || strings.Contains(strings.ToLower(head), "mallory") {
		t.Errorf("the application reads\n%s", head)
	}
	if got := r.Header.Get("Cache-Control"); got != "private" {
		t.Errorf("Cache-Control %q", got)
	}
	refused(t, g.program("GET", "/admin/x", "Authorization", basicOf("bob", "bobpw")), http.StatusForbidden, "not_allowed")
	if r := g.program("DELETE", "/admin/x", "Authorization", basicOf("alice", "alicepw")); r.StatusCode != http.StatusOK {
		t.Errorf("an administrator: %d", r.StatusCode)
	}
	r = g.program("GET", "/a", "Authorization", basicOf("bob", "wrong"))
	if got := r.Header.Values("WWW-Authenticate"); len(got) != 1 || !strings.HasPrefix(got[0], `Basic realm="`) {
		t.Errorf("asked for by %q", got)
	}
	refused(t, r, http.StatusUnauthorized, "bad_credentials")
	refused(t, g.program("POST", "/a", "Authorization", basicOf("nobody", "x")), http.StatusUnauthorized, "bad_credentials")
	// The trail: once what grants, and no event for each request.
	if e := g.events("client_admitted", 2); len(e) != 2 || e[0]["user"] != "corp:bob" || e[0]["provider"] != "corp" {
		t.Errorf("the trail says %v", e)
	}
	for range 20 {
		g.program("GET", "/a", "Authorization", basicOf("bob", "bobpw"))
	}
	if n := g.count("client_admitted"); n != 2 {
		t.Errorf("%d events", n)
	}
	if n := g.count("login"); n != 0 {
		t.Errorf("%d sessions were made", n)
	}
}

// TestB29WithoutCredentials: as on any other route; a program hears what is taken, a
// page's script is not made to ask its person for a password.
func TestB29WithoutCredentials(t *testing.T) {
	g := start(t, people(t), apiSite)
	r := g.program("GET", "/a")
	if got := strings.Join(r.Header.Values("WWW-Authenticate"), "; "); r.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(got, "Sallyport; Basic realm=") {
		t.Errorf("%d, asked for by %q", r.StatusCode, got)
	}
	r = g.program("GET", "/a", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Dest", "empty")
	if got := r.Header.Values("WWW-Authenticate"); r.StatusCode != http.StatusUnauthorized || len(got) != 1 || got[0] != "Sallyport" {
		t.Errorf("%d, asked for by %q", r.StatusCode, got)
	}
	// What no line takes is not looked at, and is the application's.
	b := g.signedIn("/a", "alice", "alicepw")
	p := g.send(b, browser.Request{URL: g.url("/a"), Header: http.Header{"Authorization": {"Bearer of-the-app"}}})
	if p.Status != http.StatusOK || header(p.Body, "Authorization") == nil {
		t.Errorf("%d\n%s", p.Status, p.Body)
	}
	if got := g.program("GET", "/public/x").Header.Values("Vary"); strings.Join(got, ",") != "Cookie,Authorization" {
		t.Errorf("an open answer varies by %q", got)
	}
	// A preflight is answered as ever, credentials or not.
	plain := g.program("OPTIONS", "/a", "Origin", "https://spa.example", "Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "authorization")
	with := g.program("OPTIONS", "/a", "Origin", "https://spa.example", "Access-Control-Request-Method", "PUT", "Authorization", basicOf("bob", "wrong"))
	open := g.program("OPTIONS", "/public/x", "Access-Control-Request-Method", "PUT")
	if plain.StatusCode != http.StatusUnauthorized || with.StatusCode != plain.StatusCode || open.StatusCode != http.StatusOK {
		t.Errorf("preflights: %d and %d", plain.StatusCode, with.StatusCode)
	}
}

// TestB29CredentialWinsOverSession: whose credential it is, is who the request is from;
// and a bad one is never served as the person whose session comes with it.
func TestB29CredentialWinsOverSession(t *testing.T) {
	g := start(t, people(t), apiSite)
	b := g.signedIn("/a", "alice", "alicepw")
	c := ticketOf(t, g, b)
	cookie := c.Name + "=" + c.Value
	r := g.program("GET", "/a", "Cookie", cookie, "Authorization", basicOf("bob", "bobpw"))
	if got := header(body(t, r), "X-User"); len(got) != 1 || got[0] != "bob" {
		t.Errorf("served as %q", got)
	}
	refused(t, g.program("GET", "/admin/x", "Cookie", cookie, "Authorization", basicOf("bob", "bobpw")), http.StatusForbidden, "not_allowed")
	refused(t, g.program("GET", "/a", "Cookie", cookie, "Authorization", basicOf("bob", "wrong")), http.StatusUnauthorized, "bad_credentials")
	refused(t, g.program("GET", "/public/a", "Cookie", cookie, "Authorization", basicOf("bob", "wrong")), http.StatusUnauthorized, "bad_credentials")
	for _, two := range [][]string{
		{"Authorization", basicOf("bob", "bobpw"), "Authorization", basicOf("alice", "alicepw")},
		{"Authorization", basicOf("bob", "bobpw"), "Authorization", "Bearer x"},
	} {
		refused(t, g.program("GET", "/a", append(two, "Cookie", cookie)...), http.StatusBadRequest, "invalid_request")
	}
	for _, bad := range []string{"Basic", "Basic ", "Basic !!", "Basic " + base64.StdEncoding.EncodeToString([]byte("nocolon")), "Basic " + base64.StdEncoding.EncodeToString([]byte("bob:\xff")), basicOf("bob\x00", "x")} {
		refused(t, g.program("GET", "/a", "Cookie", cookie, "Authorization", bad), http.StatusBadRequest, "invalid_request")
	}
	if p := g.open(b, g.url("/a")); p.Status != http.StatusOK || header(p.Body, "X-User")[0] != "alice" {
		t.Errorf("the session was touched: %d", p.Status)
	}
	if n := g.count("session_ended"); n != 0 {
		t.Errorf("%d sessions ended", n)
	}
}

// TestI08BasicGuessesAreCounted: before the check, and against the budgets of the login
// form: guesses in parallel, by either way, are not more than the limit.
func TestI08BasicGuessesAreCounted(t *testing.T) {
	g := start(t, people(t), apiSite)
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[int]int{}
	for i := range 200 {
		wg.Go(func() {
			r := g.program("GET", "/a", "Authorization", basicOf("alice", fmt.Sprintf("guess-%d", i)))
			mu.Lock()
			defer mu.Unlock()
			seen[r.StatusCode]++
			if r.StatusCode == http.StatusTooManyRequests && r.Header.Get("Retry-After") == "" {
				t.Error("429 without Retry-After")
			}
		})
	}
	wg.Wait()
	if seen[http.StatusUnauthorized] > 6 || seen[http.StatusUnauthorized]+seen[http.StatusTooManyRequests] != 200 {
		t.Errorf("answers by status: %v", seen)
	}
	refused(t, g.program("GET", "/a", "Authorization", basicOf("alice", "alicepw")), http.StatusTooManyRequests, "too_many_tries")
	b := browser.New()
	t.Cleanup(b.Close)
	if p := g.signIn(b, "/a", "alice", "alicepw"); p.Status != http.StatusTooManyRequests {
		t.Errorf("the form has a budget of its own: %d", p.Status)
	}
	if r := g.program("GET", "/a", "Authorization", basicOf("bob", "bobpw")); r.StatusCode != http.StatusOK {
		t.Errorf("somebody else waits, too: %d", r.StatusCode)
	}
}

// TestB29CachedForAWhile: one check for many requests, and none is believed longer than
// `cache` says: who is switched off is out then.
func TestB29CachedForAWhile(t *testing.T) {
	clock := newClock(t)
	global, site := people(t), strings.Replace(apiSite, "api corp", "api corp {\ncache 30s\n}", 1)
	g := start(t, global, site)
	ok := func() int { return g.program("GET", "/a", "Authorization", basicOf("bob", "bobpw")).StatusCode }
	if got := ok(); got != http.StatusOK {
		t.Fatal(got)
	}
	// The same name with another password is another credential.
	refused(t, g.program("GET", "/a", "Authorization", basicOf("bob", "bobpw2")), http.StatusUnauthorized, "bad_credentials")
	refused(t, g.program("GET", "/a", "Authorization", basicOf("bo", "b:bobpw")), http.StatusUnauthorized, "bad_credentials")
	// Another meaning of the provider asks anew, at once.
	if err := g.load(strings.Replace(global, "user bob ", "user bert ", 1), site); err != nil {
		t.Fatal(err)
	}
	if got := ok(); got != http.StatusUnauthorized {
		t.Errorf("of another provider: %d", got)
	}
	if err := g.load(global, site); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if got := ok(); got != http.StatusOK {
			t.Fatal(got)
		}
		clock.Advance(31 * time.Second)
	}
	if n := g.count("client_admitted"); n != 1 {
		t.Errorf("%d events for one unchanged decision", n)
	}
	clock.Advance(13 * time.Hour)
	ok()
	if n := g.count("client_admitted"); n != 2 {
		t.Errorf("%d events, want another after a session's lifetime", n)
	}
}

// TestB29FlowIsRun: what the flow of the route asks for holds for programs, too; what
// asks a person, refuses them, and step_up is no exception.
func TestB29FlowIsRun(t *testing.T) {
	flow := "factor totp\nflow staff {\nlogin\nset team `\"blue\"`\nwhen `user.name == \"alice\"` {\nmfa totp {\nenroll deny\n}\n}\nrequire `user.name != \"eve\"` \"Not you.\"\n}\n"
	global := strings.Replace(people(t), "user bob ", "user eve "+hashOf(t, "evepw")+"\nuser bob ", 1) + flow
	g := start(t, global, "protect staff {\nheader X-Team {user.team}\nstep_up /pay/*\nstep_up /flow/* staff\napi corp\n}\nreverse_proxy {APP}")
	r := g.program("GET", "/a", "Authorization", basicOf("bob", "bobpw"))
	if got := header(body(t, r), "X-Team"); len(got) != 1 || got[0] != "blue" {
		t.Errorf("%d %q", r.StatusCode, got)
	}
	refused(t, g.program("GET", "/pay/1", "Authorization", basicOf("bob", "bobpw")), http.StatusForbidden, "step_up_required")
	refused(t, g.program("GET", "/flow/1", "Authorization", basicOf("bob", "bobpw")), http.StatusForbidden, "step_up_required")
	for range 3 {
		refused(t, g.program("GET", "/a", "Authorization", basicOf("alice", "alicepw")), http.StatusForbidden, "interaction_required")
		refused(t, g.program("GET", "/a", "Authorization", basicOf("eve", "evepw")), http.StatusForbidden, "not_allowed")
	}
	e := g.events("login_denied", 2)
	if len(e) != 2 || e[0]["reason"] != "interaction_required" || e[0]["step"] != "mfa" || e[0]["rule"] == "" || e[1]["user"] != "corp:eve" {
		t.Errorf("the trail says %v", e)
	}
	if n := g.count("client_admitted"); n != 1 {
		t.Errorf("%d programs were let in", n)
	}
}

// TestB29FlowThatAsksEverybody: no flow that wants a person is opened silently.
func TestB29FlowThatAsksEverybody(t *testing.T) {
	for name, flow := range map[string]string{
		"mfa":        "flow staff {\nlogin\nmfa totp\n}\n",
		"a sub-flow": "flow more {\nmfa totp\n}\nflow staff {\nlogin\nuse more\n}\n",
		"consent":    "flow staff {\nlogin\nconsent terms 1 {\ntext x\n}\n}\n",
	} {
		g := &gateway{t: t, port: freePort(t), dir: scratch(t), app: newEcho(t), audit: scratch(t) + "/audit"}
		err := g.load("factor totp\n"+people(t)+flow, "protect staff {\napi corp\n}\nreverse_proxy {APP}")
		if err == nil || !strings.Contains(err.Error(), "flow staff asks people at Caddyfile:") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestB29ForeignPagesSendNothing: what a browser sends by itself is no credential of a
// page of another site.
func TestB29ForeignPagesSendNothing(t *testing.T) {
	g := start(t, people(t), apiSite)
	auth := basicOf("bob", "bobpw")
	for _, pairs := range [][]string{
		{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"},
	} {
		refused(t, g.program("POST", "/a", append(pairs, "Authorization", auth)...), http.StatusForbidden, "cross_site")
	}
	for _, pairs := range [][]string{
		{"Sec-Fetch-Site", "same-origin"}, {"Origin", strings.TrimSuffix(g.url("/"), "/")}, {"Sec-Fetch-Site", "none"},
	} {
		if r := g.program("POST", "/a", append(pairs, "Authorization", auth)...); r.StatusCode != http.StatusOK {
			t.Errorf("%v: %d", pairs, r.StatusCode)
		}
	}
}

// TestI06ProgramsOwnNames: a program is no way to somebody else's name.
func TestI06ProgramsOwnNames(t *testing.T) {
	hash := hashOf(t, "robotpw")
	g := start(t, people(t)+"provider robots local {\nhidden\nuser alice "+hash+"\nuser r2 "+hash+"\n}\nflow default {\nlogin corp\n}\n", strings.Replace(apiSite, "api corp", "api robots", 1))
	g.signedIn("/a", "alice", "alicepw")
	refused(t, g.program("GET", "/a", "Authorization", basicOf("alice", "robotpw")), http.StatusForbidden, "name_conflict")
	r := g.program("GET", "/a", "Authorization", basicOf("r2", "robotpw"))
	if got := header(body(t, r), "X-Key"); len(got) != 1 || got[0] != "robots:r2" {
		t.Errorf("%d %q", r.StatusCode, got)
	}
}

// TestI25ProgramsNeedTheTrail: without an entry nobody is let in, and that is no "no".
func TestI25ProgramsNeedTheTrail(t *testing.T) {
	g := start(t, people(t)+"audit file /dev/full\n", apiSite)
	r := g.program("GET", "/a", "Authorization", basicOf("bob", "bobpw"))
	if r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" {
		t.Errorf("%d", r.StatusCode)
	}
}

// TestB29KeepAuthorization: an application may be meant to read it, too.
func TestB29KeepAuthorization(t *testing.T) {
	g := start(t, people(t), strings.Replace(apiSite, "api corp", "api corp {\nkeep_authorization\n}", 1))
	auth := basicOf("bob", "bobpw")
	if got := header(body(t, g.program("GET", "/a", "Authorization", auth)), "Authorization"); len(got) != 1 || got[0] != auth {
		t.Errorf("%q", got)
	}
}
