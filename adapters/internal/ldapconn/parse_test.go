package ldapconn

import (
	"encoding/hex"
	"regexp"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"github.com/sallyport-gateway/sallyport/flows"
)

func TestADCode(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		text string
		want uint64
		ok   bool
	}{
		{"80090308: LdapErr: DSID-0C09041C, comment: AcceptSecurityContext error, data 52e, v4563\x00", 0x52e, true},
		{"80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 775, vece", 0x775, true},
		{"LdapErr: x, data 533", 0x533, true},
		{"LdapErr: x, data zz, v1", 0, false},
		{"LdapErr: x, data , v1", 0, false},
		{"LdapErr: x, data fffffffffffffffff, v1", 0, false},
		{"LdapErr:", 0, false},
		{"invalid credentials, data 533, v1", 0, false},
		{"", 0, false},
	} {
		if got, ok := adCode(tc.text); ok != tc.ok || ok && got != tc.want {
			t.Errorf("%q: %x %v, want %x %v", tc.text, got, ok, tc.want, tc.ok)
		}
	}
}

func TestGUID(t *testing.T) {
	t.Parallel()
	got, err := GUID([]byte("\x33\x22\x11\x00\x55\x44\x77\x66\x88\x99\xaa\xbb\xcc\xdd\xee\xff"))
	if want := "00112233-4455-6677-8899-aabbccddeeff"; err != nil || got != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
	for _, b := range []string{"", "short", strings.Repeat("x", 17)} {
		if s, err := GUID([]byte(b)); err == nil {
			t.Errorf("%q is %s", b, s)
		}
	}
}

// What we write is bytes to the server, and is never a filter.
func TestEquals(t *testing.T) {
	t.Parallel()
	const guid = `\33\22\11\00\55\44\77\66\88\99\aa\bb\cc\dd\ee\ff`
	for _, tc := range []struct{ name, value, want string }{
		{"mail", "a*(b)", `(mail=a\2a\28b\29)`},
		{"mail", "", ""},
		{"objectGUID", "00112233-4455-6677-8899-aabbccddeeff", "(objectGUID=" + guid + ")"},
		{"objectguid", "00112233-4455-6677-8899-AABBCCDDEEFF", "(objectguid=" + guid + ")"},
		{"objectGUID", "MyIRAFVEd2aImaq7zN3u/w==", "(objectGUID=" + guid + ")"},
		{"mS-DS-ConsistencyGuid", "MyIRAFVEd2aImaq7zN3u/w==", "(mS-DS-ConsistencyGuid=" + guid + ")"},
		{"objectGUID", "alice", ""},
		{"objectGUID", "*", ""},
		{"objectGUID", "0011-2233445566778899aabb-ccddeeff", ""},
		{"objectSid", "S-1-5-21-1-2-513", `(objectSid=\01\04\00\00\00\00\00\05\15\00\00\00\01\00\00\00\02\00\00\00\01\02\00\00)`},
		{"objectSid", "S-1-5-21-4294967296", ""},
		{"objectSid", "S-2-5-21", ""},
		{"objectSid", "S-1-5" + strings.Repeat("-1", 16), ""},
		{"objectSid", "alice", ""},
	} {
		got, ok := Equals(tc.name, tc.value)
		if ok != (tc.want != "") || ok && unescaped(got) != unescaped(tc.want) || tc.name == "mail" && ok && got != tc.want {
			t.Errorf("%s %q: %s %v, want %s", tc.name, tc.value, got, ok, tc.want)
		}
	}
	for _, s := range []string{"S-1-5-21-1-2-513", "S-1-5-32-544", "S-1-281474976710655-1", "S-1-0"} {
		b, ok := sidBytes(s)
		if back, err := SID([]byte(b)); !ok || err != nil || back != s {
			t.Errorf("%s becomes %s, %v, %v", s, back, ok, err)
		}
	}
}

// unescaped is a filter with its bytes as they are.
func unescaped(f string) string {
	return regexp.MustCompile(`\\[0-9a-f]{2}`).ReplaceAllStringFunc(f, func(s string) string {
		b, _ := hex.DecodeString(s[1:])
		return string(b)
	})
}

func TestAnybody(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"(uid={username})": "(uid=*)",
		"(&(objectClass=person)(|(uid={username})(mail={username}@x)))": "(&(objectClass=person)(|(uid=*)(mail=*)))",
		"(&(cn=*{a}*{b})(!(c=x)))":                                      "(&(cn=*)(!(c=x)))",
		"(uid:caseExactMatch:={username})":                              "(uid=*)",
		"(&(memberOf=cn=vpn\\28x,dc=y)(uid>={username}))":               "(&(memberOf=cn=vpn\\28x,dc=y)(uid=*))",
		"(:dn:2.5.13.5:={username})":                                    "(objectClass=*)",
	} {
		f, err := ParseFilter(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if got := f.Anybody(); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestCommonName(t *testing.T) {
	t.Parallel()
	for dn, want := range map[string]string{
		"cn=admins,ou=groups,dc=x":            "admins",
		`CN=Bob (O'Brien\, Jr.) *,dc=x`:       "Bob (O'Brien, Jr.) *",
		"ou=floor3,dc=x":                      "floor3",
		"uid=a+cn=Anna,dc=x":                  "Anna",
		`cn=Gr\c3\bc\c3\9fe\2c \e6\9d\8e,o=x`: "Grüße, 李",
	} {
		if got, err := CommonName(dn); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", dn, got, err, want)
		}
	}
	for _, dn := range []string{"", "admins", "cn=a,,b", "=x"} {
		if got, err := CommonName(dn); err == nil {
			t.Errorf("%q has the name %q", dn, got)
		}
	}
}

func TestRange(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in, name string
		last     int
		ok       bool
	}{
		{"memberOf;range=0-1499", "memberOf", 1499, true},
		{"memberOf;Range=1500-*", "memberOf", -1, true},
		{"memberOf", "", 0, false},
		{"memberOf;lang-de", "", 0, false},
		{"a;range=", "", 0, false},
		{"a;range=x-1", "", 0, false},
		{"a;range=1-x", "a", 0, false},
		{"a;range=0-99999999999", "a", 0, false},
	} {
		name, last, ok := rangeOf(tc.in)
		if ok != tc.ok || ok && (name != tc.name || last != tc.last) {
			t.Errorf("%s: %s %d %v", tc.in, name, last, ok)
		}
	}
}

// Only success without a condition is a yes.
func TestJudgeKnowsOneYes(t *testing.T) {
	t.Parallel()
	for code := range uint16(130) {
		if v := judge(code, "", nil); v.OK != (code == 0) {
			t.Errorf("result %d is %+v", code, v)
		}
	}
}

// FuzzJudge: whatever a server says beside its code, only success is a yes.
func FuzzJudge(f *testing.F) {
	f.Add(uint16(49), "80090308: LdapErr: DSID-0C09041C, comment: AcceptSecurityContext error, data 52e, v4563", int8(-1))
	f.Add(uint16(0), "LdapErr: , data 533,", int8(2))
	f.Add(uint16(53), "Account inactivated", int8(0))
	f.Fuzz(func(t *testing.T, code uint16, text string, policy int8) {
		v := judge(code, text, []ldap.Control{&ldap.ControlBeheraPasswordPolicy{Error: policy}})
		if v.OK && (code != 0 || policy == 2) || v.OK && v.Proved {
			t.Errorf("%d %q: %+v", code, text, v)
		}
		if v.Proved && v.Reason == "" {
			t.Errorf("%d %q: refused without a reason: %+v", code, text, v)
		}
		if v.Reason == flows.ReasonAccountLocked && v.Proved {
			t.Error("locked is said to anybody")
		}
	})
}

// FuzzFilter: whatever is typed, the filter keeps its shape and the value is what
// was typed, to the byte.
func FuzzFilter(f *testing.F) {
	for _, s := range []string{"alice", "*", ")(uid=*", "*)(|(uid=*", `\2a`, "\x00", "a\\", "Grüße 李", "\xff", "", "(&)", "a)(!(uid=b"} {
		f.Add(s)
	}
	tmpl, err := ParseFilter("(&(objectClass=person)(|(uid={username})(mail={username})))")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		p, err := ldap.CompileFilter(tmpl.With(func(string) string { return typed }))
		if err != nil {
			t.Fatalf("%q breaks the filter: %v", typed, err)
		}
		if len(p.Children) != 2 || len(p.Children[1].Children) != 2 {
			t.Fatalf("%q changes the filter", typed)
		}
		for _, c := range p.Children[1].Children {
			if c.Tag != ldap.FilterEqualityMatch || c.Children[1].Data.String() != typed {
				t.Errorf("%q is looked for as %q (%d)", typed, c.Children[1].Data.String(), c.Tag)
			}
		}
	})
}

// FuzzParseFilter: what is taken compiles, whatever the values.
func FuzzParseFilter(f *testing.F) {
	for _, s := range []string{"(uid={username})", "({x}=y)", "(a={b}*{c})", "(a:1.2.3:={dn})", "{a}", "(a={", "(|(a={a})(b=c))", "(!(a={a}))"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParseFilter(text)
		if err != nil {
			return
		}
		for _, v := range []string{"x", "*", ")(", `\`, "\x00"} {
			if _, err := ldap.CompileFilter(p.With(func(string) string { return v })); err != nil {
				t.Errorf("%q with %q: %v", text, v, err)
			}
		}
	})
}

// FuzzDN: names of groups come from outside.
func FuzzDN(f *testing.F) {
	for _, s := range []string{"cn=a,dc=b", `cn=a\,b,dc=c`, "cn=#0403666f6f", "", "cn=", "a+b", `cn=\`, "cn=a+uid=b,o=c", "CN=Domain Users,CN=Users,DC=X", "cn=a b.c-d_e, dc=x", "cn=a ,dc=x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, dn string) {
		name, err := CommonName(dn)
		key, err2 := CanonicalDN(dn)
		if (err == nil) != (err2 == nil) {
			t.Errorf("%q: %v, %v", dn, err, err2)
		}
		if err == nil && key == "" {
			t.Errorf("%q: %q %q", dn, name, key)
		}
		if k, n, err3 := Name(dn); (err3 == nil) != (err == nil) || err == nil && (k != key || n != name) {
			t.Errorf("%q: at once %q %q, %v, one by one %q %q, %v", dn, k, n, err3, key, name, err)
		}
	})
}
