package module_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// switching is an application that goes on in HTTP/2 when it is asked to, as
// servers with h2c do; it notes who asks for what.
func switching(t *testing.T) (addr string, n *notes) {
	t.Helper()
	l, n := listen(t), new(notes)
	note := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.add(r.Proto + " " + r.URL.Path + " " + strings.Join(r.Header["Remote-User"], ","))
	})
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			note(w, r)
			if !strings.EqualFold(r.Header.Get("Upgrade"), "h2c") {
				return
			}
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
			s := &http.Server{Handler: note, Protocols: new(http.Protocols), ReadHeaderTimeout: 20 * time.Second}
			s.Protocols.SetUnencryptedHTTP2(true)
			_ = s.Serve(&single{Listener: l, conn: &buffered{c, rw.Reader}}) // the connection goes on behind it
		}))
	}()
	return l.Addr().String(), n
}

// single is a listener of one connection.
type single struct {
	net.Listener
	conn net.Conn
}

func (s *single) Accept() (c net.Conn, err error) {
	if c, s.conn = s.conn, nil; c == nil {
		err = io.EOF
	}
	return c, err
}

func (*single) Close() error { return nil }

type buffered struct {
	net.Conn
	r *bufio.Reader
}

func (b *buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

// A tunnel of HTTP inside HTTP would pass all rules and bring any identity (P6).
func TestP6NoTunnelThroughAnUpgrade(t *testing.T) {
	g := start(t, people(t), plainSite)
	addr, n := switching(t)
	site := "protect {\nheaders remote_user\npublic /public/*\n}\nreverse_proxy " + addr
	if err := g.load(people(t), site); err != nil {
		t.Fatal(err)
	}
	cookie := g.aliceCookie()
	for _, upgrade := range []string{
		"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
		"Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
		"Connection: upgrade\r\nUpgrade: H2C\r\n",
		"Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n",
		"Connection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n",
	} {
		for _, who := range []string{"", "Cookie: " + cookie + "\r\n"} {
			mark := n.count()
			g.tunnel("GET /public/x HTTP/1.1\r\nHost: 127.0.0.1\r\n" + who + upgrade + "\r\n")
			for _, r := range n.since(mark) {
				if !strings.HasPrefix(r, "HTTP/1.1 /public/x ") || strings.Contains(r, "evil") {
					t.Errorf("%q: the application saw %q", upgrade, r)
				}
			}
			if n.count() == mark {
				t.Errorf("%q: the request itself did not arrive", upgrade)
			}
		}
	}
}

// tunnel sends a request and behind it, if the answer is 101, another one in HTTP/2.
func (g *gateway) tunnel(head string) {
	g.t.Helper()
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", g.port))
	if err != nil {
		g.t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	_, _ = io.WriteString(c, strings.Replace(head, "Host: 127.0.0.1", fmt.Sprintf("Host: 127.0.0.1:%d", g.port), 1))
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		return
	}
	h := &h2conn{t: g.t, c: c, fr: http2.NewFramer(c, r)}
	h.begin()
	h.send(false, hpack.HeaderField{Name: ":method", Value: "GET"}, hpack.HeaderField{Name: ":scheme", Value: "http"}, hpack.HeaderField{Name: ":authority", Value: "app"},
		hpack.HeaderField{Name: ":path", Value: "/admin/x"}, hpack.HeaderField{Name: "remote-user", Value: "evil"})
	h.answer()
}
