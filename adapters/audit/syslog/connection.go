package syslog

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync/atomic"
)

// connection is the way to the server: dialled when it is needed, and again when it broke.
type connection struct {
	network, address string
	tls              *tls.Config
	turn             chan struct{} // holds one token: who has it may write
	conn             net.Conn
	gone             *atomic.Bool // the server closed conn
	ended            atomic.Bool
}

func newConnection(network, address string) *connection {
	c := &connection{network: network, address: address, turn: make(chan struct{}, 1)}
	c.turn <- struct{}{}
	return c
}

// framed: messages follow each other on a stream.
func (c *connection) framed() bool { return c.network != "udp" && c.network != "unixgram" }

// send writes one message, on a new connection if the old one turns out to be broken.
// A message of which a part was sent before is whole on the new one.
func (c *connection) send(ctx context.Context, m []byte) error {
	select {
	case <-c.turn:
		defer func() { c.turn <- struct{}{} }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if c.framed() {
		m = count(m)
	}
	old := c.conn != nil
	err := c.try(ctx, m)
	if err != nil && old && ctx.Err() == nil {
		err = c.try(ctx, m)
	}
	if c.ended.Load() { // an entry of a request that outlived its config
		c.shut()
	}
	return err
}

func (c *connection) try(ctx context.Context, m []byte) error {
	if c.conn != nil && c.gone.Load() {
		c.shut()
	}
	if c.conn == nil {
		if err := c.dial(ctx); err != nil {
			return err
		}
	}
	if at, ok := ctx.Deadline(); ok {
		_ = c.conn.SetWriteDeadline(at)
	}
	if _, err := c.conn.Write(m); err != nil {
		c.shut()
		return err
	}
	return nil
}

func (c *connection) dial(ctx context.Context) (err error) {
	switch c.network {
	case "tls":
		d := &tls.Dialer{Config: c.tls}
		c.conn, err = d.DialContext(ctx, "tcp", c.address)
	default:
		c.conn, err = new(net.Dialer).DialContext(ctx, c.network, c.address)
	}
	if err != nil {
		c.conn = nil
		return fmt.Errorf("connecting: %w", err)
	}
	c.gone = new(atomic.Bool)
	if c.framed() {
		go watch(c.conn, c.gone)
	}
	return nil
}

// watch notices that the server hung up: a first write would be taken all the same, and
// be lost.
func watch(conn net.Conn, gone *atomic.Bool) {
	b := make([]byte, 64)
	for {
		if _, err := conn.Read(b); err != nil {
			gone.Store(true)
			return
		}
	}
}

func (c *connection) shut() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// end closes the connection, or has whoever writes close it.
func (c *connection) end() {
	c.ended.Store(true)
	select {
	case <-c.turn:
		c.shut()
		c.turn <- struct{}{}
	default:
	}
}
