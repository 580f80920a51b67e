package module_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/module"
)

// trickle begins a request and never ends it.
func (g *gateway) trickle(head string) net.Conn {
	g.t.Helper()
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", g.port))
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, head); err != nil {
		g.t.Fatal(err)
	}
	return c
}

// Who sends slowly holds a connection, nobody else's, and not for long where
// the address is ours (C12).
func TestC12SlowClientsHoldUpNobody(t *testing.T) {
	defer module.SetBodyPatience(time.Second)()
	op := newOP(t)
	g := start(t, people(t)+asked(t, "idp", op, "hidden"), whoSite)
	b := g.signedIn("/a", "alice", "alicepw")
	tab := newBrowser(t)
	f, err := g.open(tab, g.url("/a")).FormWith("username")
	if err != nil {
		t.Fatal(err)
	}
	action, err := url.Parse(f.Action)
	if err != nil {
		t.Fatal(err)
	}
	before := wantHeld(t, held{goroutines: 1 << 20, files: 1 << 20})
	host := fmt.Sprintf("Host: 127.0.0.1:%d\r\nOrigin: http://127.0.0.1:%d\r\nSec-Fetch-Site: same-origin\r\n", g.port, g.port)
	post := func(path, more string) string {
		return "POST " + path + " HTTP/1.1\r\n" + host + more + "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 900\r\n\r\nusername=a"
	}
	heads := []string{
		post(action.RequestURI(), "Cookie: "+g.cookies(tab)+"\r\n"), // a form of this run
		post("/.identity/flow", ""),                                 // of none
		post("/.identity/callback/idp", ""),
		post("/.identity/backchannel-logout/idp", ""),
		post("/.identity/logout", ""),
		"GET /a HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ", // Caddy's to end, by its read_header
	}
	var slow []net.Conn
	for range 25 {
		for _, h := range heads {
			slow = append(slow, g.trickle(h))
		}
	}
	served, stop := g.traffic(b)
	until(t, "who is signed in is served", func() bool { return t.Failed() || served.Load() > 50 })
	g.signedIn("/a", "bob", "bobpw").Close()
	stop()
	granted := regexp.MustCompile(`Set-Cookie: [\w.-]*sallyport-\d+=[^;]`)
	var wg sync.WaitGroup
	for i, c := range slow {
		if i%len(heads) == len(heads)-1 {
			continue
		}
		wg.Go(func() {
			text, err := io.ReadAll(c) // an answer or none, and then the end
			if err != nil {
				t.Errorf("%.60q is still held: %v %q", heads[i%len(heads)], err, text)
			}
			if granted.Match(text) {
				t.Errorf("a half request was granted something: %s", text)
			}
		})
	}
	wg.Wait()
	for _, c := range slow {
		c.Close()
	}
	b.Close()
	wantHeld(t, held{goroutines: before.goroutines + 5, files: before.files + 5})
	// The form whose half copies were cut off is still good.
	want(t, g.submitOnly(tab, f, "bob", "bobpw"), http.StatusSeeOther)
}

// What is larger than our own addresses read is 413, and heads without end are
// refused by the server (C12).
func TestC12HugeRequests(t *testing.T) {
	op := newOP(t)
	g := start(t, people(t)+asked(t, "idp", op, "hidden"), whoSite)
	b := newBrowser(t)
	f, err := g.open(b, g.url("/a")).FormWith("username")
	if err != nil {
		t.Fatal(err)
	}
	action, err := url.Parse(f.Action)
	if err != nil {
		t.Fatal(err)
	}
	huge := "username=" + strings.Repeat("x", 100<<10)
	form := []string{"Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html"}
	for path, headers := range map[string][]string{
		action.RequestURI():                  append([]string{"Cookie", g.cookies(b), "Origin", g.url("")}, form...),
		"/.identity/callback/idp":            form,
		"/.identity/backchannel-logout/idp":  form,
		"/.identity/backchannel-logout/idp?": form,
	} {
		for range 3 {
			want(t, g.raw(http.MethodPost, path, huge, headers...), http.StatusRequestEntityTooLarge)
		}
	}
	// Without a length, as chunks that go on and on.
	c := g.trickle(fmt.Sprintf("POST /.identity/callback/idp HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n", g.port))
	go func(c net.Conn) {
		chunk := fmt.Sprintf("%x\r\n%s\r\n", 8<<10, strings.Repeat("x", 8<<10))
		for range 1000 {
			if _, err := io.WriteString(c, chunk); err != nil {
				return
			}
		}
	}(c)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("chunks without end: %v %v", res, err)
	}
	c = g.trickle(fmt.Sprintf("GET /a HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n", g.port))
	go func(c net.Conn) {
		line := "X-Long: " + strings.Repeat("x", 64<<10) + "\r\n"
		for range 100 {
			if _, err := io.WriteString(c, line); err != nil {
				return
			}
		}
	}(c)
	if res, err = http.ReadResponse(bufio.NewReader(c), nil); err == nil && res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a head without end: %s", res.Status)
	}
	want(t, g.submitOnly(b, f, "alice", "alicepw"), http.StatusSeeOther)
}

// A user with thousands of groups gets in, with all of them or with a page that
// says so: never with some (C22).
func TestC22ThousandsOfGroups(t *testing.T) {
	op := newOP(t)
	site := "protect /all/* {\nheader X-Groups {user.groups} {\nmax 65536\n}\n}\n" +
		"protect /few/* {\nheader X-Groups {user.groups}\n}\n" +
		"protect {\nheader X-User {user.name}\nrequire /last/* `\"group-00999\" in user.groups`\n}\nreverse_proxy {APP}"
	g := start(t, asked(t, "idp", op), site)
	for _, n := range []int{1000, 5000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			groups := make([]string, n)
			for i := range groups {
				groups[i] = fmt.Sprintf("group-%05d", i)
			}
			op.SetUser(map[string]any{"sub": "u-alice", "preferred_username": "alice", "groups": groups})
			b := newBrowser(t)
			landed(t, g.open(b, g.url("/a")), "/a", "")
			want(t, g.open(b, g.url("/last/x")), http.StatusOK)
			size := 0
			for _, c := range b.Jar.Cookies(g.url("/")) {
				size += len(c.Name) + len(c.Value) + 3
			}
			if size > 300 {
				t.Errorf("%d bytes of cookies", size)
			}
			p := g.open(b, g.url("/all/x"))
			want(t, p, http.StatusOK)
			if got := header(p.Body, "X-Groups"); len(got) != 1 || got[0] != strings.Join(groups, ",") {
				t.Errorf("the application got %d headers of %d bytes", len(got), len(strings.Join(got, "")))
			}
			p = g.open(b, g.url("/few/x"))
			want(t, p, http.StatusForbidden)
			if !p.Has("more details than the application can take") {
				t.Errorf("no clear page:\n%s", p.Text())
			}
			// The application's own 431 reaches the person as it is.
			g.app.set(func(string) string {
				return "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 9\r\nConnection: close\r\n\r\ntoo large"
			})
			defer g.app.set(nil)
			if p, err := b.Send(browser.Request{URL: g.url("/all/x")}); err != nil || p.Status != http.StatusRequestHeaderFieldsTooLarge {
				t.Errorf("an application's 431: %v %+v", err, p)
			}
		})
	}
}
