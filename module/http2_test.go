package module_test

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// stream2 is one block of testdata/h2.txt.
type stream2 struct {
	name            string
	refused, whole  bool
	inH3            bool // HTTP/3 takes it
	unsure          bool // whether it is taken is not ours to say
	fields, trailer []hpack.HeaderField
	trailers        bool
}

func streams(t testing.TB) []*stream2 {
	t.Helper()
	b, err := os.ReadFile("testdata/h2.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []*stream2
	for line := range strings.SplitSeq(string(b), "\n") {
		if head, ok := strings.CutPrefix(line, "== "); ok {
			head, inH3 := strings.CutSuffix(head, " h2")
			name, refused := strings.CutSuffix(head, " | refused")
			all = append(all, &stream2{name: name, refused: refused, inH3: inH3})
			continue
		}
		if line == "" || len(all) == 0 {
			continue
		}
		s := all[len(all)-1]
		switch line {
		case "!":
			s.whole = true
			continue
		case "--":
			s.trailers = true
			continue
		}
		name, value, ok := strings.Cut(line[1:], ": ")
		name, err1 := strconv.Unquote(`"` + strings.ReplaceAll(line[:1]+name, `\0`, `\x00`) + `"`)
		value, err2 := strconv.Unquote(`"` + strings.ReplaceAll(value, `\0`, `\x00`) + `"`)
		if !ok || err1 != nil || err2 != nil {
			t.Fatalf("%s: %q: %v, %v", s.name, line, err1, err2)
		}
		f := hpack.HeaderField{Name: name, Value: value}
		if s.trailers {
			s.trailer = append(s.trailer, f)
		} else {
			s.fields = append(s.fields, f)
		}
	}
	if len(all) < 55 {
		t.Fatalf("only %d requests", len(all))
	}
	return all
}

// forgeryFields are the forgeries of HTTP/1.1 as far as they can be said in fields:
// names in lower case, as the others have them.
func forgeryFields(t testing.TB) (all []*stream2) {
	t.Helper()
	field := func(line string) (f hpack.HeaderField, ok bool) {
		name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		return hpack.HeaderField{Name: asciiLower(name), Value: strings.Trim(value, " \t")}, ok && name != ""
	}
	for _, f := range forgeries(t) {
		s := &stream2{name: "HTTP/1.1: " + f.name, unsure: true, trailers: f.chunked}
		for _, l := range f.lines {
			if h, ok := field(l); ok {
				s.fields = append(s.fields, h)
			}
		}
		for l := range strings.Lines(f.body) {
			if h, ok := field(l); ok {
				s.trailer = append(s.trailer, h)
			}
		}
		all = append(all, s)
	}
	return all
}

func asciiLower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}

// play sends a request of the corpus and answers its status, 0 if it was not taken.
// mark goes with it as X-Case: a stream that was cut off may reach the
// application behind the next one.
func (d *doors) play(way string, s *stream2, path, cookie, mark string) int {
	method := http.MethodGet
	if s.trailers {
		method = http.MethodPost
	}
	honest := d.pseudo(way, method, path)
	fill := strings.NewReplacer("{METHOD}", method, "{SCHEME}", honest[1].Value, "{HOST}", honest[2].Value, "{PATH}", path)
	fields := honest
	if s.whole {
		fields = nil
	}
	for _, f := range s.fields {
		fields = append(fields, hpack.HeaderField{Name: f.Name, Value: fill.Replace(f.Value)})
	}
	if cookie != "" {
		fields = append(fields, hpack.HeaderField{Name: "cookie", Value: cookie})
	}
	fields = append(fields, hpack.HeaderField{Name: "x-case", Value: mark})
	c := d.conn(way)
	c.send(s.trailers, fields...)
	if s.trailers {
		c.data([]byte("body"))
		c.send(false, s.trailer...)
	}
	return d.finish(way, c)
}

const attackedRules = ourHeaders + "public /public/*\noptional /optional/*"

// P13: what HTTP/2 and HTTP/3 can say and HTTP/1 cannot changes nobody's identity, nor
// does what they can say as well.
func TestP13NoForgedIdentityFrameByFrame(t *testing.T) {
	d := openDoors(t, people(t), "", attackedRules)
	alice := d.aliceCookie()
	begin := d.app.count()
	all, reached := append(streams(t), forgeryFields(t)...), map[string]int{}
	// send plays a request and answers what the application saw of it.
	send := func(way string, s *stream2, path, cookie, id string) (status int, saw []string) {
		mark := d.app.count()
		status = d.play(way, s, path, cookie, id)
		return status, slices.DeleteFunc(d.app.since(mark), func(r string) bool { return !slices.Contains(header(r, "X-Case"), id) })
	}
	type outcome struct {
		name            string
		refused, unsure bool
		want            map[string][]string
	}
	due := map[string]outcome{}
	for _, way := range ways[1:] {
		for place, sit := range []struct {
			path, cookie string
			shown        bool
		}{{"/public/x", "", false}, {"/public/x", alice, false}, {"/optional/x", "", false}, {"/optional/x", alice, true}, {"/a", alice, true}, {"/a", "", false}} {
			here := fmt.Sprintf("%s %d ", way, place)
			want := map[string][]string{}
			_, ref := send(way, &stream2{}, sit.path, sit.cookie, here+"honest")
			closed := sit.path == "/a" && !sit.shown
			if closed != (len(ref) == 0) {
				t.Fatalf("%s %s: an honest request: %q", way, sit.path, ref)
			}
			if !closed {
				want = identityOf(ref[0])
			}
			if sit.shown != slices.Equal(want["remote_user"], []string{"alice"}) || !sit.shown && len(want) > 0 {
				t.Fatalf("%s %s: an honest request shows %v", way, sit.path, want)
			}
			due[here+"honest"] = outcome{here + sit.path, closed, false, want}
			for i, s := range all {
				id, refused := here+strconv.Itoa(i), s.refused && (way != "h3" || !s.inH3) || closed
				due[id] = outcome{fmt.Sprintf("%s %s %s", way, sit.path, s.name), refused, s.unsure, want}
				status, saw := send(way, s, sit.path, sit.cookie, id)
				reached[way] += len(saw)
				broken := s.trailers && status == http.StatusBadGateway // the body ended in an error
				if !refused && !s.unsure && (status != http.StatusOK && status != 0 && !broken || status == http.StatusOK && len(saw) != 1) {
					t.Errorf("%s: %d, the application saw %q", due[id].name, status, saw)
				}
			}
		}
	}
	for way, n := range reached {
		if n < 5*80 {
			t.Errorf("%s: only %d requests reached the application", way, n)
		}
	}
	// All at once and last: what was cut off may have been late.
	for _, r := range d.app.since(begin) {
		o, ok := due[strings.Join(header(r, "X-Case"), ",")]
		if id := identityOf(r); !ok || o.refused || !o.unsure && strings.Contains(r, "evil") || !maps.EqualFunc(id, o.want, slices.Equal[[]string]) {
			t.Errorf("%s: refused should be %v; the application reads %v, want %v in\n%s", o.name, o.refused, id, o.want, r)
		}
	}
}

// P13: floods of frames end their own connection at most. The gateway answers
// others meanwhile, and nobody becomes somebody.
func TestP13FloodsOfFrames(t *testing.T) {
	d := openDoors(t, people(t), "", attackedRules)
	alice := d.aliceCookie()
	floods := map[string]func(*h2conn){
		"rapid reset": func(c *h2conn) { // CVE-2023-44487
			for range 3000 {
				c.send(true, append(d.pseudo("h2c", "GET", "/a"), hpack.HeaderField{Name: "remote-user", Value: "evil"})...)
				if c.fr.WriteRSTStream(c.stream, http2.ErrCodeCancel) != nil {
					return
				}
				c.stream += 2
			}
		},
		"CONTINUATION without end": func(c *h2conn) { // CVE-2023-45288
			_ = c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.headers(d.pseudo("h2c", "GET", "/a")...)})
			block := c.headers(hpack.HeaderField{Name: "x-a", Value: strings.Repeat("a", 8000), Sensitive: true})
			for range 2000 {
				if c.fr.WriteContinuation(1, false, block) != nil {
					return
				}
			}
		},
		"empty CONTINUATION": func(c *h2conn) {
			_ = c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.headers(d.pseudo("h2c", "GET", "/a")...)})
			for range 5000 {
				if c.fr.WriteContinuation(1, false, nil) != nil {
					return
				}
			}
		},
		"header table bomb": func(c *h2conn) {
			fields := d.pseudo("h2c", "GET", "/a")
			for range 4000 { // each is one byte on the wire
				fields = append(fields, hpack.HeaderField{Name: "x-a", Value: strings.Repeat("a", 3000)})
			}
			c.send(false, fields...)
		},
		"settings": func(c *h2conn) {
			for range 5000 {
				if c.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}) != nil {
					return
				}
			}
		},
		"pings": func(c *h2conn) {
			for range 5000 {
				if c.fr.WritePing(false, [8]byte{1}) != nil {
					return
				}
			}
		},
		"empty data": func(c *h2conn) {
			c.send(true, d.pseudo("h2c", "POST", "/public/x")...)
			for range 5000 {
				if c.fr.WriteData(1, false, nil) != nil {
					return
				}
			}
		},
		"priorities of streams that are not": func(c *h2conn) {
			for i := range uint32(5000) {
				if c.fr.WritePriority(2*i+1, http2.PriorityParam{StreamDep: 0, Weight: 1}) != nil {
					return
				}
			}
		},
		"window that overflows": func(c *h2conn) {
			_ = c.fr.WriteWindowUpdate(0, 1<<31-1)
			_ = c.fr.WriteWindowUpdate(0, 1<<31-1)
		},
		"no HTTP/2 at all": func(c *h2conn) { fmt.Fprintf(c.c, "GET /a HTTP/1.1\r\n\r\n%s", strings.Repeat("\xff", 4096)) },
	}
	for name, flood := range floods {
		t.Run(name, func(t *testing.T) {
			c := dialH2(t, d.port, false)
			defer c.close()
			mark := d.app.count()
			flood(c)
			for _, way := range ways {
				for cookie, want := range map[string]int{alice: http.StatusOK, "": http.StatusSeeOther} {
					if s := d.get(way, "/a", cookie, hpack.HeaderField{Name: "remote-user", Value: "evil"}); s != want {
						t.Errorf("%s: want %d, got %d", way, want, s)
					}
				}
			}
			for _, r := range d.app.since(mark) {
				if id := identityOf(r)["remote_user"]; strings.Contains(r, "evil") || strings.Contains(r, " /a ") && !slices.Equal(id, []string{"alice"}) {
					t.Errorf("the application reads %v in\n%s", id, r)
				}
			}
		})
	}
}
