package ldap

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	ldap3 "github.com/go-ldap/ldap/v3"

	"github.com/sallyport-gateway/sallyport/adapters/internal/ldapconn"
)

// activeDirectory is LDAP_CAP_ACTIVE_DIRECTORY_OID ([MS-ADTS] 3.1.1.3.4.3.1), and
// inChain its rule that follows member through groups of groups (3.1.1.3.4.4.3).
const (
	activeDirectory = "1.2.840.113556.1.4.800"
	inChain         = "1.2.840.113556.1.4.1941"
)

// The most groups that are asked about in one search, and how deep groups may lie
// in groups.
const (
	groupsAtOnce = 100
	deepest      = 32
)

// memberOf are the groups of some DNs, where no search was configured.
var memberFilter = must("(|(member={dn})(uniqueMember={dn}))")

var chainFilter = must("(member:" + inChain + ":={dn})")

func must(text string) *ldapconn.Filter {
	f, err := ldapconn.ParseFilter(text)
	if err != nil {
		panic(err)
	}
	return f
}

// groups are those of a person, each once: DNs and common names. It is all of
// them or an error.
func (p *Provider) groups(ctx context.Context, e *ldap3.Entry, username string) (dns []any, names []string, err error) {
	s := &groupSet{have: map[string]bool{}, named: map[string]bool{}}
	if err := p.direct(ctx, s, e, username); err != nil {
		return nil, nil, err
	}
	if p.Nested {
		if err := p.nest(ctx, s, e); err != nil {
			return nil, nil, err
		}
	}
	dns = make([]any, len(s.dns))
	for i, dn := range s.dns {
		dns[i] = dn
	}
	return dns, s.names, nil
}

// direct are the groups that name the person.
func (p *Provider) direct(ctx context.Context, s *groupSet, e *ldap3.Entry, username string) error {
	if len(p.groupQuery) == 0 {
		for _, dn := range ldapconn.Values(e, p.from("groups", "memberOf")) {
			if err := s.add(dn, ""); err != nil {
				return err
			}
		}
		return p.primary(ctx, s, e)
	}
	for i, f := range p.groupQuery {
		whole := true
		text := f.With(func(name string) string {
			v := username
			switch name {
			case "username":
			case "dn":
				v = e.DN
			default:
				v = first(e, name)
			}
			whole = whole && v != ""
			return v
		})
		if !whole {
			continue // (gidNumber=) asks about nothing
		}
		if err := p.search(ctx, s, p.Groups[i].BaseDN, text); err != nil {
			return err
		}
	}
	return nil
}

// primary adds the group that Active Directory leaves out of memberOf: that of
// primaryGroupID, which is relative to the domain of the person's SID ([MS-ADA3]
// 2.120). It is found by its SID, wherever it lies (3.1.1.3.1.2.4 of [MS-ADTS]).
func (p *Provider) primary(ctx context.Context, s *groupSet, e *ldap3.Entry) error {
	_, mapped := p.Mapped["groups"]
	id, sid := first(e, "primaryGroupID"), ldapconn.Attribute(e, "objectSid")
	if mapped || id == "" || sid == nil || len(sid.ByteValues) == 0 {
		return nil
	}
	person, err := ldapconn.SID(sid.ByteValues[0])
	if err != nil {
		return err
	}
	if _, err := strconv.ParseUint(id, 10, 32); err != nil {
		return fmt.Errorf("primaryGroupID %q is no number", id)
	}
	group := person[:strings.LastIndexByte(person, '-')+1] + id
	found, err := p.client.FindOne(ctx, ldapconn.One{Base: "<SID=" + group + ">", Filter: "(objectClass=group)", Attributes: []string{"cn"}})
	switch {
	case err != nil:
		return err
	case found == nil:
		return fmt.Errorf("the primary group %s cannot be read", group)
	}
	s.primary = []string{found.Entry.DN}
	return s.add(found.Entry.DN, first(found.Entry, "cn"))
}

func (p *Provider) search(ctx context.Context, s *groupSet, base, filter string) error {
	entries, err := p.client.FindAll(ctx, base, filter, "cn")
	if err != nil {
		return err
	}
	for _, g := range entries {
		if err := s.add(g.DN, first(g, "cn")); err != nil {
			return err
		}
	}
	return nil
}

// nest adds the groups that the groups are in.
func (p *Provider) nest(ctx context.Context, s *groupSet, e *ldap3.Entry) error {
	if len(p.groupQuery) == 0 {
		chains, err := p.knowsChains(ctx)
		if err != nil {
			return err
		}
		if chains {
			return p.search(ctx, s, p.BaseDN, anyOf(chainFilter, append(s.primary, e.DN)))
		}
	}
	for at := 0; at < len(s.dns); {
		if s.depth++; s.depth > deepest {
			return fmt.Errorf("groups lie more than %d deep in each other", deepest)
		}
		level := slices.Clone(s.dns[at:])
		at = len(s.dns)
		for some := range slices.Chunk(level, groupsAtOnce) {
			if err := p.above(ctx, s, some); err != nil {
				return err
			}
		}
	}
	return nil
}

// above adds the groups that have one of these as a member. Searches that find
// people by anything but {dn} have no say in it.
func (p *Provider) above(ctx context.Context, s *groupSet, dns []string) error {
	if len(p.groupQuery) == 0 {
		return p.search(ctx, s, p.BaseDN, anyOf(memberFilter, dns))
	}
	for i, f := range p.groupQuery {
		if slices.ContainsFunc(f.Names(), func(n string) bool { return n != "dn" }) {
			continue
		}
		if err := p.search(ctx, s, p.Groups[i].BaseDN, anyOf(f, dns)); err != nil {
			return err
		}
	}
	return nil
}

func anyOf(f *ldapconn.Filter, dns []string) string {
	var b strings.Builder
	b.WriteString("(|")
	for _, dn := range dns {
		b.WriteString(f.With(func(string) string { return dn }))
	}
	b.WriteString(")")
	return b.String()
}

// knowsChains asks the servers once whether they are Active Directory's.
func (p *Provider) knowsChains(ctx context.Context) (bool, error) {
	if p.chains.Load() {
		return true, nil
	}
	ad, err := p.client.Capable(ctx, activeDirectory)
	p.chains.Store(ad)
	return ad, err
}

// groupSet collects groups; a DN counts once, however it is spelled.
type groupSet struct {
	have, named map[string]bool
	dns, names  []string
	primary     []string
	depth       int
}

func (s *groupSet) add(dn, cn string) error {
	key, name, err := ldapconn.Name(dn)
	if err != nil {
		return fmt.Errorf("group %q is no DN: %w", dn, err)
	}
	if s.have[key] {
		return nil
	}
	if len(s.dns) >= ldapconn.MostEntries {
		return ldapconn.ErrTooMany
	}
	if !strings.HasPrefix(key, "cn=") && cn != "" {
		name = cn
	}
	s.have[key] = true
	s.dns = append(s.dns, dn)
	if !s.named[name] {
		s.named[name] = true
		s.names = append(s.names, name)
	}
	return nil
}
