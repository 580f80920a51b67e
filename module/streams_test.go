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

	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/flows"
)

// streaming is an application whose answers go on for as long as somebody listens: as
// events, or as a WebSocket. It changes the request it got, as applications may.
func streaming(t *testing.T) string {
	t.Helper()
	l := listen(t)
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Upgrade") == "websocket" {
				c, rw, err := http.NewResponseController(w).Hijack()
				if err != nil {
					return
				}
				defer c.Close()
				_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\ndata: 1\n")
				_, _ = io.Copy(io.Discard, rw)
				return
			}
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, "data: 1\n\n")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}))
	}()
	return l.Addr().String()
}

// openStream reads one stream; ended is closed when it was cut.
type openStream struct{ ended chan struct{} }

func (g *gateway) listens(b *browser.Browser, path string, upgrade bool) *openStream {
	g.t.Helper()
	return g.listensOn("127.0.0.1", b, path, upgrade)
}

func (g *gateway) listensOn(host string, b *browser.Browser, path string, upgrade bool) *openStream {
	g.t.Helper()
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", g.port))
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { c.Close() })
	var cookies []string
	for _, k := range b.Jar.Cookies(fmt.Sprintf("http://%s:%d%s", host, g.port, path)) {
		cookies = append(cookies, k.Name+"="+k.Value)
	}
	head := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s:%d\r\nCookie: %s\r\nX-Forwarded-For: %s\r\n", path, host, g.port, strings.Join(cookies, "; "), b.Header.Get("X-Forwarded-For"))
	if upgrade {
		head += "Connection: Upgrade\r\nUpgrade: websocket\r\n"
	}
	_, _ = io.WriteString(c, head+"\r\n")
	r := bufio.NewReader(c)
	for line := ""; !strings.HasPrefix(line, "data: 1"); {
		if line, err = r.ReadString('\n'); err != nil {
			g.t.Fatalf("%s: no stream: %q, %v", path, line, err)
		}
	}
	s := &openStream{ended: make(chan struct{})}
	go func() {
		_, _ = io.Copy(io.Discard, r)
		close(s.ended)
	}()
	return s
}

// cut waits for the end of a stream.
func (s *openStream) cut(t *testing.T, what string) {
	t.Helper()
	select {
	case <-s.ended:
	case <-time.After(5 * time.Second):
		t.Errorf("%s: the stream goes on", what)
	}
}

// goesOn reports whether all that were judged since are still there.
func (s *openStream) goesOn(t *testing.T, what string) {
	t.Helper()
	theApp(t).JudgeStreams()
	select {
	case <-s.ended:
		t.Errorf("%s: the stream was cut", what)
	default:
	}
}

// A stream ends within half a minute when what let it in holds no longer, and only then.
func TestB16StreamsAreJudgedAgain(t *testing.T) {
	for _, upgrade := range []bool{false, true} {
		t.Run(fmt.Sprintf("upgrade %v", upgrade), func(t *testing.T) {
			clock, app := newClock(t), streaming(t)
			g := start(t, people(t), "protect {\npublic /free/*\noptional /perhaps/*\nrequire /short/* `session.age < duration(\"10m\")` \"Too old.\"\n"+
				"require /long/* `session.age < duration(\"10h\") && request.header[\"x-forwarded-for\"] != \"x\"`\nrequire /both/* `request.path == \"/both/x\"`\n}\nrequest_header X-Changed 1\nrewrite * /elsewhere\nreverse_proxy "+app+" {\nflush_interval -1\n}")
			b := g.aliceAnywhere("/a")
			short, long, both, plain := g.listens(b, "/short/x", upgrade), g.listens(b, "/long/x", upgrade), g.listens(b, "/both/x", upgrade), g.listens(b, "/x", upgrade)
			free, perhaps := g.listens(b, "/free/x", upgrade), g.listens(b, "/perhaps/x", upgrade)
			clock.Advance(31 * time.Second)
			short.goesOn(t, "in time")
			clock.Advance(10 * time.Minute)
			short.cut(t, "a condition that fails now")
			for what, s := range map[string]*openStream{"a condition that holds": long, "one about the request": both, "no condition": plain, "a public one": free, "an optional one": perhaps} {
				s.goesOn(t, what)
			}
			if e := g.events("denied", 1); len(e) != 1 || !strings.HasPrefix(fmt.Sprint(e[0]["rule"]), "Caddyfile:") || e[0]["path"] != "/short/x" {
				t.Errorf("the trail says %v", e)
			}
		})
	}
}

// A route with a lifetime of its own cuts its streams at the end of it (B17).
func TestB17StreamsEndWithTheirRoute(t *testing.T) {
	clock, app := newClock(t), streaming(t)
	g := start(t, people(t), "protect {\nsession {\nlifetime 20m\n}\n}\nreverse_proxy "+app+" {\nflush_interval -1\n}")
	s := g.listens(g.aliceAnywhere("/a"), "/x", false)
	clock.Advance(19 * time.Minute)
	s.goesOn(t, "in time")
	clock.Advance(2 * time.Minute)
	s.cut(t, "after 20 minutes")
}

// The risk of who listens is read anew, too.
func TestB28StreamsEndWhenTheRiskRises(t *testing.T) {
	scripts(t, nil)
	app := streaming(t)
	g, clock, _, b := calm(t, strings.Replace(everySite, "reverse_proxy {APP}", "handle /stream/* {\nreverse_proxy "+app+" {\nflush_interval -1\n}\n}\nhandle {\nreverse_proxy {APP}\n}", 1))
	s := g.listens(b, "/stream/x", true)
	clock.Advance(31 * time.Second)
	s.goesOn(t, "at low risk")
	scripts(t, func(f *flows.Facts) (flows.Reading, error) {
		if f.Request.IP != "198.51.100.7" || f.Request.Path != "/stream/x" {
			t.Errorf("asked about %s %s", f.Request.IP, f.Request.Path)
		}
		return flows.Reading{Score: 100, Reason: "listed"}, nil
	})
	clock.Advance(3 * time.Minute)
	s.goesOn(t, "before the time has come")
	clock.Advance(3 * time.Minute)
	s.cut(t, "risen")
}

// aliceAnywhere is alice signed in, wherever the application answers.
func (g *gateway) aliceAnywhere(path string) *browser.Browser {
	g.t.Helper()
	b := newBrowser(g.t)
	page := g.open(b, g.url("/.identity/login?return_to=/.identity/session"))
	f, err := page.FormWith("username")
	if err != nil {
		g.t.Fatal(err)
	}
	want(g.t, g.submitOnly(b, f, "alice", "alicepw"), http.StatusSeeOther)
	return b
}
