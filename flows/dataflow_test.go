package flows_test

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

type named struct {
	reads []string
	at    string
}

func (n named) Reads() []string { return n.reads }
func (n named) Source() string  { return n.at }

// login knows the user behind it; gives sets names and may read; reads only reads.
type gives struct {
	mark
	names []string
	reads []string
}

func (g gives) Produces() []string { return g.names }
func (g gives) Conditions() []flows.Named {
	return []flows.Named{named{g.reads, "Caddyfile:" + g.name}}
}

func login() flows.Step                      { return gives{mark{"1"}, []string{"user"}, nil} }
func risk() flows.Step                       { return gives{mark{"2"}, []string{"risk"}, nil} }
func set(n string, reads ...string) gives    { return gives{mark{"3"}, []string{"user." + n}, reads} }
func reads(names ...string) flows.Step       { return gives{mark{"7"}, nil, names} }
func block(steps ...flows.Step) []flows.Step { return steps }

// if_ may take none of its blocks; ifElse always takes one.
func if_(blocks ...[]flows.Step) flows.Step { return choose{name: "if", take: -1, blocks: blocks} } //nolint:revive // reads as what it is

func ifElse(blocks ...[]flows.Step) flows.Step { return choose{name: "if", all: true, blocks: blocks} }

// whenReads is a container whose own conditions read names.
type whenReads struct {
	choose
	names []string
}

func (w whenReads) Conditions() []flows.Named { return []flows.Named{named{w.names, "Caddyfile:8"}} }

func TestI22NameNotSurelySetIsRefused(t *testing.T) {
	t.Parallel()
	dept := reads("user.dept")
	deny := stop{"no"}
	for _, tc := range []struct {
		name  string
		steps []flows.Step
		want  string // "" loads
	}{
		{"request needs nothing", block(reads("request.path", "now", "device.known", "geo.country")), ""},
		{"user before login", block(dept, login()), "Caddyfile:7: user.dept is read before a login step surely ran"},
		{"auth before login", block(reads("auth.amr"), login()), "auth.amr is read before a login step surely ran"},
		{"user behind login", block(login(), reads("user.name", "auth.amr")), ""},
		{"session in a flow", block(login(), reads("session.age")), "session.age is not there while a flow runs; test it with has(session.age)"},
		{"the provider's own attribute", block(login(), dept), ""},
		{"set", block(login(), set("dept"), dept), ""},
		{"read before its set", block(login(), dept, set("dept")), "user.dept is read where no earlier step surely set it; test it with has(user.dept)"},
		{"set in one branch only", block(login(), if_(block(set("dept"))), dept), "user.dept is read where"},
		{"inside that branch", block(login(), if_(block(set("dept"), dept))), ""},
		{"read in another branch", block(login(), if_(block(set("dept"))), if_(block(dept))), "user.dept is read where"},
		{"read deep in another branch", block(login(), if_(block(set("dept"))), if_(block(ifElse(block(dept), block())))), "user.dept is read where"},
		{"set in all branches", block(login(), ifElse(block(set("dept")), block(set("dept"))), dept), ""},
		{"all but no else", block(login(), if_(block(set("dept")), block(set("dept"))), dept), "user.dept is read where"},
		{"an empty branch", block(login(), ifElse(block(set("dept")), block()), dept), "user.dept is read where"},
		{"the other branch denies", block(login(), ifElse(block(set("dept")), block(deny)), dept), ""},
		{"denies late", block(login(), ifElse(block(set("dept")), block(mark{"x"}, deny)), dept), ""},
		{"denies in a nested block only sometimes", block(login(), ifElse(block(set("dept")), block(if_(block(deny)))), dept), "user.dept is read where"},
		{"denies in all nested blocks", block(login(), ifElse(block(set("dept")), block(ifElse(block(deny), block(deny)))), dept), ""},
		{"denies without else", block(login(), if_(block(deny)), reads("risk.score")), "risk.score is read before a risk step surely ran"},
		{"everything denied: nothing runs behind", block(ifElse(block(deny), block(deny)), dept), ""},
		{"behind deny nothing runs", block(deny, dept), ""},
		{"login in one branch", block(ifElse(block(login()), block()), reads("user.name")), "before a login step surely ran"},
		{"login in all", block(ifElse(block(login()), block(login())), reads("user.name")), ""},
		{"login or deny", block(ifElse(block(login()), block(deny)), reads("user.name")), ""},
		{"risk", block(login(), risk(), reads("risk.score")), ""},
		{"risk in a branch", block(login(), if_(block(risk())), reads("risk.level")), "risk.level is read before a risk step surely ran"},
		{"a set that reads its own name", block(login(), set("dept", "user.dept")), ""},
		{"such a name is the provider's", block(login(), if_(block(set("dept", "user.dept"))), dept), ""},
		{"unless another sets it", block(login(), if_(block(set("dept"))), set("dept", "user.dept")), "user.dept is read where"},
		{"a set before login", block(set("dept", "user.name"), login()), "user.name is read before"},
		{"the when's own condition", block(login(), if_(block(set("dept"))), whenReads{choose{all: true, blocks: [][]flows.Step{{}}}, []string{"user.dept"}}), "Caddyfile:8: user.dept"},
		{"a container without blocks", block(login(), choose{all: true}, reads("user.name")), ""},
	} {
		_, err := flows.Compile("staff", "d", tc.steps)
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", tc.name, err)
		case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), "flow staff: ")):
			t.Errorf("%s: %v\nwant %s", tc.name, err, tc.want)
		}
	}
}

// Conditions of requests come behind the whole flow.
func TestI22WhatARequestMayReadOfItsFlow(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		steps []flows.Step
		reads string
		want  string
	}{
		{"the provider's attribute", block(login()), "user.dept", ""},
		{"a set", block(login(), set("dept")), "user.dept", ""},
		{"a set in one branch", block(login(), if_(block(set("dept")))), "user.dept", "user.dept is read, but flow staff does not surely set it; test it with has(user.dept)"},
		{"a set in all of them", block(login(), ifElse(block(set("dept")), block(stop{"no"}))), "user.dept", ""},
		{"no risk", block(login()), "risk.score", "risk.score is read, but flow staff does not surely run a risk step"},
		{"risk in a branch", block(login(), if_(block(risk()))), "risk.level", "risk.level is read"},
		{"risk", block(login(), risk()), "risk.level", ""},
		{"a session", block(login()), "session.age", ""},
	} {
		p, err := flows.Compile("staff", "d", tc.steps)
		if err != nil {
			t.Fatal(err)
		}
		err = p.Knows(named{[]string{tc.reads}, "f:1"})
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v\nwant %s", tc.name, err, tc.want)
		}
	}
}

// The rule is worth something only if the engine agrees with it: random flows
// that load never reach a reading step without what it reads.
type setter struct{ name string }

func (s setter) Enter(_ context.Context, x *flows.Execution) (flows.Outcome, error) {
	x.SetAttribute(s.name, true)
	return flows.Continue(), nil
}
func (s setter) Produces() []string { return []string{"user." + s.name} }

type getter struct{ name string }

func (g getter) Enter(_ context.Context, x *flows.Execution) (flows.Outcome, error) {
	if _, ok := x.User.Attribute(g.name); !ok {
		return flows.Deny(flows.Denial{Reason: flows.ReasonInternal}), nil
	}
	return flows.Continue(), nil
}

func (g getter) Conditions() []flows.Named {
	return []flows.Named{named{[]string{"user." + g.name}, "f:1"}}
}

func TestI22WhatLoadsNeverReadsWhatIsNotThere(t *testing.T) {
	t.Parallel()
	loaded := 0
	for seed := range uint64(20_000) {
		rng := rand.New(rand.NewPCG(seed, 22))
		steps := append(block(login(), mark{"user"}), variables(rng, 3)...)
		steps = append(steps, setter{"a"}, setter{"b"}) // so that both names are ours
		p, err := flows.Compile("staff", "d", steps)
		if err != nil {
			continue
		}
		loaded++
		out, _, err := p.Advance(t.Context(), &flows.Execution{Flow: "staff", Digest: "d"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if out != nil && flowstest.Look(out).Denial.Reason == flows.ReasonInternal {
			t.Fatalf("seed %d loads and reads what is not there: %+v", seed, steps)
		}
	}
	if loaded < 2000 || loaded > 18_000 {
		t.Errorf("%d of 20,000 load: the test sees too little", loaded)
	}
}

func variables(rng *rand.Rand, depth int) []flows.Step {
	steps := []flows.Step{}
	for range rng.IntN(4) {
		name := []string{"a", "b"}[rng.IntN(2)]
		switch k := rng.IntN(10); {
		case k < 3:
			steps = append(steps, setter{name})
		case k < 6:
			steps = append(steps, getter{name})
		case k < 7:
			steps = append(steps, stop{"no"})
		case depth > 0:
			c := choose{name: "w", all: rng.IntN(2) == 0}
			for range 1 + rng.IntN(3) {
				c.blocks = append(c.blocks, variables(rng, depth-1))
			}
			if c.take = rng.IntN(len(c.blocks)); !c.all {
				c.take--
			}
			steps = append(steps, c)
		}
	}
	return steps
}
