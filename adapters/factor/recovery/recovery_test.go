package recovery

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

func codes(p flows.Page) []string {
	for _, w := range p.Widgets {
		if w, ok := w.(flows.Codes); ok {
			return w.Codes
		}
	}
	return nil
}

func answer(code string) flows.Input { return flows.Input{Values: map[string][]string{"code": {code}}} }

func TestFactor(t *testing.T) {
	flowstest.TestFactor(t, flowstest.FactorCase{
		Factor: new(Recovery),
		Right:  func(enrolment, _ flows.Page, _ *flows.Challenge) flows.Input { return answer(codes(enrolment)[2]) },
		Wrong:  answer("AAAA-AAAA-AAAA-AAAA"),
		Next:   func(*flows.Challenge) {},
	})
}

// Only hashes are kept, and each code is struck out alone (M6).
func TestM06OnlyHashesAreKept(t *testing.T) {
	c := &flows.Challenge{User: &flows.User{Name: "alice"}}
	f := new(Recovery)
	if err := f.BeginEnrol(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	all := codes(f.DrawEnrol(c))
	r, _, err := f.Enrol(t.Context(), c, flows.Input{})
	if err != nil || len(all) != count {
		t.Fatalf("%d codes, %v", len(all), err)
	}
	r.ID = "r1"
	for _, code := range all {
		if bytes.Contains(r.Data, []byte(letters(code))) {
			t.Fatalf("the record holds the code %s", code)
		}
	}
	for i, code := range all {
		v, err := f.Verify(t.Context(), &flows.Challenge{Records: []flows.Record{r}}, answer(strings.ToLower(strings.ReplaceAll(code, "-", " "))))
		if err != nil {
			t.Fatalf("code %d: %v", i, err)
		}
		if r, err = v.Use(r); err != nil {
			t.Fatalf("code %d: %v", i, err)
		}
		if _, err := f.Verify(t.Context(), &flows.Challenge{Records: []flows.Record{r}}, answer(code)); !errors.Is(err, flows.ErrCredentials) {
			t.Fatalf("code %d is good twice", i)
		}
	}
}
