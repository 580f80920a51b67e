package syslog

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows/audit"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

var form = regexp.MustCompile(`^<(8[46])>1 (\S+) \S+ sallyport \d+ \S+ - (\{.*\})$`)

// server is a syslog server: it keeps the text of each message.
type server struct {
	t       *testing.T
	address string

	mu    sync.Mutex
	more  sync.Cond
	text  bytes.Buffer
	got   int
	bad   []string
	conns []net.Conn
}

func (s *server) take(m []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	parts := form.FindSubmatch(m)
	if parts == nil {
		s.bad = append(s.bad, string(m[:min(len(m), 200)]))
	} else {
		s.text.Write(append(parts[3], '\n'))
	}
	s.got++
	s.more.Broadcast()
}

func listen(t *testing.T, network string, conf *tls.Config) *server {
	t.Helper()
	s := &server{t: t}
	s.more.L = &s.mu
	t.Cleanup(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, b := range s.bad {
			t.Errorf("no message of RFC 5424: %q", b)
		}
	})
	if network == "udp" {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		s.address = "udp/" + c.LocalAddr().String()
		go func() {
			b := make([]byte, 1<<16)
			for {
				n, _, err := c.ReadFrom(b)
				if err != nil {
					return
				}
				s.take(bytes.Clone(b[:n]))
			}
		}()
		return s
	}
	where := "127.0.0.1:0"
	if network == "unix" {
		where = filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(map[bool]string{true: "unix", false: "tcp"}[network == "unix"], where)
	if err != nil {
		t.Fatal(err)
	}
	if conf != nil {
		l = tls.NewListener(l, conf)
	}
	t.Cleanup(func() { l.Close() })
	s.address = network + "/" + l.Addr().String()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, c)
			s.mu.Unlock()
			go s.read(c)
		}
	}()
	return s
}

func (s *server) read(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		head, err := r.ReadString(' ')
		if err != nil {
			return
		}
		n, err := strconv.Atoi(strings.TrimSpace(head))
		if err != nil {
			return
		}
		m := make([]byte, n)
		if _, err := io.ReadFull(r, m); err != nil {
			return
		}
		s.take(m)
	}
}

// hangUp closes all connections and waits until the far side can know.
func (s *server) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.Close()
	}
	s.conns = nil
}

// counted counts what the sink says it wrote; written waits for it to arrive.
type counted struct {
	*Sink
	mu sync.Mutex
	n  int
}

func (c *counted) Write(ctx context.Context, e audit.Event) error {
	err := c.Sink.Write(ctx, e)
	if err == nil {
		c.mu.Lock()
		c.n++
		c.mu.Unlock()
	}
	return err
}

func (s *server) written(c *counted) (string, error) {
	c.mu.Lock()
	n := c.n
	c.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.got < n {
		s.more.Wait()
	}
	return s.text.String(), nil
}

func open(t *testing.T, words string) *Sink {
	t.Helper()
	s := new(Sink)
	err := s.UnmarshalCaddyfile(caddyfile.NewTestDispenser("syslog " + words))
	if err == nil {
		err = errors.Join(s.Provision(caddy.Context{}), s.Validate())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Cleanup(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestConformance(t *testing.T) {
	t.Parallel()
	conf, ca := certificate(t)
	for _, network := range []string{"tcp", "tls", "unix"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			flowstest.TestSink(t, func(t *testing.T) flowstest.Sink {
				words := " {\ntimeout 5s\n}"
				var c *tls.Config
				if network == "tls" {
					words, c = " {\nca "+ca+"\ntimeout 5s\n}", conf
				}
				far := listen(t, network, c)
				s := &counted{Sink: open(t, far.address+words)}
				return flowstest.Sink{Sink: s, Written: func() (string, error) { return far.written(s) }}
			})
		})
	}
}

func certificate(t *testing.T) (conf *tls.Config, ca string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}, ca
}

func TestUDP(t *testing.T) {
	t.Parallel()
	far := listen(t, "udp", nil)
	s := &counted{Sink: open(t, far.address)}
	for _, id := range []string{"a", "b"} {
		if err := s.Write(t.Context(), flowstest.AuditEvent(id)); err != nil {
			t.Fatal(err)
		}
	}
	if text, _ := far.written(s); strings.Count(text, "\n") != 2 || !strings.Contains(text, `"id":"b"`) {
		t.Errorf("%q", text)
	}
	if err := s.Write(t.Context(), audit.Event{ID: "long", Detail: strings.Repeat("x", 1<<17)}); err == nil {
		t.Error("what no datagram can hold is taken as sent")
	}
}

// A server that hung up is called again, and the entry is not lost with the old connection.
func TestServerHangsUp(t *testing.T) {
	t.Parallel()
	far := listen(t, "tcp", nil)
	s := &counted{Sink: open(t, far.address)}
	for range 3 {
		if err := s.Write(t.Context(), flowstest.AuditEvent("a")); err != nil {
			t.Fatal(err)
		}
		if _, err := far.written(s); err != nil {
			t.Fatal(err)
		}
		far.hangUp()
		for !s.to.gone.Load() { // until it arrived here
			time.Sleep(time.Millisecond)
		}
	}
	if text, _ := far.written(s); strings.Count(text, "\n") != 3 {
		t.Errorf("%q", text)
	}
}

func TestI25NoServerIsNoReceipt(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	mute := l.Addr().String() // accepts, and speaks no TLS
	defer l.Close()
	_, ca := certificate(t)
	far := listen(t, "tls", func() *tls.Config { c, _ := certificate(t); return c }())
	for name, words := range map[string]string{
		"nobody listens": "tcp/127.0.0.1:1",
		"no answer":      "tls/" + mute + " {\ntimeout 50ms\n}",
		"another CA":     far.address + " {\nca " + ca + "\n}",
		"no CA of ours":  far.address,
	} {
		trail := audit.NewTrail(nil, open(t, words))
		if r, err := trail.Before(t.Context(), flowstest.AuditEvent("a")); !errors.Is(err, audit.ErrDown) || r.Valid() {
			t.Errorf("%s: %v", name, err)
		}
		trail.Close()
	}
}

func TestCaddyfile(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"logs.example.com":              "tcp logs.example.com:601",
		"udp/logs.example.com":          "udp logs.example.com:514",
		"tls/[2001:db8::1]":             "tls [2001:db8::1]:6514",
		"tls/logs.example.com:10514":    "tls logs.example.com:10514",
		"unixgram//dev/log":             "unixgram /dev/log",
		"http/x":                        "no network is called 'http'; there are: tcp, tls, udp, unix, unixgram",
		"tcp/":                          "wants an address",
		"tcp/:514":                      "is no address",
		"tcp/a:1-9":                     "is no address",
		"":                              "exactly one address",
		"a b":                           "exactly one address",
		"a {\nfacility 3\n}":            "no option 'facility'; there are: ca, timeout",
		"a {\ntimeout 1m\n}":            "no duration up to 5s",
		"a {\nca\n}":                    "ca wants a file",
		"a {\nca x\nca y\n}":            "written twice",
		"a {\nca x {\ny\n}\n}":          "ca has no options",
		"a {\nca /nonesuch.pem\n}":      "no such file",
		"a {\nca syslog_test.go\n}":     "there is no certificate in",
		"udp/a {\nca CA\n}":             "ca is for tls",
		"{env.NONE_SUCH_HERE}/a":        "NONE_SUCH_HERE",
		"tls/a {\nca CA\ntimeout 1s\n}": "tls a:6514",
	} {
		_, ca := certificate(t)
		s := new(Sink)
		err := s.UnmarshalCaddyfile(caddyfile.NewTestDispenser("syslog " + strings.ReplaceAll(in, "CA", ca)))
		if err == nil {
			if err = s.Provision(caddy.Context{}); err == nil {
				err = s.Validate()
			}
		}
		got := ""
		switch {
		case err != nil:
			got = err.Error()
		default:
			got = s.to.network + " " + s.to.address
		}
		if !strings.Contains(got, want) {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}
