//go:build real

package ldap

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
)

// C18: the second server is used when the first is killed and when it is frozen,
// and the first again when it is back. How long a login took is logged; the
// bound is what a person would put up with, since other tests share the machine.
func TestC18SecondServerIsUsed(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.login(network(0), "alice", "alicepw").Want(http.StatusOK)
	if n := len(r.replica.Asked()); n > 3 { // the watch over both
		t.Errorf("the replica is asked while the first answers: %q", r.replica.Asked())
	}
	r.one.Freeze()
	r.quick("frozen")
	r.quick("frozen, and known to be")
	r.login(network(0), "alice", "wrong").Want(http.StatusUnauthorized)
	r.one.Thaw()
	r.back("thawed")

	r.one.Kill()
	r.quick("killed")
	r.quick("killed, and known to be")
	r.one.Again()
	r.back("started again")

	r.one.Kill()
	r.replica.Kill()
	r.login(network(0), "alice", "alicepw").Want(http.StatusServiceUnavailable)
	r.one.Again()
	r.replica.Again()
	r.back("both started again")
}

func (r *rig) quick(what string) {
	r.t.Helper()
	begin := time.Now()
	r.login(network(0), "alice", "alicepw").Want(http.StatusOK, "X-Name: alice")
	took := time.Since(begin)
	r.t.Logf("%s: the login took %s", what, took.Round(time.Millisecond))
	if took > 5*time.Second {
		r.t.Errorf("%s: the login took %s", what, took)
	}
}

// back waits until the first server is asked for passwords again.
func (r *rig) back(what string) {
	r.t.Helper()
	n := r.binds("uid=alice")
	parts.Await(r.t, what, 30*time.Second, func() error {
		r.login(network(0), "alice", "alicepw").Want(http.StatusOK)
		if r.binds("uid=alice") == n {
			return fmt.Errorf("the replica answers")
		}
		return nil
	})
}

// No login leaves a connection behind.
func TestNoConnectionLeaksAfterThousandLogins(t *testing.T) {
	t.Parallel()
	dir := parts.LDAP(t)
	r := run(t, strings.Replace(caddyfile, " {$LDAP_URL_REPLICA}", "", 1), dir, dir)
	r.login(network(0), "alice", "alicepw").Want(http.StatusOK)
	before := files(t, r.gate.Pid())
	r.each(1000, func(b *browser.Browser, i int) error {
		p, err := r.try(b, network(i), "alice", "alicepw")
		if err == nil && p.Status != http.StatusOK {
			err = fmt.Errorf("status %d: %.300s", p.Status, p.Text())
		}
		return err
	})
	if n := r.binds("uid=alice"); n != 1001 {
		t.Errorf("%d binds for 1,001 logins", n)
	}
	if n := r.binds("cn=reader"); n > 100 {
		t.Errorf("the reader signed in %d times: the pool does not hold", n)
	}
	parts.Await(t, "connections are closed", 30*time.Second, func() error {
		if n := connections(t, dir.Port); n > 8 {
			return fmt.Errorf("%d connections to the directory are open", n)
		}
		if n := files(t, r.gate.Pid()); n > before+20 {
			return fmt.Errorf("%d files are open, %d were", n, before)
		}
		return nil
	})
}

// connections are the established ones of this machine to a port.
func connections(t *testing.T, port int) (n int) {
	t.Helper()
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); len(f) > 3 && f[3] == "01" && strings.HasSuffix(f[2], fmt.Sprintf(":%04X", port)) {
			n++
		}
	}
	return n
}

func files(t *testing.T, pid int) int {
	t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// A member of 5,000 groups gets all of them, by memberOf and by a search, which
// the server gives 1,000 at a time.
func TestFiveThousandGroups(t *testing.T) {
	t.Parallel()
	const n = 5000
	var ldif, memberOf strings.Builder
	for i := range n {
		dn := fmt.Sprintf("cn=g%04d,ou=groups,dc=example,dc=test", i)
		fmt.Fprintf(&ldif, "dn: %s\nobjectClass: groupOfNames\nmember: uid=mary,ou=people,dc=example,dc=test\n\n", dn)
		fmt.Fprintf(&memberOf, "memberOf: %s\n", dn)
	}
	mary := "dn: uid=mary,ou=people,dc=example,dc=test\nobjectClass: inetOrgPerson\ncn: Mary\nsn: Mary\nuserPassword: marypw\n" + memberOf.String()
	dir := parts.LDAP(t, mary, ldif.String())
	for _, more := range []string{"", "\n\t\t\tgroups ou=groups,dc=example,dc=test (member={dn})"} {
		text := strings.Replace(caddyfile, " {$LDAP_URL_REPLICA}", "", 1)
		text = strings.Replace(text, "\t\t\tattribute department", more+"\n\t\t\tattribute department", 1)
		text = strings.Replace(text, "\t\theaders siteminder\n", "", 1)
		text = strings.Replace(text, "header X-Groups {user.groups}", "header X-Groups {user.groups} {\n\t\t\tmax 65536\n\t\t}", 1)
		text = strings.Replace(text, "require /admin/*", "require `user.groups.size() == 5000 && user.group_dns.size() == 5000 && \"g4999\" in user.groups`\n\t\trequire /admin/*", 1)
		r := run(t, text, dir, dir)
		var took []time.Duration
		for range 9 {
			begin := time.Now()
			p := r.login(network(0), "mary", "marypw").Want(http.StatusOK, "X-Name: mary", "g0000", "g4999")
			took = append(took, time.Since(begin).Round(time.Millisecond))
			if got := len(regexp.MustCompile(`\bg\d{4}\b`).FindAllString(p.Body, -1)); got != n {
				t.Errorf("the application sees %d groups", got)
			}
		}
		slices.Sort(took)
		t.Logf("%d groups, by search %v: the logins took %s", n, more != "", took)
		if median := took[len(took)/2]; median > 3*time.Second { // other tests share the machine
			t.Errorf("the login took %s", median)
		}
	}
}
