package policy

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
)

// cond is a condition by hand.
type cond struct {
	ok  bool
	err error
}

func (c cond) Holds(*flows.Facts) (bool, error) { return c.ok, c.err }
func (cond) Reads() []string                    { return nil }
func (cond) Source() string                     { return "" }

func under(prefix string) func(*flows.Facts) (bool, error) {
	return func(f *flows.Facts) (bool, error) { return strings.HasPrefix(f.Request.Path, prefix), nil }
}

var (
	errTest = errors.New("cannot tell")
	yes     = cond{ok: true}
	no      = cond{}
	broken  = cond{err: errTest}
	cannot  = func(*flows.Facts) (bool, error) { return true, errTest }
	never   = func(*flows.Facts) (bool, error) { return false, nil }
)

func person(path string, flowNames ...string) *flows.Facts {
	f := &flows.Facts{Request: &flows.Request{Path: path}}
	if len(flowNames) > 0 {
		f.User, f.Session = &flows.User{Key: "corp:a1", Name: "alice"}, &flows.SessionFacts{Flows: map[string]string{}}
		for _, n := range flowNames {
			f.Session.Flows[n] = "digest"
		}
	}
	return f
}

func TestI19StrictestLineWins(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name            string
		rules           []Rule
		signed, unknown Verdict
	}{
		{"no rules", nil, Allow, Login},
		{"nothing matches", []Rule{{Do: Public, Match: never}, {Do: Optional, Match: never}, {Do: Require, Match: never, Cond: no}}, Allow, Login},
		{"public", []Rule{{Do: Public}}, Open, Open},
		{"optional", []Rule{{Do: Optional}}, OpenKnown, Open},
		{"optional beats public", []Rule{{Do: Public}, {Do: Optional}}, OpenKnown, Open},
		{"require", []Rule{{Do: Require, Cond: yes}}, Allow, Login},
		{"bare require", []Rule{{Do: Require}}, Allow, Login},
		{"require fails", []Rule{{Do: Require, Cond: no}}, Deny, Login},
		{"require beats both", []Rule{{Do: Public}, {Do: Optional}, {Do: Require, Cond: yes}}, Allow, Login},
		{"failing require beats both", []Rule{{Do: Public}, {Do: Optional}, {Do: Require, Cond: no}}, Deny, Login},
		{"all requires hold together", []Rule{{Do: Require, Cond: yes}, {Do: Require, Cond: no}}, Deny, Login},
		{"condition errs", []Rule{{Do: Require, Cond: broken}}, Deny, Login},
		{"matcher errs", []Rule{{Do: Public}, {Do: Require, Match: cannot, Cond: yes}}, Deny, Deny},
		{"public matcher errs", []Rule{{Do: Public, Match: cannot}}, Deny, Deny},
		{"unknown rule", []Rule{{Do: "allow"}}, Deny, Deny},
		{"condition on a public line", []Rule{{Do: Public, Cond: yes}}, Deny, Deny},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			g := &Gate{Flow: "staff", Rules: tc.rules}
			for i := range 2 {
				if d := Decide(g, person("/", "staff")); d.Verdict != tc.signed {
					t.Errorf("signed in: %s, want %s", d.Verdict, tc.signed)
				}
				if d := Decide(g, person("/")); d.Verdict != tc.unknown {
					t.Errorf("not signed in: %s, want %s", d.Verdict, tc.unknown)
				}
				for l, r := 0, len(g.Rules)-1; i == 0 && l < r; l, r = l+1, r-1 {
					g.Rules[l], g.Rules[r] = g.Rules[r], g.Rules[l]
				}
			}
		})
	}
}

// I01: a session of another flow is nobody here, also for optional.
func TestI01SessionCountsOnlyWhereItsFlowWasFinished(t *testing.T) {
	t.Parallel()
	halfUser := person("/", "staff")
	halfUser.User = nil
	halfSession := person("/", "staff")
	halfSession.Session = nil
	for _, tc := range []struct {
		name  string
		gate  Gate
		facts *flows.Facts
		want  Verdict
	}{
		{"finished", Gate{Flow: "staff"}, person("/", "staff"), Allow},
		{"finished with an older digest", Gate{Flow: "staff", Digest: "new"}, person("/", "staff"), Allow},
		{"finished several", Gate{Flow: "staff"}, person("/", "guest", "staff"), Allow},
		{"another flow", Gate{Flow: "staff"}, person("/", "guest"), Login},
		{"another flow, require", Gate{Flow: "staff", Rules: []Rule{{Do: Require, Cond: yes}}}, person("/", "guest"), Login},
		{"another flow, optional", Gate{Flow: "staff", Rules: []Rule{{Do: Optional}}}, person("/", "guest"), Open},
		{"no flow named", Gate{}, person("/", ""), Login},
		{"no user", Gate{Flow: "staff"}, halfUser, Login},
		{"no session", Gate{Flow: "staff"}, halfSession, Login},
		{"no facts", Gate{Flow: "staff"}, nil, Login},
	} {
		if d := Decide(&tc.gate, tc.facts); d.Verdict != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, d.Verdict, tc.want)
		}
	}
}

func TestI22ErrorInARuleDenies(t *testing.T) {
	t.Parallel()
	for _, rules := range [][]Rule{
		{{Do: Require, Cond: broken, Source: "f:1"}},
		{{Do: Optional, Match: cannot, Source: "f:1"}},
		{{Do: Require, Match: never, Cond: no, Source: "f:0"}, {Do: Public, Match: cannot, Source: "f:1"}},
	} {
		d := Decide(&Gate{Flow: "staff", Rules: rules}, person("/", "staff"))
		if d.Verdict != Deny || d.Reason != flows.ReasonConditionError || !errors.Is(d.Err, errTest) || d.Source != "f:1" {
			t.Errorf("%+v", d)
		}
	}
	var zero Decision
	if zero.Verdict != Deny {
		t.Error("a decision that nobody made must deny")
	}
}

// B21: what is refused says the rule's own words and where it is written.
func TestB21PolicyPerRoute(t *testing.T) {
	t.Parallel()
	e := newEnv(t, map[string]Source{"admins": {CEL: `"admins" in user.groups`}})
	admins, err := e.Condition(flows.ConditionRef{Policy: "admins", Source: "f:4"})
	if err != nil {
		t.Fatal(err)
	}
	g := &Gate{Flow: "staff", Rules: []Rule{
		{Do: Public, Match: under("/public/"), Source: "f:2"},
		{Do: Require, Match: under("/admin/"), Cond: admins, Text: "Administrators only.", Source: "f:4"},
		{Do: Require, Match: under("/admin/root/"), Cond: no, Text: "Nobody.", Source: "f:5"},
	}}
	a, b := person("/admin/", "staff"), person("/admin/", "staff")
	a.User.Groups, b.User.Groups = []string{"admins"}, []string{"users"}
	if d := Decide(g, a); d.Verdict != Allow || d.Reason != "" {
		t.Errorf("group admins: %+v", d)
	}
	want := Decision{Verdict: Deny, Reason: flows.ReasonNotAllowed, Text: "Administrators only.", Source: "f:4"}
	if d := Decide(g, b); d != want {
		t.Errorf("group users: %+v", d)
	}
	b.Request.Path = "/admin/root/x" // both fail: the first as written is shown
	if d := Decide(g, b); d != want {
		t.Errorf("two failing: %+v", d)
	}
	a.Request.Path = "/admin/root/x"
	if d := Decide(g, a); d.Text != "Nobody." || d.Source != "f:5" {
		t.Errorf("the second failing: %+v", d)
	}
	if d := Decide(g, person("/public/x")); d.Verdict != Open {
		t.Errorf("public: %+v", d)
	}
	if d := Decide(g, person("/other")); d.Verdict != Login || d.Reason != flows.ReasonLoginRequired {
		t.Errorf("not signed in: %+v", d)
	}
}

// I19: order never matters. Random rules, all of them shuffled.
func TestI19OrderNeverChangesTheVerdict(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(19, 1))
	dos := []Do{Public, Optional, Require, Require, Require, "bogus"}
	conds := []flows.Condition{nil, nil, yes, yes, yes, no, broken}
	matches := []func(*flows.Facts) (bool, error){nil, nil, never, never, under("/a"), under("/a/b"), cannot}
	seen := map[Verdict]int{}
	for range 20_000 {
		rules := make([]Rule, rng.IntN(6))
		for i := range rules {
			r := Rule{Do: dos[rng.IntN(len(dos)*2)%len(dos)], Match: matches[rng.IntN(len(matches)*3)%len(matches)]}
			if r.Do == "bogus" && rng.IntN(10) > 0 {
				r.Do = Public
			}
			if r.Do == Require {
				r.Cond = conds[rng.IntN(len(conds))]
			}
			rules[i] = r
		}
		f := person([]string{"/", "/a", "/a/b"}[rng.IntN(3)], [][]string{nil, {"staff"}, {"guest"}}[rng.IntN(3)]...)
		first := Decide(&Gate{Flow: "staff", Rules: rules}, f).Verdict
		seen[first]++
		for range 3 {
			rng.Shuffle(len(rules), func(i, j int) { rules[i], rules[j] = rules[j], rules[i] })
			if again := Decide(&Gate{Flow: "staff", Rules: rules}, f).Verdict; again != first {
				t.Fatalf("%+v: %s, then %s", rules, first, again)
			}
		}
	}
	for v := Deny; v <= OpenKnown; v++ {
		if seen[v] < 100 {
			t.Errorf("only %d times %s: the test sees too little", seen[v], v)
		}
	}
}

func TestDecideWithoutRulesAllocatesNothing(t *testing.T) {
	g, f := &Gate{Flow: "staff"}, person("/", "staff")
	if n := testing.AllocsPerRun(100, func() { Decide(g, f) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDecide(b *testing.B) {
	e := newEnv(b, nil)
	c, err := e.Condition(flows.ConditionRef{CEL: `"admins" in user.groups`})
	if err != nil {
		b.Fatal(err)
	}
	f := person("/admin/", "staff")
	f.User.Groups = []string{"staff", "admins"}
	for name, g := range map[string]*Gate{
		"no rules": {Flow: "staff"},
		"require":  {Flow: "staff", Rules: []Rule{{Do: Require, Match: under("/admin/"), Cond: c}}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Decide(g, f)
			}
		})
	}
}
