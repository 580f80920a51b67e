package login

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/sallyport-gateway/sallyport/flows"
)

// maxName is the longest name that is shown again.
const maxName = 256

// returned takes a provider's callback: of the one that was asked, and of no
// other (mix-up: RFC 9700 §4.4, B01).
func (l *Login) returned(ctx context.Context, x *flows.Execution, k kept, c flows.Callback) (flows.Outcome, error) {
	p := l.may(x, k.Provider)
	if p == nil && c.Provider == k.Provider && l.over(k) {
		return l.Enter(ctx, x)
	}
	if p == nil || !k.Away || c.Provider != k.Provider {
		return l.ending(flows.Refuse(flows.ReasonProviderMismatch,
			fmt.Errorf("provider '%s' was asked, the answer came to the callback of '%s'", k.Provider, c.Provider)))
	}
	x.Env.Asked = p.Name
	r, ok := p.Guest.(flows.Redirector)
	if !ok {
		return l.ending(flows.Refuse(flows.ReasonProviderMismatch, fmt.Errorf("provider %s takes no callbacks", p.Name)))
	}
	proof, err := r.Finish(ctx, c, k.Private)
	if err != nil {
		return l.failed(ctx, x, p, err)
	}
	return l.accept(ctx, x, p, proof)
}

// arrived takes an answer that nobody asked for, which the person agreed to. It is
// evidence, also for somebody who is signed in; the hall hears that it was taken,
// and a second login of the flow asks for itself.
func (l *Login) arrived(ctx context.Context, x *flows.Execution, p *flows.Provider, c flows.Callback) (flows.Outcome, error) {
	x.Env.Arrived, x.Env.Asked = nil, p.Name
	r, ok := p.Guest.(flows.Receiver)
	if !ok {
		return l.ending(flows.Refuse(flows.ReasonProviderMismatch, fmt.Errorf("provider %s begins no logins", p.Name)))
	}
	proof, err := r.Finish(ctx, c, nil)
	if err != nil {
		return l.ending(fmt.Errorf("provider %s: %w", p.Name, err))
	}
	for i := range proof.Evidence {
		proof.Evidence[i].Kind = flows.IDPInitiated
	}
	return l.accept(ctx, x, p, proof)
}

// password has a name and a password checked, within the budgets of both.
func (l *Login) password(ctx context.Context, x *flows.Execution, p *flows.Provider, in flows.Input) (flows.Outcome, error) {
	x.Env.Asked = p.Name
	v, ok := p.Guest.(flows.PasswordVerifier)
	if !ok {
		return l.choose(ctx, x, "", "")
	}
	name := strings.TrimSpace(in.Value("username"))
	x.Env.Tried = clip(name)
	proof, wait, err := l.budgets.Check(ctx, p, v, flows.Guess{Name: name, Password: in.Value("password"), IP: address(x), Device: device(x, name)})
	switch {
	case wait > 0:
		return l.again(x, l.passwordPage(x, p, clip(name), flows.ReasonTooManyTries, wait))
	case errors.Is(err, flows.ErrCredentials):
		errors.As(err, &x.Env.Cause)
		return l.again(x, l.passwordPage(x, p, clip(name), flows.ReasonBadCredentials, 0))
	case err != nil:
		return l.failed(ctx, x, p, err)
	}
	return l.accept(ctx, x, p, proof)
}

// device is the id of a browser that signed this user in before; "" of any other.
func device(x *flows.Execution, name string) string {
	if x.Env.Device == nil {
		return ""
	}
	return x.Env.Device(name)
}

// address is the client's.
func address(x *flows.Execution) string {
	if x.Env.Request != nil {
		return x.Env.Request.IP
	}
	return x.Request.IP
}

// accept takes over a proof: within the provider's scope, from the issuer its
// name is bound to, of the person this run belongs to.
func (l *Login) accept(ctx context.Context, x *flows.Execution, p *flows.Provider, proof flows.Proof) (flows.Outcome, error) {
	if p == l.fallback && !l.lowered(x, &proof) {
		return l.Enter(ctx, x)
	}
	return l.adopt(ctx, x, p, proof)
}

// adopt is accept of a provider that stands in for none.
func (l *Login) adopt(ctx context.Context, x *flows.Execution, p *flows.Provider, proof flows.Proof) (flows.Outcome, error) {
	if err := p.Guest.Options().InScope(&proof.User); err != nil {
		return l.ending(flows.Refuse(flows.ReasonNotAllowed, fmt.Errorf("provider %s: %w", p.Name, err)))
	}
	if err := l.bindIssuer(ctx, p, proof.Issuer); err != nil {
		return l.ending(err)
	}
	if err := x.Adopt(proof, p.Name, p.Realm()); err != nil {
		return l.ending(err)
	}
	return flows.Continue(), nil
}

// failed answers for a provider that gave an error. One that cannot be reached
// leaves the choice of the others; an error that nobody else can help with is returned.
func (l *Login) failed(ctx context.Context, x *flows.Execution, p *flows.Provider, err error) (flows.Outcome, error) {
	if flows.ReasonOf(err) == flows.ReasonProviderDown && (!l.alone() || l.keys != nil || len(l.out(x)) > 0) {
		return l.choose(ctx, x, "", flows.ReasonProviderDown)
	}
	return l.ending(fmt.Errorf("provider %s: %w", p.Name, err))
}

// ending turns a refusal into a Deny outcome. What could not be asked stays an
// error: nobody was refused, and the attempt may go on when it can.
func (l *Login) ending(err error) (flows.Outcome, error) {
	var r *flows.Refusal
	if !errors.As(err, &r) || errors.Is(err, flows.ErrUnavailable) {
		return nil, err
	}
	switch r.Reason {
	case flows.ReasonProviderDown, flows.ReasonStoreDown, flows.ReasonAuditDown, flows.ReasonInternal:
		return nil, err
	default:
		return flows.Deny(flows.Denial{Reason: r.Reason, Source: l.Source, Err: err}), nil
	}
}

// clip keeps what is shown again within reason.
func clip(s string) string {
	if len(s) > maxName {
		return ""
	}
	return s
}
