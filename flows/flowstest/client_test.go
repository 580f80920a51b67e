package flowstest

import (
	"context"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
)

// shower is a sound ClientVerifier; a broken one changes what it answers.
type shower struct {
	presents func(r *flows.Request, c flows.ClientCredential, err error) (flows.ClientCredential, error)
	verify   func(c flows.ClientCredential, p flows.Proof, err error) (flows.Proof, error)
}

func (*shower) Scheme() string { return "Bearer" }

func (s *shower) Presents(r *flows.Request) (flows.ClientCredential, error) {
	token, err := flows.Authorization(r, "Bearer")
	c := flows.ClientCredential{Secret: token}
	if s.presents != nil {
		return s.presents(r, c, err)
	}
	return c, err
}

func (s *shower) VerifyClient(_ context.Context, _ *flows.Request, c flows.ClientCredential) (flows.Proof, error) {
	p, err := named("robot"), error(nil)
	if c.Secret != "good" {
		p, err = flows.Proof{}, flows.ErrCredentials
	}
	if s.verify != nil {
		return s.verify(c, p, err)
	}
	return p, err
}

func (s *shower) problems(ctx context.Context) []error {
	with := func(token string) *flows.Request {
		return &flows.Request{Header: map[string][]string{"Authorization": {"Bearer " + token}}}
	}
	return Showing{Guest: s, Good: func() *flows.Request { return with("good") }, Bad: []*flows.Request{with("bad")}}.Problems(ctx)
}

func TestShowingSuiteCatchesBrokenGuests(t *testing.T) {
	t.Parallel()
	if errs := new(shower).problems(t.Context()); len(errs) > 0 {
		t.Fatalf("a sound guest fails: %v", errs)
	}
	for name, s := range map[string]*shower{
		"takes every token": {verify: func(flows.ClientCredential, flows.Proof, error) (flows.Proof, error) { return named("robot"), nil }},
		"cannot tell": {verify: func(_ flows.ClientCredential, p flows.Proof, err error) (flows.Proof, error) {
			if err != nil {
				err = flows.ErrUnavailable
			}
			return p, err
		}},
		"half a proof": {verify: func(_ flows.ClientCredential, p flows.Proof, err error) (flows.Proof, error) {
			p.Issuer = ""
			return p, err
		}},
		"keeps tokens": {verify: func(_ flows.ClientCredential, p flows.Proof, err error) (flows.Proof, error) {
			p.Tokens = []byte("t")
			return p, err
		}},
		"reads the query": {presents: func(r *flows.Request, c flows.ClientCredential, err error) (flows.ClientCredential, error) {
			if r.Query != "" {
				return flows.ClientCredential{Secret: "good"}, nil
			}
			return c, err
		}},
		"takes the first of two": {presents: func(r *flows.Request, c flows.ClientCredential, err error) (flows.ClientCredential, error) {
			if len(r.Header["Authorization"]) > 1 {
				return flows.ClientCredential{Secret: "good"}, nil
			}
			return c, err
		}},
		"knows all by one key": {presents: func(_ *flows.Request, c flows.ClientCredential, err error) (flows.ClientCredential, error) {
			if err == nil {
				c.Secret = "good"
			}
			return c, err
		}},
	} {
		if errs := s.problems(t.Context()); len(errs) == 0 {
			t.Errorf("%s: not caught", name)
		}
	}
}
