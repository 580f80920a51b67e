// Package ldap vouches for the people of an LDAP directory: Active Directory,
// OpenLDAP, 389 Directory Server and their like. It looks a person up, then binds
// as them.
package ldap

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/adapters/internal/ldapconn"
	"github.com/sallyport-gateway/sallyport/flows"
)

func init() {
	caddy.RegisterModule(new(Provider))
}

// defaultFilter finds people by any of the names they may know themselves by.
const defaultFilter = "(&(objectClass=person)(!(objectClass=computer))(|(uid={username})(sAMAccountName={username})(userPrincipalName={username})(mail={username})))"

// sentFilter is defaultFilter as it is sent: notClass is looked at here, since
// OpenLDAP knows no computers and would find nobody.
const (
	sentFilter = "(&(objectClass=person)(|(uid={username})(sAMAccountName={username})(userPrincipalName={username})(mail={username})))"
	notClass   = "computer"
)

// Provider vouches for who can bind to a directory. The directory vouches for the
// addresses in it, too.
type Provider struct {
	ldapconn.Connection
	// Where people are searched, with everything below it. It is what logins are
	// bound to: another base_dn needs `was` (I05).
	BaseDN string `json:"base_dn"`
	// How a typed name finds a person; {username} is the name, escaped, without a
	// DOMAIN\ in front. No hit, or more than one, is a refusal. Default:
	// (&(objectClass=person)(!(objectClass=computer))(|(uid={username})(sAMAccountName={username})(userPrincipalName={username})(mail={username}))).
	Filter string `json:"filter,omitempty"`
	// The attribute that is the subject: it must never change, nor be used again.
	// Default: objectGUID, else entryUUID, else uid.
	Subject string `json:"subject,omitempty"`
	// Where attributes come from, by name; name, display_name, email and groups may
	// be among them. Default: name is sAMAccountName, without it uid; display_name is
	// displayName, without it cn; email is mail; groups is memberOf. Everything else
	// keeps its name in the directory.
	Mapped map[string]Attribute `json:"attributes,omitempty"`
	// Searches for the groups, in the place of memberOf.
	Groups []GroupSearch `json:"groups,omitempty"`
	// Groups of groups count, too; default: no. Active Directory is asked by its rule
	// for chains (1.2.840.113556.1.4.1941), others group by group.
	Nested bool `json:"nested,omitempty"`
	flows.ProviderOptions

	client     *ldapconn.Client
	filter     *ldapconn.Filter
	notClass   string
	issuer     string
	groupQuery []*ldapconn.Filter
	wanted     []string    // attributes asked for
	chains     atomic.Bool // the servers were found to be Active Directory
	now        func() time.Time
	log        *zap.Logger
}

// Attribute says where an attribute comes from.
type Attribute struct {
	// The name in the directory.
	From string `json:"from"`
	// One value is a list of one; default: several are a list, one is a text.
	List bool `json:"list,omitempty"`
}

// GroupSearch finds groups of a person.
type GroupSearch struct {
	// Where groups are searched, with everything below it.
	BaseDN string `json:"base_dn"`
	// What finds them, as (member={dn}) or (memberUid={username}): {dn} is the person's
	// DN, {username} their user.name, any other {name} an attribute of their entry.
	Filter string `json:"filter"`
}

// CaddyModule returns the Caddy module information.
func (*Provider) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "identity.providers.ldap",
		New: func() caddy.Module { return new(Provider) },
	}
}

// Provision resolves secrets and reads certificates and filters. It touches no network.
func (p *Provider) Provision(ctx caddy.Context) (err error) {
	p.log = ctx.Logger()
	if err := p.check(); err != nil {
		return err
	}
	p.notClass, p.filter = "", nil
	text := cmp.Or(p.Filter, defaultFilter)
	if text == defaultFilter {
		p.notClass, text = notClass, sentFilter
	}
	if p.filter, err = ldapconn.ParseFilter(text); err != nil {
		return err
	}
	p.groupQuery = nil
	for _, g := range p.Groups {
		f, err := ldapconn.ParseFilter(g.Filter)
		if err != nil {
			return fmt.Errorf("groups: %w", err)
		}
		p.groupQuery = append(p.groupQuery, f)
	}
	if p.issuer, err = ldapconn.CanonicalDN(p.BaseDN); err != nil {
		return fmt.Errorf("base_dn '%s' is no DN: %w", p.BaseDN, err)
	}
	for _, was := range p.Was { // as logins were bound to it, however it is written
		if dn, err := ldapconn.CanonicalDN(was); err == nil && dn != was {
			p.Was = append(slices.Clip(p.Was), dn)
		}
	}
	p.wanted = p.attributes()
	p.client, err = ldapconn.New(&p.Connection, func(raw string) (string, error) { return caddy.NewReplacer().ReplaceOrErr(raw, true, true) }, p.log.With(zap.String("base_dn", p.BaseDN)))
	return err
}

// Bind takes the clock.
func (p *Provider) Bind(r flows.Registry) error {
	p.now = r.Now
	p.client.Clock(r.Now)
	return nil
}

// Attributes are those a person may have, as far as the configuration knows; the
// directory may send others.
func (p *Provider) Attributes() []string {
	return append(slices.Sorted(maps.Keys(p.Mapped)), "dn", "group_dns", "uid", "cn", "sn", "givenName", "displayName", "mail", "telephoneNumber", "title",
		"department", "departmentNumber", "employeeNumber", "employeeID", "employeeType", "company", "manager", "o", "ou", "l", "sAMAccountName", "userPrincipalName")
}

// Warm watches the servers until ctx ends.
func (p *Provider) Warm(ctx context.Context) { p.client.Watch(ctx) }

// Health answers nil while one of the servers answers.
func (p *Provider) Health() error { return p.client.Health() }

// Check answers nil when one of the servers answers now.
func (p *Provider) Check(ctx context.Context) error { return p.client.Check(ctx) }

// Cleanup lets go of idle connections; logins under way end first (I17).
func (p *Provider) Cleanup() error {
	if p.client != nil {
		p.client.Close()
	}
	return nil
}

// check refuses what can be seen without secrets.
func (p *Provider) check() error {
	if err := p.Connection.Check(); err != nil {
		return err
	}
	if err := ldapconn.CheckBase(p.BaseDN); err != nil {
		return err
	}
	if p.Filter != "" {
		if err := checkFilter(p.Filter); err != nil {
			return err
		}
	}
	if p.Subject != "" && !ldapconn.AttributeName(p.Subject) {
		return fmt.Errorf("subject '%s' is no name of an attribute", p.Subject)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Mapped)) {
		if err := checkAttribute(name, p.Mapped[name].From); err != nil {
			return err
		}
	}
	for _, g := range p.Groups {
		if err := checkGroups(g); err != nil {
			return err
		}
	}
	return nil
}

// checkFilter: a filter that does not hold the name would find the same person for everybody.
func checkFilter(text string) error {
	f, err := ldapconn.ParseFilter(text)
	if err != nil {
		return err
	}
	for _, n := range f.Names() {
		if n != "username" {
			return fmt.Errorf("filter '%s': there is no {%s}; there is: {username}", text, n)
		}
	}
	if len(f.Names()) == 0 {
		return fmt.Errorf("filter '%s' does not hold {username}, so every name would find the same", text)
	}
	return nil
}

func checkAttribute(name, from string) error {
	switch {
	case slices.Contains(mappable, name):
	case slices.Contains(flows.ReservedAttributes, name):
		return fmt.Errorf("attribute '%s' cannot be mapped; of the reserved ones can: %s", name, strings.Join(mappable, ", "))
	case !attributeName.MatchString(name):
		return fmt.Errorf("attribute '%s' must match %s", name, attributeName)
	}
	if !ldapconn.AttributeName(from) {
		return fmt.Errorf("attribute %s: '%s' is no name of an attribute of a directory", name, from)
	}
	return nil
}

func checkGroups(g GroupSearch) error {
	if _, err := ldapconn.CanonicalDN(g.BaseDN); err != nil {
		return fmt.Errorf("groups: base_dn '%s' is no DN: %w", g.BaseDN, err)
	}
	f, err := ldapconn.ParseFilter(g.Filter)
	if err != nil {
		return fmt.Errorf("groups: %w", err)
	}
	if len(f.Names()) == 0 {
		return fmt.Errorf("groups: filter '%s' names nobody, so everybody would be in the same groups; there are: {dn}, {username} and attributes of the person", g.Filter)
	}
	for _, n := range f.Names() {
		if !ldapconn.AttributeName(n) {
			return fmt.Errorf("groups: filter '%s': '%s' is no name of an attribute", g.Filter, n)
		}
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner      = (*Provider)(nil)
	_ caddy.CleanerUpper     = (*Provider)(nil)
	_ caddyfile.Unmarshaler  = (*Provider)(nil)
	_ flows.AttributeLister  = (*Provider)(nil)
	_ flows.Binder           = (*Provider)(nil)
	_ flows.Health           = (*Provider)(nil)
	_ flows.Checker          = (*Provider)(nil)
	_ flows.PasswordVerifier = (*Provider)(nil)
	_ flows.Speller          = (*Provider)(nil)
	_ flows.Voucher          = (*Provider)(nil)
	_ flows.ProviderGuest    = (*Provider)(nil)
)
