package sql

import (
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, in, want string }{
		{"plain", "SELECT a FROM t WHERE a = $1", ""},
		{"small, with an end", "select a from t where a=$1 ; ", ""},
		{"with", "WITH x AS (SELECT 1) SELECT * FROM x WHERE a = $1", ""},
		{"parentheses", "(SELECT a FROM t WHERE a = $1) UNION (SELECT a FROM u WHERE a = $1)", ""},
		{"quotes", `SELECT "into", 'it''s; -- no $2', ` + "`update`" + ` FROM t WHERE a = $1`, ""},
		{"arrays and JSON", `SELECT COALESCE(g, '{}'), j->>'a', j #>> '{a,b}', k ? 'x' FROM t WHERE a = $1`, ""},
		{"lines", "SELECT a\nFROM t\n\tWHERE lower(a) = lower($1)", ""},

		{"empty", "", "must begin with SELECT or WITH"},
		{"no value", "SELECT a FROM t", "everybody would be the same"},
		{"value in quotes", "SELECT a FROM t WHERE a = '$1'", "$1 in quotes is a text"},
		{"value in LIKE", "SELECT a FROM t WHERE a LIKE '%$1%'", "$1 in quotes is a text"},
		{"value in names", `SELECT "$1" FROM t WHERE a = $1`, "$1 in quotes is a text"},
		{"second", "SELECT a FROM t WHERE a = $1 AND b = $2", "no other parameter"},
		{"eleventh", "SELECT a FROM t WHERE a = $11", "no other parameter"},
		{"part of a name", "SELECT a FROM t WHERE x$1", "everybody would be the same"},
		{"dollar quotes", "SELECT $$x$$ FROM t WHERE a = $1", "$ cannot quote"},
		{"tagged", "SELECT $a$x$a$ FROM t WHERE a = $1", "$ cannot quote"},
		{"user", "SELECT a FROM t WHERE a = '{user.email}' OR a = $1", "{user.email} would become a part of the query"},
		{"header", "SELECT a FROM t WHERE a = $1 AND b = {http.request.header.X}", "would become a part of the query"},
		{"value of directory http", "SELECT a FROM t WHERE a = {value}", "{value} would become a part"},
		{"delete", "DELETE FROM t WHERE a = $1", "must begin with SELECT or WITH, not 'delete'"},
		{"explain", "EXPLAIN SELECT a FROM t WHERE a = $1", "must begin with SELECT or WITH"},
		{"two", "SELECT a FROM t WHERE a = $1; DROP TABLE t", "one statement"},
		{"hidden", "SELECT a FROM t WHERE a = $1 -- and active", "comments are not for the database"},
		{"hidden more", "SELECT a /*! , b */ FROM t WHERE a = $1", "comments are not for the database"},
		{"writing WITH", "WITH x AS (DELETE FROM t RETURNING a) SELECT a FROM x WHERE a = $1", "DELETE has no place"},
		{"into a table", "SELECT a INTO u FROM t WHERE a = $1", "INTO has no place"},
		{"into a file", "SELECT a FROM t WHERE a = $1 INTO OUTFILE '/tmp/x'", "INTO has no place"},
		{"for update", "SELECT a FROM t WHERE a = $1 FOR UPDATE", "UPDATE has no place"},
		{"share mode", "SELECT a FROM t WHERE a = $1 LOCK IN SHARE MODE", "LOCK has no place"},
		{"backslash", `SELECT a FROM t WHERE a = $1 AND b = '\' OR c = ' OR 1=1`, "a backslash in quotes"},
		{"backslash outside", `SELECT a FROM t WHERE a = $1 \g`, "a backslash or NUL"},
		{"no end", "SELECT a FROM t WHERE a = $1 AND b = 'x", "a ' has no end"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if _, err := read(tc.in); tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestSelects(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"SELECT mail FROM t WHERE x = $1": true, "SELECT x AS Mail FROM t WHERE x = $1": true, `SELECT x AS "mail" FROM t WHERE x = $1`: true,
		"SELECT * FROM t WHERE x = $1": true, "SELECT x FROM t WHERE x = $1": false, "SELECT 'mail' FROM t WHERE x = $1": false, "SELECT mail2 FROM t WHERE x = $1": false,
		"SELECT id FROM t WHERE mail = $1": false, "SELECT extract(year FROM born) y, mail FROM t WHERE x = $1": true, "SELECT id FROM (SELECT mail FROM t) q WHERE x = $1": true,
		"SELECT id, (SELECT count(1) FROM u WHERE mail = $1) n FROM t WHERE mail = $1": false, `SELECT id FROM "mail" WHERE x = $1`: false,
	} {
		if err := selects(text, "mail"); (err == nil) != want {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestUnmarshalCaddyfile(t *testing.T) {
	t.Parallel()
	const dsn = "dsn postgres://gw:{env.X}@db/hr\n"
	for _, tc := range []struct{ name, in, want string }{
		{"argument", "sql x", "takes no argument"},
		{"unknown word", "sql {\ntable x\n}", "sql has no option 'table'; there are: ca, cache, connections, dsn, insecure_plaintext, json, query, timeout"},
		{"no dsn", "sql {\n" + query + "}", "sql needs a dsn"},
		{"no query", "sql {\n" + dsn + "}", "sql needs a query"},
		{"dsn twice", "sql {\n" + dsn + dsn + "}", "dsn is written twice"},
		{"dsn in pieces", "sql {\ndsn postgres://gw:my hunter2@db/hr\n}", "dsn takes one argument, but got 2"},
		{"query in pieces", "sql {\n" + dsn + "query SELECT a FROM t\n}", "query takes 1 to 2 arguments"},
		{"bad query", "sql {\n" + dsn + "query \"SELECT a FROM t\"\n}", "query: $1 is missing"},
		{"bad named query", "sql {\n" + dsn + "query mail \"SELECT a FROM t\"\n}", "query mail: $1 is missing"},
		{"named for nothing", "sql {\n" + dsn + "query mail \"SELECT a FROM t WHERE mail = $1\"\n}", "query mail: the query selects no column 'mail'"},
		{"by what", "sql {\n" + dsn + "query 1 \"SELECT * FROM t WHERE a = $1\"\n}", "'1' is no name of an attribute"},
		{"two without name", "sql {\n" + dsn + query + query + "}", "of several queries each says"},
		{"two of a name", "sql {\n" + dsn + strings.Repeat("query mail \"SELECT mail FROM t WHERE a = $1\"\n", 2) + "}", "two queries by mail"},
		{"connections", "sql {\n" + dsn + query + "connections 0\n}", "no number from 1 to 1000"},
		{"cache", "sql {\n" + dsn + query + "cache soon\n}", "no duration"},
		{"timeout", "sql {\n" + dsn + query + "timeout 0s\n}", "no duration"},
		{"insecure", "sql {\n" + dsn + query + "insecure_plaintext on\n}", "insecure_plaintext takes no argument, but got 1"},
		{"ca", "sql {\n" + dsn + query + "ca\n}", "ca takes 1 to 16 arguments"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if _, err := parse(tc.in); err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "Testfile:") || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// FuzzRead: what is taken is one question, whose value is a parameter on both.
func FuzzRead(f *testing.F) {
	for _, s := range []string{"SELECT a FROM t WHERE a = $1", "with x as (select ';') select $1", "SELECT '''$1' || $1", "select `a` from \"b\" where $1;;", "SELECT $1--", "SELECT E'\\'' || $1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := read(text)
		if err != nil {
			return
		}
		var outside strings.Builder
		quote := byte(0)
		for _, p := range r.parts {
			for i := range len(p) {
				switch c := p[i]; {
				case quote == 0 && (c == '\'' || c == '"' || c == '`'):
					quote = c
				case quote == c:
					quote = 0
				case quote == 0:
					outside.WriteByte(c)
				}
			}
			if quote != 0 {
				t.Errorf("%q: a parameter is in quotes", text)
			}
		}
		if rest := outside.String(); strings.ContainsAny(rest, ";\\\x00") || strings.Contains(rest, "/*") {
			t.Errorf("%q: %q is outside of quotes", text, rest)
		}
		if len(r.parts) < 2 {
			t.Errorf("%q asks about nobody", text)
		}
	})
}
