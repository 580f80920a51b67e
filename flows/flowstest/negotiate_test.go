package flowstest

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
)

// answered is a sound Negotiator for answers of the form "name/number."; a broken one
// changes what comes of them.
type answered struct {
	broken func(token []byte, p flows.Proof, err error) (flows.Proof, error)
}

func (*answered) Unasked(*flows.Request) bool { return true }

func (a *answered) Negotiate(_ context.Context, _ *flows.Request, token []byte) (p flows.Proof, err error) {
	name, n, ok := bytes.Cut(token, []byte("/"))
	if !ok || string(name) != "anna" || !bytes.HasSuffix(n, []byte(".")) || bytes.Count(token, []byte("x")) != 3 {
		err = flows.Refuse(flows.ReasonTicketRefused, errors.New("not so"))
	} else {
		p = named(string(name))
		p.Once = []flows.Mark{{Space: "x", ID: string(n), Until: Start}}
	}
	if a.broken != nil {
		return a.broken(token, p, err)
	}
	return p, err
}

func (a *answered) problems(ctx context.Context) []error {
	n := 0
	return Negotiating{
		Guest: a, Request: &flows.Request{}, Refused: map[string][]byte{"mallory": []byte("mallory/1.")},
		Token: func() []byte { n++; return []byte("anna/xxx" + strconv.Itoa(n) + ".") },
	}.Problems(ctx)
}

func TestNegotiatingSuiteCatchesBrokenGuests(t *testing.T) {
	t.Parallel()
	sound := &answered{broken: func(token []byte, p flows.Proof, err error) (flows.Proof, error) {
		if err == nil && !bytes.Equal(token, []byte("anna/xxx1.")) && !bytes.Equal(token, []byte("anna/xxx2.")) {
			return flows.Proof{}, flows.Refuse(flows.ReasonTicketRefused, nil)
		}
		return p, err
	}}
	if errs := sound.problems(t.Context()); len(errs) > 0 {
		t.Fatalf("a sound guest fails: %v", errs)
	}
	for name, broken := range map[string]func(token []byte, p flows.Proof, err error) (flows.Proof, error){
		"refuses everybody": func(_ []byte, _ flows.Proof, _ error) (flows.Proof, error) {
			return flows.Proof{}, flows.Refuse(flows.ReasonTicketRefused, nil)
		},
		"has no mark": func(_ []byte, p flows.Proof, err error) (flows.Proof, error) { p.Once = nil; return p, err },
		"has one mark for all": func(_ []byte, p flows.Proof, err error) (flows.Proof, error) {
			p.Once = []flows.Mark{{ID: "1"}}
			return p, err
		},
		"takes a changed answer as new": nil,
		"believes everybody":            func(_ []byte, p flows.Proof, _ error) (flows.Proof, error) { return named("anna"), nil },
		"refuses with another reason": func(_ []byte, p flows.Proof, err error) (flows.Proof, error) {
			if err != nil {
				err = flows.Refuse(flows.ReasonBadCredentials, nil)
			}
			return p, err
		},
		"says who it refused": func(_ []byte, p flows.Proof, err error) (flows.Proof, error) { return named("anna"), err },
	} {
		if errs := (&answered{broken: broken}).problems(t.Context()); len(errs) == 0 {
			t.Errorf("%s: nobody notices", name)
		}
	}
}
