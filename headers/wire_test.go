package headers

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
)

// Wire is a real proxy in front of an upstream that keeps the bytes it got, for
// the tests of the dialects. Serve does to a request what the hall does; its
// error answers 403 and nothing reaches the upstream.
type Wire struct {
	Serve func(*http.Request) error
	up    *rawUpstream
	srv   *httptest.Server
}

// NewWire starts both ends.
func NewWire(t *testing.T) *Wire {
	t.Helper()
	w := &Wire{up: newRawUpstream(t)}
	forward := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: w.up.addr}) },
		Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true},
	}
	w.srv = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if err := w.Serve(r); err != nil {
			rw.WriteHeader(http.StatusForbidden)
			return
		}
		forward.ServeHTTP(rw, r)
	}))
	t.Cleanup(w.srv.Close)
	return w
}

// Send sends a request with these header lines. It answers the status line, and the
// header lines that reached the upstream as they were on the wire, without those
// that every request has.
func (w *Wire) Send(t *testing.T, head ...string) (status string, got []string) {
	t.Helper()
	request := "GET / HTTP/1.1\r\nHost: app\r\nConnection: close\r\n" + strings.Join(append(head, ""), "\r\n") + "\r\n"
	status = send(t, w.srv, request)
	if !strings.Contains(status, " 200 ") {
		return status, nil
	}
	for _, l := range w.up.last(t)[1:] {
		if l != "Connection: close" && !strings.HasPrefix(l, "Host: ") {
			got = append(got, l)
		}
	}
	return status, got
}
