package flowstest

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
)

// FactorCase is one factor for TestFactor: how a person who has it answers.
type FactorCase struct {
	Factor flows.Enroller
	// Right answers what the page of an enrolment or a challenge asks for, from its page
	// and the page of the enrolment.
	Right func(enrolment, page flows.Page, c *flows.Challenge) flows.Input
	// Wrong is an answer that is never right.
	Wrong flows.Input
	// Next lets so much time pass that another proof is possible.
	Next func(*flows.Challenge)
}

// TestFactor is what every factor promises: what is drawn twice is the same and
// changes nothing; a wrong answer is ErrCredentials and a right one names a record
// of this person; a proof is good once; nobody's record is good for another; what
// is kept serialises.
func TestFactor(t testing.TB, f FactorCase) {
	t.Helper()
	for _, problem := range checkFactor(t, f) {
		t.Error(problem)
	}
}

type factorSuite struct {
	t        testing.TB
	f        FactorCase
	problems []string
}

func (s *factorSuite) say(problem string) { s.problems = append(s.problems, problem) }

func checkFactor(t testing.TB, f FactorCase) []string {
	s := &factorSuite{t: t, f: f}
	alice := &flows.User{Key: "corp:alice", Realm: "corp", Subject: "alice", Name: "alice"}
	c := &flows.Challenge{User: alice, Origin: "https://app.example", Now: Start}
	enrolment, record, ok := s.enrol(c)
	if !ok {
		return s.problems
	}
	c = &flows.Challenge{User: alice, Origin: c.Origin, Now: c.Now, Records: []flows.Record{record}}
	f.Next(c)
	s.prove(c, enrolment)
	return s.problems
}

func (s *factorSuite) enrol(c *flows.Challenge) (flows.Page, flows.Record, bool) {
	ctx := s.t.Context()
	if err := s.f.Factor.BeginEnrol(ctx, c); err != nil {
		s.say("beginning an enrolment: " + err.Error())
		return flows.Page{}, flows.Record{}, false
	}
	page := s.f.Factor.DrawEnrol(c)
	if !same(page, s.f.Factor.DrawEnrol(c)) {
		s.say("the page of an enrolment differs when it is drawn again")
	}
	if len(c.State) > 0 && !json.Valid(c.State) {
		s.say("what it keeps of an enrolment does not serialise")
	}
	r, _, err := s.f.Factor.Enrol(ctx, c, s.f.Right(page, page, c))
	if err != nil {
		s.say("a right answer does not enrol: " + err.Error())
		return page, r, false
	}
	r.ID = "r1"
	return page, r, true
}

func (s *factorSuite) prove(c *flows.Challenge, enrolment flows.Page) {
	ctx, f := s.t.Context(), s.f.Factor
	if err := f.Begin(ctx, c); err != nil {
		s.say("beginning a challenge: " + err.Error())
		return
	}
	page := f.Draw(c)
	if !same(page, f.Draw(c)) {
		s.say("the page differs when it is drawn again")
	}
	if _, err := f.Verify(ctx, c, s.f.Wrong); !errors.Is(err, flows.ErrCredentials) {
		s.say("a wrong answer must be ErrCredentials")
	}
	if _, err := f.Verify(ctx, c, flows.Input{}); !errors.Is(err, flows.ErrCredentials) {
		s.say("no answer must be ErrCredentials")
	}
	right := s.f.Right(enrolment, page, c)
	nobody := *c
	nobody.Records = nil
	if _, err := f.Verify(ctx, &nobody, right); !errors.Is(err, flows.ErrCredentials) {
		s.say("an answer is right for somebody who has no such record")
	}
	v, err := f.Verify(ctx, c, right)
	if err != nil {
		s.say("a right answer is refused: " + err.Error())
		return
	}
	if v.Record != "r1" || len(v.AMR) == 0 || v.Use == nil {
		s.say("a proof names its record and its AMR, and is noted")
		return
	}
	used, err := v.Use(c.Records[0])
	if err != nil {
		s.say("noting a first use: " + err.Error())
		return
	}
	if _, err := v.Use(used); !errors.Is(err, flows.ErrReplayed) {
		s.say("a proof is good twice")
	}
}

func same(a, b any) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && string(x) == string(y)
}
