package module_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"strconv"
	"testing"
	"time"

	"github.com/quic-go/qpack"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"
	"golang.org/x/net/http2/hpack"
)

// The frames of HTTP/3 that are used here (RFC 9114 §7.2), and the type of the stream
// that settings go by (§6.2.1).
const (
	h3Data, h3Headers, h3Settings = 0x0, 0x1, 0x4
	h3Control                     = 0x0
)

// h3conn speaks HTTP/3 frame by frame, so that it can say what no client says.
type h3conn struct {
	t testing.TB
	c *quic.Conn
	s *quic.Stream // of the request that is under way
}

func dialH3(t testing.TB, port int) *h3conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c, err := quic.DialAddr(ctx, fmt.Sprintf("127.0.0.1:%d", port), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h3"}}, nil) //nolint:gosec // the test's own certificate
	if err != nil {
		t.Fatal(err)
	}
	control, err := c.OpenUniStream()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := control.Write([]byte{h3Control, h3Settings, 0}); err != nil {
		t.Fatal(err)
	}
	return &h3conn{t: t, c: c}
}

func (h *h3conn) close() { _ = h.c.CloseWithError(0x100, "") }

// frame writes one frame to the stream of the request, which it opens if need be.
func (h *h3conn) frame(typ uint64, payload []byte) {
	if h.s == nil {
		s, err := h.c.OpenStream()
		if err != nil {
			return // the connection is gone: answer tells
		}
		h.s = s
	}
	head := quicvarint.Append(quicvarint.Append(nil, typ), uint64(len(payload)))
	_, _ = h.s.Write(append(head, payload...))
}

// send begins a request, or ends it with trailers; more says that something follows.
// Fields are packed as they are: order, case and bytes are the caller's.
func (h *h3conn) send(more bool, fields ...hpack.HeaderField) {
	var block bytes.Buffer
	enc := qpack.NewEncoder(&block)
	for _, f := range fields {
		_ = enc.WriteField(qpack.HeaderField{Name: f.Name, Value: f.Value})
	}
	h.frame(h3Headers, block.Bytes())
	if !more && h.s != nil {
		_ = h.s.Close()
	}
}

func (h *h3conn) data(b []byte) { h.frame(h3Data, b) }

// answer waits for the end of the answer: its status, 0 if the request was not taken;
// alive says whether the connection can be used for another.
func (h *h3conn) answer() (status int, alive bool) {
	if h.s == nil {
		return 0, false
	}
	for {
		n, err := h.next()
		if err != nil {
			h.s = nil
			return status, h.c.Context().Err() == nil
		}
		status = max(status, n)
	}
}

// next reads a frame of the answer, and the status in it.
func (h *h3conn) next() (status int, err error) {
	_ = h.s.SetReadDeadline(time.Now().Add(10 * time.Second))
	r := quicvarint.NewReader(h.s)
	typ, err := quicvarint.Read(r)
	if err != nil {
		return 0, err
	}
	size, err := quicvarint.Read(r)
	if err != nil {
		return 0, err
	}
	payload := make([]byte, size)
	if _, err := io.ReadFull(r, payload); err != nil || typ != h3Headers {
		return 0, err
	}
	for next := qpack.NewDecoder().Decode(payload); ; {
		f, err := next()
		if err != nil {
			return status, nil //nolint:nilerr // the block is over
		}
		if f.Name == ":status" {
			status, _ = strconv.Atoi(f.Value)
		}
	}
}
