package login

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// negotiates reports that the browser answers the provider by itself.
func negotiates(p *flows.Provider) bool {
	_, ok := p.Guest.(flows.Negotiator)
	return ok
}

// askedAnew reports a run in which the person is to show that they are there: nothing
// that a browser does by itself begins there before they choose it.
func askedAnew(x *flows.Execution) bool { return x.Fresh || !x.Since.IsZero() }

// asked is since when a proof counts in a run that changes something of an account, or
// is for a step-up. Zero: any does.
func asked(x *flows.Execution) time.Time {
	if x.Since.IsZero() && (x.Action != nil || x.StepUp != nil) {
		return x.Started
	}
	return x.Since
}

// unasked is a provider that the browser is asked for before the person is, where they
// did not wish for one.
func (l *Login) unasked(x *flows.Execution) *flows.Provider {
	if askedAnew(x) || x.Env.Request == nil || l.asks(x.Provider) != nil {
		return nil
	}
	for _, p := range l.shown {
		if n, ok := p.Guest.(flows.Negotiator); ok && n.Unasked(x.Env.Request) {
			return p
		}
	}
	return nil
}

// negotiatePage is seen by people whose browser has no ticket: where there is another
// way it leads there by itself.
func (l *Login) negotiatePage(p *flows.Provider) flows.Page {
	page := flows.Page{Kind: "negotiate", Negotiate: true, Submit: "continue", Auto: true, Widgets: []flows.Widget{flows.Note{Code: "negotiate"}}}
	if !l.another(p) {
		page.Submit, page.Auto, page.Widgets = "try_again", false, []flows.Widget{flows.Note{Code: "no_ticket"}}
	}
	return page
}

// another reports whether there is another way than this provider.
func (l *Login) another(p *flows.Provider) bool {
	return l.keys != nil || slices.ContainsFunc(l.shown, func(o *flows.Provider) bool { return o != p })
}

// negotiated takes what the browser answered. A ticket that was given before the person
// was to be asked anew says nothing of that.
func (l *Login) negotiated(ctx context.Context, x *flows.Execution, k kept, token []byte) (flows.Outcome, error) {
	p := l.may(x, k.Provider)
	if p == nil || !negotiates(p) || k.Approve {
		return nil, flows.ErrWrongInput
	}
	x.Env.Asked = p.Name
	proof, err := p.Guest.(flows.Negotiator).Negotiate(ctx, x.Env.Request, token)
	if since := asked(x); err == nil && !since.IsZero() && !slices.ContainsFunc(proof.Evidence, func(e flows.Evidence) bool { return e.At.After(since) }) {
		err = flows.Refuse(flows.ReasonTicketRefused, errors.New("it is of before the person was asked anew"))
	}
	switch {
	case err == nil:
		return l.accept(ctx, x, p, proof)
	case flows.ReasonOf(err) != flows.ReasonTicketRefused:
		return l.failed(ctx, x, p, err)
	}
	x.Env.Cause = &flows.CredentialsError{Reason: flows.ReasonTicketRefused, Detail: err.Error()}
	return l.onward(ctx, x, p, flows.ReasonTicketRefused)
}

// onward leads from a provider that the browser could not answer to the others: to the
// only one, or to the choice. Where there is none the browser may try again.
func (l *Login) onward(ctx context.Context, x *flows.Execution, p *flows.Provider, problem flows.Reason) (flows.Outcome, error) {
	switch others := slices.DeleteFunc(slices.Clone(l.shown), negotiates); {
	case !l.another(p) && problem != "":
		return l.ending(flows.Refuse(problem, fmt.Errorf("provider %s: %s", p.Name, x.Env.Cause.Detail)))
	case !l.another(p):
		return l.start(ctx, x, p, "")
	case len(others) != 1 || slices.Contains(l.out(x), others[0].Name):
	case stays(others[0]):
		return l.wait(ctx, x, kept{Provider: others[0].Name}, l.passwordPage(x, others[0], "", problem, 0))
	case problem == "" && l.keys == nil && len(l.domains) == 0:
		return l.start(ctx, x, others[0], "")
	}
	return l.choose(ctx, x, "", problem)
}
