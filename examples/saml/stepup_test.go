//go:build real

package saml

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
)

// stronger are two more lines for the provider of the example. It says of each login
// over plain http that it was by a password, whatever it was asked for.
const stronger = `		provider again saml {
			metadata {$IDP_METADATA}
			sign_requests on
			authn_context urn:oasis:names:tc:SAML:2.0:ac:classes:Password
			realm corp
			hidden
		}
		provider card saml {
			metadata {$IDP_METADATA}
			sign_requests on
			authn_context urn:oasis:names:tc:SAML:2.0:ac:classes:SmartcardPKI
			realm corp
			hidden
		}
		flow main {
			login corp
		}
		flow again {
			login again
		}
		flow card {
			login card
		}
	}
}
`

// startStronger is start with those lines, and a step_up to each.
func startStronger(t *testing.T) federation {
	t.Helper()
	text := strings.NewReplacer("\t}\n}\n\n{$SITE}", stronger+"\n{$SITE}", "protect {\n", "protect main {\n",
		"require /admin/*", "step_up /admin/* again\n\t\tstep_up /vault/* card\n\t\trequire /admin/*").Replace(caddyfile)
	port := parts.Port(t)
	g := parts.Gateway(t, text, "APP="+parts.Echo(t), "IDP_METADATA="+parts.SAMLMetadata(port))
	metadata := g.URL + "/.identity/saml/%s/metadata"
	f := federation{g, parts.SimpleSAML(t, port, fmt.Sprintf(metadata, "corp"), fmt.Sprintf(metadata, "again"), fmt.Sprintf(metadata, "card"))}
	for _, name := range []string{"corp", "again", "card"} {
		parts.Await(t, "a login leads to the provider of "+name, 20*time.Second, func() error {
			if p := parts.Browser(t).Open(g.URL + "/.identity/login?provider=" + name); !strings.HasPrefix(p.URL, f.idp.URL+"/") {
				return fmt.Errorf("%d at %s", p.Status, p.URL)
			}
			return nil
		})
	}
	return f
}

// TestB25ARealSAMLProviderIsAskedForMore: it shows its form although she is signed in
// there (ForceAuthn). It does not look at the context that it is asked for, we look at
// its answer: another one is no after one trip.
func TestB25ARealSAMLProviderIsAskedForMore(t *testing.T) {
	t.Parallel()
	f := startStronger(t)
	b := parts.Browser(t)
	signIn(b.Open(f.g.URL+"/"), "alice").Want(http.StatusOK, "X-User-Key: corp:alice")

	signIn(f.asked(t, b, "/admin/x?y=1"), "alice").Want(http.StatusOK, "GET /admin/x?y=1", "X-User-Key: corp:alice")
	b.Open(f.g.URL+"/admin/z").Want(http.StatusOK, "GET /admin/z")
	if f.trips(b) != 0 {
		t.Errorf("asked again\nhops %q", b.Hops)
	}

	p := signIn(f.asked(t, b, "/vault/x"), "alice").Want(http.StatusForbidden, "stronger")
	if !strings.HasPrefix(p.URL, f.g.URL+"/") || f.trips(b) != 0 {
		t.Errorf("ended at %s, asked again %d times\nhops %q", p.URL, f.trips(b), b.Hops)
	}
	f.g.AwaitLog(t, "assurance_not_met")
	b.Open(f.g.URL+"/admin/z").Want(http.StatusOK, "X-User-Key: corp:alice") // the session is there as before
}

// asked opens a path and fails unless one trip leads to the provider's form.
func (f federation) asked(t *testing.T, b *parts.TestBrowser, path string) *parts.TestPage {
	t.Helper()
	p := b.Open(f.g.URL + path)
	if !strings.HasPrefix(p.URL, f.idp.URL+"/") || f.trips(b) != 1 {
		t.Fatalf("at %s after %d trips, want the provider's form after one\nhops %q", p.URL, f.trips(b), b.Hops)
	}
	return p
}

// trips is how often the newest navigation asked the provider for a login.
func (f federation) trips(b *parts.TestBrowser) int {
	return len(slices.DeleteFunc(slices.Clone(b.Hops), func(hop string) bool {
		return !strings.Contains(hop, f.idp.URL+"/saml2/idp/SSOService.php?SAMLRequest=")
	}))
}
