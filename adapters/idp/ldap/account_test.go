package ldap

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/adapters/internal/ldapconn/ldaptest"
	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

// What a directory says of an account goes to the person only if they knew its
// password: anybody else hears what a wrong password hears (B27).
func TestAccountStates(t *testing.T) {
	t.Parallel()
	ad := func(data string) *ldaptest.Answer {
		return &ldaptest.Answer{Code: 49, Text: "80090308: LdapErr: DSID-0C09041C, comment: AcceptSecurityContext error, data " + data + ", v4563\x00"}
	}
	policy := func(code uint16, n int64) *ldaptest.Answer { return &ldaptest.Answer{Code: code, Policy: &n} }
	for _, tc := range []struct {
		name   string
		answer *ldaptest.Answer
		told   flows.Reason // empty: bad_credentials for everybody
		trail  flows.Reason
	}{
		{"AD wrong password", ad("52e"), "", ""},
		{"AD unknown", ad("525"), "", ""},
		{"AD hours", ad("530"), flows.ReasonNotAllowed, ""},
		{"AD workstation", ad("531"), flows.ReasonNotAllowed, ""},
		{"AD password expired", ad("532"), flows.ReasonPasswordExpired, ""},
		{"AD disabled", ad("533"), flows.ReasonAccountDisabled, ""},
		{"AD account expired", ad("701"), flows.ReasonAccountExpired, ""},
		{"AD must change", ad("773"), flows.ReasonPasswordExpired, ""},
		{"AD locked", ad("775"), "", flows.ReasonAccountLocked},
		{"AD something new", ad("7ff"), "", ""},
		{"words that are not AD's", &ldaptest.Answer{Code: 49, Text: "user data 533, v1"}, "", ""},
		{"policy expired", policy(49, 0), flows.ReasonPasswordExpired, ""},
		{"policy locked", policy(49, 1), "", flows.ReasonAccountLocked},
		{"policy must change", policy(0, 2), flows.ReasonPasswordExpired, ""},
		{"389 locked", &ldaptest.Answer{Code: 19, Text: "Exceed password retry limit. Please try later."}, "", flows.ReasonAccountLocked},
		{"389 inactivated", &ldaptest.Answer{Code: 53, Text: "Account inactivated. Contact system administrator."}, "", flows.ReasonAccountDisabled},
		{"no password", &ldaptest.Answer{Code: 48}, "", ""},
		{"no rights", &ldaptest.Answer{Code: 50}, "", ""},
		{"gone meanwhile", &ldaptest.Answer{Code: 32}, "", ""},
		{"referral", &ldaptest.Answer{Code: 10, Text: "ldap://evil.example"}, "", ""},
		{"more to say", &ldaptest.Answer{Code: 14}, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, alice())
			s.OnBind = func(dn, _ string) *ldaptest.Answer {
				if strings.HasPrefix(dn, "uid=alice") {
					return tc.answer
				}
				return nil
			}
			_, err := provider(t, lines(s, "")).VerifyPassword(t.Context(), "alice", "alicepw")
			var c *flows.CredentialsError
			switch {
			case tc.told == "" && !errors.As(err, &c):
				t.Fatalf("got %v, want refused credentials", err)
			case tc.told == "" && c.Reason != tc.trail:
				t.Errorf("the trail reads %q (%s), want %q", c.Reason, c.Detail, tc.trail)
			case tc.told != "" && flows.ReasonOf(err) != tc.told:
				t.Errorf("got %v, want %s", err, tc.told)
			}
			if tc.told == "" && err.Error() != flows.ErrCredentials.Error() {
				t.Errorf("it reads %q", err)
			}
		})
	}
}

// Servers that do not refuse such accounts themselves show them, at least.
func TestAccountsThatEntriesRefuse(t *testing.T) {
	t.Parallel()
	ticks := func(at time.Time) string { return fmt.Sprint(at.UnixNano()/100 + epochOffset) }
	for _, tc := range []struct {
		name, attribute, value string
		want                   flows.Reason
		until                  time.Time
	}{
		{"disabled", "userAccountControl", "514", flows.ReasonAccountDisabled, time.Time{}},
		{"normal", "userAccountControl", "512", "", time.Time{}},
		{"389 disabled", "nsAccountLock", "TRUE", flows.ReasonAccountDisabled, time.Time{}},
		{"eDirectory disabled", "loginDisabled", "TRUE", flows.ReasonAccountDisabled, time.Time{}},
		{"locked for ever", "pwdAccountLockedTime", "000001010000Z", flows.ReasonAccountLocked, time.Time{}},
		{"expired", "accountExpires", ticks(flowstest.Start.Add(-time.Second)), flows.ReasonAccountExpired, time.Time{}},
		{"expires now", "accountExpires", ticks(flowstest.Start), flows.ReasonAccountExpired, time.Time{}},
		{"expires later", "accountExpires", ticks(flowstest.Start.Add(time.Hour)), "", flowstest.Start.Add(time.Hour)},
		{"never", "accountExpires", "9223372036854775807", "", time.Time{}},
		{"never, either", "accountExpires", "0", "", time.Time{}},
		{"nonsense", "accountExpires", "soon", flows.ReasonAccountExpired, time.Time{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			a := alice()
			a.Attrs[tc.attribute] = []string{tc.value}
			proof, err := provider(t, lines(start(t, a), "")).VerifyPassword(t.Context(), "alice", "alicepw")
			if tc.want == "" {
				if err != nil || !proof.NotAfter.Equal(tc.until) {
					t.Errorf("%v, until %v; want until %v", err, proof.NotAfter, tc.until)
				}
				return
			}
			if err == nil || flows.ReasonOf(err) != tc.want || proof.User.Subject != "" {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}

func TestSubjectAndName(t *testing.T) {
	t.Parallel()
	guid := "\x33\x22\x11\x00\x55\x44\x77\x66\x88\x99\xaa\xbb\xcc\xdd\xee\xff"
	for _, tc := range []struct {
		name, more         string
		dn                 string
		attrs              map[string][]string
		subject, user, err string
	}{
		{"objectGUID first", "", "", map[string][]string{"objectGUID": {guid}, "sAMAccountName": {"Alice.L"}}, "00112233-4455-6677-8899-aabbccddeeff", "Alice.L", ""},
		{"objectGUID broken", "", "", map[string][]string{"objectGUID": {"short"}}, "", "", "not 16"},
		{"uid at last", "", "", map[string][]string{"entryUUID": nil}, "alice", "alice", ""},
		{"subject named", "subject employeeNumber", "", map[string][]string{"employeeNumber": {"4711"}}, "4711", "alice", ""},
		{"subject named and missing", "subject employeeNumber", "", nil, "", "", "no employeeNumber"},
		{"no subject", "", "", map[string][]string{"entryUUID": nil, "uid": nil, "sAMAccountName": {"alice"}}, "", "", "neither objectGUID"},
		{"two uids, named by one", "", "", map[string][]string{"uid": {"al", "alice"}}, "0b5ee8a6-5a9b-103f-8f0c-5d0b6a6f0b5e", "alice", ""},
		{"two uids, named by none", "", "cn=x" + people, map[string][]string{"uid": {"al", "alice"}}, "", "", "2 values"},
		{"name from elsewhere", "attribute name mail", "", nil, "0b5ee8a6-5a9b-103f-8f0c-5d0b6a6f0b5e", "alice@example.test", ""},
		{"name from elsewhere and missing", "attribute name employeeID", "", nil, "0b5ee8a6-5a9b-103f-8f0c-5d0b6a6f0b5e", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			a := alice()
			if tc.dn != "" {
				a.DN = tc.dn
			}
			for n, v := range tc.attrs {
				if a.Attrs[n] = v; v == nil {
					delete(a.Attrs, n)
				}
			}
			proof, err := provider(t, lines(start(t, a), tc.more)).VerifyPassword(t.Context(), "alice", "alicepw")
			if tc.err != "" {
				if flows.ReasonOf(err) != flows.ReasonInvalidAnswer || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("got %v, want %q", err, tc.err)
				}
				return
			}
			if err != nil || proof.User.Subject != tc.subject || proof.User.Name != tc.user {
				t.Errorf("got %s, %s, %v; want %s, %s", proof.User.Subject, proof.User.Name, err, tc.subject, tc.user)
			}
		})
	}
}

func TestSecretsAndPicturesStayInTheDirectory(t *testing.T) {
	t.Parallel()
	a := alice()
	for _, n := range []string{"sambaNTPassword", "krbPrincipalKey", "ms-Mcs-AdmPwd", "authPassword", "msDS-KeyCredentialHash"} {
		a.Attrs[n] = []string{"verysecret"}
	}
	a.Attrs["objectSid"] = []string{"S-like text"}
	a.Attrs["description;lang-de"] = []string{"text"}
	a.Attrs["key"] = []string{"evil:key"}
	u := signIn(t, provider(t, lines(start(t, a), "")), "alice", "alicepw").User
	for _, m := range []map[string]any{u.Attributes, u.Claims} {
		for n, v := range m {
			if text := fmt.Sprint(v); strings.Contains(text, "secret") || strings.Contains(text, "\xff") || n == "objectSid" || strings.Contains(n, ";") {
				t.Errorf("%s: %s", n, text)
			}
		}
	}
	if v, ok := u.Attributes["key"]; ok {
		t.Errorf("a reserved name is an attribute: %v", v)
	}
}
