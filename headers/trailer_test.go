package headers

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// forwarder copies a request as Caddy's reverse_proxy does: the trailers that
// are there when the incoming body ends go out with the outgoing one.
type forwarder struct{ upstream string }

type copyingBody struct {
	io.ReadCloser
	from *http.Request
	to   http.Header
}

func (b *copyingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		clear(b.to)
		for k, v := range b.from.Trailer {
			b.to[k] = slices.Clone(v)
		}
	}
	return n, err
}

func (f forwarder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r = r.WithContext(r.Context()) // the hall and Caddy copy the request too
	out := r.Clone(r.Context())
	out.RequestURI, out.URL.Scheme, out.URL.Host = "", "http", f.upstream
	if out.Trailer == nil {
		out.Trailer = http.Header{}
	}
	out.Body = &copyingBody{r.Body, r, out.Trailer}
	tr := &http.Transport{DisableKeepAlives: true}
	resp, err := tr.RoundTrip(out)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	w.WriteHeader(resp.StatusCode)
}

// TestP4Trailers: an owned name never arrives as a trailer, announced or not;
// the application's own trailers do.
func TestP4Trailers(t *testing.T) {
	t.Parallel()
	up := newRawUpstream(t)
	gw := newGateway(t, up.addr, injected, forwarder{up.addr})
	for _, tc := range []struct{ name, announce, trailer, want string }{
		{"announced", "X-Remote-User", "X-Remote-User: evil", ""},
		{"lower case", "x-remote-user", "x-remote-user: evil", ""},
		{"alias", "SM-USER, X_Dept", "SM-USER: evil\r\nX_Dept: evil", ""},
		{"not announced", "", "X-Remote-User: evil", ""},
		{"another is announced", "X-Checksum", "X-Checksum: 1\r\nX-Remote-User: evil\r\nsm_user: evil", "X-Checksum: 1"},
		{"beside an honest one", "X-Checksum, X-Remote-User", "X-Remote-User: evil\r\nX-Checksum: 1", "X-Checksum: 1"},
		{"announced twice", "X-Remote-User\r\nTrailer: X-Checksum", "X-Checksum: 1\r\nX-Remote-User: evil", "X-Checksum: 1"},
	} {
		announce := ""
		if tc.announce != "" {
			announce = "Trailer: " + tc.announce + "\r\n"
		}
		status := send(t, gw, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"+announce+
			"\r\n5\r\nhello\r\n0\r\n"+tc.trailer+"\r\n\r\n")
		lines := up.last(t)
		if found := identity(lines); !slices.Equal(found, wantLines(injected)) {
			t.Errorf("%s: %s, the application reads %q", tc.name, status, found)
		}
		text := strings.Join(lines, "\n")
		if _, trailers, _ := strings.Cut(text, "-- trailers"); strings.TrimSpace(trailers) != tc.want {
			t.Errorf("%s: trailers %q, want %q", tc.name, trailers, tc.want)
		}
		for _, l := range lines {
			if n, v, _ := strings.Cut(l, ":"); strings.EqualFold(n, "Trailer") && NewStripper(ownedNames).namesOwned([]string{v}) {
				t.Errorf("%s: still announced: %q", tc.name, l)
			}
		}
	}
}

// TestP4HTTP2Trailers: the same through a real HTTP/2 connection.
func TestP4HTTP2Trailers(t *testing.T) {
	t.Parallel()
	s := NewStripper(ownedNames)
	seen := make(chan http.Header, 1)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s.Clean(r)
		_, _ = io.Copy(io.Discard, r.Body)
		seen <- r.Trailer.Clone()
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	r, err := http.NewRequestWithContext(t.Context(), "POST", srv.URL, struct{ io.Reader }{strings.NewReader("body")})
	if err != nil {
		t.Fatal(err)
	}
	r.Trailer = http.Header{"X-Remote-User": {"evil"}, "X-Checksum": {"1"}}
	resp, err := srv.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := <-seen; len(got) != 1 || got.Get("X-Checksum") != "1" {
		t.Errorf("trailers %v", got)
	}
}

type writerToBody struct {
	*bytes.Reader
	atEnd  func()
	closed bool
}

func (b *writerToBody) WriteTo(w io.Writer) (int64, error) {
	defer b.atEnd()
	return b.Reader.WriteTo(w)
}
func (b *writerToBody) Close() error { b.closed = true; return nil }

func TestP4BodyKeepsItsAbilities(t *testing.T) {
	t.Parallel()
	s := NewStripper(ownedNames)
	for _, tc := range []struct {
		name string
		read func(io.ReadCloser) error
	}{
		{"WriteTo", func(b io.ReadCloser) error { _, err := b.(io.WriterTo).WriteTo(io.Discard); return err }},
		{"Close", func(b io.ReadCloser) error { return b.Close() }},
	} {
		r := httptest.NewRequest("POST", "/", nil)
		body := &writerToBody{Reader: bytes.NewReader([]byte("data"))}
		body.atEnd = func() { r.Trailer = http.Header{"Sm_user": {"evil"}, "X-Sum": {"1"}} }
		r.Body, r.ContentLength = body, -1
		s.Clean(r)
		if tc.name == "Close" {
			body.atEnd()
		}
		if err := tc.read(r.Body); err != nil || len(r.Trailer) != 1 {
			t.Errorf("%s: %v, trailers %v", tc.name, err, r.Trailer)
		}
	}
	r := httptest.NewRequest("POST", "/", nil)
	r.Body, r.ContentLength = io.NopCloser(struct{ io.Reader }{strings.NewReader("x")}), -1
	s.Clean(r)
	if _, ok := r.Body.(io.WriterTo); ok {
		t.Error("a body that cannot write itself claims it can")
	}
}

// TestP4NoNeedlessGuard: a body of known length and no body stay themselves,
// so that transports still know them.
func TestP4NoNeedlessGuard(t *testing.T) {
	t.Parallel()
	s := NewStripper(ownedNames)
	known := httptest.NewRequest("POST", "/", strings.NewReader("known"))
	body := known.Body
	s.Clean(known)
	if known.Body != body || known.ContentLength != 5 {
		t.Error("a body of known length was wrapped")
	}
	none := httptest.NewRequest("GET", "/", http.NoBody)
	none.ContentLength = -1
	s.Clean(none)
	if none.Body != http.NoBody {
		t.Error("http.NoBody was wrapped")
	}
	h3 := httptest.NewRequest("POST", "/", strings.NewReader("known"))
	h3.ProtoMajor = 3
	s.Clean(h3)
	if _, ok := h3.Body.(interface{ sweep() }); !ok {
		t.Error("HTTP/3 may bring trailers that nobody announced: unguarded")
	}
}
