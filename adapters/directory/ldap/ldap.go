// Package ldap looks people up in an LDAP directory: Active Directory, OpenLDAP,
// 389 Directory Server and their like.
package ldap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	ldap3 "github.com/go-ldap/ldap/v3"
	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/adapters/internal/ldapconn"
	"github.com/sallyport-gateway/sallyport/flows"
)

func init() {
	caddy.RegisterModule(new(Directory))
}

// Directory knows what the entries of an LDAP directory say.
type Directory struct {
	ldapconn.Connection
	// Where people are searched, with everything below it.
	BaseDN string `json:"base_dn"`
	// What an entry must be beside: a filter without placeholders, as
	// (objectClass=person). Default: (objectClass=*), anything.
	Filter string `json:"filter,omitempty"`

	client *ldapconn.Client
	filter string
	log    *zap.Logger
}

// CaddyModule returns the Caddy module information.
func (*Directory) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.directories.ldap", New: func() caddy.Module { return new(Directory) }}
}

// Provision resolves secrets and reads certificates. It touches no network.
func (d *Directory) Provision(ctx caddy.Context) (err error) {
	d.log = ctx.Logger()
	if err := d.check(); err != nil {
		return err
	}
	if d.filter = d.Filter; d.filter == "" {
		d.filter = "(objectClass=*)"
	}
	d.client, err = ldapconn.New(&d.Connection, func(raw string) (string, error) { return caddy.NewReplacer().ReplaceOrErr(raw, true, true) }, d.log.With(zap.String("base_dn", d.BaseDN)))
	return err
}

// Bind takes the clock.
func (d *Directory) Bind(r flows.Registry) error {
	d.client.Clock(r.Now)
	return nil
}

// Warm watches the servers until ctx ends.
func (d *Directory) Warm(ctx context.Context) { d.client.Watch(ctx) }

// Health answers nil while one of the servers answers.
func (d *Directory) Health() error { return d.client.Health() }

// Cleanup lets go of idle connections; look-ups under way end first (I17).
func (d *Directory) Cleanup() error {
	if d.client != nil {
		d.client.Close()
	}
	return nil
}

func (d *Directory) check() error {
	if err := d.Connection.Check(); err != nil {
		return err
	}
	if err := ldapconn.CheckBase(d.BaseDN); err != nil {
		return err
	}
	if d.Filter == "" {
		return nil
	}
	f, err := ldapconn.ParseFilter(d.Filter)
	if err != nil {
		return err
	}
	if len(f.Names()) > 0 {
		return fmt.Errorf("filter '%s': {%s} has no meaning here; who is looked for is said by lookup", d.Filter, f.Names()[0])
	}
	return nil
}

// Find searches an entry by one of its attributes; an objectGUID is written as Windows
// does or in Base64, an objectSid as S-1-5-…. Beside those that are texts it
// answers dn, groups (common names) and group_dns of memberOf.
func (d *Directory) Find(ctx context.Context, by, value string) (flows.Attributes, error) {
	if !ldapconn.AttributeName(by) {
		return nil, fmt.Errorf("'%s' is no name of an attribute of a directory", by)
	}
	is, ok := ldapconn.Equals(by, value)
	if !ok { // (mail=) and what is like it asks about nobody
		return nil, flows.ErrNotFound
	}
	found, err := d.client.FindOne(ctx, ldapconn.One{
		Base: d.BaseDN, Attributes: []string{"*", "memberOf", "objectGUID", "entryUUID"},
		Filter: "(&" + d.filter + is + ")",
	})
	switch {
	case errors.Is(err, ldapconn.ErrTooMany):
		return nil, fmt.Errorf("%w: several have this %s", flows.ErrAmbiguous, by)
	case err != nil:
		return nil, err
	case found == nil:
		return nil, flows.ErrNotFound
	}
	return attributes(found.Entry)
}

func attributes(e *ldap3.Entry) (flows.Attributes, error) {
	out := flows.Attributes(ldapconn.Attributes(e))
	for name := range out {
		if strings.EqualFold(name, "memberOf") {
			delete(out, name) // groups and group_dns
		}
	}
	out["dn"] = e.DN
	if a := ldapconn.Attribute(e, "objectGUID"); a != nil && len(a.ByteValues) > 0 {
		guid, err := ldapconn.GUID(a.ByteValues[0])
		if err != nil {
			return nil, err
		}
		out["objectGUID"] = guid
	}
	dns := ldapconn.Values(e, "memberOf")
	if len(dns) == 0 {
		return out, nil
	}
	var names, all []any
	for _, dn := range dns {
		name, err := ldapconn.CommonName(dn)
		if err != nil {
			return nil, fmt.Errorf("memberOf: %w", err)
		}
		all = append(all, dn)
		if !slices.Contains(names, any(name)) {
			names = append(names, name)
		}
	}
	out["groups"], out["group_dns"] = names, all
	return out, nil
}

// UnmarshalCaddyfile sets up the directory from Caddyfile tokens. Syntax:
//
//	ldap {
//	    url           <ldap[s]://host[:port]>...
//	    start_tls
//	    ca            <file>...
//	    bind_dn       <dn>
//	    bind_password <password>
//	    base_dn       <dn>
//	    filter        <filter>
//	    insecure_plaintext
//	}
func (d *Directory) UnmarshalCaddyfile(t *caddyfile.Dispenser) error {
	t.Next() // the name of the module
	if t.NextArg() {
		return t.Errf("ldap takes no argument, but got '%s'", t.Val())
	}
	seen := map[string]bool{}
	for nesting := t.Nesting(); t.NextBlock(nesting); {
		word := t.Val()
		if seen[word] && !d.Repeats(word) {
			return t.Errf("%s is written twice", word)
		}
		seen[word] = true
		if err := d.unmarshalWord(t, word, t.RemainingArgs()); err != nil {
			return err
		}
	}
	if err := d.check(); err != nil {
		return t.WrapErr(err)
	}
	return nil
}

func (d *Directory) unmarshalWord(t *caddyfile.Dispenser, word string, args []string) error {
	own := map[string]*string{"base_dn": &d.BaseDN, "filter": &d.Filter}
	to, ok := own[word]
	switch {
	case ok && (len(args) != 1 || args[0] == ""):
		return t.Errf("%s takes one argument, but got %d", word, len(args))
	case ok:
		*to = args[0]
		return nil
	case !slices.Contains(d.Words(), word):
		have := append(d.Words(), "base_dn", "filter")
		slices.Sort(have)
		return t.Errf("ldap has no option '%s'; there are: %s", word, strings.Join(have, ", "))
	}
	if err := d.SetOption(word, args); err != nil {
		return t.WrapErr(err)
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner     = (*Directory)(nil)
	_ caddy.CleanerUpper    = (*Directory)(nil)
	_ caddyfile.Unmarshaler = (*Directory)(nil)
	_ flows.Binder          = (*Directory)(nil)
	_ flows.Directory       = (*Directory)(nil)
	_ flows.Health          = (*Directory)(nil)
)
