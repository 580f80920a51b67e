package flowstest

import (
	"context"
	"strconv"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
)

// letter is a factor whose proof is a number that counts challenges; how it is
// broken is its name.
type letter struct {
	broken string
	n      int
	spent  map[string]bool
	drawn  int
}

func (l *letter) Labels() (use, setUp string) { return "use", "" }

func (l *letter) Imply(u *flows.User) []flows.Record {
	if u.Email == "" && l.broken != "implies" {
		return nil
	}
	return []flows.Record{{ID: "letter", Factor: "letter"}}
}

func (l *letter) Begin(_ context.Context, c *flows.Challenge) error {
	if l.n++; l.broken == "constant" {
		l.n, l.spent = 1, map[string]bool{}
	}
	return c.Keep(strconv.Itoa(l.n))
}

func (l *letter) Draw(*flows.Challenge) flows.Page {
	if l.broken == "draws" {
		l.drawn++
	}
	return flows.Page{Kind: "letter", Wait: l.drawn}
}

func (l *letter) Verify(_ context.Context, c *flows.Challenge, in flows.Input) (flows.Verdict, error) {
	var want string
	began := c.Kept(&want) == nil
	got := in.Value("n")
	if l.broken == "forgets" {
		began, want = true, "1"
	}
	if l.broken != "believes" && (!began || got != want || l.spent[got]) || len(c.Records) == 0 && l.broken != "nobody" {
		return flows.Verdict{}, flows.ErrCredentials
	}
	if l.broken != "twice" {
		l.spent[got] = true
	}
	return flows.Verdict{Record: "letter", AMR: []string{"otp"}}, nil
}

func TestTheImpliedSuiteFindsBrokenFactors(t *testing.T) {
	check := func(broken string) string {
		answer := func(s string) flows.Input { return flows.Input{Values: map[string][]string{"n": {s}}} }
		return strings.Join(checkImplied(t, ImpliedCase{
			Factor: &letter{broken: broken, spent: map[string]bool{}}, Has: &flows.User{Email: "a@example.com"}, Lacks: &flows.User{},
			Right: func(c *flows.Challenge) flows.Input {
				var s string
				_ = c.Kept(&s)
				return answer(s)
			},
			Wrong: func(*flows.Challenge) flows.Input { return answer("x") },
		}), "; ")
	}
	if p := check(""); p != "" {
		t.Errorf("a sound factor: %s", p)
	}
	for broken, want := range map[string]string{
		"implies": "who has no address", "draws": "drawn again", "believes": "a wrong answer", "nobody": "no such record",
		"forgets": "was not begun", "twice": "good twice", "constant": "in another challenge",
	} {
		if p := check(broken); !strings.Contains(p, want) {
			t.Errorf("%s: want a problem about %q, got %q", broken, want, p)
		}
	}
}
