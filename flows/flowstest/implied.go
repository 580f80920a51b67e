package flowstest

import (
	"errors"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
)

// ImpliedCase is one bound factor for TestImplied, and who has it.
type ImpliedCase struct {
	Factor flows.Implied
	// Has is somebody whose address is vouched for, Lacks somebody without.
	Has, Lacks *flows.User
	// Right answers the challenge that was begun last.
	Right func(c *flows.Challenge) flows.Input
	// Wrong is an answer that is never right.
	Wrong func(c *flows.Challenge) flows.Input
}

// TestImplied is what every factor promises that needs no enrolment: who has no
// address has no record; what is drawn twice is the same; a wrong answer is
// ErrCredentials; a proof is good once, and in the challenge it was made for.
func TestImplied(t testing.TB, f ImpliedCase) {
	t.Helper()
	for _, problem := range checkImplied(t, f) {
		t.Error(problem)
	}
}

func checkImplied(t testing.TB, f ImpliedCase) (problems []string) {
	say := func(problem string) { problems = append(problems, problem) }
	ctx, own := t.Context(), f.Factor.Imply(f.Has)
	if len(own) != 1 || own[0].ID == "" || own[0].Factor == "" {
		say("who has an address has one record, with an id and a kind")
		return problems
	}
	if len(f.Factor.Imply(f.Lacks)) > 0 {
		say("who has no address has a record")
	}
	begin := func() *flows.Challenge {
		c := &flows.Challenge{User: f.Has, Records: own, Origin: "https://app.example", Language: "en", Now: Start}
		if err := f.Factor.Begin(ctx, c); err != nil {
			say("beginning a challenge: " + err.Error())
		}
		if !same(f.Factor.Draw(c), f.Factor.Draw(c)) {
			say("the page differs when it is drawn again")
		}
		return c
	}
	c := begin()
	right := f.Right(c)
	for what, in := range map[string]flows.Input{"a wrong answer": f.Wrong(c), "no answer": {}} {
		if _, err := f.Factor.Verify(ctx, c, in); !errors.Is(err, flows.ErrCredentials) {
			say(what + " must be ErrCredentials")
		}
	}
	for what, other := range map[string]*flows.Challenge{
		"somebody who has no such record": {User: f.Has, State: c.State, Now: c.Now},
		"a challenge that was not begun":  {User: f.Has, Records: own, Now: c.Now},
	} {
		if _, err := f.Factor.Verify(ctx, other, right); !errors.Is(err, flows.ErrCredentials) {
			say("an answer is right for " + what)
		}
	}
	copied := *c
	v, err := f.Factor.Verify(ctx, c, right)
	if err != nil || v.Record != own[0].ID || len(v.AMR) == 0 || v.Use != nil {
		say("a right answer names its record and its AMR, and has nothing to note")
	}
	if _, err := f.Factor.Verify(ctx, &copied, right); !errors.Is(err, flows.ErrCredentials) {
		say("a proof is good twice")
	}
	if _, err := f.Factor.Verify(ctx, begin(), right); !errors.Is(err, flows.ErrCredentials) {
		say("a proof is good in another challenge")
	}
	return problems
}
