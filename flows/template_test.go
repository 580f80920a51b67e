package flows

import (
	"strings"
	"testing"
)

func TestTemplate(t *testing.T) {
	t.Parallel()
	u := &User{Name: "anna", Groups: []string{"a", "b"}, Attributes: map[string]any{"org": map[string]any{"unit": "it"}}}
	other := func(name string) string { return "<" + name + ">" }
	for _, tc := range []struct {
		text, want string
		whole      bool
	}{
		{"{user.name}@{user.org.unit}", "anna@it", true},
		{"plain", "plain", true},
		{"at {request.host}: {user.phone}", "at <request.host>: ", false},
		{"{user.groups}", "", false},
	} {
		p, err := ParseTemplate(tc.text, "request.host")
		if err != nil {
			t.Fatal(err)
		}
		if got, whole := p.Of(u, other); got != tc.want || whole != tc.whole {
			t.Errorf("%s: %q, %v", tc.text, got, whole)
		}
	}
	for _, text := range []string{"{user.}", "{user.a", "a}", "{request.host}", "{env.SECRET}"} {
		if _, err := ParseTemplate(text); err == nil || !strings.Contains(err.Error(), "{user.<attribute>}") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"{user.email}", "x{user.a.b}y", "{user.}", "{user.a", "}{", "{user.{user.a}}"} {
		f.Add(s, "value")
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		p, err := ParseTemplate(text)
		if err != nil {
			return
		}
		u := &User{Attributes: map[string]any{}}
		for _, name := range p.Reads() {
			u.Attributes[strings.TrimPrefix(name, "user.")] = value
		}
		if _, whole := p.Of(u, nil); value == "" && whole && len(p.Reads()) > 0 {
			t.Errorf("%q without a value is whole", text)
		}
	})
}
