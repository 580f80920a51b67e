package sql

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sallyport-gateway/sallyport/flows"
)

// told are the classes of SQLSTATE whose words are about the connection and the query
// as it is written. What others say may hold somebody's data.
var told = []string{"08", "25", "28", "3D", "3F", "42", "53", "57", "70"}

// noValue are the codes of PostgreSQL for a parameter that can never be a value of the
// column: nobody's number is called n/a.
var noValue = []string{"22P02", "22003", "22025"}

// settled says that an error is an answer, and none of the database's trouble.
func settled(err error) bool {
	return errors.Is(err, flows.ErrNotFound) || errors.Is(err, flows.ErrAmbiguous) || errors.Is(err, flows.ErrUnavailable)
}

// trouble is an error without secrets and without what was asked for.
func trouble(err error) error {
	var pg *pgconn.PgError
	switch {
	case err == nil || settled(err):
		return err
	case errors.As(err, &pg) && slices.Contains(noValue, pg.Code):
		return fmt.Errorf("%w: no value of this column can be so (SQLSTATE %s)", flows.ErrNotFound, pg.Code)
	}
	return fmt.Errorf("%w: %w", flows.ErrUnavailable, clean(err))
}

func clean(err error) error {
	var (
		connect *pgconn.ConnectError
		pg      *pgconn.PgError
		my      *mysql.MySQLError
	)
	switch {
	case errors.As(err, &connect): // the server's words before it was asked anything
		return errors.New(strings.Join(strings.Fields(connect.Error()), " "))
	case errors.As(err, &pg):
		return said(pg.Code, pg.Message, "")
	case errors.As(err, &my):
		return said(string(my.SQLState[:]), my.Message, fmt.Sprintf(", error %d", my.Number))
	case ofTheWay(err):
		return err
	}
	return fmt.Errorf("the driver says no (%T)", err)
}

func said(state, message, more string) error {
	if len(state) < 2 || !slices.Contains(told, state[:2]) {
		return fmt.Errorf("the database says no (SQLSTATE %s%s); its own log says why", state, more)
	}
	if len(message) > 300 {
		message = message[:300] + "…"
	}
	return fmt.Errorf("the database says: %s (SQLSTATE %s%s)", message, state, more)
}

// ofTheWay are errors of the connection, whose words name hosts and nothing else.
func ofTheWay(err error) bool {
	for _, known := range []error{context.DeadlineExceeded, context.Canceled, io.EOF, io.ErrUnexpectedEOF, driver.ErrBadConn, mysql.ErrInvalidConn, mysql.ErrNoTLS, sql.ErrConnDone, net.ErrClosed} {
		if errors.Is(err, known) {
			return true
		}
	}
	return errors.As(err, new(*net.OpError)) || errors.As(err, new(*net.DNSError)) || errors.As(err, new(*tls.CertificateVerificationError)) ||
		errors.As(err, new(x509.UnknownAuthorityError)) || errors.As(err, new(x509.HostnameError)) || errors.As(err, new(tls.RecordHeaderError))
}
