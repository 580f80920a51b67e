//go:build real

package twoproviders

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
)

// twice is one company, whose login asks for less than its step-up.
const twice = `{
	identity {
		provider north oidc {
			issuer {$NORTH_ISSUER}
			client_id {$NORTH_ID}
			client_secret {env.NORTH_SECRET}
			acr_values pwd
			realm north
		}
		provider strong oidc {
			issuer {$NORTH_ISSUER}
			client_id {$NORTH_ID}
			client_secret {env.NORTH_SECRET}
			acr_values phr
			realm north
			hidden
		}
		flow main {
			login north
		}
		flow confirm {
			login strong
		}
	}
}

{$SITE} {
	protect main {
		header X-User-Key {user.key}
		header X-ACR {auth.acr}
		step_up /admin/* confirm
	}
	reverse_proxy {$APP}
}
`

// TestB25ARealProviderIsAskedForMore: it shows its page although she is signed in there.
// What it then says is judged: another context, or none, is no after one trip.
func TestB25ARealProviderIsAskedForMore(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		contexts []string
		status   int
		texts    []string
	}{
		{"as asked", []string{"pwd", "phr"}, http.StatusOK, []string{"GET /admin/x?y=1", "X-User-Key: north:alice", "X-Acr: phr"}},
		{"another", []string{"pwd"}, http.StatusForbidden, []string{"stronger"}},
		{"none", nil, http.StatusForbidden, []string{"stronger"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			port := parts.Port(t)
			callback := "http://" + parts.Addr(port) + "/.identity/callback/"
			op := parts.OIDCContexts(t, parts.Port(t), "north", tc.contexts, callback+"north", callback+"strong")
			g := parts.GatewayAt(t, port, twice, "APP="+parts.Echo(t),
				"NORTH_ISSUER="+op.Issuer, "NORTH_ID="+op.Client, "NORTH_SECRET="+op.Secret)
			b := parts.Browser(t)
			b.Open(g.URL+"/").Fill("username", "alice", "password", "alicepw").Want(http.StatusOK, "X-User-Key: north:alice").Without("phr")

			p := b.Open(g.URL + "/admin/x?y=1")
			if !strings.HasPrefix(p.URL, op.Issuer+"/sign-in/") || trips(b, op) != 1 {
				t.Fatalf("at %s after %d trips, want the provider's page after one\nhops %q", p.URL, trips(b, op), b.Hops)
			}
			p = p.Fill("username", "alice", "password", "alicepw").Want(tc.status, tc.texts...)
			if !strings.HasPrefix(p.URL, g.URL+"/") || trips(b, op) != 0 {
				t.Errorf("ended at %s, asked again %d times\nhops %q", p.URL, trips(b, op), b.Hops)
			}
			b.Open(g.URL+"/other").Want(http.StatusOK, "X-User-Key: north:alice") // the session is there as before
			if tc.status == http.StatusForbidden {
				g.AwaitLog(t, "assurance_not_met")
				return
			}
			b.Open(g.URL+"/admin/z").Want(http.StatusOK, "GET /admin/z")
			if trips(b, op) != 0 {
				t.Errorf("asked again\nhops %q", b.Hops)
			}
		})
	}
}

// trips is how often the newest navigation asked the provider for a login.
func trips(b *parts.TestBrowser, op *parts.OIDCProvider) int {
	return len(slices.DeleteFunc(slices.Clone(b.Hops), func(hop string) bool {
		return !strings.HasPrefix(hop, "GET "+op.Issuer+"/auth?")
	}))
}
