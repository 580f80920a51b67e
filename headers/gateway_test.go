package headers

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// ownedNames are those of three dialects and of two header lines.
var ownedNames = []string{
	"SM_*", "SMUSER", "Remote-User", "Remote-Groups", "X-Forwarded-User", "X-Forwarded-Email", "X-Remote-User", "X-Dept",
}

var injected = []Field{{"SM_USER", "alice"}, {"X-Remote-User", "alice"}, {"X-Dept", "sales"}}

// rawUpstream keeps the bytes it got: only they show the case of a name.
type rawUpstream struct {
	addr string
	seen chan string
}

func newRawUpstream(t *testing.T) *rawUpstream {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	u := &rawUpstream{addr: l.Addr().String(), seen: make(chan string, 16)}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go u.serve(c)
		}
	}()
	return u
}

func (u *rawUpstream) serve(c net.Conn) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	r := bufio.NewReader(c)
	var b strings.Builder
	chunked := u.lines(r, &b)
	if chunked {
		for {
			size, err := r.ReadString('\n')
			var n int64
			if _, scan := fmt.Sscanf(size, "%x", &n); err != nil || scan != nil || n == 0 {
				break
			}
			_, _ = io.CopyN(io.Discard, r, n+2)
		}
		b.WriteString("-- trailers\n")
		u.lines(r, &b)
	}
	u.seen <- b.String()
	if strings.Contains(b.String(), "\nUpgrade: websocket\n") {
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		return
	}
	_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
}

func (u *rawUpstream) lines(r *bufio.Reader, b *strings.Builder) (chunked bool) {
	for {
		line, err := r.ReadString('\n')
		line = strings.TrimRight(line, "\r\n")
		if err != nil || line == "" {
			return chunked
		}
		chunked = chunked || strings.EqualFold(line, "Transfer-Encoding: chunked")
		b.WriteString(line + "\n")
	}
}

func (u *rawUpstream) last(t *testing.T) []string {
	t.Helper()
	select {
	case s := <-u.seen:
		return strings.Split(strings.TrimSpace(s), "\n")
	case <-time.After(10 * time.Second):
		t.Fatal("nothing reached the upstream")
		return nil
	}
}

// gateway cleans, injects and forwards, as the hall and reverse_proxy do.
func newGateway(t *testing.T, upstream string, inject []Field, forward http.Handler) *httptest.Server {
	t.Helper()
	s, pre := NewStripper(ownedNames), Prebuilt{fields: inject}
	if forward == nil {
		target := &url.URL{Scheme: "http", Host: upstream}
		forward = &httputil.ReverseProxy{
			Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
			Transport: &http.Transport{DisableKeepAlives: true},
		}
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.Clean(r)
		pre.Inject(r.Header)
		forward.ServeHTTP(w, r)
	}))
	srv.Config.ErrorLog = nil
	t.Cleanup(srv.Close)
	return srv
}

// send writes a request byte by byte as given and returns the status line.
func send(t *testing.T, srv *httptest.Server, request string) string {
	t.Helper()
	c, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

type head struct {
	Name    string   `json:"name"`
	Lines   []string `json:"lines"`
	First   bool     `json:"first"`
	Dropped bool     `json:"dropped"`
}

func corpus(t testing.TB, file string) []head {
	t.Helper()
	b, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var heads []head
	if err := json.Unmarshal(b, &heads); err != nil {
		t.Fatal(err)
	}
	return heads
}

// identity are the lines an application could take for an owned header.
func identity(lines []string) (found []string) {
	s := NewStripper(ownedNames)
	for _, l := range lines[1:] {
		if name, _, ok := strings.Cut(l, ":"); ok && s.Owns(name) {
			found = append(found, l)
		}
	}
	slices.Sort(found)
	return found
}

func wantLines(fields []Field) (want []string) {
	for _, f := range fields {
		want = append(want, f.Name+": "+f.Value)
	}
	slices.Sort(want)
	return want
}
