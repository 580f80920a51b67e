// Package register is the step that lets people make an account of their own.
package register

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() {
	caddy.RegisterModule(Register{})
}

// Register asks for an e-mail address, a name and a password, has a code prove the
// address and keeps the account in a provider that takes some; the login that follows
// asks for it. It stands in an option of a choose, in front of that login. Whether an
// address has an account already, only its owner learns: by mail. Who is signed in
// passes it by.
type Register struct {
	// The provider that keeps the account: one of type local with registration.
	Provider string `json:"provider"`
	// The messenger that brings the code.
	Messenger string `json:"messenger"`
	// The shortest password, in characters. Default 15, as NIST SP 800-63B-4 wants where
	// nothing else is asked; 8 is enough where an mfa follows. Fewer than 8 are refused.
	MinPassword int `json:"min_password,omitempty"`
	// The file and line it was written at.
	Source string `json:"source,omitempty"`

	accounts flows.Registrar
	by       flows.Messenger
	budgets  *flows.Budgets
	now      func() time.Time
}

const (
	usualPassword    = 15
	shortestPassword = 8
	longestPassword  = 64
)

// CaddyModule returns the Caddy module information.
func (Register) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.steps.register", New: func() caddy.Module { return new(Register) }}
}

// Validate refuses what does not depend on other guests.
func (r *Register) Validate() error {
	switch {
	case r.Provider == "":
		return errors.New("register names no provider")
	case r.Messenger == "":
		return fmt.Errorf("register %s: how does the code reach people? As in: messenger mail", r.Provider)
	case r.MinPassword != 0 && (r.MinPassword < shortestPassword || r.MinPassword > longestPassword):
		return fmt.Errorf("register %s: min_password is %d to %d", r.Provider, shortestPassword, longestPassword)
	}
	return nil
}

// Bind finds the provider and the messenger.
func (r *Register) Bind(reg flows.Registry) error {
	p, err := reg.Provider(r.Provider)
	if err != nil {
		return err
	}
	a, ok := p.Guest.(flows.Registrar)
	if !ok || !a.Registers() {
		return fmt.Errorf("%s: provider %s (%s) takes no new accounts; a local one does with the word registration", r.Source, p.Name, p.Type)
	}
	r.accounts, r.budgets, r.now = a, reg.Budgets(), reg.Now
	r.by, err = reg.Messenger(r.Messenger)
	return err
}

// kept is the private state. The run that holds it stays in the store: an older copy
// would be worth something (I08).
type kept struct {
	// Email is empty while the account is asked for.
	Email string `json:"email,omitempty"`
	Name  string `json:"name,omitempty"`
	Hash  string `json:"hash,omitempty"`
	// Taken: the address has an account, and no code is right.
	Taken bool      `json:"taken,omitempty"`
	Salt  []byte    `json:"salt,omitempty"`
	Code  []byte    `json:"code,omitempty"`
	Until time.Time `json:"until,omitzero"`
}

// Enter asks, unless somebody is signed in.
func (r *Register) Enter(_ context.Context, x *flows.Execution) (flows.Outcome, error) {
	if x.User != nil {
		return flows.Continue(), nil
	}
	return r.ask(x, kept{}, r.accountPage("", "", "", ""))
}

func (r *Register) ask(x *flows.Execution, k kept, p flows.Page) (flows.Outcome, error) {
	x.Guarded = true
	return flows.Ask(p), x.Keep(k)
}

// Resume takes the account, then the code.
func (r *Register) Resume(ctx context.Context, x *flows.Execution, in flows.Input) (flows.Outcome, error) {
	var k kept
	if ok, err := x.Kept(&k); err != nil || !ok {
		return nil, errors.Join(err, errors.New("register waits without state"))
	}
	switch {
	case k.Email == "":
		return r.account(ctx, x, in)
	case in.Value("again") == "address":
		return r.ask(x, kept{}, r.accountPage("", "", "", ""))
	case in.Value("again") == "code":
		return r.resend(ctx, x, k)
	}
	return r.prove(ctx, x, k, in.Value("code"))
}

// Show draws the page again.
func (r *Register) Show(_ context.Context, x *flows.Execution) (flows.Page, error) {
	var k kept
	if ok, err := x.Kept(&k); err != nil || !ok {
		return flows.Page{}, errors.Join(err, errors.New("register waits without state"))
	}
	if k.Email == "" {
		return r.accountPage("", "", "", ""), nil
	}
	return codePage(k, ""), nil
}

// account judges what was typed. The budgets are taken first, the password is hashed
// and a message is sent whether or not the address has an account: neither the page
// nor its time tells.
func (r *Register) account(ctx context.Context, x *flows.Execution, in flows.Input) (flows.Outcome, error) {
	email, name, password := tidy(in.Value("email")), tidy(in.Value("display_name")), in.Value("password")
	if problem := r.judge(email, name, password); problem != "" {
		p := r.accountPage(email, name, problem, flows.ReasonInvalidField)
		return r.ask(x, kept{}, p)
	}
	if wait := r.reserve(x, email); wait > 0 {
		p := r.accountPage(email, name, "", flows.ReasonTooManyTries)
		p.Wait = flows.WaitSeconds(wait)
		return r.ask(x, kept{}, p)
	}
	hash, err := r.accounts.Hash(ctx, password)
	if err != nil {
		return nil, flows.Refuse(flows.ReasonProviderDown, fmt.Errorf("provider %s: %w", r.Provider, err))
	}
	taken, err := r.accounts.Registered(ctx, email)
	if err != nil {
		return nil, flows.Refuse(flows.ReasonProviderDown, fmt.Errorf("provider %s: %w", r.Provider, err))
	}
	k := kept{Email: email, Name: name, Hash: hash, Taken: taken}
	r.send(ctx, x, &k)
	return r.ask(x, k, codePage(k, ""))
}

// reserve counts a message to an address, by the network that asks for it, too.
func (r *Register) reserve(x *flows.Execution, email string) time.Duration {
	ip := x.Request.IP
	if x.Env.Request != nil {
		ip = x.Env.Request.IP
	}
	_, wait := r.budgets.Reserve(
		flows.BudgetKey{Space: "register_network", ID: flows.Network(ip), Limits: flows.LimitRegisterNetwork},
		flows.BudgetKey{Space: "register_address", ID: fold(email), Limits: flows.LimitRegisterAddress},
	)
	return wait
}

// resend sends another code; the one before is worth nothing then.
func (r *Register) resend(ctx context.Context, x *flows.Execution, k kept) (flows.Outcome, error) {
	if wait := r.reserve(x, k.Email); wait > 0 {
		p := codePage(k, flows.ReasonTooManyTries)
		p.Wait = flows.WaitSeconds(wait)
		return r.ask(x, k, p)
	}
	r.send(ctx, x, &k)
	return r.ask(x, k, codePage(k, ""))
}

// prove takes the code: the try is counted before it is looked at, and the trail has
// the account before the provider (I08, I25).
func (r *Register) prove(ctx context.Context, x *flows.Execution, k kept, code string) (flows.Outcome, error) {
	if _, wait := r.budgets.Reserve(
		flows.BudgetKey{Space: "register_code", ID: x.ID, Limits: flows.LimitRegisterCode},
		flows.BudgetKey{Space: "register_code_address", ID: fold(k.Email), Limits: flows.LimitRegisterCode},
	); wait > 0 {
		p := codePage(k, flows.ReasonTooManyTries)
		p.Wait = flows.WaitSeconds(wait)
		return r.ask(x, k, p)
	}
	if right := k.matches(code); !right || k.Taken || !r.now().Before(k.Until) {
		return r.ask(x, k, codePage(k, flows.ReasonWrongCode))
	}
	if x.Env.Trail == nil {
		return nil, errors.New("register: there is no trail")
	}
	if err := x.Env.Trail(ctx, flows.Deed{Kind: flows.DeedRegistered, Item: r.Provider, Source: r.Source}); err != nil {
		return nil, err
	}
	err := r.accounts.Register(ctx, flows.Account{Email: k.Email, DisplayName: k.Name, Hash: k.Hash})
	switch {
	case errors.Is(err, flows.ErrExists): // in another window, meanwhile
		return r.ask(x, kept{}, r.accountPage("", "", "", flows.ReasonWrongCode))
	case err != nil:
		return nil, flows.Refuse(flows.ReasonProviderDown, fmt.Errorf("provider %s: %w", r.Provider, err))
	}
	return flows.Continue(), nil
}

// Reaches names what it works with.
func (r *Register) Reaches() []string {
	return []string{"provider:" + r.Provider, "messenger:" + r.Messenger}
}

// SourceLine is the file and line.
func (r *Register) SourceLine() string { return r.Source }

// UnmarshalCaddyfile sets up the step from Caddyfile tokens. Syntax:
//
//	register <provider> {
//	    messenger    <name>
//	    min_password <characters>
//	}
func (r *Register) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the name of the step
	r.Source = fmt.Sprintf("%s:%d", filepath.Base(d.File()), d.Line())
	args := d.RemainingArgs()
	if len(args) != 1 {
		return d.Errf("register takes the name of a provider, but got %d words", len(args))
	}
	r.Provider = args[0]
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word, args := d.Val(), d.RemainingArgs()
		switch {
		case word != "messenger" && word != "min_password":
			return d.Errf("register has no option '%s'; there are: messenger, min_password", word)
		case len(args) != 1 || word == "messenger" && r.Messenger != "" || word == "min_password" && r.MinPassword != 0:
			return d.Errf("%s takes one word, once", word)
		case word == "messenger":
			r.Messenger = args[0]
		default:
			n, err := strconv.Atoi(args[0])
			if err != nil || n < 1 {
				return d.Errf("min_password '%s' is no number of characters", args[0])
			}
			r.MinPassword = n
		}
	}
	if err := r.Validate(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

var (
	_ flows.Resumer         = (*Register)(nil)
	_ flows.Shower          = (*Register)(nil)
	_ flows.Binder          = (*Register)(nil)
	_ flows.Reacher         = (*Register)(nil)
	_ flows.Sourced         = (*Register)(nil)
	_ caddy.Validator       = (*Register)(nil)
	_ caddyfile.Unmarshaler = (*Register)(nil)
)
