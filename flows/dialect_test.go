package flows

import (
	"reflect"
	"strings"
	"testing"
)

func TestValidLeavePath(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/pkmslogout": "", "/app/bye*": "", "*.fcc": "", "*/logout": "", "*bye*": "", "/Shibboleth.sso/Logout": "",
		"":        "is no path",
		"bye":     "is no path",
		"@bye":    "is no path",
		"/":       "would end every session",
		"*":       "would end every session",
		"/*":      "would end every session",
		"*/*":     "would end every session",
		"**":      "would end every session",
		"//":      "would end every session",
		"/a*b":    "is exact or has one * at either end",
		"/a b":    "is exact or has one * at either end",
		"/a?b":    "is exact or has one * at either end",
		"/a\r\nb": "is exact or has one * at either end",
		"/{user}": "is exact or has one * at either end",
	} {
		err := ValidLeavePath(path)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: error %v, want %q", path, err, want)
		}
	}
}

// TestLeavingAddsToDefaults: what is configured never takes a default away.
func TestLeavingAddsToDefaults(t *testing.T) {
	t.Parallel()
	l := Leaving{Logout: []string{"/bye"}, ClearCookie: []string{"MORE", "OLD"}}
	defaults := []string{"OLD"}
	got := l.Leave(defaults, LeavePath{Path: "*.fcc", Query: "smlogout=true"})
	want := Leave{Paths: []LeavePath{{Path: "*.fcc", Query: "smlogout=true"}, {Path: "/bye"}}, Cookies: []string{"OLD", "MORE"}}
	if !reflect.DeepEqual(got, want) || len(defaults) != 1 {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestHeaderOptionsOr(t *testing.T) {
	t.Parallel()
	on, off := true, false
	got := HeaderOptions{Join: ";", Missing: "omit", Wrap: &off}.Or(HeaderOptions{
		Join: ":", Encode: "raw", Missing: "NONE", Max: 9, Quote: "'", Escape: "!", Wrap: &on, Sparing: true,
	})
	want := HeaderOptions{Join: ";", Encode: "raw", Missing: "omit", Max: 9, Quote: "'", Escape: "!", Wrap: &off, Sparing: true}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestUserLookup(t *testing.T) {
	t.Parallel()
	u := &User{
		Name: "alice", Groups: []string{"staff"},
		Attributes: map[string]any{"address": map[string]any{"city": "Oxford"}, "a.b": "dotted", "name": "evil", "https://example.com/roles": []any{"r"}},
		Claims:     map[string]any{"address": map[string]any{"city": "Köln"}},
	}
	for path, want := range map[string]any{
		"name": "alice", "address.city": "Oxford", "a.b": "dotted", "claims.address.city": "Köln", "groups": []string{"staff"},
		"https://example.com/roles": []any{"r"}, "nosuch": nil, "address.nosuch": nil, "claims.nosuch": nil, "name.x": nil,
	} {
		if got := u.Lookup(path); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", path, got, want)
		}
	}
	if got := (*User)(nil).Lookup("name"); got != nil {
		t.Errorf("nobody has a name: %v", got)
	}
}

// TestI06ForLogin: what loses characters never names a person.
func TestI06ForLogin(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ encode, name, want string }{
		{"ascii", "alice", "ascii"},
		{"ascii", "grüße", "auto"},
		{"ascii", " alice", "auto"},
		{"lcp_bin", "grüße", "lcp_bin"},
		{"lcp_bin", "李", "utf8_uri"},
		{"lcp_bin", "\xff", "utf8_uri"},
		{"lcp_uri", "grüße", "lcp_uri"},
		{"lcp_uri", "李", "utf8_uri_twice"},
		{"latin1", "李", "latin1"},
		{"", "李", ""},
	} {
		if got := (HeaderOptions{Encode: c.encode}).ForLogin(c.name); got.Encode != c.want || !got.Single {
			t.Errorf("%s for %q: %+v, want %s", c.encode, c.name, got, c.want)
		}
	}
}

func TestMappingRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ header, attribute, want string }{
		{"X-User", "name", ""},
		{"X-User", "address.city", ""},
		{"X User", "name", "is no header name"},
		{"X-User\r\nX-Evil", "name", "is no header name"},
		{"", "name", "is no header name"},
		{"X-User", "", "is no attribute"},
		{"X-User", "a b", "is no attribute"},
		{"X-User", "{user.name} x", "is no attribute"},
		{"X-User", "address.", "is no attribute"},
	} {
		m := Mapping{Attributes: []MappedAttribute{{Header: c.header, Attribute: c.attribute}}}
		err := m.Validate()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%q from %q: error %v, want %q", c.header, c.attribute, err, c.want)
		}
	}
}
