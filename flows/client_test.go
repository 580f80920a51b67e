package flows_test

import (
	"context"
	"errors"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
)

// asking is a step that asks a person.
type asking struct{ entered int }

func (a *asking) Enter(context.Context, *flows.Execution) (flows.Outcome, error) {
	a.entered++
	return flows.Ask(flows.Page{Kind: "x"}), nil
}

func (a *asking) Resume(context.Context, *flows.Execution, flows.Input) (flows.Outcome, error) {
	return flows.Continue(), nil
}

func (*asking) SourceLine() string { return "Caddyfile:7" }

// knowing is one that knows programs.
type knowing struct{ asking }

func (*knowing) EnterClient(_ context.Context, x *flows.Execution) (flows.Outcome, error) {
	x.User = &flows.User{Key: "machines:robot", Name: "robot"}
	return flows.Continue(), nil
}

// plain goes on for everybody.
type plain struct{}

func (plain) Enter(context.Context, *flows.Execution) (flows.Outcome, error) {
	return flows.Continue(), nil
}

// blocks has blocks.
type blocks struct {
	inner [][]flows.Step
	all   bool
}

func (b *blocks) Enter(context.Context, *flows.Execution) (flows.Outcome, error) {
	return flows.Take(0), nil
}

func (b *blocks) Blocks() ([][]flows.Step, bool) { return b.inner, b.all }

func TestProgramsAreNotAsked(t *testing.T) {
	t.Parallel()
	a := new(asking)
	p, err := flows.Compile("f", "d", []flows.Step{new(knowing), plain{}, a})
	if err != nil {
		t.Fatal(err)
	}
	x := &flows.Execution{Flow: "f", Digest: "d"}
	x.Env.Client = new(flows.Client)
	out, fin, err := p.Advance(t.Context(), x, nil)
	if err != nil || fin != nil || a.entered != 0 {
		t.Fatal(fin, err, a.entered)
	}
	var d denial
	if out.Accept(&d) != nil || d.Reason != flows.ReasonInteractionRequired || d.Source != "Caddyfile:7" {
		t.Errorf("%+v", d)
	}
	y := &flows.Execution{Flow: "f", Digest: "d"}
	if out, _, err := p.Advance(t.Context(), y, nil); err != nil || out == nil || y.Wait == nil {
		t.Error("a person is asked by the first step", err)
	}
}

// denial takes a Deny.
type denial struct{ flows.Denial }

func (*denial) Continue() error                      { return errors.New("continue") }
func (*denial) Take(int) error                       { return errors.New("take") }
func (*denial) Ask(flows.Page) error                 { return errors.New("ask") }
func (*denial) Redirect(string) error                { return errors.New("redirect") }
func (*denial) Post(string, []flows.FormField) error { return errors.New("post") }
func (d *denial) Deny(o flows.Denial) error          { d.Denial = o; return nil }

func TestRefusesClients(t *testing.T) {
	t.Parallel()
	a, k := new(asking), new(knowing)
	for name, tc := range map[string]struct {
		steps []flows.Step
		want  flows.Step
	}{
		"nothing asks":          {[]flows.Step{k, plain{}}, nil},
		"one asks":              {[]flows.Step{k, a}, a},
		"below a condition":     {[]flows.Step{k, &blocks{[][]flows.Step{{a}}, false}}, nil},
		"in one of two blocks":  {[]flows.Step{k, &blocks{[][]flows.Step{{a}, {}}, true}}, nil},
		"in a sub-flow":         {[]flows.Step{k, &blocks{[][]flows.Step{{plain{}, a}}, true}}, a},
		"in a sub-flow's block": {[]flows.Step{k, &blocks{[][]flows.Step{{&blocks{[][]flows.Step{{a}}, false}}}, true}}, nil},
	} {
		if got := flows.RefusesClients(tc.steps); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestAuthorization(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		values []string
		want   string
		err    error
	}{
		{nil, "", flows.ErrNobody},
		{[]string{"Basic YTpi"}, "", flows.ErrNobody},
		{[]string{"Bearerx abc"}, "", flows.ErrNobody},
		{[]string{""}, "", flows.ErrNobody},
		{[]string{"bEaReR abc"}, "abc", nil},
		{[]string{"Bearer  abc "}, "abc", nil},
		{[]string{"Bearer"}, "", nil},
		{[]string{"Bearer abc, Bearer def"}, "abc, Bearer def", nil},
	} {
		got, err := flows.Authorization(&flows.Request{Header: map[string][]string{"Authorization": tc.values}}, "Bearer")
		if got != tc.want || !errors.Is(err, tc.err) {
			t.Errorf("%q: %q, %v", tc.values, got, err)
		}
	}
	if _, err := flows.Authorization(&flows.Request{Header: map[string][]string{"Authorization": {"Bearer a", "Bearer a"}}}, "Bearer"); flows.ReasonOf(err) != flows.ReasonInvalidRequest {
		t.Error(err)
	}
}
