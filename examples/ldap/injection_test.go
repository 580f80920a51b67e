//go:build real

package ldap

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// injections are names that mean something to a filter, a DN, a template or a
// careless parser, in front of, behind and in the place of a name that exists.
func injections() []string {
	all := []string{
		"*", "**", "a*", "*e", "al*ce", "alice*", "*alice", "(", ")", "()", "(*)", "&", "|", "!", "=", "*=*",
		"*)(uid=*", "*)(|(uid=*", "*)(uid=*))(|(uid=*", "alice)(uid=*", "alice))(|(uid=*", "alice)(|(uid=*)", "x)(|(uid=alice)", "x)(uid=alice",
		"*)(objectClass=*", "*))%00", "alice)(objectClass=person", "alice)(!(objectClass=computer)", "alice)(&)", "alice)(|(&))", "(&(uid=alice)(uid=alice))",
		"(uid=alice)", "uid=alice", "uid=alice,ou=people,dc=example,dc=test", "cn=reader,dc=example,dc=test", "cn=admin,dc=example,dc=test",
		"alice)(userPassword=*", "alice)(userPassword:2.5.13.18:=a", "alice)(cn:dn:=Alice", "alice)(memberOf=*", "alice)(:caseExactMatch:=x",
		"admin*)((|userPassword=*)", "*)(mail=*))(|(mail=*", "*)(sAMAccountName=*", "*)(1.2.840.113556.1.4.803:=2",
		`\2a`, `\28`, `\29`, `\5c`, `\00`, `al\69ce`, `\61lice`, `alice\00`, `alice\2a`, `x\2a`, `x\*`, `x\)(uid=*`, `a\b\alice`, `\\alice`,
		"alice\x00", "alice\x00*", "\x00", "alice\n(uid=*)", "ali\tce", "ali\r\nce", "al\x7fice", "\xff\xfe", "ali\xc3", "\xc0\xaa", "\xef\xbc\x8a",
		"{username}", "{dn}", "{user.name}", "{env.LDAP_PASSWORD}", "{$LDAP_PASSWORD}", "{file./etc/passwd}", "${jndi:ldap://127.0.0.1/a}",
		"alice@example.test@evil.test", "*@example.test", "alice@*", "alice%", "alice%2a", "%2a", "' or '1'='1", "alice;uid=*", "alice#", "#616c696365", `"alice"`, "alice,*", "alice+uid=*",
		strings.Repeat("(", 250), strings.Repeat("*", 256), strings.Repeat("a", 300), "", "   ",
	}
	return all
}

// I1: whatever is typed is a name: it finds nobody who is not called so, with the
// right password of somebody or with none.
func TestI1InjectionCorpus(t *testing.T) {
	t.Parallel()
	r := start(t)
	names := injections()
	if len(names) < 60 {
		t.Fatalf("only %d names", len(names))
	}
	passwords := []string{"", " ", "\x00", "\x00alicepw", "*", "alicepw\x00", "ALICEPW", "alicepw ", "{SSHA}", "alice", strings.Repeat("x", 2000)}
	r.each(len(names)+len(passwords), func(b *browser.Browser, i int) error {
		name, password := "alice", "alicepw"
		if i < len(names) {
			name = names[i]
		} else {
			password = passwords[i-len(names)]
		}
		p, err := r.try(b, network(i), name, password)
		if err == nil && (p.Status != http.StatusUnauthorized || p.Has("X-Name")) {
			err = fmt.Errorf("%q, %q: status %d\n%.300s", name, password, p.Status, p.Text())
		}
		return err
	})
	hits, binds := 0, 0
	for line := range strings.Lines(r.one.Output()) {
		switch {
		case strings.Contains(line, "SEARCH RESULT") && !strings.Contains(line, "nentries=0"):
			hits++
		case strings.Contains(line, " BIND ") && strings.Contains(line, "mech=SIMPLE") && !strings.Contains(line, "cn=reader"):
			binds++
		case strings.Contains(line, ` BIND dn="" method=128`), strings.Contains(line, "anonymous"):
			t.Errorf("somebody was nobody: %s", line)
		}
	}
	// The passwords were tried for alice, so she was found: by the search for her
	// account and the search in front of the bind.
	if most := 2 * len(passwords); hits > most || binds > 0 {
		t.Errorf("%d searches found somebody, at most %d may; %d binds succeeded", hits, most, binds)
	}
	r.login("203.0.113.9", "alice", "alicepw").Want(http.StatusOK, "X-Name: alice")
}
