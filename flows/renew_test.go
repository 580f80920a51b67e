package flows_test

import (
	"reflect"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
)

func TestO11WhatARenewalChanges(t *testing.T) {
	t.Parallel()
	corp := flows.Grant{Provider: "corp", Attributes: []string{"dept", "level", "site"}}
	base := flows.User{
		Key: "corp:a1", Provider: "corp", Name: "alice", DisplayName: "Alice", Email: "a@contoso.com", Groups: []string{"admins"},
		Attributes: map[string]any{"dept": "it", "site": "bern", "level": "high", "hr_id": "7"},
		Derived:    []flows.Derived{{Name: "level", CEL: `"x"`}, {Name: "hr_id"}},
	}
	for _, tc := range []struct {
		name       string
		user       func(u *flows.User)
		fresh      flows.User
		rest       []flows.Grant
		groups     []string
		attributes map[string]any
		login      string
		email      string
	}{
		{
			name:   "what is said counts, what is not is gone, what steps gave stays",
			fresh:  flows.User{Name: "alice2", Groups: []string{"staff"}, Attributes: map[string]any{"dept": "hr", "level": "raw", "badge": 1.0}},
			groups: []string{"staff"}, attributes: map[string]any{"dept": "hr", "badge": 1.0, "level": "high", "hr_id": "7"}, login: "alice2",
		},
		{
			name:  "a missing name is kept",
			fresh: flows.User{Email: "b@contoso.com"}, attributes: map[string]any{"level": "high", "hr_id": "7"}, login: "alice", email: "b@contoso.com",
		},
		{
			name:   "the provider that spoke last has the last word",
			user:   func(u *flows.User) { u.Provider = "other" },
			fresh:  flows.User{Name: "x", Email: "x@x", Groups: []string{"x"}, Attributes: map[string]any{"dept": "hr", "site": "basel"}},
			rest:   []flows.Grant{{Provider: "other", Attributes: []string{"site"}}},
			groups: []string{"admins"}, attributes: map[string]any{"dept": "hr", "site": "bern", "level": "high", "hr_id": "7"}, login: "alice", email: "a@contoso.com",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			u := base
			if tc.user != nil {
				tc.user(&u)
			}
			got := u.Renewed(&tc.fresh, corp, tc.rest)
			if got.Key != "corp:a1" || got.Name != tc.login || got.Email != tc.email || !reflect.DeepEqual(got.Groups, tc.groups) || !reflect.DeepEqual(got.Attributes, tc.attributes) {
				t.Errorf("%+v", got)
			}
			if u.Attributes["dept"] != "it" || len(u.Attributes) != 4 || !reflect.DeepEqual(got.Derived, base.Derived) {
				t.Error("the old value was changed, or forgot what steps gave")
			}
		})
	}
}

func TestDerivedAttributesAreRemembered(t *testing.T) {
	t.Parallel()
	x := run()
	if err := x.Adopt(proof("a1", func(p *flows.Proof) { p.User.Attributes = map[string]any{"b": 1.0, "a": 2.0} }), "corp", "corp"); err != nil {
		t.Fatal(err)
	}
	if got := x.Grants[0].Attributes; !reflect.DeepEqual(got, []string{"a", "b"}) {
		t.Errorf("the grant came with %v", got)
	}
	x.SetDerived(flows.Derived{Name: "c", CEL: "1"}, 1.0)
	x.SetAttribute("d", 2.0)
	before := x.User
	x.SetDerived(flows.Derived{Name: "c", CEL: "2"}, 3.0) // the last one counts, at its place
	if got := x.User.Derived; !reflect.DeepEqual(got, []flows.Derived{{Name: "d"}, {Name: "c", CEL: "2"}}) {
		t.Errorf("%+v", got)
	}
	if before.Derived[0].CEL != "1" {
		t.Error("an earlier user was changed")
	}
	// What a newer proof says itself is not a step's any more.
	if err := x.Adopt(proof("a1", func(p *flows.Proof) { p.User.Attributes = map[string]any{"d": 5.0} }), "corp", "corp"); err != nil {
		t.Fatal(err)
	}
	if got := x.User; len(got.Derived) != 1 || got.Derived[0].Name != "c" || got.Attributes["d"] != 5.0 || got.Attributes["c"] != 3.0 {
		t.Errorf("%+v", got)
	}
}
