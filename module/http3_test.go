package module_test

import (
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"

	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// P13: in HTTP/3 a WebSocket begins with CONNECT (RFC 9220), and the application gets
// the GET of HTTP/1.1: rules judge what the application gets. Other tunnels are refused.
func TestP13WebSocketByConnectIsJudgedAsGet(t *testing.T) {
	d := openDoors(t, people(t)+adminPolicy, "@get {\npath /get/*\nmethod GET\n}\n@ws {\npath /ws/*\nheader Connection *Upgrade*\nheader Upgrade websocket\n}\n",
		"headers remote_user\nrequire @get admins\nrequire @ws admins\nrequire /cel/* `request.method != \"GET\" || \"admins\" in user.groups`\n")
	alice, bob := d.cookieOf("alice"), d.cookieOf("bob")
	connect := func(protocol, path, cookie string, more ...hpack.HeaderField) (status int, saw []string) {
		mark := d.app.count()
		fields := append(d.pseudo("h3", http.MethodConnect, path), hpack.HeaderField{Name: ":protocol", Value: protocol},
			hpack.HeaderField{Name: "sec-websocket-version", Value: "13"}, hpack.HeaderField{Name: "cookie", Value: cookie})
		status = d.stream("h3", append(fields, more...)...)
		return status, d.app.since(mark)
	}
	for _, path := range []string{"/get/x", "/ws/x", "/cel/x"} {
		if status, saw := connect("websocket", path, bob); status != http.StatusForbidden || len(saw) > 0 {
			t.Errorf("%s: bob got %d, the application saw %q", path, status, saw)
		}
		status, saw := connect("websocket", path, alice)
		if status != http.StatusOK || len(saw) != 1 || !strings.HasPrefix(saw[0], "GET "+path+" ") || !slices.Equal(header(saw[0], "Upgrade"), []string{"websocket"}) || !slices.Equal(header(saw[0], "Remote-User"), []string{"alice"}) {
			t.Errorf("%s: alice got %d, the application saw %q", path, status, saw)
		}
		foreign := hpack.HeaderField{Name: "origin", Value: "https://evil.example"}
		if status, saw := connect("websocket", path, alice, foreign); status != http.StatusForbidden || len(saw) > 0 {
			t.Errorf("%s: another origin got %d, the application saw %q", path, status, saw)
		}
		for _, protocol := range []string{"connect-udp", "connect-tcp", "WebSocket", "webtransport"} {
			if status, saw := connect(protocol, path, alice); status != http.StatusBadRequest || len(saw) > 0 {
				t.Errorf("%s for %s: %d, the application saw %q", path, protocol, status, saw)
			}
		}
	}
	mark := d.app.count()
	if status := d.sendRaw("CONNECT /a HTTP/1.1\r\nHost: " + d.host() + "\r\nCookie: " + alice + "\r\n\r\n"); status != http.StatusBadRequest || d.app.count() != mark {
		t.Errorf("CONNECT in HTTP/1.1: %d, the application saw %q", status, d.app.since(mark))
	}
}

// P12: such a WebSocket ends with its session, as others do.
func TestP12WebSocketByConnectEndsWithTheSession(t *testing.T) {
	d := openDoors(t, people(t), "", "headers remote_user\n")
	_, d.app.addr = keepsOpen(t)
	if err := d.reload(people(t), "", "headers remote_user\n"); err != nil {
		t.Fatal(err)
	}
	b := d.signedIn("/a", "alice", "alicepw")
	c := ticketOf(t, d.gateway, b)
	h := dialH3(t, d.secure)
	defer h.close()
	h.send(true, append(d.pseudo("h3", http.MethodConnect, "/ws"), hpack.HeaderField{Name: ":protocol", Value: "websocket"},
		hpack.HeaderField{Name: "sec-websocket-version", Value: "13"}, hpack.HeaderField{Name: "cookie", Value: c.Name + "=" + c.Value})...)
	if status, err := h.next(); status != http.StatusOK {
		t.Fatalf("no WebSocket: %d, %v", status, err)
	}
	want(t, d.send(b, browser.Request{Method: http.MethodPost, URL: d.url("/.identity/logout"), From: d.open(b, d.url("/a"))}), http.StatusOK)
	var late net.Error
	if _, err := h.next(); err == nil || errors.As(err, &late) && late.Timeout() {
		t.Errorf("after the logout it goes on: %v", err)
	}
}

// P13: cookies may come in several fields (RFC 9113 §8.2.3, RFC 9114 §4.2.1). By
// whatever way they come, the session is found and the application gets the others.
func TestP13CookiesByEveryWay(t *testing.T) {
	d := openDoors(t, people(t), "", "headers remote_user\n")
	name, value, _ := strings.Cut(d.aliceCookie(), "=")
	ours := name + "=" + value
	for _, tc := range []struct {
		name    string
		cookies []string
		shown   bool
	}{
		{"alone", []string{ours}, true},
		{"among others", []string{"a=1; " + ours + "; b=2"}, true},
		{"in crumbs", []string{"a=1", ours, "b=2"}, true},
		{"in crumbs of several", []string{"a=1; b=2", "c=3; " + ours}, true},
		{"twice", []string{name + "=evil", ours, name + "=evil2; a=1"}, true},
		{"cut within", []string{ours[:len(ours)/2], ours[len(ours)/2:]}, false},
		{"in quotes", []string{"a=1", name + `="` + value + `"`}, false},
		{"of another's spelling", []string{strings.ToUpper(name) + "=" + value}, false},
		{"a crumb of blanks", []string{" ", ours, ""}, true},
	} {
		var want []string
		for _, way := range ways {
			more := make([]hpack.HeaderField, len(tc.cookies))
			for i, c := range tc.cookies {
				more[i] = hpack.HeaderField{Name: "cookie", Value: c}
			}
			mark := d.app.count()
			status := d.get(way, "/a", "", more...)
			saw := d.app.since(mark)
			if !tc.shown {
				if status != http.StatusSeeOther || len(saw) > 0 {
					t.Errorf("%s %s: %d, the application saw %q", way, tc.name, status, saw)
				}
				continue
			}
			if status != http.StatusOK || len(saw) != 1 || !slices.Equal(header(saw[0], "Remote-User"), []string{"alice"}) || strings.Contains(saw[0], name) {
				t.Errorf("%s %s: %d, the application saw %q", way, tc.name, status, saw)
				continue
			}
			got := strings.FieldsFunc(strings.Join(header(saw[0], "Cookie"), ";"), func(r rune) bool { return r == ';' || r == ' ' })
			if way == ways[0] {
				want = got
			} else if !slices.Equal(got, want) {
				t.Errorf("%s %s: the application gets the cookies %q, in HTTP/1.1 %q", way, tc.name, got, want)
			}
		}
	}
}
