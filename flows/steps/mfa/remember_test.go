package mfa

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

// browsers is a browser that holds at most one trusted device.
type browsers struct {
	held  *flows.TrustedDevice
	kept  time.Duration
	asked int
	down  error
}

func (b *browsers) Trusted(context.Context, *flows.User, []flows.Evidence) (flows.TrustedDevice, error) {
	b.asked++
	switch {
	case b.down != nil:
		return flows.TrustedDevice{}, b.down
	case b.held == nil:
		return flows.TrustedDevice{}, flows.ErrNotFound
	}
	return *b.held, nil
}

func (b *browsers) Trust(_ context.Context, _ *flows.User, _ []flows.Evidence, factor string, keep time.Duration) error {
	b.held, b.kept = &flows.TrustedDevice{ID: "d", Factor: factor, Proved: flowstest.Start}, keep
	return b.down
}

func remembered(b *browsers, evidence ...flows.Evidence) *flows.Execution {
	x := run(&enrolments{records: []flows.Record{{ID: "1", Factor: "a"}}}, append([]flows.Evidence{{Provider: "corp", Method: "oidc"}}, evidence...)...)
	x.Env.Devices = b
	return x
}

func ticked(m *MFA, t *testing.T, x *flows.Execution) {
	t.Helper()
	if _, err := m.Enter(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	o, err := m.Resume(t.Context(), x, flows.Input{Values: map[string][]string{"word": {"right"}, "remember": {"1"}}})
	if err != nil || flowstest.Look(o).Kind != "continue" {
		t.Fatalf("the right word: %v, %v", flowstest.Look(o).Kind, err)
	}
}

func boxed(p flows.Page) bool {
	for _, w := range p.Widgets {
		if c, ok := w.(flows.Check); ok && c.Name == "remember" {
			return true
		}
	}
	return false
}

// A browser is trusted by who asked for it, at a risk that is low, in no fallback,
// and never where a proof is asked for anew (I03, I23, I24).
func TestI24WhereTrustInABrowserCounts(t *testing.T) {
	m := bound(t, "mfa a {\nremember 30d\n}")
	held := &flows.TrustedDevice{ID: "d", Factor: "a", Proved: flowstest.Start.Add(-29 * 24 * time.Hour)}
	for name, tc := range map[string]struct {
		change func(x *flows.Execution)
		trusts bool
	}{
		"no risk was read":    {func(*flows.Execution) {}, true},
		"the risk is low":     {func(x *flows.Execution) { x.Risk = &flows.Risk{Score: 29, Level: flows.RiskLow} }, true},
		"the risk is medium":  {func(x *flows.Execution) { x.Risk = &flows.Risk{Score: 5, Level: flows.RiskMedium} }, false},
		"the risk is high":    {func(x *flows.Execution) { x.Risk = &flows.Risk{Score: 90, Level: flows.RiskHigh} }, false},
		"the risk rose":       {func(x *flows.Execution) { x.Rose = x.Env.Now }, false},
		"a fallback login":    {func(x *flows.Execution) { x.Evidence[0].Kind = flows.Fallback }, false},
		"asked anew":          {func(x *flows.Execution) { x.Since = x.Env.Now }, false},
		"a transient subject": {func(x *flows.Execution) { x.User.Transient = true }, false},
		"a factor of elsewhere": {func(x *flows.Execution) {
			x.Env.Devices = &browsers{held: &flows.TrustedDevice{Factor: "b", Proved: held.Proved}}
		}, false},
		"longer ago than that": {func(x *flows.Execution) { x.Env.Now = x.Env.Now.Add(24 * time.Hour) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			x := remembered(&browsers{held: held})
			tc.change(x)
			o, err := m.Enter(t.Context(), x)
			seen := flowstest.Look(o)
			if err != nil || (seen.Kind == "continue") != tc.trusts {
				t.Fatalf("trusted: want %v, got %s, %v", tc.trusts, seen.Kind, err)
			}
			last := x.Evidence[len(x.Evidence)-1]
			if tc.trusts && (last.Kind != flows.DeviceTrust || last.Counts() || len(last.AMR) > 0 || x.Inherited) {
				t.Fatalf("trust is no factor: %+v", last)
			}
		})
	}
	if o, err := bound(t, "mfa a").Enter(t.Context(), remembered(&browsers{held: held})); err != nil || flowstest.Look(o).Kind != "ask" {
		t.Errorf("a step without remember trusts: %s, %v", flowstest.Look(o).Kind, err)
	}
	if _, err := m.Enter(t.Context(), remembered(&browsers{down: flows.ErrUnavailable})); !errors.Is(err, flows.ErrUnavailable) {
		t.Errorf("a store that is down: %v", err)
	}
}

// Trust that is in the session already changes nothing of it.
func TestI24TrustIsNotedOnce(t *testing.T) {
	m := bound(t, "mfa a {\nremember 30d\n}")
	x := remembered(&browsers{held: &flows.TrustedDevice{ID: "d", Factor: "a", Proved: flowstest.Start}}, flows.Evidence{Method: "device", Kind: flows.DeviceTrust, Record: "d"})
	if o, err := m.Enter(t.Context(), x); err != nil || flowstest.Look(o).Kind != "continue" || !x.Inherited || len(x.Evidence) != 2 {
		t.Fatalf("got %s, %v, %v", flowstest.Look(o).Kind, err, x.Evidence)
	}
}

// The box is on the page where it means something, and what it asks for is kept
// behind a right proof only.
func TestI24TheBox(t *testing.T) {
	m := bound(t, "mfa a b {\nremember 12h\n}")
	b := new(browsers)
	x := remembered(b)
	ticked(m, t, x)
	if b.held == nil || b.held.Factor != "a" || b.kept != 12*time.Hour {
		t.Fatalf("the browser is not trusted: %+v for %v", b.held, b.kept)
	}
	if last := x.Evidence[len(x.Evidence)-1]; last.Kind != flows.Direct || last.Record != "" && last.Record != "1" {
		t.Fatalf("the proof itself: %+v", last)
	}
	b = new(browsers)
	x = remembered(b)
	x.Since = x.Env.Now
	ticked(m, t, x)
	if b.held != nil {
		t.Fatal("a browser is trusted where a proof is asked for anew, by a field that was not on the page")
	}
	x = remembered(new(browsers))
	o, err := m.Enter(t.Context(), x)
	if err != nil || !boxed(flowstest.Look(o).Page) {
		t.Fatalf("no box on the page: %v", err)
	}
	o, err = m.Resume(t.Context(), x, flows.Input{Values: map[string][]string{"word": {"wrong"}, "remember": {"1"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range flowstest.Look(o).Page.Widgets {
		if c, ok := w.(flows.Check); ok && (!c.Checked || c.Label != "remember_hours" || c.Count != 12) {
			t.Errorf("the box behind a wrong answer: %+v", c)
		}
	}
	if x.Env.Devices.(*browsers).held != nil {
		t.Error("a wrong answer made a trusted device")
	}
	x = remembered(new(browsers))
	x.Since = x.Env.Now
	if o, err := m.Enter(t.Context(), x); err != nil || boxed(flowstest.Look(o).Page) {
		t.Errorf("a box where it means nothing: %v", err)
	}
}

// What only stands in for others is never asked for first, whenever it was used.
func TestB26TheFactorUsedLastComesFirst(t *testing.T) {
	m := bound(t, "mfa a b paper")
	records := []flows.Record{{ID: "3", Factor: "paper"}, {ID: "2", Factor: "b"}, {ID: "1", Factor: "a"}}
	x := run(&enrolments{records: records}, flows.Evidence{Provider: "corp"})
	if _, err := m.Enter(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	if k, err := m.kept(x); err != nil || k.Factor != "b" {
		t.Fatalf("asked for %s, %v", k.Factor, err)
	}
	x = run(&enrolments{records: records[:1]}, flows.Evidence{Provider: "corp"})
	if _, err := m.Enter(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	if k, err := m.kept(x); err != nil || k.Factor != "paper" {
		t.Fatalf("who has nothing else is asked for %s, %v", k.Factor, err)
	}
}
