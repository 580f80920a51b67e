// Package certificate is the provider for programs that show a client certificate.
package certificate

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() {
	caddy.RegisterModule(Provider{})
}

// Provider takes client certificates that the site's own `client_auth` verified in this
// very connection, and no header that tells of one. A route names it in an `api` line.
type Provider struct {
	flows.ProviderOptions

	// CA are PEM files: the certificate must be one of these, or lead to one; default: to any that the
	// site's client_auth trusts. A certificate that leads elsewhere is as good as none.
	CA []string `json:"ca,omitempty"`
	// Name is what becomes user.name and the subject: common_name (the default), dns, uri,
	// email or serial. A certificate that has none, or two, is refused.
	Name string `json:"name,omitempty"`
	// Groups is what becomes user.groups: organizational_unit or organization; default: none.
	Groups string `json:"groups,omitempty"`

	cas []*x509.Certificate
	now func() time.Time
}

// CaddyModule returns the Caddy module information.
func (Provider) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.providers.certificate", New: func() caddy.Module { return new(Provider) }}
}

// Provision reads the authorities. One that cannot be read fails the load: nobody is
// trusted instead (I5).
func (p *Provider) Provision(caddy.Context) error {
	repl := caddy.NewReplacer()
	for _, raw := range p.CA {
		name, err := repl.ReplaceOrErr(raw, true, true)
		if err != nil {
			return fmt.Errorf("ca: %w", err)
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("ca: %w", err)
		}
		found, err := certificates(b)
		if err != nil {
			return fmt.Errorf("ca %s: %w", name, err)
		}
		p.cas = append(p.cas, found...)
	}
	return nil
}

func certificates(b []byte) (out []*x509.Certificate, err error) {
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, errors.New("there is no certificate in it")
	}
	return out, nil
}

// names are where a name may come from.
var names = map[string]func(*x509.Certificate) []string{
	"common_name": func(c *x509.Certificate) []string { return one(c.Subject.CommonName) },
	"dns":         func(c *x509.Certificate) []string { return c.DNSNames },
	"email":       func(c *x509.Certificate) []string { return c.EmailAddresses },
	"serial":      func(c *x509.Certificate) []string { return one(c.SerialNumber.String()) },
	"uri":         uris,
}

// groups are where groups may come from.
var groups = map[string]func(*x509.Certificate) []string{
	"organization":        func(c *x509.Certificate) []string { return c.Subject.Organization },
	"organizational_unit": func(c *x509.Certificate) []string { return c.Subject.OrganizationalUnit },
}

func one(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

func uris(c *x509.Certificate) (out []string) {
	for _, u := range c.URIs {
		out = append(out, u.String())
	}
	return out
}

// Validate refuses words that mean nothing.
func (p *Provider) Validate() error { return p.check() }

func (p *Provider) check() error {
	if _, ok := names[p.Name]; p.Name != "" && !ok {
		return fmt.Errorf("name cannot be '%s'; it is one of: %s", p.Name, strings.Join(slices.Sorted(maps.Keys(names)), ", "))
	}
	if _, ok := groups[p.Groups]; p.Groups != "" && !ok {
		return fmt.Errorf("groups cannot be '%s'; it is one of: %s", p.Groups, strings.Join(slices.Sorted(maps.Keys(groups)), ", "))
	}
	return nil
}

// Bind takes the clock.
func (p *Provider) Bind(r flows.Registry) error {
	p.now = r.Now
	return nil
}

// Scheme is none: a certificate is no header.
func (p *Provider) Scheme() string { return "" }

// Presents finds the certificate of the connection. A browser shows it by itself.
func (p *Provider) Presents(r *flows.Request) (flows.ClientCredential, error) {
	if r.Certificate == nil || !p.leads(r.Chains) {
		return flows.ClientCredential{}, flows.ErrNobody
	}
	return flows.ClientCredential{Secret: string(r.Certificate.Raw), Ambient: true}, nil
}

// leads reports a verified chain through one of our authorities.
func (p *Provider) leads(chains [][]*x509.Certificate) bool {
	if len(p.CA) == 0 {
		return true
	}
	return slices.ContainsFunc(chains, func(chain []*x509.Certificate) bool {
		return slices.ContainsFunc(chain, func(c *x509.Certificate) bool { return slices.ContainsFunc(p.cas, c.Equal) })
	})
}

// VerifyClient says who shows the certificate, for as long as it is valid.
func (p *Provider) VerifyClient(_ context.Context, r *flows.Request, _ flows.ClientCredential) (flows.Proof, error) {
	c, from := r.Certificate, p.Name
	if from == "" {
		from = "common_name"
	}
	now := p.now()
	if now.After(c.NotAfter) || now.Before(c.NotBefore) { // the connection may be older than that
		return flows.Proof{}, fmt.Errorf("%w: the certificate is valid from %s to %s", flows.ErrCredentials, c.NotBefore, c.NotAfter)
	}
	found := names[from](c)
	if len(found) != 1 || len(found[0]) > 255 || !utf8.ValidString(found[0]) || strings.ContainsFunc(found[0], unicode.IsControl) {
		return flows.Proof{}, flows.Refuse(flows.ReasonNameMissing, fmt.Errorf("the certificate has %d names of kind %s, or one that is no text", len(found), from))
	}
	u := flows.User{Subject: found[0], Name: found[0], Attributes: map[string]any{}, Claims: map[string]any{}}
	if p.Groups != "" {
		u.Groups = groups[p.Groups](c)
	}
	if len(c.EmailAddresses) == 1 && p.Trusts("email") { // I06
		if _, ok := flows.DomainOf(c.EmailAddresses[0]); ok {
			u.Email = c.EmailAddresses[0]
		}
	}
	sum := sha256.Sum256(c.Raw)
	u.Attributes["serial"], u.Attributes["fingerprint"] = c.SerialNumber.String(), hex.EncodeToString(sum[:])
	u.Attributes["subject_dn"], u.Attributes["issuer_dn"] = c.Subject.String(), c.Issuer.String()
	for name, list := range map[string][]string{"dns_names": c.DNSNames, "uris": uris(c)} {
		if len(list) > 0 {
			u.Attributes[name] = anyOf(list)
		}
	}
	return flows.Proof{
		User: u, Issuer: "certificate " + from, NotAfter: c.NotAfter,
		Evidence: []flows.Evidence{{Method: "certificate", AMR: []string{"pop"}, At: now}},
	}, nil
}

func anyOf(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

// Attributes are those of every certificate.
func (p *Provider) Attributes() []string {
	return []string{"serial", "fingerprint", "subject_dn", "issuer_dn", "dns_names", "uris"}
}

// UnmarshalCaddyfile sets up the provider from Caddyfile tokens. Syntax:
//
//	certificate {
//	    ca     <pem file>...
//	    name   common_name|dns|uri|email|serial
//	    groups organizational_unit|organization
//	}
func (p *Provider) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the name of the module
	if d.NextArg() {
		return d.Errf("certificate takes no argument, but got '%s'", d.Val())
	}
	seen := map[string]bool{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word, args := d.Val(), d.RemainingArgs()
		switch {
		case word != "ca" && word != "name" && word != "groups":
			return d.Errf("certificate has no option '%s'; there are: ca, groups, name", word)
		case seen[word]:
			return d.Errf("%s is written twice", word)
		case len(args) == 0 || len(args) > 1 && word != "ca":
			return d.Errf("%s got %d arguments", word, len(args))
		}
		seen[word] = true
		switch word {
		case "ca":
			p.CA = args
		case "name":
			p.Name = args[0]
		case "groups":
			p.Groups = args[0]
		}
	}
	if err := p.check(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner     = (*Provider)(nil)
	_ caddy.Validator       = (*Provider)(nil)
	_ caddyfile.Unmarshaler = (*Provider)(nil)
	_ flows.ProviderGuest   = (*Provider)(nil)
	_ flows.Binder          = (*Provider)(nil)
	_ flows.ClientVerifier  = (*Provider)(nil)
	_ flows.AttributeLister = (*Provider)(nil)
)
