package login

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// Bind resolves the providers.
func (l *Login) Bind(r flows.Registry) error {
	if err := l.bindProviders(r); err != nil {
		return l.at(err)
	}
	l.domains = map[string]*flows.Provider{}
	for _, d := range l.Discover {
		p := l.asks(d.Provider)
		if p == nil {
			return l.at(fmt.Errorf("discover: no provider of this login is called '%s'; there are: %s", d.Provider, l.names()))
		}
		for _, text := range d.Domains {
			domain, _ := domainName(text)
			l.domains[domain] = p
		}
	}
	if err := l.bindFallback(r); err != nil {
		return l.at(err)
	}
	l.issuers, l.budgets = r.Vault("issuers"), r.Budgets()
	return nil
}

func (l *Login) bindProviders(r flows.Registry) error {
	l.own, l.shown, l.keys = nil, nil, nil
	for _, name := range l.Providers {
		if name == flows.Passkey {
			if err := l.bindKeys(r); err != nil {
				return err
			}
			continue
		}
		p, err := r.Provider(name)
		if err != nil {
			return err
		}
		if _, programs := p.Guest.(flows.ClientVerifier); programs {
			return fmt.Errorf("provider %s (%s) is for programs, which no login asks: a route names it in `api`", p.Name, p.Type)
		}
		if !usable(p) {
			return fmt.Errorf("provider %s (%s) cannot be used by login", p.Name, p.Type)
		}
		l.own = append(l.own, p)
	}
	if len(l.Providers) == 0 {
		l.own = slices.DeleteFunc(slices.Clone(r.Providers()), func(p *flows.Provider) bool { return !usable(p) || p.Name == l.Fallback })
	}
	asking := slices.DeleteFunc(slices.Clone(l.own), func(p *flows.Provider) bool { return !asksPeople(p) })
	l.shown = slices.DeleteFunc(slices.Clone(asking), func(p *flows.Provider) bool { return p.Guest.Options().Hidden })
	if len(l.shown) == 0 && len(l.Providers) > 0 {
		l.shown = asking // all were named in spite of being hidden
	}
	if l.vouchers = l.own; len(l.own) == 0 {
		l.vouchers = r.Providers()
	}
	if len(l.shown) == 0 && l.keys == nil && len(asking) == len(l.own) && (len(l.Providers) > 0 || !clientsOnly(r.Providers())) {
		return errors.New("login has no provider to ask: none is configured, or all are hidden and none is named")
	}
	return nil
}

func usable(p *flows.Provider) bool {
	_, reads := p.Guest.(flows.RequestVerifier)
	return reads || asksPeople(p)
}

func asksPeople(p *flows.Provider) bool {
	_, leaves := p.Guest.(flows.Redirector)
	return leaves || stays(p) || negotiates(p)
}

// stays reports that the provider asks on a page of ours.
func stays(p *flows.Provider) bool {
	_, ok := p.Guest.(flows.PasswordVerifier)
	return ok
}

// boundFor is how long a provider's name stays bound to its issuer: for ever.
const boundFor = 100 * 365 * 24 * time.Hour

// bindIssuer binds a provider's name to who spoke under it first. Another issuer
// under the same name could be anybody: the config may have been changed to one
// whose subjects collide with the old one's. `was` says that it is meant (I05).
func (l *Login) bindIssuer(ctx context.Context, p *flows.Provider, issuer string) error {
	if issuer == "" {
		return flows.Refuse(flows.ReasonInvalidAnswer, fmt.Errorf("provider %s did not say who spoke", p.Name))
	}
	old, err := l.issuers.Get(ctx, p.Name)
	if err == nil && string(old) == issuer {
		return nil
	}
	if err != nil && !errors.Is(err, flows.ErrNotFound) {
		return storeDown(err)
	}
	was := p.Guest.Options().Was
	var changed *flows.Refusal
	err = l.issuers.Update(ctx, p.Name, func(old []byte) (flows.Change, error) {
		changed = nil
		switch {
		case string(old) == issuer:
			return flows.Keep(), nil
		case old == nil || slices.Contains(was, string(old)):
			return flows.Set([]byte(issuer), boundFor), nil
		}
		changed = &flows.Refusal{Reason: flows.ReasonIssuerChanged, Err: fmt.Errorf(
			"provider %s is bound to issuer '%s', but now '%s' spoke; if that is meant, write: was %s", p.Name, old, issuer, old)}
		return flows.Change{}, changed
	})
	switch {
	case changed != nil:
		return changed
	case err != nil:
		return storeDown(err)
	}
	return nil
}

func storeDown(err error) error {
	return flows.Refuse(flows.ReasonStoreDown, fmt.Errorf("reading who a provider's name is bound to: %w", err))
}

var domainForm = regexp.MustCompile(`^[\p{Ll}\p{Lo}\p{N}_-]+(\.[\p{Ll}\p{Lo}\p{N}_-]+)*$`)

// domainName reads a domain as configured, with or without a leading @.
func domainName(s string) (string, bool) {
	d := flows.LowerASCII(strings.TrimPrefix(s, "@"))
	return d, domainForm.MatchString(d)
}
