package flowstest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// SignalCase is a bound Signal and what it is asked about.
type SignalCase struct {
	Guest flows.Signal
	// Facts are people and requests that it can say something of: at least one.
	Facts []*flows.Facts
	// Kept answers all that the guest keeps outside of what it is given, such as entries
	// of its vault. Nil: nothing.
	Kept func() string
}

// TestSignal reports every broken promise of flows.Signal, and of flows.Learner and
// flows.Locator where the guest is one: a reading is a score from 0 to 100 with its
// reason or is unknown, is the same each time, and changes nothing; facts that lack
// something, and notes that are damaged, are no reason to panic; what is learned is
// bounded and follows from what it is learned from.
func TestSignal(t *testing.T, c SignalCase) {
	t.Helper()
	for _, err := range c.Problems(t.Context()) {
		t.Error(err)
	}
}

// Problems are the broken promises, none for a sound guest.
func (c SignalCase) Problems(ctx context.Context) []error {
	s := &signalSuite{c: c}
	if len(c.Facts) == 0 {
		s.addf("the case has no facts")
		return s.errs
	}
	if err := c.Guest.Options().Valid(); err != nil {
		s.addf("its options: %v", err)
	}
	before := s.kept()
	notes := []json.RawMessage{nil}
	for _, g := range damagedNotes() {
		notes = append(notes, json.RawMessage(g))
	}
	for i, f := range c.Facts {
		s.reads(ctx, fmt.Sprintf("facts %d", i), f, notes, true)
	}
	for what, f := range hollowFacts() {
		s.reads(ctx, what, f, notes, false)
	}
	s.together(ctx)
	s.learns(ctx, notes)
	s.locates()
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, _ = s.read(ended, "after its time was over", c.Facts[0], nil)
	if s.kept() != before {
		s.addf("reading or learning changed what it keeps")
	}
	return s.errs
}

type signalSuite struct {
	c SignalCase
	list
}

func (s *signalSuite) kept() string {
	if s.c.Kept == nil {
		return ""
	}
	return s.c.Kept()
}

// read asks once; a panic is a problem.
func (s *signalSuite) read(ctx context.Context, what string, f *flows.Facts, learned json.RawMessage) (r flows.Reading, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.addf("%s: reading panics: %v", what, p)
		}
	}()
	return s.c.Guest.Read(ctx, f, learned)
}

// reads asks twice with each note, and compares.
func (s *signalSuite) reads(ctx context.Context, what string, f *flows.Facts, notes []json.RawMessage, whole bool) {
	for _, n := range notes {
		facts, note := factsText(f), bytes.Clone(n)
		r, err := s.read(ctx, what, f, n)
		if whole && n == nil && err != nil {
			s.addf("%s: %v", what, err)
		}
		if err == nil {
			s.judge(what, r)
		}
		again, err2 := s.read(ctx, what, f, n)
		again.Ref = r.Ref // the far side may count
		if r != again || (err == nil) != (err2 == nil) {
			s.addf("%s: it reads %+v, then %+v of the same", what, r, again)
		}
		if factsText(f) != facts {
			s.addf("%s: reading changed the facts", what)
		}
		if !bytes.Equal(note, n) {
			s.addf("%s: reading changed what was learned", what)
		}
	}
}

func (s *signalSuite) judge(what string, r flows.Reading) {
	switch {
	case r.Score < 0 || r.Score > 100:
		s.addf("%s: the score is %d", what, r.Score)
	case r.Unknown && r.Score != 0:
		s.addf("%s: it does not know, and has a score of %d", what, r.Score)
	case r.Score > 0 && r.Reason == "", r.Unknown && r.Reason == "" && r.Text == "":
		s.addf("%s: %+v has no reason", what, r)
	case r.Reason != "" && (!flows.ValidName(string(r.Reason)) || len(r.Reason) > 40):
		s.addf("%s: reason %q is no code", what, r.Reason)
	case len(r.Text) > 200 || strings.ContainsFunc(r.Text, func(c rune) bool { return c < ' ' || c == 0x7f }):
		s.addf("%s: the text is long or has control characters: %q", what, r.Text)
	case r.Weight != 0 || r.Contribution != 0 || r.Observed:
		s.addf("%s: what it contributes is for the risk step to say: %+v", what, r)
	}
}

// together asks eight at once; the race detector looks on.
func (s *signalSuite) together(ctx context.Context) {
	for i, f := range s.c.Facts {
		want, _ := s.read(ctx, "alone", f, nil)
		want.Ref = ""
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				got, _ := s.read(ctx, "eight at once", f, nil)
				if got.Ref = ""; got != want {
					s.addf("facts %d: eight at once read %+v, one alone %+v", i, got, want)
				}
				if l, ok := s.c.Guest.(flows.Learner); ok {
					_, _ = s.learn(l, "eight at once", f, nil)
				}
			})
		}
		wg.Wait()
	}
}

func (s *signalSuite) learn(l flows.Learner, what string, f *flows.Facts, n json.RawMessage) (out json.RawMessage, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.addf("%s: learning panics: %v", what, p)
		}
	}()
	return l.Learn(f, n)
}

func (s *signalSuite) learns(ctx context.Context, notes []json.RawMessage) {
	l, ok := s.c.Guest.(flows.Learner)
	if !ok {
		return
	}
	for _, n := range notes {
		for i, f := range s.c.Facts {
			s.learnsOf(ctx, l, fmt.Sprintf("facts %d", i), f, n)
		}
		for what, f := range hollowFacts() {
			s.learnsOf(ctx, l, what, f, n)
		}
	}
	var note json.RawMessage
	for i := range 300 { // nearly a year of days that are all different
		f := *s.c.Facts[i%len(s.c.Facts)]
		f.Now = f.Now.Add(time.Duration(i) * 25 * time.Hour)
		if f.Request != nil {
			r := *f.Request
			r.IP = fmt.Sprintf("198.51.%d.%d", i%200, i%251)
			f.Request = &r
		}
		f.Device.ID = fmt.Sprintf("device-%d", i)
		note = s.learnsOf(ctx, l, fmt.Sprintf("after %d logins", i), &f, note)
	}
}

// learnsOf learns twice of the same and answers what that is.
func (s *signalSuite) learnsOf(ctx context.Context, l flows.Learner, what string, f *flows.Facts, n json.RawMessage) json.RawMessage {
	facts, note := factsText(f), bytes.Clone(n)
	out, err := s.learn(l, what, f, n)
	again, err2 := s.learn(l, what, f, n)
	if !bytes.Equal(out, again) || (err == nil) != (err2 == nil) {
		s.addf("%s: it learns %.80q, then %.80q of the same", what, out, again)
	}
	if factsText(f) != facts || !bytes.Equal(note, n) {
		s.addf("%s: learning changed what it learns from", what)
	}
	if err != nil {
		return n
	}
	if len(out) > flows.MaxLearned {
		s.addf("%s: it keeps %d bytes, at most %d are kept", what, len(out), flows.MaxLearned)
	}
	if len(out) > 0 && !bytes.Equal(out, n) && !json.Valid(out) {
		s.addf("%s: what it keeps is no JSON: %.80q", what, out)
	}
	if r, err := s.read(ctx, what+", learned", f, out); err == nil {
		s.judge(what+", learned", r)
	} else if f.Request != nil && f.User != nil {
		s.addf("%s: it cannot read what it learned: %v", what, err)
	}
	return out
}

func (s *signalSuite) locates() {
	l, ok := s.c.Guest.(flows.Locator)
	if !ok {
		return
	}
	for _, ip := range []string{"", "nowhere", "127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.0.1", "::1", "fe80::1%eth0", "fd00::1", "0.0.0.0", "::ffff:10.1.2.3", "198.51.100.7:443"} {
		if p, ok := l.Locate(ip); ok {
			s.addf("it knows where %q is: %+v", ip, p)
		}
	}
}

// damagedNotes are what a Learner may find instead of what it wrote.
func damagedNotes() []string {
	return []string{
		"", " ", "null", "0", "-1e400", `""`, "true", "{}", "[]", "[null]", "[[]]", "[{}]", `{"":null}`, "{", "[1,2", `{"a":{"a":{"a":[]}}}`,
		`[1e308,-1,"x",{},[],null]`, "\xff\xfe", "\x00", strings.Repeat("a", flows.MaxLearned), "[" + strings.Repeat("0,", 500) + "0]",
	}
}

// hollowFacts lack what facts may lack.
func hollowFacts() map[string]*flows.Facts {
	user := &flows.User{Key: "corp:maria", Realm: "corp", Subject: "maria", Name: "maria"}
	return map[string]*flows.Facts{
		"nothing":                 {},
		"a time only":             {Now: Start},
		"a user only":             {Now: Start, User: user},
		"a request only":          {Now: Start, Request: &flows.Request{IP: "198.51.100.7", Peer: "198.51.100.7:5000"}},
		"an address that is none": {Now: Start, User: user, Request: &flows.Request{IP: "@", Peer: "@"}},
		"a device that is none":   {Now: Start, User: user, Device: flows.DeviceFacts{Unknown: true}},
	}
}

// factsText is what facts hold, for comparing.
func factsText(f *flows.Facts) string {
	b, _ := json.Marshal(struct {
		Request  *flows.Request
		Header   map[string][]string
		User     *flows.User
		Evidence []flows.Evidence
		Device   flows.DeviceFacts
		Readings map[string]flows.Reading
		Now      time.Time
	}{f.Request, headerOf(f), f.User, f.Evidence, f.Device, f.Readings, f.Now})
	return string(b)
}

func headerOf(f *flows.Facts) map[string][]string {
	if f.Request == nil {
		return nil
	}
	return f.Request.Header
}
