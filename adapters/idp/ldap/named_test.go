package ldap

import (
	"errors"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/adapters/internal/ldapconn/ldaptest"
	"github.com/sallyport-gateway/sallyport/flows"
)

// TestFindPerson: another provider verified the account, so there is no password; all
// else is as if there had been the right one.
func TestFindPerson(t *testing.T) {
	t.Parallel()
	mallory := &ldaptest.Entry{DN: "uid=mallory,dc=example,dc=test", Attrs: map[string][]string{
		"objectClass": {"person"}, "uid": {"mallory"}, "cn": {"Mallory"}, "mail": {"root"}, "entryUUID": {"33333333-3333-4333-8333-333333333333"},
	}}
	ivan := &ldaptest.Entry{DN: "cn=ivan,dc=example,dc=test", Attrs: map[string][]string{
		"objectClass": {"person"}, "sAMAccountName": {"ivan"}, "userAccountControl": {"514"}, "entryUUID": {"44444444-4444-4444-8444-444444444444"},
	}}
	pc := &ldaptest.Entry{DN: "cn=pc7,dc=example,dc=test", Attrs: map[string][]string{
		"objectClass": {"person", "computer"}, "sAMAccountName": {"pc7"}, "entryUUID": {"55555555-5555-4555-8555-555555555555"},
	}}
	s := start(t, alice(), mallory, ivan, pc)
	p := provider(t, lines(s, ""))
	want := signIn(t, p, "alice", "alicepw")
	got, err := p.FindPerson(t.Context(), "alice")
	if err != nil || got.User.Subject != want.User.Subject || got.User.Name != want.User.Name || strings.Join(got.User.Groups, " ") != strings.Join(want.User.Groups, " ") || got.User.Email != want.User.Email {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	for _, name := range []string{
		"root", "alice@example.test", "nobody", "", " alice", `CORP\alice`, "*", "alice*", "a)(uid=alice", "pc7", "ali\x00ce", strings.Repeat("a", 300),
	} {
		if got, err := p.FindPerson(t.Context(), name); !errors.Is(err, flows.ErrNotFound) || got.User.Subject != "" {
			t.Errorf("%q: %+v, %v", name, got.User, err)
		}
	}
	if _, err := p.FindPerson(t.Context(), "ivan"); flows.ReasonOf(err) != flows.ReasonAccountDisabled {
		t.Errorf("an account that is switched off: %v", err)
	}
	narrow := provider(t, lines(s, "filter (&(uid={username})(mail=alice@example.test))"))
	if _, err := narrow.FindPerson(t.Context(), "alice"); err != nil {
		t.Errorf("a filter that finds her: %v", err)
	}
	if _, err := narrow.FindPerson(t.Context(), "mallory"); !errors.Is(err, flows.ErrNotFound) {
		t.Errorf("a filter that does not find him: %v", err)
	}
	s.Kill()
	if _, err := p.FindPerson(t.Context(), "alice"); flows.ReasonOf(err) != flows.ReasonProviderDown {
		t.Errorf("nobody answers: %v", err)
	}
}
