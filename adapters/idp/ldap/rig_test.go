package ldap

import (
	"context"
	"os"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/adapters/internal/ldapconn/ldaptest"
	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

func TestMain(m *testing.M) {
	if err := os.Setenv("SALLYPORT_TEST_READER", "readerpw"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

const people = ",ou=people,dc=example,dc=test"

func reader() *ldaptest.Entry {
	return &ldaptest.Entry{DN: "cn=reader,dc=example,dc=test", Password: "readerpw"}
}

func alice() *ldaptest.Entry {
	return &ldaptest.Entry{
		DN: "uid=alice" + people, Password: "alicepw",
		Attrs: map[string][]string{
			"objectClass": {"inetOrgPerson", "person"}, "uid": {"alice"}, "cn": {"Alice Liddell"}, "mail": {"alice@example.test"},
			"entryUUID": {"0b5ee8a6-5a9b-103f-8f0c-5d0b6a6f0b5e"}, "departmentNumber": {"finance"}, "telephoneNumber": {"+15550100", "+15550101"},
			"memberOf":     {"cn=admins,ou=groups,dc=example,dc=test", "cn=staff,ou=groups,dc=example,dc=test"},
			"userPassword": {"{SSHA}secret"}, "jpegPhoto": {"\xff\xd8\xff"},
		},
	}
}

func bob() *ldaptest.Entry {
	return &ldaptest.Entry{
		DN: `cn=Bob (O'Brien\, Jr.) *` + people, Password: "bobpw",
		Attrs: map[string][]string{
			"objectClass": {"person"}, "uid": {"bob"}, "cn": {"Bob (O'Brien, Jr.) *"}, "mail": {"bob@example.test"},
		},
	}
}

// start runs a server with the reader and these entries.
func start(t testing.TB, entries ...*ldaptest.Entry) *ldaptest.Server {
	t.Helper()
	s := &ldaptest.Server{Entries: append([]*ldaptest.Entry{reader()}, entries...)}
	return s.Start(t)
}

// lines configure a provider for a server.
func lines(s *ldaptest.Server, more string) string {
	return "ldap {\nurl " + s.URL() + "\nbind_dn cn=reader,dc=example,dc=test\nbind_password {env.SALLYPORT_TEST_READER}\nbase_dn dc=example,dc=test\n" + more + "\n}"
}

func parse(text string) (*Provider, error) {
	p := new(Provider)
	return p, p.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
}

// provider is one that is ready to be asked.
func provider(t testing.TB, text string) *Provider {
	t.Helper()
	p, err := parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return ready(t, p)
}

func ready(t testing.TB, p *Provider) *Provider {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	if err := p.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	if err := p.Bind(flowstest.NewRegistry()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Cleanup() })
	return p
}

func signIn(t testing.TB, p *Provider, name, password string) flows.Proof {
	t.Helper()
	proof, err := p.VerifyPassword(t.Context(), name, password)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return proof
}
