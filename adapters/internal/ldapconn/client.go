package ldapconn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-ldap/ldap/v3"
	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

// How long anything may take. A server that does not answer a search in
// hedgeAfter is not waited for: the next is asked beside it, and whoever answers
// first counts, so that a frozen server costs no more than a dead one.
const (
	hedgeAfter  = 300 * time.Millisecond
	aliveWithin = 600 * time.Millisecond
	goneLimit   = time.Second // of a server that is known to be gone
	callLimit   = 5 * time.Second
	askLimit    = 10 * time.Second
	pagesLimit  = 30 * time.Second
	probeEvery  = 10 * time.Second
	probeAgain  = 2 * time.Second
)

// bindsAtOnce bounds the connections that check passwords.
const bindsAtOnce = 64

// Client is one directory: its servers and what is known of them. It opens
// nothing before it is asked.
type Client struct {
	servers      []*server
	dn, password string
	startTLS     bool
	tls          *tls.Config
	log          *zap.Logger
	now          func() time.Time
	binds        chan struct{}
	closed       atomic.Bool
	// hedge and alive are hedgeAfter and aliveWithin.
	hedge, alive time.Duration
}

// New makes a client of a checked Connection; replace replaces placeholders.
func New(c *Connection, replace func(raw string) (string, error), log *zap.Logger) (*Client, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	conf, err := c.tlsConfig()
	if err != nil {
		return nil, err
	}
	cl := &Client{startTLS: c.StartTLS, tls: conf, log: log, now: func() time.Time { return time.Time{} }, binds: make(chan struct{}, bindsAtOnce), hedge: hedgeAfter, alive: aliveWithin}
	if cl.dn, err = replace(c.BindDN); err != nil {
		return nil, fmt.Errorf("bind_dn: %w", err)
	}
	if cl.password, err = c.password(replace, log); err != nil {
		return nil, err
	}
	for _, raw := range c.URLs {
		t, err := parseURL(raw)
		if err != nil {
			return nil, err
		}
		if !t.tls && !c.StartTLS && !outbound.Loopback(t.host) {
			log.Warn("passwords go to the directory unencrypted: anybody on the way can read them", zap.String("url", raw))
		}
		cl.servers = append(cl.servers, newServer(cl, t))
	}
	return cl, nil
}

// password resolves the secret. One that turns out empty would make everybody's
// search nobody's (RFC 4513 §5.1.2).
func (c *Connection) password(replace func(raw string) (string, error), log *zap.Logger) (string, error) {
	raw := c.BindPassword
	v, err := replace(raw)
	if err != nil {
		return "", fmt.Errorf("bind_password: %w", err)
	}
	if raw == "" {
		return "", nil
	}
	if v = strings.TrimRight(v, "\r\n"); v == "" {
		return "", errors.New("bind_password is empty")
	}
	if !strings.Contains(raw, "{") {
		log.Warn("secret stands in the configuration and can be read at /config/; use {file./…} or {env.…}", zap.String("field", "bind_password"))
	}
	return v, nil
}

// Clock lends the time, by which connections grow old.
func (c *Client) Clock(now func() time.Time) { c.now = now }

// Patience changes how long a search is waited for before the next server is asked
// beside it, and how long a slow server has to show that it is alive: for tests,
// which share their machine.
func (c *Client) Patience(search, alive time.Duration) { c.hedge, c.alive = search, alive }

// Close lets go of idle connections; calls under way go on (I17).
func (c *Client) Close() {
	c.closed.Store(true)
	for _, s := range c.servers {
		s.drop()
	}
}

// Watch asks every server now and then, until ctx ends, so that one that is gone
// is known before somebody waits for it, and one that is back is used again.
func (c *Client) Watch(ctx context.Context) {
	t := time.NewTicker(probeEvery)
	defer t.Stop()
	for {
		for _, s := range c.servers {
			s.probe(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// Health answers nil while some server answers. Servers that were never asked are asked now.
func (c *Client) Health() error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	var errs []error
	for _, s := range c.servers {
		if !s.asked.Load() {
			s.probe(ctx)
		}
		err := s.trouble()
		if err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", s.raw, err))
	}
	return errors.Join(errs...)
}

// order is in which servers are asked: as written, those known to be gone last.
func (c *Client) order(first *server) []*server {
	out := slices.Clone(c.servers)
	slices.SortStableFunc(out, func(a, b *server) int { return a.rank(first) - b.rank(first) })
	for _, s := range out {
		s.probeIfDown()
	}
	return out
}

type result[T any] struct {
	value T
	from  *server
	err   error
}

// ask runs do on a connection of the first server that answers. do only reads: it
// may run on two servers at once; what takes several calls says after each that the
// server is well (beat). Errors that wrap flows.ErrUnavailable say that nobody
// answered; others are a server's own words.
func ask[T any](ctx context.Context, c *Client, limit time.Duration, do func(l *ldap.Conn, beat func()) (T, error)) (value T, from *server, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	order, results, beats := c.order(nil), make(chan result[T], len(c.servers)), make(chan struct{}, 1)
	next, waiting := 0, 0
	launch := func() {
		s := order[next]
		next, waiting = next+1, waiting+1
		go func() {
			v, err := run(ctx, s, beats, do)
			results <- result[T]{v, s, err}
		}()
	}
	launch()
	patience := time.NewTimer(c.hedge)
	defer patience.Stop()
	var last error
	for {
		select {
		case r := <-results:
			waiting--
			if r.err == nil || !gone(r.err) {
				return r.value, r.from, r.err
			}
			last = fmt.Errorf("%s: %w", r.from.raw, r.err)
			if ctx.Err() == nil {
				r.from.down(r.err)
			}
			if next < len(order) {
				launch()
				patience.Reset(c.hedge)
			} else if waiting == 0 {
				return value, nil, fmt.Errorf("%w: %w", flows.ErrUnavailable, last)
			}
		case <-beats:
			patience.Reset(c.hedge)
		case <-patience.C:
			if next < len(order) {
				go order[next-1].suspect(context.WithoutCancel(ctx))
				launch()
				patience.Reset(c.hedge)
			}
		case <-ctx.Done():
			return value, nil, fmt.Errorf("%w: %w", flows.ErrUnavailable, ctx.Err())
		}
	}
}

// run has do done by one server. A pooled connection may have died unseen: then
// once more, on a new one.
func run[T any](ctx context.Context, s *server, beats chan<- struct{}, do func(l *ldap.Conn, beat func()) (T, error)) (value T, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	limit := time.AfterFunc(s.patience(), func() { cancel(errFrozen) })
	defer limit.Stop()
	beat := func() {
		limit.Reset(s.patience())
		select {
		case beats <- struct{}{}:
		default:
		}
	}
	for {
		l, pooled, err := s.take(ctx)
		if err == nil {
			value, err = do(l.Conn, beat)
			if err == nil || !gone(err) {
				s.give(l)
				return value, err
			}
			l.cut()
		}
		switch {
		case ctx.Err() != nil:
			return value, away{context.Cause(ctx)}
		case !pooled:
			return value, err
		}
		s.drop()
	}
}

// gone tells an error of the way there from a server's own answer. What a server
// says that is about to stop, or is too busy, counts as gone: another may know.
func gone(err error) bool {
	var e *ldap.Error
	switch {
	case errors.As(err, new(own)):
		return false
	case errors.As(err, new(away)), !errors.As(err, &e):
		return true
	}
	switch e.ResultCode {
	case ldap.LDAPResultBusy, ldap.LDAPResultUnavailable, ldap.LDAPResultOther:
		return true
	}
	return e.ResultCode >= ldap.ErrorNetwork && e.ResultCode != ldap.ErrorFilterCompile
}
