package headers

import (
	"io"
	"net/http"
	"sync"
)

func (s *Stripper) cleanTrailer(t http.Header) {
	for k := range t {
		if s.Owns(k) {
			delete(t, k)
		}
	}
}

// guard wraps the body of a request that may have trailers: the server fills
// r.Trailer again when it meets the end of the body. HTTP/1 has them only in
// chunked bodies; HTTP/2 drops those that were not announced; HTTP/3 takes any.
func (s *Stripper) guard(r *http.Request, announced bool) {
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	if r.ContentLength >= 0 && !announced && (r.ProtoMajor < 3 || r.ContentLength == 0) {
		return
	}
	switch b := r.Body.(type) {
	case *trailerGuard:
		if b.s == s {
			return
		}
	case trailerGuardTo:
		if b.s == s {
			return
		}
	}
	g := &trailerGuard{body: r.Body, r: r, s: s}
	if _, ok := r.Body.(io.WriterTo); ok {
		r.Body = trailerGuardTo{g}
		return
	}
	r.Body = g
}

// trailerGuard removes owned trailers in the same call that delivers the end
// of the body, before any reader of the body looks at them.
type trailerGuard struct {
	body io.ReadCloser
	r    *http.Request
	s    *Stripper
	mu   sync.Mutex // a transport may close while it reads
}

func (g *trailerGuard) Read(p []byte) (int, error) {
	n, err := g.body.Read(p)
	if err != nil {
		g.sweep()
	}
	return n, err
}

// Close sweeps too: closing may read the rest of a body.
func (g *trailerGuard) Close() error {
	err := g.body.Close()
	g.sweep()
	return err
}

func (g *trailerGuard) sweep() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.s.cleanTrailer(g.r.Trailer)
}

// trailerGuardTo is a trailerGuard over a body that knows how to write itself.
type trailerGuardTo struct{ *trailerGuard }

func (g trailerGuardTo) WriteTo(w io.Writer) (int64, error) {
	n, err := g.body.(io.WriterTo).WriteTo(w)
	g.sweep()
	return n, err
}
