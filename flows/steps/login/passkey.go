package login

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// vouchedFor is how long a provider's word for somebody is good for their passkey:
// who is switched off there cannot come in by it for ever.
const vouchedFor = 30 * 24 * time.Hour

// keyFactor is the kind of factor whose keys say who people are.
const keyFactor = "webauthn"

func (l *Login) bindKeys(r flows.Registry) error {
	f, err := r.Factor(keyFactor)
	if err != nil {
		return fmt.Errorf("login %s: %w", flows.Passkey, err)
	}
	keys, ok := f.(flows.Passkeys)
	if !ok {
		return fmt.Errorf("login %s: factor %s has none: it is %T", flows.Passkey, keyFactor, f)
	}
	l.keys = keys
	return nil
}

// reachesKeys names what a login by passkey depends on.
func (l *Login) reachesKeys() (out []string) {
	if l.keys == nil {
		return nil
	}
	for _, p := range l.vouchers {
		if !slices.Contains(l.own, p) {
			out = append(out, "provider:"+p.Name)
		}
	}
	return append(out, "factor:"+keyFactor)
}

// voucher is the provider that speaks for somebody here: the one that did, or one of
// the same realm (I04). Nil: none of this login does.
func (l *Login) voucher(u *flows.User) *flows.Provider {
	for _, same := range []func(*flows.Provider) bool{
		func(p *flows.Provider) bool { return p.Realm() == u.Realm && p.Called(u.Provider) },
		func(p *flows.Provider) bool { return p.Realm() == u.Realm },
	} {
		if i := slices.IndexFunc(l.vouchers, same); i >= 0 {
			return l.vouchers[i]
		}
	}
	return nil
}

func (l *Login) challenge(x *flows.Execution, k kept) *flows.Challenge {
	return &flows.Challenge{State: k.Key, Origin: x.Origin, Language: x.Language, Now: x.Env.Now}
}

// wait asks with a new challenge for a passkey, where there are any.
func (l *Login) wait(ctx context.Context, x *flows.Execution, k kept, p flows.Page) (flows.Outcome, error) {
	if l.keys != nil {
		c := l.challenge(x, kept{})
		if err := l.keys.Begin(ctx, c); err != nil {
			return nil, fmt.Errorf("login %s: %w", flows.Passkey, err)
		}
		k.Key = c.State
	}
	if err := x.Keep(k); err != nil {
		return nil, err
	}
	return flows.Ask(l.offer(x, k, p)), nil
}

// again asks once more, for the same passkey.
func (l *Login) again(x *flows.Execution, p flows.Page) (flows.Outcome, error) {
	var k kept
	_, err := x.Kept(&k)
	return flows.Ask(l.offer(x, k, p)), err
}

// current is the page that the step waits with.
func (l *Login) current(x *flows.Execution, k kept, problem flows.Reason, wait time.Duration) flows.Page {
	switch p := l.may(x, k.Provider); {
	case p == nil:
	case negotiates(p):
		return l.negotiatePage(p)
	default:
		return l.passwordPage(x, p, "", problem, wait)
	}
	p := l.chooser(x, "", problem)
	p.Wait = flows.WaitSeconds(wait)
	return p
}

// offer puts the passkey on a page, and into the autofill of a name's field. Where
// there is nothing else to choose the page is all about it.
func (l *Login) offer(x *flows.Execution, k kept, p flows.Page) flows.Page {
	if l.keys == nil || p.Negotiate {
		return p
	}
	drawn := l.keys.Draw(l.challenge(x, k))
	if len(l.shown) == 0 {
		drawn.Problem, drawn.Wait = p.Problem, p.Wait
		drawn.Widgets = append(approving(x), drawn.Widgets...)
		return drawn
	}
	if k.Provider == "" { // with a key the chooser is the last page
		p.Widgets = append(approving(x), p.Widgets...)
	}
	named := false
	for i, w := range p.Widgets {
		if f, ok := w.(flows.Field); ok && f.Autocomplete == "username" {
			f.Autocomplete, named = "username webauthn", true
			p.Widgets[i] = f
		}
	}
	for _, w := range drawn.Widgets {
		if c, ok := w.(flows.Credential); ok {
			c.Conditional = named
			p.Widgets = append(p.Widgets, c)
		}
	}
	return p
}

// passkey lets in who holds one. Whose it is, is looked up by its random handle; what
// of the answer is wrong, the page does not say.
func (l *Login) passkey(ctx context.Context, x *flows.Execution, k kept, in flows.Input, handle string) (flows.Outcome, error) {
	x.Env.Asked = flows.Passkey
	reserved, wait := l.budgets.Reserve(flows.NetworkKey(address(x)))
	if wait > 0 {
		return l.again(x, l.current(x, k, flows.ReasonTooManyTries, wait))
	}
	u, vouched, amr, err := l.holder(ctx, x, k, in, handle)
	switch {
	case errors.Is(err, flows.ErrCredentials), errors.Is(err, flows.ErrReplayed), errors.Is(err, flows.ErrNotFound):
		errors.As(err, &x.Env.Cause)
		return l.wait(ctx, x, k, l.current(x, k, flows.ReasonKeyRefused, 0))
	case err != nil:
		return l.ending(err)
	}
	reserved.Succeeded()
	u, until, err := l.vouch(ctx, x, u, vouched)
	switch {
	case flows.ReasonOf(err) == flows.ReasonVouchExpired:
		return l.wait(ctx, x, k, l.current(x, k, flows.ReasonVouchExpired, 0))
	case err != nil:
		return l.ending(err)
	}
	if err := x.Admit(u, flows.Evidence{Method: keyFactor, AMR: amr, At: x.Env.Now}, until); err != nil {
		return l.ending(err)
	}
	return flows.Continue(), nil
}

// holder is who holds the key that answered, and what that proves. Its use is noted
// in one step before anything is granted (I09).
func (l *Login) holder(ctx context.Context, x *flows.Execution, k kept, in flows.Input, handle string) (u *flows.User, vouched time.Time, amr []string, err error) {
	u, vouched, err = x.Env.Holders.Holder(ctx, handle)
	if err != nil {
		return nil, vouched, nil, err
	}
	all, err := x.Env.Enrolments.List(ctx, u.Key)
	if err != nil {
		return nil, vouched, nil, fmt.Errorf("reading the factors of %s: %w", u.Key, err)
	}
	c := l.challenge(x, k)
	c.User = u
	for _, r := range all {
		if r.Factor == keyFactor && r.Handle == handle {
			c.Records = append(c.Records, r)
		}
	}
	v, err := l.keys.Verify(ctx, c, in)
	if err == nil {
		err = x.Env.Enrolments.Use(ctx, u.Key, v.Record, v.Use)
	}
	return u, vouched, v.AMR, err
}

// vouch has a provider of this login speak for the holder of a passkey: now if it can
// be asked, and then perhaps until some time, else as it did when they last signed in there.
func (l *Login) vouch(ctx context.Context, x *flows.Execution, u *flows.User, vouched time.Time) (_ *flows.User, until time.Time, err error) {
	p := l.voucher(u)
	if p == nil {
		return nil, until, flows.Refuse(flows.ReasonNotAllowed, fmt.Errorf("passkey of %s: no provider of this login vouches for realm %s", u.Key, u.Realm))
	}
	if v, ok := p.Guest.(flows.Voucher); ok {
		now, notAfter, err := v.Vouch(ctx, u.Subject)
		switch {
		case errors.Is(err, flows.ErrCredentials):
			return nil, until, flows.Refuse(flows.ReasonAccountDisabled, fmt.Errorf("passkey of %s: provider %s has no such account any more", u.Key, p.Name))
		case err != nil:
			return nil, until, fmt.Errorf("provider %s: %w", p.Name, err)
		}
		now.Key, now.Realm, now.Provider, now.Subject = u.Key, u.Realm, p.Name, u.Subject
		u, until = &now, notAfter
	} else if limit := cmp.Or(time.Duration(l.Vouched), vouchedFor); x.Env.Now.Sub(vouched) > limit {
		return nil, until, flows.Refuse(flows.ReasonVouchExpired, fmt.Errorf("passkey of %s: provider %s vouched for them last at %s", u.Key, u.Provider, vouched))
	}
	if err := p.Guest.Options().InScope(u); err != nil {
		return nil, until, flows.Refuse(flows.ReasonNotAllowed, fmt.Errorf("provider %s: %w", p.Name, err))
	}
	return u, until, nil
}
