package ldap

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/adapters/internal/ldapconn/ldaptest"
	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

func TestPasswordVerifier(t *testing.T) {
	t.Parallel()
	s := start(t, alice(), bob())
	p := provider(t, lines(s, ""))
	flowstest.TestPasswordVerifier(t, flowstest.Password{
		Guest: p, Name: "alice", Password: "alicepw",
		Now:   func() time.Time { return flowstest.Start },
		Break: s.Kill,
	})
}

func TestProof(t *testing.T) {
	t.Parallel()
	p := provider(t, lines(start(t, alice()), "attribute department departmentNumber list\nattribute phone telephoneNumber"))
	got, _ := json.Marshal(signIn(t, p, "ALICE", "alicepw"))
	want := `{"User":{"subject":"0b5ee8a6-5a9b-103f-8f0c-5d0b6a6f0b5e","name":"alice","display_name":"Alice Liddell","email":"alice@example.test","groups":["admins","staff"],` +
		`"attributes":{"cn":"Alice Liddell","department":["finance"],"departmentNumber":"finance","dn":"uid=alice,ou=people,dc=example,dc=test","entryUUID":"0b5ee8a6-5a9b-103f-8f0c-5d0b6a6f0b5e",` +
		`"group_dns":["cn=admins,ou=groups,dc=example,dc=test","cn=staff,ou=groups,dc=example,dc=test"],"mail":"alice@example.test","objectClass":["inetOrgPerson","person"],"phone":["+15550100","+15550101"],` +
		`"telephoneNumber":["+15550100","+15550101"],"uid":"alice"},` +
		`"claims":{"cn":"Alice Liddell","departmentNumber":"finance","entryUUID":"0b5ee8a6-5a9b-103f-8f0c-5d0b6a6f0b5e","mail":"alice@example.test","objectClass":["inetOrgPerson","person"],"telephoneNumber":["+15550100","+15550101"],"uid":"alice"}},` +
		`"Evidence":[{"user":"","method":"password","amr":["pwd"],"at":"2026-03-01T12:00:00Z"}],"Issuer":"dc=example,dc=test","SID":"","Tokens":null,"NotAfter":"0001-01-01T00:00:00Z","Once":null}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// An empty password is a bind as nobody, which servers welcome (CVE-2017-14623).
func TestI1EmptyPasswordIsNeverSent(t *testing.T) {
	t.Parallel()
	s := start(t, alice())
	p := provider(t, lines(s, ""))
	signIn(t, p, "alice", "alicepw")
	binds := s.Binds.Load()
	for _, password := range []string{"", "\x00", "\x00alicepw", strings.Repeat("x", maxPassword+1)} {
		if _, err := p.VerifyPassword(t.Context(), "alice", password); !errors.Is(err, flows.ErrCredentials) {
			t.Errorf("%q: %v", password, err)
		}
	}
	if s.Empty.Load() > 0 || s.Binds.Load() != binds {
		t.Errorf("%d binds were without a password, %d more than before", s.Empty.Load(), s.Binds.Load()-binds)
	}
	// An entry without a DN would be nobody, too.
	s.Entries = append(s.Entries, &ldaptest.Entry{DN: "", Attrs: map[string][]string{"objectClass": {"person"}, "uid": {"root"}}})
	if v, err := p.client.CheckPassword(t.Context(), nil, "", "alicepw"); err != nil || v.OK || v.Proved {
		t.Errorf("nobody is somebody: %+v %v", v, err)
	}
}

// Known and unknown names go the same way: as many searches and binds, counted,
// since a stop-watch on a shared machine proves nothing.
func TestM4KnownAndUnknownGoTheSameWay(t *testing.T) {
	t.Parallel()
	s := start(t, alice(), bob())
	p := provider(t, lines(s, ""))
	signIn(t, p, "alice", "alicepw")
	cost := func(name string) (searches, binds int64) {
		searches, binds = s.Searches.Load(), s.Binds.Load()
		if _, err := p.Account(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		_, err := p.VerifyPassword(t.Context(), name, "wrong")
		if !errors.Is(err, flows.ErrCredentials) || err.Error() != flows.ErrCredentials.Error() {
			t.Fatalf("%s: %v", name, err)
		}
		return s.Searches.Load() - searches, s.Binds.Load() - binds
	}
	for _, name := range []string{"alice", "bob", "nobody", "alice@example.test", "nobody@example.test", `CORP\alice`, `CORP\nobody`, "*"} {
		if searches, binds := cost(name); searches != 2 || binds != 1 {
			t.Errorf("%s costs %d searches and %d binds, want 2 and 1", name, searches, binds)
		}
	}
}

func TestSpellings(t *testing.T) {
	t.Parallel()
	a := alice()
	a.Attrs["sAMAccountName"], a.Attrs["userPrincipalName"] = []string{"alice"}, []string{"alice@corp.example"}
	p := provider(t, lines(start(t, a), ""))
	for _, name := range []string{"alice", "Alice", " alice ", `CORP\alice`, `corp\ALICE`, "alice@example.test", "ALICE@CORP.EXAMPLE"} {
		if got := signIn(t, p, name, "alicepw").User; got.Name != "alice" || got.Subject != "0b5ee8a6-5a9b-103f-8f0c-5d0b6a6f0b5e" {
			t.Errorf("%s signs in as %s, %s", name, got.Name, got.Subject)
		}
		counted, err := p.Account(t.Context(), name)
		if err != nil || len(counted) != 2 || counted[0] != "name alice" || counted[1] != "account uid=alice,ou=people,dc=example,dc=test" {
			t.Errorf("%s is counted under %q, %v", name, counted, err)
		}
	}
	for _, name := range []string{`\alice`, `CORP\`, `A\B\alice`, "alice\n", "al\x00ice", "\xff"} {
		if _, err := p.VerifyPassword(t.Context(), name, "alicepw"); !errors.Is(err, flows.ErrCredentials) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// Other than one hit is a refusal, and a computer is no person.
func TestExactlyOneHit(t *testing.T) {
	t.Parallel()
	twin := alice()
	twin.DN = "uid=alice,ou=others,dc=example,dc=test"
	machine := &ldaptest.Entry{DN: "cn=pc,dc=example,dc=test", Password: "pcpw", Attrs: map[string][]string{"objectClass": {"person", "Computer"}, "uid": {"bob"}}}
	s := start(t, alice(), twin, machine, bob())
	p := provider(t, lines(s, ""))
	var c *flows.CredentialsError
	if _, err := p.VerifyPassword(t.Context(), "alice", "alicepw"); !errors.As(err, &c) || !strings.Contains(c.Detail, "several") {
		t.Errorf("two of a name: %v", err)
	}
	if got := signIn(t, p, "bob", "bobpw").User.Name; got != "bob" {
		t.Errorf("got %s", got)
	}
	if _, err := p.VerifyPassword(t.Context(), "bob", "pcpw"); !errors.Is(err, flows.ErrCredentials) {
		t.Errorf("a computer signs in: %v", err)
	}
	hidden := bob()
	delete(hidden.Attrs, "objectClass")
	hidden.Attrs["uid"] = []string{"eve"}
	s.Entries = append(s.Entries, hidden)
	q := provider(t, lines(s, "filter (uid={username})"))
	signIn(t, q, "eve", "bobpw")
}

// A server that says yes to everybody lets nobody in who is not there, and not
// without a password.
func TestI1YesToEverybody(t *testing.T) {
	t.Parallel()
	s := start(t, alice())
	s.OnBind = func(string, string) *ldaptest.Answer { return new(ldaptest.Answer) }
	p := provider(t, lines(s, ""))
	for _, try := range []struct{ name, password string }{{"nobody", "x"}, {"*", "x"}, {"", "x"}, {"alice", ""}} {
		if _, err := p.VerifyPassword(t.Context(), try.name, try.password); !errors.Is(err, flows.ErrCredentials) {
			t.Errorf("%q: %v", try, err)
		}
	}
}
