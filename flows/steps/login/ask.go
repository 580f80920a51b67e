package login

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// another is the answer of the button that leads back to the chooser. It can be
// no provider's name.
const another = "*"

// start sends the person to a provider: away, or to its password page, or has their
// browser answer it. hint is the name they gave already.
func (l *Login) start(ctx context.Context, x *flows.Execution, p *flows.Provider, hint string) (flows.Outcome, error) {
	x.Env.Asked = p.Name
	var k kept
	if _, err := x.Kept(&k); err != nil {
		return nil, err
	}
	if stays(p) {
		return l.wait(ctx, x, kept{Provider: p.Name}, l.passwordPage(x, p, hint, "", 0))
	}
	if len(x.Show) > 0 && !k.Approve { // the provider cannot show what it is for
		return flows.Ask(approvePage(x)), x.Keep(kept{Provider: p.Name, Approve: true})
	}
	r, away := p.Guest.(flows.Redirector)
	if !away {
		return flows.Ask(l.negotiatePage(p)), x.Keep(kept{Provider: p.Name})
	}
	// The wait that follows gets the next serial; the handle names it (B06).
	handle, err := x.Env.Handle(p.Name, x.Serial+1)
	if err != nil {
		return nil, fmt.Errorf("making a state for provider %s: %w", p.Name, err)
	}
	o, private, err := r.Begin(ctx, flows.Start{
		CallbackURL: x.Env.CallbackURL(p.Name), Handle: handle, MaxAge: -1, LoginHint: cmp.Or(hint, x.Hint),
		Fresh: x.Fresh || !x.Since.IsZero(), Insist: !x.Since.IsZero(),
	})
	if err != nil {
		return l.failed(ctx, x, p, err)
	}
	if err := x.Keep(kept{Provider: p.Name, Private: private, Away: true}); err != nil {
		return nil, err
	}
	return o, nil
}

// choose shows the providers, and a field for an address if that can pick one.
func (l *Login) choose(ctx context.Context, x *flows.Execution, typed string, problem flows.Reason) (flows.Outcome, error) {
	return l.wait(ctx, x, kept{}, l.chooser(x, typed, problem))
}

func (l *Login) chooser(x *flows.Execution, typed string, problem flows.Reason) flows.Page {
	p := flows.Page{Kind: "choose", Problem: problem}
	standsIn := len(l.out(x)) > 0
	if standsIn {
		p.Widgets = append(p.Widgets, flows.Note{Code: "fallback"})
	}
	if len(l.domains) > 0 {
		p.Widgets = append(p.Widgets, flows.Field{Name: "email", Label: "email", Value: typed, Autocomplete: "username", Autofocus: true})
		p.Submit = "continue"
	}
	first := len(p.Widgets)
	for _, c := range l.shown {
		w := flows.Choice{Name: "provider", Value: c.Name, Label: c.Title(), Again: c.Called(x.Env.Last)}
		if w.Again {
			p.Widgets = slices.Insert(p.Widgets, first, flows.Widget(w))
			continue
		}
		p.Widgets = append(p.Widgets, w)
	}
	if standsIn {
		p.Widgets = append(p.Widgets, flows.Choice{Name: "provider", Value: l.fallback.Name, Label: l.fallback.Title()})
	}
	return p
}

// discover picks the provider by the domain of an address. It is a guess about
// where to go: nothing is believed of it.
func (l *Login) discover(ctx context.Context, x *flows.Execution, in flows.Input) (flows.Outcome, error) {
	typed := clip(strings.TrimSpace(in.Value("email")))
	domain, ok := flows.DomainOf(typed)
	if p := l.domains[domain]; ok && p != nil && slices.Contains(l.out(x), p.Name) {
		return l.choose(ctx, x, "", "")
	} else if ok && p != nil {
		return l.start(ctx, x, p, typed)
	}
	if typed == "" {
		return l.choose(ctx, x, "", "")
	}
	return l.choose(ctx, x, typed, flows.ReasonInvalidAnswer)
}

// passwordPage asks for name and password. What was typed as the password is
// never shown again.
func (l *Login) passwordPage(x *flows.Execution, p *flows.Provider, name string, problem flows.Reason, wait time.Duration) flows.Page {
	page := flows.Page{
		Kind: "password", Submit: "sign_in", Problem: problem,
		Wait: flows.WaitSeconds(wait),
		Widgets: []flows.Widget{
			flows.Field{Name: "username", Label: "username", Value: name, Autocomplete: "username", Autofocus: name == ""},
			flows.Secret{Name: "password", Label: "password", Autocomplete: "current-password", Autofocus: name != ""},
		},
	}
	if p == l.fallback {
		page.Widgets = append([]flows.Widget{flows.Note{Code: "fallback"}}, page.Widgets...)
	}
	if !l.alone() || p == l.fallback {
		page.Widgets = append([]flows.Widget{flows.Note{Text: p.Title()}}, page.Widgets...)
		page.Widgets = append(page.Widgets, flows.Choice{Name: "provider", Value: another, Label: "choose_another"})
	}
	page.Widgets = append(approving(x), page.Widgets...)
	return page
}
