package ldap

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sallyport-gateway/sallyport/adapters/internal/ldapconn"
	"github.com/sallyport-gateway/sallyport/flows"
)

// The longest name and password that are looked at; longer ones are wrong.
const (
	maxName     = 256
	maxPassword = 1024
)

// VerifyPassword searches the person, then binds as them. Unknown, wrong and
// locked are one answer (B27); for a name nobody has, somebody who cannot exist
// is bound as, so that the way is as long (M4). What the directory says of an
// account to who knew its password is a refusal with a reason.
func (p *Provider) VerifyPassword(ctx context.Context, name, password string) (flows.Proof, error) {
	typed, ok := spelling(name)
	if !ok || password == "" || len(password) > maxPassword || strings.ContainsRune(password, 0) {
		return flows.Proof{}, &flows.CredentialsError{Detail: "name or password cannot be one; the directory was not asked"}
	}
	found, err := p.find(ctx, typed)
	several := errors.Is(err, ldapconn.ErrTooMany)
	if err != nil && !several {
		return flows.Proof{}, trouble("searching the person", err)
	}
	dn := "cn=" + rand.Text() + "," + p.BaseDN
	if found != nil {
		dn = found.Entry.DN
	}
	v, err := p.client.CheckPassword(ctx, found, dn, password)
	switch {
	case err != nil:
		return flows.Proof{}, trouble("checking the password", err)
	case several:
		return flows.Proof{}, &flows.CredentialsError{Detail: "the filter finds several people of this name"}
	case found == nil:
		return flows.Proof{}, &flows.CredentialsError{Detail: "nobody is found by this name"}
	case v.Proved:
		return flows.Proof{}, flows.Refuse(v.Reason, fmt.Errorf("%s: %s", dn, v.Detail))
	case !v.OK:
		return flows.Proof{}, &flows.CredentialsError{Reason: v.Reason, Detail: v.Detail}
	}
	return p.proof(ctx, found.Entry)
}

// Account answers what tries to sign in under a name are counted by: what all
// spellings of a name have in common, whether anybody has it or not, and the
// account it means (M2).
func (p *Provider) Account(ctx context.Context, name string) ([]string, error) {
	typed, ok := spelling(name)
	if !ok {
		return nil, nil
	}
	local, _, _ := strings.Cut(typed, "@")
	counted := []string{"name " + strings.ToLower(local)}
	found, err := p.find(ctx, typed)
	if err != nil && !errors.Is(err, ldapconn.ErrTooMany) {
		return nil, trouble("searching the person", err)
	}
	if found != nil {
		if dn, err := ldapconn.CanonicalDN(found.Entry.DN); err == nil {
			counted = append(counted, "account "+dn)
		}
	}
	return counted, nil
}

func (p *Provider) find(ctx context.Context, typed string) (*ldapconn.Found, error) {
	if p.now == nil {
		return nil, errors.New("ldap provider was not bound")
	}
	return p.client.FindOne(ctx, ldapconn.One{
		Base: p.BaseDN, NotClass: p.notClass, Attributes: p.wanted,
		Filter: p.filter.With(func(string) string { return typed }),
	})
}

// spelling is what a typed name is searched by. Windows' DOMAIN\name is the name:
// whose password it is decides the directory.
func spelling(name string) (string, bool) {
	if domain, rest, ok := strings.Cut(name, `\`); ok {
		if domain == "" || strings.Contains(rest, `\`) {
			return "", false
		}
		name = rest
	}
	if len(name) > maxName || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return "", false
	}
	name = strings.TrimSpace(name)
	return name, name != ""
}

// trouble sorts errors that are nobody's password: could not ask, or asked in vain.
func trouble(doing string, err error) error {
	err = fmt.Errorf("%s: %w", doing, err)
	if errors.Is(err, flows.ErrUnavailable) {
		return flows.Refuse(flows.ReasonProviderDown, err)
	}
	return flows.Refuse(flows.ReasonProviderError, err)
}
