package ldapconn

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// pageSize is how many entries are asked for at a time; Active Directory gives
// 1,000 at most.
const pageSize = 1000

// MostEntries is how much one search may find: more is an error, never a part.
const MostEntries = 20000

// Found is one entry and the server that knew it.
type Found struct {
	Entry *ldap.Entry
	from  *server
}

var (
	// ErrTooMany says that a search found more than it may.
	ErrTooMany = errors.New("the search finds too much")
	errPages   = errors.New("the server's pages do not end")
)

// One is a search for at most one entry below Base.
type One struct {
	Base, Filter string
	// NotClass leaves out entries of an object class. It is looked at here: a server
	// that does not know the class answers Undefined to (!(objectClass=…)), which
	// finds nobody at all (RFC 4511 §4.5.1.7).
	NotClass   string
	Attributes []string
}

// FindOne answers nil where there is nobody and ErrTooMany where there are several.
func (c *Client) FindOne(ctx context.Context, o One) (*Found, error) {
	size := 2
	if o.NotClass != "" {
		size = 10
	}
	q := request(o.Base, ldap.ScopeWholeSubtree, size, o.Filter, o.Attributes)
	entry, from, err := ask(ctx, c, askLimit, func(l *ldap.Conn, beat func()) (*ldap.Entry, error) {
		answer, err := l.Search(q)
		switch {
		case ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject):
			return nil, own{fmt.Errorf("base_dn '%s': %w", o.Base, err)}
		case ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded):
			return nil, own{ErrTooMany}
		case err != nil:
			return nil, err
		}
		hits, err := without(answer.Entries, o.NotClass)
		switch {
		case err != nil || len(hits) == 0:
			return nil, err
		case len(hits) > 1:
			return nil, own{ErrTooMany}
		}
		return complete(l, hits[0], beat)
	})
	if entry == nil || err != nil {
		return nil, err
	}
	return &Found{entry, from}, nil
}

// without leaves out the entries of a class. An entry that does not show its
// classes could be of any.
func without(entries []*ldap.Entry, class string) (hits []*ldap.Entry, err error) {
	for _, e := range entries {
		classes := Values(e, "objectClass")
		if class != "" && len(classes) == 0 {
			return nil, own{fmt.Errorf("objectClass of %q cannot be read", e.DN)}
		}
		if !slices.ContainsFunc(classes, func(c string) bool { return strings.EqualFold(c, class) }) {
			hits = append(hits, e)
		}
	}
	return hits, nil
}

// FindAll searches below base, page by page. It is all or an error.
func (c *Client) FindAll(ctx context.Context, base, filter string, attributes ...string) ([]*ldap.Entry, error) {
	entries, _, err := ask(ctx, c, pagesLimit, func(l *ldap.Conn, beat func()) ([]*ldap.Entry, error) {
		page := ldap.NewControlPaging(pageSize)
		q := request(base, ldap.ScopeWholeSubtree, 0, filter, attributes)
		q.Controls = []ldap.Control{page}
		var all []*ldap.Entry
		for range MostEntries {
			answer, err := l.Search(q)
			if err != nil {
				return nil, err
			}
			beat()
			if all = append(all, answer.Entries...); len(all) > MostEntries {
				return nil, own{ErrTooMany}
			}
			next, ok := ldap.FindControl(answer.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
			if !ok || len(next.Cookie) == 0 {
				return all, nil
			}
			page.SetCookie(next.Cookie)
		}
		return nil, own{errPages}
	})
	return entries, err
}

// Capable reports that the servers name an OID among their capabilities, as
// Active Directory does.
func (c *Client) Capable(ctx context.Context, oid string) (bool, error) {
	caps, _, err := ask(ctx, c, askLimit, func(l *ldap.Conn, _ func()) ([]string, error) {
		answer, err := l.Search(request("", ldap.ScopeBaseObject, 1, "(objectClass=*)", []string{"supportedCapabilities"}))
		if err != nil || len(answer.Entries) == 0 {
			return nil, err
		}
		return answer.Entries[0].GetEqualFoldAttributeValues("supportedCapabilities"), nil
	})
	return slices.Contains(caps, oid), err
}

// own is an error of ours, found in a server's answer: no other server would help.
type own struct{ error }

func (o own) Unwrap() error { return o.error }

func request(base string, scope, size int, filter string, attributes []string) *ldap.SearchRequest {
	// Aliases and referrals are not followed: they lead where nobody configured.
	return ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, size, 5, false, filter, attributes, nil)
}

// complete fetches what Active Directory left out of an attribute with many values
// ("memberOf;range=0-1499": [MS-ADTS] 3.1.1.3.1.3.3).
func complete(l *ldap.Conn, e *ldap.Entry, beat func()) (*ldap.Entry, error) {
	for i := 0; i < len(e.Attributes); i++ {
		a := e.Attributes[i]
		name, last, ranged := rangeOf(a.Name)
		if !ranged {
			continue
		}
		if prior := find(e, name); prior != nil && prior != a { // the empty one that stands beside
			prior.Name = ""
		}
		a.Name = name
		for last >= 0 {
			answer, err := l.Search(request(e.DN, ldap.ScopeBaseObject, 1, "(objectClass=*)", []string{fmt.Sprintf("%s;range=%d-*", name, last+1)}))
			if err != nil {
				return nil, err
			}
			beat()
			more, upTo := rest(answer, name)
			if more == nil || len(a.Values)+len(more.Values) > MostEntries || upTo >= 0 && upTo <= last {
				return nil, own{fmt.Errorf("%s: %w", name, ErrTooMany)}
			}
			a.Values, a.ByteValues, last = append(a.Values, more.Values...), append(a.ByteValues, more.ByteValues...), upTo
		}
	}
	return e, nil
}

func rest(answer *ldap.SearchResult, name string) (*ldap.EntryAttribute, int) {
	for _, e := range answer.Entries {
		for _, a := range e.Attributes {
			if n, last, ok := rangeOf(a.Name); ok && strings.EqualFold(n, name) {
				return a, last
			}
		}
	}
	return nil, 0
}

func find(e *ldap.Entry, name string) *ldap.EntryAttribute {
	for _, a := range e.Attributes {
		if strings.EqualFold(a.Name, name) {
			return a
		}
	}
	return nil
}

// rangeOf reads "memberOf;range=0-1499"; last is -1 for "…-*", which ends it.
func rangeOf(attribute string) (name string, last int, ok bool) {
	name, option, found := strings.Cut(attribute, ";")
	if !found || len(option) < 6 || !strings.EqualFold(option[:6], "range=") {
		return "", 0, false
	}
	from, to, found := strings.Cut(option[6:], "-")
	if _, err := strconv.ParseUint(from, 10, 31); !found || err != nil {
		return "", 0, false
	}
	if to == "*" {
		return name, -1, true
	}
	n, err := strconv.ParseUint(to, 10, 31)
	return name, int(n), err == nil // #nosec G115 -- 31 bits
}
