package flowstest

import (
	"context"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
)

// shelf keeps one thing of each person; how it is broken is its name.
type shelf struct {
	broken string
	things map[flows.UserKey]string
	asked  int
}

func (*shelf) Keeps() string { return "things" }

func (s *shelf) Export(_ context.Context, user flows.UserKey) ([]flows.Kept, error) {
	s.asked++
	if s.broken == "mixes" {
		user = "corp:a1"
	}
	thing, ok := s.things[user]
	if !ok {
		return nil, nil
	}
	if s.broken == "wavers" {
		thing += strings.Repeat("!", s.asked)
	}
	k := flows.Kept{Name: "thing", Value: thing, At: Start}
	if s.broken == "timeless" {
		k = flows.Kept{Name: "thing", Value: thing}
	}
	return []flows.Kept{k}, nil
}

func (s *shelf) Erase(_ context.Context, user flows.UserKey) error {
	switch _, ok := s.things[user]; {
	case s.broken == "keeps":
	case s.broken == "strict" && !ok:
		return flows.ErrNotFound
	case s.broken == "sweeps":
		clear(s.things)
	default:
		delete(s.things, user)
	}
	return nil
}

func TestTheKeeperSuiteFindsBrokenKeepers(t *testing.T) {
	for broken, want := range map[string]string{
		"": "", "mixes": "to another", "wavers": "each time", "timeless": "no time", "keeps": "still there", "strict": "erasing nothing", "sweeps": "touches another",
	} {
		s := &shelf{broken: broken, things: map[flows.UserKey]string{}}
		got := strings.Join(checkKeeper(t.Context(), s, "corp:a1", func() { s.things["corp:a1"] = "x" }), "; ")
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", broken, got, want)
		}
	}
}
