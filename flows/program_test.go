package flows_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
)

type stepFunc func(*flows.Execution) (flows.Outcome, error)

func (f stepFunc) Enter(_ context.Context, x *flows.Execution) (flows.Outcome, error) { return f(x) }

func always(o flows.Outcome) flows.Step {
	return stepFunc(func(*flows.Execution) (flows.Outcome, error) { return o, nil })
}

func compile(t testing.TB, steps ...flows.Step) *flows.Program {
	t.Helper()
	p, err := flows.Compile("staff", "d1", steps)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func run() *flows.Execution { return &flows.Execution{Flow: "staff", Digest: "d1"} }

// I28: an Execution moves forward only from where it waits.
func TestI28MovesOnlyFromWhereItWaits(t *testing.T) {
	t.Parallel()
	p := compile(t, mark{"a"}, ask{"b", 2}, mark{"c"}, ask{"d", 1})
	x := run()
	if _, _, err := p.Advance(t.Context(), x, nil); err != nil || x.Wait == nil || x.Wait.Page == nil || x.Wait.Page.Kind != "b" {
		t.Fatalf("%+v, %v", x.Wait, err)
	}
	refuseOthers(t, p, x)
	first := flows.Input{Step: x.Wait.Step, Serial: x.Wait.Serial}
	older := thaw(t, x) // what a second tab still shows
	if _, _, err := p.Advance(t.Context(), x, &first); err != nil || x.Wait.Serial == first.Serial {
		t.Fatalf("every wait has a serial of its own: %+v, %v", x.Wait, err)
	}
	// The second tab submits the older page: nothing runs.
	before := traceOf(x)
	if _, _, err := p.Advance(t.Context(), x, &first); !errors.Is(err, flows.ErrWrongInput) || traceOf(x) != before {
		t.Errorf("an older page ran: %v, %q", err, traceOf(x))
	}
	// The browser's older copy is a value of its own and goes on from there.
	if _, _, err := p.Advance(t.Context(), older, &first); err != nil {
		t.Errorf("the older value: %v", err)
	}
	for x.Wait.Page == nil || x.Wait.Page.Kind != "d" {
		if _, _, err := p.Advance(t.Context(), x, &flows.Input{Step: x.Wait.Step, Serial: x.Wait.Serial}); err != nil {
			t.Fatal(err)
		}
	}
	if len(x.Private) != 1 {
		t.Errorf("the state of a step that is done stays: %v", x.Private)
	}
	// Input of the first step at the last one.
	if _, _, err := p.Advance(t.Context(), x, &flows.Input{Step: first.Step, Serial: x.Wait.Serial}); !errors.Is(err, flows.ErrWrongInput) {
		t.Errorf("input for another step: %v", err)
	}
}

func TestI28ChangedDigestRestartsAndKeepsOnlyReturnTo(t *testing.T) {
	t.Parallel()
	p := compile(t, mark{"a"}, ask{"b", 1})
	x := run()
	x.ID, x.Token, x.Origin, x.ReturnTo = "id", "tok", "https://app.example.com", "/page?x=1"
	if _, _, err := p.Advance(t.Context(), x, nil); err != nil {
		t.Fatal(err)
	}
	x.Evidence, x.Grants, x.Marks = []flows.Evidence{{Method: "oidc"}}, []flows.Grant{{Provider: "corp"}}, []flows.Mark{{ID: "m"}}
	x.Readings, x.Inherited, x.Session = map[string]flows.Reading{"r": {}}, true, "public"
	serial := x.Serial
	changed, err := flows.Compile("staff", "d2", []flows.Step{ask{"new", 1}, mark{"c"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := changed.Advance(t.Context(), x, &flows.Input{Step: x.Wait.Step, Serial: x.Wait.Serial}); err == nil || errors.Is(err, flows.ErrWrongInput) {
		t.Fatalf("ran on another digest: %v", err)
	}
	x.Restart("d2")
	want := &flows.Execution{ID: "id", Flow: "staff", Digest: "d2", Serial: serial, Token: "tok", Origin: "https://app.example.com", ReturnTo: "/page?x=1"}
	got, _ := json.Marshal(x)
	if w, _ := json.Marshal(want); string(got) != string(w) {
		t.Errorf("after a restart:\n%s\nwant\n%s", got, w)
	}
	if _, _, err := changed.Advance(t.Context(), x, nil); err != nil || x.Wait == nil || x.Wait.Step != 0 || x.Wait.Serial <= serial {
		t.Errorf("%+v, %v: an old page's serial must not fit", x.Wait, err)
	}
}

func TestI28OtherFlowAndBrokenPositionsAreRefused(t *testing.T) {
	t.Parallel()
	p := compile(t, choose{"w", 0, true, [][]flows.Step{{ask{"a", 1}}}}, ask{"b", 1})
	in := func(step int) *flows.Input { return &flows.Input{Step: step, Serial: 1} }
	for name, x := range map[string]*flows.Execution{
		"other flow":     {Flow: "guest", Digest: "d1"},
		"other digest":   {Flow: "staff", Digest: "d0"},
		"negative":       {Flow: "staff", Digest: "d1", PC: -1},
		"behind the end": {Flow: "staff", Digest: "d1", PC: 99},
	} {
		if out, fin, err := p.Advance(t.Context(), x, nil); err == nil || out != nil || fin != nil {
			t.Errorf("%s: %v %v %v", name, out, fin, err)
		}
	}
	for pc := range 5 { // waiting at every place: a jump, a container, the end
		x := run()
		x.PC, x.Wait = pc, &flows.Wait{Step: pc, Serial: 1}
		if _, fin, err := p.Advance(t.Context(), x, in(pc)); err == nil || fin != nil {
			t.Errorf("waiting at %d without state: %v %v", pc, fin, err)
		}
	}
}

func TestEngineRefusesWhatAStepMayNotAnswer(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]flows.Step{
		"nothing":                  always(nil),
		"asks but cannot resume":   always(flows.Ask(flows.Page{})),
		"sends away and forgets":   always(flows.Redirect("https://x/")),
		"posts away and forgets":   always(flows.Post("https://x/", nil)),
		"takes without blocks":     always(flows.Take(0)),
		"takes none, has no block": always(flows.Take(-1)),
		"takes a block too far":    choose{"w", 1, false, [][]flows.Step{{}}},
		"takes a negative block":   choose{"w", -2, false, [][]flows.Step{{}}},
		"takes none, says always":  choose{"w", -1, true, [][]flows.Step{{}}},
		"error":                    stepFunc(func(*flows.Execution) (flows.Outcome, error) { return nil, errors.New("x") }),
		"error beside an outcome":  stepFunc(func(*flows.Execution) (flows.Outcome, error) { return flows.Continue(), errors.New("x") }),
		"container goes on":        continuing{choose{"w", 0, true, [][]flows.Step{{}}}},
	} {
		p := compile(t, mark{"a"}, s)
		if out, fin, err := p.Advance(t.Context(), run(), nil); err == nil || out != nil || fin != nil {
			t.Errorf("%s: %v %v %v", name, out, fin, err)
		}
	}
}

type continuing struct{ choose }

func (continuing) Enter(context.Context, *flows.Execution) (flows.Outcome, error) {
	return flows.Continue(), nil
}

func TestEngineStopsWhenTheRequestIsGone(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	x := run()
	if _, fin, err := compile(t, mark{"a"}).Advance(ctx, x, nil); !errors.Is(err, context.Canceled) || fin != nil || traceOf(x) != "" {
		t.Errorf("%v %v %q", fin, err, traceOf(x))
	}
}

// I27: only the engine makes a Finished, and nothing without a user.
func TestI27ZeroFinishedGrantsNothing(t *testing.T) {
	t.Parallel()
	var zero flows.Finished
	if zero.Execution() != nil {
		t.Error("a zero Finished carries an execution")
	}
	if _, fin, err := compile(t, always(flows.Continue())).Advance(t.Context(), run(), nil); err == nil || fin != nil {
		t.Errorf("a flow without a user finished: %v %v", fin, err)
	}
	if _, fin, err := compile(t).Advance(t.Context(), run(), nil); err == nil || fin != nil {
		t.Errorf("an empty flow finished: %v %v", fin, err)
	}
	//lint:ignore SA9005 that it serialises as nothing is the point
	if b, err := json.Marshal(zero); err != nil || string(b) != "{}" {
		t.Errorf("a Finished serialises as %s, %v", b, err)
	}
}

func FuzzExecutionJSON(f *testing.F) {
	p := compile(f, mark{"a"}, choose{"w", 0, true, [][]flows.Step{{ask{"b", 2}}, {stop{"no"}}}}, ask{"c", 1})
	x := run()
	if _, _, err := p.Advance(f.Context(), x, nil); err != nil {
		f.Fatal(err)
	}
	b, _ := json.Marshal(x)
	f.Add(b, x.Wait.Step, x.Wait.Serial)
	for _, s := range []string{
		`{"flow":"staff","digest":"d1"}`, `{"flow":"staff","digest":"d1","pc":7,"wait":{"step":7,"serial":1}}`, `{"flow":"staff","digest":"d1","pc":-1}`,
		`{"flow":"staff","digest":"d1","pc":2,"wait":{"step":2,"serial":1},"private":{"2":"x"}}`, `{"wait":null}`, `[]`, ``, `{"user":{"attributes":{"trace":1}}}`,
		`{"flow":"staff","digest":"d1","pc":3,"wait":{"step":3,"serial":1}}`, `{"flow":"staff","digest":"d1","pc":9223372036854775807}`,
	} {
		f.Add([]byte(s), 2, 1)
	}
	f.Fuzz(func(t *testing.T, b []byte, step, serial int) {
		x := new(flows.Execution)
		if json.Unmarshal(b, x) != nil {
			return
		}
		_ = x.Facts()
		waiting := x.Wait != nil
		_, fin, err := p.Advance(t.Context(), x, &flows.Input{Step: step, Serial: serial})
		if fin != nil && (err != nil || fin.Execution().User == nil || x.Flow != "staff" || x.Digest != "d1") {
			t.Errorf("finished with %v, %+v", err, x)
		}
		if err == nil && waiting && strings.Contains(traceOf(x), "no ") && x.PC == 0 {
			t.Errorf("moved back: %+v", x)
		}
		if again, err := json.Marshal(x); err != nil || !json.Valid(again) {
			t.Errorf("does not serialise: %v", err)
		}
	})
}

// Who may not come in is stopped behind the step that knows them, and whenever the run
// goes on: no further step does anything for them.
func TestWhoMayNotEnterGetsNoFurther(t *testing.T) {
	refused := flows.Refuse(flows.ReasonAccountDisabled, errors.New("left the company"))
	p := compile(t, mark{"login"}, ask{"code", 1}, mark{"enrol"})
	x := run()
	asked := 0
	x.Env.MayEnter = func(_ context.Context, key flows.UserKey) error {
		if asked++; key != "corp:a1" {
			t.Errorf("asked of %s", key)
		}
		return refused
	}
	if _, fin, err := p.Advance(t.Context(), x, nil); !errors.Is(err, refused) || fin != nil || traceOf(x) != "login " || asked != 1 {
		t.Fatalf("got %v, %v, ran %q, asked %d times", fin, err, traceOf(x), asked)
	}
	// Between two pages it may have changed.
	x = run()
	x.Env.MayEnter = func(context.Context, flows.UserKey) error { return nil }
	if out, _, err := p.Advance(t.Context(), x, nil); err != nil || out == nil {
		t.Fatal(out, err)
	}
	x.Env.MayEnter = func(context.Context, flows.UserKey) error { return refused }
	in := &flows.Input{Step: x.Wait.Step, Serial: x.Wait.Serial}
	if _, fin, err := p.Advance(t.Context(), x, in); !errors.Is(err, refused) || fin != nil || strings.Contains(traceOf(x), "enrol") {
		t.Fatalf("got %v, %v, ran %q", fin, err, traceOf(x))
	}
}
