package sql

import (
	"net/url"
	"strings"
	"testing"
)

const query = "query \"SELECT mail FROM people WHERE mail = $1\"\n"

// A password that is a placeholder stays a password, whatever characters it has.
func TestPlaceholdersStayInTheirPlace(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"postgres", "postgresql", "mysql", "mariadb"} {
		d, err := provision(t, "sql {\ndsn "+scheme+"://gw:{env.SALLYPORT_TEST_DB_PASSWORD}@db.example:5/hr\n"+query+"}")
		if err != nil {
			t.Fatal(err)
		}
		u, err := d.resolve()
		if err != nil {
			t.Fatal(err)
		}
		if p, _ := u.User.Password(); p != hostile || u.Host != "db.example:5" || u.Path != "/hr" || u.RawQuery != "" || u.mysql != (scheme[0] == 'm') {
			t.Errorf("%s: %q becomes %s, password %q", scheme, hostile, u, p)
		}
	}
	d, err := provision(t, "sql {\ndsn {env.SALLYPORT_TEST_DSN}\n"+query+"}")
	if err != nil {
		t.Fatal(err)
	}
	if u, err := d.resolve(); err != nil || u.secret() != "whole-secret" {
		t.Errorf("got %v, %v", u, err)
	}
}

// Errors of a dsn say where it was written, and nothing of what is in it.
func TestDSN(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, dsn, more, want string }{
		{"no scheme", "gw:secret@tcp(db:3306)/hr", "", "must begin with one of mariadb://, mysql://, postgres://, postgresql://"},
		{"words", "\"host=db user=gw password=secret\"", "", "must begin with one of"},
		{"another scheme", "sqlserver://gw:secret@db/hr", "", "must begin with one of"},
		{"slash in the password", "postgres://gw:se/secret@db/hr", "", "written as %40"},
		{"hash in the password", "postgres://gw:1#secret@db/hr", "", "dsn: "},
		{"question mark in the password", "mysql://gw:1?secret@db/hr", "", "dsn: "},
		{"percent in the password", "postgres://gw:%secret@db/hr", "", "written as %40"},
		{"no database", "postgres://gw:secret@db", "", "that of the database"},
		{"two", "mysql://gw:secret@db/hr/secret", "", "that of the database"},
		{"no host", "mysql:///hr", "", "names no host"},
		{"options of the driver", "mysql://gw:secret@db/hr?allowAllFiles=true&interpolateParams=true", "", "there are socket and tls"},
		{"skip-verify", "mysql://gw:secret@db/hr?tls=skip-verify", "", "tls can be true"},
		{"two hosts", "mysql://gw:secret@a,b/hr", "", "MySQL has one host"},
		{"sslmode require", "postgres://gw:secret@db/hr?sslmode=require", "", "sslmode can be verify-full"},
		{"sslmode prefer here", "postgres://gw:secret@localhost/hr?sslmode=prefer", "", "sslmode can be verify-full"},
		{"sslmode disable", "postgres://gw:secret@db/hr?sslmode=disable", "", "sslmode can be verify-full"},
		{"both", "postgres://gw:secret@db/hr?sslmode=verify-full", "insecure_plaintext", "the other lines want it"},
		{"ca and none", "mysql://gw:secret@db/hr", "insecure_plaintext\nca x.pem", "the other lines want it"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := parse("sql {\ndsn " + tc.dsn + "\n" + query + tc.more + "\n}")
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "Testfile:") || strings.Contains(err.Error(), "secret") {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	for _, tc := range []struct{ name, dsn, more, want string }{
		{"unknown", "{env.SALLYPORT_TEST_NOTHING}", "", "{env.SALLYPORT_TEST_NOTHING} is empty or unknown"},
		{"unknown part", "postgres://gw:{env.SALLYPORT_TEST_NOTHING}@db/hr", "", "is empty or unknown"},
		{"broken", "{env.SALLYPORT_TEST_BAD_DSN}", "", "written as %40"},
		{"parameter", "postgres://gw:secret@db/hr?target_session_attrs=x", "", "target_session_attrs"},
		{"port", "postgres://gw:secret@db:99999/hr", "", "port"},
		{"file", "mysql://gw:secret@db/hr", "ca /nowhere.pem", "/nowhere.pem"},
		{"no certificate", "mysql://gw:secret@db/hr", "ca dsn_test.go", "holds no certificate"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := provision(t, "sql {\ndsn "+tc.dsn+"\n"+query+tc.more+"\n}")
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), ", at Testfile:1") || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "cret@") {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// TLS is spoken to every other machine, and everybody is looked at.
func TestWhoGetsTLS(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		dsn, more string
		want      bool
	}{
		{"postgres://gw@db.example/hr", "", true},
		{"postgres://gw@127.0.0.1,db.example/hr", "", true},
		{"postgres://gw@/hr?host=db.example", "", true},
		{"postgres://gw@127.0.0.1/hr?host=db.example", "", true},
		{"postgres://gw@[::1]:5/hr", "", false},
		{"postgres://gw@localhost/hr", "", false},
		{"postgres://gw@/hr?host=/run/postgresql", "", false},
		{"postgres://gw@127.0.0.1/hr?sslmode=verify-full", "", true},
		{"postgres://gw@db.example/hr", "insecure_plaintext", false},
		{"postgres://gw@db.example/hr?sslmode=disable", "insecure_plaintext", false},
		{"mysql://gw@db.example/hr", "", true},
		{"mysql://gw@127.0.0.1/hr", "", false},
		{"mysql://gw@127.0.0.1/hr?tls=true", "", true},
		{"mysql://gw@db.example/hr", "insecure_plaintext", false},
		{"mariadb://gw@/hr?socket=/run/mysqld/mysqld.sock", "", false},
		{"mysql://gw@10.0.0.1/hr", "", true},
	} {
		d, err := provision(t, "sql {\ndsn "+tc.dsn+"\n"+query+tc.more+"\n}")
		if err != nil {
			t.Errorf("%s: %v", tc.dsn, err)
			continue
		}
		u, err := d.resolve()
		if err != nil || d.secure(u) != tc.want {
			t.Errorf("%s %s: TLS %v, %v", tc.dsn, tc.more, d.secure(u), err)
		}
	}
}

// FuzzDSN: what is refused is not shown, and what is taken is one address.
func FuzzDSN(f *testing.F) {
	for _, s := range []string{"postgres://gw:XYZZY@h/d", "mysql://gw:XYZZY@h:1/d?tls=true", "postgres://XYZZY", "mysql://gw:%XYZZY@h/d", "mariadb:///d?socket=/s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := parseDSN(text)
		if err != nil && strings.Contains(text, "XYZZY") && strings.Contains(err.Error(), "XYZZY") {
			t.Errorf("%q: %v", text, err)
		}
		if err == nil {
			if again, err := url.Parse(u.String()); err != nil || again.Host != u.Host || len(u.hosts()) == 0 {
				t.Errorf("%q: %v", text, err)
			}
		}
	})
}
