package headers

import (
	"bytes"
	"context"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// TestB11NoClientCanForge runs the corpus against a real server and a real
// proxy: signed in, on a public route, with a claim missing, as a WebSocket.
func TestB11NoClientCanForge(t *testing.T) {
	t.Parallel()
	for _, mode := range []struct {
		name    string
		inject  []Field
		upgrade bool
	}{
		{"signed in", injected, false},
		{"public", nil, false},
		{"claim missing", injected[:1], false},
		{"websocket", injected, true},
	} {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			up := newRawUpstream(t)
			gw := newGateway(t, up.addr, mode.inject, nil)
			for _, tc := range corpus(t, "hostile_headers.json") {
				lines := slices.Clone(tc.Lines)
				if mode.upgrade {
					lines = append(lines, "Upgrade: websocket", "Connection: Upgrade")
				}
				status := send(t, gw, "GET / HTTP/1.1\r\nHost: app.example.com\r\n"+strings.Join(lines, "\r\n")+"\r\n\r\n")
				got := up.last(t)
				if found, want := identity(got), wantLines(mode.inject); !slices.Equal(found, want) {
					t.Errorf("%s: the application reads %q, want %q", tc.Name, found, want)
				}
				if mode.upgrade && !strings.Contains(status, " 101 ") {
					t.Errorf("%s: the upgrade was lost: %s", tc.Name, status)
				}
			}
		})
	}
}

// TestP1AliasMatrix: every way to spell a name, on the map itself.
func TestP1AliasMatrix(t *testing.T) {
	t.Parallel()
	s := NewStripper([]string{"X-Remote-User", "SM_*", "SMUSER", "Remote-User"})
	for _, sep := range []string{"-", "_", ".", "~", "!", "#", "$", "%", "&", "'", "*", "+", "^", "`", "|"} {
		for _, change := range []func(string) string{strings.ToLower, strings.ToUpper, func(s string) string { return s }, http.CanonicalHeaderKey} {
			for _, name := range []string{"X-Remote-User", "SM-User", "SM-Anything-Else", "SMUSER", "Remote-User"} {
				alias := change(strings.ReplaceAll(name, "-", sep))
				h := http.Header{alias: {"evil", "evil2"}, "X-Other": {"kept"}}
				r := &http.Request{Header: h}
				s.Clean(r)
				if len(h) != 1 || !s.Owns(alias) {
					t.Errorf("%q passed: %v", alias, h)
				}
			}
		}
	}
}

func TestP1NeighboursStay(t *testing.T) {
	t.Parallel()
	s := NewStripper(ownedNames)
	want := http.Header{
		"X-Remote-Use": {"a"}, "X-Remote-Users": {"b"}, "X-Remote--User": {"c"}, "Xremoteuser": {"d"}, "Sm": {"e"},
		"Smile": {"f"}, "Sm1": {"g"}, "Authorization": {"Bearer x"}, "Cookie": {"SM_USER=1"}, "X-Forwarded-For": {"192.0.2.1"},
		"Connection": {"keep-alive, Upgrade"}, "Upgrade": {"websocket"}, "Te": {"trailers"}, "": {"odd"},
		strings.Repeat("X-Long-", 20): {"h"},
	}
	h := maps.Clone(want)
	s.Clean(&http.Request{Header: h})
	if !maps.EqualFunc(h, want, slices.Equal) {
		t.Errorf("another's header was touched:\n got %v\nwant %v", h, want)
	}
}

func TestP1LongNames(t *testing.T) {
	t.Parallel()
	long := "X-" + strings.Repeat("Very-", 30) + "Long"
	s := NewStripper([]string{long, "X-" + strings.Repeat("Wide-", 30) + "*"})
	if !s.Owns(strings.ReplaceAll(long, "-", "_")) || s.Owns(long+"x") || s.Owns(long[:len(long)-1]) {
		t.Error("a long name is not compared to its end")
	}
	if !s.Owns("x_"+strings.Repeat("wide_", 30)+"any") || s.Owns("X-"+strings.Repeat("Wide-", 29)) {
		t.Error("a long family is not compared to its end")
	}
}

// TestP2UnderscoreAndDot: what a server in front may or may not drop already.
func TestP2UnderscoreAndDot(t *testing.T) {
	t.Parallel()
	s := NewStripper([]string{"SM_USER", "Remote-User"})
	h := http.Header{"SM-USER": {"e"}, "Sm.user": {"e"}, "Sm-User": {"e"}, "SM_USER": {"e"}, "REMOTE_USER": {"e"}, "remote.user": {"e"}}
	s.Clean(&http.Request{Header: h})
	if len(h) != 0 {
		t.Errorf("left: %v", h)
	}
}

// TestP3ConnectionCannotDelete: Connection names hop-by-hop headers (RFC 9110
// §7.6.1); a proxy deletes them, ours must not be among them.
func TestP3ConnectionCannotDelete(t *testing.T) {
	t.Parallel()
	s := NewStripper(ownedNames)
	for _, tc := range []struct {
		key        string
		vals, want []string
	}{
		{"Connection", []string{"X-Remote-User"}, nil},
		{"Connection", []string{"close, X-Remote-User"}, []string{"close"}},
		{"Connection", []string{"Upgrade,sm_user"}, []string{"Upgrade"}},
		{"Connection", []string{"x-remote-user, Upgrade, keep-alive"}, []string{"Upgrade, keep-alive"}},
		{"Connection", []string{"Upgrade", "X~Remote~User ; a=b"}, []string{"Upgrade"}},
		{"Connection", []string{"SM-USER", "Remote_User"}, nil},
		{"Connection", []string{"keep-alive , Upgrade"}, []string{"keep-alive , Upgrade"}},
		{"connection", []string{"close, X-Dept"}, []string{"close"}},
		{"Proxy-Connection", []string{"keep-alive, X-Dept"}, []string{"keep-alive"}},
		{"Trailer", []string{"X-Checksum, X-Dept"}, []string{"X-Checksum"}},
	} {
		h := http.Header{tc.key: tc.vals}
		s.Clean(&http.Request{Header: h})
		if got := h[tc.key]; !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q became %q, want %q", tc.key, tc.vals, got, tc.want)
		}
	}
}

// TestP3WebSocketKeepsIdentity: with an upgrade the attack must not cost the
// upgrade either.
func TestP3WebSocketKeepsIdentity(t *testing.T) {
	t.Parallel()
	up := newRawUpstream(t)
	gw := newGateway(t, up.addr, injected, nil)
	for _, conn := range []string{"Upgrade, X-Remote-User", "X-REMOTE-USER, upgrade", "SM_USER,SM-USER,Upgrade\r\nConnection: X-Dept"} {
		status := send(t, gw, "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: "+conn+"\r\n\r\n")
		if got := identity(up.last(t)); !slices.Equal(got, wantLines(injected)) || !strings.Contains(status, " 101 ") {
			t.Errorf("Connection: %q: %s, the application reads %q", conn, status, got)
		}
	}
}

// TestP5OddBytesNeverArrive: blanks, folds, CR, LF, NUL and look-alike letters
// end at the server with 400, or lose the header.
func TestP5OddBytesNeverArrive(t *testing.T) {
	t.Parallel()
	up := newRawUpstream(t)
	gw := newGateway(t, up.addr, nil, nil)
	gw.Config.ErrorLog = log.New(io.Discard, "", 0)
	for _, tc := range corpus(t, "refused_heads.json") {
		request := "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Join(tc.Lines, "\r\n") + "\r\n\r\n"
		if tc.First {
			request = "GET / HTTP/1.1\r\n" + strings.Join(tc.Lines, "\r\n") + "\r\nHost: a\r\n\r\n"
		}
		status := send(t, gw, request)
		if strings.Contains(status, " 400 ") {
			continue
		}
		if got := identity(up.last(t)); !tc.Dropped || len(got) > 0 {
			t.Errorf("%s: answered %s, the application reads %q", tc.Name, status, got)
		}
	}
}

// TestB11HTTP2 sends the names a real HTTP/2 client can send.
func TestB11HTTP2(t *testing.T) {
	t.Parallel()
	s := NewStripper(ownedNames)
	seen := make(chan http.Header, 1)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("proto %s", r.Proto)
		}
		s.Clean(r)
		Prebuilt{fields: injected}.Inject(r.Header)
		seen <- r.Header
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	for _, tc := range corpus(t, "hostile_headers.json") {
		r, err := http.NewRequestWithContext(context.Background(), "GET", srv.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range tc.Lines {
			name, value, _ := strings.Cut(l, ":")
			if name = strings.TrimSpace(name); !slices.Contains([]string{"Connection", "TE", "Keep-Alive", "Proxy-Connection", "Trailer"}, name) {
				r.Header[name] = append(r.Header[name], strings.TrimSpace(value))
			}
		}
		resp, err := srv.Client().Do(r)
		if err != nil {
			t.Fatalf("%s: %v", tc.Name, err)
		}
		resp.Body.Close()
		var got []string
		for k, v := range <-seen {
			if s.Owns(k) {
				got = append(got, k+": "+strings.Join(v, "|"))
			}
		}
		if slices.Sort(got); !slices.Equal(got, wantLines(injected)) {
			t.Errorf("%s: %q", tc.Name, got)
		}
	}
}

func TestI18CleanTwiceIsCleanOnce(t *testing.T) {
	t.Parallel()
	s := NewStripper(ownedNames)
	r := httptest.NewRequest("POST", "/", bytes.NewReader(nil))
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader("x")), -1
	s.Clean(r)
	once := r.Body
	s.Clean(r)
	if r.Body != once {
		t.Error("the body is guarded twice")
	}
}

func TestStripperNeverTakesFraming(t *testing.T) {
	t.Parallel()
	s := NewStripper([]string{"Connection", "content_length", "Co*", "*", "", "X-Forwarded-*", "Cookie", "Te"})
	for r := range reserved {
		if s.Owns(r) {
			t.Errorf("%s would be stripped", r)
		}
	}
}

func TestCleanAllocatesNothing(t *testing.T) {
	s := NewStripper(eightNames)
	r := httptest.NewRequest("GET", "/", nil)
	r.Header = BrowserHeaders()
	if n := testing.AllocsPerRun(100, func() { s.Clean(r) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestFold(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"X-Remote-User": "x-remote-user", "x_remote.user": "x-remote-user", "X~Remote~User": "x-remote-user",
		"SM_USER": "sm-user", "SM-USER": "sm-user", "SMUSER": "smuser", "É": "--", "": "",
	} {
		if got := Fold(name); got != want {
			t.Errorf("Fold(%q) = %q, want %q", name, got, want)
		}
	}
}
