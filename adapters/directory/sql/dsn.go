package sql

import (
	"crypto/tls"
	"crypto/x509"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

// target is a dsn that was read. No error shows any of it: where a password has a
// stray character, every part may be a part of the password.
type target struct {
	*url.URL
	mysql bool
}

var schemes = []string{"mariadb", "mysql", "postgres", "postgresql"}

var (
	schemeForm  = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9+.-]*://`)
	placeholder = regexp.MustCompile(`\{[^{}]*\}`)
)

// written is the dsn as far as it can be seen without secrets; nothing, where all of
// it is one.
func (d *Directory) written() (t target, err error) {
	switch {
	case d.DSN == "":
		return t, errors.New("sql needs a dsn, such as postgres://gateway:{file./run/secrets/hr}@db.example.com/hr")
	case strings.HasPrefix(d.DSN, "{"):
		return t, nil
	}
	return parseDSN(placeholder.ReplaceAllString(d.DSN, "x"))
}

// resolve fills in the placeholders. One that is a part of the dsn stays in its place,
// whatever characters its value has.
func (d *Directory) resolve() (t target, err error) {
	escape := func(s string) string { return s }
	if schemeForm.MatchString(d.DSN) {
		escape = func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
	}
	text, err := caddy.NewReplacer().ReplaceFunc(d.DSN, func(name string, v any) (any, error) {
		s := strings.TrimRight(caddy.ToString(v), "\r\n")
		if s == "" {
			return nil, fmt.Errorf("{%s} is empty or unknown", name)
		}
		return escape(s), nil
	})
	if err != nil {
		return t, fmt.Errorf("dsn: %w", err)
	}
	if t, err = parseDSN(text); err != nil {
		return t, err
	}
	return t, d.checkTLS(t)
}

func parseDSN(text string) (t target, err error) {
	scheme, _, ok := strings.Cut(text, "://")
	if !ok || !slices.Contains(schemes, scheme) {
		return t, fmt.Errorf("dsn: it must begin with one of %s, as in postgres://user:password@host:port/database", strings.Join(schemes, "://, ")+"://")
	}
	u, err := url.Parse(text)
	if err != nil {
		return t, errors.New("dsn: it cannot be read; characters such as @ / : # ? % of a password are written as %40 and so on, or the password is a placeholder")
	}
	t = target{u, scheme == "mysql" || scheme == "mariadb"}
	query, err := url.ParseQuery(u.RawQuery)
	switch name := strings.TrimPrefix(u.Path, "/"); {
	case err != nil || u.Fragment != "" || u.Opaque != "":
		return t, errors.New("dsn: what follows the ? or a # cannot be read; a # or ? of a password is written as %23 or %3F")
	case name == "" || strings.Contains(name, "/"):
		return t, errors.New("dsn: the path must be one name, that of the database, as in postgres://user:password@host:port/database")
	case u.Host == "" && query.Get("host") == "" && query.Get("socket") == "":
		return t, errors.New("dsn: it names no host")
	}
	for name := range query {
		if t.mysql && name != "socket" && name != "tls" {
			return t, errors.New("dsn: of MySQL's parameters there are socket and tls")
		}
	}
	if tls := query.Get("tls"); t.mysql && tls != "" && tls != "true" {
		return t, errors.New("dsn: tls can be true; insecure_plaintext speaks none")
	}
	if t.mysql && strings.Contains(u.Host, ",") {
		return t, errors.New("dsn: MySQL has one host")
	}
	return t, nil
}

func (t target) secret() string {
	p, _ := t.User.Password()
	return p + t.Query().Get("password") + t.Query().Get("sslpassword")
}

// hosts are all that the dsn names, without ports; a path is a socket.
func (t target) hosts() (all []string) {
	for _, h := range strings.Split(t.Host, ",") {
		if host, _, err := net.SplitHostPort(h); err == nil {
			h = host
		}
		all = append(all, strings.Trim(h, "[]"))
	}
	if hosts := t.Query().Get("host"); hosts != "" {
		all = strings.Split(hosts, ",") // libpq: parameters win
	}
	return all
}

// local reports that what is sent stays on this machine.
func (t target) local() bool {
	return t.Query().Get("socket") != "" || !slices.ContainsFunc(t.hosts(), func(h string) bool {
		return h != "" && !strings.HasPrefix(h, "/") && !outbound.Loopback(h)
	})
}

// secure reports whether TLS is spoken.
func (d *Directory) secure(t target) bool {
	asked := len(d.CA) > 0 || t.Query().Get("sslmode") == "verify-full" || t.Query().Get("tls") == "true"
	return asked || !t.local() && !d.InsecurePlaintext
}

// checkTLS refuses what only looks like TLS: require does not look whom it talks to.
func (d *Directory) checkTLS(t target) error {
	mode := t.Query().Get("sslmode")
	plain := mode == "disable" && (t.local() || d.InsecurePlaintext)
	switch {
	case mode != "" && mode != "verify-full" && !plain:
		return errors.New("dsn: sslmode can be verify-full, which is what happens without it; ca names who signed the certificate, insecure_plaintext speaks no TLS")
	case d.InsecurePlaintext && (d.secure(t) || len(d.CA) > 0):
		return errors.New("insecure_plaintext speaks no TLS, but the other lines want it")
	}
	return nil
}

// connector makes connections, each of which knows no secret of another directory.
func (d *Directory) connector(t target) (driver.Connector, error) {
	pool, err := d.authorities()
	if err != nil {
		return nil, err
	}
	if t.mysql {
		return d.mysqlConnector(t, pool)
	}
	query := t.Query()
	query.Set("sslmode", "disable")
	if d.secure(t) {
		query.Set("sslmode", "verify-full")
	}
	u := *t.URL
	u.RawQuery = query.Encode()
	conf, err := pgx.ParseConfig(u.String())
	if err != nil {
		return nil, fmt.Errorf("dsn: %w", t.withoutSecrets(err))
	}
	// Described anew each time: a changed table is no error, and a pooler between us
	// keeps nothing. What is simple would put the value into the query.
	conf.DefaultQueryExecMode = pgx.QueryExecModeDescribeExec
	for _, c := range append([]*pgconn.FallbackConfig{{TLSConfig: conf.TLSConfig}}, conf.Fallbacks...) {
		if c.TLSConfig != nil && pool != nil {
			c.TLSConfig.RootCAs = pool
		}
	}
	return stdlib.GetConnector(*conf), nil
}

// withoutSecrets is what the driver has against a dsn, without the dsn.
func (t target) withoutSecrets(err error) error {
	_, why, ok := strings.Cut(err.Error(), "`: ")
	if secret := t.secret(); !ok || secret != "" && strings.Contains(why, secret) {
		return errors.New("a parameter is wrong")
	}
	return errors.New(why)
}

func (d *Directory) mysqlConnector(t target, pool *x509.CertPool) (driver.Connector, error) {
	conf := mysql.NewConfig()
	conf.User, conf.DBName = t.User.Username(), strings.TrimPrefix(t.Path, "/")
	conf.Passwd, _ = t.User.Password()
	port := t.Port()
	if port == "" {
		port = "3306"
	}
	conf.Net, conf.Addr = "tcp", net.JoinHostPort(t.Hostname(), port)
	if socket := t.Query().Get("socket"); socket != "" {
		conf.Net, conf.Addr = "unix", socket
	}
	if d.secure(t) {
		conf.TLS = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.Hostname(), RootCAs: pool}
	}
	conf.ParseTime = true
	conf.Params = map[string]string{"time_zone": "'+00:00'"}
	conf.Logger = &mysql.NopLogger{} // errors come back, too
	return mysql.NewConnector(conf)
}

func (d *Directory) authorities() (*x509.CertPool, error) {
	if len(d.CA) == 0 {
		return nil, nil
	}
	pool := x509.NewCertPool()
	for _, name := range d.CA {
		pem, err := os.ReadFile(name) // #nosec G304 -- the operator names it
		if err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca: %s holds no certificate (PEM)", name)
		}
	}
	return pool, nil
}
