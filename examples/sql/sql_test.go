//go:build real

package sql

import (
	_ "embed"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
)

//go:embed Caddyfile
var example string

// onMariaDB is the example with the directory of the README.
func onMariaDB(text string) string {
	head, rest, _ := strings.Cut(text, "query <<SQL")
	_, tail, _ := strings.Cut(rest, "\t\t\t\tSQL\n")
	head = strings.Replace(head, "postgres://", "mariadb://", 1)
	head = strings.Replace(head, "sslmode=verify-full", "tls=true", 1)
	return head + "query `SELECT mail, number, department, (SELECT JSON_ARRAYAGG(role) FROM roles WHERE person = people.id) AS roles FROM people WHERE mail = lower($1) AND active`\n\t\t\tjson roles\n" + tail
}

func gateway(t *testing.T, text string, d *parts.Database) *parts.GatewayProcess {
	t.Helper()
	if d.Scheme == "mariadb" {
		text = onMariaDB(text)
	}
	return parts.Gateway(t, text, "APP="+parts.Echo(t), "HR="+d.Addr, "HR_CA="+d.CA, "HR_PASSWORD="+d.Password, "ALICE_HASH="+hash(t, "alicepw"), "BOB_HASH="+hash(t, "bobpw"))
}

func hash(t *testing.T, password string) string {
	t.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(h)
}

func login(t *testing.T, g *parts.GatewayProcess, name, path string) *parts.TestPage {
	t.Helper()
	b := parts.Browser(t)
	defer b.Close()
	form := b.Open(g.URL + path)
	p, err := form.Page.Fill("username", name, "password", name+"pw")
	if err != nil {
		t.Fatal(err)
	}
	return b.Page(p)
}

func TestPeopleAreLookedUp(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, d *parts.Database) {
		g := gateway(t, example, d)
		login(t, g, "alice", "/payroll/").Want(http.StatusOK, "X-Name: alice", "X-Employee: 4711", "X-Dept: finance", "X-Roles: payroll,staff")
		login(t, g, "bob", "/").Want(http.StatusForbidden, "does not know enough about you") // he left
		g.AwaitLog(t, `"reason":"not_in_directory"`)
		d.Exec("UPDATE people SET active = true WHERE mail = 'bob@example.test'")
		login(t, g, "bob", "/").Want(http.StatusOK, "X-Employee: 4712", "X-Roles: staff")
		login(t, g, "bob", "/payroll/").Want(http.StatusForbidden, "You need the payroll role.")

		d.Freeze()
		login(t, g, "alice", "/").Want(http.StatusServiceUnavailable)
		g.AwaitLog(t, "no answer within 2s")
		d.Thaw()
		login(t, g, "alice", "/").Want(http.StatusOK, "X-Employee: 4711")
		d.Crash()
		login(t, g, "alice", "/").Want(http.StatusServiceUnavailable)
		g.AwaitLog(t, `"reason":"directory_unavailable"`)
		d.Again()
		login(t, g, "alice", "/").Want(http.StatusOK, "X-Employee: 4711")
		if logs := g.Logs(); strings.Contains(logs, d.Password) || strings.Contains(logs, "p%40ss") {
			t.Error("the password is in the log")
		}
	})
}

// What is wrong with a database or a query is in the log before people are refused.
func TestOperatorReadsAtTheStart(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, d *parts.Database) {
		for _, tc := range []struct{ name, old, fresh, want string }{
			{"wrong password", "{env.HR_PASSWORD}", "{env.ALICE_HASH}", "gateway"},
			{"no table", "FROM people", "FROM peeple", "peeple"},
			{"no column", "department", "departement", "departement"},
			{"another authority", "\t\t\tca {$HR_CA}\n", "", "certificate"},
		} {
			text := example
			if d.Scheme == "mariadb" {
				text = onMariaDB(text)
			}
			g := parts.Gateway(t, strings.ReplaceAll(text, tc.old, tc.fresh), "APP="+parts.Echo(t), "HR="+d.Addr, "HR_CA="+d.CA, "HR_PASSWORD="+d.Password, "ALICE_HASH="+hash(t, "alicepw"), "BOB_HASH="+hash(t, "bobpw"))
			g.AwaitLog(t, "the database cannot be asked")
			if logs := g.Logs(); !strings.Contains(logs, tc.want) || !strings.Contains(logs, "Caddyfile:") {
				t.Errorf("%s: the log does not say %q:\n%s", tc.name, tc.want, logs)
			}
			g.Stop()
		}
	})
}
