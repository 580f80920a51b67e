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

var domainForm = regexp.MustCompile(`^[\p{Ll}\p{Lo}\p{N}_-]+(\.[\p{Ll}\p{Lo}\p{N}_-]+)*$`)

// domainName reads a domain as configured, with or without a leading @.
func domainName(s string) (string, bool) {
	d := flows.LowerASCII(strings.TrimPrefix(s, "@"))
	return d, domainForm.MatchString(d)
}
