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

// inScope refuses a name or address outside of what a provider may assert. With
// a scope, the name or, if the name is no address, the e-mail must be in it, and
// whatever looks like an address must be. Two @ are refused: systems do not
// agree which of them counts (O9, CVE-2026-40574).
func inScope(scope []string, u *flows.User) error {
	if len(scope) == 0 {
		return nil
	}
	addressed := false
	for _, s := range []string{u.Name, u.Email} {
		if !strings.Contains(s, "@") {
			continue
		}
		domain, ok := domainOf(s)
		if !ok || !slices.ContainsFunc(scope, func(want string) bool { return lower(strings.TrimPrefix(want, "@")) == domain }) {
			return fmt.Errorf("%q is outside of its scope %s", s, strings.Join(scope, " "))
		}
		addressed = true
	}
	if !addressed {
		return fmt.Errorf("neither name %q nor an e-mail address is inside of its scope %s", u.Name, strings.Join(scope, " "))
	}
	return nil
}

// domainOf returns the lower-cased domain of something with exactly one @.
func domainOf(address string) (string, bool) {
	local, domain, ok := strings.Cut(address, "@")
	if !ok || local == "" || domain == "" || strings.Contains(domain, "@") || strings.ContainsAny(address, " \t\r\n\x00") {
		return "", false
	}
	return lower(domain), true
}

var domainForm = regexp.MustCompile(`^[\p{Ll}\p{Lo}\p{N}_-]+(\.[\p{Ll}\p{Lo}\p{N}_-]+)*$`)

// domainName reads a domain as configured, with or without a leading @.
func domainName(s string) (string, bool) {
	d := lower(strings.TrimPrefix(s, "@"))
	return d, domainForm.MatchString(d)
}

// lower lower-cases ASCII only: Unicode folds letters into others (the Kelvin
// sign into k), which would let a look-alike domain pass for the real one.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
