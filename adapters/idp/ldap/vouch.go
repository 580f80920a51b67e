package ldap

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sallyport-gateway/sallyport/adapters/internal/ldapconn"
	"github.com/sallyport-gateway/sallyport/flows"
)

// Vouch answers the person of a subject as the directory knows them now: who still
// fits the filter, whatever their name is by now, and whose account may be used, and
// until when that is so.
func (p *Provider) Vouch(ctx context.Context, subject string) (flows.User, time.Time, error) {
	none, never := flows.User{}, time.Time{}
	found, err := p.bySubject(ctx, subject)
	switch {
	case errors.Is(err, ldapconn.ErrTooMany):
		return none, never, &flows.CredentialsError{Detail: "several entries have this subject"}
	case err != nil:
		return none, never, trouble("searching the person", err)
	case found == nil:
		return none, never, &flows.CredentialsError{Detail: "nobody has this subject"}
	}
	u, notAfter, err := p.account(ctx, found.Entry, p.now())
	switch reason := flows.ReasonOf(err); {
	case err == nil:
		return u, notAfter, nil
	case slices.Contains([]flows.Reason{flows.ReasonAccountDisabled, flows.ReasonAccountLocked, flows.ReasonAccountExpired}, reason):
		return none, never, &flows.CredentialsError{Reason: reason, Detail: err.Error()}
	}
	return none, never, err
}

// bySubject searches by what the subject may have been taken from, and then looks
// whether it is what this entry's would be taken from: somebody may be called like
// another's GUID.
func (p *Provider) bySubject(ctx context.Context, subject string) (*ldapconn.Found, error) {
	if p.now == nil {
		return nil, errors.New("ldap provider was not bound")
	}
	for _, names := range p.subjects() {
		either := ""
		for _, name := range names {
			if f, ok := ldapconn.Equals(name, subject); ok {
				either += f
			}
		}
		if either == "" {
			continue
		}
		found, err := p.client.FindOne(ctx, ldapconn.One{
			Base: p.BaseDN, NotClass: p.notClass, Attributes: p.wanted, Filter: "(&(|" + either + ")" + p.filter.Anybody() + ")",
		})
		if err != nil {
			return nil, err
		}
		if found == nil {
			continue
		}
		if is, err := p.subject(found.Entry); err == nil && is == subject {
			return found, nil
		}
	}
	return nil, nil
}

// subjects are the attributes of subject, those that are searched together together.
func (p *Provider) subjects() [][]string {
	if p.Subject != "" {
		return [][]string{{p.Subject}}
	}
	return [][]string{{"objectGUID", "entryUUID"}, {"uid"}}
}
