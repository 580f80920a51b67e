package login

import (
	"context"
	"errors"
	"fmt"

	"github.com/sallyport-gateway/sallyport/flows"
)

// vouched finds one of the step's providers that says who the request is from. It is
// asked for what was said a while ago, so it cannot say anything anew: then people are
// asked themselves.
func (l *Login) vouched(ctx context.Context, x *flows.Execution) (*flows.Provider, flows.Proof, error) {
	if x.Env.Request == nil || !x.Since.IsZero() {
		return nil, flows.Proof{}, nil
	}
	for _, p := range l.own {
		v, ok := p.Guest.(flows.RequestVerifier)
		if !ok {
			continue
		}
		proof, err := v.VerifyRequest(ctx, x.Env.Request)
		if errors.Is(err, flows.ErrNobody) {
			continue
		}
		x.Env.Asked = p.Name
		if err != nil {
			return nil, flows.Proof{}, fmt.Errorf("provider %s: %w", p.Name, err)
		}
		return p, proof, nil
	}
	return nil, flows.Proof{}, nil
}

// taken is accept, for what vouched answered.
func (l *Login) taken(ctx context.Context, x *flows.Execution, p *flows.Provider, proof flows.Proof, err error) (flows.Outcome, error) {
	if err != nil {
		return l.ending(err)
	}
	return l.accept(ctx, x, p, proof)
}

// asks finds one of the step's own providers that can ask a person.
func (l *Login) asks(name string) *flows.Provider {
	if p := l.find(name); p != nil && asksPeople(p) {
		return p
	}
	return nil
}
