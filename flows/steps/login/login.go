// Package login is the step that has a provider establish who the person is.
package login

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() {
	caddy.RegisterModule(Login{})
}

// Login asks one of its providers who the person is. It is satisfied by
// evidence from one of them only, never by a user who is merely known (I01, I02).
type Login struct {
	// The providers to choose from; default: all that are not hidden. `passkey` among them
	// lets people in by a passkey that they set up before (factor webauthn), if one of the
	// others vouched for them then; alone: if any provider did.
	Providers []string `json:"providers,omitempty"`
	// How long a passkey is good after its owner last signed in by a provider; default: 30
	// days. Providers that can be asked without the person (local, ldap) are asked each time instead.
	Vouched caddy.Duration `json:"vouched,omitempty"`
	// Which provider is for which e-mail domains: asked for on the chooser.
	Discover []Discover `json:"discover,omitempty"`
	// A provider, mostly a hidden one, that stands in while one of the others is down by
	// the gateway's own health checks. Its evidence is marked: auth.fallback.
	Fallback string `json:"fallback,omitempty"`
	// The file and line it was written at.
	Source string `json:"source,omitempty"`

	own     []*flows.Provider // whose evidence satisfies it, and who may be wished for
	shown   []*flows.Provider // those on the chooser: own without the hidden ones
	domains map[string]*flows.Provider
	// fallback stands in while one of watched is down; nil without one.
	fallback *flows.Provider
	watched  []*flows.Provider
	issuers  flows.Vault
	budgets  *flows.Budgets
	// keys are the passkeys; nil without. vouchers are whose people may come in by one.
	keys     flows.Passkeys
	vouchers []*flows.Provider
}

// Discover sends people with an address in one of the domains to a provider.
type Discover struct {
	// One of the providers of this step.
	Provider string `json:"provider"`
	// The domains, with or without a leading @.
	Domains []string `json:"domains"`
}

// CaddyModule returns the Caddy module information.
func (Login) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "identity.steps.login",
		New: func() caddy.Module { return new(Login) },
	}
}

// Validate refuses what does not depend on other guests.
func (l *Login) Validate() error {
	if err := l.checkFallback(); err != nil {
		return err
	}
	for i, name := range l.Providers {
		if slices.Contains(l.Providers[:i], name) {
			return fmt.Errorf("login names provider '%s' twice", name)
		}
	}
	seen := map[string]bool{}
	for _, d := range l.Discover {
		if len(d.Domains) == 0 {
			return fmt.Errorf("discover %s names no domain", d.Provider)
		}
		for _, text := range d.Domains {
			domain, ok := domainName(text)
			if !ok {
				return fmt.Errorf("discover %s: '%s' is no domain such as @example.com", d.Provider, text)
			}
			if seen[domain] {
				return fmt.Errorf("discover names @%s twice", domain)
			}
			seen[domain] = true
		}
	}
	return nil
}

// at says where the step was written.
func (l *Login) at(err error) error {
	if l.Source == "" {
		return err
	}
	return fmt.Errorf("%s: %w", l.Source, err)
}

// Produces says that behind a login the user is known.
func (l *Login) Produces() []string { return []string{"user"} }

// Reaches names the providers: another meaning of one restarts runs (I28).
func (l *Login) Reaches() []string {
	var out []string
	for _, p := range l.own {
		out = append(out, "provider:"+p.Name)
	}
	if l.Fallback != "" {
		out = append(out, "provider:"+l.Fallback)
	}
	return append(out, l.reachesKeys()...)
}

// SourceLine is where the step was written.
func (l *Login) SourceLine() string { return l.Source }

// kept is the step's private state while it waits. It travels in the browser,
// sealed, until somebody is known: nothing in it is worth turning back (I08).
type kept struct {
	// Provider is who is asked now; empty while the chooser is shown.
	Provider string `json:"provider,omitempty"`
	// Private is a Redirector's own state; set means that a callback is awaited.
	Private []byte `json:"private,omitempty"`
	Away    bool   `json:"away,omitempty"`
	// Approve is set while the person reads what the login is for, before they leave.
	Approve bool `json:"approve,omitempty"`
	// Key is the challenge of the passkey that the page offers. An older one is spent: its
	// run ends once, and the record knows what it answered last (I09).
	Key json.RawMessage `json:"key,omitempty"`
}

// Enter takes what one of its own providers began by itself. It is satisfied by
// evidence of one of them for the user of the run; otherwise it asks the provider
// that was wished for, the only one, or the person. To one that is down nobody is
// sent unasked.
func (l *Login) Enter(ctx context.Context, x *flows.Execution) (flows.Outcome, error) {
	if a := x.Env.Arrived; a != nil {
		if p := l.find(a.Provider); p != nil {
			return l.arrived(ctx, x, p, *a)
		}
	}
	if l.satisfied(x) {
		return flows.Continue(), nil
	}
	if p, proof, err := l.vouched(ctx, x); p != nil || err != nil {
		return l.taken(ctx, x, p, proof, err)
	}
	if len(l.shown) == 0 && l.keys == nil {
		return l.ending(flows.Refuse(flows.ReasonNotVouched, fmt.Errorf("the request names nobody, and %s can ask nobody", l.names())))
	}
	down := l.out(x)
	p := l.asks(x.Provider)
	if p == nil && l.alone() && (l.keys == nil || stays(l.shown[0])) {
		p = l.shown[0]
	}
	if n := l.unasked(x); n != nil {
		return l.start(ctx, x, n, "")
	}
	switch {
	case p == nil, negotiates(p) && askedAnew(x):
		return l.choose(ctx, x, "", "")
	case !slices.Contains(down, p.Name):
		return l.start(ctx, x, p, "")
	case l.alone():
		return l.standIn(ctx, x)
	}
	return l.choose(ctx, x, "", "")
}

// Resume takes a provider's callback or a page's values. Refusals that end the
// attempt come back as Deny with their reason, so that the trail has it; what
// could not be asked is an error.
func (l *Login) Resume(ctx context.Context, x *flows.Execution, in flows.Input) (flows.Outcome, error) {
	var k kept
	if _, err := x.Kept(&k); err != nil {
		return nil, err
	}
	if in.Callback != nil {
		return l.returned(ctx, x, k, *in.Callback)
	}
	if in.Token != nil {
		return l.negotiated(ctx, x, k, in.Token)
	}
	if l.keys != nil {
		if handle, there := l.keys.Holder(in); there {
			return l.passkey(ctx, x, k, in, handle)
		}
	}
	if name := in.Value("provider"); name != "" {
		if p := l.may(x, name); p != nil {
			return l.start(ctx, x, p, "")
		}
		return l.choose(ctx, x, "", "")
	}
	p := l.may(x, k.Provider)
	switch {
	case k.Approve && p != nil:
		return l.start(ctx, x, p, "")
	case k.Away, p == nil && l.over(k): // the person came back without an answer, or those who were down did
		return l.Enter(ctx, x)
	case p == nil:
		return l.discover(ctx, x, in)
	case negotiates(p):
		return l.onward(ctx, x, p, "")
	}
	return l.password(ctx, x, p, in)
}

// alone says that there is nothing to choose.
func (l *Login) alone() bool {
	if len(l.shown) != 1 {
		return false
	}
	for _, p := range l.domains {
		if p != l.shown[0] {
			return false
		}
	}
	return true
}

func (l *Login) satisfied(x *flows.Execution) bool {
	return x.User != nil && slices.ContainsFunc(x.Evidence, func(e flows.Evidence) bool {
		switch {
		case e.User != x.User.Key || !x.Since.IsZero() && !x.Honours(&e):
			return false
		case e.Provider == flows.Passkey: // also of people that other logins let in
			return l.keys != nil && l.voucher(x.User) != nil
		}
		return l.stoodIn(&e) || slices.ContainsFunc(l.own, func(p *flows.Provider) bool { return p.Called(e.Provider) })
	})
}

// find returns one of the step's own providers.
func (l *Login) find(name string) *flows.Provider {
	for _, p := range l.own {
		if p.Name == name {
			return p
		}
	}
	return nil
}

func (l *Login) names() string {
	var names []string
	if len(l.own) == 0 {
		return "none"
	}
	for _, p := range l.own {
		names = append(names, p.Name)
	}
	return strings.Join(names, ", ")
}

// Interface guards
var (
	_ caddy.Validator       = (*Login)(nil)
	_ caddyfile.Unmarshaler = (*Login)(nil)
	_ flows.Resumer         = (*Login)(nil)
	_ flows.Binder          = (*Login)(nil)
	_ flows.Producer        = (*Login)(nil)
	_ flows.Reacher         = (*Login)(nil)
	_ flows.Sourced         = (*Login)(nil)
)
