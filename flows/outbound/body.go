package outbound

import (
	"context"
	"fmt"
	"io"
	"net/http"
)

// capped bounds what an answer may cost: a discovery document of 50 MiB is
// refused before or while it is read.
type capped struct {
	max  int64
	next http.RoundTripper
}

func (c *capped) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := c.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	most := c.max
	if n, ok := req.Context().Value(bodyKey{}).(int64); ok {
		most = n
	}
	if resp.ContentLength > most && req.Method != http.MethodHead {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("%s: %w: %d bytes, at most %d are read", req.URL.Host, ErrTooLarge, resp.ContentLength, most)
	}
	resp.Body = &cappedBody{body: resp.Body, left: most}
	return resp, nil
}

type bodyKey struct{}

// WithMaxBody lets the requests of ctx have answers of up to n bytes, whatever
// Options.MaxBody says: for the one kind of document that is longer than others.
func WithMaxBody(ctx context.Context, n int64) context.Context {
	return context.WithValue(ctx, bodyKey{}, n)
}

// CloseIdleConnections lets http.Client reach the transport.
func (c *capped) CloseIdleConnections() {
	if t, ok := c.next.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

type cappedBody struct {
	body io.ReadCloser
	left int64
}

// Read answers ErrTooLarge instead of the first byte too many; never a
// shortened body with a clean end.
func (b *cappedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, ErrTooLarge
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.body.Read(p)
	b.left -= int64(n)
	if b.left < 0 {
		return n - 1, ErrTooLarge
	}
	return n, err
}

func (b *cappedBody) Close() error { return b.body.Close() }
