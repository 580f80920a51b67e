package ldapconn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-ldap/ldap/v3"
	"go.uber.org/zap"
)

// What is kept of connections: as many idle ones as mostIdle, none that was idle
// for longest, since servers and firewalls drop them without a word.
const (
	mostIdle = 8
	longest  = time.Minute
)

// server is one of a directory's servers, with its idle connections. Those are
// bound as the client and as nobody else, ever.
type server struct {
	target
	client *Client
	asked  atomic.Bool // it was tried at least once

	mu    sync.Mutex
	idle  []*conn
	err   error     // why it is not asked; nil: it is
	tried time.Time // the last probe of one that is gone

	probing sync.Mutex
}

// conn is a connection; raw is closed first, since the library's own end waits
// for a peer that may be frozen.
type conn struct {
	*ldap.Conn
	raw   net.Conn
	since time.Time
	stop  func() bool // ends the tie to a call's context
}

func newServer(c *Client, t target) *server { return &server{target: t, client: c} }

// cut ends a connection at once.
func (l *conn) cut() {
	_ = l.raw.Close()
	_ = l.Close()
}

// tie ends the connection when the call ends or is over time.
func (l *conn) tie(ctx context.Context) {
	l.stop = context.AfterFunc(ctx, func() { _ = l.raw.Close() })
}

// take answers a connection that is bound as the client, and whether it waited in the pool.
func (s *server) take(ctx context.Context) (l *conn, pooled bool, err error) {
	if l := s.fromPool(); l != nil {
		l.tie(ctx)
		return l, true, nil
	}
	if l, err = s.dial(ctx); err != nil {
		return nil, false, err
	}
	l.tie(ctx)
	if s.client.dn != "" {
		if err := l.Bind(s.client.dn, s.client.password); err != nil {
			l.stop()
			l.cut()
			// Not the words of the person's own refusal: it says nothing about them.
			return nil, false, away{fmt.Errorf("signing in as bind_dn: %w", err)}
		}
	}
	return l, false, nil
}

// away is an error on the way: whatever is inside, nobody was answered.
type away struct{ error }

func (a away) Unwrap() error { return a.error }

func (s *server) fromPool() *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.idle) > 0 {
		l := s.idle[len(s.idle)-1]
		s.idle = s.idle[:len(s.idle)-1]
		if !l.IsClosing() && s.client.now().Sub(l.since) < longest {
			return l
		}
		go l.cut()
	}
	return nil
}

// give takes a connection back. One whose call was cut short is not used again.
func (s *server) give(l *conn) {
	if !l.stop() || l.IsClosing() {
		l.cut()
		return
	}
	s.mu.Lock()
	l.since = s.client.now()
	keep := !s.client.closed.Load() && len(s.idle) < mostIdle
	if keep {
		s.idle = append(s.idle, l)
	}
	s.asked.Store(true)
	back := s.err != nil
	s.err = nil
	s.mu.Unlock()
	if back {
		s.client.log.Info("directory server answers again", zap.String("url", s.raw))
	}
	if !keep {
		l.cut()
	}
}

// drop ends all idle connections.
func (s *server) drop() {
	s.mu.Lock()
	idle := s.idle
	s.idle = nil
	s.mu.Unlock()
	for _, l := range idle {
		go l.cut()
	}
}

// dial opens a connection and makes it a TLS one where that is meant. Nothing was
// said on it yet.
func (s *server) dial(ctx context.Context) (*conn, error) {
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", s.address())
	if err != nil {
		return nil, err
	}
	conf := s.client.tls.Clone()
	conf.ServerName = s.host
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	if s.tls {
		over := tls.Client(raw, conf)
		if err := over.HandshakeContext(ctx); err != nil {
			_ = raw.Close()
			return nil, fmt.Errorf("TLS: %w", err)
		}
		return started(over, raw, true), nil
	}
	l := started(raw, raw, false)
	if s.client.startTLS {
		if err := l.StartTLS(conf); err != nil {
			l.cut()
			return nil, away{fmt.Errorf("start_tls: %w", err)}
		}
	}
	return l, nil
}

func started(over, raw net.Conn, secure bool) *conn {
	l := &conn{Conn: ldap.NewConn(over, secure), raw: raw, stop: func() bool { return true }}
	l.Start()
	return l
}

// rank orders servers: the one a search was answered by, those that answer, the others.
func (s *server) rank(first *server) int {
	switch {
	case s == first:
		return 0
	case s.trouble() == nil:
		return 1
	}
	return 2
}

// trouble is why the server is not asked first; nil where there is none.
func (s *server) trouble() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// patience is how long one call may take.
func (s *server) patience() time.Duration {
	if s.trouble() != nil {
		return goneLimit
	}
	return callLimit
}

// down notes that the server did not answer: others are asked before it.
func (s *server) down(err error) {
	s.asked.Store(true)
	s.mu.Lock()
	first := s.err == nil
	s.err, s.tried = err, s.client.now()
	s.mu.Unlock()
	s.drop()
	if first {
		s.client.log.Warn("directory server does not answer", zap.String("url", s.raw), zap.Error(err))
	}
}

func (s *server) up() {
	s.asked.Store(true)
	s.mu.Lock()
	back := s.err != nil
	s.err = nil
	s.mu.Unlock()
	if back {
		s.client.log.Info("directory server answers again", zap.String("url", s.raw))
	}
}

// probeIfDown looks beside the caller whether a server that was gone is back.
func (s *server) probeIfDown() {
	s.mu.Lock()
	now := s.client.now()
	due := s.err != nil && now.Sub(s.tried) >= probeAgain && !s.client.closed.Load()
	if due {
		s.tried = now
	}
	s.mu.Unlock()
	if due {
		go s.probe(context.Background())
	}
}

// probe looks whether the server can be used as it is meant to be, on a connection
// of its own; two at once are one.
func (s *server) probe(ctx context.Context) {
	if !s.probing.TryLock() {
		return
	}
	defer s.probing.Unlock()
	if err := s.answers(ctx, callLimit, s.client.dn != ""); err != nil {
		if ctx.Err() == nil {
			s.down(err)
		}
		return
	}
	s.up()
}

// suspect looks whether a server that lets somebody wait is slow or frozen.
func (s *server) suspect(ctx context.Context) {
	if err := s.answers(ctx, s.client.alive, false); err != nil && ctx.Err() == nil {
		s.down(errFrozen)
	}
}

// answers reads the root entry, as the client or as nobody. Any answer is one:
// the server may not let everybody read.
func (s *server) answers(ctx context.Context, within time.Duration, bind bool) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	l, err := s.dial(ctx)
	if err != nil {
		return err
	}
	defer l.cut()
	l.tie(ctx)
	defer l.stop()
	if bind {
		if err := l.Bind(s.client.dn, s.client.password); err != nil {
			return fmt.Errorf("signing in as bind_dn: %w", err)
		}
	}
	_, err = l.Search(request("", ldap.ScopeBaseObject, 1, "(objectClass=*)", []string{"1.1"}))
	if err != nil && gone(err) {
		return err
	}
	return nil
}

var errFrozen = errors.New("it does not answer")
