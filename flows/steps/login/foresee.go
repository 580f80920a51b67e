package login

import (
	"context"
	"fmt"
	"slices"

	"github.com/sallyport-gateway/sallyport/flows"
)

// Foresee is satisfied as Enter is, and else says who would be asked: nobody is sent
// away, and no challenge is made (I26).
func (l *Login) Foresee(ctx context.Context, x *flows.Execution) (flows.Outcome, error) {
	if l.satisfied(x) {
		return flows.Continue(), nil
	}
	p, proof, err := l.vouched(ctx, x)
	switch {
	case err != nil:
		return l.ending(err)
	case p != nil:
		return l.foreseen(x, p, proof)
	case len(l.shown) == 0 && l.keys == nil:
		return l.ending(flows.Refuse(flows.ReasonNotVouched, fmt.Errorf("the request names nobody, and %s can ask nobody", l.names())))
	}
	down := l.out(x)
	p = l.asks(x.Provider)
	if p == nil && l.alone() && (l.keys == nil || stays(l.shown[0])) {
		p = l.shown[0]
	}
	if p != nil && slices.Contains(down, p.Name) {
		if p = nil; l.alone() {
			p = l.fallback
		}
	}
	if p == nil {
		return flows.Ask(l.chooser(x, "", "")), nil
	}
	x.Env.Asked = p.Name
	page := flows.Page{Widgets: []flows.Widget{flows.Choice{Name: "provider", Value: p.Name, Label: p.Title()}}}
	page.Kind = "login" // of no page that is shown: the provider has its own
	return flows.Ask(page), nil
}

// foreseen is accept, without binding the issuer to the provider's name.
func (l *Login) foreseen(x *flows.Execution, p *flows.Provider, proof flows.Proof) (flows.Outcome, error) {
	if err := p.Guest.Options().InScope(&proof.User); err != nil {
		return l.ending(flows.Refuse(flows.ReasonNotAllowed, fmt.Errorf("provider %s: %w", p.Name, err)))
	}
	if err := x.Adopt(proof, p.Name, p.Realm()); err != nil {
		return l.ending(err)
	}
	return flows.Continue(), nil
}

var _ flows.Foreseer = (*Login)(nil)
