//go:build real

package sql

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	guest "github.com/sallyport-gateway/sallyport/adapters/directory/sql"
	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

var shared = []string{
	`CREATE TABLE people (id int PRIMARY KEY, mail varchar(200), number varchar(20), department varchar(100), active boolean, grade numeric(8,2), big bigint, ratio double precision, born date, code char(6), note text)`,
	`CREATE TABLE roles (person int, role varchar(100))`,
	`CREATE TABLE secrets (mail varchar(200), secret text)`,
	`CREATE TABLE visits (mail varchar(200))`,
	`INSERT INTO people VALUES
		(1, 'alice@example.test', '4711', 'finance', true, 12.50, 9007199254740993, 0.25, '1990-02-03', 'ab', NULL),
		(2, 'bob@example.test', '4712', 'it', false, 0, 12, 1, '1990-02-03', 'ab', 'x'),
		(3, 'both@example.test', '1', 'it', true, 0, 0, 1, '1990-02-03', 'ab', 'x'),
		(4, 'both@example.test', '2', 'it', true, 0, 0, 1, '1990-02-03', 'ab', 'x'),
		(5, 'o''brien@example.test', '4713', 'it', true, 0, 0, 1, '1990-02-03', 'ab', 'x'),
		(6, 'rené@example.test', '4714', 'it', true, 0, 0, 1, '1990-02-03', 'ab', 'x')`,
	`INSERT INTO roles VALUES (1, 'payroll'), (1, 'staff'), (2, 'staff')`,
	`INSERT INTO secrets VALUES ('alice@example.test', 'the secret')`,
}

var onlyPostgres = []string{
	`ALTER TABLE people ADD roles text[], ADD numbers int[], ADD flags boolean[], ADD seen timestamptz, ADD local timestamp, ADD extra jsonb, ADD id_card uuid, ADD picture bytea`,
	`UPDATE people SET roles = ARRAY(SELECT role FROM roles WHERE person = id ORDER BY role)`,
	`UPDATE people SET numbers = '{1,2}', flags = '{t,f}', seen = '2026-01-02 03:04:05+01', local = '2026-01-02 03:04:05', extra = '{"a": [1, "b"]}', id_card = '11111111-1111-4111-8111-111111111111', picture = '\xff' WHERE id = 1`,
	`CREATE FUNCTION visit(who varchar) RETURNS int LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN INSERT INTO visits VALUES (who); RETURN 1; END $$`,
}

var onlyMariaDB = []string{
	`ALTER TABLE people ADD seen timestamp NULL, ADD local datetime, ADD extra json, ADD picture blob`,
	`SET STATEMENT time_zone = '+01:00' FOR UPDATE people SET seen = '2026-01-02 03:04:05', local = '2026-01-02 03:04:05', extra = '{"a": [1, "b"]}', picture = 'xy' WHERE id = 1`,
	`CREATE FUNCTION visit(who varchar(200)) RETURNS int MODIFIES SQL DATA SQL SECURITY DEFINER BEGIN INSERT INTO visits VALUES (who); RETURN 1; END`,
}

// each runs a test with both databases.
func each(t *testing.T, do func(t *testing.T, d *parts.Database)) {
	t.Helper()
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		do(t, parts.Postgres(t, append(shared[:len(shared):len(shared)], onlyPostgres...)...))
	})
	t.Run("mariadb", func(t *testing.T) {
		t.Parallel()
		do(t, parts.MariaDB(t, append(shared[:len(shared):len(shared)], onlyMariaDB...)...))
	})
}

// directory is the guest, bound, as its lines in a Caddyfile say; the password of the
// dsn is in the environment.
func directory(t *testing.T, d *parts.Database, lines string) *guest.Directory {
	t.Helper()
	name := fmt.Sprintf("SALLYPORT_TEST_%d", os.Getpid()) + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return r
		}
		return '_'
	}, strings.ToLower(t.Name()))
	if err := os.Setenv(name, d.Password); err != nil {
		t.Fatal(err)
	}
	g := new(guest.Directory)
	if err := g.UnmarshalCaddyfile(caddyfile.NewTestDispenser("sql {\ndsn " + d.Scheme + "://gateway:{env." + name + "}@" + d.Addr + "/hr\n" + lines + "\n}")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	if err := errors.Join(g.Provision(ctx), g.Bind(flowstest.NewRegistry())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Cleanup() })
	return g
}

const byMail = "query mail `SELECT mail, number FROM people WHERE mail = $1`\n"

func TestConformance(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, d *parts.Database) {
		flowstest.TestDirectory(t, flowstest.DirectoryCase{
			Guest: directory(t, d, byMail), By: "mail", Value: "alice@example.test", Attribute: "number", Want: "4711", Twice: "both@example.test", Break: d.Crash,
		})
	})
}

func TestColumnsBecomeAttributes(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, d *parts.Database) {
		want := flows.Attributes{
			"mail": "alice@example.test", "number": "4711", "department": "finance", "grade": "12.50", "big": "9007199254740993", "ratio": 0.25, "born": "1990-02-03",
			"code": "ab", "seen": "2026-01-02T02:04:05Z", "local": "2026-01-02T03:04:05", "extra": map[string]any{"a": []any{1.0, "b"}}, "id": 1.0,
		}
		lines := "query `SELECT * FROM people WHERE mail = $1`\n"
		if d.Scheme == "postgres" {
			want["active"], want["roles"], want["numbers"], want["flags"] = true, []any{"payroll", "staff"}, []any{1.0, 2.0}, []any{true, false}
			want["id_card"] = "11111111-1111-4111-8111-111111111111"
		} else {
			want["active"] = 1.0
			lines += "json extra\n"
		}
		got, err := directory(t, d, lines).Find(t.Context(), "mail", "ALICE@example.test")
		if d.Scheme == "postgres" { // which tells A from a
			got, err = directory(t, d, lines).Find(t.Context(), "mail", "alice@example.test")
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got  %#v, %v\nwant %#v", got, err, want)
		}
	})
}

// I1: whatever is asked for is a value: it finds nobody who is not called so, and
// changes nothing.
func TestI1InjectionCorpus(t *testing.T) {
	t.Parallel()
	all := injections()
	if len(all) < 60 {
		t.Fatalf("only %d values", len(all))
	}
	each(t, func(t *testing.T, d *parts.Database) {
		lines := byMail +
			"query number `SELECT number, mail FROM people WHERE lower(number) = lower($1)`\n" +
			"query id `SELECT id, mail FROM people WHERE id = $1`\n" +
			"query note `SELECT mail AS note, number FROM people WHERE mail LIKE $1`\n"
		g := directory(t, d, lines)
		hits := 0
		for _, value := range all {
			for _, by := range []string{"mail", "number", "id", "note"} {
				a, err := g.Find(t.Context(), by, value)
				if err == nil {
					hits++
				}
				if !errors.Is(err, flows.ErrNotFound) && !errors.Is(err, flows.ErrAmbiguous) {
					t.Errorf("%s %q: %v, %v", by, value, a, err)
				}
			}
		}
		t.Logf("%d values, %d hits", len(all), hits)
		if hits > 0 || d.Count("SELECT count(*) FROM people") != 6 || d.Count("SELECT count(*) FROM visits") != 0 {
			t.Errorf("%d hits, or something was written", hits)
		}
		for by, value := range map[string]string{"mail": "o'brien@example.test", "number": "4713", "id": "5", "note": "o'brien@example.test"} {
			if a, err := g.Find(t.Context(), by, value); err != nil {
				t.Errorf("%s %q: %v, %v", by, value, a, err)
			}
		}
	})
}

// The database itself refuses to write, whatever the query calls.
func TestNothingIsWritten(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, d *parts.Database) {
		g := directory(t, d, "query `SELECT mail, visit(mail) AS n FROM people WHERE mail = $1`\n")
		a, err := g.Find(t.Context(), "mail", "alice@example.test")
		if !errors.Is(err, flows.ErrUnavailable) || !strings.Contains(strings.ToLower(err.Error()), "read-only transaction") && !strings.Contains(strings.ToLower(err.Error()), "read only transaction") {
			t.Errorf("got %v, %v", a, err)
		}
		if n := d.Count("SELECT count(*) FROM visits"); n != 0 {
			t.Errorf("%d rows were written", n)
		}
		if n := d.Count("SELECT visit('administrator')"); n != 1 || d.Count("SELECT count(*) FROM visits") != 1 {
			t.Error("the function cannot write anyway: the test shows nothing")
		}
	})
}

func TestFrozenKilledAndBack(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, d *parts.Database) {
		g := directory(t, d, byMail+"timeout 1s\nconnections 4")
		find := func() error { _, err := g.Find(t.Context(), "mail", "alice@example.test"); return err }
		down := func(what string) {
			t.Helper()
			begin := time.Now()
			var wg sync.WaitGroup
			for range 10 { // more than there are connections
				wg.Go(func() {
					if err := find(); !errors.Is(err, flows.ErrUnavailable) || strings.Contains(err.Error(), "alice") || strings.Contains(err.Error(), d.Password) {
						t.Errorf("%s: %v", what, err)
					}
				})
			}
			wg.Wait()
			took := time.Since(begin)
			t.Logf("%s: ten questions took %s", what, took.Round(time.Millisecond))
			if took > 3*time.Second {
				t.Errorf("%s: %s", what, took)
			}
		}
		if err := errors.Join(find(), g.Health()); err != nil {
			t.Fatal(err)
		}
		d.Freeze()
		down("frozen")
		d.Thaw()
		if err := find(); err != nil {
			t.Errorf("thawed: %v", err)
		}
		d.Crash()
		down("killed")
		if g.Health() == nil {
			t.Error("a dead database is well")
		}
		d.Again()
		if err := find(); err != nil {
			t.Errorf("started again: %v", err)
		}
	})
}

// A query that takes too long is ended, here and there.
func TestSlowQueryIsEnded(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, d *parts.Database) {
		sleep := "pg_sleep(60)::text"
		running := "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND state = 'active' AND pid <> pg_backend_pid()"
		if d.Scheme == "mariadb" {
			sleep, running = "sleep(60)", "SELECT count(*) FROM information_schema.processlist WHERE info LIKE '%sleep(60)%' AND user = 'gateway'"
		}
		g := directory(t, d, "timeout 500ms\nquery `SELECT mail, "+sleep+" AS z FROM people WHERE mail = $1`\n")
		if _, err := g.Find(t.Context(), "mail", "alice@example.test"); !errors.Is(err, flows.ErrUnavailable) || !strings.Contains(err.Error(), "no answer within 500ms") {
			t.Errorf("got %v", err)
		}
		parts.Await(t, "the query is ended", 20*time.Second, func() error {
			if n := d.Count(running); n > 0 {
				return fmt.Errorf("%d run", n)
			}
			return nil
		})
	})
}

// injections are values that mean something to SQL, to a driver, a template or a
// careless parser, and such that only resemble somebody's.
func injections() []string {
	return []string{
		"'", "''", `"`, "`", "\\", `\'`, "';", "' --", "'/*", "*/", "--", "#", ";", "%", "_", "%%", "*", "?", "$1", "$2", "${1}", ":1", "@x", "@@version", "{}", "{value}", "{user.email}", "{env.HR_PASSWORD}",
		"' OR '1'='1", "' OR 1=1 --", "' OR 1=1 #", "' OR ''='", `" OR ""="`, "1 OR 1=1", "1) OR (1=1", "') OR ('1'='1", "' OR mail LIKE '%", "' || '1'='1", "' AND sleep(1)='", "'; SELECT pg_sleep(1); --",
		"alice@example.test' --", "alice@example.test' #", "alice@example.test'/*", "alice@example.test' OR 'a'='b", "x' OR mail='alice@example.test", "alice@example.test'; --", "alice@example.test\\",
		"'; DROP TABLE people; --", "'; DELETE FROM people; --", "'; INSERT INTO visits VALUES ('x'); --", "'; UPDATE people SET active=true; --", "'; COPY people TO '/tmp/x'; --", "' INTO OUTFILE '/tmp/x", "'; COMMIT; --", "'; ROLLBACK; --",
		"x' UNION SELECT mail, secret FROM secrets --", "x' UNION ALL SELECT NULL, NULL --", "' UNION SELECT user, password FROM mysql.user #", "' AND 1=(SELECT visit('x')) --", "visit('x')", "(SELECT mail FROM people LIMIT 1)",
		"alice@example.test ", " alice@example.test", "alice@example.test\t", "alice@example.test\n", "alice@example.test\x00", "alice@example.test\x00x", "alíce@example.test", "ａｌｉｃｅ@example.test", "alice@example.test\u200b", "ALICE@EXAMPLE.TEST\u0000", "rene@example.test", "RENÉ@example.test", "rene\u0301@example.test",
		"%@example.test", "a%", "alice@example.tes_", "_lice@example.test", "alice%",
		"1abc", "1 ", "1.0", "01", "+1", "1e0", "0x1", "1;", "1-0", "-1", "NULL", "null", "true", "NaN", "Infinity", "99999999999999999999999", "4711 ", "4711abc", "04711",
		"\xff\xfe", "\xbf'", "\xbf\x27 OR 1=1 --", "\xe5\x27", "ʼ OR 1=1", "＇ OR 1=1", "\u02bc", "alice@example.test\xc0\xa7", "E'\\x27'", "0x61", "CHAR(39)", "chr(39)", "U&'\\0027'", strings.Repeat("'", 500), strings.Repeat("a", 2000), strings.Repeat("\\", 999),
	}
}
