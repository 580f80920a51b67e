package sql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"sync/atomic"
	"testing"
)

// table is a driver with one table: whatever is asked, it answers the rows with the
// parameter in their first column (in the column employee_id, where the query ends in it).
type table struct {
	t       *testing.T
	columns []string
	rows    [][]any
	all     bool // all of the rows, as a careless collation would
	hold    chan struct{}
	err     atomic.Pointer[error]
	closed  chan struct{}

	last                         atomic.Pointer[sent]
	asked, writable, open, conns atomic.Int64
}

type sent struct {
	text string
	args []any
}

func (d *table) pool() *sql.DB { return sql.OpenDB(d) }

func (d *table) Connect(context.Context) (driver.Conn, error) { d.conns.Add(1); return &conn{d}, nil }

func (d *table) Close() error {
	if d.closed != nil {
		close(d.closed)
	}
	return nil
}

func (d *table) Driver() driver.Driver { return nil }

type conn struct{ d *table }

func (c *conn) Prepare(string) (driver.Stmt, error) { return nil, errors.New("not prepared") }
func (c *conn) Close() error                        { c.d.conns.Add(-1); return nil }
func (c *conn) Begin() (driver.Tx, error) { return nil, errors.New("not without options") }

func (c *conn) Commit() error   { c.d.t.Error("committed"); c.d.open.Add(-1); return nil }
func (c *conn) Rollback() error { c.d.open.Add(-1); return nil }

func (c *conn) BeginTx(_ context.Context, o driver.TxOptions) (driver.Tx, error) {
	if !o.ReadOnly {
		c.d.writable.Add(1)
	}
	c.d.open.Add(1)
	return c, nil
}

func (c *conn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	c.d.asked.Add(1)
	if c.d.hold != nil {
		select {
		case <-c.d.hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if err := c.d.err.Load(); err != nil {
		return nil, *err
	}
	s := &sent{text: text}
	for _, a := range args {
		s.args = append(s.args, a.Value)
	}
	c.d.last.Store(s)
	r := &rows{columns: c.d.columns}
	for _, row := range c.d.rows {
		for i, v := range row {
			if c.d.all || i < 2 && row[0] != nil && (v == args[0].Value || sameText(str(v), str(args[0].Value))) {
				r.rows = append(r.rows, row)
				break
			}
		}
	}
	return r, nil
}

func str(v any) string { s, _ := v.(string); return s }

type rows struct {
	columns []string
	rows    [][]any
}

func (r *rows) Columns() []string { return r.columns }
func (r *rows) Close() error      { return nil }

func (r *rows) Next(to []driver.Value) error {
	if len(r.rows) == 0 {
		return io.EOF
	}
	for i, v := range r.rows[0] {
		to[i] = v
	}
	r.rows = r.rows[1:]
	return nil
}
