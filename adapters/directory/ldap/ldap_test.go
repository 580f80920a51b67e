package ldap

import (
	"context"
	"errors"
	"os"
	"reflect"
	"strings"
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

func person(uid, mail string) *ldaptest.Entry {
	return &ldaptest.Entry{
		DN: "uid=" + uid + ",ou=people,dc=example,dc=test",
		Attrs: map[string][]string{
			"objectClass": {"person"}, "uid": {uid}, "mail": {mail}, "employeeNumber": {"4711"}, "userPassword": {"secret"},
			"memberOf": {"cn=staff,ou=groups,dc=example,dc=test", "cn=staff,ou=others,dc=example,dc=test"},
		},
	}
}

func start(t *testing.T, more string) (*ldaptest.Server, *Directory) {
	t.Helper()
	s := (&ldaptest.Server{Entries: []*ldaptest.Entry{
		{DN: "cn=reader,dc=example,dc=test", Password: "readerpw"},
		person("alice", "alice@example.test"), person("bob", "both@example.test"), person("carl", "both@example.test"),
	}}).Start(t)
	d, err := parse("ldap {\nurl " + s.URL() + "\nbind_dn cn=reader,dc=example,dc=test\nbind_password {env.SALLYPORT_TEST_READER}\nbase_dn dc=example,dc=test\n" + more + "\n}")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	if err := errors.Join(d.Provision(ctx), d.Bind(flowstest.NewRegistry())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Cleanup() })
	return s, d
}

func parse(text string) (*Directory, error) {
	d := new(Directory)
	return d, d.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
}

func TestDirectory(t *testing.T) {
	t.Parallel()
	s, d := start(t, "filter (objectClass=person)")
	flowstest.TestDirectory(t, flowstest.DirectoryCase{
		Guest: d, By: "mail", Value: "alice@example.test", Attribute: "employeeNumber", Want: "4711", Twice: "both@example.test", Break: s.Kill,
	})
}

func TestFind(t *testing.T) {
	t.Parallel()
	_, d := start(t, "")
	got, err := d.Find(t.Context(), "uid", "alice")
	want := flows.Attributes{
		"objectClass": "person", "uid": "alice", "mail": "alice@example.test", "employeeNumber": "4711", "dn": "uid=alice,ou=people,dc=example,dc=test",
		"groups": []any{"staff"}, "group_dns": []any{"cn=staff,ou=groups,dc=example,dc=test", "cn=staff,ou=others,dc=example,dc=test"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v, %v\nwant %v", got, err, want)
	}
	_, strict := start(t, "filter (objectClass=robot)")
	if _, err := strict.Find(t.Context(), "uid", "alice"); !errors.Is(err, flows.ErrNotFound) {
		t.Errorf("the filter lets everything through: %v", err)
	}
}

// What is bytes to the server is found by how it is written elsewhere.
func TestFindByGUIDAndSID(t *testing.T) {
	t.Parallel()
	s, d := start(t, "")
	s.Entries[1].Attrs["objectGUID"] = []string{"\x33\x22\x11\x00\x55\x44\x77\x66\x88\x99\xaa\xbb\xcc\xdd\xee\x2a"}
	s.Entries[1].Attrs["objectSid"] = []string{"\x01\x02\x00\x00\x00\x00\x00\x05\x15\x00\x00\x00\x01\x00\x00\x00"}
	for _, tc := range []struct {
		by, value string
		found     bool
	}{
		{"objectGUID", "00112233-4455-6677-8899-aabbccddee2a", true},
		{"objectGUID", "MyIRAFVEd2aImaq7zN3uKg==", true},
		{"objectSid", "S-1-5-21-1", true},
		{"objectSid", "S-1-5-21-2", false},
		{"objectGUID", "alice", false},
		{"objectGUID", "*", false},
	} {
		a, err := d.Find(t.Context(), tc.by, tc.value)
		if tc.found && (err != nil || a["uid"] != "alice") || !tc.found && !errors.Is(err, flows.ErrNotFound) {
			t.Errorf("%s %s: %v, %v", tc.by, tc.value, a, err)
		}
	}
}

func TestUnmarshalCaddyfile(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, in, want string }{
		{"argument", "ldap x", "takes no argument"},
		{"unknown word", "ldap {\nserver x\n}", "ldap has no option 'server'; there are: base_dn, bind_dn, bind_password, ca, filter, insecure_plaintext, start_tls, url"},
		{"twice", "ldap {\nbase_dn dc=x\nbase_dn dc=y\n}", "base_dn is written twice"},
		{"no url", "ldap {\nbase_dn dc=x\n}", "needs a url"},
		{"no base", "ldap {\nurl ldaps://x\n}", "needs a base_dn"},
		{"base", "ldap {\nurl ldaps://x\nbase_dn x\n}", "'x' is no DN"},
		{"two bases", "ldap {\nurl ldaps://x\nbase_dn dc=x dc=y\n}", "base_dn takes one argument, but got 2"},
		{"placeholder", "ldap {\nurl ldaps://x\nbase_dn dc=x\nfilter (uid={username})\n}", "{username} has no meaning here"},
		{"filter", "ldap {\nurl ldaps://x\nbase_dn dc=x\nfilter (uid=x\n}", "filter '(uid=x'"},
		{"password", "ldap {\nurl ldaps://x\nbase_dn dc=x\nbind_password secret\n}", "bind_password without bind_dn"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if _, err := parse(tc.in); err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}
