package ldap

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/adapters/internal/ldapconn/ldaptest"
	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

const guidBytes, guidText = "\x33\x22\x11\x00\x55\x44\x77\x66\x88\x99\xaa\xbb\xcc\xdd\xee\x2a", "00112233-4455-6677-8899-aabbccddee2a"

// who is an entry with a name and what more it has.
func who(uid string, more map[string][]string) *ldaptest.Entry {
	e := &ldaptest.Entry{DN: "uid=" + uid + people, Password: uid + "pw", Attrs: map[string][]string{"objectClass": {"person"}, "uid": {uid}}}
	for name, v := range more {
		e.Attrs[name] = v
	}
	return e
}

func TestVouch(t *testing.T) {
	t.Parallel()
	entry := map[string][]string{"entryUUID": {guidText}}
	for _, tc := range []struct {
		name, more, subject, want string
		reason                    flows.Reason
		entries                   []*ldaptest.Entry
	}{
		{"entryUUID", "", guidText, "al", "", []*ldaptest.Entry{who("al", entry)}},
		{"objectGUID", "", guidText, "al", "", []*ldaptest.Entry{who("al", map[string][]string{"objectGUID": {guidBytes}, "sAMAccountName": {"al"}})}},
		{"uid", "", "al", "al", "", []*ldaptest.Entry{who("al", nil)}},
		{"an attribute of its own", "subject employeeNumber", "47", "al", "", []*ldaptest.Entry{who("al", map[string][]string{"employeeNumber": {"47"}, "entryUUID": {guidText}})}},
		{"renamed", "", guidText, "married", "", []*ldaptest.Entry{who("married", entry)}},
		{"another filter, still fits", "filter (&(employeeType=staff)(mail={username}))", guidText, "al", "", []*ldaptest.Entry{who("al", map[string][]string{"entryUUID": {guidText}, "mail": {"a@x"}, "employeeType": {"staff"}})}},

		{"gone", "", guidText, "", "", []*ldaptest.Entry{who("al", nil)}},
		{"name given to somebody else", "", "al", "", "", []*ldaptest.Entry{who("al", entry)}},
		{"called like another's GUID", "", guidText, "al", "", []*ldaptest.Entry{who(guidText, map[string][]string{"entryUUID": {"99999999-4455-6677-8899-aabbccddee2a"}}), who("al", entry)}},
		{"only called like a GUID", "", guidText, "", "", []*ldaptest.Entry{who(guidText, map[string][]string{"entryUUID": {"99999999-4455-6677-8899-aabbccddee2a"}})}},
		{"other case", "", "AL", "", "", []*ldaptest.Entry{who("al", nil)}},
		{"everybody", "", "*", "", "", []*ldaptest.Entry{who("al", nil)}},
		{"filter", "", "al)(uid=*", "", "", []*ldaptest.Entry{who("al", nil)}},
		{"nobody", "", "", "", "", []*ldaptest.Entry{who("al", nil)}},
		{"fits the filter no more", "filter (&(employeeType=staff)(uid={username}))", guidText, "", "", []*ldaptest.Entry{who("al", entry)}},
		{"two", "subject employeeNumber", "47", "", "", []*ldaptest.Entry{who("al", map[string][]string{"employeeNumber": {"47"}}), who("bo", map[string][]string{"employeeNumber": {"47"}})}},
		{"disabled", "", guidText, "", flows.ReasonAccountDisabled, []*ldaptest.Entry{who("al", map[string][]string{"entryUUID": {guidText}, "userAccountControl": {"514"}})}},
		{"expired", "", guidText, "", flows.ReasonAccountExpired, []*ldaptest.Entry{who("al", map[string][]string{"entryUUID": {guidText}, "accountExpires": {"116444736000000001"}})}},
		{"locked by an administrator", "", guidText, "", flows.ReasonAccountLocked, []*ldaptest.Entry{who("al", map[string][]string{"entryUUID": {guidText}, "pwdAccountLockedTime": {"000001010000Z"}})}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			u, _, err := provider(t, lines(start(t, tc.entries...), tc.more)).Vouch(t.Context(), tc.subject)
			if tc.want != "" && (err != nil || u.Name != tc.want || u.Subject != tc.subject) {
				t.Errorf("got %+v, %v, want %s", u, err, tc.want)
			}
			if tc.want == "" && (!errors.Is(err, flows.ErrCredentials) || tc.reason != "" && flows.ReasonOf(err) != tc.reason && reasonOf(err) != tc.reason) {
				t.Errorf("got %+v, %v (%s), want a no for %s", u, err, reasonOf(err), tc.reason)
			}
		})
	}
}

func reasonOf(err error) flows.Reason {
	var c *flows.CredentialsError
	if errors.As(err, &c) {
		return c.Reason
	}
	return ""
}

// Vouching and signing in answer one and the same person.
func TestVouchIsWhoSignsIn(t *testing.T) {
	t.Parallel()
	p := provider(t, lines(start(t, tree()...), "nested on"))
	proof := signIn(t, p, "alice", "alicepw")
	u, _, err := p.Vouch(t.Context(), proof.User.Subject)
	if err != nil || u.Name != proof.User.Name || u.Email != proof.User.Email || !slices.Equal(u.Groups, proof.User.Groups) {
		t.Errorf("got %+v, %v, want %+v", u, err, proof.User)
	}
}

// They do so until the same end, which is no more than the account's.
func TestVouchEndsWithTheAccount(t *testing.T) {
	t.Parallel()
	until := flowstest.Start.Add(time.Hour)
	a := alice()
	a.Attrs["accountExpires"] = []string{fmt.Sprint(until.UnixNano()/100 + epochOffset)}
	p := provider(t, lines(start(t, a), ""))
	flowstest.TestPasswordVerifier(t, flowstest.Password{Guest: p, Name: "alice", Password: "alicepw"})
	if _, notAfter, err := p.Vouch(t.Context(), a.Attrs["entryUUID"][0]); err != nil || !notAfter.Equal(until) {
		t.Errorf("until %s, %v; want %s", notAfter, err, until)
	}
}

// A directory that is down is no no.
func TestVouchCannotAsk(t *testing.T) {
	t.Parallel()
	s := start(t, alice())
	p := provider(t, lines(s, ""))
	s.Kill()
	if _, _, err := p.Vouch(t.Context(), "alice"); errors.Is(err, flows.ErrCredentials) || flows.ReasonOf(err) != flows.ReasonProviderDown {
		t.Errorf("got %v", err)
	}
}

const (
	aliceSID = "\x01\x05\x00\x00\x00\x00\x00\x05\x15\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00\x50\x04\x00\x00"
	domain   = "S-1-5-21-1-2-3"
)

// forest: alice's primary group is Domain Users, which lies elsewhere and is in users.
func forest(id string) []*ldaptest.Entry {
	a := alice()
	a.Attrs["primaryGroupID"], a.Attrs["objectSid"] = []string{id}, []string{aliceSID}
	primary := &ldaptest.Entry{DN: "CN=Domain Users,CN=Users,DC=other,DC=test", SID: domain + "-513", Attrs: map[string][]string{"objectClass": {"group"}, "cn": {"Domain Users"}}}
	person := &ldaptest.Entry{DN: "CN=x,DC=other,DC=test", SID: domain + "-514", Attrs: map[string][]string{"objectClass": {"person"}, "cn": {"x"}}}
	return append(tree()[1:], a, primary, person, group("users", primary.DN), group("admins", a.DN))
}

// Active Directory's primary group is not in memberOf, and counts.
func TestPrimaryGroup(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, more, id string
		ad             bool
		want           string
	}{
		{"by memberOf", "", "513", true, "Domain Users admins staff"},
		{"nested", "nested on", "513", true, "Domain Users admins company staff third floor users world"},
		{"nested, another server", "nested on", "513", false, "Domain Users admins company staff users world"},
		{"by a search", "groups ou=groups,dc=example,dc=test (member={dn})", "513", true, "admins staff third floor"},
		{"another attribute", "attribute groups isMemberOf", "513", true, ""},
		{"cannot be read", "", "515", true, "!"},
		{"no group", "", "514", true, "!"},
		{"no number", "", "513>", true, "!"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, forest(tc.id)...)
			if tc.ad {
				s.Capabilities = []string{activeDirectory}
			}
			proof, err := provider(t, lines(s, tc.more)).VerifyPassword(t.Context(), "alice", "alicepw")
			got := strings.Join(slices.Sorted(slices.Values(proof.User.Groups)), " ")
			if tc.want == "!" && flows.ReasonOf(err) != flows.ReasonProviderError || tc.want != "!" && (err != nil || got != tc.want) {
				t.Errorf("groups are %q, %v, want %q", got, err, tc.want)
			}
		})
	}
}
