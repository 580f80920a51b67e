package webauthn

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/adapters/factor/webauthn/webauthntest"
	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

const here = "https://app.example"

// asked is what a page asks the browser for.
func asked(t testing.TB, p flows.Page) flows.Credential {
	t.Helper()
	for _, w := range p.Widgets {
		if c, ok := w.(flows.Credential); ok {
			return c
		}
	}
	t.Fatalf("page %s asks for no key", p.Kind)
	return flows.Credential{}
}

func answer(credential string) flows.Input {
	return flows.Input{Values: map[string][]string{field: {credential}}}
}

type bend = func(*webauthntest.Answer)

// rig is a person, a factor and an authenticator.
type rig struct {
	t testing.TB
	w *WebAuthn
	a *webauthntest.Authenticator
	c *flows.Challenge
}

func newRig(t testing.TB) *rig {
	return &rig{t: t, w: new(WebAuthn), a: &webauthntest.Authenticator{Verifies: true}, c: &flows.Challenge{
		User: &flows.User{Key: "corp:alice", Name: "alice"}, Origin: here, Now: flowstest.Start,
	}}
}

// enrol sets up one more key.
func (r *rig) enrol(bends ...bend) error {
	r.t.Helper()
	if err := r.w.BeginEnrol(r.t.Context(), r.c); err != nil {
		r.t.Fatal(err)
	}
	made, err := r.a.Create(asked(r.t, r.w.DrawEnrol(r.c)).Options, here, bends...)
	if err != nil {
		return err
	}
	record, _, err := r.w.Enrol(r.t.Context(), r.c, answer(made))
	if err == nil {
		record.ID = "r" + string(rune('1'+len(r.c.Records)))
		r.c.Records = append(r.c.Records, record)
	}
	return err
}

func (r *rig) begin() {
	r.t.Helper()
	if err := r.w.Begin(r.t.Context(), r.c); err != nil {
		r.t.Fatal(err)
	}
}

// sign answers the challenge that waits.
func (r *rig) sign(bends ...bend) string {
	r.t.Helper()
	used, err := r.a.Get(asked(r.t, r.w.Draw(r.c)).Options, here, bends...)
	if err != nil {
		r.t.Fatal(err)
	}
	return used
}

// prove is a whole use of a key.
func (r *rig) prove(bends ...bend) (flows.Verdict, error) {
	r.t.Helper()
	r.begin()
	return r.judge(r.sign(bends...))
}

func (r *rig) judge(credential string) (flows.Verdict, error) {
	v, err := r.w.Verify(r.t.Context(), r.c, answer(credential))
	if err == nil {
		i := slices.IndexFunc(r.c.Records, func(o flows.Record) bool { return o.ID == v.Record })
		var used flows.Record
		if used, err = v.Use(r.c.Records[i]); err == nil {
			r.c.Records[i] = used
		}
	}
	return v, err
}

func refusedAs(t *testing.T, what string, err error, want flows.Reason) {
	t.Helper()
	if flows.ReasonOf(err) != want || errors.Is(err, flows.ErrCredentials) != (want == flows.ReasonKeyRefused) {
		t.Errorf("%s: want %s, got %v", what, want, err)
	}
}

func TestFactor(t *testing.T) {
	for name, a := range map[string]*webauthntest.Authenticator{"a key that counts": {Verifies: true}, "a passkey that is synced": {Verifies: true, Syncs: true}, "a key that knows nobody": {}} {
		t.Run(name, func(t *testing.T) {
			w := new(WebAuthn)
			flowstest.TestFactor(t, flowstest.FactorCase{
				Factor: w,
				Right: func(enrolment, page flows.Page, c *flows.Challenge) flows.Input {
					if page.Kind == enrolment.Kind {
						made, err := a.Create(asked(t, page).Options, c.Origin)
						if err != nil {
							t.Fatal(err)
						}
						return answer(made)
					}
					used, err := a.Get(asked(t, w.Draw(c)).Options, c.Origin) // a wrong answer spent the page's challenge
					if err != nil {
						t.Fatal(err)
					}
					return answer(used)
				},
				Wrong: answer(`{"id":"AAAA","rawId":"AAAA","type":"public-key","response":{}}`),
				Next:  func(c *flows.Challenge) { c.Now = c.Now.Add(time.Minute) },
			})
		})
	}
}

// One thing of an answer changed, and it is no good (M7).
func TestM07NothingOfAnAnswerCanBeChanged(t *testing.T) {
	for what, b := range map[string]bend{
		"another origin":                 func(a *webauthntest.Answer) { a.Origin = "https://evil.example" },
		"a host below ours":              func(a *webauthntest.Answer) { a.Origin = "https://x.app.example" },
		"our host without TLS":           func(a *webauthntest.Answer) { a.Origin = "http://app.example" },
		"our host at another port":       func(a *webauthntest.Answer) { a.Origin = "https://app.example:8443" },
		"a frame of another site":        func(a *webauthntest.Answer) { a.Cross, a.Top = true, "https://evil.example" },
		"a frame that names nobody":      func(a *webauthntest.Answer) { a.Cross = true },
		"another domain":                 func(a *webauthntest.Answer) { a.RPID = "evil.example" },
		"another challenge":              func(a *webauthntest.Answer) { a.Challenge = strings.Repeat("A", 43) },
		"no challenge":                   func(a *webauthntest.Answer) { a.Challenge = "" },
		"the answer to another question": func(a *webauthntest.Answer) { a.Type = "webauthn.create" },
		"nobody there":                   func(a *webauthntest.Answer) { a.Flags &^= webauthntest.Present },
		"nobody verified":                func(a *webauthntest.Answer) { a.Flags &^= webauthntest.Verified },
		"a key that is suddenly synced":  func(a *webauthntest.Answer) { a.Flags |= webauthntest.Eligible },
		"a copy that cannot be":          func(a *webauthntest.Answer) { a.Flags |= webauthntest.BackedUp },
		"another key":                    func(a *webauthntest.Answer) { a.ID = []byte("another key of someone") },
		"another person":                 func(a *webauthntest.Answer) { a.Handle = []byte("another person") },
		"another signature":              func(a *webauthntest.Answer) { a.Signed = func(s []byte) []byte { s[len(s)-1] ^= 1; return s } },
		"no signature":                   func(a *webauthntest.Answer) { a.Signed = func([]byte) []byte { return nil } },
		"another kind of credential":     func(a *webauthntest.Answer) { a.Sent = func(c map[string]any) { c["type"] = "password" } },
		"an extension nobody asked for": func(a *webauthntest.Answer) {
			a.Sent = func(c map[string]any) { c["clientExtensionResults"] = map[string]any{"appid": true} }
		},
		"too much": func(a *webauthntest.Answer) {
			a.Sent = func(c map[string]any) { c["more"] = strings.Repeat("x", maxAnswer) }
		},
	} {
		r := newRig(t)
		r.w.UserVerification = "required"
		if err := r.enrol(); err != nil {
			t.Fatal(err)
		}
		if _, err := r.prove(); err != nil {
			t.Fatalf("the right answer: %v", err)
		}
		_, err := r.prove(b)
		refusedAs(t, what, err, flows.ReasonKeyRefused)
	}
}

func TestM07NothingOfANewKeyCanBeChanged(t *testing.T) {
	for what, b := range map[string]bend{
		"another origin":               func(a *webauthntest.Answer) { a.Origin = "https://evil.example" },
		"another domain":               func(a *webauthntest.Answer) { a.RPID = "evil.example" },
		"another challenge":            func(a *webauthntest.Answer) { a.Challenge = strings.Repeat("A", 43) },
		"the answer to another":        func(a *webauthntest.Answer) { a.Type = "webauthn.get" },
		"a frame of another site":      func(a *webauthntest.Answer) { a.Cross = true },
		"nobody there":                 func(a *webauthntest.Answer) { a.Flags &^= webauthntest.Present },
		"nobody verified":              func(a *webauthntest.Answer) { a.Flags &^= webauthntest.Verified },
		"a copy that cannot be":        func(a *webauthntest.Answer) { a.Flags |= webauthntest.BackedUp },
		"an algorithm nobody knows":    func(a *webauthntest.Answer) { a.Algorithm = -65535 },
		"an algorithm not offered":     func(a *webauthntest.Answer) { a.Algorithm = -47 },
		"a word for another key":       func(a *webauthntest.Answer) { a.Sent = func(c map[string]any) { c["id"], c["rawId"] = "AAAA", "AAAA" } },
		"an attestation of nothing":    func(a *webauthntest.Answer) { a.Statement = map[string]any{"x": 1} },
		"an attestation nobody knows":  func(a *webauthntest.Answer) { a.Format = "mine" },
		"an attestation without proof": func(a *webauthntest.Answer) { a.Format = "packed" },
		"too much": func(a *webauthntest.Answer) {
			a.Sent = func(c map[string]any) { c["more"] = strings.Repeat("x", maxAnswer) }
		},
	} {
		r := newRig(t)
		r.w.UserVerification = "required"
		refusedAs(t, what, r.enrol(b), flows.ReasonKeyRefused)
		if err := r.enrol(); err != nil {
			t.Fatalf("behind it the right one: %v", err)
		}
	}
}

// A challenge is answered once, and for ten minutes (I09).
func TestI09AChallengeIsGoodOnce(t *testing.T) {
	r := newRig(t)
	r.a.Syncs = true // its counter would not tell
	if err := r.enrol(); err != nil {
		t.Fatal(err)
	}
	r.begin()
	state, used := r.c.State, r.sign()
	if _, err := r.judge(used); err != nil {
		t.Fatal(err)
	}
	_, err := r.judge(used)
	refusedAs(t, "the same answer again", err, flows.ReasonKeyRefused)
	r.c.State = state // two at once, or somebody turned it back
	if _, err = r.judge(used); !errors.Is(err, flows.ErrReplayed) {
		t.Errorf("the same answer to the same challenge: %v", err)
	}
	r.begin()
	used = r.sign(func(a *webauthntest.Answer) { a.Signed = func([]byte) []byte { return nil } })
	right := r.sign()
	_, err = r.judge(used)
	refusedAs(t, "a wrong answer", err, flows.ReasonKeyRefused)
	_, err = r.judge(right)
	refusedAs(t, "a right one to a challenge that had its answer", err, flows.ReasonKeyRefused)
	r.begin()
	used = r.sign()
	r.c.Now = r.c.Now.Add(lasts + time.Second)
	_, err = r.judge(used)
	refusedAs(t, "a late answer", err, flows.ReasonKeyRefused)
	if err := r.w.BeginEnrol(t.Context(), r.c); err != nil {
		t.Fatal(err)
	}
	state = r.c.State
	made, err := new(webauthntest.Authenticator).Create(asked(t, r.w.DrawEnrol(r.c)).Options, here)
	if err != nil {
		t.Fatal(err)
	}
	r.c.Now = r.c.Now.Add(lasts + time.Second)
	_, _, err = r.w.Enrol(t.Context(), r.c, answer(made))
	refusedAs(t, "a late key", err, flows.ReasonKeyRefused)
	if string(r.c.State) == string(state) {
		t.Error("a refused key left its challenge")
	}
}

// A counter that goes back means that there are two of a key: none of them gets in by it (M7).
func TestM07ACounterThatGoesBack(t *testing.T) {
	r := newRig(t)
	if err := r.enrol(); err != nil {
		t.Fatal(err)
	}
	copied := r.a.Clone()
	for range 3 {
		if _, err := r.prove(); err != nil {
			t.Fatal(err)
		}
	}
	before := string(r.c.Records[0].Data)
	r.a = copied
	_, err := r.prove()
	refusedAs(t, "the copy", err, flows.ReasonKeyCloned)
	_, err = r.prove(func(a *webauthntest.Answer) { a.Count = 3 })
	refusedAs(t, "a counter that stands", err, flows.ReasonKeyCloned)
	_, err = r.prove(func(a *webauthntest.Answer) { a.Count = 0 })
	refusedAs(t, "a counter that is gone", err, flows.ReasonKeyCloned)
	if string(r.c.Records[0].Data) != before {
		t.Error("a refused use was noted")
	}
}

// Everything of a person hangs on a random name, never on what we know them by.
func TestAPersonsKeysShareOneRandomHandle(t *testing.T) {
	r := newRig(t)
	if err := r.enrol(); err != nil {
		t.Fatal(err)
	}
	if err := r.enrol(); !errors.Is(err, webauthntest.ErrExcluded) {
		t.Errorf("the same authenticator made a second key: %v", err)
	}
	r.a = &webauthntest.Authenticator{Syncs: true}
	if err := r.enrol(); err != nil {
		t.Fatal(err)
	}
	one, two := r.c.Records[0], r.c.Records[1]
	if one.Handle == "" || one.Handle != two.Handle || strings.Contains(one.Handle, "alice") {
		t.Errorf("handles %q and %q", one.Handle, two.Handle)
	}
	other := newRig(t)
	if err := other.enrol(); err != nil || other.c.Records[0].Handle == one.Handle {
		t.Errorf("another person got the same handle: %v", err)
	}
	if v, err := r.prove(); err != nil || v.Record != "r2" {
		t.Errorf("the second key: %s, %v", v.Record, err)
	}
	// The same key again, from a browser that excludes nothing.
	id := func(a *webauthntest.Answer) {
		var k key
		_ = json.Unmarshal(two.Data, &k)
		a.ID = k.ID
	}
	r.a = new(webauthntest.Authenticator)
	refusedAs(t, "a key that is there", r.enrol(id), flows.ReasonKeyRefused)
}

// What a use proves: a key of this device or one that travels, and of whom (RFC 8176).
func TestMethodReferences(t *testing.T) {
	for want, a := range map[string]*webauthntest.Authenticator{
		"hwk": {}, "swk": {Syncs: true}, "hwk mfa": {Verifies: true}, "swk mfa": {Verifies: true, Syncs: true},
	} {
		r := newRig(t)
		r.a = a
		if err := r.enrol(); err != nil {
			t.Fatal(err)
		}
		if v, err := r.prove(); err != nil || strings.Join(v.AMR, " ") != want {
			t.Errorf("want %s, got %v, %v", want, v.AMR, err)
		}
	}
}

func TestUserVerification(t *testing.T) {
	for policy, want := range map[string]string{"": "preferred", "required": "required", "discouraged": "discouraged"} {
		r := newRig(t)
		r.w.UserVerification = policy
		r.a.Verifies = policy == "required"
		if err := r.enrol(); err != nil {
			t.Fatal(err)
		}
		r.begin()
		if got := string(asked(t, r.w.Draw(r.c)).Options); !strings.Contains(got, `"userVerification":"`+want+`"`) {
			t.Errorf("%q asks %s", policy, got)
		}
	}
	r := newRig(t)
	r.w.UserVerification = "required"
	if err := r.enrol(); err != nil {
		t.Fatal(err)
	}
	r.a.Verifies = false
	r.begin()
	if _, err := r.a.Get(asked(t, r.w.Draw(r.c)).Options, here); !errors.Is(err, webauthntest.ErrNotAllowed) {
		t.Errorf("want the authenticator to refuse, got %v", err)
	}
}

// A key is for one domain; on a page elsewhere it is not asked for, and the page says so.
func TestTheDomainOfAKey(t *testing.T) {
	r := newRig(t)
	if err := r.enrol(); err != nil {
		t.Fatal(err)
	}
	for _, origin := range []string{"https://other.example", "https://app.example.evil.test", "http://127.0.0.1:8080", "https://192.0.2.7"} {
		r.c.Origin = origin
		r.begin()
		if p := r.w.Draw(r.c); len(p.Widgets) != 1 || p.Widgets[0] != (flows.Note{Code: "webauthn_elsewhere"}) {
			t.Errorf("%s: %v", origin, p.Widgets)
		}
		if _, err := r.judge("{}"); !errors.Is(err, flows.ErrCredentials) {
			t.Errorf("%s: an answer to nothing: %v", origin, err)
		}
	}
	for origin, ok := range map[string]bool{
		"https://example.com": true, "https://app.example.com": true, "https://a.b.example.com:8443": true,
		"https://badexample.com": false, "https://example.com.evil.test": false, "https://com": false,
	} {
		c := &flows.Challenge{User: &flows.User{Name: "alice"}, Origin: origin, Now: flowstest.Start}
		w := &WebAuthn{RPID: "example.com", RPName: "Here"}
		err := w.BeginEnrol(t.Context(), c)
		if (err == nil) != ok {
			t.Errorf("%s: %v", origin, err)
		}
		if err == nil && !strings.Contains(string(asked(t, w.DrawEnrol(c)).Options), `"rp":{"name":"Here","id":"example.com"}`) {
			t.Errorf("%s asks %s", origin, asked(t, w.DrawEnrol(c)).Options)
		}
	}
}

// Without a person any key that knows who it belongs to will do, if it verifies them.
func TestALoginByPasskey(t *testing.T) {
	r := newRig(t)
	if err := r.enrol(); err != nil {
		t.Fatal(err)
	}
	alice := r.c.User
	begin := func() {
		r.c.User = nil
		r.begin()
		if got := string(asked(t, r.w.Draw(r.c)).Options); strings.Contains(got, "allowCredentials") || !strings.Contains(got, `"userVerification":"required"`) {
			t.Fatalf("asks %s", got)
		}
	}
	begin()
	used := r.sign()
	if h, ok := r.w.Holder(answer(used)); !ok || h != r.c.Records[0].Handle {
		t.Fatalf("the handle is %q, want %q", h, r.c.Records[0].Handle)
	}
	r.c.User = alice
	if v, err := r.judge(used); err != nil || strings.Join(v.AMR, " ") != "hwk mfa" {
		t.Fatalf("%v, %v", v.AMR, err)
	}
	for what, b := range map[string]bend{
		"nobody verified":  func(a *webauthntest.Answer) { a.Flags &^= webauthntest.Verified },
		"nobody named":     func(a *webauthntest.Answer) { a.Handle = nil },
		"somebody else":    func(a *webauthntest.Answer) { a.Handle = []byte("somebody else") },
		"a second factor":  func(a *webauthntest.Answer) { a.Challenge = strings.Repeat("A", 43) },
		"an unknown key":   func(a *webauthntest.Answer) { a.ID = []byte("unknown") },
		"another signer's": func(a *webauthntest.Answer) { a.Signed = func(s []byte) []byte { s[8] ^= 1; return s } },
	} {
		begin()
		used := r.sign(b)
		r.c.User = alice
		_, err := r.judge(used)
		refusedAs(t, what, err, flows.ReasonKeyRefused)
	}
	for in, there := range map[string]bool{"": false, "{": true, `{"response":{"userHandle":7}}`: true, strings.Repeat("x", maxAnswer+1): true} {
		if h, ok := r.w.Holder(answer(in)); h != "" || ok != there {
			t.Errorf("%.20q: %q, %v", in, h, ok)
		}
	}
}

func TestNames(t *testing.T) {
	for in, want := range map[string]string{"": "", "  my \n key ": "my key", "a\x00b\u202ec": "a b c", strings.Repeat("ü", 70): strings.Repeat("ü", 64), "\xff": ""} {
		if got := name(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestCaddyfileErrors(t *testing.T) {
	for text, want := range map[string]string{
		"webauthn x":                                                   "'x' is too much",
		"webauthn {\nattestation direct\n}":                            "no option 'attestation'",
		"webauthn {\nrp_id\n}":                                         "rp_id wants a domain",
		"webauthn {\nrp_id https://example.com\n}":                     "no domain",
		"webauthn {\nrp_id 192.0.2.7\n}":                               "no domain",
		"webauthn {\nrp_id Example.com\n}":                             "no domain",
		"webauthn {\nrp_id a.test b.test\n}":                           "'b.test' is too much",
		"webauthn {\nrp_name A\nrp_name B\n}":                          "rp_name is there twice",
		"webauthn {\nuser_verification always\n}":                      "not 'always'",
		"webauthn {\nuser_verification required\nrp_id app.example x}": "is too much",
	} {
		if err := new(WebAuthn).UnmarshalCaddyfile(caddyfile.NewTestDispenser(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: want an error about %q, got %v", text, want, err)
		}
	}
	if err := (&WebAuthn{UserVerification: "x"}).Validate(); err == nil {
		t.Error("a policy nobody knows is valid")
	}
	if err := (&WebAuthn{RPID: "a/b"}).Validate(); err == nil {
		t.Error("a domain that is none is valid")
	}
}
