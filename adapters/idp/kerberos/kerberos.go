// Package kerberos vouches for people whose browser shows a Kerberos ticket: those who
// signed in to a computer of a domain.
package kerberos

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() {
	caddy.RegisterModule(new(Provider))
}

// markFor is how long an answer of a browser counts as used beyond the time in which it
// is taken: a run that took the same one may wait for a factor and end later (I09).
const markFor = time.Hour

// Provider vouches for who has a ticket for this host. The browser shows it by itself
// (SPNEGO, RFC 4559); one that has none leads to the other providers of the login.
type Provider struct {
	// The file with the keys of HTTP/<host>, as ktutil, ktpass or samba-tool write it. When
	// it changes it is read again.
	Keytab string `json:"keytab"`
	// The one principal of the keytab that tickets must be for, as HTTP/app.example.com or
	// HTTP/app.example.com@EXAMPLE.COM. Default: any HTTP/… in the keytab.
	Principal string `json:"principal,omitempty"`
	// The Kerberos realms whose people are let in. Default: the realm of the keytab.
	Realms []string `json:"kerberos_realms,omitempty"`
	// A provider of type ldap that knows the same people: it says who an account is, with
	// subject, attributes and groups, and both keep people under one realm. Without it the
	// subject is the principal, which changes when an account is renamed.
	Directory string `json:"directory,omitempty"`
	// What user.name is: short (the account), or principal (account@REALM). Default: short
	// where one realm is let in, else principal. With a directory that says it.
	Name string `json:"name,omitempty"`
	// The addresses of browsers that are asked for a ticket before the person chooses, in
	// CIDR notation; default: all.
	From []string `json:"from,omitempty"`
	// The file and line that the keytab was written at.
	Source string `json:"source,omitempty"`
	flows.ProviderOptions

	keys   *keys
	nets   []netip.Prefix
	people flows.Finder
	wrote  *caddyfile.Dispenser // where directory was written
	clock  func() time.Time
	log    *zap.Logger
}

// CaddyModule returns the Caddy module information.
func (*Provider) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "identity.providers.kerberos",
		New: func() caddy.Module { return new(Provider) },
	}
}

// Provision reads the keytab.
func (p *Provider) Provision(ctx caddy.Context) (err error) {
	p.log = ctx.Logger()
	if err := p.check(); err != nil {
		return err
	}
	p.nets, _ = prefixes(p.From)
	p.keys = new(keys)
	if p.keys.path, err = keytabPath(p.Keytab); err != nil {
		return p.at(err)
	}
	kt, err := p.keys.now()
	if err != nil {
		return p.at(err)
	}
	if p.Principal != "" && !slices.ContainsFunc(names(kt), func(n string) bool { return n == p.Principal || strings.HasPrefix(n, p.Principal+"@") }) {
		return p.at(fmt.Errorf("no key is for principal %s; there are: %s", p.Principal, strings.Join(names(kt), ", ")))
	}
	if len(p.Realms) == 0 {
		if p.Realms = realms(kt); len(p.Realms) > 1 {
			return p.at(fmt.Errorf("it has keys of several realms, %s: kerberos_realm must say whose people are let in", strings.Join(p.Realms, ", ")))
		}
	}
	return nil
}

// keytabPath is where the keytab is. A {file.…} would be its bytes without the last one,
// if that looks like the end of a line: it names the file instead.
func keytabPath(raw string) (string, error) {
	if path, ok := strings.CutPrefix(raw, "{file."); ok && strings.HasSuffix(path, "}") {
		return strings.TrimSuffix(path, "}"), nil
	}
	return caddy.NewReplacer().ReplaceOrErr(raw, true, true)
}

// at says where the keytab was written.
func (p *Provider) at(err error) error {
	if p.Source == "" {
		return fmt.Errorf("keytab: %w", err)
	}
	return fmt.Errorf("%s: keytab: %w", p.Source, err)
}

// Validate refuses what cannot be meant.
func (p *Provider) Validate() error { return p.check() }

func (p *Provider) check() error {
	if p.Keytab == "" {
		return errors.New("keytab is required: the file with the keys of HTTP/<host>")
	}
	if p.Principal != "" {
		name, _, _ := strings.Cut(p.Principal, "@")
		if host, ok := strings.CutPrefix(name, service+"/"); !ok || host == "" || strings.Contains(host, "/") {
			return fmt.Errorf("principal '%s' is not one that browsers ask for: HTTP/<host> or HTTP/<host>@<REALM>", p.Principal)
		}
	}
	for i, r := range p.Realms {
		if r == "" || strings.ContainsAny(r, `/@\ `) {
			return fmt.Errorf("kerberos_realm '%s' is no realm such as EXAMPLE.COM", r)
		}
		if slices.Contains(p.Realms[:i], r) {
			return fmt.Errorf("kerberos_realm %s is written twice", r)
		}
	}
	switch {
	case p.Name != "" && p.Name != "short" && p.Name != "principal":
		return fmt.Errorf("name '%s' is neither short nor principal", p.Name)
	case p.Name != "" && p.Directory != "":
		return fmt.Errorf("name: directory %s says what people are called", p.Directory)
	case p.Directory != "" && len(p.Realms) > 1: // one account name may be two people's
		return fmt.Errorf("directory %s knows the people of one realm, but kerberos_realm lets in those of %s", p.Directory, strings.Join(p.Realms, ", "))
	}
	_, err := prefixes(p.From)
	return err
}

// prefixes reads addresses.
func prefixes(from []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range from {
		n, err := netip.ParsePrefix(text)
		if a, single := netip.ParseAddr(text); single == nil && a.Zone() == "" {
			n, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("from '%s' is no address such as 10.0.0.0/8", text)
		}
		out = append(out, n.Masked())
	}
	return out, nil
}

// Names finds the directory.
func (p *Provider) Names(r flows.Registry) error {
	err := p.find(r)
	if err != nil && p.wrote != nil {
		return p.wrote.WrapErr(err)
	}
	return err
}

func (p *Provider) find(r flows.Registry) error {
	if p.Directory == "" {
		return nil
	}
	pr, err := r.Provider(p.Directory)
	if err != nil {
		return fmt.Errorf("directory: %w", err)
	}
	people, ok := pr.Guest.(flows.Finder)
	switch {
	case !ok:
		return fmt.Errorf("directory: provider %s (%s) cannot look people up by their account; type ldap can", pr.Name, pr.Type)
	case p.Realm != "" && p.Realm != pr.Realm():
		return fmt.Errorf("realm %s: directory %s keeps the same people under realm %s", p.Realm, pr.Name, pr.Realm())
	}
	p.people, p.Realm = people, pr.Realm() // I04: one person, one key
	return nil
}

// Reaches is the directory: another meaning of it restarts runs (I28).
func (p *Provider) Reaches() []string {
	if p.Directory == "" {
		return nil
	}
	return []string{"provider:" + p.Directory}
}

// Bind takes the clock and finds the directory.
func (p *Provider) Bind(r flows.Registry) error {
	p.clock = r.Now
	return p.Names(r)
}

// Attributes are those that the ticket gives.
func (p *Provider) Attributes() []string { return []string{"principal", "kerberos_realm"} }

// Health answers nil while the keytab can be read.
func (p *Provider) Health() error { return p.keys.health() }

// Unasked reports whether the browser is at an address that is asked before the person is.
func (p *Provider) Unasked(r *flows.Request) bool {
	if len(p.nets) == 0 {
		return true
	}
	ip, err := netip.ParseAddr(r.IP)
	return err == nil && slices.ContainsFunc(p.nets, func(n netip.Prefix) bool { return n.Contains(ip.Unmap().WithZone("")) })
}

// Negotiate says whose ticket the browser showed.
func (p *Provider) Negotiate(ctx context.Context, r *flows.Request, token []byte) (flows.Proof, error) {
	kt, err := p.keys.now()
	if err != nil {
		return flows.Proof{}, flows.Refuse(flows.ReasonTicketRefused, err)
	}
	s, err := p.verify(kt, token, r.IP)
	if err != nil {
		return flows.Proof{}, flows.Refuse(flows.ReasonTicketRefused, err)
	}
	proof, err := p.person(ctx, s)
	if err != nil {
		return flows.Proof{}, err
	}
	proof.Issuer = "kerberos " + s.issuer
	proof.Once = []flows.Mark{{Space: "kerberos", ID: s.id, Until: s.until.Add(markFor)}}
	return proof, nil
}

// person is who a ticket is of. Method references: RFC 8176 §2, "wia".
func (p *Provider) person(ctx context.Context, s shown) (flows.Proof, error) {
	principal := s.name + "@" + s.realm
	evidence := flows.Evidence{Method: "kerberos", AMR: []string{"wia"}, At: s.at}
	if p.people == nil {
		u := flows.User{Subject: principal, Name: principal, Attributes: map[string]any{}, Claims: map[string]any{}}
		if p.Name == "short" || p.Name == "" && len(p.Realms) == 1 {
			u.Name = s.name
		}
		told(&u, principal, s.realm)
		return flows.Proof{User: u, Evidence: []flows.Evidence{evidence}}, nil
	}
	proof, err := p.people.FindPerson(ctx, s.name)
	switch {
	case errors.Is(err, flows.ErrNotFound):
		return proof, flows.Refuse(flows.ReasonNotInDirectory, fmt.Errorf("%s, directory %s: %w", principal, p.Directory, err))
	case err != nil:
		return proof, fmt.Errorf("%s, directory %s: %w", principal, p.Directory, err)
	}
	for _, e := range proof.Evidence {
		evidence.Credential = e.Credential
	}
	proof.Evidence = []flows.Evidence{evidence}
	told(&proof.User, principal, s.realm)
	return proof, nil
}

func told(u *flows.User, principal, realm string) {
	u.Attributes["principal"], u.Attributes["kerberos_realm"] = principal, realm
}

// Interface guards
var (
	_ flows.Reacher         = (*Provider)(nil)
	_ caddy.Provisioner     = (*Provider)(nil)
	_ caddy.Validator       = (*Provider)(nil)
	_ caddyfile.Unmarshaler = (*Provider)(nil)
	_ flows.AttributeLister = (*Provider)(nil)
	_ flows.Binder          = (*Provider)(nil)
	_ flows.Health          = (*Provider)(nil)
	_ flows.Namer           = (*Provider)(nil)
	_ flows.Negotiator      = (*Provider)(nil)
	_ flows.ProviderGuest   = (*Provider)(nil)
)
