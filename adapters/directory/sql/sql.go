// Package sql looks people up in a database: PostgreSQL, MySQL, MariaDB.
package sql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() {
	caddy.RegisterModule(new(Directory))
}

const (
	usualTimeout     = 5 * time.Second
	usualConnections = 8
	mostConnections  = 1000
	// Firewalls drop idle connections without a word, and a name may lead elsewhere
	// after a while.
	idleFor, usedFor = time.Minute, 30 * time.Minute
)

// Directory knows what a database says of people. Everything is asked in a read-only
// transaction, and what is asked for travels as a parameter, never as a part of the
// query.
//
// A row is a person and a column an attribute: texts, numbers and booleans as they
// are, numbers that are not exact otherwise as texts, dates and times as in RFC 3339,
// arrays as lists, JSON as what it holds. NULL and what is no text (bytea, blob) is
// missing. Names are those the database answers: PostgreSQL writes a name without
// quotes in small letters.
//
// The row says whose it is: the query must select the column that a lookup asks by,
// and a row counts only if that column holds the very value, but for the case of A
// to Z. So it stays nobody when the collation of a database takes é for e, or the
// text 12x for the number 12. Two rows that count are ambiguous.
type Directory struct {
	// Where the database is: postgres:// or postgresql://, mysql:// or mariadb://, then
	// user:password@host:port/database. Placeholders, {file./abs/path} or {env.X}, may
	// be all of it, or parts, which are taken with whatever characters they have. Of
	// PostgreSQL's parameters all may follow; of MySQL's socket=<path> and tls=true.
	//
	// TLS with a verified certificate is spoken to every host but this one.
	DSN string `json:"dsn"`
	// What is asked, for each attribute that a lookup asks by.
	Queries []Query `json:"queries"`
	// Columns whose texts are JSON, where the database does not say so itself: MariaDB
	// never does. So JSON_ARRAYAGG is a list there.
	JSON []string `json:"json,omitempty"`
	// How many connections there may be at once; default 8.
	Connections int `json:"connections,omitempty"`
	// How long an answer is used again; default: it is not.
	Cache caddy.Duration `json:"cache,omitempty"`
	// How long one question may take, the waiting for a connection included; default 5s.
	Timeout caddy.Duration `json:"timeout,omitempty"`
	// Files with the certificates (PEM) that may have signed the database's; default:
	// those the system trusts. The name in the dsn must be in the certificate.
	CA []string `json:"ca,omitempty"`
	// Send the password and people's data unencrypted to another machine; default: no,
	// TLS is spoken. A warning says it at every load.
	InsecurePlaintext bool `json:"insecure_plaintext,omitempty"`
	// The file and line it was written at.
	Source string `json:"source,omitempty"`

	db      *sql.DB
	mysql   bool
	queries map[string]prepared
	known   *flows.FindCache
	now     func() time.Time
	log     *zap.Logger
}

// Query asks for a person.
type Query struct {
	// The attribute that a lookup must ask by; it must be one of the columns. Default:
	// whatever it asks by. Then it is the only query.
	By string `json:"by,omitempty"`
	// One SELECT, or one WITH that ends in it. $1 is the value, wherever it stands and
	// on every database.
	SQL string `json:"sql"`
}

// CaddyModule returns the Caddy module information.
func (*Directory) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.directories.sql", New: func() caddy.Module { return new(Directory) }}
}

// Provision resolves the secret and reads certificates. It touches no network: the
// first question opens the first connection.
func (d *Directory) Provision(ctx caddy.Context) error {
	d.log = ctx.Logger()
	if err := d.check(); err != nil {
		return d.place(err)
	}
	t, err := d.resolve()
	if err != nil {
		return d.place(err)
	}
	connector, err := d.connector(t)
	if err != nil {
		return d.place(err)
	}
	d.mysql = t.mysql
	if d.queries, err = d.prepare(); err != nil {
		return d.place(err)
	}
	d.log = d.log.With(zap.String("host", t.Host), zap.String("source", d.Source))
	if !strings.Contains(d.DSN, "{") && t.secret() != "" {
		d.log.Warn("secret stands in the configuration and can be read at /config/; use {file./…} or {env.…}", zap.String("field", "dsn"))
	}
	if d.InsecurePlaintext && !t.local() {
		d.log.Warn("people's data and the password go to the database unencrypted: anybody on the way can read them")
	}
	d.open(sql.OpenDB(connector))
	return nil
}

// open makes a pool ours.
func (d *Directory) open(db *sql.DB) {
	n := d.Connections
	if n == 0 {
		n = usualConnections
	}
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	db.SetConnMaxIdleTime(idleFor)
	db.SetConnMaxLifetime(usedFor)
	d.db = db
	runtime.AddCleanup(d, func(db *sql.DB) { _ = db.Close() }, db)
}

// place says where an error was written.
func (d *Directory) place(err error) error {
	if err == nil || d.Source == "" {
		return err
	}
	return fmt.Errorf("%w, at %s", err, d.Source)
}

// Bind takes the clock.
func (d *Directory) Bind(r flows.Registry) error {
	d.now, d.known = r.Now, flows.NewFindCache(time.Duration(d.Cache))
	return nil
}

// Cleanup lets go of idle connections. Look-ups of requests under way still find
// theirs (I17); the pool itself ends when none of them can reach it any more.
func (d *Directory) Cleanup() error {
	if d.db != nil {
		d.db.SetMaxIdleConns(-1)
	}
	return nil
}

// Warm asks the database what it thinks of the queries, so that the operator reads of
// a wrong password or a missing table before people do.
func (d *Directory) Warm(ctx context.Context) {
	if err := d.ready(ctx); err != nil && ctx.Err() == nil {
		d.log.Warn("the database cannot be asked", zap.Error(err))
	}
}

// Health answers nil when the database can be asked.
func (d *Directory) Health() error { return d.ready(context.Background()) }

func (d *Directory) ready(ctx context.Context) error {
	return d.within(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, q := range d.queries {
			s, err := tx.PrepareContext(ctx, q.text)
			if err != nil {
				return err
			}
			_ = s.Close()
		}
		return nil
	})
}

// within does something in a read-only transaction, which the database ends.
func (d *Directory) within(ctx context.Context, do func(ctx context.Context, tx *sql.Tx) error) error {
	limit := usualTimeout
	if d.Timeout > 0 {
		limit = time.Duration(d.Timeout)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tx, err := d.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err == nil {
		err = do(ctx, tx)
		_ = tx.Rollback()
	}
	if err != nil && ctx.Err() != nil && !settled(err) {
		return fmt.Errorf("%w: no answer within %s: %w", flows.ErrUnavailable, limit, ctx.Err())
	}
	return trouble(err)
}

var attributeForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,127}$`)

// Find asks the database for the one row that has the value in the column by.
func (d *Directory) Find(ctx context.Context, by, value string) (a flows.Attributes, err error) {
	if !attributeForm.MatchString(by) {
		return nil, fmt.Errorf("'%s' is no name of an attribute", by)
	}
	q, ok := d.queryFor(by)
	if !ok {
		return nil, d.FindsBy(by)
	}
	if value == "" || len(value) > 1024 || !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) {
		return nil, flows.ErrNotFound
	}
	key, now := by+"\x00"+value, d.now()
	if a, err, ok := d.known.Get(key, now); ok {
		return a, err
	}
	err = d.within(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
		a, err = d.person(ctx, tx, q, by, value)
		return err
	})
	if err == nil || errors.Is(err, flows.ErrNotFound) {
		d.known.Put(key, a, err, now)
	}
	return a, err
}

func (d *Directory) queryFor(by string) (prepared, bool) {
	if q, ok := d.queries[by]; ok {
		return q, true
	}
	q, ok := d.queries[""]
	return q, ok
}

// FindsBy answers nil where there is a query by an attribute.
func (d *Directory) FindsBy(by string) error {
	var have []string
	for _, q := range d.Queries {
		if q.By == by || q.By == "" {
			return selects(q.SQL, by)
		}
		have = append(have, q.By)
	}
	slices.Sort(have)
	return fmt.Errorf("there is no query by '%s'; there are: %s", by, strings.Join(have, ", "))
}

// Interface guards
var (
	_ caddy.Provisioner     = (*Directory)(nil)
	_ caddy.CleanerUpper    = (*Directory)(nil)
	_ caddyfile.Unmarshaler = (*Directory)(nil)
	_ flows.Binder          = (*Directory)(nil)
	_ flows.Directory       = (*Directory)(nil)
	_ flows.Selective       = (*Directory)(nil)
	_ flows.Health          = (*Directory)(nil)
)
