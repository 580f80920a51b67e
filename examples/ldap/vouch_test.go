//go:build real

package ldap

import (
	"context"
	"errors"
	"testing"

	"github.com/caddyserver/caddy/v2"
	dispenser "github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	guest "github.com/sallyport-gateway/sallyport/adapters/idp/ldap"
	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

// Who comes with a passkey is asked after: by entryUUID, and whether they still fit
// the filter.
func TestVouchForWhoIsNotHere(t *testing.T) {
	t.Parallel()
	dir := parts.LDAP(t)
	p := new(guest.Provider)
	if err := p.UnmarshalCaddyfile(dispenser.NewTestDispenser("ldap {\nurl " + dir.URL + "\nstart_tls\nca " + dir.CA + "\nbind_dn " + dir.Reader + "\nbind_password " + dir.Password + "\nbase_dn " + dir.Base + "\nfilter (&(departmentNumber=finance)(uid={username}))\n}")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	if err := errors.Join(p.Provision(ctx), p.Bind(flowstest.NewRegistry())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Cleanup() })

	const alice, bob = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
	u, _, err := p.Vouch(t.Context(), alice)
	if err != nil || u.Name != "alice" || u.Subject != alice || len(u.Groups) != 2 {
		t.Errorf("alice: %+v, %v", u, err)
	}
	for name, subject := range map[string]string{"bob, who does not fit": bob, "nobody": "33333333-3333-4333-8333-333333333333", "a name": "alice", "a filter": "*"} {
		if u, _, err := p.Vouch(t.Context(), subject); !errors.Is(err, flows.ErrCredentials) {
			t.Errorf("%s: %+v, %v", name, u, err)
		}
	}
	dir.Modify("uid=alice,ou=people,dc=example,dc=test", map[string][]string{"departmentNumber": {"sales"}})
	if u, _, err := p.Vouch(t.Context(), alice); !errors.Is(err, flows.ErrCredentials) {
		t.Errorf("alice, who changed: %+v, %v", u, err)
	}
	dir.Freeze()
	if _, _, err := p.Vouch(t.Context(), alice); errors.Is(err, flows.ErrCredentials) || flows.ReasonOf(err) != flows.ReasonProviderDown {
		t.Errorf("frozen: %v", err)
	}
}
