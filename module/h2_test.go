package module_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strconv"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2conn speaks HTTP/2 frame by frame, so that it can say what no client says.
type h2conn struct {
	t      testing.TB
	c      net.Conn
	fr     *http2.Framer
	enc    *hpack.Encoder
	block  bytes.Buffer
	stream uint32
}

// dialH2 connects with prior knowledge, or over TLS.
func dialH2(t testing.TB, port int, secure bool) *h2conn {
	t.Helper()
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	var c net.Conn
	var err error
	if secure {
		c, err = tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}) //nolint:gosec // the test's own certificate
	} else {
		c, err = net.Dial("tcp", addr)
	}
	if err != nil {
		t.Fatal(err)
	}
	h := &h2conn{t: t, c: c, fr: http2.NewFramer(c, c)}
	h.begin()
	return h
}

func (h *h2conn) close() { _ = h.c.Close() }

func (h *h2conn) begin() {
	_ = h.c.SetDeadline(time.Now().Add(30 * time.Second))
	h.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	h.enc = hpack.NewEncoder(&h.block)
	_, _ = io.WriteString(h.c, http2.ClientPreface)
	_ = h.fr.WriteSettings()
	h.stream = 1
}

// headers packs fields as they are: order, case and bytes are the caller's.
func (h *h2conn) headers(fields ...hpack.HeaderField) []byte {
	h.block.Reset()
	for _, f := range fields {
		_ = h.enc.WriteField(f)
	}
	return bytes.Clone(h.block.Bytes())
}

// send begins a stream; more says that a body or trailers follow.
func (h *h2conn) send(more bool, fields ...hpack.HeaderField) {
	_ = h.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: h.stream, BlockFragment: h.headers(fields...), EndHeaders: true, EndStream: !more})
}

func (h *h2conn) data(b []byte) { _ = h.fr.WriteData(h.stream, false, b) }

// answer waits for the end of the stream: its status, 0 if it was reset; alive
// says whether the connection can be used for another.
func (h *h2conn) answer() (status int, alive bool) {
	_ = h.c.SetDeadline(time.Now().Add(10 * time.Second))
	mine := h.stream
	h.stream += 2
	for {
		f, err := h.fr.ReadFrame()
		if err != nil {
			return status, false
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = h.fr.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				_ = h.fr.WritePing(true, f.Data)
			}
		case *http2.GoAwayFrame:
			return status, false
		case *http2.RSTStreamFrame:
			if f.StreamID == mine {
				return status, true
			}
		case *http2.MetaHeadersFrame:
			if f.StreamID == mine {
				if n, err := strconv.Atoi(f.PseudoValue("status")); err == nil {
					status = n
				}
				if f.StreamEnded() {
					return status, true
				}
			}
		case *http2.DataFrame:
			if n := len(f.Data()); n > 0 {
				_ = h.fr.WriteWindowUpdate(0, uint32(n))
			}
			if f.StreamID == mine && f.StreamEnded() {
				return status, true
			}
		}
	}
}
