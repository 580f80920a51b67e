package module

import (
	"fmt"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
)

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
