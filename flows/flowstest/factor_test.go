package flowstest

import (
	"context"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
)

// word is a factor whose proof is a word; how it is broken is its name.
type word struct {
	broken string
	drawn  int
}

func (w *word) Labels() (use, setUp string) { return "use", "set_up" }

func (w *word) Begin(context.Context, *flows.Challenge) error { return nil }

func (w *word) Draw(*flows.Challenge) flows.Page {
	if w.broken == "draws" {
		w.drawn++
	}
	return flows.Page{Kind: "word", Wait: w.drawn}
}

func (w *word) Verify(_ context.Context, c *flows.Challenge, in flows.Input) (flows.Verdict, error) {
	if w.broken == "believes" {
		return flows.Verdict{Record: "r1", AMR: []string{"otp"}, Use: spend}, nil
	}
	if in.Value("word") != "right" || len(c.Records) == 0 && w.broken != "nobody" {
		return flows.Verdict{}, flows.ErrCredentials
	}
	v := flows.Verdict{Record: "r1", AMR: []string{"otp"}, Use: spend}
	if w.broken == "twice" {
		v.Use = func(r flows.Record) (flows.Record, error) { return r, nil }
	}
	return v, nil
}

func spend(r flows.Record) (flows.Record, error) {
	if string(r.Data) == `"spent"` {
		return r, flows.ErrReplayed
	}
	r.Data = []byte(`"spent"`)
	return r, nil
}

func (w *word) BeginEnrol(context.Context, *flows.Challenge) error { return nil }
func (w *word) DrawEnrol(*flows.Challenge) flows.Page              { return flows.Page{Kind: "word_enrol"} }

func (w *word) Enrol(context.Context, *flows.Challenge, flows.Input) (flows.Record, []string, error) {
	return flows.Record{Data: []byte(`"fresh"`)}, nil, nil
}

func TestTheFactorSuiteFindsBrokenFactors(t *testing.T) {
	check := func(broken string) []string {
		return checkFactor(t, FactorCase{
			Factor: &word{broken: broken}, Next: func(*flows.Challenge) {},
			Right: func(flows.Page, flows.Page, *flows.Challenge) flows.Input {
				return flows.Input{Values: map[string][]string{"word": {"right"}}}
			},
			Wrong: flows.Input{Values: map[string][]string{"word": {"wrong"}}},
		})
	}
	if p := check(""); len(p) > 0 {
		t.Errorf("a sound factor: %v", p)
	}
	for broken, want := range map[string]string{
		"draws": "drawn again", "believes": "wrong answer", "nobody": "no such record", "twice": "good twice",
	} {
		if p := strings.Join(check(broken), "; "); !strings.Contains(p, want) {
			t.Errorf("%s: want a problem about %q, got %q", broken, want, p)
		}
	}
}
