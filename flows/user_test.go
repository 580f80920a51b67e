package flows_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
)

// I04: realm, colon, subject: two people never share a key.
func TestI04UserKeyIsRealmAndSubject(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		realm, subject string
		want           flows.UserKey // "" is refused
	}{
		{"corp", "a1", "corp:a1"},
		{"corp", "https://idp/x:y", "corp:https://idp/x:y"},
		{"corp", "Grüße 李", "corp:Grüße 李"},
		{"corp-2_x", "A1", "corp-2_x:A1"},
		{"corp", " a1", "corp: a1"},
		{"", "a1", ""},
		{"corp", "", ""},
		{"co:rp", "a1", ""},
		{"Corp", "a1", ""},
		{"co rp", "a1", ""},
		{"corp\n", "a1", ""},
		{"cörp", "a1", ""},
		{"corp", "a\x001", ""},
	} {
		got, err := flows.MakeUserKey(tc.realm, tc.subject)
		if got != tc.want || (err == nil) != (tc.want != "") {
			t.Errorf("%q %q: %q, %v", tc.realm, tc.subject, got, err)
		}
	}
}

func FuzzI04UserKeyIsInjective(f *testing.F) {
	f.Add("corp", "a:b", "corp", "a")
	f.Add("a", "b:c", "a-b", "c")
	f.Fuzz(func(t *testing.T, r1, s1, r2, s2 string) {
		a, err1 := flows.MakeUserKey(r1, s1)
		b, err2 := flows.MakeUserKey(r2, s2)
		if err1 != nil || err2 != nil {
			return
		}
		if (a == b) != (r1 == r2 && s1 == s2) {
			t.Errorf("%q:%q and %q:%q make %q and %q", r1, s1, r2, s2, a, b)
		}
		if realm, _, _ := strings.Cut(string(a), ":"); realm != r1 {
			t.Errorf("the realm of %q is %q", a, realm)
		}
	})
}

func TestUserAttributeReservedFirst(t *testing.T) {
	t.Parallel()
	u := &flows.User{
		Key: "corp:a1", Realm: "corp", Provider: "p", Subject: "a1", Name: "alice", Groups: []string{"g"},
		Attributes: map[string]any{"key": "forged", "email": "forged", "name": "forged", "dept": "x", "none": nil, "off": false},
	}
	for name, want := range map[string]any{
		"key": "corp:a1", "realm": "corp", "provider": "p", "subject": "a1", "name": "alice", "dept": "x", "off": false,
		"email": nil, "display_name": nil, "none": nil, "absent": nil,
	} {
		got, ok := u.Attribute(name)
		if ok != (want != nil) || ok && !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v", name, got, ok)
		}
	}
	if g, ok := u.Attribute("groups"); !ok || !reflect.DeepEqual(g, []string{"g"}) {
		t.Errorf("groups: %v %v", g, ok)
	}
	if _, ok := (*flows.User)(nil).Attribute("name"); ok {
		t.Error("nobody has a name")
	}
}

// What a step gave may have been typed by the person: nobody vouches for it (I07). What
// a directory gave is its word.
func TestI07WhatAStepGaveIsNotVouchedFor(t *testing.T) {
	u := &flows.User{Attributes: map[string]any{"typed": "t@example.com", "looked_up": "l@example.com", "told": "p@example.com", "deep": map[string]any{"typed": "d@example.com"}}}
	u.Derived = []flows.Derived{{Name: "typed"}, {Name: "looked_up", Directory: "hr"}, {Name: "deep"}}
	for path, want := range map[string]any{"typed": nil, "deep.typed": nil, "looked_up": "l@example.com", "told": "p@example.com"} {
		if got := u.Vouched(path); got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
}
