package module_test

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// shape is one block of testdata/smuggling.txt.
type shape struct {
	name, text string
	answers    [][]int
}

func shapes(t testing.TB) []shape {
	t.Helper()
	b, err := os.ReadFile("testdata/smuggling.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []shape
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSuffix(line, "\n")
		if head, ok := strings.CutPrefix(line, "== "); ok {
			name, lists, _ := strings.Cut(head, " | ")
			s := shape{name: name}
			for list := range strings.SplitSeq(lists, ", ") {
				var codes []int
				for f := range strings.FieldsSeq(list) {
					n, _ := strconv.Atoi(f)
					codes = append(codes, n)
				}
				s.answers = append(s.answers, codes)
			}
			all = append(all, s)
			continue
		}
		if len(all) == 0 {
			continue
		}
		line, open := strings.CutSuffix(line, `\`)
		raw, err := strconv.Unquote(`"` + strings.NewReplacer(`"`, `\"`, `\0`, `\x00`).Replace(line) + `"`)
		if err != nil {
			t.Fatalf("%s: %q: %v", all[len(all)-1].name, line, err)
		}
		if !open {
			raw += "\r\n"
		}
		all[len(all)-1].text += raw
	}
	if len(all) < 80 {
		t.Fatalf("only %d shapes", len(all))
	}
	return all
}

func (s shape) wire(g *gateway, sit situation, cookie string) string {
	host := fmt.Sprintf("127.0.0.1:%d", g.port)
	who := "Host: " + host
	if sit.signedIn {
		who += "\r\nCookie: " + cookie
	}
	if sit.upgrade {
		who += "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
	}
	return strings.NewReplacer("{HOST}", host, "{WHO}", sit.path+" HTTP/1.1\r\n"+who, "{WHO10}", sit.path+" HTTP/1.0\r\n"+who, "{LONG}", strings.Repeat("a", 160<<10)).Replace(s.text)
}

// send writes the bytes and reads what comes back: the first answer, and a
// second one where the shape says that it must follow.
func (s shape) send(g *gateway, text string) (codes []int) {
	g.t.Helper()
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", g.port))
	if err != nil {
		g.t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(c, text) // it may be cut off before the end
	r := bufio.NewReader(c)
	like := &http.Request{Method: http.MethodGet}
	if strings.HasPrefix(text, http.MethodHead) {
		like.Method = http.MethodHead
	}
	for {
		res, err := http.ReadResponse(r, like)
		if err != nil {
			return codes
		}
		if res.StatusCode == http.StatusContinue {
			continue
		}
		codes = append(codes, res.StatusCode)
		if res.StatusCode == http.StatusSwitchingProtocols || !slices.ContainsFunc(s.answers, func(a []int) bool { return len(a) > len(codes) && slices.Equal(a[:len(codes)], codes) }) {
			return codes
		}
		_, _ = io.Copy(io.Discard, res.Body)
		if slices.ContainsFunc(s.answers, func(a []int) bool { return slices.Equal(a, codes) }) {
			_ = c.(*net.TCPConn).CloseWrite() // nothing more need come
		}
	}
}

// P6: however a connection is cut into requests, each is judged by itself.
func TestP6NothingIsSmuggled(t *testing.T) {
	g := start(t, people(t), plainSite)
	g.app.set(upgrading)
	if err := g.load(people(t), strings.ReplaceAll(attackedSites, "{UP}", g.app.addr)); err != nil {
		t.Fatal(err)
	}
	cookie := g.aliceCookie()
	for _, sit := range only(situations(), "public", "optional, nobody", "optional, signed in", "signed in", "nobody", "WebSocket") {
		t.Run(sit.name, func(t *testing.T) {
			mark := g.app.count()
			g.sendRaw(sit.wire(g, cookie, forgery{}))
			want := map[string][]string{}
			if ref := g.app.since(mark); !sit.closed {
				want = identityOf(ref[0])
			}
			for _, s := range shapes(t) {
				mark := g.app.count()
				codes := s.send(g, s.wire(g, sit, cookie))
				if !sit.closed && !sit.upgrade && !slices.ContainsFunc(s.answers, func(a []int) bool { return slices.Equal(a, codes) }) {
					t.Errorf("%s: answers %v, want one of %v", s.name, codes, s.answers)
				}
				for _, r := range g.app.since(mark) {
					id := identityOf(r)
					if strings.Contains(strings.SplitN(r, "\r\n", 2)[0], "smuggled") || strings.Contains(r, "evil") || sit.closed || !maps.EqualFunc(id, want, slices.Equal[[]string]) {
						t.Errorf("%s: the application reads %v, want %v in\n%s", s.name, id, want, r)
					}
				}
			}
		})
	}
}
