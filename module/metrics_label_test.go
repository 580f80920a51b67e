package module

import (
	"errors"
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport-gateway/sallyport/flows"
)

func TestB30RefreshesByOutcome(t *testing.T) {
	t.Parallel()
	a := &App{state: &state{shared: lent{shared: &shared{metrics: newMetrics()}}}}
	a.providers = []*flows.Provider{{Name: "idp", Guest: &flows.ProviderOptions{}}}
	a.refreshed("idp", nil)
	a.refreshed("idp", fmt.Errorf("refresh: %w", flows.ErrInvalidGrant))
	a.refreshed("idp", flows.Refuse(flows.ReasonProviderDown, errors.New("connection refused")))
	a.refreshed("gone", flows.ErrUnavailable) // no longer configured
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(a.shared.metrics.refreshes)
	families, err := reg.Gather()
	if err != nil || len(families) != 1 {
		t.Fatalf("%v %v", families, err)
	}
	got := map[string]float64{}
	for _, m := range families[0].GetMetric() {
		key := ""
		for _, l := range m.GetLabel() {
			key += l.GetName() + "=" + l.GetValue() + " "
		}
		got[key] = m.GetCounter().GetValue()
	}
	for _, want := range []string{"outcome=renewed provider=idp ", "outcome=ended provider=idp ", "outcome=failed provider=idp ", "outcome=failed provider= "} {
		if got[want] != 1 {
			t.Errorf("%q: %v, want 1", want, got[want])
		}
	}
	if len(got) != 4 {
		t.Errorf("series: %v", got)
	}
}

// A guest that makes reasons of what it is told cannot make series without end.
func TestB30ReasonsAreFew(t *testing.T) {
	t.Parallel()
	m := newMetrics()
	if got := m.reason(flows.ReasonNotAllowed); got != "not_allowed" {
		t.Errorf("got %q", got)
	}
	seen := map[string]bool{}
	for i := range 1000 {
		seen[m.reason(flows.Reason(fmt.Sprintf("made_up_%d", i)))] = true
	}
	if len(seen) > maxReasons || !seen["other"] {
		t.Errorf("%d labels", len(seen))
	}
	for _, r := range []flows.Reason{"Alice Liddell", "a\nb", "/path", `"`, "x{}"} {
		if got := newMetrics().reason(r); got != "other" {
			t.Errorf("%q became %q", r, got)
		}
	}
	if m.reason(flows.ReasonNotAllowed) != "not_allowed" {
		t.Error("a reason of ours is forgotten")
	}
}
