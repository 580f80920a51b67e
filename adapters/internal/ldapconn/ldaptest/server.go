// Package ldaptest is a small LDAP server in memory for tests: it binds, searches,
// pages and speaks TLS, freezes and says what Active Directory says.
package ldaptest

import (
	"crypto/tls"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// Entry is one entry. Password "" cannot be bound as.
type Entry struct {
	DN       string
	Password string
	// SID finds it as the base <SID=…>, as Active Directory does; "": it has none.
	SID   string
	Attrs map[string][]string
}

// Answer is what a bind is answered with.
type Answer struct {
	Code uint16
	Text string
	// Policy is the error of a password policy control; nil: no control.
	Policy *int64
}

// Server is a directory on a port of 127.0.0.1. Set its fields before Start.
type Server struct {
	// TLS makes StartTLS possible; with Secure the port speaks nothing else.
	TLS    *tls.Config
	Secure bool
	// Entries are all there is.
	Entries []*Entry
	// OnBind overrides the answer to a bind; nil, or a nil answer: the entry's password decides.
	OnBind func(dn, password string) *Answer
	// Capabilities are in the root entry.
	Capabilities []string
	// MostValues of memberOf are sent at a time; 0: all.
	MostValues int
	// MostEntries of a search are sent at a time; 0: all.
	MostEntries int
	// Anonymous may search.
	Anonymous bool

	// Binds counts all binds, Searches all searches but of the root entry, Empty the
	// binds with an empty password, Open the connections there are now, and Dials all
	// there ever were.
	Binds, Searches, Empty, Open, Dials atomic.Int64

	t      testing.TB
	l      net.Listener
	mu     sync.Mutex
	conns  map[net.Conn]bool
	frozen chan struct{}
	log    []string
}

// Start listens until the test ends.
func (s *Server) Start(t testing.TB) *Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.t, s.l, s.conns = t, l, map[net.Conn]bool{}
	go s.accept(l)
	t.Cleanup(func() { s.Thaw(); s.Kill() })
	return s
}

// URL is where it listens.
func (s *Server) URL() string {
	if s.Secure {
		return "ldaps://" + s.l.Addr().String()
	}
	return "ldap://" + s.l.Addr().String()
}

// Kill ends it and all connections.
func (s *Server) Kill() {
	_ = s.l.Close()
	s.Hang()
}

// Hang ends all connections, and goes on listening.
func (s *Server) Hang() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
}

// Freeze lets everybody wait, as a stopped process does: connections are taken,
// nothing is answered.
func (s *Server) Freeze() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.frozen == nil {
		s.frozen = make(chan struct{})
	}
}

// Thaw goes on.
func (s *Server) Thaw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.frozen != nil {
		close(s.frozen)
		s.frozen = nil
	}
}

// Log is what was asked: "bind <dn>", "search <base> <filter>".
func (s *Server) Log() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.log...)
}

func (s *Server) note(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, line)
}

func (s *Server) wait() {
	s.mu.Lock()
	f := s.frozen
	s.mu.Unlock()
	if f != nil {
		<-f
	}
}

func (s *Server) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[c] = true
		s.mu.Unlock()
		s.Open.Add(1)
		s.Dials.Add(1)
		go s.serve(c)
	}
}

func (s *Server) serve(raw net.Conn) {
	defer func() {
		_ = raw.Close()
		s.mu.Lock()
		delete(s.conns, raw)
		s.mu.Unlock()
		s.Open.Add(-1)
	}()
	var c net.Conn = raw
	s.wait()
	if s.Secure {
		c = tls.Server(raw, s.TLS)
	}
	who := ""
	for {
		p, err := ber.ReadPacket(c)
		if err != nil || len(p.Children) < 2 {
			return
		}
		s.wait()
		id, op := p.Children[0].Value, p.Children[1]
		switch op.Tag {
		case ldap.ApplicationBindRequest:
			name, _ := op.Children[1].Value.(string)
			a := s.bind(name, op.Children[2].Data.String())
			if a.Code == 0 {
				who = name
			}
			send(c, id, done(ldap.ApplicationBindResponse, a.Code, a.Text), policy(a.Policy))
		case ldap.ApplicationSearchRequest:
			s.search(c, id, op, p, who)
		case ldap.ApplicationExtendedRequest:
			if s.TLS == nil || op.Children[0].Data.String() != "1.3.6.1.4.1.1466.20037" {
				send(c, id, done(ldap.ApplicationExtendedResponse, ldap.LDAPResultProtocolError, "not here"), nil)
				continue
			}
			send(c, id, done(ldap.ApplicationExtendedResponse, 0, ""), nil)
			c = tls.Server(raw, s.TLS)
		default: // unbind, abandon
			return
		}
	}
}

// bind answers as RFC 4513 §5.1 has it: empty names and passwords are welcome as nobody.
func (s *Server) bind(dn, password string) Answer {
	s.Binds.Add(1)
	s.note("bind " + dn)
	if password == "" {
		s.Empty.Add(1)
		return Answer{}
	}
	if s.OnBind != nil {
		if a := s.OnBind(dn, password); a != nil {
			return *a
		}
	}
	for _, e := range s.Entries {
		if strings.EqualFold(e.DN, dn) && e.Password != "" && e.Password == password {
			return Answer{}
		}
	}
	return Answer{Code: ldap.LDAPResultInvalidCredentials}
}

func done(tag ber.Tag, code uint16, text string) *ber.Packet {
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, tag, nil, "")
	p.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, int64(code), ""))
	p.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, "", ""))
	p.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, text, ""))
	return p
}

func send(c net.Conn, id any, op, control *ber.Packet) {
	p := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
	p.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, ""))
	p.AppendChild(op)
	if control != nil {
		all := ber.Encode(ber.ClassContext, ber.TypeConstructed, 0, nil, "")
		all.AppendChild(control)
		p.AppendChild(all)
	}
	_, _ = c.Write(p.Bytes())
}

// policy is the control of draft-behera-ldap-password-policy-10 §6.2 with an error.
func policy(code *int64) *ber.Packet {
	if code == nil {
		return nil
	}
	value := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
	value.AppendChild(ber.NewInteger(ber.ClassContext, ber.TypePrimitive, 1, *code, ""))
	return control(ldap.ControlTypeBeheraPasswordPolicy, value)
}

func control(oid string, value *ber.Packet) *ber.Packet {
	c := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
	c.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, oid, ""))
	c.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, string(value.Bytes()), ""))
	return c
}
