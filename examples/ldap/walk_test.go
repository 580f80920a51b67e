//go:build real

package ldap

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestPeopleSignIn(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.login(network(0), "alice", "alicepw").Want(http.StatusOK,
		"Sm_user: alice", "Sm_userdn: uid=alice,ou=people,dc=example,dc=test",
		"X-Name: alice", "X-Dept: finance", "X-Groups: admins,staff", "X-Mail: alice@example.test")
	r.login(network(0), "bob", "bobpw").Want(http.StatusOK, "X-Name: bob", "X-Groups: staff", "cn=Bob (O").Without("X-Dept")
	r.login(network(0), `f(r*a)n`, "frankpw").Want(http.StatusOK, "X-Name: f(r*a)n")

	// A group that somebody comes into counts at the next login: memberOf is the server's own work.
	r.login(network(0), "bob", "bobpw").Want(http.StatusOK).Without("admins")
	r.one.Modify("cn=admins,ou=groups,dc=example,dc=test", map[string][]string{
		"member": {"uid=alice,ou=people,dc=example,dc=test", `cn=Bob (O'Brien\, Jr.) *,ou=people,dc=example,dc=test`},
	})
	r.login(network(0), "bob", "bobpw").Want(http.StatusOK, "admins")
	if logs := r.gate.Logs(); strings.Contains(logs, "alicepw") || strings.Contains(logs, "readerpw") || strings.Contains(logs, "bobpw") {
		t.Error("a password is in the log")
	}
}

func TestSpellingsOfOnePerson(t *testing.T) {
	t.Parallel()
	r := start(t)
	for _, name := range []string{"alice", "ALICE", " alice ", "alice@example.test", "Alice@EXAMPLE.test", `CORP\alice`, `corp\Alice@example.test`, "ａｌｉｃｅ"} {
		r.login(network(1), name, "alicepw").Want(http.StatusOK, "X-Name: alice")
	}
	// One account, whatever is typed: one user, one list of sessions.
	if n := strings.Count(r.gate.Logs(), `"user":"corp:11111111-1111-4111-8111-111111111111"`); n < 8 {
		t.Errorf("%d of 8 logins are alice's own", n)
	}
}

// M2: spellings of a name do not multiply guesses. OpenLDAP folds wide letters, too.
func TestM2SpellingsDoNotMultiplyGuesses(t *testing.T) {
	t.Parallel()
	r := start(t)
	spellings := []string{"alice", "ALICE", "alice@example.test", `A\alice`, `B\alice`, "ａｌｉｃｅ", " alice"}
	late := 0
	for i := range 3 * len(spellings) {
		p := r.login(network(2), spellings[i%len(spellings)], "wrong")
		if p.Status == http.StatusTooManyRequests {
			late++
		} else {
			p.Want(http.StatusUnauthorized)
		}
	}
	// The wait after the fifth is a second, so a slow machine may check one or two more.
	if n := r.binds("uid=alice"); n < 5 || n > 8 || late == 0 {
		t.Errorf("%d guesses were checked, %d refused", n, late)
	}
	r.login("203.0.113.9", "alice", "alicepw").Want(http.StatusOK, "X-Name: alice")
}

// binds counts the passwords that were checked against a DN.
func (r *rig) binds(dn string) (n int) {
	for _, line := range r.one.Asked() {
		if strings.Contains(line, `BIND dn="`+dn) {
			n++
		}
	}
	return n
}

// M4: known and unknown names look the same, to the person and to a stop-watch: as
// many searches, as many binds.
func TestM4KnownAndUnknownNames(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.login(network(3), "alice", "alicepw").Want(http.StatusOK) // the pool is filled
	shape := func(from int, name string) (string, []string) {
		before := len(r.one.Asked())
		p := r.login(network(from), name, "wrong").Want(http.StatusUnauthorized)
		var kinds []string
		for _, line := range r.one.Asked()[before:] {
			if !strings.Contains(line, `base=""`) && !strings.Contains(line, "cn=reader") {
				kinds = append(kinds, line[:4])
			}
		}
		return strings.ReplaceAll(p.Text(), name, "NAME"), kinds
	}
	text, kinds := shape(4, "alice")
	if !slices.Equal(kinds, []string{"SRCH", "SRCH", "BIND"}) {
		t.Fatalf("alice costs %q", kinds)
	}
	for i, name := range []string{"bob", "nobody", "zzzzz", "nobody@example.test", `X\nobody`} {
		if gotText, gotKinds := shape(5+i, name); gotText != text || !slices.Equal(gotKinds, kinds) {
			t.Errorf("%s: %q\n%s\nalice: %q\n%s", name, gotKinds, gotText, kinds, text)
		}
	}
}

func TestAccountStates(t *testing.T) {
	t.Parallel()
	r := start(t)
	// Told to who knew the password …
	r.login(network(0), "erin", "erinpw").Want(http.StatusForbidden, "expired or must be changed")
	r.login(network(0), "dora", "dorapw").Want(http.StatusForbidden, "expired or must be changed")
	// … and to nobody else.
	r.login(network(0), "erin", "wrong").Want(http.StatusUnauthorized).Without("expired")
	r.login(network(0), "dora", "wrong").Want(http.StatusUnauthorized).Without("changed")
	r.gate.AwaitLog(t, `"reason":"password_expired"`)

	// The third wrong password locks lola: then the right one reads as a wrong one.
	wrong := ""
	for i := range 3 {
		wrong = r.login(network(10+i), "lola", "wrong").Want(http.StatusUnauthorized).Text()
	}
	if right := r.login(network(14), "lola", "lolapw").Want(http.StatusUnauthorized).Text(); right != wrong {
		t.Errorf("locked reads %q, wrong %q", right, wrong)
	}
	r.login(network(15), "gina", "ginapw").Want(http.StatusUnauthorized)
}
