package mfa

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

// word is a factor whose proof is the word "right".
type word struct{ down error }

func (*word) Labels() (use, setUp string)                     { return "use", "set_up" }
func (w *word) Begin(context.Context, *flows.Challenge) error { return w.down }
func (w *word) Draw(*flows.Challenge) flows.Page              { return flows.Page{Kind: "word"} }
func (w *word) Verify(_ context.Context, c *flows.Challenge, in flows.Input) (flows.Verdict, error) {
	if in.Value("word") != "right" {
		return flows.Verdict{}, flows.ErrCredentials
	}
	return flows.Verdict{Record: c.Records[0].ID, AMR: []string{"otp"}, Use: func(r flows.Record) (flows.Record, error) { return r, nil }}, nil
}

type enrolling struct{ word }

func (*enrolling) BeginEnrol(context.Context, *flows.Challenge) error { return nil }
func (*enrolling) DrawEnrol(*flows.Challenge) flows.Page              { return flows.Page{Kind: "word_enrol"} }

func (*enrolling) Enrol(_ context.Context, _ *flows.Challenge, in flows.Input) (flows.Record, []string, error) {
	if in.Value("word") != "right" {
		return flows.Record{}, nil, flows.ErrCredentials
	}
	return flows.Record{}, []string{"otp"}, nil
}

type spare struct{ enrolling }

func (*spare) Spare() {}

// enrolments are records in memory.
type enrolments struct {
	records []flows.Record
	down    error
}

func (k *enrolments) List(context.Context, flows.UserKey) ([]flows.Record, error) {
	return slices.Clone(k.records), k.down
}

func (k *enrolments) Add(_ context.Context, _ *flows.User, r flows.Record) error {
	k.records = append(k.records, r)
	return k.down
}

func (k *enrolments) Use(context.Context, flows.UserKey, string, func(flows.Record) (flows.Record, error)) error {
	return k.down
}

func (k *enrolments) Reserve(context.Context, flows.UserKey, string) (time.Duration, error) {
	return 0, k.down
}
func (k *enrolments) Proved(context.Context, flows.UserKey, string) error { return k.down }

func registry() *flowstest.Registry {
	r := flowstest.NewRegistry()
	r.Factors = map[string]flows.Factor{"a": new(enrolling), "b": new(enrolling), "paper": new(spare)}
	return r
}

func bound(t *testing.T, text string) *MFA {
	t.Helper()
	m := new(MFA)
	if err := m.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text)); err != nil {
		t.Fatal(err)
	}
	if m.Enroll == "" {
		m.Enroll = enrollRequire
	}
	if err := m.Validate(); err != nil {
		t.Fatal(err)
	}
	if err := m.Bind(registry()); err != nil {
		t.Fatal(err)
	}
	return m
}

func run(e *enrolments, evidence ...flows.Evidence) *flows.Execution {
	return &flows.Execution{
		User: &flows.User{Key: "corp:alice", Name: "alice"}, Evidence: evidence, Inherited: true,
		Env: flows.Env{Now: flowstest.Start, Enrolments: e},
	}
}

func TestStepConformance(t *testing.T) {
	m := bound(t, "mfa a b paper")
	login := flows.Evidence{Provider: "corp", Method: "oidc", AMR: []string{"pwd", "mfa"}}
	for name, begin := range map[string]flowstest.StepRun{
		"asks": func() *flows.Execution {
			return run(&enrolments{records: []flows.Record{{ID: "1", Factor: "b"}}}, login)
		},
		"enrols":    func() *flows.Execution { return run(&enrolments{}, login) },
		"satisfied": func() *flows.Execution { return run(&enrolments{}, login, flows.Evidence{Method: "a"}) },
		"refuses": func() *flows.Execution {
			return run(&enrolments{}, flows.Evidence{Provider: "corp", Method: "password"})
		},
	} {
		t.Run(name, func(t *testing.T) { flowstest.TestStep(t, m, begin) })
	}
}

// Trust in a device is no factor, nor is what a provider calls by the same name (I03).
func TestI03OnlyEvidenceOfOurOwnFactorSatisfies(t *testing.T) {
	m := bound(t, "mfa a")
	for what, e := range map[string]flows.Evidence{
		"a provider's method of the same name": {Provider: "corp", Method: "a", AMR: []string{"a"}},
		"trust in a device":                    {Method: "a", Kind: flows.DeviceTrust},
		"another factor":                       {Method: "b"},
	} {
		o, err := m.Enter(t.Context(), run(&enrolments{records: []flows.Record{{ID: "1", Factor: "a"}}}, e))
		if err != nil || flowstest.Look(o).Kind != "ask" {
			t.Errorf("%s satisfied mfa: %v, %v", what, flowstest.Look(o).Kind, err)
		}
	}
}

// The list is by last use, and codes on paper were the last to be set up: still the
// app is asked for, and they are offered.
func TestWhatStandsInIsNotAskedForFirst(t *testing.T) {
	m := bound(t, "mfa a b paper")
	e := &enrolments{records: []flows.Record{{ID: "1", Factor: "paper"}, {ID: "2", Factor: "b"}, {ID: "3", Factor: "a"}}}
	x := run(e)
	if _, err := m.Enter(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	if k, err := m.kept(x); err != nil || k.Factor != "b" {
		t.Errorf("asked for %q first, %v", k.Factor, err)
	}
	e.records = e.records[:1]
	if _, err := m.Enter(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	if k, err := m.kept(x); err != nil || k.Factor != "paper" {
		t.Errorf("asked for %q, and there is paper only, %v", k.Factor, err)
	}
}

// Nobody enrols in a fallback login, whatever the provider says (I07, I23).
func TestI07NobodyEnrolsInAFallback(t *testing.T) {
	m := bound(t, "mfa a")
	for what, evidence := range map[string][]flows.Evidence{
		"a fallback":                {{Provider: "breakglass", Method: "password", AMR: []string{"mfa"}, Kind: flows.Fallback}},
		"a fallback and an old one": {{Provider: "corp", Method: "oidc", AMR: []string{"mfa"}}, {Provider: "breakglass", Method: "password", Kind: flows.Fallback}},
		"an initiated login":        {{Provider: "corp", Method: "saml", AMR: []string{"mfa"}, Kind: flows.IDPInitiated}},
		"a password alone":          {{Provider: "corp", Method: "password", AMR: []string{"pwd"}}},
		"our own word":              {{Method: "b", AMR: []string{"otp", "mfa"}}},
	} {
		o, err := m.Enter(t.Context(), run(&enrolments{}, evidence...))
		if seen := flowstest.Look(o); err != nil || seen.Kind != "deny" || seen.Denial.Reason != flows.ReasonNotEnrolled {
			t.Errorf("%s: want not_enrolled, got %v, %v", what, seen.Kind, err)
		}
	}
}

// Nothing that lasts is kept for who is somebody for one login only (I04).
func TestI04NoFactorForATransientSubject(t *testing.T) {
	login := flows.Evidence{Provider: "corp", Method: "saml", AMR: []string{"mfa"}}
	for text, want := range map[string]string{"mfa a": "deny", "mfa a {\nenroll allow\n}": "continue"} {
		x := run(&enrolments{}, login)
		x.User.Transient = true
		if o, err := bound(t, text).Enter(t.Context(), x); err != nil || flowstest.Look(o).Kind != want {
			t.Errorf("%q: want %s, got %s, %v", text, want, flowstest.Look(o).Kind, err)
		}
	}
}

// A store that cannot be asked is no "nothing enrolled" (I16).
func TestI16AStoreThatIsDownEnrolsNobody(t *testing.T) {
	m := bound(t, "mfa a {\nenroll allow\n}")
	if o, err := m.Enter(t.Context(), run(&enrolments{down: flows.ErrUnavailable}, flows.Evidence{Provider: "corp", AMR: []string{"mfa"}})); err == nil {
		t.Fatalf("want an error, got %v", flowstest.Look(o).Kind)
	}
}

func TestCaddyfileErrors(t *testing.T) {
	for text, want := range map[string]string{
		"mfa":                                   "wants one or more factors",
		"mfa a a":                               "is there twice",
		"mfa a {\nenroll maybe\n}":              "not 'maybe'",
		"mfa a {\nenroll\n}":                    "enroll is require, allow or deny",
		"mfa a {\nenroll deny\nenroll allow\n}": "enroll is there twice",
		"mfa a {\nenroll deny now\n}":           "'now' is too much",
		"mfa a {\nforget 30d\n}":                "no option 'forget'",
		"mfa a {\nremember\n}":                  "remember wants a time",
		"mfa a {\nremember long\n}":             "not 'long'",
		"mfa a {\nremember 0\n}":                "not '0'",
		"mfa a {\nremember -1h\n}":              "from 1h to 365d",
		"mfa a {\nremember 366d\n}":             "from 1h to 365d",
		"mfa a {\nremember 90m\n}":              "whole hours",
		"mfa a {\nremember 1d\nremember 2d\n}":  "remember is there twice",
		"mfa a {\nremember 1d 2d\n}":            "'2d' is too much",
	} {
		if err := new(MFA).UnmarshalCaddyfile(caddyfile.NewTestDispenser(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: want an error about %q, got %v", text, want, err)
		}
	}
	for names, want := range map[string]string{"a c": "no factor 'c'", "paper": "only stands in"} {
		m := &MFA{Factors: strings.Fields(names), Source: "Caddyfile:7"}
		if err := m.Bind(registry()); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "Caddyfile:7") {
			t.Errorf("mfa %s: want an error about %q at Caddyfile:7, got %v", names, want, err)
		}
	}
}
