package ldap

import (
	"context"
	"errors"
	"fmt"

	"github.com/sallyport-gateway/sallyport/adapters/internal/ldapconn"
	"github.com/sallyport-gateway/sallyport/flows"
)

// accountFilter finds an account by what the systems of a domain call it, and by no
// name that its owner may choose.
var accountFilter = must("(|(sAMAccountName={username})(uid={username}))")

// FindPerson answers the person of an account name, as a login with the right password
// would have: the filter must find them, too, and what is refused then is refused here.
func (p *Provider) FindPerson(ctx context.Context, account string) (flows.Proof, error) {
	name, ok := spelling(account)
	if !ok || name != account {
		return flows.Proof{}, fmt.Errorf("%w: %q is no account name", flows.ErrNotFound, account)
	}
	if p.now == nil {
		return flows.Proof{}, errors.New("ldap provider was not bound")
	}
	put := func(string) string { return name }
	found, err := p.client.FindOne(ctx, ldapconn.One{
		Base: p.BaseDN, NotClass: p.notClass, Attributes: p.wanted,
		Filter: "(&" + p.filter.With(put) + accountFilter.With(put) + ")",
	})
	switch {
	case errors.Is(err, ldapconn.ErrTooMany):
		return flows.Proof{}, fmt.Errorf("%w: several accounts are called %q", flows.ErrNotFound, name)
	case err != nil:
		return flows.Proof{}, trouble("searching the person", err)
	case found == nil:
		return flows.Proof{}, fmt.Errorf("%w: no account is called %q", flows.ErrNotFound, name)
	}
	return p.proof(ctx, found.Entry)
}

var _ flows.Finder = (*Provider)(nil)
