package login

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// The longest name and password that a provider is bothered with; longer ones are wrong.
const (
	maxName     = 256
	maxPassword = 1024
)

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

// password checks a name and a password. The tries are counted before anything
// is checked, so that parallel guesses cannot outrun the count (I08); used-up
// budgets look the same for names that exist and names that do not (B27).
func (l *Login) password(ctx context.Context, x *flows.Execution, p *flows.Provider, in flows.Input) (flows.Outcome, error) {
	x.Env.Asked = p.Name
	v, ok := p.Guest.(flows.PasswordVerifier)
	if !ok {
		return l.choose(ctx, x, "", "")
	}
	name, password := strings.TrimSpace(in.Value("username")), in.Value("password")
	x.Env.Tried = clip(name)
	reserved, wait := l.budgets.Reserve(keys(x, p, name)...)
	if wait > 0 {
		return l.again(x, l.passwordPage(x, p, clip(name), flows.ReasonTooManyTries, wait))
	}
	if name == "" || password == "" || len(name) > maxName || len(password) > maxPassword {
		return l.again(x, l.passwordPage(x, p, clip(name), flows.ReasonBadCredentials, 0))
	}
	spelled, wait, err := l.spellings(ctx, x, p, name)
	if wait > 0 {
		reserved.Succeeded() // nothing was checked
		return l.again(x, l.passwordPage(x, p, name, flows.ReasonTooManyTries, wait))
	}
	var proof flows.Proof
	if err == nil {
		proof, err = v.VerifyPassword(ctx, name, password)
	}
	switch {
	case errors.Is(err, flows.ErrCredentials):
		errors.As(err, &x.Env.Cause)
		return l.again(x, l.passwordPage(x, p, name, flows.ReasonBadCredentials, 0))
	case err != nil:
		// Who hangs up before the answer keeps the count: it would be a free guess.
		if ctx.Err() == nil && flows.ReasonOf(err) == flows.ReasonProviderDown {
			reserved.Succeeded()
			spelled.Succeeded()
		}
		return l.failed(ctx, x, p, err)
	}
	reserved.Succeeded()
	spelled.Succeeded()
	return l.accept(ctx, x, p, proof)
}

// keys are the budgets of one try. A browser that signed this user in before has
// a budget of its own: whoever guesses elsewhere, even from the same network,
// cannot keep it out (B27).
func keys(x *flows.Execution, p *flows.Provider, name string) []flows.BudgetKey {
	return keysOf(x, p, name, device(x, name))
}

// device is the id of a browser that signed this user in before; "" of any other.
func device(x *flows.Execution, name string) string {
	if x.Env.Device == nil {
		return ""
	}
	return x.Env.Device(name)
}

func keysOf(x *flows.Execution, p *flows.Provider, name, device string) []flows.BudgetKey {
	// Spellings that a directory takes for one name share one budget (M2);
	// providers of one realm vouch for the same people.
	spelled := strings.Join(strings.Fields(strings.ToLower(strings.ToUpper(name))), " ")
	sum := sha256.Sum256([]byte(p.Realm() + "\x00" + spelled))
	user := hex.EncodeToString(sum[:16])
	if device != "" {
		return []flows.BudgetKey{{Space: "login_user_device", ID: user + " " + device, Limits: flows.LimitUserNetwork}}
	}
	network := networkOf(x)
	return []flows.BudgetKey{
		{Space: "login_user_network", ID: user + " " + network.ID, Limits: flows.LimitUserNetwork},
		network,
		{Space: "login_user", ID: user, Limits: flows.LimitUserSoft},
	}
}

// networkOf is the budget of everybody in one network.
func networkOf(x *flows.Execution) flows.BudgetKey {
	ip := x.Request.IP
	if x.Env.Request != nil {
		ip = x.Env.Request.IP
	}
	return flows.BudgetKey{Space: "login_network", ID: flows.Network(ip), Limits: flows.LimitNetwork}
}

// spellings counts the try by what the provider knows the name to mean, beside
// what was typed: `CORP\anna`, `anna@corp.example` and `anna` may be one account (M2).
func (l *Login) spellings(ctx context.Context, x *flows.Execution, p *flows.Provider, name string) (flows.Reservation, time.Duration, error) {
	s, ok := p.Guest.(flows.Speller)
	if !ok {
		return flows.Reservation{}, 0, nil
	}
	names, err := s.Account(ctx, name)
	if err != nil {
		return flows.Reservation{}, 0, err
	}
	var all []flows.BudgetKey
	for _, n := range names {
		for _, k := range keysOf(x, p, n, device(x, name)) {
			if k.Space == "login_network" {
				continue // counted once already
			}
			k.Space += "_spelled"
			all = append(all, k)
		}
	}
	r, wait := l.budgets.Reserve(all...)
	return r, wait, nil
}

// accept takes over a proof: within the provider's scope, from the issuer its
// name is bound to, of the person this run belongs to.
func (l *Login) accept(ctx context.Context, x *flows.Execution, p *flows.Provider, proof flows.Proof) (flows.Outcome, error) {
	if p == l.fallback && !l.lowered(x, &proof) {
		return l.Enter(ctx, x)
	}
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
