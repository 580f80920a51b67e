package module

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/flows"
)

// The flows of the account page are made of the steps that operators write, and of a
// few of the hall's own, and run on the same engine. No flow that can be written has
// a dot in its name.
const accountView = "account.view"

// provisionAccount lays out the built-in flows. Where nobody can sign in there are none.
func (a *App) provisionAccount(ctx caddy.Context) error {
	a.builtIn = map[string]*flows.Program{}
	var names []string
	for _, p := range a.providers {
		_, leaves := p.Guest.(flows.Redirector)
		_, negotiates := p.Guest.(flows.Negotiator)
		if _, stays := p.Guest.(flows.PasswordVerifier); leaves || stays || negotiates {
			names = append(names, p.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	login, err := a.builtInStep(ctx, "login", map[string]any{"providers": names})
	if err != nil {
		return err
	}
	var prove, more []flows.Step
	if kinds := orderOf(nil, a.factors); a.hasMainFactor() {
		for enroll, to := range map[string]*[]flows.Step{"deny": &prove, "add": &more} {
			s, err := a.builtInStep(ctx, "mfa", map[string]any{"factors": kinds, "enroll": enroll})
			if err != nil {
				return err
			}
			*to = []flows.Step{s}
		}
	}
	return a.layAccount([]flows.Step{login}, prove, more)
}

// hasMainFactor reports whether a factor is configured that does not only stand in for others.
func (a *App) hasMainFactor() bool {
	for _, f := range a.factors {
		if _, spare := f.(flows.Spare); !spare {
			return true
		}
	}
	return false
}

func (a *App) builtInStep(ctx caddy.Context, kind string, config map[string]any) (flows.Step, error) {
	raw, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	m, err := ctx.LoadModuleByID("identity.steps."+kind, raw)
	if err != nil {
		return nil, fmt.Errorf("the account page: %w", err)
	}
	s, ok := m.(flows.Step)
	if !ok {
		return nil, fmt.Errorf("the account page: %T is no step", m)
	}
	return s, bindGuest(s, &registry{a: a, guest: "step"})
}

// layAccount compiles one flow for looking and one for each change. A change asks for
// a factor whatever the session shows, or for the login once more where the person
// has no factor: its runs begin without evidence.
func (a *App) layAccount(login, prove, more []flows.Step) error {
	some := func(yes, no []flows.Step) flows.Step { return &fork{is: enrolledAny, yes: yes, no: no} }
	ask := some(prove, login)
	all := map[string][]flows.Step{
		accountView: {&fork{is: somebody, no: login}, signedIn{}, some(prove, nil)},
	}
	for do, d := range deeds {
		steps := []flows.Step{signedIn{}, confirm{}, ask}
		switch {
		case do == "factor_add":
			steps = append([]flows.Step{signedIn{}, ask}, more...)
		case do == "download":
			steps = []flows.Step{signedIn{}, ask, handOut{}}
		case d.reconsider:
			steps = append(steps, confirm{again: true})
		}
		all[flowOf(do)] = steps
	}
	for name, steps := range all {
		a.steps[name] = steps
		p, err := flows.Compile(name, a.digest(name), steps)
		if err != nil {
			return err
		}
		a.builtIn[name] = p
	}
	return nil
}

// flowOf is the flow of a change.
func flowOf(do string) string { return "account." + do }

// fork is a step that takes one block or the other.
type fork struct {
	is      func(context.Context, *flows.Execution) (bool, error)
	yes, no []flows.Step
}

// Enter takes the block.
func (f *fork) Enter(ctx context.Context, x *flows.Execution) (flows.Outcome, error) {
	yes, err := f.is(ctx, x)
	switch {
	case err != nil:
		return nil, err
	case yes:
		return flows.Take(0), nil
	}
	return flows.Take(1), nil
}

// Blocks are both.
func (f *fork) Blocks() ([][]flows.Step, bool) { return [][]flows.Step{f.yes, f.no}, true }

func somebody(_ context.Context, x *flows.Execution) (bool, error) { return x.User != nil, nil }

// enrolledAny reports whether the person has a factor that can be asked for.
func enrolledAny(ctx context.Context, x *flows.Execution) (bool, error) {
	v, err := visitOf(x)
	if err != nil {
		return false, err
	}
	return v.app.hasFactor(ctx, x.User, orderOf(nil, v.app.factors))
}

// signedIn says that there is somebody: the engine cannot see it of these flows.
type signedIn struct{}

// Enter goes on.
func (signedIn) Enter(_ context.Context, x *flows.Execution) (flows.Outcome, error) {
	if x.User == nil {
		return nil, errors.New("nobody is signed in")
	}
	return flows.Continue(), nil
}

// Produces says so.
func (signedIn) Produces() []string { return []string{"user"} }

// visitOf is the request at hand, for the hall's own steps.
func visitOf(x *flows.Execution) (*visit, error) {
	if x.Env.Request != nil {
		if v, ok := x.Env.Request.Native.(*visit); ok {
			return v, nil
		}
	}
	return nil, errors.New("no request to look at")
}
