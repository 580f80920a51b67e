package policy

import (
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// stepped is somebody signed in, with proofs of these ages; evidence of how is added.
func stepped(now time.Time, proved map[string]time.Duration, evidence ...flows.Evidence) *flows.Facts {
	f := person("/", "bank")
	f.Now, f.Evidence, f.Session.Proved = now, evidence, map[string]time.Time{}
	for flow, age := range proved {
		f.Session.Proved[flow] = now.Add(-age)
	}
	return f
}

// B25: evidence has time and method; what was asked for is no evidence.
func TestB25StepUpLooksAtTheNewestProof(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	factor := func(age time.Duration, kind flows.EvidenceKind) flows.Evidence {
		return flows.Evidence{Method: "totp", At: now.Add(-age), Kind: kind}
	}
	any5, any0 := Proof{Within: 5 * time.Minute}, Proof{}
	strong5, once := Proof{Flow: "strong", Within: 5 * time.Minute}, Proof{ID: "r1", Once: true}
	for _, tc := range []struct {
		name  string
		proof Proof
		facts *flows.Facts
		want  Verdict
	}{
		{"no proof", any0, stepped(now, nil), Prove},
		{"any in the session", any0, stepped(now, nil, factor(9*time.Hour, flows.Direct)), Allow},
		{"just within", any5, stepped(now, nil, factor(5*time.Minute, flows.Direct)), Allow},
		{"just too old", any5, stepped(now, nil, factor(5*time.Minute+1, flows.Direct)), Prove},
		{"the newest of several", any5, stepped(now, nil, factor(time.Hour, flows.Direct), factor(time.Minute, flows.Direct), factor(2*time.Hour, flows.Direct)), Allow},
		{"enrolled just now (I03)", any0, stepped(now, nil, factor(0, flows.EnrolledNow)), Prove},
		{"trust in a device (I03)", any0, stepped(now, nil, factor(0, flows.DeviceTrust)), Prove},
		{"a provider's is no factor of ours", any0, stepped(now, nil, flows.Evidence{Provider: "idp", Method: "oidc", AMR: []string{"mfa"}, At: now}), Prove},
		{"a flow", strong5, stepped(now, map[string]time.Duration{"strong": time.Minute}), Allow},
		{"a flow too old", strong5, stepped(now, map[string]time.Duration{"strong": time.Hour}), Prove},
		{"another flow", strong5, stepped(now, map[string]time.Duration{"weak": 0}, factor(0, flows.Direct)), Prove},
		{"finished, not proved", Proof{Flow: "bank"}, stepped(now, nil), Prove},
		{"once is not met by a proof", once, stepped(now, nil, factor(0, flows.Direct)), Prove},
		{"once, approved", once, func() *flows.Facts { f := stepped(now, nil); f.Approved = []string{"r0", "r1"}; return f }(), Allow},
		{"once, another rule approved", once, func() *flows.Facts { f := stepped(now, nil); f.Approved = []string{"r2"}; return f }(), Prove},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := tc.proof
			d := Decide(&Gate{Flow: "bank", Rules: []Rule{{Do: StepUp, Proof: &p, Source: "C:7"}}}, tc.facts)
			if d.Verdict != tc.want {
				t.Fatalf("%s, want %s", d.Verdict, tc.want)
			}
			if d.Verdict == Prove && (d.Proof != &p || d.Source != "C:7" || d.Reason != flows.ReasonStepUpRequired) {
				t.Fatalf("it is not said what is asked: %+v", d)
			}
		})
	}
}

func TestI19StepUpBeatsOptionalAndPublic(t *testing.T) {
	t.Parallel()
	now := time.Now()
	ask := Rule{Do: StepUp, Proof: &Proof{}, Source: "C:1"}
	when := func(c flows.Condition) Rule { r := ask; r.Cond = c; return r }
	for _, tc := range []struct {
		name    string
		rules   []Rule
		signed  Verdict
		unknown Verdict
	}{
		{"alone", []Rule{ask}, Prove, Login},
		{"not here", []Rule{{Do: StepUp, Proof: &Proof{}, Match: never}}, Allow, Login},
		{"beats public", []Rule{{Do: Public}, ask}, Prove, Login},
		{"beats optional", []Rule{{Do: Optional}, ask}, Prove, Login},
		{"condition holds", []Rule{when(yes)}, Prove, Login},
		{"condition does not", []Rule{when(no)}, Allow, Login},
		{"condition does not, and public still means nothing", []Rule{{Do: Public}, when(no)}, Allow, Login},
		{"condition errs (I22)", []Rule{when(broken)}, Deny, Login},
		{"matcher errs (I22)", []Rule{{Do: StepUp, Proof: &Proof{}, Match: cannot}}, Deny, Deny},
		{"asks for nothing", []Rule{{Do: StepUp}}, Deny, Login},
		{"with a require that holds", []Rule{{Do: Require, Cond: yes}, ask}, Prove, Login},
		{"the first written is asked", []Rule{ask, {Do: Require, Cond: no}}, Prove, Login},
		{"the first written denies", []Rule{{Do: Require, Cond: no}, ask}, Deny, Login},
	} {
		g := &Gate{Flow: "bank", Rules: tc.rules}
		if d := Decide(g, stepped(now, nil)); d.Verdict != tc.signed {
			t.Errorf("%s, signed in: %s, want %s", tc.name, d.Verdict, tc.signed)
		}
		if d := Decide(g, person("/")); d.Verdict != tc.unknown {
			t.Errorf("%s, not signed in: %s, want %s", tc.name, d.Verdict, tc.unknown)
		}
		for i := range g.Rules { // whatever the order, what does not hold lets nobody through
			g.Rules[0], g.Rules[i] = g.Rules[i], g.Rules[0]
			if d := Decide(g, stepped(now, nil)); (d.Verdict == Allow) != (tc.signed == Allow) {
				t.Errorf("%s, another order: %s", tc.name, d.Verdict)
			}
		}
	}
}
