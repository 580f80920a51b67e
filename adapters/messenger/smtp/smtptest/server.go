// Package smtptest is a mail server for tests: it takes messages over STARTTLS or
// TLS, from whoever knows its password, and shows them.
package smtptest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// The one who may send.
const (
	User     = "gateway"
	Password = "a password of this test"
)

// Letter is a message that was taken.
type Letter struct {
	From, To string
	// TLS and User are of the connection it came by.
	TLS  bool
	User string
	// Raw is all of it; Header and Text what a mail program makes of that.
	Raw    string
	Header mail.Header
	Text   string
}

// Server is a running mail server. Its fields change between messages.
type Server struct {
	// Addr is host:port, CA the file of the certificate that it shows.
	Addr, CA string

	mu      sync.Mutex
	letters []Letter
	refuse  func(stage, arg string) string
	plain   bool
	tls     *tls.Config
	first   bool // TLS from the first byte
}

// New starts one that offers STARTTLS, or with first TLS from the first byte.
func New(t testing.TB, first bool) *Server {
	t.Helper()
	s := &Server{first: first}
	s.certificate(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	s.Addr = l.Addr().String()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(c)
		}
	}()
	return s
}

// Letters are those taken so far.
func (s *Server) Letters() []Letter {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Letter(nil), s.letters...)
}

// Refuse has f answer instead at a stage (ehlo, auth, mail, rcpt, data): a reply as
// "550 no such mailbox", or "" for going on. Nil refuses nothing.
func (s *Server) Refuse(f func(stage, arg string) string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = f
}

// Plain offers no STARTTLS any more.
func (s *Server) Plain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plain = true
}

func (s *Server) certificate(t testing.TB) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "smtptest"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	s.CA = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(s.CA, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	s.tls = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// talk is one connection.
type talk struct {
	s *Server
	*textproto.Conn
	conn net.Conn
	Letter
}

func (s *Server) serve(c net.Conn) {
	defer c.Close()
	k := &talk{s: s, conn: c}
	if s.first {
		k.conn, k.TLS = tls.Server(c, s.tls), true
	}
	k.Conn = textproto.NewConn(k.conn)
	_ = k.PrintfLine("220 smtptest")
	for {
		line, err := k.ReadLine()
		if err != nil {
			return
		}
		verb, arg, _ := strings.Cut(line, " ")
		if reply := k.refused(strings.ToLower(verb), arg); reply != "" {
			_ = k.PrintfLine("%s", reply)
			continue
		}
		if !k.answer(strings.ToUpper(verb), arg) {
			return
		}
	}
}

func (k *talk) refused(stage, arg string) string {
	k.s.mu.Lock()
	f := k.s.refuse
	k.s.mu.Unlock()
	if f == nil || stage == "data" {
		return ""
	}
	return f(stage, arg)
}

func (k *talk) answer(verb, arg string) bool {
	say := func(format string, args ...any) bool { return k.PrintfLine(format, args...) == nil }
	switch verb {
	case "EHLO":
		k.s.mu.Lock()
		plain := k.s.plain || k.TLS
		k.s.mu.Unlock()
		if !plain {
			return say("250-smtptest\r\n250 STARTTLS")
		}
		return say("250-smtptest\r\n250-ENHANCEDSTATUSCODES\r\n250 AUTH PLAIN LOGIN")
	case "STARTTLS":
		_ = say("220 go ahead")
		k.conn, k.TLS = tls.Server(k.conn, k.s.tls), true
		k.Conn = textproto.NewConn(k.conn)
		return true
	case "AUTH":
		_, secret, _ := strings.Cut(arg, " ")
		if b, _ := base64.StdEncoding.DecodeString(secret); string(b) != "\x00"+User+"\x00"+Password {
			return say("535 5.7.8 not %s", arg)
		}
		k.User = User
		return say("235 2.7.0 welcome")
	case "MAIL":
		k.From = inBrackets(arg)
		return say("250 2.1.0 ok")
	case "RCPT":
		k.To = inBrackets(arg)
		return say("250 2.1.5 ok")
	case "DATA":
		return k.data()
	case "QUIT":
		_ = say("221 2.0.0 bye")
		return false
	}
	return say("250 2.0.0 ok")
}

func (k *talk) data() bool {
	_ = k.PrintfLine("354 go on")
	b, err := k.ReadDotBytes()
	if err != nil {
		return false
	}
	k.s.mu.Lock()
	defer k.s.mu.Unlock()
	if k.s.refuse != nil {
		if reply := k.s.refuse("data", strings.ReplaceAll(string(b), "\n", " ")); reply != "" {
			return k.PrintfLine("%s", reply) == nil
		}
	}
	l := k.Letter
	l.Raw = string(b)
	m, err := mail.ReadMessage(strings.NewReader(l.Raw))
	if err != nil {
		return k.PrintfLine("554 5.6.0 %v", err) == nil
	}
	text, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		return k.PrintfLine("554 5.6.0 %v", err) == nil
	}
	l.Header, l.Text = m.Header, strings.ReplaceAll(string(text), "\r\n", "\n")
	k.s.letters = append(k.s.letters, l)
	return k.PrintfLine("250 2.0.0 taken") == nil
}

func inBrackets(s string) string {
	_, s, _ = strings.Cut(s, "<")
	s, _, _ = strings.Cut(s, ">")
	return s
}

// String shows a letter in a test's output.
func (l Letter) String() string {
	return fmt.Sprintf("to %s, TLS %v, by %q\n%s", l.To, l.TLS, l.User, l.Raw)
}
