package sql

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

func TestMain(m *testing.M) {
	for name, v := range map[string]string{"SALLYPORT_TEST_DB_PASSWORD": hostile, "SALLYPORT_TEST_DSN": "postgres://gw:whole-secret@127.0.0.1:1/hr", "SALLYPORT_TEST_BAD_DSN": "postgres://gw:se/cret@127.0.0.1:1/hr"} {
		if err := os.Setenv(name, v); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// hostile is a password with everything that means something in an address.
const hostile = "p@ss:w/o?r#d%41 &x=+[]\"'{}"

const lines = "dsn postgres://gw:{env.SALLYPORT_TEST_DB_PASSWORD}@127.0.0.1:1/hr\nquery \"SELECT mail, employee_id FROM people WHERE mail = $1\"\n"

func parse(text string) (*Directory, error) {
	d := new(Directory)
	return d, d.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
}

func provision(t *testing.T, text string) (*Directory, error) {
	t.Helper()
	d, err := parse(text)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	err = errors.Join(d.Provision(ctx), d.Bind(flowstest.NewRegistry()))
	t.Cleanup(func() { _ = d.Cleanup() })
	return d, err
}

// directory is one that asks a table that is no database.
func directory(t *testing.T, table *table, more string) *Directory {
	t.Helper()
	d, err := provision(t, "sql {\n"+lines+more+"\n}")
	if err != nil {
		t.Fatal(err)
	}
	table.t = t
	d.open(table.pool())
	return d
}

func people() *table {
	return &table{columns: []string{"mail", "employee_id"}, rows: [][]any{
		{"anna@example.com", "4711"}, {"both@example.com", "1"}, {"Both@example.com", "2"}, {nil, "3"},
	}}
}

func TestDirectory(t *testing.T) {
	t.Parallel()
	table := people()
	flowstest.TestDirectory(t, flowstest.DirectoryCase{
		Guest: directory(t, table, ""), By: "mail", Value: "anna@example.com", Attribute: "employee_id", Want: "4711", Twice: "both@example.com",
		Break: func() { table.err.Store(&mysql.ErrInvalidConn) },
	})
}

// A row counts if it says itself that it is the person's, whatever the database thinks equal.
func TestRowMustSayWhoseItIs(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		rows  [][]any
		value string
		want  any
		err   error
	}{
		{"its own", [][]any{{"a@x", "1"}}, "a@x", "1", nil},
		{"case", [][]any{{"A@X", "1"}}, "a@x", "1", nil},
		{"a number", [][]any{{int64(12), "1"}}, "12", "1", nil},
		{"a number in front", [][]any{{int64(12), "1"}}, "12abc", nil, flows.ErrNotFound},
		{"accent", [][]any{{"ána@x", "1"}}, "ana@x", nil, flows.ErrNotFound},
		{"blank", [][]any{{"a@x", "1"}}, "a@x ", nil, flows.ErrNotFound},
		{"Kelvin's K", [][]any{{"mark@x", "1"}}, "mar\u212a@x", nil, flows.ErrNotFound},
		{"long s", [][]any{{"sam@x", "1"}}, "ſam@x", nil, flows.ErrNotFound},
		{"NULL", [][]any{{nil, "1"}}, "a@x", nil, flows.ErrNotFound},
		{"one of them", [][]any{{"ána@x", "1"}, {"ana@x", "2"}}, "ana@x", "2", nil},
		{"two", [][]any{{"ana@x", "1"}, {"ana@x", "1"}}, "ana@x", nil, flows.ErrAmbiguous},
		{"no end", slicesOf(200, []any{"else", "1"}), "ana@x", nil, flows.ErrAmbiguous},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			d := directory(t, &table{columns: []string{"Mail", "employee_id"}, rows: tc.rows, all: true}, "")
			a, err := d.Find(t.Context(), "mail", tc.value)
			if !errors.Is(err, tc.err) || a["employee_id"] != tc.want {
				t.Errorf("got %v, %v, want %v, %v", a, err, tc.want, tc.err)
			}
		})
	}
	d := directory(t, &table{columns: []string{"employee_id"}, rows: [][]any{{"1"}}, all: true}, "")
	if _, err := d.Find(t.Context(), "mail", "a@x"); !errors.Is(err, flows.ErrUnavailable) || !strings.Contains(err.Error(), "no column 'mail'") {
		t.Errorf("a row that does not say whose it is: %v", err)
	}
}

func slicesOf(n int, row []any) (rows [][]any) {
	for range n {
		rows = append(rows, row)
	}
	return rows
}

// Whatever is asked for travels beside the query, in a transaction that can only read.
func TestValueIsAParameter(t *testing.T) {
	t.Parallel()
	table := people()
	d := directory(t, table, "")
	for _, value := range []string{"' OR '1'='1", "$1", "?", "a; DROP TABLE people", "x' UNION SELECT 'x', secret FROM keys --"} {
		_, _ = d.Find(t.Context(), "mail", value)
		if q := table.last.Load(); q == nil || q.text != "SELECT mail, employee_id FROM people WHERE mail = $1" || !reflect.DeepEqual(q.args, []any{value}) {
			t.Errorf("%q: sent %+v", value, q)
		}
	}
	if n := table.writable.Load(); n > 0 {
		t.Errorf("%d transactions could write", n)
	}
	if n := table.open.Load(); n != 0 {
		t.Errorf("%d transactions are open", n)
	}
}

// Of an error, only what cannot hold a secret or somebody's data is told.
func TestErrorsHoldNoData(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		err  error
		want string
		is   error
	}{
		{"no table", &pgconn.PgError{Code: "42P01", Message: `relation "peple" does not exist`}, `relation "peple" does not exist (SQLSTATE 42P01)`, flows.ErrUnavailable},
		{"data", &pgconn.PgError{Code: "P0001", Message: "anna@example.com is not to be read", Detail: "anna"}, "SQLSTATE P0001", flows.ErrUnavailable},
		{"no number", &pgconn.PgError{Code: "22P02", Message: `invalid input syntax for type integer: "anna@example.com"`}, "SQLSTATE 22P02", flows.ErrNotFound},
		{"division", &pgconn.PgError{Code: "22012", Message: "division by zero"}, "SQLSTATE 22012", flows.ErrUnavailable},
		{"read-only", &pgconn.PgError{Code: "25006", Message: "cannot execute INSERT in a read-only transaction"}, "read-only transaction", flows.ErrUnavailable},
		{"denied", &mysql.MySQLError{Number: 1045, SQLState: [5]byte([]byte("28000")), Message: "Access denied for user 'gw'@'localhost' (using password: YES)"}, "Access denied for user 'gw'", flows.ErrUnavailable},
		{"signal", &mysql.MySQLError{Number: 1644, SQLState: [5]byte([]byte("45000")), Message: "anna@example.com is not to be read"}, "error 1644", flows.ErrUnavailable},
		{"state unknown", &mysql.MySQLError{Number: 1105, Message: "anna"}, "error 1105", flows.ErrUnavailable},
		{"driver", fmt.Errorf("can't encode %q", "anna@example.com"), "the driver says no", flows.ErrUnavailable},
		{"gone", mysql.ErrInvalidConn, "invalid connection", flows.ErrUnavailable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			table := people()
			table.err.Store(&tc.err)
			a, err := directory(t, table, "").Find(t.Context(), "mail", "anna@example.com")
			if a != nil || !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "anna") {
				t.Errorf("got %v, %v, want %v: %s", a, err, tc.is, tc.want)
			}
		})
	}
}

func TestSlowDatabaseIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	table := people()
	table.hold = make(chan struct{})
	t.Cleanup(func() { close(table.hold) })
	_, err := directory(t, table, "timeout 50ms").Find(t.Context(), "mail", "anna@example.com")
	if !errors.Is(err, flows.ErrUnavailable) || !strings.Contains(err.Error(), "no answer within 50ms") {
		t.Errorf("got %v", err)
	}
}

func TestCache(t *testing.T) {
	t.Parallel()
	table := people()
	d := directory(t, table, "cache 5m")
	now := flowstest.Start
	d.now = func() time.Time { return now }
	for _, step := range []struct {
		value string
		after time.Duration
		want  int64
	}{{"anna@example.com", 0, 1}, {"anna@example.com", time.Minute, 1}, {"nobody@example.com", 0, 2}, {"nobody@example.com", 0, 2}, {"anna@example.com", 5 * time.Minute, 3}} {
		now = now.Add(step.after)
		_, _ = d.Find(t.Context(), "mail", step.value)
		if n := table.asked.Load(); n != step.want {
			t.Errorf("%+v: asked %d times", step, n)
		}
	}
	table.err.Store(&mysql.ErrInvalidConn)
	now = now.Add(time.Hour)
	for range 2 { // what could not be asked is asked again
		_, _ = d.Find(t.Context(), "mail", "anna@example.com")
	}
	if n := table.asked.Load(); n < 5 {
		t.Errorf("trouble was kept: asked %d times", n)
	}
}

// I17: a look-up of a request under way is answered after its config is gone.
func TestI17LookUpAfterCleanup(t *testing.T) {
	t.Parallel()
	table := people()
	d := directory(t, table, "")
	if _, err := d.Find(t.Context(), "mail", "anna@example.com"); err != nil {
		t.Fatal(err)
	}
	if err := d.Cleanup(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Find(t.Context(), "mail", "anna@example.com"); err != nil {
		t.Error(err)
	}
	if n := table.conns.Load(); n != 0 {
		t.Errorf("%d connections are kept", n)
	}
}

// The pool of a config that is gone ends, and not before nobody can reach it.
func TestPoolEndsWithItsConfig(t *testing.T) {
	t.Parallel()
	table := people()
	table.t, table.closed = t, make(chan struct{})
	d := new(Directory)
	d.open(table.pool())
	for range 100 {
		runtime.GC()
		select {
		case <-table.closed:
			t.Fatal("the pool ended too early")
		default:
		}
	}
	if err := d.Cleanup(); err != nil {
		t.Fatal(err)
	}
	d = nil
	for range 10000 {
		runtime.GC()
		select {
		case <-table.closed:
			return
		default:
		}
	}
	t.Error("the pool stays for ever")
}

func TestQueriesByAttribute(t *testing.T) {
	t.Parallel()
	table := people()
	d, err := provision(t, `sql {
		dsn mysql://gw:{env.SALLYPORT_TEST_DB_PASSWORD}@127.0.0.1:1/hr
		query mail "SELECT mail, employee_id FROM people WHERE mail = $1 OR alias = $1;"
		query employee_id "WITH p AS (SELECT * FROM people) SELECT * FROM p WHERE employee_id = $1"
	}`)
	if err != nil {
		t.Fatal(err)
	}
	table.t = t
	d.open(table.pool())
	if _, err := d.Find(t.Context(), "mail", "anna@example.com"); err != nil {
		t.Error(err)
	}
	if q := table.last.Load(); q.text != "SELECT mail, employee_id FROM people WHERE mail = ? OR alias = ?" || len(q.args) != 2 {
		t.Errorf("sent %+v", q)
	}
	if _, err := d.Find(t.Context(), "employee_id", "4711"); err != nil {
		t.Error(err)
	}
	for by, want := range map[string]string{"uid": "no query by 'uid'; there are: employee_id, mail", "mail": "", "employee_id": ""} {
		if err := flows.FindsBy(d, by); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", by, err)
		}
	}
	one := directory(t, people(), "")
	if err := one.FindsBy("uid"); err == nil || !strings.Contains(err.Error(), "selects no column 'uid'") {
		t.Errorf("got %v", err)
	}
	if err := one.FindsBy("MAIL"); err != nil {
		t.Error(err)
	}
}
