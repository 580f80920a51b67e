//go:build real

package ldap

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
)

// looking makes the replica of the example a second directory, which is asked for
// telephone numbers.
func looking(more string) string {
	text := strings.Replace(caddyfile, " {$LDAP_URL_REPLICA}", "", 1)
	text = strings.Replace(text, "\t}\n}\n\n{$SITE}", `		directory phones ldap {
			url {$LDAP_URL_REPLICA}
			start_tls
			ca {$LDAP_CA_REPLICA}
			bind_dn cn=reader,dc=example,dc=test
			bind_password {env.LDAP_PASSWORD}
			base_dn ou=people,dc=example,dc=test
			filter (objectClass=inetOrgPerson)
		}
		flow staff {
			login corp
			lookup phones {
				by mail {user.email}
				attribute phone telephoneNumber
				`+more+`
			}
			set reachable `+"`has(user.phone)`"+`
		}
	}
}

{$SITE}`, 1)
	return strings.Replace(text, "header X-Dept {user.department}", "header X-Dept {user.department}\n\t\theader X-Phone {user.phone}\n\t\theader X-Reachable {user.reachable}", 1)
}

func TestLookup(t *testing.T) {
	t.Parallel()
	r := run(t, looking("overwrite"), parts.LDAP(t), parts.LDAP(t))
	r.login(network(0), "alice", "alicepw").Want(http.StatusOK, "X-Phone: +15550100,+15550101", "X-Reachable: true")
	r.login(network(0), "bob", "bobpw").Want(http.StatusForbidden, "does not know enough about you")
	r.login(network(0), "f(r*a)n", "frankpw").Want(http.StatusForbidden) // no address to be looked up by
	r.gate.AwaitLog(t, `"reason":"not_in_directory"`)
	r.replica.Freeze()
	r.login(network(0), "alice", "alicepw").Want(http.StatusServiceUnavailable)
	r.gate.AwaitLog(t, `"reason":"directory_unavailable"`)
	r.replica.Thaw()
}

func TestLookupMayGoOnWithout(t *testing.T) {
	t.Parallel()
	r := run(t, looking("missing continue\n\t\t\t\tunavailable continue"), parts.LDAP(t), parts.LDAP(t))
	r.login(network(0), "bob", "bobpw").Want(http.StatusOK, "X-Reachable: false").Without("X-Phone")
	r.replica.Kill()
	r.login(network(0), "alice", "alicepw").Want(http.StatusOK, "X-Reachable: false").Without("X-Phone")
}
