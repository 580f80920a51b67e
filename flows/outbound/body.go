package outbound

import (
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
	if resp.ContentLength > c.max && req.Method != http.MethodHead {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("%s: %w: %d bytes, at most %d are read", req.URL.Host, ErrTooLarge, resp.ContentLength, c.max)
	}
	resp.Body = &cappedBody{body: resp.Body, left: c.max}
	return resp, nil
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
