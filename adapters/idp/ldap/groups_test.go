package ldap

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/adapters/internal/ldapconn/ldaptest"
	"github.com/sallyport-gateway/sallyport/flows"
)

const groupsOU = ",ou=groups,dc=example,dc=test"

func group(cn string, members ...string) *ldaptest.Entry {
	return &ldaptest.Entry{DN: "cn=" + cn + groupsOU, Attrs: map[string][]string{"objectClass": {"groupOfNames"}, "cn": {cn}, "member": members}}
}

// tree: alice is in staff, staff in company, company in world and world in staff.
func tree() []*ldaptest.Entry {
	a := alice()
	a.Attrs["memberOf"] = []string{"cn=staff" + groupsOU}
	posix := &ldaptest.Entry{DN: "cn=unix" + groupsOU, Attrs: map[string][]string{"objectClass": {"posixGroup"}, "cn": {"unix"}, "memberUid": {"alice"}}}
	ou := &ldaptest.Entry{DN: "ou=floor3" + groupsOU, Attrs: map[string][]string{"objectClass": {"groupOfNames"}, "cn": {"third floor"}, "member": {a.DN}}}
	return []*ldaptest.Entry{
		a, group("staff", a.DN, "cn=world"+groupsOU), group("company", "cn=staff"+groupsOU), group("world", "cn=company"+groupsOU), posix, ou, group("others", "uid=bob"+people),
	}
}

func TestGroups(t *testing.T) {
	t.Parallel()
	search := "groups ou=groups,dc=example,dc=test (member={dn})\n"
	for _, tc := range []struct {
		name, more string
		ad         bool
		want       string
	}{
		{"memberOf", "", false, "staff"},
		{"memberOf, nested", "nested on", false, "company staff world"},
		{"memberOf, nested, Active Directory", "nested on", true, "company staff third floor world"},
		{"search", search, false, "staff third floor"},
		{"search, nested", search + "nested on", false, "company staff third floor world"},
		{"search by name", `groups ou=groups,dc=example,dc=test "(&(objectClass=posixGroup)(memberUid={username}))"`, false, "unix"},
		{"two searches", search + `groups ou=groups,dc=example,dc=test (memberUid={uid})`, false, "staff third floor unix"},
		{"search by what the entry lacks", `groups ou=groups,dc=example,dc=test (gidNumber={gidNumber})`, false, ""},
		{"another attribute", "attribute groups isMemberOf", false, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, tree()...)
			if tc.ad {
				s.Capabilities = []string{activeDirectory}
			}
			u := signIn(t, provider(t, lines(s, tc.more)), "alice", "alicepw").User
			got := slices.Sorted(slices.Values(u.Groups))
			if strings.Join(got, " ") != tc.want {
				t.Errorf("groups are %q, want %q", got, tc.want)
			}
			dns, _ := u.Attributes["group_dns"].([]any)
			if len(dns) != len(u.Groups) {
				t.Errorf("%d groups, %d DNs: %v", len(u.Groups), len(dns), dns)
			}
			chain := slices.ContainsFunc(s.Log(), func(l string) bool { return strings.Contains(l, inChain) })
			if chain != tc.ad {
				t.Errorf("asked by the rule for chains: %v", chain)
			}
		})
	}
}

// Active Directory sends 1,500 values at a time and 1,000 entries: nobody loses a group.
func TestManyGroups(t *testing.T) {
	t.Parallel()
	const n = 5000
	a := alice()
	a.Attrs["memberOf"] = nil
	entries := []*ldaptest.Entry{a}
	for i := range n {
		g := group(fmt.Sprintf("g%04d", i), a.DN)
		entries = append(entries, g)
		a.Attrs["memberOf"] = append(a.Attrs["memberOf"], g.DN)
	}
	for _, tc := range []struct{ name, more string }{
		{"memberOf in pieces", ""}, {"search in pages", "groups ou=groups,dc=example,dc=test (member={dn})"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := &ldaptest.Server{Entries: append([]*ldaptest.Entry{reader()}, entries...), MostValues: 1500, MostEntries: 1000}
			u := signIn(t, provider(t, lines(s.Start(t), tc.more)), "alice", "alicepw").User
			if len(u.Groups) != n || u.Groups[n-1] != "g4999" {
				t.Errorf("%d groups", len(u.Groups))
			}
		})
	}
}

// A part of the groups is none: whoever cannot be asked for all lets nobody in (B24).
func TestB24NeverAPartOfTheGroups(t *testing.T) {
	t.Parallel()
	s := start(t, alice())
	p := provider(t, lines(s, "groups dc=gone (member={dn})"))
	if _, err := p.VerifyPassword(t.Context(), "alice", "alicepw"); flows.ReasonOf(err) != flows.ReasonProviderError {
		t.Errorf("got %v", err)
	}
	a := alice()
	a.Attrs["memberOf"] = append(a.Attrs["memberOf"], "no dn")
	q := provider(t, lines(start(t, a), ""))
	if _, err := q.VerifyPassword(t.Context(), "alice", "alicepw"); flows.ReasonOf(err) != flows.ReasonProviderError {
		t.Errorf("got %v", err)
	}
}
