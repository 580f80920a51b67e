package outbound

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"
)

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func get(t *testing.T, c *http.Client, u string) ([]byte, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

func TestBodyCap(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/exact":
			_, _ = io.WriteString(w, strings.Repeat("x", 1000))
		case "/declared":
			w.Header().Set("Content-Length", "1001")
			_, _ = io.WriteString(w, strings.Repeat("x", 1001))
		case "/chunked":
			for range 1001 {
				_, _ = io.WriteString(w, "x")
				w.(http.Flusher).Flush()
			}
		case "/endless":
			for {
				if _, err := io.WriteString(w, strings.Repeat("x", 4096)); err != nil {
					return
				}
			}
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = io.WriteString(z, strings.Repeat("x", 100_000))
			_ = z.Close()
		}
	})
	c := New(Options{Trusted: []string{"127.0.0.1"}, MaxBody: 1000})
	for _, tc := range []struct {
		path string
		want error
	}{{"/exact", nil}, {"/declared", ErrTooLarge}, {"/chunked", ErrTooLarge}, {"/endless", ErrTooLarge}, {"/bomb", ErrTooLarge}} {
		t.Run(strings.Trim(tc.path, "/"), func(t *testing.T) {
			b, err := get(t, c, s.URL+tc.path)
			if !errors.Is(err, tc.want) {
				t.Errorf("error = %v, want %v", err, tc.want)
			}
			if len(b) > 1000 {
				t.Errorf("%d bytes were read", len(b))
			}
		})
	}
}

func TestDefaultBodyCapIsOneMiB(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n := 1 << 20
		if r.URL.Path == "/more" {
			n++
		}
		_, _ = w.Write(make([]byte, n))
	})
	c := New(Options{Trusted: []string{"127.0.0.1"}})
	if b, err := get(t, c, s.URL); err != nil || len(b) != 1<<20 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if _, err := get(t, c, s.URL+"/more"); !errors.Is(err, ErrTooLarge) {
		t.Errorf("one byte more: %v", err)
	}
}

func TestWithMaxBody(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("x", 3000)) })
	c := New(Options{Trusted: []string{"127.0.0.1"}, MaxBody: 1000})
	for most, want := range map[int64]error{2999: ErrTooLarge, 3000: nil} {
		req, err := http.NewRequestWithContext(WithMaxBody(t.Context(), most), http.MethodGet, s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.Do(req)
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		if !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("up to %d bytes: %v, want %v", most, err, want)
		}
	}
	if _, err := get(t, c, s.URL); !errors.Is(err, ErrTooLarge) {
		t.Errorf("another request of the same client: %v", err)
	}
}

func TestSlowIsBounded(t *testing.T) {
	t.Parallel()
	if got := New(Options{}).Timeout; got != 10*time.Second {
		t.Errorf("default timeout %v", got)
	}
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" { // headers at once, then a body that never ends
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
	})
	c := New(Options{Trusted: []string{"127.0.0.1"}, Timeout: 100 * time.Millisecond})
	for _, path := range []string{"/header", "/body"} {
		_, err := get(t, c, s.URL+path)
		var ne net.Error
		if !errors.As(err, &ne) || !ne.Timeout() {
			t.Errorf("%s: %v, want a time-out", path, err)
		}
	}
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	other := serve(t, func(w http.ResponseWriter, r *http.Request) { t.Error("the other host was asked") })
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var n int
		if _, err := fmt.Sscanf(r.URL.Path, "/hop/%d", &n); err == nil && n > 0 {
			http.Redirect(w, r, fmt.Sprintf("/hop/%d", n-1), http.StatusFound)
			return
		}
		if r.URL.Path == "/away" {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
			return
		}
		if r.URL.Path == "/name" { // the same machine by another name is another host
			http.Redirect(w, r, strings.Replace("http://"+r.Host, "127.0.0.1", "localhost", 1), http.StatusFound)
			return
		}
		if r.URL.Path == "/file" {
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
			return
		}
		_, _ = io.WriteString(w, "ok")
	})
	c := New(Options{Trusted: []string{"127.0.0.1", "localhost"}})
	for _, tc := range []struct {
		path string
		want error
	}{{"/hop/3", nil}, {"/hop/4", ErrRedirect}, {"/away", ErrRedirect}, {"/name", ErrRedirect}, {"/file", ErrRedirect}} {
		b, err := get(t, c, s.URL+tc.path)
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.path, err, tc.want)
		}
		if tc.want == nil && string(b) != "ok" {
			t.Errorf("%s: %q", tc.path, b)
		}
	}
}

func TestRedirectFromHTTPSToHTTP(t *testing.T) {
	t.Parallel()
	at := func(s string) *http.Request {
		u, _ := url.Parse(s)
		return &http.Request{URL: u}
	}
	via := []*http.Request{at("https://op.example/a")}
	for to, want := range map[string]error{
		"https://op.example/b": nil, "https://OP.example:443/b": nil, "https://op.example./b": nil,
		"http://op.example/b": ErrRedirect, "https://op.example:8443/b": ErrRedirect, "https://evil.example/": ErrRedirect,
		"https://op.example.evil.example/": ErrRedirect, "https://op.example@evil.example/": ErrRedirect,
	} {
		if err := sameHost(at(to), via); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", to, err, want)
		}
	}
}

func TestNoProxy(t *testing.T) {
	t.Parallel()
	tr := New(Options{}).Transport.(*capped).next.(*http.Transport)
	if tr.Proxy != nil {
		t.Error("a proxy is used")
	}
}

// TestI3SSRF: an address in a document never leads into our own network.
func TestI3SSRF(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "inside") })
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	c := New(Options{Trusted: []string{"op.example"}})
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]"} {
		if b, err := get(t, c, "http://"+host+":"+port+"/"); !errors.Is(err, ErrAddress) {
			t.Errorf("%s: %q, %v; want ErrAddress", host, b, err)
		}
	}
	for _, tc := range []struct {
		name    string
		trusted []string
		ok      bool
	}{
		{"host as written", []string{"127.0.0.1"}, true},
		{"host and port as written", []string{"127.0.0.1:" + port}, true},
		{"another port", []string{"127.0.0.1:1"}, false},
		{"another host", []string{"127.0.0.2"}, false},
		{"none", nil, false},
	} {
		_, err := get(t, New(Options{Trusted: tc.trusted}), s.URL)
		if (err == nil) != tc.ok || (!tc.ok && !errors.Is(err, ErrAddress)) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// fakeNet resolves from a script and records what is dialled.
type fakeNet struct {
	answers [][]string
	asked   int
	dialled []string
}

var errDialled = errors.New("dialled")

func (f *fakeNet) client(trusted ...string) *http.Client {
	return New(Options{
		Trusted: trusted,
		resolve: func(context.Context, string) ([]netip.Addr, error) {
			a := f.answers[min(f.asked, len(f.answers)-1)]
			f.asked++
			var out []netip.Addr
			for _, s := range a {
				out = append(out, netip.MustParseAddr(s))
			}
			return out, nil
		},
		dial: func(_ context.Context, _, addr string) (net.Conn, error) {
			f.dialled = append(f.dialled, addr)
			return nil, errDialled
		},
	})
}

// TestI3Rebinding: the name is resolved once per connection, and what was
// checked is what is dialled.
func TestI3Rebinding(t *testing.T) {
	t.Parallel()
	f := &fakeNet{answers: [][]string{{"93.184.216.34"}, {"127.0.0.1"}}}
	c := f.client()
	if _, err := get(t, c, "http://rebind.example/"); !errors.Is(err, errDialled) {
		t.Fatal(err)
	}
	if want := "93.184.216.34:80"; f.asked != 1 || len(f.dialled) != 1 || f.dialled[0] != want {
		t.Errorf("asked %d times, dialled %v, want once %s", f.asked, f.dialled, want)
	}
	if _, err := get(t, c, "http://rebind.example/"); !errors.Is(err, ErrAddress) || len(f.dialled) != 1 {
		t.Errorf("second answer: %v, dialled %v", err, f.dialled)
	}
	mixed := &fakeNet{answers: [][]string{{"93.184.216.34", "10.0.0.1"}}}
	if _, err := get(t, mixed.client(), "http://mixed.example/"); !errors.Is(err, ErrAddress) || len(mixed.dialled) != 0 {
		t.Errorf("mixed answer: %v, dialled %v", err, mixed.dialled)
	}
	inside := &fakeNet{answers: [][]string{{"10.0.0.1"}}}
	if _, err := get(t, inside.client("OP.internal."), "http://op.internal/"); !errors.Is(err, errDialled) || inside.dialled[0] != "op.internal:80" {
		t.Errorf("a trusted name: %v, dialled %v", err, inside.dialled)
	}
	// The socket's own address is checked once more.
	if err := control("tcp", "127.0.0.1:80", nil); !errors.Is(err, ErrAddress) {
		t.Errorf("control: %v", err)
	}
	if err := control("tcp", "93.184.216.34:80", nil); err != nil {
		t.Errorf("control: %v", err)
	}
}

func TestPublic(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"8.8.8.8", "1.1.1.1", "93.184.216.34", "100.63.255.255", "100.128.0.0", "172.15.0.1", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"} {
		if !Public(netip.MustParseAddr(s)) {
			t.Errorf("%s is public", s)
		}
	}
	for _, s := range []string{
		"0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.0.1", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "169.254.0.1",
		"100.64.0.1", "100.100.100.200", "100.127.255.255", "192.0.0.192", "168.63.129.16", "198.18.0.1", "192.0.2.1", "203.0.113.9", "224.0.0.1", "255.255.255.255", "240.0.0.1",
		"::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1",
		"64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::1", "2001::1", "2001:db8::1", "100::1", "3fff::1", "2606:4700::1111%1",
	} {
		if Public(netip.MustParseAddr(s)) {
			t.Errorf("%s is not public", s)
		}
	}
	if Public(netip.Addr{}) {
		t.Error("the zero address is not public")
	}
}

func FuzzPublic(f *testing.F) {
	for _, s := range []string{"127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "8.8.8.8", "fe80::1%1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return
		}
		if u := a.Unmap(); Public(a) && (u.IsLoopback() || u.IsPrivate() || u.IsLinkLocalUnicast() || u.IsMulticast() || u.IsUnspecified()) {
			t.Errorf("%s passed", s)
		}
	})
}

func TestOnlyWhatStaysHereNeedsNoTLS(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"localhost": true, "LocalHost": true, "127.0.0.1": true, "127.8.8.8": true, "::1": true, "::ffff:127.0.0.1": true,
		"": false, "app.localhost": false, "localhost.example.com": false, "0.0.0.0": false, "::": false, "10.0.0.1": false, "127.0.0.1.example.com": false, "2130706433": false,
	} {
		if got := Loopback(host); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
}
