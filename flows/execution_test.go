package flows_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
)

func proof(subject string, more ...func(*flows.Proof)) flows.Proof {
	p := flows.Proof{
		User:     flows.User{Subject: subject, Name: "alice", Groups: []string{"staff"}},
		Evidence: []flows.Evidence{{Method: "oidc", AMR: []string{"pwd"}, At: noon}},
		Issuer:   "https://idp.example.com",
	}
	for _, m := range more {
		m(&p)
	}
	return p
}

// I02: whoever answers second must be the same person, else the attempt ends.
func TestI02OneExecutionOnePerson(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name            string
		provider, realm string
		proof           flows.Proof
		want            flows.Reason // "" is adopted
	}{
		{"the same again", "corp", "corp", proof("a1"), ""},
		{"another provider of the realm", "backup", "corp", proof("a1"), ""},
		{"another subject", "corp", "corp", proof("b2"), flows.ReasonUserMismatch},
		{"equal subject of another provider", "other", "other", proof("a1"), flows.ReasonUserMismatch},
		{"equal name is not enough", "other", "other", proof("z9"), flows.ReasonUserMismatch},
		{"no subject", "corp", "corp", proof(""), flows.ReasonInvalidAnswer},
		{"no name", "corp", "corp", proof("a1", func(p *flows.Proof) { p.User.Name = "" }), flows.ReasonNameMissing},
		{"no evidence", "corp", "corp", proof("a1", func(p *flows.Proof) { p.Evidence = nil }), flows.ReasonInvalidAnswer},
		{"realm with a colon", "corp", "co:rp", proof("a1"), flows.ReasonInvalidAnswer},
	} {
		x := run()
		if err := x.Adopt(proof("a1"), "corp", "corp"); err != nil {
			t.Fatal(err)
		}
		before, _ := json.Marshal(x)
		err := x.Adopt(tc.proof, tc.provider, tc.realm)
		switch {
		case tc.want == "" && (err != nil || len(x.Evidence) != 2 || x.User.Key != "corp:a1"):
			t.Errorf("%s: %v, %+v", tc.name, err, x)
		case tc.want != "" && (err == nil || flows.ReasonOf(err) != tc.want):
			t.Errorf("%s: %v, want %s", tc.name, err, tc.want)
		}
		if after, _ := json.Marshal(x); tc.want != "" && string(after) != string(before) {
			t.Errorf("%s: a refused proof left something behind:\n%s\n%s", tc.name, before, after)
		}
	}
}

// I03: user and provider of evidence are the engine's word, not the guest's.
func TestI03EvidenceComesOnlyFromProof(t *testing.T) {
	t.Parallel()
	x := run()
	x.Inherited, x.Session = true, "public"
	forged := proof("a1", func(p *flows.Proof) {
		p.User.Key, p.User.Realm, p.User.Provider = "corp:root", "admin", "admin"
		p.Evidence[0].User, p.Evidence[0].Provider = "corp:root", "admin"
		p.SID, p.Tokens, p.Once = "sid", []byte("tok"), []flows.Mark{{Space: "jti", ID: "1"}}
	})
	if err := x.Adopt(forged, "corp", "corp"); err != nil {
		t.Fatal(err)
	}
	want := []flows.Evidence{{User: "corp:a1", Provider: "corp", Method: "oidc", AMR: []string{"pwd"}, At: noon}}
	if !reflect.DeepEqual(x.Evidence, want) {
		t.Errorf("evidence %+v", x.Evidence)
	}
	if x.User.Key != "corp:a1" || x.User.Realm != "corp" || x.User.Provider != "corp" {
		t.Errorf("user %+v", x.User)
	}
	if x.Inherited || len(x.Grants) != 1 || x.Grants[0].SID != "sid" || len(x.Marks) != 1 {
		t.Errorf("%+v", x)
	}
	// Attributes, readings and pages never become evidence.
	x.SetAttribute("amr", []any{"mfa"})
	if f := x.Facts(); len(f.Evidence) != 1 {
		t.Errorf("evidence %+v", f.Evidence)
	}
	// A run over a session never writes into the session's own evidence.
	shared := append(make([]flows.Evidence, 0, 8), want...)
	one, two := run(), run()
	one.Evidence, two.Evidence = shared, shared
	a := proof("a1")
	a.Evidence[0].Method = "password"
	if err := one.Adopt(a, "corp", "corp"); err != nil {
		t.Fatal(err)
	}
	if err := two.Adopt(proof("a1"), "corp", "corp"); err != nil {
		t.Fatal(err)
	}
	if one.Evidence[1].Method != "password" || shared[:2][1].Method != "" {
		t.Error("two runs share the array of one session's evidence")
	}
}

func TestSetAttributeWorksOnACopy(t *testing.T) {
	t.Parallel()
	x := run()
	x.SetAttribute("a", 1.0) // nobody to set it on
	if x.User != nil {
		t.Error("a user out of nothing")
	}
	u := &flows.User{Key: "corp:a1", Attributes: map[string]any{"a": 1.0, "b": 2.0}}
	x.User = u
	x.SetAttribute("a", 9.0)
	if u.Attributes["a"] != 1.0 || x.User.Attributes["a"] != 9.0 || x.User.Attributes["b"] != 2.0 {
		t.Errorf("%v, %v", u.Attributes, x.User.Attributes)
	}
	// The same person's newer proof refreshes and keeps what was set.
	x.User.Realm, x.User.DisplayName, x.User.Email = "corp", "Alice", "a@contoso.com"
	if err := x.Adopt(proof("a1", func(p *flows.Proof) { p.User.Attributes = map[string]any{"b": 3.0} }), "corp", "corp"); err != nil {
		t.Fatal(err)
	}
	if got := x.User; got.Attributes["a"] != 9.0 || got.Attributes["b"] != 3.0 || got.DisplayName != "Alice" || got.Email != "a@contoso.com" {
		t.Errorf("%+v", got)
	}
}

func TestExecutionLendsButNeverSerialisesItsEnv(t *testing.T) {
	t.Parallel()
	x := run()
	x.Request = flows.Request{Method: "GET", Path: "/deep", IP: "192.0.2.1"}
	x.Env = flows.Env{Now: noon, Request: &flows.Request{Path: "/.identity/flow", IP: "192.0.2.9", Peer: "192.0.2.8", Header: map[string][]string{"Cookie": {"secret"}}, Native: t}}
	f := x.Facts()
	if f.Request.Path != "/deep" || f.Request.IP != "192.0.2.9" || f.Request.Header["Cookie"][0] != "secret" || !f.Now.Equal(noon) || f.Request.Native == nil {
		t.Errorf("%+v", f.Request)
	}
	if x.Request.Header != nil || x.Request.Native != nil {
		t.Error("Facts changed the execution")
	}
	if again := thaw(t, x); again.Env.Request != nil || !again.Env.Now.IsZero() || again.Request.Path != "/deep" {
		t.Errorf("%+v", again)
	}
}

func TestInputValueIsEmptyWhenDoubled(t *testing.T) {
	t.Parallel()
	in := &flows.Input{Values: map[string][]string{"one": {"a"}, "two": {"a", "b"}, "none": {}}}
	for name, want := range map[string]string{"one": "a", "two": "", "none": "", "absent": ""} {
		if got := in.Value(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}
