package sql

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/sallyport-gateway/sallyport/flows"
)

// What one question may bring.
const (
	mostRows  = 100
	mostBytes = 1 << 20
	exactly   = 1 << 53 // up to here a float64 holds every whole number
)

// person is the one row whose column by holds the value.
func (d *Directory) person(ctx context.Context, tx *sql.Tx, q prepared, by, value string) (flows.Attributes, error) {
	// Rows that nobody will read are not waited for.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	rows, err := tx.QueryContext(ctx, q.text, slices.Repeat([]any{value}, q.parameters)...)
	if err != nil {
		return nil, err
	}
	r, err := d.newRow(rows)
	if err != nil {
		_ = rows.Close()
		return nil, err
	}
	var found flows.Attributes
	for n := 0; rows.Next(); n++ {
		a, err := r.attributes(rows)
		is, has := text(a, by)
		switch {
		case err != nil:
		case !has:
			err = unavailable(fmt.Errorf("the query answers no column '%s', by which the person is asked for; a row must say whose it is", by))
		case n == mostRows || sameText(is, value) && found != nil:
			err = fmt.Errorf("%w: several rows have this %s", flows.ErrAmbiguous, by)
		case sameText(is, value):
			found = a
		}
		if err != nil {
			cancel()
			_ = rows.Close()
			return nil, err
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, err
	}
	if found == nil {
		return nil, flows.ErrNotFound
	}
	for name, v := range found {
		if v == nil {
			delete(found, name)
		}
	}
	return found, nil
}

func unavailable(err error) error { return fmt.Errorf("%w: %w", flows.ErrUnavailable, err) }

// text is the column of a name, whatever its case, and whether there is one.
func text(a flows.Attributes, name string) (is string, has bool) {
	for column, v := range a {
		if !strings.EqualFold(column, name) {
			continue
		}
		switch v := v.(type) {
		case string:
			return v, true
		case float64:
			return strconv.FormatFloat(v, 'f', -1, 64), true
		}
		return "", true
	}
	return "", false
}

// sameText holds for texts that differ in the case of A to Z at most.
func sameText(a, b string) bool {
	if len(a) != len(b) || a == "" {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// row reads rows of a query.
type row struct {
	names, types []string
	json         []bool
	mysql        bool
	values       []any
	arrays       *pgtype.Map
}

func (d *Directory) newRow(rows *sql.Rows) (*row, error) {
	columns, err := rows.ColumnTypes()
	if err != nil {
		return nil, err
	}
	r := &row{mysql: d.mysql, values: make([]any, len(columns))}
	for i, c := range columns {
		name := c.Name()
		if slices.ContainsFunc(r.names, func(n string) bool { return strings.EqualFold(n, name) }) {
			return nil, unavailable(fmt.Errorf("the query answers two columns '%s'", name))
		}
		typ := c.DatabaseTypeName()
		r.names, r.types = append(r.names, name), append(r.types, typ)
		r.json = append(r.json, typ == "JSON" || typ == "JSONB" || slices.Contains(d.JSON, name))
		r.values[i] = new(any)
	}
	return r, nil
}

// attributes are the columns of the current row; nil is NULL, or what is no text.
func (r *row) attributes(rows *sql.Rows) (flows.Attributes, error) {
	if err := rows.Scan(r.values...); err != nil {
		return nil, err
	}
	a, size := flows.Attributes{}, 0
	for i, name := range r.names {
		v := *r.values[i].(*any)
		switch v := v.(type) {
		case string:
			size += len(v)
		case []byte:
			size += len(v)
		}
		if size > mostBytes {
			return nil, unavailable(errors.New("the query answers more than 1 MiB"))
		}
		var err error
		if a[name], err = r.attribute(i, v); err != nil {
			return nil, unavailable(fmt.Errorf("column %s: %w", name, err))
		}
	}
	return a, nil
}

func (r *row) attribute(i int, v any) (any, error) {
	switch v := v.(type) {
	case nil, bool:
		return v, nil
	case float64:
		return number(v), nil
	case int64:
		if v > exactly || v < -exactly {
			return strconv.FormatInt(v, 10), nil
		}
		return float64(v), nil
	case uint64:
		if v > exactly {
			return strconv.FormatUint(v, 10), nil
		}
		return float64(v), nil
	case float32:
		exact, err := strconv.ParseFloat(strconv.FormatFloat(float64(v), 'g', -1, 32), 64)
		return number(exact), err
	case time.Time:
		return moment(v, r.types[i], r.mysql), nil
	case []byte:
		if !r.json[i] && binary(r.types[i]) {
			return nil, nil
		}
		return r.text(i, string(v))
	case string:
		return r.text(i, v)
	}
	return nil, fmt.Errorf("a %T cannot be an attribute", v)
}

// number leaves out what JSON has no word for: NaN and infinity.
func number(v float64) any {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return v
}

// binary are types that hold no text, even if some value looks like one.
func binary(typ string) bool {
	return typ == "BYTEA" || typ == "BIT" || typ == "GEOMETRY" || typ == "VECTOR" || strings.HasSuffix(typ, "BLOB") || strings.HasSuffix(typ, "BINARY")
}

func (r *row) text(i int, v string) (any, error) {
	switch typ := r.types[i]; {
	case r.json[i]:
		var out any
		if err := json.Unmarshal([]byte(v), &out); err != nil {
			return nil, errors.New("the text is no JSON")
		}
		return out, nil
	case strings.HasPrefix(typ, "_"):
		return r.array(typ, v)
	case typ == "BPCHAR": // PostgreSQL fills char(n) with blanks, which are no part of the value
		v = strings.TrimRight(v, " ")
	}
	if !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
		return nil, nil
	}
	return v, nil
}

// array reads an array of PostgreSQL of one dimension.
func (r *row) array(typ, v string) (any, error) {
	if r.arrays == nil {
		r.arrays = pgtype.NewMap()
	}
	t, ok := r.arrays.TypeForName(strings.ToLower(typ))
	if !ok {
		return nil, fmt.Errorf("an array of %s; cast it to text[]", typ[1:])
	}
	var all []*string
	if err := r.arrays.Scan(t.OID, pgtype.TextFormatCode, []byte(v), &all); err != nil {
		return nil, errors.New("an array must have one dimension")
	}
	out := []any{}
	for _, s := range all {
		if s == nil {
			continue
		}
		e, err := element(strings.ToLower(typ[1:]), *s)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

func element(typ, v string) (any, error) {
	switch typ {
	case "bool":
		return v == "t", nil
	case "int2", "int4", "int8":
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n > exactly || n < -exactly {
			return v, nil
		}
		return float64(n), nil
	case "float4", "float8":
		n, err := strconv.ParseFloat(v, 64)
		return number(n), err
	case "json", "jsonb", "bytea":
		return nil, fmt.Errorf("an array of %s; let the database make JSON of all of it", typ)
	case "bpchar":
		return strings.TrimRight(v, " "), nil
	}
	return v, nil
}

// moment writes a time as RFC 3339 does; without a zone where the database knows none.
func moment(t time.Time, typ string, mysql bool) any {
	switch {
	case t.IsZero(): // MySQL's 0000-00-00
		return nil
	case typ == "DATE":
		return t.Format(time.DateOnly)
	case typ == "DATETIME", typ == "TIMESTAMP" && !mysql:
		return t.Format("2006-01-02T15:04:05.999999999")
	}
	return t.UTC().Format(time.RFC3339Nano)
}
