package flowstest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
)

// saying is a sound RequestVerifier; a broken one changes what it looks at.
type saying struct {
	reads  []string
	broken func(r *flows.Request, p flows.Proof, err error) (flows.Proof, error)
}

func (s *saying) Reads() []string { return s.reads }

func (s *saying) VerifyRequest(_ context.Context, r *flows.Request) (flows.Proof, error) {
	p, err := s.sound(r)
	if s.broken != nil {
		return s.broken(r, p, err)
	}
	return p, err
}

func (s *saying) sound(r *flows.Request) (flows.Proof, error) {
	v := r.Captured["X_USER"]
	if r.Peer != "10.0.0.1:1" || len(r.Captured) != 1 || len(v) != 1 || strings.Contains(v[0], "\x00") {
		return flows.Proof{}, fmt.Errorf("%w: not so", flows.ErrNobody)
	}
	return named(v[0]), nil
}

func named(name string) flows.Proof {
	return flows.Proof{User: flows.User{Subject: name, Name: name}, Issuer: "x", Evidence: []flows.Evidence{{Method: "header", At: Start}}}
}

func (s *saying) problems(ctx context.Context) []error {
	sent := func(peer string) *flows.Request {
		return &flows.Request{Peer: peer, Captured: map[string][]string{"X_USER": {"anna"}}}
	}
	return Vouching{
		Guest: s, Sent: func() *flows.Request { return sent("10.0.0.1:1") }, Strangers: []*flows.Request{sent("10.0.0.2:1")},
	}.Problems(ctx)
}

func TestVouchingSuiteCatchesBrokenGuests(t *testing.T) {
	t.Parallel()
	sound := []string{"X_USER"}
	if errs := (&saying{reads: sound}).problems(t.Context()); len(errs) > 0 {
		t.Fatalf("a sound guest fails: %v", errs)
	}
	for name, s := range map[string]*saying{
		"reads nothing": {},
		"believes everybody": {reads: sound, broken: func(r *flows.Request, p flows.Proof, err error) (flows.Proof, error) {
			if v := r.Captured["X_USER"]; len(v) == 1 {
				return named(v[0]), nil
			}
			return p, err
		}},
		"takes the last": {reads: sound, broken: func(r *flows.Request, p flows.Proof, err error) (flows.Proof, error) {
			if v := r.Captured["X_USER"]; r.Peer == "10.0.0.1:1" && len(v) > 1 {
				return named(v[len(v)-1]), nil
			}
			return p, err
		}},
		"cannot tell": {reads: sound, broken: func(_ *flows.Request, p flows.Proof, err error) (flows.Proof, error) {
			if err != nil {
				err = flows.ErrUnavailable
			}
			return p, err
		}},
		"half a proof": {reads: sound, broken: func(_ *flows.Request, p flows.Proof, err error) (flows.Proof, error) {
			p.Issuer = ""
			return p, err
		}},
	} {
		if errs := s.problems(t.Context()); len(errs) == 0 {
			t.Errorf("%s: not caught", name)
		}
	}
}
