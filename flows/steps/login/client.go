package login

import (
	"context"

	"github.com/sallyport-gateway/sallyport/flows"
)

// EnterClient takes what a program proved with its request, from a provider that the
// route's `api` line names: it stands in for the providers of the flow's first login. A
// second login wants somebody else's word, which only a person can fetch (I02).
func (l *Login) EnterClient(ctx context.Context, x *flows.Execution) (flows.Outcome, error) {
	c := x.Env.Client
	if c.Taken {
		return flows.AsksPeople(l), nil
	}
	c.Taken, x.Env.Asked = true, c.Provider.Name
	return l.adopt(ctx, x, c.Provider, c.Proof)
}

// clientsOnly reports that nobody but programs is known here: then a login asks nobody.
func clientsOnly(all []*flows.Provider) bool {
	for _, p := range all {
		if _, ok := p.Guest.(flows.ClientVerifier); !ok {
			return false
		}
	}
	return len(all) > 0
}

var _ flows.ClientStep = (*Login)(nil)
