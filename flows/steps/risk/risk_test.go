package risk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

// says is a signal that answers what it was made with.
type says struct {
	flows.SignalOptions
	reading flows.Reading
	err     error
}

func (s *says) Read(context.Context, *flows.Facts, json.RawMessage) (flows.Reading, error) {
	return s.reading, s.err
}

// learns is one that answers what was learned.
type learns struct{ says }

func (*learns) Read(_ context.Context, _ *flows.Facts, learned json.RawMessage) (flows.Reading, error) {
	return flows.Reading{Score: len(learned), Reason: "learned"}, nil
}

func (*learns) Learn(*flows.Facts, json.RawMessage) (json.RawMessage, error) { return nil, nil }

func score(n int, reason flows.Reason) *says {
	return &says{reading: flows.Reading{Score: n, Reason: reason}}
}

// step is a bound step over signals by name.
func step(t *testing.T, text string, signals map[string]flows.Signal) *Risk {
	t.Helper()
	r := new(Risk)
	if err := r.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text)); err != nil {
		t.Fatal(err)
	}
	reg := flowstest.NewRegistry()
	reg.Signals = signals
	if err := r.Bind(reg); err != nil {
		t.Fatal(err)
	}
	return r
}

func run() *flows.Execution {
	return &flows.Execution{ID: "run", User: &flows.User{Key: "corp:maria", Name: "maria"}, Env: flows.Env{Now: flowstest.Start, Request: &flows.Request{IP: "198.51.100.7"}}}
}

func enter(t *testing.T, x *flows.Execution, steps ...*Risk) {
	t.Helper()
	for _, s := range steps {
		if o, err := s.Enter(t.Context(), x); err != nil || flowstest.Look(o).Kind != "continue" {
			t.Fatalf("%v, %v", flowstest.Look(o), err)
		}
	}
}

func TestConformance(t *testing.T) {
	flowstest.TestStep(t, step(t, "risk a=30 b", map[string]flows.Signal{"a": score(100, "x"), "b": score(10, "y")}), run)
}

func TestB28TheFormulaIsWhatIsWritten(t *testing.T) {
	signals := map[string]flows.Signal{
		"device": score(100, "new_device"), "travel": score(50, "far"), "calm": score(0, ""), "odd": score(33, "odd"),
		"unknown": &says{reading: flows.Reading{Unknown: true, Reason: "private"}}, "broken": &says{err: errors.New("down")},
	}
	for text, want := range map[string]struct {
		score int
		level string
	}{
		"risk device=30 travel=40":                           {50, "medium"},
		"risk device":                                        {100, "high"},
		"risk device travel":                                 {100, "high"},
		"risk device=29":                                     {29, "low"},
		"risk device=30":                                     {30, "medium"},
		"risk device=69":                                     {69, "medium"},
		"risk device=70":                                     {70, "high"},
		"risk odd=30":                                        {10, "low"}, // 9.9
		"risk odd=5 travel=1":                                {2, "low"},  // 1.65 + 0.5
		"risk device=0 calm":                                 {0, "low"},
		"risk unknown=40":                                    {20, "low"},
		"risk broken=40":                                     {20, "low"},
		"risk device=30 {\nbands 10 30\n}":                   {30, "high"},
		"risk device=30 {\nbands 31 90\n}":                   {30, "low"},
		"risk device=30 {\nobserve\n}":                       {0, "low"},
		"risk travel {\nlog_odds\n}":                         {10, "low"},
		"risk device=30 {\nlog_odds\n}":                      {31, "medium"},
		"risk device {\nlog_odds\n}":                         {92, "high"},
		"risk calm {\nlog_odds\n}":                           {0, "low"},
		"risk unknown device=30 {\nlog_odds\n}":              {31, "medium"},
		"risk device {\nlog_odds\nobserve\n}":                {0, "low"},
		"risk device=60 calm=50 {\nlog_odds\nbands 20 60\n}": {15, "low"},
	} {
		x := run()
		enter(t, x, step(t, text, signals))
		if x.Risk == nil || x.Risk.Score != want.score || x.Risk.Level != want.level {
			t.Errorf("%s: got %+v, want %+v", text, x.Risk, want)
		}
	}
	x := run()
	enter(t, x, step(t, "risk device=30 unknown=40 broken=10", signals))
	for name, want := range map[string]flows.Reading{
		"device":  {Score: 100, Reason: "new_device", Weight: 30, Contribution: 30},
		"unknown": {Score: 50, Reason: "private", Unknown: true, Weight: 40, Contribution: 20},
		"broken":  {Score: 50, Reason: flows.ReasonSignalFailed, Unknown: true, Weight: 10, Contribution: 5},
	} {
		if x.Readings[name] != want {
			t.Errorf("%s: %+v, want %+v", name, x.Readings[name], want)
		}
	}
	if !x.Guarded || x.Risk.IP != "198.51.100.7" {
		t.Errorf("the run: guarded %v, %+v", x.Guarded, x.Risk)
	}
}

// Whatever signals say, the score is bounded, rises with each of them, and does not
// depend on their order.
func TestB28TheScoreIsMonotoneBoundedAndOrderless(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		n := 1 + rnd.IntN(8)
		readings, other := map[string]flows.Reading{}, map[string]flows.Reading{}
		for _, i := range rnd.Perm(n) {
			readings[fmt.Sprint(i)] = flows.Reading{Score: rnd.IntN(101), Weight: rnd.IntN(101)}
		}
		for _, i := range rnd.Perm(n) {
			other[fmt.Sprint(i)] = readings[fmt.Sprint(i)]
		}
		for _, f := range []flows.Formula{{}, {LogOdds: true}} {
			a := f.Assessed(readings)
			if a.Score < 0 || a.Score > 100 || a.Score != f.Assessed(other).Score || a.Observed != a.Score {
				t.Fatalf("%+v: %+v", readings, a)
			}
			name := fmt.Sprint(rnd.IntN(n))
			more := readings[name]
			more.Score = min(more.Score+rnd.IntN(30), 100)
			other[name] = more
			if b := f.Assessed(other); b.Score < a.Score || a.Above(b) {
				t.Fatalf("%s rose to %+v, and the score fell from %d to %d", name, more, a.Score, b.Score)
			}
			other[name] = readings[name]
		}
	}
}

// Several steps count together; one that only looks on changes nothing of that.
func TestB28StepsOfAFlowCountTogether(t *testing.T) {
	signals := map[string]flows.Signal{"a": score(100, "new_device"), "b": score(50, "far")}
	one, two := step(t, "risk a=30", signals), step(t, "risk b=40 {\nbands 20 40\n}", signals)
	look, lookAt := step(t, "risk b {\nobserve\nlog_odds\n}", signals), step(t, "risk a {\nobserve\n}", signals)
	for what, c := range map[string]struct {
		steps           []*Risk
		score, observed int
		level           string
		reasons         string
	}{
		"both":                       {[]*Risk{one, two}, 50, 50, "high", "[far new_device]"},
		"the other way":              {[]*Risk{two, one}, 50, 50, "medium", "[far new_device]"},
		"twice":                      {[]*Risk{one, one}, 30, 30, "medium", "[new_device]"},
		"one looks on":               {[]*Risk{one, look}, 30, 80, "medium", "[new_device]"},
		"one looked on":              {[]*Risk{look, one}, 30, 80, "medium", "[new_device]"},
		"one looks at what counts":   {[]*Risk{one, lookAt}, 30, 30, "medium", "[new_device]"},
		"one looked at what counted": {[]*Risk{lookAt, one}, 30, 30, "medium", "[new_device]"},
		"both only look":             {[]*Risk{look, lookAt}, 0, 100, "low", "[]"},
	} {
		x := run()
		enter(t, x, c.steps...)
		if x.Risk.Score != c.score || x.Risk.Observed != c.observed || x.Risk.Level != c.level || fmt.Sprint(flows.Reasons(x.Readings)) != c.reasons {
			t.Errorf("%s: %+v %v", what, x.Risk, flows.Reasons(x.Readings))
		}
	}
	// What another run read does not count.
	x := run()
	x.Readings, x.Risk = map[string]flows.Reading{"old": {Score: 100, Weight: 100}}, &flows.Risk{Run: "another", Score: 100, Level: "high"}
	if enter(t, x, one); x.Risk.Score != 30 || len(x.Readings) != 1 {
		t.Errorf("another run's: %+v %+v", x.Risk, x.Readings)
	}
}

func TestI16WhatCannotBeReadIsNotWhatIsNotThere(t *testing.T) {
	signals := map[string]flows.Signal{"a": new(learns)}
	for what, c := range map[string]struct {
		learned func(context.Context, flows.UserKey, string) (json.RawMessage, error)
		want    flows.Reason
	}{
		"noted": {func(context.Context, flows.UserKey, string) (json.RawMessage, error) {
			return json.RawMessage("{}"), nil
		}, "learned"},
		"not there": {func(context.Context, flows.UserKey, string) (json.RawMessage, error) { return nil, nil }, "learned"},
		"cannot tell": {func(context.Context, flows.UserKey, string) (json.RawMessage, error) {
			return nil, flows.ErrUnavailable
		}, flows.ReasonSignalFailed},
	} {
		x := run()
		x.Env.Learned = c.learned
		var heard []string
		x.Env.Unread = func(name string, err error) { heard = append(heard, name+" "+err.Error()) }
		enter(t, x, step(t, "risk a", signals))
		if r := x.Readings["a"]; r.Reason != c.want || r.Unknown != (c.want == flows.ReasonSignalFailed) || (len(heard) > 0) != r.Unknown {
			t.Errorf("%s: %+v, %v", what, r, heard)
		}
	}
}

// slow waits until its time is over.
type slow struct{ says }

func (s *slow) Read(ctx context.Context, _ *flows.Facts, _ json.RawMessage) (flows.Reading, error) {
	<-ctx.Done()
	return flows.Reading{}, ctx.Err()
}

// Signals are asked side by side: together they take as long as the slowest.
func TestSignalsAreReadSideBySide(t *testing.T) {
	signals, text := map[string]flows.Signal{}, "risk"
	for i := range 20 {
		s := new(slow)
		s.Timeout = flows.Duration(100 * time.Millisecond)
		signals[fmt.Sprintf("s%d", i)] = s
		text += fmt.Sprintf(" s%d=1", i)
	}
	begun := time.Now()
	x := run()
	enter(t, x, step(t, text, signals))
	if d := time.Since(begun); d > time.Second {
		t.Errorf("twenty signals of 100 ms took %s", d)
	}
	if r := x.Readings["s7"]; !r.Unknown || r.Reason != flows.ReasonSignalFailed {
		t.Errorf("a slow one: %+v", r)
	}
}

func TestConfigurationsThatMakeNoSense(t *testing.T) {
	n := 101
	for what, c := range map[string]*Risk{
		"at least one signal": {}, "twice": {Signals: []Signal{{Name: "a"}, {Name: "a"}}}, "weight": {Signals: []Signal{{Name: "a", Weight: &n}}},
		"two scores": {Signals: []Signal{{Name: "a"}}, Bands: []int{30}}, "bands": {Signals: []Signal{{Name: "a"}}, Bands: []int{30, 101}}, "such as": {Signals: []Signal{{Name: "a"}}, Bands: []int{0, 50}},
	} {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	r := &Risk{Signals: []Signal{{Name: "nobody"}}}
	if err := r.Bind(flowstest.NewRegistry()); err == nil || !strings.Contains(err.Error(), "no signal is called 'nobody'") {
		t.Errorf("bound: %v", err)
	}
}
