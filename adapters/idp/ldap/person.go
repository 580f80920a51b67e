package ldap

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	ldap3 "github.com/go-ldap/ldap/v3"

	"github.com/sallyport-gateway/sallyport/adapters/internal/ldapconn"
	"github.com/sallyport-gateway/sallyport/flows"
)

// mappable are the reserved attributes that `attribute` may lead elsewhere.
var mappable = []string{"name", "display_name", "email", "groups"}

var attributeName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)

// attributes are what is asked for: all that is usual, and what is only told when
// it is named.
func (p *Provider) attributes() []string {
	out := []string{"*", "memberOf", "objectGUID", "entryUUID", "nsAccountLock", "pwdAccountLockedTime", "pwdChangedTime"}
	add := func(name string) {
		if name != "" && !slices.ContainsFunc(out, func(o string) bool { return strings.EqualFold(o, name) }) {
			out = append(out, name)
		}
	}
	add(p.Subject)
	for _, name := range slices.Sorted(maps.Keys(p.Mapped)) {
		add(p.Mapped[name].From)
	}
	for _, f := range p.groupQuery {
		for _, n := range f.Names() {
			if n != "dn" && n != "username" {
				add(n)
			}
		}
	}
	return out
}

// proof makes the person of an entry whose password was right.
func (p *Provider) proof(ctx context.Context, e *ldap3.Entry) (flows.Proof, error) {
	now := p.now()
	u, until, err := p.account(ctx, e, now)
	if err != nil {
		return flows.Proof{}, err
	}
	return flows.Proof{
		User:     u,
		Evidence: []flows.Evidence{{Method: "password", AMR: []string{"pwd"}, At: now, Credential: changed(e)}},
		Issuer:   p.issuer,
		NotAfter: until,
	}, nil
}

// account makes the person of an entry, with their groups, if it may be used.
func (p *Provider) account(ctx context.Context, e *ldap3.Entry, now time.Time) (u flows.User, until time.Time, err error) {
	if until, err = usable(e, now); err != nil {
		return u, until, err
	}
	if u, err = p.person(e); err != nil {
		return u, until, flows.Refuse(flows.ReasonInvalidAnswer, fmt.Errorf("%s: %w", e.DN, err))
	}
	dns, names, err := p.groups(ctx, e, u.Name)
	if err != nil {
		return u, until, trouble("searching the groups of "+e.DN, err)
	}
	u.Groups = names
	if len(dns) > 0 {
		u.Attributes["group_dns"] = dns
	}
	return u, until, nil
}

// changed says when the password was set, in the words of whichever directory this
// is: Active Directory, OpenLDAP's password policy, FreeIPA, Samba, shadow.
func changed(e *ldap3.Entry) string {
	var out []string
	for _, name := range []string{"pwdLastSet", "pwdChangedTime", "krbLastPwdChange", "sambaPwdLastSet", "shadowLastChange"} {
		out = append(out, ldapconn.Values(e, name)...)
	}
	return strings.Join(out, " ")
}

// person reads who somebody is. A missing name stays empty: the engine refuses it,
// and no other attribute takes its place.
func (p *Provider) person(e *ldap3.Entry) (u flows.User, err error) {
	if u.Subject, err = p.subject(e); err != nil {
		return u, err
	}
	usual := "uid"
	if len(ldapconn.Values(e, "sAMAccountName")) > 0 {
		usual = "sAMAccountName"
	}
	if u.Name, err = single(e, p.from("name", usual)); err != nil {
		return u, err
	}
	u.DisplayName = first(e, p.from("display_name", "displayName"))
	if _, mapped := p.Mapped["display_name"]; !mapped && u.DisplayName == "" {
		u.DisplayName = first(e, "cn")
	}
	if mail := first(e, p.from("email", "mail")); mail != "" {
		if _, ok := flows.DomainOf(mail); ok { // two @ read differently to different eyes
			u.Email = mail
		}
	}
	all := ldapconn.Attributes(e)
	for name := range all {
		if strings.EqualFold(name, p.from("groups", "memberOf")) {
			delete(all, name) // groups and group_dns
		}
	}
	u.Claims, u.Attributes = all, map[string]any{}
	for name, v := range all {
		if attributeName.MatchString(name) && !slices.Contains(flows.ReservedAttributes, name) {
			u.Attributes[name] = v
		}
	}
	u.Attributes["dn"] = e.DN
	for name, a := range p.Mapped {
		if slices.Contains(mappable, name) {
			continue
		}
		delete(u.Attributes, name) // mapped means from there or not at all
		if v, ok := ldapconn.Texts(ldapconn.Attribute(e, a.From), a.List); ok {
			u.Attributes[name] = v
		}
	}
	return u, nil
}

func (p *Provider) from(name, usual string) string {
	if a, ok := p.Mapped[name]; ok {
		return a.From
	}
	return usual
}

// subject is what stays when people marry and names are given to others (I04).
func (p *Provider) subject(e *ldap3.Entry) (string, error) {
	for _, name := range []string{p.Subject, "objectGUID", "entryUUID", "uid"} {
		a := ldapconn.Attribute(e, name)
		if name == "" || a == nil || len(a.ByteValues) == 0 {
			if name != "" && name == p.Subject {
				return "", fmt.Errorf("the entry has no %s, which is the subject", name)
			}
			continue
		}
		if strings.EqualFold(name, "objectGUID") {
			return ldapconn.GUID(a.ByteValues[0])
		}
		return single(e, name)
	}
	return "", errors.New("the entry has neither objectGUID, entryUUID nor uid; `subject` may name another")
}

// single is the one value of an attribute. Values of a directory have no order, so
// of several only the one that the entry is named by counts.
func single(e *ldap3.Entry, name string) (string, error) {
	values := ldapconn.Values(e, name)
	if len(values) == 0 {
		return "", nil
	}
	if len(values) > 1 {
		dn, err := ldap3.ParseDN(e.DN)
		if err != nil || len(dn.RDNs) == 0 {
			return "", fmt.Errorf("%q is no DN", e.DN)
		}
		for _, a := range dn.RDNs[0].Attributes {
			if strings.EqualFold(a.Type, name) && slices.ContainsFunc(values, func(v string) bool { return strings.EqualFold(v, a.Value) }) {
				return a.Value, nil
			}
		}
		return "", fmt.Errorf("%s has %d values, and the entry is named by none of them", name, len(values))
	}
	return values[0], nil
}

func first(e *ldap3.Entry, name string) string {
	if v := ldapconn.Values(e, name); len(v) > 0 {
		return v[0]
	}
	return ""
}

// Windows counts in 100 ns since 1601 ([MS-ADA1] 2.1); both zero and the greatest
// number mean never.
const (
	disabledFlag = 2 // ADS_UF_ACCOUNTDISABLE
	epochOffset  = 116444736000000000
	never        = 1<<63 - 1
)

// usable refuses accounts that the directory itself would have refused, had the
// bind gone to the system that knows of it, and answers until when one is good.
func usable(e *ldap3.Entry, now time.Time) (until time.Time, err error) {
	flags, _ := strconv.ParseInt(first(e, "userAccountControl"), 10, 64)
	disabled := flags&disabledFlag != 0 || strings.EqualFold(first(e, "nsAccountLock"), "true") || strings.EqualFold(first(e, "loginDisabled"), "true")
	if disabled {
		return until, flows.Refuse(flows.ReasonAccountDisabled, fmt.Errorf("%s: the account is disabled", e.DN))
	}
	if strings.HasPrefix(first(e, "pwdAccountLockedTime"), "000001010000") { // draft-behera §5.3.3: by an administrator
		return until, flows.Refuse(flows.ReasonAccountLocked, fmt.Errorf("%s: the account is locked until an administrator opens it", e.DN))
	}
	text := first(e, "accountExpires")
	at, err := strconv.ParseInt(text, 10, 64)
	if text == "" || err == nil && (at == 0 || at == never) {
		return until, nil
	}
	if err != nil || at < epochOffset {
		return until, flows.Refuse(flows.ReasonAccountExpired, fmt.Errorf("%s: accountExpires %q", e.DN, text))
	}
	ticks := at - epochOffset
	until = time.Unix(ticks/1e7, ticks%1e7*100)
	if !until.After(now) {
		return until, flows.Refuse(flows.ReasonAccountExpired, fmt.Errorf("%s: the account expired at %s", e.DN, until.UTC().Format(time.RFC3339)))
	}
	return until, nil
}
