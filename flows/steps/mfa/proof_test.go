package mfa

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

// letter is a factor that everybody with an address has; its proof is the word "right".
type letter struct {
	word
	sent int
}

func (l *letter) Imply(u *flows.User) []flows.Record {
	if u.Email == "" {
		return nil
	}
	return []flows.Record{{ID: "email", Factor: "email"}}
}

func (l *letter) Begin(context.Context, *flows.Challenge) error {
	l.sent++
	return nil
}

func (l *letter) Resend(_ context.Context, _ *flows.Challenge, in flows.Input) (bool, error) {
	if in.Value("resend") == "" {
		return false, nil
	}
	l.sent++
	return true, nil
}

func (l *letter) Verify(ctx context.Context, c *flows.Challenge, in flows.Input) (flows.Verdict, error) {
	v, err := l.word.Verify(ctx, c, in)
	v.Use = nil
	return v, err
}

// withMail is a step with a factor email beside its own.
func withMail(t *testing.T, text string) (*MFA, *letter) {
	t.Helper()
	l, r := new(letter), registry()
	r.Factors["email"] = l
	m := new(MFA)
	if err := m.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text)); err != nil {
		t.Fatal(err)
	}
	if m.Enroll == "" {
		m.Enroll = enrollRequire
	}
	if err := m.Bind(r); err != nil {
		t.Fatal(err)
	}
	return m, l
}

// counting is how often a try was counted.
type counting struct {
	enrolments
	tries int
}

func (c *counting) Reserve(ctx context.Context, user flows.UserKey, factor string) (time.Duration, error) {
	c.tries++
	return c.enrolments.Reserve(ctx, user, factor)
}

func mailed(e flows.Enrolments, evidence ...flows.Evidence) *flows.Execution {
	x := run(nil, evidence...)
	x.User.Email, x.Env.Enrolments = "alice@example.com", e
	return x
}

var byPassword = flows.Evidence{Provider: "corp", Method: "password", AMR: []string{"pwd"}}

func say(name, value string) flows.Input {
	return flows.Input{Values: map[string][]string{name: {value}}}
}

func TestI07AProofComesBeforeTheFirstFactor(t *testing.T) {
	m, l := withMail(t, "mfa a")
	e := new(enrolments)
	x := mailed(e, byPassword)
	step := func(o flows.Outcome, err error) *flowstest.Seen {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		seen := flowstest.Look(o)
		return &seen
	}
	if s := step(m.Enter(t.Context(), x)); s.Kind != "ask" || s.Page.Kind != "word" || l.sent != 1 {
		t.Fatalf("want the proof, got %+v", s)
	}
	for _, in := range []flows.Input{say("word", "wrong"), say("factor", "a"), say("later", "1"), {}} {
		if s := step(m.Resume(t.Context(), x, in)); s.Kind != "ask" || s.Page.Kind != "word" || len(e.records) > 0 {
			t.Fatalf("%v: got %+v", in.Values, s)
		}
	}
	if p, err := m.Show(t.Context(), x); err != nil || p.Kind != "word" || l.sent != 1 {
		t.Errorf("showing it: %+v, %v, %d sent", p, err, l.sent)
	}
	if s := step(m.Resume(t.Context(), x, say("word", "right"))); s.Kind != "ask" || s.Page.Kind != "word_enrol" {
		t.Fatalf("want the enrolment, got %+v", s)
	}
	if s := step(m.Resume(t.Context(), x, say("word", "right"))); s.Kind != "continue" || len(e.records) != 1 {
		t.Fatalf("want it enrolled, got %+v", s)
	}
	if !slices.ContainsFunc(x.Evidence, func(e flows.Evidence) bool { return e.Method == "email" && slices.Contains(e.AMR, "mfa") }) {
		t.Errorf("the evidence is %+v", x.Evidence)
	}
}

// Whoever brings the provider down must not enrol with a stolen password, mailbox or not.
func TestI07NoProofInAFallback(t *testing.T) {
	for text, want := range map[string]string{"mfa a": "deny", "mfa a {\nenroll allow\n}": "continue"} {
		m, l := withMail(t, text)
		x := mailed(new(enrolments), flows.Evidence{Provider: "breakglass", Method: "password", Kind: flows.Fallback})
		if o, err := m.Enter(t.Context(), x); err != nil || flowstest.Look(o).Kind != want || l.sent > 0 {
			t.Errorf("%q: %v, %v, %d sent", text, flowstest.Look(o).Kind, err, l.sent)
		}
	}
}

// Evidence of a factor that is no proof, or from before the run asked anew, vouches for nobody.
func TestI07OnlyAProofVouches(t *testing.T) {
	m, _ := withMail(t, "mfa a")
	for what, tc := range map[string]struct {
		e    flows.Evidence
		want string
	}{
		"a code by mail":       {flows.Evidence{Method: "email", At: flowstest.Start}, "word_enrol"},
		"another factor":       {flows.Evidence{Method: "b", At: flowstest.Start}, "word"},
		"a provider's e-mail":  {flows.Evidence{Provider: "corp", Method: "email", At: flowstest.Start}, "word"},
		"before it was asked":  {flows.Evidence{Method: "email", At: flowstest.Start.Add(-time.Minute)}, "word"},
		"trust in a device":    {flows.Evidence{Method: "email", Kind: flows.DeviceTrust, At: flowstest.Start}, "word"},
		"enrolled a while ago": {flows.Evidence{Method: "email", Kind: flows.EnrolledNow, At: flowstest.Start}, "word"},
	} {
		x := mailed(new(enrolments), byPassword, tc.e)
		x.Since = flowstest.Start.Add(-time.Second)
		if o, err := m.Enter(t.Context(), x); err != nil || flowstest.Look(o).Page.Kind != tc.want {
			t.Errorf("%s: got %+v, %v, want %s", what, flowstest.Look(o), err, tc.want)
		}
	}
}

func TestB26AnImpliedFactorNeedsNoEnrolment(t *testing.T) {
	m, l := withMail(t, "mfa email a")
	x := mailed(new(enrolments), byPassword)
	if o, err := m.Enter(t.Context(), x); err != nil || flowstest.Look(o).Page.Kind != "word" || l.sent != 1 {
		t.Fatalf("got %+v, %v", flowstest.Look(o), err)
	}
	if o, err := m.Resume(t.Context(), x, say("word", "right")); err != nil || flowstest.Look(o).Kind != "continue" {
		t.Fatalf("got %+v, %v", flowstest.Look(o), err)
	}
	// What was set up comes first: it sends nothing.
	e := &enrolments{records: []flows.Record{{ID: "1", Factor: "a"}}}
	if o, err := m.Enter(t.Context(), mailed(e, byPassword)); err != nil || flowstest.Look(o).Kind != "ask" || l.sent != 1 {
		t.Errorf("got %+v, %v, %d sent", flowstest.Look(o), err, l.sent)
	}
}

// Asking for another code is no try.
func TestB26ResendIsNotCounted(t *testing.T) {
	m, l := withMail(t, "mfa email")
	e := new(counting)
	x := mailed(e, byPassword)
	if _, err := m.Enter(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if o, err := m.Resume(t.Context(), x, say("resend", "1")); err != nil || flowstest.Look(o).Kind != "ask" {
			t.Fatalf("got %+v, %v", flowstest.Look(o), err)
		}
	}
	if e.tries != 0 || l.sent != 4 {
		t.Errorf("%d tries counted, %d sent", e.tries, l.sent)
	}
	if _, err := m.Resume(t.Context(), x, say("word", "wrong")); err != nil || e.tries != 1 {
		t.Errorf("a wrong answer: %d tries, %v", e.tries, err)
	}
}
